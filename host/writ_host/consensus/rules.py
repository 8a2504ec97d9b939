"""The rules by which a replica votes, locks, signs and decides.

They are Tendermint's ("The latest gossip on BFT consensus", arXiv 1807.04938, Algorithm 1;
"line n" below is a line of it), with these differences, argued in docs/consensus.md: a quorum is
the group key's threshold; a precommit is a FROST share, so the decision is the group's signature;
prevote quorums travel as proofs; there is no precommit for nil.
"""

from . import messages
from .effects import Decide, Send
from .fastpath import Calm
from .messages import NO_ROUND, ROUND_MAX, Offer, Prevote, Proposal, Session, Share
from .roast import Sessions
from .state import PRECOMMIT, PREVOTE, PROPOSE, HeightState
from .value import Value


class Rules(Calm):
    """What follows from a replica's state; replica.py brings the messages."""

    def _settle(self) -> None:
        """Apply the upon-rules until none applies."""
        while self.active and self.state.awake and self._rule():
            pass

    def _rule(self) -> bool:
        return (
            self._rule_join()
            or self._rule_propose()
            or self._rule_prevote()
            or self._rule_prevote_at_once()
            or self._rule_ask_rest()
            or self._rule_nil()
            or self._rule_lock()
            or self._rule_hurry()
            or self._rule_begin()
            or self._rule_coordinate()
            or self._rule_share()
            or self._rule_decide()
        )

    def _start_round(self, round_: int) -> None:
        """Lines 11 to 21."""
        self.state.enter(min(round_, ROUND_MAX))
        self._purse.discard()
        self._arm(PROPOSE)

    def _arm(self, step: str) -> None:
        self.state.step = step
        self._deadline_ms = self._now_ms + self.timing.of(step, self.state.round)

    def _rule_join(self) -> bool:
        """Lines 55 and 56: f + 1 others are in a later round.

        Whoever is in a round has voted in the one before, where those begin who restart: they lost
        others' votes, and the one of who has overtaken them may be the last of a quorum.
        """
        round_ = self.state.round_to_join()
        if round_ is None:
            return False
        self._start_round(round_)
        if round_ - 1 not in self.promise.prevotes:
            self.promise.prevotes[round_ - 1] = None
            self._write()
            self._cast(round_ - 1, None, 0)
        return True

    def _rule_propose(self) -> bool:
        """Lines 14 to 19. Sent only after our own prevote for it is durable."""
        state, promise = self.state, self.promise
        if state.step != PROPOSE or not self._coordinates(state.round):
            return False
        if state.round in state.proposals or state.round in promise.prevotes:
            return False
        wanted = self._wanted()
        if wanted is None:
            return False
        unsigned = Proposal(self.me, state.height, state.round, *wanted)
        scope = self.committee.scope
        state.proposals[state.round] = messages.sealed(unsigned, self.signer, scope)
        return True

    def _wanted(self) -> tuple[Value, int, tuple[Prevote, ...]] | None:
        """Lines 15 to 18: the valid value with its proof, else somebody's candidate."""
        promise = self.promise
        if promise.valid is not None:
            return promise.valid, promise.valid_round, promise.proof
        value = self._candidate()
        return None if value is None else (value, NO_ROUND, ())

    def _candidate(self) -> Value | None:
        candidates = self.state.candidates
        for number in sorted(candidates, key=lambda number: (number != self.me, number)):
            if self.accept(candidates[number]) is None:
                return candidates[number]
        return None

    def _rule_prevote(self) -> bool:
        """Lines 22 to 33."""
        state = self.state
        proposal = state.proposals.get(state.round)
        if state.step != PROPOSE or proposal is None:
            return False
        if state.round in self.promise.prevotes:
            return False
        proven = proposal.valid_round != NO_ROUND
        if self._coordinates(0) and not state.round:
            self._lead(proposal.value)
        good = (proven or self._accepts(proposal.value)) and self._may_prevote(proposal)
        if not good and proposal.sender == self.me:
            del state.proposals[state.round]
        self._prevote(proposal.value if good else None)
        return True

    def _accepts(self, value: Value) -> bool:
        """Ours to judge, until a quorum has voted for it: then refusing could only block.

        Some may be locked on it, and can vote for nothing else. In the first round with a quorum
        for it, at least t - f honest governors have judged it by themselves and found it good.
        """
        valid = self.promise.valid
        return (valid is not None and valid.digest == value.digest) or self.accept(value) is None

    def _may_prevote(self, proposal: Proposal) -> bool:
        """The lock rule: lines 23 and 29."""
        promise = self.promise
        return (
            promise.locked_round == NO_ROUND
            or promise.locked == proposal.value.digest
            or promise.locked_round <= proposal.valid_round
        )

    def _prevote(self, value: Value | None) -> None:
        """Promise it, then say it: lines 24 to 26, 30 to 32, 59."""
        state = self.state
        digest = None if value is None else value.digest
        self.promise.prevotes[state.round] = digest
        self._write()
        proposal = state.proposals.get(state.round)
        if proposal is not None and proposal.sender == self.me:
            self._ask(proposal)
        self._cast(state.round, digest, 0 if value is None else len(value.payloads))
        state.step = PREVOTE
        self._deadline_ms = None

    def _cast(self, round_: int, digest: bytes | None, payloads: int) -> None:
        commitments = self._purse.fresh(payloads) if payloads else ()
        place = self.me, self.state.height, round_
        unsigned = Prevote(*place, digest, self.promise.counter, commitments)
        prevote = messages.sealed(unsigned, self.signer, self.committee.scope)
        self.state.own[round_] = prevote
        self.state.votes.add(prevote, self.state.round)
        if digest is None:
            self._send(prevote)
        elif self._sign_unasked(round_):
            self._send_each([number for number in self.state.first if number != self.me], prevote)
        else:
            self._send_to_proposer(prevote, round_)

    def _rule_hurry(self) -> bool:
        """Lines 34 and 35: a quorum has voted for this or that, and will not wait for ever."""
        state = self.state
        voted = len(state.votes.of(state.round)) >= self.committee.threshold
        if state.step != PREVOTE or self._deadline_ms is not None or not voted:
            return False
        self._arm(PREVOTE)
        return True

    def _rule_nil(self) -> bool:
        """Lines 44 to 46: a quorum for nil. Nobody can lock in this round any more: on.

        Nor where those who voted at once are of too many minds: the proposer tells the others.
        """
        state = self.state
        if state.step == PROPOSE or state.round >= ROUND_MAX:
            return False
        is_split = state.round == 0 and state.votes.is_split(0)
        if state.votes.quorum(state.round) != b"" and not is_split:
            return False
        if is_split and self._coordinates(0):
            for prevote in state.votes.of(0).values():
                self._send(prevote)
        self._start_round(state.round + 1)
        return True

    def _rule_lock(self) -> bool:
        """Lines 36 to 43: a quorum of prevotes for a value that we know."""
        state, promise = self.state, self.promise
        if state.step == PROPOSE or promise.valid_round >= state.round:
            return False
        found = self._quorum()
        if found is None:
            return False
        promise.valid, promise.proof = found
        promise.valid_round = state.round
        if state.step == PREVOTE:
            promise.locked, promise.locked_round = found[0].digest, state.round
            self._write()
            self._arm(PRECOMMIT)
        return True

    def _quorum(self) -> tuple[Value, tuple[Prevote, ...]] | None:
        state = self.state
        lock = state.locks.get(state.round)
        if lock is not None:
            return lock.value, lock.proof
        digest = state.votes.quorum(state.round)
        value = state.value(state.round, digest) if digest else None
        if value is None:
            return None
        return value, state.votes.certificate(state.round, value.digest)

    # --- signing: the precommit -------------------------------------------------------------------

    @property
    def _is_locked_now(self) -> bool:
        return self.state.step == PRECOMMIT and self.promise.locked_round == self.state.round

    def _sessions(self, round_: int, digest: bytes) -> Sessions[Offer] | None:
        key = round_, digest
        if key not in self.state.sessions:
            value = self.state.value(round_, digest)
            if value is None:
                return None
            threshold = self.committee.threshold
            self.state.sessions[key] = Sessions(self.signer, threshold, value.payloads)
        return self.state.sessions[key]

    def _rule_coordinate(self) -> bool:
        """The proposer chooses who signs, once it is locked itself."""
        state = self.state
        digest = self.promise.locked
        if not self._is_locked_now or digest is None or not self._will_open(state.round):
            return False
        sessions = self._sessions(state.round, digest)
        if sessions is None:
            return False
        for number, prevote in state.votes.of(state.round).items():
            if prevote.digest == digest:
                sessions.offer(number, prevote.commitments, prevote)
        chosen = sessions.choose()
        if chosen is None:
            return False
        session = Session(state.height, state.round, digest, tuple(chosen.values()))
        state.opened.append(session)
        state.begun.append(session)
        # it promises nothing, so that it need not wait for our own lock to be written
        encoded = messages.encode(session)
        self._effects[:0] = [Send(number, encoded) for number in chosen if number != self.me]
        return True

    def _join_begun(self) -> None:
        """Sign in the sessions that we opened: a step later, while the others do the same."""
        while self.state.begun:
            self._take_session(self.me, self.state.begun.pop(0))

    def _rule_share(self) -> bool:
        """Line 40: precommit the value that we locked in this round, in a session of this round."""
        state = self.state
        if not self._is_locked_now:
            return False
        for session in state.asked:
            mine = next(o.commitments for o in session.offers if o.sender == self.me)
            sessions = state.sessions[session.round, session.digest]
            if session.digest == self.promise.locked and mine in self._purse:
                state.asked.remove(session)
                shares = sessions.sign(session.id, self._purse.take(mine))
                self._precommit(session, shares)
                return True
        return False

    def _precommit(self, session: Session, shares: tuple[bytes, ...]) -> None:
        fresh = self._purse.fresh(len(shares))
        place = self.me, session.height, session.round, session.digest
        unsigned = Share(*place, self.promise.counter, session.id, shares, fresh)
        share = messages.sealed(unsigned, self.signer, self.committee.scope)
        self.state.answered.append(share)
        if self.state.has_begun and not session.round:
            self._send_each(self._wait_for_shares - {self.me}, share)
        else:
            self._send_to_proposer(share, session.round)
        self._take_share(self.me, share)

    def _rule_decide(self) -> bool:
        """Line 49: a session is complete, and the group has signed."""
        for (round_, digest), sessions in self.state.sessions.items():
            value = self.state.value(round_, digest)
            if sessions.signatures is not None and value is not None:
                self._decide(value, sessions.signatures)
                return True
        return False

    def _decide(self, value: Value, signatures: tuple[bytes, ...]) -> None:
        """Lines 50 to 54."""
        decide = Decide(self.state.height, value, signatures)
        if self._coordinates(self.state.round):
            # it proves itself: whoever proposed it writes while we do, the others in their time
            found = messages.encode(messages.Decided(value, signatures))
            others = [number for number in self.committee.numbers if number != self.me]
            waiting = [number for number in others if number in self.state.candidates]
            if self.state.has_begun:
                # these have put it together themselves
                waiting = [number for number in waiting if number not in self.state.first]
            self._effects += [Send(number, found) for number in waiting]
            self._effects.append(decide)
            rest = [number for number in others if number not in waiting]
            self._effects += [Send(number, found, has_time=True) for number in rest]
        else:
            self._effects.append(decide)
        self._enter_height(self.state.height + 1)

    def _enter_height(self, height: int) -> None:
        self._purse.discard()
        self._look_who_is_late()
        self._is_calm = self.state.round == 0 and len(set(self.state.candidates.values())) <= 1
        self.state = HeightState(self.committee, height)
        self.promise.next_height(height)
        self._deadline_ms = None
        self._resend_at_ms = self._now_ms + self.timing.resend_ms

    def _take_share(self, sender: int, share: Share) -> None:
        """What a share does when it arrives, our own included: replica.py."""
        raise NotImplementedError
