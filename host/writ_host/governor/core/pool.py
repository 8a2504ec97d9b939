"""Proposals and approvals: taken, judged, told to the others, and brought forward when ready."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import codec
from ...errors import HostError
from ..proposals import messages
from ..proposals.approval import Approval
from ..proposals.judge import Verdict, judge
from ..proposals.messages import APPROVE, PROPOSE, WANT
from ..proposals.proposal import (
    CERTIFIED,
    LIFETIME_S,
    OPEN,
    REFUSED,
    STALE,
    Proposal,
    ProposalTable,
    proposal_id,
)
from .context import Context

# In one message, so that it is not long.
PROPOSALS_A_MESSAGE = 16
WANT_AGAIN_MS = 5000
# Of one governor in that time: what it names for nothing takes no memory.
WANTED_EACH_MAX = 256
# Names are taken and statements age meanwhile: no judgement counts for longer.
JUDGED_MS = 15000
# Of each governor: proposals that came before the decision that they follow.
EARLY_EACH_MAX = 2
# What is done with and still known after a restart, or when other governors are in force.
DONE_RESTORED = 64


class NotAccepted(HostError):
    """A proposal that this governor would not sign, whoever approved it."""

    advice = "Change what it says; writ governor status shows what is in force."


@dataclass(frozen=True)
class ProposalView:
    """A proposal, for people. operators: how many must agree; approvals: who said what, and why.

    verdict: our own, for `lines`; reason: why it is not signed (yet), "" where nothing is against
    it.
    """

    id: bytes
    title: str
    kind: str
    verdict: Verdict
    reason: str
    operators: int
    approvals: list[tuple[str, bool, str, int]]
    state: str
    proposer: str
    created_s: int
    capsules: list[bytes]

    @property
    def lines(self) -> list[str]:
        """What it means."""
        return self.verdict.lines


class ProposalPool:
    """One governor's table. `on_ready(proposal)` is called when nothing is against an open one."""

    def __init__(self, context: Context, on_ready: Callable[[Proposal], None]) -> None:
        self._context = context
        self._on_ready = on_ready
        self.requested: dict[int, dict[bytes, int]] = {}  # of whom: ids, and not again before
        self._summaries = 0
        self._early: dict[int, deque[Proposal]] = {}  # of the epoch after the next, by who told
        self.table = ProposalTable()

    # --- judging ----------------------------------------------------------------------------------

    def verdict(self, proposal: Proposal) -> Verdict:
        """What this governor makes of it in the state that is in force."""
        now_ms = self._context.now_ms
        if proposal.verdict is None or now_ms - proposal.judged_ms > JUDGED_MS:
            proposal.verdict = judge(proposal.payloads, proposal.evidence, self._context.view())
            proposal.judged_ms = now_ms
        return proposal.verdict

    def reason_against(self, proposal: Proposal) -> str | None:
        """Why this governor does not sign it now: its own judgement, then the operators'."""
        verdict = self.verdict(proposal)
        if verdict.reason is not None:
            return verdict.reason
        mine = proposal.approvals.get(self._context.me)
        if verdict.operators and mine is not None and not mine.yes:
            return "my operator denied it"
        if proposal.yes < verdict.operators:
            return f"{proposal.yes} of {verdict.operators} operators approved"
        return None

    # --- this governor's own side -----------------------------------------------------------------

    def propose(self, proposal: Proposal) -> None:
        """Take a proposal of our own. Raises `NotAccepted`; the same again is fine."""
        known = self.table.get(proposal.id)
        if known is not None and known.state in (OPEN, CERTIFIED):
            if self._improve(known, proposal):
                self.tell_proposals([known])
                self.advance(known)
            return
        raws = self._certified(proposal)
        if raws:
            # whoever asked for it did not hear what came of it
            proposal.capsules, proposal.state = raws, CERTIFIED
            self.table.add_done(proposal)
            return
        reason = self.verdict(proposal).reason
        if reason is not None:
            raise NotAccepted(reason)
        proposal.teller = proposal.proposer
        people = self.verdict(proposal).operators > 0
        if not self.table.has_room(proposal.proposer, proposal.teller, people):
            raise NotAccepted("too many proposals are open", "Wait until some are done.")
        if self._was_denied(proposal):
            raise NotAccepted("too many operators denied it", "Propose something else.")
        self._keep(proposal)
        self.tell_proposals([proposal])
        # the others judge it while we do what follows
        self._context.flush_early()
        self.advance(proposal)

    def decide_on(self, id: bytes, yes: bool, reason: str) -> None:
        """This governor's operator agrees to a proposal or denies it, for good. `HostError`."""
        context = self._context
        proposal = self.table.get(id)
        if proposal is None or proposal.state != OPEN:
            what = "not known here" if proposal is None else proposal.state
            advice = "writ governor pending lists the open ones."
            raise HostError(f"this proposal is {what}", advice)
        mine = proposal.approvals.get(context.me)
        if mine is not None:
            said = "approved" if mine.yes else "denied"
            raise HostError(f"you have {said} this proposal already", "That can not be undone.")
        key, time_s = context.seat.public.group_key, context.clock_s()
        approval = Approval.make(context.identity, key, context.me, id, yes, reason, time_s)
        self._record(proposal, approval)
        context.send(None, APPROVE, [approval.to_item(id)])
        self.advance(proposal)

    def view(self, proposal: Proposal) -> ProposalView:
        """It, in words."""
        verdict = self.verdict(proposal)
        name = self._context.name
        said = [
            (name(number), one.yes, one.reason, one.time_s)
            for number, one in sorted(proposal.approvals.items())
        ]
        against = self.reason_against(proposal) if proposal.state == OPEN else None
        return ProposalView(
            proposal.id,
            proposal.title,
            verdict.kind,
            verdict,
            against or proposal.reason,
            verdict.operators,
            said,
            proposal.state,
            name(proposal.proposer),
            proposal.created_s,
            proposal.capsules,
        )

    def find(self, start: str) -> list[ProposalView]:
        """Those whose id, in hex, begins so: the open ones and those that are done with."""
        return [self.view(proposal) for proposal in self.table.find(start)]

    def restore(self, before: ProposalTable | None = None) -> None:
        """After a restart, from the ledger: what was open, and what people may still ask about.

        before: the table of this process, where only the seat is another one now.
        """
        ledger = self._context.ledger
        for proposal in [
            *reversed(ledger.done_proposals(DONE_RESTORED)),
            *(before or ProposalTable()).done,
        ]:
            proposal.capsules = proposal.capsules or self._certified(proposal)
            self.table.add_done(proposal)
        listed = {one.id: one for one in [*(before or ()), *ledger.open_proposals()]}
        for proposal in listed.values():
            proposal.verdict, proposal.since_ms = None, self._context.now_ms
            proposal.approvals = self._by_their_authors(proposal)
            if proposal.proposer > self._context.count:
                # it has gone; somebody has to see to it
                proposal.proposer = self._context.me
            self.table.add(proposal)
            self.advance(proposal)

    def _certified(self, proposal: Proposal) -> list[bytes]:
        """The capsules that it has become, none where one of them is not here."""
        found = [self._context.ledger.certified(payload) for payload in proposal.payloads]
        raws = [raw for raw in found if raw is not None]
        return raws if len(raws) == len(found) else []

    def _by_their_authors(self, proposal: Proposal) -> dict[int, Approval]:
        # other governors may be in force since, with other numbers, and nobody counts twice
        seat = self._context.seat
        return {
            number: replace(approval, number=number)
            for number, author in enumerate(seat.roster.governors, 1)
            for approval in proposal.approvals.values()
            if approval.check(author, seat.public.group_key, proposal.id)
        }

    # --- what becomes of them ---------------------------------------------------------------------

    def _keep(self, proposal: Proposal) -> None:
        proposal.since_ms = self._context.now_ms
        self.table.add(proposal)
        verdict = self.verdict(proposal)
        said = proposal.approvals.values()
        if verdict.operators:
            self._save(proposal)
            people = "1 operator" if verdict.operators == 1 else f"{verdict.operators} operators"
            facts = {"id": proposal.id.hex(), "operators": verdict.operators}
            text = f"proposed: {proposal.title} ({proposal.id.hex()[:8]}); {people} must approve"
            self._context.emit("proposed", text, **facts)
        for approval in said:
            self._context.ledger.save_approval(proposal.id, approval)

    def _was_denied(self, proposal: Proposal) -> bool:
        """By what operators said when it was here before: they said it for good, and it counts."""
        proposal.approvals = self._context.ledger.approvals(proposal.id)
        proposal.approvals = self._by_their_authors(proposal)
        return self._is_denied(proposal)

    def _is_denied(self, proposal: Proposal) -> bool:
        # where an operator denied it, the governor does not sign it either
        operators = self.verdict(proposal).operators
        needed = max(operators, self._context.seat.public.threshold)
        return bool(operators) and self._context.count - proposal.no < needed

    def _save(self, proposal: Proposal) -> None:
        if not proposal.is_saved:
            self._context.ledger.save_proposal(proposal)
            proposal.is_saved = True

    def _improve(self, known: Proposal, told: Proposal) -> bool:
        """Take the evidence of the same payloads told again, if by it fewer people must agree.

        Else whoever is first with the payloads, and without what a device said, would be in the
        way of the device.
        """
        if known.state != OPEN or known.evidence == told.evidence:
            return False
        new, old = self.verdict(told), self.verdict(known)
        if new.reason is not None or (old.reason is None and old.operators <= new.operators):
            return False
        known.evidence, known.title, known.verdict = told.evidence, told.title, None
        if known.is_saved:
            self._context.ledger.save_proposal(known)
        return True

    def close(self, proposal: Proposal, state: str, reason: str = "") -> None:
        """It became something, or never will."""
        is_people = bool(proposal.approvals) or self.verdict(proposal).operators > 0
        self.table.close(proposal, state, reason)
        if not (is_people or proposal.is_ordered or proposal.is_saved):
            return
        ledger = self._context.ledger
        if proposal.is_saved:
            ledger.close_proposal(proposal.id, state, reason)
        else:
            ledger.keep_done(proposal, state, reason)
        text = f"{proposal.title}: {state}" + (f" ({reason})" if reason else "")
        self._context.record(state, text, id=proposal.id.hex())

    def _record(self, proposal: Proposal, approval: Approval) -> None:
        self._save(proposal)
        proposal.approvals[approval.number] = approval
        self._context.ledger.save_approval(proposal.id, approval)
        name = self._context.name(approval.number)
        said = "approved" if approval.yes else "denied"
        reason = f": {approval.reason}" if approval.reason else ""
        text = f"{name}'s operator {said} {proposal.title}{reason}"
        self._context.record(said, text, id=proposal.id.hex(), governor=name)

    def advance(self, proposal: Proposal) -> None:
        """Bring it forward if nothing is against it, close it if too many are."""
        if proposal.state != OPEN:
            return
        if proposal.is_ordered and proposal.value.epoch <= self._context.chain.epoch:
            epoch = proposal.value.epoch
            self.close(proposal, STALE, f"another policy became epoch {epoch}")
            return
        if self._is_denied(proposal):
            self.close(proposal, REFUSED, "too many operators denied it")
        elif self.reason_against(proposal) is None:
            self._on_ready(proposal)

    def judge_anew(self) -> None:
        """What judgements rest on has changed."""
        for proposal in self.table:
            proposal.verdict = None
            self.advance(proposal)

    def after_epoch(
        self, payloads: tuple[bytes, ...], raws: list[bytes], stays: bool = True
    ) -> None:
        """An epoch was decided: what became it is done; the others are judged anew.

        stays: whether the same governors are in force; else others judge what is open.
        """
        for proposal in self.table:
            if proposal.payloads == payloads:
                proposal.capsules = raws
                self.close(proposal, CERTIFIED)
            elif stays:
                proposal.verdict = None
                self.advance(proposal)
        refused = self.table.get(proposal_id(payloads))
        if refused is not None and refused.state == REFUSED:
            # a quorum had voted for it by the time that so many denied it
            refused.capsules = raws
            self.close(refused, CERTIFIED)
        early, self._early = self._early, {}
        for sender, kept in early.items():
            for proposal in kept if stays else ():
                self._take_proposal(proposal, sender)

    def after_capsule(self, payload: bytes, raw: bytes) -> None:
        """An unordered capsule was certified."""
        for proposal in self.table.of_payload(payload):
            proposal.capsules.append(raw)
            if len(proposal.capsules) == len(proposal.payloads):
                self.close(proposal, CERTIFIED)

    def tick(self) -> None:
        """Give up what is too old or has become wrong; bring forward again what still waits."""
        for proposal in self.table:
            if self._context.clock_s() - proposal.created_s > LIFETIME_S:
                self.close(proposal, STALE, "nobody certified it in time")
                continue
            reason = self.verdict(proposal).reason
            if reason is not None and not proposal.is_ordered:
                self.close(proposal, REFUSED, reason)
                continue
            if proposal.is_ordered:
                # most that wait for no person are decided before this
                self._save(proposal)
            self.advance(proposal)

    # --- messages ---------------------------------------------------------------------------------

    def tell_proposals(self, listed: Sequence[Proposal], to: int | None = None) -> None:
        """Tell others of these, with all approvals that are known."""
        for start in range(0, len(listed), PROPOSALS_A_MESSAGE):
            part = listed[start : start + PROPOSALS_A_MESSAGE]
            self._context.send(to, PROPOSE, [[one.proposer, *one.to_item()] for one in part])
            said = [one.to_item(p.id) for p in part for one in p.approvals.values()]
            for first in range(0, len(said), messages.ITEMS_MAX):
                self._context.send(to, APPROVE, said[first : first + messages.ITEMS_MAX])

    def summary(self) -> list[list[object]]:
        """What others should know of: all that waits for people or for an epoch."""
        found = [p for p in self.table if p.is_ordered or self.verdict(p).operators]
        # those that do not fit have their turn later
        start = self._summaries * messages.ITEMS_MAX % max(1, len(found))
        self._summaries += 1
        listed = (found[start:] + found[:start])[: messages.ITEMS_MAX]
        return [[one.id, self.verdict(one).operators, _said(one)] for one in listed]

    def compare(self, sender: int, waiting: dict[bytes, tuple[int, int]]) -> None:
        """A governor's summary: ask it for what is not known here, and for what was lost of it."""
        ids = []
        for id, (operators, said) in waiting.items():
            known = self.table.get(id)
            if known is None or self._is_behind(known, operators, said):
                ids.append(id)
        self.want(sender, ids)

    def _is_behind(self, known: Proposal, operators: int, said: int) -> bool:
        verdict = self.verdict(known)
        if known.state != OPEN or verdict.reason is not None:
            return False
        return bool(said & ~_said(known)) or operators < verdict.operators

    def take(self, sender: int, kind: int, item: Any) -> None:
        """A message of type PROPOSE, APPROVE or WANT. Raises `HostError` for a malformed one."""
        if kind == WANT:
            found = [self.table.get(id) for id in messages.read_ids(item)]
            self.tell_proposals([one for one in found if one and one.state == OPEN], sender)
            return
        for one in codec.a_list(item, size_max=messages.ITEMS_MAX):
            if kind == PROPOSE:
                number, *item = codec.a_list(one, 5)
                proposer = codec.an_int(number, 1, self._context.count)
                self._take_proposal(Proposal.from_item(item, proposer), sender)
            else:
                self._take_approval(sender, *Approval.from_item(one))

    def _take_proposal(self, proposal: Proposal, sender: int) -> None:
        known = self.table.get(proposal.id)
        if known is not None and known.state in (OPEN, CERTIFIED):
            if self._improve(known, proposal):
                self.advance(known)
            return
        proposal.teller = sender
        # or it would never be too old
        proposal.created_s = min(proposal.created_s, self._context.clock_s())
        if proposal.is_ordered and proposal.value.epoch == self._context.chain.epoch + 2:
            # whoever proposes it knows a decision that has yet to reach us
            self._early.setdefault(sender, deque(maxlen=EARLY_EACH_MAX)).append(proposal)
            return
        verdict = self.verdict(proposal)
        if verdict.reason is not None:
            # nobody's table is filled by what we would not sign; what comes long before its time
            # is told again, once we are there
            self._context.increment("NotAccepted")
        elif not self.table.has_room(proposal.proposer, sender, verdict.operators > 0):
            self._context.increment("TableFull")
        elif self._was_denied(proposal):
            self._context.increment("Denied")
        else:
            self._keep(proposal)
            self.advance(proposal)

    def _take_approval(self, sender: int, id: bytes, approval: Approval) -> None:
        context = self._context
        proposal = self.table.get(id)
        if proposal is None:
            self.want(sender, [id])
            return
        if proposal.state != OPEN or approval.number in proposal.approvals:
            return
        if not 1 <= approval.number <= context.count:
            return
        author = context.seat.roster.governors[approval.number - 1]
        if not approval.check(author, context.seat.public.group_key, id):
            context.increment("BadSignature")
            return
        self._record(proposal, approval)
        self.advance(proposal)

    def want(self, sender: int, ids: Sequence[bytes]) -> None:
        """Ask a governor for proposals and what was said of them, not too often."""
        now_ms = self._context.now_ms
        # one that names what it does not give keeps nobody from asking the others
        before = self.requested.get(sender, {})
        asked = {id: until for id, until in before.items() if until > now_ms}
        self.requested[sender] = asked
        most = min(messages.ITEMS_MAX, WANTED_EACH_MAX - len(asked))
        if unknown := [id for id in ids if id not in asked][:most]:
            asked.update((id, now_ms + WANT_AGAIN_MS) for id in unknown)
            self._context.send(sender, WANT, unknown)


def _said(proposal: Proposal) -> int:
    """Whose operator's word is here: a bit mask of governors' numbers."""
    return sum(1 << number for number in proposal.approvals)
