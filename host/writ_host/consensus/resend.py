"""Repetition: a replica tells its status, and sends others what their status shows they lack.

 1. Each `Timing.resend_ms` (`idle_ms` while asleep) a replica sends its status to all others.
 2. A replica that has what the sender of a status lacks sends it: the proposal, its own vote and
    shares, the sessions that it opened, a prevote quorum, or the decision of an earlier height.

So no message has to arrive at the first attempt, and none is acknowledged.
"""

from .context import ReplicaContext
from .messages import Decided, PrevoteQuorum, Status, Submit
from .precommit import Precommit
from .restart import Restart


class Resend:
    """The repetition of one replica's messages."""

    def __init__(self, context: ReplicaContext, precommit: Precommit, restart: Restart) -> None:
        self._context = context
        self._precommit = precommit
        self._restart = restart

    def repeat(self) -> None:
        """Once it is due, send the status, and check the shares of unfinished sessions."""
        context, state = self._context, self._context.state
        if context.now_ms < context.resend_at_ms:
            return
        timing = context.timing
        is_idle = context.is_joined and not state.is_awake
        context.resend_at_ms = context.now_ms + (timing.idle_ms if is_idle else timing.resend_ms)
        state.is_fast_overdue = state.fast_value is not None
        if not context.is_joined:
            self._restart.say_hello()
        for sessions in state.sessions.values():
            sessions.check_unfinished()
            self._precommit.accuse_cheaters(sessions.cheaters)
        own = state.candidates.get(context.me)
        if own is not None and context.is_active:
            context.send(Submit(own))
        self.send_status()

    def send_status(self, to: int | None = None) -> None:
        """Tell one governor, or all others (None), where this replica stands."""
        context, state = self._context, self._context.state
        status = Status(
            state.height,
            state.round,
            state.is_awake and context.is_active,
            state.round in state.proposals or state.has_fast_vote,
            state.votes.voter_mask(state.round),
            context.hard_state.valid_round,
        )
        context.send(status, to)

    def receive_status(self, sender: int, status: Status) -> None:
        """Take the status of a replica at our height: follow it if it is ahead, else help it."""
        context, state = self._context, self._context.state
        state.see_round(sender, status.round)
        if status.is_awake:
            state.awake_others.add(sender)
            if len(state.awake_others) > context.committee.faulty_max:
                self._restart.wake()
        if not (context.is_active and state.is_awake):
            return
        if status.round == state.round:
            self._send_round(sender, status)
        vote = state.own_prevotes.get(status.round)
        if vote is not None and not status.voter_mask >> context.me & 1:
            context.send(vote, sender)
        hard_state = context.hard_state
        if hard_state.valid is not None and hard_state.valid_round > status.valid_round:
            found = hard_state.valid_round, hard_state.valid, hard_state.proof
            context.send(PrevoteQuorum(state.height, *found), sender)

    def _send_round(self, to: int, status: Status) -> None:
        context, state = self._context, self._context.state
        proposal = state.proposals.get(state.round)
        if proposal is not None and not status.has_value and state.round in state.own_prevotes:
            context.send(proposal, to)
        for session in state.opened_sessions:
            context.send(session, to)
        for share in state.own_shares:
            context.send(share, to)

    def send_decision(self, to: int, height: int) -> None:
        """Send the decision of an earlier height, if it is still kept."""
        found = self._context.chain.decision(height)
        if found is not None:
            self._context.send(Decided(found.value, found.signatures), to)
