"""Capsules over MQTT: retained messages that any broker may carry, since none is believed.

1. What arrives is checked by the bridge's authority as from a stranger: sizes first, the signature
   last and within a rate limit. Nothing else changes its state.
2. What the authority holds is published when it changes, and where the broker has nothing, or
   something that is refused as old or false.
3. A slot whose content is not judged yet is not overwritten: it may be newer. The stored messages
   are asked for again when the authority has changed since a refusal, such as of an amendment with
   a gap before it, or of a policy that the key of a later succession has certified.
4. A slot is repaired once a minute, and all of them within a rate limit: a client that overwrites
   them again and again causes no more than that.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.ratelimit import TokenBucket
from writ.errors import AlreadyKnown, BadSignature, RateLimited, Rejection, TooLarge
from writ.limits import CAPSULE_BYTES_MAX

from . import held as helds

# A new connection waits so long for what the broker has stored before anything is published: it
# may be newer than what this bridge has.
SETTLE_MS = 3_000
# The first pause before the stored messages are asked for again, doubled while nothing changes.
AGAIN_MS, AGAIN_MS_MAX = 2_000, 64_000
# A slot with something else is repaired at most this often; all slots together by a token bucket.
REPAIR_MS = 60_000
REPAIRS, _REPAIR_REFILL_MS = 32, 1_000
# Signature checks of other bytes of a capsule that is here.
_COPIES, _COPY_REFILL_MS = 32, 1_000
# How often the authority's records are compared with what was published.
LOOK_MS = 1_000
# The signature checks for all capsules of the broker share one rate limit.
_SOURCE = "mqtt"

# Publishes a capsule at a slot, b"" to remove it; whether that was possible.
Publish = Callable[[str, bytes], bool]


class Stored(Enum):
    """What the broker has at a slot that the authority has, too.

    GOOD: what this bridge had; UNJUDGED: the rate limit left no check; BAD: nothing any more,
    something old, or something false.
    """

    GOOD = 1
    UNJUDGED = 2
    BAD = 3


class Carrier:
    """Publishes and takes the capsules of one scope. Call `tick` often; now_ms only grows.

    with_members: carry the capsules of members, too; ask_again: asks the broker for all that it
    has stored. taken, published: how many capsules; refused: {reason: count}.
    """

    def __init__(
        self,
        authority: Authority,
        with_members: bool,
        publish: Publish,
        ask_again: Callable[[], None],
    ) -> None:
        self.taken = self.published = 0
        self.refused: dict[str, float] = {}
        self._authority, self._with_members = authority, with_members
        self._publish, self._ask_again = publish, ask_again
        self._held: dict[str, bytes] = {}
        # for slots of `_held` only, so that no client makes the tables grow: what the broker has,
        # and the capsule that was there when this was noted
        self._stored: dict[str, tuple[Stored, bytes]] = {}
        self._repaired_ms: dict[str, int] = {}
        self._repairs = TokenBucket(REPAIRS, _REPAIR_REFILL_MS)
        self._copies = TokenBucket(_COPIES, _COPY_REFILL_MS)
        self._settled_ms: int | None = None  # None without a connection
        self._look_ms = 0
        self._again_ms: int | None = None  # when to ask again, None for not at all
        self._pause_ms = AGAIN_MS
        self._waits_for_change = False
        self._state = self._present()

    @property
    def held(self) -> Mapping[str, bytes]:
        """{slot: capsule} of what the authority had in force a second ago."""
        return self._held

    # --- the connection ---------------------------------------------------------------------------

    def connected(self, now_ms: int) -> None:
        """The broker will send what it has stored: a connection is made, or this was asked for."""
        self._stored.clear()
        self._settled_ms = now_ms + SETTLE_MS
        self._look(now_ms)

    def disconnected(self) -> None:
        """There is no connection."""
        self._settled_ms = None

    def missed(self, now_ms: int) -> None:
        """Messages of the broker were dropped: ask for the stored ones again, later."""
        self._ask_later(now_ms)

    # --- what arrives -----------------------------------------------------------------------------

    def receive(self, slot: str, raw: bytes, is_stored: bool, now_ms: int) -> None:
        """Take what was published at a slot. is_stored: whether the broker has it there now."""
        if not helds.is_slot(slot):
            self._count("BadTopic")
            return
        state = self._judge(slot, raw, now_ms)
        if not is_stored:
            return
        if slot in self._held:
            self._stored[slot] = state, self._held[slot]
        elif raw and helds.is_superseded(self._authority, slot) and self._repairs.take(now_ms):
            # every node takes the whole policy instead
            self._send(slot, b"")

    def _judge(self, slot: str, raw: bytes, now_ms: int) -> Stored:
        """Give a capsule to the authority; what that says about the slot."""
        if not raw:
            return Stored.BAD
        if raw == self._held.get(slot):
            return Stored.GOOD
        try:
            if len(raw) > CAPSULE_BYTES_MAX:
                raise TooLarge()
            if helds.slot_of(raw) != slot:
                # one capsule at many topics would be checked many times
                self._count("WrongSlot")
                return Stored.BAD
            self._authority.receive(raw, now_ms, _SOURCE)
        except AlreadyKnown:
            return self._judge_copy(slot, raw, now_ms)
        except Rejection as rejection:
            self._count(type(rejection).__name__)
            if isinstance(rejection, RateLimited):
                self._ask_later(now_ms)
                return Stored.UNJUDGED
            self._waits_for_change = True
            return Stored.BAD
        self.taken += 1
        self._look(now_ms)
        return Stored.GOOD

    def _judge_copy(self, slot: str, raw: bytes, now_ms: int) -> Stored:
        """Judge what the authority did not check again: other bytes of a capsule that it has.

        Another quorum may have signed it, or a client may have spoiled the signature for others.
        """
        if slot not in self._held:
            return Stored.GOOD
        copy, own = capsules.parse(raw), capsules.parse(self._held[slot])
        if (copy.payload, copy.signature) == (own.payload, own.signature):
            return Stored.GOOD
        if not self._copies.take(now_ms):
            self._count(RateLimited.__name__)
            self._ask_later(now_ms)
            return Stored.UNJUDGED
        key = bytes(self._authority.group_key or b"")
        if copy.payload == own.payload and crypto.ed25519_verify(
            key, copy.signing_input(), copy.signature
        ):
            return Stored.GOOD
        self._count(BadSignature.__name__)
        return Stored.BAD

    def _count(self, name: str) -> None:
        self.refused[name] = self.refused.get(name, 0) + 1

    # --- what is published ------------------------------------------------------------------------

    def tick(self, now_ms: int, is_idle: bool) -> None:
        """Publish what has changed. is_idle: whether all that has arrived was received."""
        if now_ms < self._look_ms:
            return
        self._look_ms = now_ms + LOOK_MS
        if self._present() != self._state:
            self._state = self._present()
            self._pause_ms = AGAIN_MS
            if self._waits_for_change:
                self._waits_for_change = False
                self._ask_later(now_ms)
        self._look(now_ms)
        if self._settled_ms is None or not is_idle:
            return
        if self._again_ms is not None and now_ms >= self._again_ms:
            self._again_ms = None
            self.connected(now_ms)
            self._ask_again()
        elif now_ms >= self._settled_ms:
            self._publish_changed(now_ms)

    def _present(self) -> tuple[object, ...]:
        """What decides which capsules are accepted."""
        authority = self._authority
        return authority.epoch, authority.key_epoch, authority.charter is None

    def _ask_later(self, now_ms: int) -> None:
        if self._again_ms is None:
            self._again_ms = now_ms + self._pause_ms
            self._pause_ms = min(2 * self._pause_ms, AGAIN_MS_MAX)

    def _look(self, now_ms: int) -> None:
        """Read what the authority holds."""
        if self._authority.charter is not None:
            self._held = helds.held(self._authority, self._with_members, now_ms)

    def _publish_changed(self, now_ms: int) -> None:
        for slot, raw in self._held.items():
            state, before = self._stored.get(slot, (None, b""))
            if state is Stored.BAD:
                # unless it is about to be judged again
                if self._again_ms is None:
                    self._repair(slot, raw, now_ms)
            elif state is None or (state is Stored.GOOD and before != raw):
                self._store(slot, raw)
        for slot in [one for one in self._stored if one not in self._held]:
            del self._stored[slot]
            self._repaired_ms.pop(slot, None)
            if helds.is_superseded(self._authority, slot):
                self._send(slot, b"")

    def _repair(self, slot: str, raw: bytes, now_ms: int) -> None:
        last_ms = self._repaired_ms.get(slot)
        if last_ms is not None and now_ms - last_ms < REPAIR_MS:
            return
        if self._repairs.take(now_ms):
            self._repaired_ms[slot] = now_ms
            self._store(slot, raw)

    def _store(self, slot: str, raw: bytes) -> None:
        if self._send(slot, raw):
            self._stored[slot] = Stored.GOOD, raw

    def _send(self, slot: str, raw: bytes) -> bool:
        is_sent = self._publish(slot, raw)
        self.published += is_sent
        return is_sent
