"""One governor: consensus, certification, proposals, beacons and catch-up, joined.

Sans-IO but for its ledger: what must be durable is in the ledger before a message that follows
from it is returned. Messages come in with the number of the governor whose session brought them.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from writ.authority import capsule as capsules
from writ.authority.capsule import AMENDMENT, BEACON, CHARTER, POLICY, SUCCESSION
from writ.errors import Rejection

from ... import codec
from ...consensus import effects
from ...consensus.committee import Committee, tolerance
from ...consensus.effects import Decide, Effect, Propose, Received, Tick
from ...consensus.replica import Replica
from ...consensus.signer import FrostSigner
from ...consensus.value import Value, body_of
from ...errors import DamagedFile, HostError
from ...keys.frost import is_valid
from ...keys.group import Random
from ...keys.identity import Identity
from ...keys.roster import Seat, committee_digest, committee_scope
from ..ledger.capsules import DIGEST_BYTES, read_capsule
from ..ledger.database import LedgerFailed, LedgerInUse
from ..ledger.ledger import Ledger
from ..proposals import messages
from ..proposals.messages import (
    APPROVE,
    ASK_RESERVATIONS,
    CAPSULES,
    CORE_TYPE_MIN,
    COSIGNING_TYPE_MIN,
    PROPOSE,
    PULL,
    RESERVATIONS,
    SUMMARY,
    WANT,
)
from ..proposals.proposal import OPEN, UNKNOWN_PROPOSAL, Proposal, ProposalTable, proposal_id
from . import delegation
from .chain import ChainState
from .context import Context, NewCapsule, Output, Reseat
from .cosigning import CosigningScheduler
from .pool import NotAccepted, ProposalPool, ProposalView

# How often governors tell each other how far they are, and look after what waits.
SUMMARY_MS = 5000
RETRY_MS = 3000
# Whoever is behind is told decision by decision, each within a status (consensus/state.py: 5 s).
# When none came for so long, and the group has signed a later policy, nobody tells them any more.
SKIP_MS = 15000
# Under this and a group key in the ledger's small things: the committee (8 B) that made the key.
FOUNDERS = "founders-"


P = ParamSpec("P")
T = TypeVar("T")


def _one_commit(
    method: Callable[Concatenate["Core", P], T],
) -> Callable[Concatenate["Core", P], T]:
    """All that a call writes is durable, by one fsync, before it returns what is to be said.

    Where that fails, what is in memory may be ahead of the disk: this core says no more, whoever
    catches the error, and the next one begins with what is on the disk.
    """

    @functools.wraps(method)
    def call(self: "Core", /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            with self.ledger.at_once():
                return method(self, *args, **kwargs)
        except (DamagedFile, LedgerFailed, LedgerInUse) as error:
            self._failure = error
            raise

    return call


class Core:
    """One governor. The caller calls `start` once, then the others as things happen.

    clock_s: Unix seconds; `now_ms` only grows. While its seat is not the one in force (a newcomer
    that does not have the chain yet) it learns, and signs nothing: `is_seated`.

    Raises `HostError` for a ledger without a charter, `Malformed` for a damaged promise record.
    """

    def __init__(
        self,
        identity: Identity,
        seat: Seat,
        ledger: Ledger,
        clock_s: Callable[[], int],
        random: Random = os.urandom,
    ) -> None:
        context = Context(identity, seat, ledger, clock_s, _read_chain(ledger))
        self.context = context
        self.ledger = ledger
        self.accusations: dict[int, str] = {}
        self._digest = committee_digest(seat)
        self._replica_ms: int | None = None
        self._summary_ms = 0
        self._retry_ms = 0
        self._cursors: dict[int, int] = {}
        self._accepted: set[bytes] = set()  # digests of values that were accepted once
        self._amendment: tuple[bytes, bytes] | None = None
        self._ahead: Any = None  # the newest policy that the group signed beyond our height
        self._skip_ms = 0  # when it is gone to, unless a decision comes before
        self._failure: Exception | None = None
        self._depth = 0
        self._forward: list[Proposal] = []
        self.is_seated = self._names_us()
        self.committee = Committee(committee_scope(seat), context.count, seat.public.threshold)
        signer = self._signer = FrostSigner(identity, seat, random)
        self.pool = ProposalPool(context, self._bring_forward)
        self.cosigning = CosigningScheduler(
            context, self.pool, self.committee, signer, self._carry_out
        )
        record = ledger.promise(self._digest)
        self.replica = Replica(self.committee, signer, ledger, self._accept, record, random(16))

    # --- what is in force -------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch in force."""
        return self.context.chain.epoch

    @property
    def head(self) -> bytes:
        """What the next policy names as previous, 6 bytes."""
        return self.context.chain.head

    @property
    def policy(self) -> Any:
        """The policy in force (`writ.policy.Policy`), None before the first."""
        return self.context.chain.policy

    def status(self) -> dict[str, object]:
        """What an operator wants to know, JSON-able."""
        context, state = self.context, self.replica.state
        dead, lying = tolerance(context.count, self.committee.threshold)
        beacon_s = context.newest_beacon()[0] or None
        return {
            "scope": context.chain.charter.name,
            "scope_id": context.chain.charter.scope.hex(),
            "governor": context.identity.name,
            "number": context.me,
            "governors": list(context.seat.roster.names),
            "threshold": self.committee.threshold,
            "tolerates_dead": dead,
            "tolerates_lying": lying,
            "is_seated": self.is_seated,
            "epoch": self.epoch,
            "head": self.head.hex(),
            "height": state.height,
            "round": state.round,
            "step": state.step if state.awake else "asleep",
            "is_active": self.is_seated and self.replica.active,
            "beacon": beacon_s,
            "beacon_age_s": None if beacon_s is None else context.clock_s() - beacon_s,
            "members": self.ledger.member_count(),
            "pending": len(self.pool.table),
            "accused": {context.name(number): what for number, what in self.accusations.items()},
            "counters": dict(context.counters),
        }

    # --- the caller's side ------------------------------------------------------------------------

    @_one_commit
    def start(self, now_ms: int, before: ProposalTable | None = None) -> list[Output]:
        """The first messages after a start or restart; before: what this process knew of so far."""
        self.context.now_ms = now_ms
        if self.is_seated:
            self._carry_out(self.replica.start(now_ms))
            self.cosigning.plan_beacon()
            self.pool.restore(before)
        elif self.context.chain.policy is not None:
            self._leave()
        return self.context.drain()

    @_one_commit
    def receive(self, sender: int, data: bytes, now_ms: int) -> list[Output]:
        """A message from the session of governor `sender`. Nothing is raised for what it holds."""
        self.context.now_ms = now_ms
        kind = messages.type_of(data)
        try:
            if sender == self.context.me or kind < 0:
                pass
            elif kind >= CORE_TYPE_MIN:
                self._take(sender, messages.read(data))
            elif not self.is_seated:
                pass
            elif kind >= COSIGNING_TYPE_MIN:
                self.cosigning.receive(Received(sender, data))
            else:
                self._step(Received(sender, data))
        except (DamagedFile, LedgerFailed, LedgerInUse):
            raise
        except (HostError, Rejection) as error:
            if self._failure is not None:
                raise
            self.context.increment(type(error).__name__)
        return self.context.drain()

    @_one_commit
    def tick(self, now_ms: int) -> list[Output]:
        """What is due by now."""
        self.context.now_ms = now_ms
        if now_ms >= self._summary_ms:
            self._summary_ms = now_ms + SUMMARY_MS
            self.context.send(None, SUMMARY, self.ledger.cursor, self.pool.summary())
            if self.is_seated:
                self.cosigning.reservations.tick()
        if self.is_seated and self._replica_ms is not None and now_ms >= self._replica_ms:
            self._replica_ms = None
            self._step(Tick())
        if self.is_seated and now_ms >= self._retry_ms:
            self._retry_ms = now_ms + RETRY_MS
            self.pool.tick()
        if self.is_seated:
            self.cosigning.tick()
        if self._ahead is not None and now_ms >= self._skip_ms:
            self._skip()
        return self.context.drain()

    @property
    def is_deciding(self) -> bool:
        """Whether others wait for this governor's part in a decision."""
        return self.is_seated and self.replica.active and self.replica.state.awake

    @property
    def proposer(self) -> int:
        """Whose turn it is to propose, and to put votes and shares together."""
        state = self.replica.state
        return self.committee.proposer(state.height, state.round)

    def precompute(self) -> None:
        """Nobody waits for this governor just now: do what will be wanted soon."""
        if self.is_seated:
            self._signer.prepare()

    def next_ms(self, now_ms: int) -> int:
        """Milliseconds until `tick` has something to do."""
        times = [self._summary_ms]
        if self.is_seated:
            times += [self._retry_ms, self.cosigning.next_ms()]
            if self._replica_ms is not None:
                times.append(self._replica_ms)
        if self._ahead is not None:
            times.append(self._skip_ms)
        return max(0, min(times) - now_ms)

    @_one_commit
    def propose(
        self, payloads: Sequence[bytes], title: str, evidence: bytes, now_ms: int
    ) -> tuple[bytes, list[Output]]:
        """Have payloads certified: (the proposal's id, what to send). The same again is fine.

        Raises `NotAccepted` where this governor would not sign it itself, `Malformed`, or a
        `Rejection`.
        """
        context = self.context
        context.now_ms = now_ms
        if not self.is_seated:
            raise NotAccepted("this governor is not in force", "writ governor status says why.")
        made = Proposal(tuple(payloads), title, evidence, context.me, context.clock_s())
        self.pool.propose(made)
        return made.id, context.drain()

    @_one_commit
    def decide_on(self, id: bytes, yes: bool, reason: str, now_ms: int) -> list[Output]:
        """This governor's operator agrees to a proposal or denies it, for good. `HostError`."""
        self.context.now_ms = now_ms
        self.pool.decide_on(id, yes, reason)
        return self.context.drain()

    def pending(self) -> list[ProposalView]:
        """The open proposals, oldest first."""
        return [self.pool.view(proposal) for proposal in self.pool.table]

    def proposal(self, id: bytes) -> ProposalView | None:
        """A proposal by its id, whatever became of it."""
        found = self.pool.table.get(id)
        return None if found is None else self.pool.view(found)

    @_one_commit
    def ask(self, statement: bytes, now_ms: int) -> tuple[int, bytes, list[Output]]:
        """What a member's signed statement asks for (docs/wire.md): (CoAP code, body, outs)."""
        self.context.now_ms = now_ms
        if not self.is_seated:
            return delegation.UNAVAILABLE, b"", []
        code, body = delegation.answer(self.context, self.pool, statement)
        return code, body, self.context.drain()

    @_one_commit
    def learn(self, raw: bytes, now_ms: int) -> list[Output]:
        """A capsule that came another way than from the governors, and proves itself as theirs."""
        self.context.now_ms = now_ms
        self._take_news([raw])
        return self.context.drain()

    @_one_commit
    def set_next_seats(self, digests: Sequence[bytes]) -> None:
        """For which committees (8 B) this governor holds a share that is not in force yet."""
        self.context.next_seats = frozenset(digests)
        self.pool.judge_anew()

    # --- consensus --------------------------------------------------------------------------------

    def _step(self, event: Received | Propose | Tick) -> None:
        self._carry_out(self.replica.step(event, self.context.now_ms))

    def _bring_forward(self, proposal: Proposal) -> None:
        """Nothing is against a proposal: have it decided, or certified."""
        if not proposal.is_ordered:
            self.cosigning.want(proposal)
        elif self._depth:
            # effects of the step before are being carried out, and come first
            self._forward.append(proposal)
        else:
            # all were told of it, so it need not be submitted to them
            self._step(Propose(proposal.value, proposal.proposer))

    def _accept(self, value: Value) -> str | None:
        # what was accepted once stays so: a lock on a value that is refused later would never end
        if value.digest in self._accepted:
            return None
        proposal = self.pool.table.get(proposal_id(value.payloads))
        if proposal is not None and proposal.state == OPEN:
            reason = self.pool.reason_against(proposal)
        else:
            reason = UNKNOWN_PROPOSAL
        if reason is None or value.digest == self.replica.promise.locked:
            self._accepted.add(value.digest)
            return None
        return reason

    def _carry_out(self, found: Sequence[Effect]) -> None:
        """Effects of replica and certifier, in their order."""
        self._depth += 1
        try:
            for effect in found:
                self._carry_out_one(effect)
        except Exception as error:
            # replica or certifier take for done what was not
            self._failure = error
            raise
        finally:
            self._depth -= 1
        while self._forward and not self._depth:
            proposal = self._forward.pop(0)
            if proposal.state == OPEN and self.is_seated:
                self._bring_forward(proposal)

    def _carry_out_one(self, effect: Effect) -> None:
        context = self.context
        if isinstance(effect, effects.Write | Decide):
            context.flush_early()
        if isinstance(effect, effects.Write):
            self.ledger.save_promise(self._digest, effect.record)
        elif isinstance(effect, effects.Send):
            context.send_encoded(effect.to, effect.data, effect.has_time)
        elif isinstance(effect, effects.SetTimer):
            self._replica_ms = effect.at_ms
        elif isinstance(effect, Decide):
            self._decided(effect)
        elif isinstance(effect, effects.Certified):
            raws = _assemble(effect.payloads, effect.signatures)
            context.send(None, CAPSULES, None, self._take_news(raws, is_ours=True))
        elif isinstance(effect, effects.Refused):
            self.cosigning.refused(effect)
        else:
            self._accuse(effect)

    def _accuse(self, effect: effects.Accuse) -> None:
        self.accusations[effect.identifier] = effect.what
        name = self.context.name(effect.identifier)
        self.context.record("accused", f"{name} {effect.what}", governor=name)

    def _decided(self, decide: Decide) -> None:
        """One epoch further: durable first, then in force here, then told."""
        context = self.context
        raws = _assemble(decide.value.payloads, decide.signatures)
        self.ledger.add_decision(decide)
        context.chain = context.chain.after(decide)
        self._accepted.clear()
        self._amendment = None
        self._skip_ms = context.now_ms + SKIP_MS
        if self._ahead is not None and int(self._ahead.body[1]) <= decide.height:
            self._ahead = None
        context.increment("Decided")
        text = f"epoch {decide.height} is certified"
        context.record("decided", text, epoch=decide.height, head=self.head.hex())
        context.outputs += [NewCapsule(raw) for raw in raws]
        stays = self.is_seated and self._names_us()
        if self.is_seated:
            self.pool.after_epoch(decide.value.payloads, raws, stays)
        if stays:
            self.cosigning.plan_beacon()
        elif self.is_seated or self._names_us():
            self._leave()

    def _names_us(self) -> bool:
        """Whether the seat of this core is the one in force."""
        chain, public = self.context.chain, self.context.seat.public
        named = chain.committee or self.ledger.meta(FOUNDERS + public.group_key.hex())
        return chain.group_key == public.group_key and named == self._digest

    def _leave(self) -> None:
        """Others are in force, or we are at last: whoever runs this core makes another one."""
        self.is_seated = False
        chain = self.context.chain
        self.context.outputs.append(Reseat(chain.committee or chain.group_key))

    # --- catching up ------------------------------------------------------------------------------

    def _take(self, sender: int, items: list[Any]) -> None:
        kind = items[0]
        if kind in (PROPOSE, APPROVE, WANT):
            if self.is_seated:
                self.pool.take(sender, kind, items[1])
        elif kind in (ASK_RESERVATIONS, RESERVATIONS):
            if self.is_seated and 1 <= sender <= self.context.count:
                promised = self.cosigning.reservations
                if kind == RESERVATIONS:
                    promised.take(sender, items)
                else:
                    promised.tell(sender, items[1])
        elif kind == PULL:
            cursor = codec.an_int(items[1], 0, messages.CURSOR_MAX)
            most, size_max = messages.CAPSULES_MAX, messages.CAPSULES_BYTES_MAX
            following, raws = self.ledger.since(cursor, most, size_max)
            self.context.send(sender, CAPSULES, following, raws)
        elif kind == CAPSULES:
            self._take_news(messages.read_capsules(items[2]))
            if items[1] is not None and items[2]:
                self._pull(sender, codec.an_int(items[1], 0, messages.CURSOR_MAX))
        else:
            if codec.an_int(items[1], 0, messages.CURSOR_MAX) > self._cursors.get(sender, 0):
                self.context.send(sender, PULL, self._cursors.get(sender, 0))
            waiting = messages.read_summary(items[2])
            if self.is_seated:
                self.pool.compare(sender, waiting)

    def _pull(self, sender: int, cursor: int) -> None:
        if cursor > self._cursors.get(sender, 0):
            self._cursors[sender] = cursor
            self.context.send(sender, PULL, cursor)

    def _take_news(self, raws: Sequence[bytes], is_ours: bool = False) -> list[bytes]:
        """Keep what the group has signed, in the order that it comes in; gives it back.

        is_ours: it was put together, and checked, here.
        """
        good: list[bytes] = []
        unordered: list[Any] = []
        for raw in raws:
            try:
                if self.ledger.capsule(hashlib.sha256(raw).digest()[:DIGEST_BYTES]) is not None:
                    continue
                capsule = read_capsule(raw)
                if not (is_ours or self._is_signed(capsule)):
                    self.context.increment("BadSignature")
                    continue
                good.append(bytes(capsule.raw))
                if capsule.kind in (POLICY, AMENDMENT, SUCCESSION):
                    # what came before a succession is of the key before it
                    self._take_unordered(unordered)
                    unordered = []
                    self._take_ordered(capsule)
                elif capsule.kind != CHARTER:
                    unordered.append(capsule)
            except (HostError, Rejection) as error:
                self.context.increment(type(error).__name__)
        self._take_unordered(unordered)
        return good

    def _is_signed(self, capsule: Any) -> bool:
        signed, signature = bytes(capsule.signing_input()), bytes(capsule.signature)
        return is_valid(self.context.chain.group_key, signed, signature)

    def _take_unordered(self, listed: list[Any]) -> None:
        known = {bytes(one.raw): one for one in listed}
        for raw in self.ledger.add_capsules(list(known)):
            capsule = known[raw]
            self.context.outputs.append(NewCapsule(raw))
            self.context.increment("Certified")
            self.pool.after_capsule(bytes(capsule.payload), raw)
            if capsule.kind == BEACON:
                self.cosigning.plan_beacon()

    def _take_ordered(self, capsule: Any) -> None:
        """Who was away goes through the epochs one by one, as long as somebody tells them."""
        epoch = int(capsule.body[1])
        if epoch > self.ledger.height and capsule.kind == POLICY:
            if self.is_seated:
                self._hold(capsule)
                return
            # a newcomer need not have each of them: the group has signed where they led
            self.ledger.skip_to(epoch)
        if epoch != self.ledger.height:
            return
        pair = bytes(capsule.payload), bytes(capsule.signature)
        if capsule.kind == AMENDMENT:
            self._amendment = pair
            return
        pairs = [pair]
        if self._amendment is not None and capsule.kind == POLICY:
            before = body_of(self._amendment[0])
            if before[1] == epoch:
                pairs.insert(0, self._amendment)
        payloads, signatures = zip(*pairs, strict=True)
        self._decided(Decide(epoch, Value(payloads), signatures))
        if self.is_seated:
            self._step(Tick())

    def _hold(self, capsule: Any) -> None:
        if self._ahead is None:
            self._skip_ms = self.context.now_ms + SKIP_MS
        elif int(capsule.body[1]) <= int(self._ahead.body[1]):
            return
        self._ahead = capsule

    def _skip(self) -> None:
        """Go where the group has signed that the epochs led; never back.

        Honest governors vote in an epoch only when those before are decided, so all below it are,
        whatever they were. No promise is given up: those of decided epochs bind nobody, and who
        governs next is what this policy says.
        """
        capsule, self._ahead = self._ahead, None
        first, epoch = self.ledger.height, int(capsule.body[1])
        if epoch < first or not self._is_signed(capsule):
            return
        if epoch > first:
            text = f"epochs {first} to {epoch - 1} were decided without us; on with epoch {epoch}"
            self.context.record("skipped", text, first=first, last=epoch - 1)
        self.ledger.skip_to(epoch)
        self._take_ordered(capsule)
        # what was read beyond it was perhaps signed by a key that we did not know yet
        self._cursors.clear()


def _read_chain(ledger: Ledger) -> ChainState:
    charter = ledger.charter()
    if charter is None:
        raise HostError("the ledger has no charter", "Found the scope again.")
    state = ChainState.founded(charter)
    for decide in ledger.decisions_that_matter():
        state = state.after(decide)
    return state


def _assemble(payloads: Sequence[bytes], signatures: Sequence[bytes]) -> list[bytes]:
    pairs = zip(payloads, signatures, strict=True)
    return [bytes(capsules.assemble(payload, signature)) for payload, signature in pairs]
