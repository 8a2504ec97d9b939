"""The rules by which a replica proposes, votes, locks and decides.

They are Algorithm 1 of "The latest gossip on BFT consensus" (Tendermint; Buchman, Kwon and
Milosevic, arXiv 1807.04938). "Line n" is a line of it. A height is an epoch.

 1. A height has rounds, and a round has the steps propose, prevote and precommit (lines 1 to 13).
 2. The round's proposer proposes the newest value that a quorum is known to have voted for, else
    a candidate (lines 14 to 19).
 3. A governor prevotes once a round: for the proposal if it accepts the value and its lock allows
    that, else for nil. A lock allows its own value, and a value for which a quorum voted in the
    lock's round or later (lines 22 to 33).
 4. After a quorum of any prevotes the prevote step times out (lines 34 and 35).
 5. A quorum of prevotes for one value locks it and starts the precommit step (lines 36 to 43).
 6. A quorum of prevotes for nil ends the round (lines 44 to 46).
 7. A quorum of precommits decides (lines 49 to 54).
 8. A governor joins a later round once f + 1 others are there (lines 55 and 56).
 9. When a step times out, the round comes closer to its end (lines 57 to 67).

The differences, which docs/consensus.md argues for: a quorum is the group key's threshold; a
precommit is a FROST share, so that the decision carries the group's signature (precommit.py);
prevote quorums travel as proofs; there is no precommit for nil; the first round has shortcuts
(fastpath.py).
"""

from . import messages
from .context import ReplicaContext
from .effects import Decide, Send
from .fastpath import FastPath
from .messages import NO_ROUND, ROUND_MAX, Prevote, RoundProposal
from .precommit import Precommit
from .state import PRECOMMIT, PREVOTE, PROPOSE, HeightState
from .value import Value

# A value to propose, the round in which a quorum voted for it, and their prevotes.
Choice = tuple[Value, int, tuple[Prevote, ...]]


