"""The authority state of one node, which only a verified capsule changes.

The checks have a fixed order, cheap ones first: size, canonical CBOR, kind and shape, scope, epoch
and replay, time, known digest, rate limit, signature. Then the capsule is written to flash, and
then the state in memory changes. Sans-IO: the caller passes the store and the time.
"""

from .. import cbor, crypto
from ..compat import unload
from ..errors import (
    AlreadyKnown,
    BadSignature,
    EpochGap,
    Expired,
    Forked,
    KnownBad,
    NoPolicy,
    NoScope,
    NotMember,
    NotYetValid,
    RateLimited,
    Revoked,
    RolledBack,
    UnknownKind,
    WrongPrevious,
    WrongScope,
)
from ..limits import (
    KNOWN_BAD_MAX,
    PEERS_MAX,
    SIGNATURE_BURST,
    SIGNATURE_REFILL_MS,
)
from . import capsule as capsules
from .capsule import Beacon, Charter, Member
from .policy import Policy, decide, epoch_of
from .ratelimit import RateLimiter


class Authority:
    """Charter, policy in force, own membership, newest beacon, and a cache of other members.

    epoch: the epoch in force, 0 before the first policy; head: its 6 bytes, None before the first
    policy; group_key: 32 bytes, of the charter or of the newest succession, in force since
    `key_epoch`.

    store: a `store.Store`. scope: the 8-byte id of the scope to trust, needed until the charter is
    on flash. A node that has neither accepts no capsule.
    """

    def __init__(self, store, own_x=None, scope=None):
        self.store = store
        self.own_x = own_x
        self.scope = scope
        self.charter = None
        self.group_key = None
        self.key_epoch = 0
        self.policy = None
        self.epoch = 0
        self.head = None
        self.beacon = None
        self.me = None
        self.is_member_lost = False  # whether the own capsule on flash is damaged
        self.actions = None  # `actions.Actions`, once there was one
        self.forget()
        self._member_limiter = RateLimiter(SIGNATURE_BURST, SIGNATURE_REFILL_MS)
        # a stranger can change its address at will, and must not use up the members' limit
        self._stranger_limiter = RateLimiter(SIGNATURE_BURST, SIGNATURE_REFILL_MS)
        self._time_s = 0
        self._time_from = "charter"  # what certified it
        self._time_ms = None
        from .loading import load

        load(self)
        # its code is needed once
        unload("authority.loading")

    # --- what is in force -------------------------------------------------------------------

    def forget(self):
        """Drop what the previous group key has certified of single nodes and of the time."""
        self.peers = {}  # node id -> Member; all of them verified
        self._recent = []  # node ids of `peers`, least recently used first
        self._known_bad = []
        self._beacon_ms = None  # arrival of the beacon; None for one from flash
        if self.actions:
            self.actions.forget()

    def now_s(self, now_ms):
        """The earliest possible time in Unix seconds: newest certified time plus ticks."""
        if self._time_ms is None:
            self._time_ms = now_ms
        return self._time_s + (now_ms - self._time_ms) // 1000

    def beacon_age_s(self, now_ms):
        """Seconds since the newest beacon's time, or None for a beacon from flash.

        A node cannot know how long it was switched off, so such a beacon has no known age.
        """
        if self._beacon_ms is None:
            return None
        return self.now_s(now_ms) - self.beacon.time

    def is_fresh(self, now_ms):
        """Whether the newest beacon is young enough for `fresh` rules, by the charter's limit."""
        age_s = self.beacon_age_s(now_ms)
        return age_s is not None and age_s <= self.charter.beacon_age_max_s

    def check_member(self, member, now_ms, any_key=False):
        """Raise `NotMember`, `Revoked`, `Expired` or `NotYetValid` unless `member` is valid now.

        any_key: accept a capsule that was certified before the last succession, or that is void.
        """
        if not any_key and self.is_outdated(member):
            raise NotMember()
        if self._is_revoked(member.node_id):
            raise Revoked()
        now_s = self.now_s(now_ms)
        if member.expires <= now_s:
            raise Expired("%d %s" % (now_s, self._time_from))
        if member.not_before > now_s:
            raise NotYetValid()

    def authorise(self, member, method, path, now_ms, has_action=False):
        """Judge one request by the policy in force now; returns the number of the allowing rule.

        has_action: whether an action for the request waits here. Raises `NoPolicy`, `NotAllowed`,
        `NotFresh`, `NeedsAction` or what `check_member` raises.
        """
        if self.policy is None or self.me is None:
            raise NoPolicy()
        self.check_member(member, now_ms)
        reason, rule = decide(
            self.policy,
            self.policy.roles_of(member),
            self.policy.roles_of(self.me),
            method,
            path,
            self.is_fresh(now_ms),
            has_action,
        )
        if reason:
            raise reason()
        return rule

    def authorise_by_action(self, request, rejection, now_ms):
        """Judge a `server.Request` that was refused for `rejection` again, with a waiting action.

        Raises `rejection` where no action fits. The payload is compared when all of it is here.
        """
        method, path = request.method, request.path
        # an action is for a request without a query, which its digest does not cover
        if request.query or not (
            self.actions and self.actions.find(method, path, self.now_s(now_ms))
        ):
            raise rejection
        request.rule = self.authorise(request.peer, method, path, now_ms, True)
        request.has_action = True

    def peer(self, node_id):
        """The cached `Member` with this node id, or None."""
        member = self.peers.get(node_id)
        if member:
            self._recent.remove(node_id)
            self._recent.append(node_id)
        return member

    def peer_by(self, address=None, name=None, x=None, raw=None):
        """The cached `Member` with this short address, name, key or capsule, or None.

        The one whose capsule ends last is found, a revoked or outdated one only if there is no
        other: a node with a new key has the name and address of the one before it.
        """
        found = None
        best = -1
        for member in self.peers.values():
            if (
                member.address == address
                or member.name == name
                or member.x == x
                or member.raw == raw
            ):
                is_past = self._is_revoked(member.node_id) or self.is_outdated(member)
                end = 0 if is_past else member.expires
                if end > best:
                    best, found = end, member.node_id
        return self.peer(found)

    def is_outdated(self, member):
        """Whether a `Member` needs a new capsule: of the key in force, not void by the policy."""
        return member.key_epoch != self.key_epoch or (
            self.policy is not None and member.epoch < self.policy.void_before
        )

    def is_past(self, member, now_ms):
        """Whether other nodes refuse the capsule of a `Member`: it has expired, or is outdated."""
        return self.is_outdated(member) or member.expires <= self.now_s(now_ms)

    def _is_revoked(self, node_id):
        return self.policy is not None and node_id in self.policy.revoked

    def policy_record(self):
        """(payload, base, amendments) of the policy on flash; b"" for a part that is missing.

        base: the last whole policy capsule; payload: the state that the amendments have made of it.
        """
        record = self.store.load("policy")
        return cbor.decode(record) if record else (b"", b"", [])

    def capsule_for(self, epoch):
        """The capsule (bytes) that takes a node from `epoch` on, or None."""
        from .lookup import following

        return following(self, epoch)

    def capsule_by_digest(self, start):
        """The capsule (bytes) here whose digest begins with `start` (16 bytes), or None."""
        from .lookup import by_digest

        return by_digest(self, start)

    # --- checks -----------------------------------------------------------------------------

    def receive(self, raw, now_ms, source=None):
        """Check a capsule and, if all checks pass, apply it. Returns the parsed `Capsule`.

        source: on whose rate limit the signature check counts: a member's node id or a stranger's
        address; None for the operator and for handshakes, which have a rate limit of their own.
        Raises the `Rejection` of the first check that fails; then nothing has changed.
        """
        capsule = capsules.parse(raw)
        kind = capsule.kind
        if kind == capsules.CHARTER:
            view, key = self._check_charter(capsule)
        else:
            if self.charter is None:
                raise NoScope()
            key = self.group_key
            if capsule.hint and not self.charter.scope.startswith(capsule.hint):
                raise WrongScope()
            if kind == capsules.MEMBER:
                view = self._check_member_capsule(capsule, now_ms)
            elif kind == capsules.POLICY:
                view = self._check_policy(capsule)
            elif kind == capsules.AMENDMENT:
                body = self._check_amendment(capsule)
            elif kind == capsules.BEACON:
                view = self._check_beacon(capsule)
            elif kind == capsules.SUCCESSION:
                from . import succession

                view = succession.check_succession(self, capsule)
            elif kind == capsules.ACTION:
                view = self._check_action(capsule, now_ms)
            else:
                # a later version applies release and grant
                raise UnknownKind()
        self._verify(capsule, key, now_ms, source)
        if kind == capsules.CHARTER:
            self.store.save("charter", capsule.raw)
            self._set_charter(view)
        elif kind == capsules.MEMBER:
            self._apply_member(view)
        elif kind == capsules.POLICY:
            # the capsule has the payload; only amendments make a payload that no capsule has
            self._save_policy(b"", capsule.raw, [])
            self._set_policy(view, capsule.payload)
            self._advance(view.issued, now_ms)
        elif kind == capsules.AMENDMENT:
            # an operation that does not fit the state is refused here, after the signature check
            self._apply_amendment(body, capsule.raw)
        elif kind == capsules.BEACON:
            self._apply_beacon(view, now_ms)
        elif kind == capsules.ACTION:
            self.actions.add(view)
        else:
            succession.apply(self, view)
            self._advance(view.issued, now_ms)
        return capsule

    def _verify(self, capsule, key, now_ms, source):
        digest = capsule.digest()[:16]
        if digest in self._known_bad:
            raise KnownBad()
        limiter = self._member_limiter if isinstance(source, bytes) else self._stranger_limiter
        if source is not None and not limiter.take(source, now_ms):
            raise RateLimited()
        if not crypto.ed25519_verify(key, capsule.signing_input(), capsule.signature):
            self._known_bad.append(digest)
            if len(self._known_bad) > KNOWN_BAD_MAX:
                self._known_bad.pop(0)
            raise BadSignature()

    def _check_charter(self, capsule):
        charter = Charter(capsule)
        if self.charter:
            if charter.scope != self.charter.scope:
                raise WrongScope()
            raise AlreadyKnown()
        if self.scope is None:
            raise NoScope()
        if charter.scope != self.scope:
            raise WrongScope()
        return charter, charter.group_key

    def _check_member_capsule(self, capsule, now_ms):
        member = Member(capsule)
        known = self.me if member.x == self.own_x else self.peers.get(member.node_id)
        if known:
            is_in_force = known.key_epoch == self.key_epoch
            if known.raw == capsule.raw or (
                is_in_force and capsules.same_payload(known.raw, capsule.raw)
            ):
                raise AlreadyKnown()
            # a renewal expires later: this decides which of two capsules is newer
            if is_in_force and member.expires <= known.expires:
                raise RolledBack()
        # its signature is checked with the key in force
        member.key_epoch = self.key_epoch
        self.check_member(member, now_ms)
        return member

    def _check_action(self, capsule, now_ms):
        if self.actions is None:
            from .actions import Actions

            self.actions = Actions(self.store)
        own_id = self.own_x and capsules.node_id(self.own_x)
        return self.actions.check(capsule, own_id, self.now_s(now_ms))

    def _check_policy(self, capsule):
        policy = Policy(capsule.claims)
        if policy.epoch < self.epoch:
            raise RolledBack()
        if policy.epoch == self.epoch:
            if capsules.head(capsule.payload) != self.head:
                raise Forked()
            if epoch_of(self.policy_record()[1]) == policy.epoch:
                raise AlreadyKnown()
        elif policy.epoch == self.epoch + 1:
            if policy.previous != self.previous():
                raise WrongPrevious()
        return policy

    def _check_amendment(self, capsule):
        from .amendment import check_amendment

        unload("authority.amendment")
        body = check_amendment(capsule.body)
        if self.policy is None:
            raise EpochGap()
        if body[1] <= self.epoch:
            if body[1] < self.epoch or body[2] != self.policy.previous:
                raise RolledBack()
            known = capsules.parse(self.capsule_for(self.epoch - 1))
            # after a whole policy for this epoch there is no amendment to compare with
            if known.kind == capsules.AMENDMENT and known.payload != capsule.payload:
                raise Forked()
            raise AlreadyKnown()
        if body[1] > self.epoch + 1:
            raise EpochGap()
        if body[2] != self.head:
            raise WrongPrevious()
        return body

    def _check_beacon(self, capsule):
        beacon = Beacon(capsule)
        if self.beacon:
            if capsules.same_payload(beacon.raw, self.beacon.raw):
                raise AlreadyKnown()
            if beacon.time <= self.beacon.time:
                raise RolledBack()
        if beacon.epoch < self.epoch:
            raise RolledBack()
        if beacon.epoch == self.epoch and beacon.head != self.previous():
            raise Forked()
        return beacon

    def previous(self):
        """The head in force (6 bytes) that the next capsule names; the charter's at first."""
        return self.head or self.charter.head

    # --- effects: flash first, then memory --------------------------------------------------

    def _apply_member(self, member):
        if member.x == self.own_x:
            self.store.save("member", member.raw)
            self.me = member
            return
        self.remember(member)

    def remember(self, member):
        """Cache a verified `Member`; the least recently used one is dropped (limits.PEERS_MAX).

        A member from flash that the group key in force has not certified is not cached.
        """
        if member.key_epoch != self.key_epoch:
            from .succession import vouch

            if not vouch(self, member):
                return
        if member.node_id in self.peers:
            self._recent.remove(member.node_id)
        elif len(self._recent) >= PEERS_MAX:
            self.peers.pop(self._recent.pop(0), None)
        # first what may need memory: each peer must be among the recent ones
        self._recent.append(member.node_id)
        self.peers[member.node_id] = member

    def _apply_amendment(self, body, raw):
        from .amendment import amend, trim

        unload("authority.amendment")
        policy = amend(self.policy, body)
        _, base, amendments = self.policy_record()
        payload = policy.payload()
        base, amendments = trim(payload, base, amendments + [raw])
        self._save_policy(payload, base, amendments)
        self._set_policy(policy, payload)

    def _apply_beacon(self, beacon, now_ms):
        self.store.save("beacon", beacon.raw)
        self.beacon = beacon
        self._beacon_ms = now_ms
        self._advance(beacon.time, now_ms, "beacon")

    def _advance(self, time_s, now_ms, source="policy"):
        # a delayed beacon never sets the clock back
        self._time_s = self.now_s(now_ms)
        self._time_ms = now_ms
        self._time(time_s, source)

    def _time(self, time_s, source):
        if time_s > self._time_s:
            self._time_s = time_s
            self._time_from = source

    def _save_policy(self, payload, base, amendments):
        self.store.save("policy", cbor.encode([payload, base, amendments]))

    def _set_policy(self, policy, payload):
        self.head = capsules.head(payload)
        self.policy = policy
        self.epoch = policy.epoch

    def _set_charter(self, charter):
        self.charter = charter
        self.group_key = charter.group_key
        self.scope = charter.scope
        self._time_s = max(self._time_s, charter.founded)
