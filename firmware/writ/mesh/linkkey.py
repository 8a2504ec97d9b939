"""The link key of a scope, and this node's frame counter. Both survive a loss of power.

A gateway makes a link key, and members hand it on in their OSCORE sessions. A key names the epoch
in which it was made, and has a stamp of those whom that policy excludes: with another stamp it is
stale, and a gateway makes the next one. Of two keys the one with the later epoch counts, of two
with one epoch the larger one, so that all members choose the same.

While a new key spreads, limits.LINK_KEY_OVERLAP_MS long, both are accepted; frames are sent with
the key before it in the first half of that time, so that members without the new key hear of the
new epoch. Who hands the key on says how old it is: all members change at one time.

Records: "link" (cbor: [epoch, key, stamp, key before]) and "frames" (reserved counter).
"""

from .. import cbor
from ..authority.capsule import TIME_MAX, check, check_bytes, check_uint
from ..compat import const, sha256
from ..errors import SequenceExhausted
from ..limits import FRAME_RESERVE, LINK_KEY_OVERLAP_MS

KEY_BYTES = 16
_STAMP_BYTES = const(4)
_COUNTER_MAX = const(0xFFFFFFFF)


def stamp_of(policy):
    """The stamp (4 bytes) of those whom a `Policy` excludes: revoked nodes, void capsules."""
    return sha256(cbor.encode([policy.revoked, policy.void_before]))[:_STAMP_BYTES]


class LinkKeys:
    """store: `store.Store`. epoch: of the key in force, -1 for none; key: 16 bytes or None."""

    def __init__(self, store):
        self._store = store
        self.epoch = -1
        self.key = self._stamp = self._old_key = None
        self.welcome = None  # (`Request`, now_ms) -> bytes for `payload`
        self._since_ms = None  # when the key was made; None: in an earlier start
        self._policy = None  # the `Policy` of the last stamp
        self._policy_stamp = None
        saved = store.load("link")
        if saved:
            self.epoch, self.key, self._stamp, self._old_key = cbor.decode(saved)
        saved = store.load("frames")
        # numbers up to the limit may be used, or up to the next one if its write was lost after it
        # seemed done
        self._limit = int.from_bytes(saved, "big") + FRAME_RESERVE if saved else 0
        self._counter = self._limit
        # this skip must not be lost in the same way: the first limit goes to both slots
        self._copies = 2

    def is_stale(self, policy):
        """Whether there is no key, or one that was made when the policy excluded others."""
        return policy is not None and self._stamp != self._stamp_now(policy)

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

    def payload(self, policy, now_ms, welcome=b""):
        """What a member gets that asks for the key: cbor [epoch, key, stamp, age in seconds,
        welcome]; welcome: bytes of welcome.py.

        None if there is no key, or only one that is known to be stale.
        """
        if self.key is None or self.is_stale(policy):
            return None
        age_ms = LINK_KEY_OVERLAP_MS
        if self._since_ms is not None:
            age_ms = min(now_ms - self._since_ms, age_ms)
        return cbor.encode([self.epoch, self.key, self._stamp, age_ms // 1000, welcome])

    def receive(self, payload, authority, now_ms):
        """Take the answer of a member (bytes of `payload`). Whether it has replaced the key.

        A key of a later epoch than that in force here is refused: the policy comes first. So is one
        that is stale by this policy: it would count more than the true key of an earlier epoch, and
        no other member would use it. Raises `BadShape` or another `Rejection` of cbor.py.
        """
        fields = cbor.decode(payload)
        check(isinstance(fields, list) and len(fields) == 5 and isinstance(fields[4], bytes))
        epoch = check_uint(fields[0], TIME_MAX)
        key = check_bytes(fields[1], KEY_BYTES)
        stamp = check_bytes(fields[2], _STAMP_BYTES)
        since_ms = now_ms - 1000 * check_uint(fields[3], LINK_KEY_OVERLAP_MS // 1000)
        policy = authority.policy
        if policy is None or epoch > authority.epoch or stamp != self._stamp_now(policy):
            return False
        return self._take(epoch, key, stamp, since_ms)

    def offer(self, policy, epoch, key, now_ms):
        """Put an own key in force, made under this policy. Whether it counts more than the last."""
        return self._take(epoch, key, stamp_of(policy), now_ms)

    def _take(self, epoch, key, stamp, since_ms):
        if self.key is not None and (epoch, key) <= (self.epoch, self.key):
            return False
        self._store.save("link", cbor.encode([epoch, key, stamp, self.key]))
        self._old_key = self.key
        self.epoch, self.key, self._stamp = epoch, key, stamp
        self._since_ms = since_ms
        return True

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
            # it is unknown how long the power was off
            self._since_ms = now_ms - (LINK_KEY_OVERLAP_MS >> 1)
        if now_ms - self._since_ms >= LINK_KEY_OVERLAP_MS:
            self._old_key = None
            self._store.save("link", cbor.encode([self.epoch, self.key, self._stamp, None]))

    def is_authentic(self, frame, high, now_ms):
        """Whether the MIC of a `Frame` is that of the key in force, or of the one before it."""
        self._expire(now_ms)
        for key in (self.key, self._old_key):
            if key is not None and frame.is_authentic(key, high):
                return True
        return False
