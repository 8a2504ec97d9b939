"""The proposal pool of one governor: it receives, judges, shares and submits proposals.

1. A proposal enters the pool only if this governor would sign it, and while its proposer has room.
2. Every governor judges for itself. A judgement counts for JUDGED_MS, and until the next epoch.
3. An operator answers once. Governors pass signed approvals on, so each reaches all of them.
4. A proposal to which this governor has no objection is submitted to consensus or to cosigning.
5. A proposal closes as certified, refused or stale. The ledger keeps the answers of operators.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ... import codec
from ...errors import HostError
from ..proposals import messages
from ..proposals.approval import Approval
from ..proposals.command import describe
from ..proposals.judge import Verdict
from ..proposals.messages import APPROVE, PROPOSE, WANT
from ..proposals.proposal import (
    CERTIFIED,
    LIFETIME_S,
    OPEN,
    REFUSED,
    STALE,
    Proposal,
    ProposalIndex,
    ProposalView,
    proposal_id,
)
from .context import CoreContext
from .judgement import judgement

# Proposals in one message, to keep it short.
PROPOSALS_A_MESSAGE = 16
# How long a requested proposal is not requested again from the same governor.
WANT_AGAIN_MS = 5000
# Requests to one governor in that time: a bound for the memory that its summaries can fill.
WANTED_EACH_MAX = 256
# From one governor: proposals that arrive before the decision that they follow.
EARLY_EACH_MAX = 2
# Closed proposals that are known after a restart, or after a change of governors.
CLOSED_RESTORED = 64


class NotAccepted(HostError):
    """A proposal that this governor would not sign, even with all approvals."""

    advice = "Change what it says; writ governor status shows what is in force."


class ProposalPool:
    """The proposals of one governor.

    submit(proposal): called for an open proposal without an objection; requested: by governor, the
    ids requested from it, and until when (ms) they are not requested again.
    """

    def __init__(self, context: CoreContext, submit: Callable[[Proposal], None]) -> None:
        self._context = context
        self._submit = submit
        self.proposals = ProposalIndex()
        self.requested: dict[int, dict[bytes, int]] = {}
        self._summary_count = 0
        # by sender: proposals that follow an epoch whose decision has not arrived here
        self._early: dict[int, deque[Proposal]] = {}

    # --- judgement --------------------------------------------------------------------------------

    def verdict(self, proposal: Proposal) -> Verdict:
        """This governor's judgement of a proposal against the state in force."""
        return judgement(self._context, proposal)

    def objection(self, proposal: Proposal) -> str | None:
        """Why this governor does not sign a proposal now, None if it does.

        Its own judgement counts first, then the operators' answers.
        """
        verdict = self.verdict(proposal)
        if verdict.reason is not None:
            return verdict.reason
        mine = proposal.approvals.get(self._context.me)
        if verdict.operators and mine is not None and not mine.yes:
            return "this governor's operator denied it"
        if verdict.needs_own_operator and mine is None:
            return "this governor's operator has not approved it"
        if proposal.yes < verdict.operators:
            return f"{proposal.yes} of {verdict.operators} operators approved"
        return None

    def rejudge(self) -> None:
        """Judge all open proposals again, after a change of the state that they depend on."""
        for proposal in self.proposals:
            proposal.verdict = None
            self.advance(proposal)

    def _is_denied(self, proposal: Proposal) -> bool:
        # a governor whose operator denied it does not sign it either
        operators = self.verdict(proposal).operators
        needed = max(operators, self._context.seat.public.threshold)
        return bool(operators) and self._context.count - proposal.no < needed

    def _was_denied(self, proposal: Proposal) -> bool:
        """Restore the operators' earlier answers; returns whether they deny the proposal."""
        proposal.approvals = self._context.ledger.proposals.approvals(proposal.id)
        proposal.approvals = self._by_author(proposal)
        return self._is_denied(proposal)

    def _by_author(self, proposal: Proposal) -> dict[int, Approval]:
        """The valid approvals by the numbers of the governors now in force; each counts once."""
        seat = self._context.seat
        return {
            number: replace(approval, number=number)
            for number, author in enumerate(seat.roster.governors, 1)
            for approval in proposal.approvals.values()
            if approval.check(author, seat.public.group_key, proposal.id)
        }

    # --- requests of this governor and its operator -----------------------------------------------

    def propose(self, proposal: Proposal) -> None:
        """Add a proposal of this governor. Raises `NotAccepted`; a known one is no error."""
        known = self.proposals.get(proposal.id)
        if known is not None and known.state in (OPEN, CERTIFIED):
            if self._adopt_evidence(known, proposal):
                self.send_proposals([known])
                self.advance(known)
            return
        raws = self._certified(proposal)
        if raws:
            # certified before, and the requester has not received the result
            proposal.capsules, proposal.state = raws, CERTIFIED
            self.proposals.add_closed(proposal)
            return
        verdict = self.verdict(proposal)
        if verdict.reason is not None:
            raise NotAccepted(verdict.reason)
        proposal.source = proposal.proposer
        if not self.proposals.has_room(proposal.proposer, proposal.source, verdict.operators > 0):
            raise NotAccepted("too many proposals are open", "Wait until some are done.")
        if self._was_denied(proposal):
            raise NotAccepted("too many operators denied it", "Propose something else.")
        self._add(proposal)
        self.send_proposals([proposal])
        # the other governors judge it while this one continues
        self._context.flush_early()
        self.advance(proposal)

    def approve_or_deny(self, id: bytes, yes: bool, reason: str) -> None:
        """Record the final answer of this governor's operator to a proposal. Raises `HostError`."""
        context = self._context
        proposal = self.proposals.get(id)
        if proposal is None or proposal.state != OPEN:
            what = "not known here" if proposal is None else proposal.state
            advice = "writ governor pending lists the open ones."
            raise HostError(f"this proposal is {what}", advice)
        mine = proposal.approvals.get(context.me)
        if mine is not None:
            said = "approved" if mine.yes else "denied"
            raise HostError(f"you have {said} this proposal already", "An answer is final.")
        key, time_s = context.seat.public.group_key, context.clock_s()
        approval = Approval.make(context.identity, key, context.me, id, yes, reason, time_s)
        self._record(proposal, approval)
        context.send(None, APPROVE, [approval.to_item(id)])
        self.advance(proposal)

    def view(self, proposal: Proposal) -> ProposalView:
        """The proposal as operators see it."""
        verdict = self.verdict(proposal)
        name = self._context.name
        approvals = [
            (name(number), one.yes, one.reason, one.time_s)
            for number, one in sorted(proposal.approvals.items())
        ]
        objection = self.objection(proposal) if proposal.state == OPEN else None
        return ProposalView(
            proposal.id,
            proposal.title,
            verdict.kind,
            verdict,
            objection or proposal.reason,
            verdict.operators,
            approvals,
            proposal.state,
            name(proposal.proposer),
            proposal.created_s,
            proposal.capsules,
            [one.to_facts() for one in verdict.commands],
        )

    # --- the life of a proposal -------------------------------------------------------------------

    def restore(self, before: ProposalIndex | None = None) -> None:
        """Restore open and recently closed proposals from the ledger after a restart.

        before: the proposals of this process's previous core, after a change of governors.
        """
        ledger = self._context.ledger
        closed = (before or ProposalIndex()).closed
        for proposal in [*reversed(ledger.proposals.closed(CLOSED_RESTORED)), *closed]:
            certified = self._certified(proposal)
            # a membership that a succession has outdated may be proposed again
            if proposal.state != CERTIFIED or proposal.is_ordered or certified:
                proposal.capsules = proposal.capsules or certified
                self.proposals.add_closed(proposal)
        by_id = {one.id: one for one in [*(before or ()), *ledger.proposals.open()]}
        for proposal in by_id.values():
            proposal.verdict, proposal.since_ms = None, self._context.now_ms
            proposal.approvals = self._by_author(proposal)
            if proposal.proposer > self._context.count:
                # its proposer governs no longer, so this governor takes it over
                proposal.proposer = self._context.me
            self.proposals.add(proposal)
            self.advance(proposal)

    def _certified(self, proposal: Proposal) -> list[bytes]:
        """The capsules of all its payloads; empty unless the ledger holds every one."""
        found = [self._context.ledger.capsules.certified(payload) for payload in proposal.payloads]
        raws = [raw for raw in found if raw is not None]
        return raws if len(raws) == len(found) else []

    def _add(self, proposal: Proposal) -> None:
        proposal.since_ms = self._context.now_ms
        self.proposals.add(proposal)
        operators = self.verdict(proposal).operators
        if operators:
            self._save(proposal)
            approvers = "1 operator" if operators == 1 else f"{operators} operators"
            title, facts = self._described(proposal)
            text = f"proposed: {title} ({proposal.id.hex()[:8]}); {approvers} must approve"
            self._context.emit("proposed", text, operators=operators, **facts)
        for approval in proposal.approvals.values():
            self._context.ledger.proposals.save_approval(proposal.id, approval)

    def _described(self, proposal: Proposal) -> tuple[str, dict[str, object]]:
        return describe(proposal.title, proposal.id, self.verdict(proposal).commands)

    def _save(self, proposal: Proposal) -> None:
        if not proposal.is_saved:
            self._context.ledger.proposals.save(proposal)
            proposal.is_saved = True

    def _adopt_evidence(self, known: Proposal, other: Proposal) -> bool:
        """Take over the evidence of another proposal of the same payloads, if it is better.

        It is better if fewer operators must approve. Otherwise a proposal of these payloads without
        the device's statement would block the one with it.
        """
        if known.state != OPEN or known.evidence == other.evidence:
            return False
        new, old = self.verdict(other), self.verdict(known)
        if new.reason is not None or (old.reason is None and old.operators <= new.operators):
            return False
        known.evidence, known.title, known.verdict = other.evidence, other.title, None
        if known.is_saved:
            self._context.ledger.proposals.save(known)
        return True

    def _record(self, proposal: Proposal, approval: Approval) -> None:
        self._save(proposal)
        proposal.approvals[approval.number] = approval
        self._context.ledger.proposals.save_approval(proposal.id, approval)
        name = self._context.name(approval.number)
        said = "approved" if approval.yes else "denied"
        reason = f": {approval.reason}" if approval.reason else ""
        title, facts = self._described(proposal)
        self._context.record(
            said, f"{name}'s operator {said} {title}{reason}", governor=name, **facts
        )

    def advance(self, proposal: Proposal) -> None:
        """Submit a proposal without an objection; close one that cannot succeed."""
        if proposal.state != OPEN:
            return
        if proposal.is_ordered and proposal.value.epoch <= self._context.chain.epoch:
            epoch = proposal.value.epoch
            self.close(proposal, STALE, f"another policy became epoch {epoch}")
            return
        if self._is_denied(proposal):
            self.close(proposal, REFUSED, "too many operators denied it")
        elif self.objection(proposal) is None:
            self._submit(proposal)

    def close(self, proposal: Proposal, state: str, reason: str = "") -> None:
        """Close a proposal as CERTIFIED, REFUSED or STALE."""
        needs_operators = bool(proposal.approvals) or self.verdict(proposal).operators > 0
        self.proposals.close(proposal, state, reason)
        if not (needs_operators or proposal.is_ordered or proposal.is_saved):
            return
        ledger = self._context.ledger
        if proposal.is_saved:
            ledger.proposals.close(proposal.id, state, reason)
        else:
            ledger.proposals.save_closed(proposal, state, reason)
        title, facts = self._described(proposal)
        text = f"{title}: {state}" + (f" ({reason})" if reason else "")
        self._context.record(state, text, **facts)

    def on_decision(
        self, payloads: tuple[bytes, ...], raws: list[bytes], remains: bool = True
    ) -> None:
        """Close the proposal that was decided, and judge the others against the new epoch.

        remains: whether the same governors are in force. Other governors judge for themselves.
        """
        for proposal in self.proposals:
            if proposal.payloads == payloads:
                proposal.capsules = raws
                self.close(proposal, CERTIFIED)
            elif remains:
                proposal.verdict = None
                self.advance(proposal)
        refused = self.proposals.get(proposal_id(payloads))
        if refused is not None and refused.state == REFUSED:
            # a quorum had voted for it before enough operators denied it
            refused.capsules = raws
            self.close(refused, CERTIFIED)
        early, self._early = self._early, {}
        for sender, kept in early.items():
            for proposal in kept if remains else ():
                self._receive_proposal(sender, proposal)

    def on_capsule(self, payload: bytes, raw: bytes) -> None:
        """Note that an unordered capsule was certified."""
        for proposal in self.proposals.of_payload(payload):
            proposal.capsules.append(raw)
            if len(proposal.capsules) == len(proposal.payloads):
                self.close(proposal, CERTIFIED)

    def tick(self) -> None:
        """Close proposals that are too old or no longer valid; submit the others again."""
        for proposal in self.proposals:
            if self._context.clock_s() - proposal.created_s > LIFETIME_S:
                self.close(proposal, STALE, "not certified in time")
                continue
            reason = self.verdict(proposal).reason
            if reason is not None and not proposal.is_ordered:
                self.close(proposal, REFUSED, reason)
                continue
            if proposal.is_ordered:
                # saved only now: most that need no operator are decided before the first tick
                self._save(proposal)
            self.advance(proposal)

    # --- messages ---------------------------------------------------------------------------------

    def send_proposals(self, listed: Sequence[Proposal], to: int | None = None) -> None:
        """Send proposals with all approvals that are known here."""
        for start in range(0, len(listed), PROPOSALS_A_MESSAGE):
            part = listed[start : start + PROPOSALS_A_MESSAGE]
            self._context.send(to, PROPOSE, [[one.proposer, *one.to_item()] for one in part])
            approvals = [one.to_item(p.id) for p in part for one in p.approvals.values()]
            for first in range(0, len(approvals), messages.ITEMS_MAX):
                self._context.send(to, APPROVE, approvals[first : first + messages.ITEMS_MAX])

    def summary(self) -> list[list[object]]:
        """The proposals that wait for operators or for an epoch, as a summary lists them."""
        found = [p for p in self.proposals if p.is_ordered or self.verdict(p).operators]
        # a list that does not fit continues in the next summary
        start = self._summary_count * messages.ITEMS_MAX % max(1, len(found))
        self._summary_count += 1
        listed = (found[start:] + found[:start])[: messages.ITEMS_MAX]
        return [[one.id, self.verdict(one).operators, one.answered] for one in listed]

    def receive_summary(self, sender: int, listed: dict[bytes, tuple[int, int]]) -> None:
        """Request the proposals and approvals of a summary that are not known here."""
        ids = []
        for id, (operators, answered) in listed.items():
            known = self.proposals.get(id)
            if known is None or self._is_behind(known, operators, answered):
                ids.append(id)
        self._request(sender, ids)

    def _is_behind(self, known: Proposal, operators: int, answered: int) -> bool:
        verdict = self.verdict(known)
        if known.state != OPEN or verdict.reason is not None:
            return False
        return bool(answered & ~known.answered) or operators < verdict.operators

    def receive(self, sender: int, type_: int, item: Any) -> None:
        """Handle a message of type PROPOSE, APPROVE or WANT. Raises `HostError` if malformed."""
        if type_ == WANT:
            found = [self.proposals.get(id) for id in messages.read_ids(item)]
            self.send_proposals([one for one in found if one and one.state == OPEN], sender)
            return
        for one in codec.a_list(item, size_max=messages.ITEMS_MAX):
            if type_ == PROPOSE:
                number, *fields = codec.a_list(one, 5)
                proposer = codec.an_int(number, 1, self._context.count)
                self._receive_proposal(sender, Proposal.from_item(fields, proposer))
            else:
                self._receive_approval(sender, *Approval.from_item(one))

    def _receive_proposal(self, sender: int, proposal: Proposal) -> None:
        known = self.proposals.get(proposal.id)
        if known is not None and known.state in (OPEN, CERTIFIED):
            if self._adopt_evidence(known, proposal):
                self.advance(known)
            return
        proposal.source = sender
        # a time in the future would keep it from becoming stale
        proposal.created_s = min(proposal.created_s, self._context.clock_s())
        if proposal.is_ordered and proposal.value.epoch == self._context.chain.epoch + 2:
            # its proposer knows a decision that has not arrived here yet
            self._early.setdefault(sender, deque(maxlen=EARLY_EACH_MAX)).append(proposal)
            return
        verdict = self.verdict(proposal)
        if verdict.reason is not None:
            # not kept, or it would fill the pool; summaries name it again if it is early
            self._context.increment("NotAccepted")
            if verdict.malformed:
                self._context.report_rejection(sender, verdict.malformed)
        elif not self.proposals.has_room(proposal.proposer, sender, verdict.operators > 0):
            self._context.increment("TableFull")
        elif self._was_denied(proposal):
            self._context.increment("Denied")
        else:
            self._add(proposal)
            self.advance(proposal)

    def _receive_approval(self, sender: int, id: bytes, approval: Approval) -> None:
        context = self._context
        proposal = self.proposals.get(id)
        if proposal is None:
            self._request(sender, [id])
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

    def _request(self, sender: int, ids: Sequence[bytes]) -> None:
        """Request proposals and their approvals from a governor, each not too often."""
        now_ms = self._context.now_ms
        # counted for each governor: one that does not send what it names blocks none of the others
        before = self.requested.get(sender, {})
        asked = {id: until for id, until in before.items() if until > now_ms}
        self.requested[sender] = asked
        most = min(messages.ITEMS_MAX, WANTED_EACH_MAX - len(asked))
        if unknown := [id for id in ids if id not in asked][:most]:
            asked.update((id, now_ms + WANT_AGAIN_MS) for id in unknown)
            self._context.send(sender, WANT, unknown)
