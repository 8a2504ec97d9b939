"""One governor's replica: agrees with the others on one value for each height (epoch).

Pure: `step(event, now_ms)` returns effects. Sockets, disks and clocks belong to the caller. The
rules are in rules.py; here messages come in and are checked, those who lag are helped, and a
replica that has just started asks what it may have forgotten.
"""

from collections import deque

from ..errors import HostError
from . import messages
from .effects import Effect, Event, Propose, Received, Tick
from .messages import (
    NO_ROUND,
    Decided,
    Hello,
    Lock,
    Message,
    Offer,
    Prevote,
    Proposal,
    Seen,
    Session,
    Share,
    Status,
    Submit,
)
from .roast import SESSIONS_MAX
from .rules import Rules
from .state import PRECOMMIT, PREVOTE, PROPOSE, STASH_MAX
from .value import Value
from .votes import ROUNDS_AHEAD_MAX


class Replica(Rules):
    """One governor. `record`: the last `Write`, None for none; `token`: 16 random bytes.

    The caller calls `start` once, then `step` for each event, and carries out the effects in
    order. Raises `Malformed` for a record that is not one.
    """

    def start(self, now_ms: int) -> list[Effect]:
        """The first effects after a start or restart."""
        self._now_ms = now_ms
        self._resend_at_ms = now_ms + self.timing.resend_ms
        if self.promise.height != self.state.height:
            self.promise.next_height(self.state.height)
        self._send(Hello(self._token, self.state.height))
        self._join()
        self._settle()
        return self._flush()

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """What follows from an event. No message, whatever it holds, raises anything."""
        self._now_ms = max(now_ms, self._now_ms)
        if self.chain.height > self.state.height:
            self._enter_height(self.chain.height)
        self._join_begun()
        if isinstance(event, Received):
            self._receive(event)
        elif isinstance(event, Propose):
            self._submit(event.sender or self.me, event.value)
            if event.sender is None and self.state.candidates.get(self.me) is event.value:
                self._send(Submit(event.value))
        elif isinstance(event, Tick):
            self._timer_ms = None
            self._tick()
        self._settle()
        if self._next and next(iter(self._next.values()))[0].height <= self.state.height:
            self._replay_next()
            self._settle()
        return self._flush()

    # --- messages ---------------------------------------------------------------------------------

    def _receive(self, event: Received) -> None:
        if event.sender not in self.committee.numbers or event.sender == self.me:
            return
        try:
            message = messages.decode(event.data)
        except HostError:
            return
        self._take(event.sender, message)

    def _take(self, sender: int, message: Message) -> None:
        height = self.state.height
        if isinstance(message, Hello):
            self._send(Seen(message.token, self.promise.seen.get(sender)), sender)
        elif isinstance(message, Seen):
            self._take_seen(sender, message)
        elif isinstance(message, Decided):
            self._take_decided(sender, message)
        elif message.height == height + 1:
            # some know the decision before others do, and go on
            self._next.setdefault(sender, deque(maxlen=STASH_MAX)).append(message)
        elif isinstance(message, Submit):
            self._submit(sender, message.value)
        elif message.height != height:
            if isinstance(message, Status) and message.height < height:
                self._help_with_decision(sender, message.height)
        elif isinstance(message, Status):
            self._take_status(sender, message)
        else:
            self._see_round(sender, message.round)
            if isinstance(message, Proposal):
                self._take_proposal(message)
            elif isinstance(message, Prevote):
                self._take_prevote(message)
            elif isinstance(message, Session):
                self._take_session(sender, message)
            elif isinstance(message, Share):
                self._take_share(sender, message)
            else:
                self._take_lock(message)

    def _replay_next(self) -> None:
        """What came for this height while we were at the one before."""
        early, self._next = self._next, {}
        for sender, kept in early.items():
            for message in kept:
                self._take(sender, message)

    def _see_round(self, sender: int, round_: int) -> None:
        ahead = self.state.ahead
        ahead[sender] = max(round_, ahead.get(sender, 0))

    def _submit(self, sender: int, value: Value) -> None:
        if value.epoch != self.state.height or self.accept(value) is not None:
            return
        self.state.candidates[sender] = value
        self._wake()

    def _wake(self) -> None:
        if not self.state.awake:
            self.state.awake = True
            soon_ms = self._now_ms + self.timing.resend_ms
            self._resend_at_ms = min(self._resend_at_ms, soon_ms)
            if self.active:
                self._resume()

    def _take_proposal(self, proposal: Proposal) -> None:
        state = self.state
        round_ = proposal.round
        proposer = self.committee.proposer(state.height, round_)
        if not state.round - 1 <= round_ <= state.round + ROUNDS_AHEAD_MAX:
            return
        if proposal.sender != proposer or proposal.value.epoch != state.height:
            return
        if not self._verifier.check(proposal):
            return
        known = state.proposals.get(round_)
        if known is not None:
            same = known.value == proposal.value and known.valid_round == proposal.valid_round
            if not same:
                self._accuse(proposal.sender, "proposed twice in a round", known, proposal)
            return
        if proposal.valid_round != NO_ROUND and not self._proves(proposal):
            return
        state.proposals[round_] = proposal
        self._learn(proposal.value, proposal.valid_round, proposal.proof)
        self._replay()
        if proposal.valid_round != NO_ROUND or self._accepts(proposal.value):
            self._wake()

    def _proves(self, proposal: Proposal) -> bool:
        """Line 28: prevotes of a quorum, in an earlier round, for the same value."""
        place = proposal.height, proposal.valid_round, proposal.value.digest
        return proposal.valid_round < proposal.round and self._verifier.is_quorum(
            proposal.proof, *place
        )

    def _take_prevote(self, prevote: Prevote) -> None:
        if not self._verifier.check(prevote):
            return
        self._note(prevote)
        if prevote.sender == self.me:
            return
        earlier = self.state.votes.add(prevote, self.state.round)
        if earlier is not None:
            self._accuse(prevote.sender, "voted twice in a round", earlier, prevote)
        elif self.promise.locked_round < prevote.round and self._will_open(prevote.round):
            # looked at while other votes are awaited, not once all wait for the session
            all(map(self.signer.check_commitment, prevote.commitments))

    def _take_session(self, sender: int, session: Session) -> None:
        state = self.state
        place = session.height, session.round, session.digest
        if sender != self.committee.proposer(state.height, session.round):
            return
        if any((o.height, o.round, o.digest) != place for o in session.offers):
            return
        if not all(self._verifier.check(offer) for offer in session.offers):
            return
        for offer in session.offers:
            if isinstance(offer, Prevote):
                self._take_prevote(offer)
        sessions = self._sessions(session.round, session.digest)
        if sessions is None:
            state.keep(sender, session)
            return
        members = {offer.sender: offer.commitments for offer in session.offers}
        if len(members) != len(session.offers):
            return
        if sessions.add(session.id, members):
            if session.round == state.round and self.me in members:
                state.asked.append(session)
            self._name_cheaters(sessions.cheaters)

    def _take_share(self, sender: int, share: Share) -> None:
        state = self.state
        if share.sender != sender or not self._verifier.check(share):
            return
        self._note(share)
        sessions = self._sessions(share.round, share.digest)
        if sessions is None:
            state.keep(sender, share)
            return
        told = sum(1 for _, who in state.heard if who == sender)
        if (share.session, sender) in state.heard or told >= 2 * SESSIONS_MAX:
            return
        state.heard[share.session, sender] = share
        sessions.promise_next(sender, share.session, share.commitments, share)
        sessions.put(share.session, sender, share.shares)
        self._name_cheaters(sessions.cheaters)

    def _name_cheaters(self, numbers: set[int]) -> None:
        for number in numbers:
            proof = [share for (_, who), share in self.state.heard.items() if who == number]
            self._accuse(number, "sent a wrong signature share", *proof)

    def _replay(self) -> None:
        """Try again what came before the value that it is about."""
        stash, self.state.stash = self.state.stash, {}
        for sender, kept in stash.items():
            for message in kept:
                self._take(sender, message)

    def _take_lock(self, lock: Lock) -> None:
        """A quorum's prevotes for a value: as good as having seen them (lines 36, 42 and 43)."""
        state = self.state
        if lock.value.epoch != state.height or lock.round in state.locks:
            return
        place = state.height, lock.round, lock.value.digest
        if not self._verifier.is_quorum(lock.proof, *place):
            return
        for prevote in lock.proof:
            self._see_round(prevote.sender, lock.round)
            self._take_prevote(prevote)
        if state.round - 1 <= lock.round <= state.round + ROUNDS_AHEAD_MAX:
            state.locks[lock.round] = lock
            self._replay()
        self._learn(lock.value, lock.round, lock.proof)
        self._wake()

    def _learn(self, value: Value, round_: int, proof: tuple[Prevote, ...]) -> None:
        """A quorum voted for it in an earlier round, as is proven: whoever proposes may carry it.

        That of our own round is looked at by `_rule_lock`.
        """
        promise = self.promise
        if promise.valid_round < round_ < self.state.round:
            promise.valid, promise.valid_round, promise.proof = value, round_, proof

    def _take_decided(self, sender: int, decided: Decided) -> None:
        value = decided.value
        if value.epoch != self.state.height or len(value.payloads) != len(decided.signatures):
            return
        pairs = zip(value.payloads, decided.signatures, strict=True)
        if all(self.signer.is_valid(payload, signature) for payload, signature in pairs):
            slept = not self.state.awake
            self._decide(value, decided.signatures)
            if slept:
                # whoever catches up asks for the next one
                self._send_status(sender)

    # --- time, and help for those who lag ---------------------------------------------------------

    def _tick(self) -> None:
        if self._deadline_ms is not None and self._now_ms >= self._deadline_ms:
            self._deadline_ms = None
            self._time_out()
        if self._now_ms >= self._resend_at_ms:
            pause = self.timing.resend_ms if self.state.awake else self.timing.idle_ms
            self._resend_at_ms = self._now_ms + (pause if self._joined else self.timing.resend_ms)
            self._repeat()

    def _time_out(self) -> None:
        state = self.state
        if not (self.active and state.awake):
            return
        if state.step == PROPOSE:
            self._prevote(None)  # lines 57 to 60
        elif state.step == PREVOTE and not state.is_told:
            self._arm(PRECOMMIT)  # lines 61 to 64: no lock any more in this round
        else:
            self._start_round(state.round + 1)  # lines 65 to 67; or nobody hears of our vote

    def _repeat(self) -> None:
        state = self.state
        state.has_waited = state.told is not None
        if not self._joined:
            self._send(Hello(self._token, state.height))
        for sessions in state.sessions.values():
            sessions.check_unfinished()
            self._name_cheaters(sessions.cheaters)
        mine = state.candidates.get(self.me)
        if mine is not None and self.active:
            self._send(Submit(mine))
        self._send_status()

    def _send_status(self, to: int | None = None) -> None:
        state = self.state
        has_value = state.round in state.proposals or state.is_told
        voters = state.votes.voters(state.round)
        place = state.height, state.round
        valid_round = self.promise.valid_round
        status = Status(*place, state.awake and self.active, has_value, voters, valid_round)
        self._send(status, to)

    def _take_status(self, sender: int, status: Status) -> None:
        """Somebody at our height: join it if it is ahead, help it if it lacks something."""
        state = self.state
        self._see_round(sender, status.round)
        if status.awake:
            state.stirring.add(sender)
            if len(state.stirring) > self.committee.faulty:
                self._wake()
        if not (self.active and state.awake):
            return
        if status.round == state.round:
            proposal = state.proposals.get(state.round)
            if proposal is not None and not status.has_value and state.round in state.own:
                self._send(proposal, sender)
            for session in state.opened:
                self._send(session, sender)
            for share in state.answered:
                self._send(share, sender)
        vote = state.own.get(status.round)
        if vote is not None and not status.voters >> self.me & 1:
            self._send(vote, sender)
        promise = self.promise
        if promise.valid is not None and promise.valid_round > status.valid_round:
            lock = Lock(state.height, promise.valid_round, promise.valid, promise.proof)
            self._send(lock, sender)

    def _help_with_decision(self, sender: int, height: int) -> None:
        found = self.chain.decision(height)
        if found is not None:
            self._send(Decided(found.value, found.signatures), sender)

    # --- after a start: what may this governor have forgotten? ------------------------------------

    @property
    def _joined(self) -> bool:
        return self._answered is None

    def _note(self, offer: Offer) -> None:
        """Keep the newest signed word of each governor; our own may tell what we forgot."""
        seen = self.promise.seen
        if offer.sender != self.me:
            known = seen.get(offer.sender)
            if known is None or known.counter < offer.counter:
                seen[offer.sender] = offer
        elif offer.counter > self.promise.counter:
            # a backup was restored: whatever we promised since then binds us, and is not known here
            self._abstain_through = max(self._abstain_through, offer.height)
            self.promise.counter = offer.counter
            self._purse.discard()

    def _take_seen(self, sender: int, seen: Seen) -> None:
        evidence = seen.evidence
        if self._answered is None or seen.token != self._token:
            return
        if evidence is not None and evidence.sender == self.me and self._verifier.check(evidence):
            self._note(evidence)
        self._answered.add(sender)
        self._join()

    def _join(self) -> None:
        """Go on once so many answered that they and we are a quorum."""
        if self._answered is None or len(self._answered) + 1 < self.committee.threshold:
            return
        self._answered = None
        if self.promise.prevotes:
            self.state.awake = True
        self._write()
        if self.state.awake and self.active:
            self._resume()

    def _resume(self) -> None:
        """Begin the height, or go on where the record says that we were."""
        state, promise = self.state, self.promise
        if not promise.prevotes:
            self._start_round(state.round)
            return
        self._start_round(max(promise.prevotes))
        valid = promise.valid
        if valid is not None:
            lock = Lock(state.height, promise.valid_round, valid, promise.proof)
            state.locks[promise.valid_round] = lock
        for round_, digest in promise.prevotes.items():
            known = valid is not None and valid.digest == digest and round_ == state.round
            self._cast(round_, digest, len(valid.payloads) if known and valid else 0)
        if promise.locked_round == state.round:
            self._arm(PRECOMMIT)
        else:
            state.step, self._deadline_ms = PREVOTE, None