class Rules:
    """The rules of one replica. Each rule returns True when it has applied and changed the state.

    `may_prevote` and `choose_value` are attributes that the simulator replaces to break the rules.
    """

    def __init__(self, context: ReplicaContext, fast_path: FastPath, precommit: Precommit) -> None:
        self._context = context
        self._fast_path = fast_path
        self._precommit = precommit
        # `settle` applies the first of them that applies, and begins again
        self._ordered = (
            self._join_round,
            self._propose,
            self._prevote_proposal,
            self._prevote_at_once,
            self._ask_others,
            self._end_nil_round,
            self._lock,
            self._arm_prevote,
            precommit.join_fast_session,
            precommit.open_session,
            precommit.sign,
            self._decide_complete,
        )

    def settle(self) -> None:
        """Apply the rules until none applies."""
        context = self._context
        while context.is_active and context.state.is_awake:
            for rule in self._ordered:
                if rule():
                    break
            else:
                return

    # --- rounds -----------------------------------------------------------------------------------

    def start_round(self, round_: int) -> None:
        """Lines 11 to 21."""
        self._context.state.enter(min(round_, ROUND_MAX))
        self._context.nonces.discard()
        self._context.arm(PROPOSE)

    def time_out(self) -> None:
        """The current step has timed out."""
        context, state = self._context, self._context.state
        if not (context.is_active and state.is_awake):
            return
        if state.step == PROPOSE:
            self._prevote(None)  # lines 57 to 60
        elif state.step == PREVOTE and not state.has_fast_vote:
            context.arm(PRECOMMIT)  # lines 61 to 64: this replica locks nothing more in the round
        else:
            # lines 65 to 67; and where no other fast signer has answered our vote
            self.start_round(state.round + 1)

    def _join_round(self) -> bool:
        """Lines 55 and 56: f + 1 others are in a later round.

        A replica in a round has voted in the round before, so it votes for nil there if it has not
        voted. Replicas that restart begin in the last round in which they voted. They have lost
        others' votes, and may lack just this vote to a quorum that ends that round.
        """
        context = self._context
        round_ = context.state.round_to_join()
        if round_ is None:
            return False
        self.start_round(round_)
        if round_ - 1 not in context.hard_state.prevotes:
            context.hard_state.prevotes[round_ - 1] = None
            context.write()
            self.cast(round_ - 1, None, 0)
        return True

    # --- propose ----------------------------------------------------------------------------------

    def _propose(self) -> bool:
        """Lines 14 to 19. The proposal leaves only after our own prevote for it is durable."""
        context, state = self._context, self._context.state
        if state.step != PROPOSE or not context.is_coordinator(state.round):
            return False
        if state.round in state.proposals or state.round in context.hard_state.prevotes:
            return False
        choice = self.choose_value()
        if choice is None:
            return False
        unsigned = RoundProposal(context.me, state.height, state.round, *choice)
        scope = context.committee.scope
        state.proposals[state.round] = messages.sign(unsigned, context.signer, scope)
        return True

    def choose_value(self) -> Choice | None:
        """Lines 15 to 18: the valid value with its proof, else a candidate."""
        hard_state = self._context.hard_state
        if hard_state.valid is not None:
            return hard_state.valid, hard_state.valid_round, hard_state.proof
        value = self.candidate()
        return None if value is None else (value, NO_ROUND, ())

    def candidate(self) -> Value | None:
        """A submitted value that this governor accepts, its own before others'."""
        context = self._context
        candidates = context.state.candidates
        for number in sorted(candidates, key=lambda number: (number != context.me, number)):
            if context.accept(candidates[number]) is None:
                return candidates[number]
        return None

    def _ask_others(self) -> bool:
        """Send the proposal also to the governors that the fast path has left out."""
        state = self._context.state
        proposal = state.proposals.get(state.round)
        receivers = [] if proposal is None else self._fast_path.further_receivers(proposal)
        if proposal is None or not receivers:
            return False
        self._context.send_each(receivers, proposal)
        return True

    # --- prevote ----------------------------------------------------------------------------------

    def _prevote_proposal(self) -> bool:
        """Lines 22 to 33."""
        context, state = self._context, self._context.state
        proposal = state.proposals.get(state.round)
        if state.step != PROPOSE or proposal is None:
            return False
        if state.round in context.hard_state.prevotes:
            return False
        if context.is_coordinator(0) and not state.round:
            self._fast_path.enter_as_proposer(proposal.value)
        is_proven = proposal.valid_round != NO_ROUND
        is_accepted = is_proven or context.accepts(proposal.value)
        is_good = is_accepted and self.may_prevote(proposal)
        if not is_good and proposal.sender == context.me:
            del state.proposals[state.round]
        self._prevote(proposal.value if is_good else None)
        return True

    def may_prevote(self, proposal: RoundProposal) -> bool:
        """The lock rule: lines 23 and 29."""
        hard_state = self._context.hard_state
        return (
            hard_state.locked_round == NO_ROUND
            or hard_state.locked == proposal.value.digest
            or hard_state.locked_round <= proposal.valid_round
        )

    def _prevote_at_once(self) -> bool:
        """Lines 22 to 26 on the fast path. Other votes are then awaited as in line 57."""
        context = self._context
        value = self._fast_path.value_to_prevote()
        if value is None:
            return False
        self._fast_path.enter(value)
        self._prevote(value)
        context.deadline_ms = context.now_ms + context.timing.of(PROPOSE, 0)
        return True

    def _prevote(self, value: Value | None) -> None:
        """Lines 24 to 26, 30 to 32, 59: make the vote durable, then send it. None is nil."""
        context, state = self._context, self._context.state
        digest = None if value is None else value.digest
        context.hard_state.prevotes[state.round] = digest
        context.write()
        proposal = state.proposals.get(state.round)
        if proposal is not None and proposal.sender == context.me:
            context.send_each(self._fast_path.proposal_receivers(proposal), proposal)
        self.cast(state.round, digest, 0 if value is None else len(value.payloads))
        state.step = PREVOTE
        context.deadline_ms = None

    def cast(self, round_: int, digest: bytes | None, payload_count: int) -> None:
        """Sign, count and send a prevote that is durable, with `payload_count` commitments."""
        context, state = self._context, self._context.state
        commitments = context.nonces.commit(payload_count) if payload_count else ()
        place = context.me, state.height, round_
        unsigned = Prevote(*place, digest, context.hard_state.counter, commitments)
        prevote = messages.sign(unsigned, context.signer, context.committee.scope)
        state.own_prevotes[round_] = prevote
        state.votes.add(prevote, state.round)
        if digest is None:
            context.send(prevote)
        elif self._fast_path.is_all_to_all(round_):
            others = [number for number in state.fast_signers if number != context.me]
            context.send_each(others, prevote)
        else:
            context.send_to_proposer(prevote, round_)

    def _arm_prevote(self) -> bool:
        """Lines 34 and 35: a quorum has voted, for whatever values, so the step may time out."""
        context, state = self._context, self._context.state
        if state.step != PREVOTE or context.deadline_ms is not None:
            return False
        if len(state.votes.of(state.round)) < context.committee.threshold:
            return False
        context.arm(PREVOTE)
        return True

    def _end_nil_round(self) -> bool:
        """Lines 44 to 46: after a quorum for nil no governor can lock in this round.

        So does a first round whose votes are split: no value can have a quorum any more. There the
        proposer shows all votes to all governors.
        """
        context, state = self._context, self._context.state
        if state.step == PROPOSE or state.round >= ROUND_MAX:
            return False
        is_split = state.round == 0 and state.votes.is_split(0)
        if not is_split and state.votes.quorum(state.round) != b"":
            return False
        if is_split and context.is_coordinator(0):
            for prevote in state.votes.of(0).values():
                context.send(prevote)
        self.start_round(state.round + 1)
        return True

    # --- lock and decide --------------------------------------------------------------------------

    def _lock(self) -> bool:
        """Lines 36 to 43: a quorum of prevotes for a value that this replica knows."""
        context, state, hard_state = self._context, self._context.state, self._context.hard_state
        if state.step == PROPOSE or hard_state.valid_round >= state.round:
            return False
        found = self._quorum_value()
        if found is None:
            return False
        value, hard_state.proof = found
        hard_state.valid, hard_state.valid_round = value, state.round
        if state.step == PREVOTE:
            hard_state.locked, hard_state.locked_round = value.digest, state.round
            context.write()
            context.arm(PRECOMMIT)
        return True

    def _quorum_value(self) -> tuple[Value, tuple[Prevote, ...]] | None:
        state = self._context.state
        proven = state.quorums.get(state.round)
        if proven is not None:
            return proven.value, proven.proof
        digest = state.votes.quorum(state.round)
        value = state.value(state.round, digest) if digest else None
        if value is None:
            return None
        return value, state.votes.prevote_quorum(state.round, value.digest)

    def _decide_complete(self) -> bool:
        """Line 49: a session is complete, and the group has signed."""
        found = self._precommit.complete()
        if found is None:
            return False
        self.decide(*found)
        return True

    def decide(self, value: Value, signatures: tuple[bytes, ...]) -> None:
        """Lines 50 to 54. The round's proposer announces the decision.

        A decision proves itself by its signatures. It leaves before it is durable here for the
        submitters that could not combine the shares themselves, and may be deferred for others.
        """
        context, state = self._context, self._context.state
        decide = Decide(state.height, value, signatures)
        if context.is_coordinator(state.round):
            data = messages.encode(messages.Decided(value, signatures))
            others = [number for number in context.committee.numbers if number != context.me]
            combining = state.fast_signers if state.has_fast_session else ()
            waiting = [n for n in others if n in state.candidates and n not in combining]
            context.effects += [Send(number, data) for number in waiting]
            context.effects.append(decide)
            rest = [number for number in others if number not in waiting]
            context.effects += [Send(number, data, deferrable=True) for number in rest]
        else:
            context.effects.append(decide)
        self.enter_height(state.height + 1)

    def enter_height(self, height: int) -> None:
        """Forget the height that is decided, and begin this one asleep."""
        context = self._context
        context.nonces.discard()
        self._fast_path.end_height()
        context.state = HeightState(context.committee, height)
        context.hard_state.next_height(height)
        context.deadline_ms = None
        context.resend_at_ms = context.now_ms + context.timing.resend_ms
