"""Catch-up: one governor pulls the certified capsules that it lacks from the others.

    capsules = [ 34, cursor: uint / null, [* capsule] ]   ; the answer to a pull, or news (null)
    pull     = [ 35, cursor: uint ]
    summary  = [ 37, cursor: uint, ... ]                  ; messages.py

1. A summary names its sender's cursor: how far its ledger has grown. A governor that has read less
   of that ledger pulls from its own cursor on, until nothing follows.
2. Capsules of unordered kinds count as soon as the group's signature is verified.
3. Ordered kinds advance the chain by one epoch. A governor in force also receives each decision
   from the consensus of the others, one by one.
4. A policy of a later epoch is held. If no decision has come for SKIP_MS, the governor skips the
   epochs between: the group has signed where they led.
5. A newcomer, whose committee is not in force here yet, skips at once.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from writ.authority.capsule import AMENDMENT, CHARTER, POLICY, SUCCESSION
from writ.errors import Rejection

from ... import codec
from ...consensus.effects import Decide
from ...consensus.value import Value, body_of
from ...errors import Malformed
from ...keys.frost import is_valid
from ..ledger.capsules import DIGEST_BYTES, read_capsule
from ..proposals import messages
from ..proposals.messages import CAPSULES, PULL
from .context import CoreContext, NewCapsule

# A governor that lags receives each decision within one status interval of consensus
# (consensus/state.py: 5 s). After this time without one, no other governor has it to send.
SKIP_MS = 15000


class CatchUp:
    """The catch-up of one governor.

    on_decision(decide): a decision made elsewhere, its signatures verified; on_capsule(capsule): a
    new capsule of an unordered kind, which is in the ledger already.
    """

    def __init__(
        self,
        context: CoreContext,
        on_decision: Callable[[Decide], None],
        on_capsule: Callable[[Any], None],
    ) -> None:
        self._context = context
        self._on_decision = on_decision
        self._on_capsule = on_capsule
        self._cursors: dict[int, int] = {}  # by governor: how far its ledger was read
        self._amendment: tuple[bytes, bytes] | None = None  # of the next epoch; with its signature
        self._later_policy: Any = None  # the newest policy beyond the next epoch, None for none
        self._skip_due_ms = 0  # when `_later_policy` is applied, unless a decision comes before

    # --- messages ---------------------------------------------------------------------------------

    def receive_pull(self, sender: int, item: object) -> None:
        """Answer a governor's pull. Raises `Malformed`."""
        most, size_max = messages.CAPSULES_MAX, messages.CAPSULES_BYTES_MAX
        following, raws = self._context.ledger.capsules.since(_cursor(item), most, size_max)
        self._context.send(sender, CAPSULES, following, raws)

    def receive_capsules(self, sender: int, item: object, listed: object) -> None:
        """Add the capsules of a message, and pull those that follow. Raises `Malformed`."""
        raws = messages.read_capsules(listed)
        self.add(raws)
        if item is not None and raws:
            cursor = _cursor(item)
            if cursor > self._cursors.get(sender, 0):
                self._cursors[sender] = cursor
                self._context.send(sender, PULL, cursor)

    def receive_cursor(self, sender: int, item: object) -> None:
        """Pull what a governor has and this one has not read. Raises `Malformed`."""
        if _cursor(item) > self._cursors.get(sender, 0):
            self._context.send(sender, PULL, self._cursors.get(sender, 0))

    # --- capsules ---------------------------------------------------------------------------------

    def add(self, raws: Sequence[bytes], is_own: bool = False) -> list[bytes]:
        """Keep the new capsules that the group has signed, in this order, and return them.

        is_own: they were assembled, and their signatures checked, by this governor.
        """
        added: list[bytes] = []
        unordered: list[Any] = []
        for raw in raws:
            digest = hashlib.sha256(raw).digest()[:DIGEST_BYTES]
            if self._context.ledger.capsules.find(digest) is not None:
                continue
            try:
                capsule = read_capsule(raw)
            except (Malformed, Rejection) as error:
                self._context.increment(type(error).__name__)
                continue
            if not (is_own or self._is_signed(capsule)):
                self._context.increment("BadSignature")
                continue
            added.append(bytes(capsule.raw))
            if capsule.kind in (POLICY, AMENDMENT, SUCCESSION):
                # capsules before a succession are signed by the old key
                self._add_unordered(unordered)
                unordered = []
                self._add_ordered(capsule)
            elif capsule.kind != CHARTER:
                unordered.append(capsule)
        self._add_unordered(unordered)
        return added

    def _is_signed(self, capsule: Any) -> bool:
        signed, signature = bytes(capsule.signing_input()), bytes(capsule.signature)
        return is_valid(self._context.chain.group_key, signed, signature)

    def _add_unordered(self, listed: list[Any]) -> None:
        by_raw = {bytes(capsule.raw): capsule for capsule in listed}
        for raw in self._context.ledger.capsules.add(list(by_raw)):
            self._context.outputs.append(NewCapsule(raw))
            self._context.increment("Certified")
            self._on_capsule(by_raw[raw])

    def _add_ordered(self, capsule: Any) -> None:
        ledger, epoch = self._context.ledger, int(capsule.body[1])
        if epoch > ledger.height and capsule.kind == POLICY:
            if self._context.is_seated:
                self._hold(capsule)
                return
            ledger.skip_to(epoch)
        if epoch != ledger.height:
            return
        pair = bytes(capsule.payload), bytes(capsule.signature)
        if capsule.kind == AMENDMENT:
            self._amendment = pair
            return
        pairs = [pair]
        amendment = self._amendment
        if amendment is not None and capsule.kind == POLICY and body_of(amendment[0])[1] == epoch:
            pairs.insert(0, amendment)
        payloads, signatures = zip(*pairs, strict=True)
        self._on_decision(Decide(epoch, Value(payloads), signatures))

    # --- epochs that were decided without this governor -------------------------------------------

    def after_decision(self, epoch: int) -> None:
        """Note that the chain has reached this epoch."""
        self._amendment = None
        self._skip_due_ms = self._context.now_ms + SKIP_MS
        if self._later_policy is not None and int(self._later_policy.body[1]) <= epoch:
            self._later_policy = None

    @property
    def due_ms(self) -> int | None:
        """When `tick` must be called; None while nothing is held."""
        return None if self._later_policy is None else self._skip_due_ms

    def tick(self) -> None:
        """Skip to the policy that is held, once it is due."""
        if self._later_policy is not None and self._context.now_ms >= self._skip_due_ms:
            self._skip()

    def _hold(self, capsule: Any) -> None:
        if self._later_policy is None:
            self._skip_due_ms = self._context.now_ms + SKIP_MS
        elif int(capsule.body[1]) <= int(self._later_policy.body[1]):
            return
        self._later_policy = capsule

    def _skip(self) -> None:
        """Continue from the held policy; never go back.

        Honest governors vote in an epoch only after the epoch before it was decided, so every
        epoch below the held one is decided. The hard state stays as it is: votes in decided epochs
        bind nothing, and the held policy says which committee is in force.
        """
        capsule, self._later_policy = self._later_policy, None
        ledger = self._context.ledger
        first, epoch = ledger.height, int(capsule.body[1])
        if epoch < first or not self._is_signed(capsule):
            return
        if epoch > first:
            text = f"epochs {first} to {epoch - 1} were decided without this governor:"
            self._context.record(
                "skipped", f"{text} continuing with epoch {epoch}", first=first, last=epoch - 1
            )
        ledger.skip_to(epoch)
        self._add_ordered(capsule)
        # capsules read after it may be signed by a key that was not known yet: read them again
        self._cursors.clear()


def _cursor(item: object) -> int:
    return codec.an_int(item, 0, messages.CURSOR_MAX)
