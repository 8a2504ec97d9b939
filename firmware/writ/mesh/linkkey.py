"""The link key of a scope, and this node's frame counter. Both survive a loss of power.

A gateway makes a link key, and members hand it on in their OSCORE sessions. A key names the epoch
in which it was made, and has a stamp of those whom that policy excludes: with another stamp it is
stale, and a gateway makes the next one. Of two keys the one with the later epoch counts, of two
with one epoch the larger one, so that all members choose the same.

While a new key spreads, limits.LINK_KEY_OVERLAP_MS long, both are accepted; frames are sent with
the key before it in the first half of that time, so that members without the new key hear of the
new epoch. Who hands the key on says how old it is: all members change at one time. If the next key
comes before that time, the one between them is left out.

The proof of a key is its maker's signature (welcome.py). A member that may make keys hands one on
by its own authority, all others with the proof only.

Records: "link" (cbor: [epoch, key, stamp, key before], and the two fields of the proof) and
"frames" (reserved counter).
"""

from .. import cbor
from ..authority.capsule import (
    ES256,
    TIME_MAX,
    check,
    check_bytes,
    check_uint,
    signing_input,
)
from ..compat import const, sha256
from ..errors import SequenceExhausted
from ..limits import FRAME_RESERVE, LINK_KEY_OVERLAP_MS
from .frame import JOIN_CLASS

KEY_BYTES = 16
_STAMP_BYTES = const(4)
_SIGNATURE_BYTES = const(64)
_COUNTER_MAX = const(0xFFFFFFFF)


def stamp_of(policy):
    """The stamp (4 bytes) of those whom a `Policy` excludes: revoked nodes, void capsules.

    The issue time of the last whole policy is in it. Ids leave the list of the revoked in a whole
    policy: without it the list, and the stamp of a key that such a node knows, would come back.
    """
    excluded = [policy.revoked, policy.void_before, policy.issued]
    return sha256(cbor.encode(excluded))[:_STAMP_BYTES]


def statement(scope, epoch, key, stamp):
    """What the maker of a key signs (bytes): a COSE Sig_structure, as all else that a node signs.

    Its payload is a list, and those of all other statements are maps of claims.
    """
    return signing_input(cbor.encode([scope, epoch, key, stamp]), ES256)


def may_make(policy, member):
    """Whether the policy lets a `Member` make link keys: a role in `send` of class 15."""
    for route in policy.routes:
        if route[0] == JOIN_CLASS:
            return policy.roles_of(member) & route[1] != 0
    return False


