"""The core of one governor: consensus, cosigning, the proposal pool and catch-up, joined.

Sans-IO except for its ledger. Rules:

1. Every message arrives with the number of the governor whose authenticated session brought it.
2. Every call commits once, before it returns: what a returned message depends on is on the disk.
   Only messages that depend on no uncommitted write leave earlier (`CoreContext.flush_early`).
3. After a failed commit the core refuses every further call.
4. A core serves one committee. When another one is in force, it returns `Reseat` and ends.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from writ.authority.capsule import BEACON
from writ.errors import Rejection
from writ.wire import coap

from ...consensus import effects
from ...consensus.committee import Committee, tolerance
from ...consensus.effects import Decide, Effect, Propose, Received, Tick
from ...consensus.replica import Replica
from ...consensus.signer import FrostSigner
from ...consensus.value import Value
from ...errors import HostError, Malformed
from ...keys.group import Random
from ...keys.identity import Identity
from ...keys.roster import Seat, committee_digest, committee_scope
from ..ledger.database import LEDGER_ERRORS
from ..ledger.ledger import Ledger
from ..proposals import messages
from ..proposals.proposal import (
    OPEN,
    UNKNOWN,
    Proposal,
    ProposalIndex,
    ProposalView,
    proposal_id,
)
from . import delegation
from .catchup import CatchUp
from .chain import assemble, read_chain
from .commit import one_commit
from .context import CoreContext, NewCapsule, Output, Reseat
from .cosigning import CosigningScheduler
from .pool import NotAccepted, ProposalPool

# How often a governor sends its summary, and how often it checks the open proposals.
SUMMARY_MS = 5000
POOL_TICK_MS = 3000
# Key prefix in the ledger's metadata: "founders-" and a group key in hex hold the digest (8 B) of
# the committee that made this key.
FOUNDERS = "founders-"


class Core:
    """The core of one governor. The caller calls `start` once, then the other methods.

    clock_s: Unix seconds; `now_ms` only grows. While the committee of its seat is not in force (a
    newcomer that does not have the chain yet), the core catches up and signs nothing: `is_seated`.

    Raises `HostError` for a ledger without a charter, `Malformed` for a damaged hard state.
    """

    def __init__(
        self,
        identity: Identity,
        seat: Seat,
        ledger: Ledger,
        clock_s: Callable[[], int],
        random: Random = os.urandom,
    ) -> None:
        context = CoreContext(identity, seat, ledger, clock_s, read_chain(ledger))
        self.context = context
        self.ledger = ledger
        self.accusations: dict[int, str] = {}  # by governor: its proven fault
        self._committee_digest = committee_digest(seat)
        self._replica_due_ms: int | None = None  # when the replica needs a tick, None for never
        self._summary_due_ms = 0
        self._pool_due_ms = 0
        self._accepted: set[bytes] = set()  # digests of the values accepted in this epoch
        self.failure: Exception | None = None  # of the disk or of an effect: it ended this core
        self._effect_depth = 0  # how many lists of effects are being applied
        self._deferred: list[Proposal] = []  # to submit once no effects are being applied
        context.is_seated = self._is_in_force()
        self.committee = Committee(committee_scope(seat), context.count, seat.public.threshold)
        signer = FrostSigner(identity, seat, random)
        self.pool = ProposalPool(context, self._submit)
        self.cosigning = CosigningScheduler(
            context, self.pool, self.committee, signer, self._apply_effects
        )
        self.catchup = CatchUp(context, self._on_foreign_decision, self._on_capsule)
        record = ledger.hard_state(self._committee_digest)
        self.replica = Replica(self.committee, signer, ledger, self._accept, record, random(16))

    # --- state ------------------------------------------------------------------------------------

    @property
    def is_seated(self) -> bool:
        """Whether the committee of this seat is in force."""
        return self.context.is_seated

    @property
    def has_defect(self) -> bool:
        """Whether a defect has ended this core: another one goes on from the ledger."""
        return self.failure is not None and not isinstance(self.failure, HostError)

    @property
    def epoch(self) -> int:
        """The epoch in force."""
        return self.context.chain.epoch

    @property
    def head(self) -> bytes:
        """The digest (6 B) that the next policy names as its predecessor."""
        return self.context.chain.head

    @property
    def policy(self) -> Any:
        """The policy in force (`writ.policy.Policy`), None before the first."""
        return self.context.chain.policy

    @property
    def is_deciding(self) -> bool:
        """Whether other governors wait for this governor's part in a decision."""
        return self.is_seated and self.replica.is_active and self.replica.state.is_awake

    @property
    def proposer(self) -> int:
        """The number of this round's proposer, which collects the votes and signature shares."""
        state = self.replica.state
        return self.committee.proposer(state.height, state.round)

    def status(self) -> dict[str, object]:
        """The status for operators, JSON-able."""
        context, state = self.context, self.replica.state
        offline, byzantine = tolerance(context.count, self.committee.threshold)
        beacon_s = context.newest_beacon()[0] or None
        return {
            "scope": context.chain.charter.name,
            "scope_id": context.chain.charter.scope.hex(),
            "governor": context.identity.name,
            "number": context.me,
            "governors": list(context.seat.roster.names),
            "threshold": self.committee.threshold,
            "tolerates_offline": offline,
            "tolerates_byzantine": byzantine,
            "is_seated": self.is_seated,
            "epoch": self.epoch,
            "head": self.head.hex(),
            "height": state.height,
            "round": state.round,
            "step": state.step if state.is_awake else "asleep",
            "is_active": self.is_seated and self.replica.is_active,
            "beacon": beacon_s,
            "beacon_age_s": None if beacon_s is None else context.clock_s() - beacon_s,
            "members": self.ledger.capsules.member_count(),
            "pending": len(self.pool.proposals),
            "accused": {context.name(number): what for number, what in self.accusations.items()},
            "counters": dict(context.counters),
        }

    def pending(self) -> list[ProposalView]:
        """The open proposals, oldest first."""
        return [self.pool.view(proposal) for proposal in self.pool.proposals]

    def proposal(self, id: bytes) -> ProposalView | None:
        """The proposal with this id, open or closed; None if it is unknown."""
        found = self.pool.proposals.get(id)
        return None if found is None else self.pool.view(found)

    # --- messages and time ------------------------------------------------------------------------

    @one_commit
    def start(self, now_ms: int, before: ProposalIndex | None = None) -> list[Output]:
        """Return the first messages after a start or restart.

        before: the proposals of the previous core of this process.
        """
        self.context.now_ms = now_ms
        self.ledger.restorations.start(self.epoch)
        if self.is_seated:
            self._apply_effects(self.replica.start(now_ms))
            self.cosigning.plan_beacon()
            self.pool.restore(before)
        elif self.context.chain.policy is not None:
            self._end()
        return self.context.drain()

    @one_commit
    def receive(self, sender: int, data: bytes, now_ms: int) -> list[Output]:
        """Handle a message from the session of governor `sender`.

        No content of it raises. An exception that is no error of the ledger is a defect of this
        program: this core has ended then, and the caller starts another one from the ledger.
        """
        self.context.now_ms = now_ms
        type_ = messages.type_of(data)
        if sender == self.context.me or type_ == messages.NO_TYPE:
            return self.context.drain()
        try:
            if type_ >= messages.CORE_TYPE_MIN:
                self._receive(sender, messages.read(data))
            elif not self.is_seated:
                pass
            elif type_ >= messages.COSIGNING_TYPE_MIN:
                self.cosigning.receive(sender, type_, data)
            else:
                self._step(Received(sender, data))
        except LEDGER_ERRORS:
            raise
        except (Malformed, Rejection) as error:
            if self.failure is not None:
                raise
            self.context.report_rejection(sender, type(error).__name__)
        except HostError as error:
            # a limit of this governor
            if self.failure is not None:
                raise
            self.context.increment(type(error).__name__)
        return self.context.drain()

    @one_commit
    def tick(self, now_ms: int) -> list[Output]:
        """Do what is due by now."""
        self.context.now_ms = now_ms
        if now_ms >= self._summary_due_ms:
            self._summary_due_ms = now_ms + SUMMARY_MS
            self.context.send(
                None, messages.SUMMARY, self.ledger.capsules.cursor, self.pool.summary()
            )
            if self.is_seated:
                self.cosigning.reservations.tick()
        if self.is_seated and self._replica_due_ms is not None and now_ms >= self._replica_due_ms:
            self._replica_due_ms = None
            self._step(Tick())
        if self.is_seated and now_ms >= self._pool_due_ms:
            self._pool_due_ms = now_ms + POOL_TICK_MS
            self.pool.tick()
        if self.is_seated:
            self.cosigning.tick()
        self.catchup.tick()
        return self.context.drain()

    def next_ms(self, now_ms: int) -> int:
        """Milliseconds until `tick` has something to do."""
        times = [self._summary_due_ms, self.catchup.due_ms]
        if self.is_seated:
            times += [self._pool_due_ms, self._replica_due_ms, self.cosigning.next_ms()]
        return max(0, min(at_ms for at_ms in times if at_ms is not None) - now_ms)

    # --- requests of operators and devices --------------------------------------------------------

    @one_commit
    def propose(
        self, payloads: Sequence[bytes], title: str, evidence: bytes, now_ms: int
    ) -> tuple[bytes, list[Output]]:
        """Propose payloads for certification. Proposing the same payloads again is allowed.

        Returns (the proposal's id, outputs). Raises `NotAccepted` for what this governor would not
        sign itself, `Malformed`, or a `Rejection`.
        """
        context = self.context
        context.now_ms = now_ms
        if not self.is_seated:
            raise NotAccepted("this governor is not in force", "writ governor status says why.")
        made = Proposal(tuple(payloads), title, evidence, context.me, context.clock_s())
        self.pool.propose(made)
        return made.id, context.drain()

    @one_commit
    def approve_or_deny(self, id: bytes, yes: bool, reason: str, now_ms: int) -> list[Output]:
        """Record the final answer of this governor's operator to a proposal. Raises `HostError`."""
        self.context.now_ms = now_ms
        self.pool.approve_or_deny(id, yes, reason)
        return self.context.drain()

    @one_commit
    def handle_statement(self, raw: bytes, now_ms: int) -> tuple[int, bytes, list[Output]]:
        """Answer a member's signed statement (docs/wire.md): (CoAP code, body, outputs)."""
        self.context.now_ms = now_ms
        if not self.is_seated:
            return coap.UNAVAILABLE, b"", []
        code, body = delegation.answer(self.context, self.pool, raw)
        return code, body, self.context.drain()

    @one_commit
    def add_capsule(self, raw: bytes, now_ms: int) -> list[Output]:
        """Add a certified capsule that did not come from a governor; its signature is checked."""
        self.context.now_ms = now_ms
        self.catchup.add([raw])
        return self.context.drain()

    @one_commit
    def set_next_seats(self, digests: Sequence[bytes]) -> None:
        """Set the committees (digests, 8 B) whose key shares wait here until they are in force."""
        self.context.next_seats = frozenset(digests)
        self.pool.rejudge()

    # --- messages of the core ---------------------------------------------------------------------

    def _receive(self, sender: int, items: list[Any]) -> None:
        type_ = items[0]
        if type_ == messages.PULL:
            self.catchup.receive_pull(sender, items[1])
        elif type_ == messages.CAPSULES:
            self.catchup.receive_capsules(sender, items[1], items[2])
        elif type_ == messages.SUMMARY:
            self.catchup.receive_cursor(sender, items[1])
            listed = messages.read_summary(items[2])
            if self.is_seated:
                self.pool.receive_summary(sender, listed)
        elif not self.is_seated:
            pass
        elif type_ in (messages.PROPOSE, messages.APPROVE, messages.WANT):
            self.pool.receive(sender, type_, items[1])
        elif 1 <= sender <= self.context.count:
            if type_ == messages.RESERVATIONS:
                self.cosigning.reservations.receive(sender, items)
            elif type_ == messages.ASK_RESERVATIONS:
                self.cosigning.reservations.answer(sender, items[1])

    # --- consensus --------------------------------------------------------------------------------

    def _step(self, event: Received | Propose | Tick) -> None:
        self._apply_effects(self.replica.step(event, self.context.now_ms))

    def _submit(self, proposal: Proposal) -> None:
        """Submit a proposal without an objection to consensus or to cosigning."""
        if not proposal.is_ordered:
            self.cosigning.schedule(proposal)
        elif self._effect_depth:
            # the effects of the step before come first
            self._deferred.append(proposal)
        else:
            # every governor receives the proposal itself, so the replica need not send the value
            self._step(Propose(proposal.value, proposal.proposer))

    def _accept(self, value: Value) -> str | None:
        """Why the replica must not vote for this value, None if it may."""
        # an accepted value stays accepted: a lock on a value refused later would never end
        if value.digest in self._accepted:
            return None
        proposal = self.pool.proposals.get(proposal_id(value.payloads))
        if proposal is not None and proposal.state == OPEN:
            objection = self.pool.objection(proposal)
        else:
            objection = UNKNOWN.text
        if objection is None or value.digest == self.replica.hard_state.locked:
            self._accepted.add(value.digest)
            return None
        return objection

    def _apply_effects(self, listed: Sequence[Effect]) -> None:
        """Apply the effects of a replica or cosigner, in their order."""
        self._effect_depth += 1
        try:
            for effect in listed:
                self._apply(effect)
        except Exception as error:
            # the replica or cosigner counts on effects that were not applied
            self.failure = error
            raise
        finally:
            self._effect_depth -= 1
        while self._deferred and not self._effect_depth:
            proposal = self._deferred.pop(0)
            if proposal.state == OPEN and self.is_seated:
                self._submit(proposal)

    def _apply(self, effect: Effect) -> None:
        context = self.context
        if isinstance(effect, effects.Write | Decide):
            context.flush_early()
        if isinstance(effect, effects.Write):
            self.ledger.save_hard_state(self._committee_digest, effect.record)
        elif isinstance(effect, effects.Send):
            context.send_encoded(effect.to, effect.data, effect.deferrable)
        elif isinstance(effect, effects.SetTimer):
            self._replica_due_ms = effect.at_ms
        elif isinstance(effect, Decide):
            self._apply_decision(effect)
        elif isinstance(effect, effects.Cosigned):
            raws = assemble(effect.payloads, effect.signatures)
            context.send(None, messages.CAPSULES, None, self.catchup.add(raws, is_own=True))
        elif isinstance(effect, effects.CosigningFailed):
            self.cosigning.on_refusal(effect)
        elif isinstance(effect, effects.Reject):
            context.report_rejection(effect.sender, effect.rejection)
        else:
            self._accuse(effect)

    def _accuse(self, effect: effects.Accuse) -> None:
        self.accusations[effect.identifier] = effect.what
        name = self.context.name(effect.identifier)
        self.context.record("accused", f"{name} {effect.what}", governor=name)

    # --- decisions --------------------------------------------------------------------------------

    def _apply_decision(self, decide: Decide) -> None:
        """Advance the chain by one epoch: save the decision, apply it, announce it."""
        context = self.context
        raws = assemble(decide.value.payloads, decide.signatures)
        self.ledger.add_decision(decide)
        before, context.chain = context.chain, context.chain.after(decide)
        self.ledger.restorations.add(
            before.epoch, before.policy, decide.height, context.chain.policy
        )
        self._accepted.clear()
        self.catchup.after_decision(decide.height)
        context.increment("Decided")
        text = f"epoch {decide.height} is certified"
        context.record("decided", text, epoch=decide.height, head=self.head.hex())
        context.outputs += [NewCapsule(raw) for raw in raws]
        is_in_force = self._is_in_force()
        remains = self.is_seated and is_in_force
        if self.is_seated:
            self.pool.on_decision(decide.value.payloads, raws, remains)
        if remains:
            self.cosigning.plan_beacon()
        elif self.is_seated or is_in_force:
            self._end()

    def _on_foreign_decision(self, decide: Decide) -> None:
        """Apply a decision from catch-up, and let the replica enter the next height."""
        self._apply_decision(decide)
        if self.is_seated:
            self._step(Tick())

    def _on_capsule(self, capsule: Any) -> None:
        self.pool.on_capsule(bytes(capsule.payload), bytes(capsule.raw))
        if capsule.kind == BEACON:
            self.cosigning.plan_beacon()

    def _is_in_force(self) -> bool:
        """Whether the chain names the committee of this seat."""
        chain, public = self.context.chain, self.context.seat.public
        named = chain.committee or self.ledger.meta(FOUNDERS + public.group_key.hex())
        return chain.group_key == public.group_key and named == self._committee_digest

    def _end(self) -> None:
        """End this core: another committee is in force, or this one has come into force."""
        self.context.is_seated = False
        chain = self.context.chain
        self.context.outputs.append(Reseat(chain.committee or chain.group_key))