class LinkKeys:
    """store: `store.Store`. epoch: of the key in force, -1 for none; key: 16 bytes or None; stamp:
    of the policy under which it was made; proof: [short address of its maker, signature], or [].

    is_proof_missing: whether another member has asked for a key that this node cannot prove.
    """

    def __init__(self, store):
        self._store = store
        self.epoch = -1
        self.key = self.stamp = self._old_key = None
        self.proof = []
        self.is_proof_missing = False
        self.welcome = None  # (`Request`, now_ms) -> bytes for `payload`
        self._since_ms = None  # when the key was made; None: in an earlier start
        self._policy = None  # the `Policy` of the last stamp
        self._policy_stamp = None
        saved = store.load("link")
        if saved:
            fields = cbor.decode(saved)
            self.epoch, self.key, self.stamp, self._old_key = fields[:4]
            self.proof = fields[4:]
        saved = store.load("frames")
        # numbers up to the limit may be used, or up to the next one if its write was lost after it
        # seemed done
        self._limit = int.from_bytes(saved, "big") + FRAME_RESERVE if saved else 0
        self._counter = self._limit
        # this skip must not be lost in the same way: the first limit goes to both slots
        self._copies = 2

    def is_stale(self, policy):
        """Whether there is no key, or one that was made when the policy excluded others."""
        return policy is not None and self.stamp != self._stamp_now(policy)

    def _stamp_now(self, policy):
        if policy is not self._policy:
            self._policy = policy
            self._policy_stamp = stamp_of(policy)
        return self._policy_stamp

    def next_counter(self):
        """A frame counter that was never used, also not before a loss of power.

        Raises `SequenceExhausted` and `StoreFailed`.
        """
        if self._counter >= _COUNTER_MAX:
            raise SequenceExhausted()
        if self._counter >= self._limit:
            limit = min(self._counter + FRAME_RESERVE, _COUNTER_MAX)
            while self._copies:
                self._store.save("frames", limit.to_bytes(4, "big"), False)
                self._copies -= 1
            self._copies = 1
            self._limit = limit
        self._counter += 1
        return self._counter

    def payload(self, authority, now_ms, welcome=b""):
        """What a member gets that asks for the key: cbor [epoch, key, stamp, age in seconds,
        welcome, short address of the maker, signature]; welcome: bytes of welcome.py.

        A node that joins at a member that may make keys gets no proof: the session proves it. None
        if there is no key, only one that is known to be stale, or one that this node cannot prove.
        """
        if self.key is None or self.is_stale(authority.policy):
            return None
        proof = self.proof
        if welcome or not proof:
            if authority.policy and may_make(authority.policy, authority.me):
                proof = []
            elif not proof:
                self.is_proof_missing = True
                return None
        age_ms = LINK_KEY_OVERLAP_MS
        if self._since_ms is not None:
            age_ms = min(now_ms - self._since_ms, age_ms)
        return cbor.encode([self.epoch, self.key, self.stamp, age_ms // 1000, welcome] + proof)

    def receive(self, payload, authority, now_ms, check_proof):
        """Take the answer of a member (bytes of `payload`). Whether it has brought a key, or the
        proof of the one that is here.

        A key of a later epoch than that in force here is refused: the policy comes first. So is one
        that is stale by this policy: it would count more than the true key of an earlier epoch, and
        no other member would use it. check_proof(epoch, key, stamp, proof) raises a `Rejection` for
        a key that the policy lets its giver not hand on. Raises `BadShape` or another `Rejection`
        of cbor.py, too.
        """
        fields = cbor.decode(payload)
        check(isinstance(fields, list) and len(fields) in (5, 7) and isinstance(fields[4], bytes))
        epoch = check_uint(fields[0], TIME_MAX)
        key = check_bytes(fields[1], KEY_BYTES)
        stamp = check_bytes(fields[2], _STAMP_BYTES)
        since_ms = now_ms - 1000 * check_uint(fields[3], LINK_KEY_OVERLAP_MS // 1000)
        proof = fields[5:]
        if proof:
            check_uint(proof[0], 65534)
            check_bytes(proof[1], _SIGNATURE_BYTES)
        policy = authority.policy
        if policy is None or epoch > authority.epoch or stamp != self._stamp_now(policy):
            return False
        is_proof = proof and not self.proof and (epoch, key, stamp) == self._now()
        if not is_proof and not self._is_newer(epoch, key):
            return False
        check_proof(epoch, key, stamp, proof)
        if is_proof:
            self.prove(proof)
            return True
        return self._take(epoch, key, stamp, since_ms, proof, now_ms)

    def offer(self, policy, epoch, key, now_ms, proof=()):
        """Put an own key in force, made under this policy. Whether it counts more than the last."""
        return self._take(epoch, key, stamp_of(policy), now_ms, list(proof), now_ms)

    def prove(self, proof):
        """Keep a proof of the key in force. Erases the key before it from flash, not from RAM."""
        old_key = self._old_key
        self._keep(self.epoch, self.key, self.stamp, None, proof)
        self._old_key = old_key

    def _now(self):
        return self.epoch, self.key, self.stamp

    def _is_newer(self, epoch, key):
        return self.key is None or (epoch, key) > (self.epoch, self.key)

    def _take(self, epoch, key, stamp, since_ms, proof, now_ms):
        if not self._is_newer(epoch, key):
            return False
        # the one that members send with now: two changes may follow each other within an overlap
        old_key = self.sending(now_ms)
        if old_key is not None and old_key == self._old_key:
            # no member sends with the key between them yet, and the overlap ends when it would have
            since_ms = min(since_ms, self._since_ms)
        self._keep(epoch, key, stamp, old_key, proof)
        self._since_ms = since_ms
        return True

    def _keep(self, epoch, key, stamp, old_key, proof):
        self._store.save("link", cbor.encode([epoch, key, stamp, old_key] + proof))
        self._old_key = old_key
        self.epoch, self.key, self.stamp, self.proof = epoch, key, stamp, proof
        self.is_proof_missing = False

    def sending(self, now_ms):
        """The key (16 bytes) with which a frame is sent now; None if there is none."""
        self._expire(now_ms)
        if self._old_key is None:
            return self.key
        is_early = now_ms - self._since_ms < LINK_KEY_OVERLAP_MS >> 1
        return self._old_key if is_early else self.key

    def _expire(self, now_ms):
        # end the overlap, on flash too: a revoked member with the old key may wait for a restart
        if self._old_key is None:
            return
        if self._since_ms is None:
            # it is unknown how long the power was off. Starts that follow each other soon must not
            # prolong the overlap: the next one has the key no more
            self._since_ms = now_ms - (LINK_KEY_OVERLAP_MS >> 1)
            self.prove(self.proof)
        if now_ms - self._since_ms >= LINK_KEY_OVERLAP_MS:
            self._old_key = None
            self.prove(self.proof)

    def is_authentic(self, frame, high, now_ms):
        """Whether the MIC of a `Frame` is that of the key in force, or of the one before it."""
        self._expire(now_ms)
        for key in (self.key, self._old_key):
            if key is not None and frame.is_authentic(key, high):
                return True
        return False
