"""The first round of a height in which all want the same: what is left out, and who is spared.

Nothing here touches safety (docs/consensus.md, "When all want the same"): votes are promised, locks
and sessions are made, as rules.py has it. It only says who does so earlier, and who need not.
"""

from .base import Base
from .messages import Offer, Proposal, Session
from .roast import Sessions
from .state import PROPOSE
from .value import Value

# Up to so many signers hear each other's votes with no more datagrams than it takes to tell a
# session, which holds all of them.
EACH_OTHER_MAX = 3


class Calm(Base):
    """The part of a replica that is for this. Until something goes wrong nobody waits for it."""

    @property
    def _is_small(self) -> bool:
        return self.committee.threshold <= EACH_OTHER_MAX

    def _sign_unasked(self, round_: int) -> bool:
        """Whether those who vote in this round hear each other, and need nobody's session."""
        return round_ == 0 and self.state.told is not None and self._is_small

    def _first(self) -> tuple[int, ...]:
        """Just a quorum: the first round's proposer, whoever wants the value, who comes next."""
        committee, wanting = self.committee, self.state.candidates
        proposer = committee.proposer(self.state.height, 0)
        order = committee.after(proposer)
        if len(wanting) == 1:
            order.sort(key=lambda number: number not in wanting)
        return proposer, *order[: committee.threshold - 1]

    def _hear(self, value: Value) -> None:
        """From now on this is what the first round is about, and these vote at once."""
        self.state.told, self.state.first = value, self._first()

    def _lead(self, value: Value) -> None:
        """As the first round's proposer: let them, unless one of them was late the last time.

        Then they lack our vote, and wait for the session that we open with others.
        """
        if self._wanted_by_all() == value and not (
            self._is_small and self._late.intersection(self._first())
        ):
            self._hear(value)

    def _wanted_by_all(self) -> Value | None:
        """What an honest proposer has to propose: nobody wants anything else, nor did before."""
        values = set(self.state.candidates.values())
        return values.pop() if self._is_calm and len(values) == 1 else None

    def _rule_prevote_at_once(self) -> bool:
        """Lines 22 to 26, a message earlier; what follows is waited for as in line 57."""
        state = self.state
        if state.round or state.step != PROPOSE or 0 in self.promise.prevotes:
            return False
        if self._coordinates(0):
            return False
        value = self._wanted_by_all()
        if value is None or self.me not in self._first() or self.accept(value) is not None:
            return False
        self._hear(value)
        self._prevote(value)
        self._deadline_ms = self._now_ms + self.timing.of(PROPOSE, 0)
        return True

    def _rule_begin(self) -> bool:
        """Lines 36 to 40: those who vote at once hear each other, and sign unasked."""
        state = self.state
        value = state.told
        if value is None or not self._sign_unasked(state.round) or not self._is_locked_now:
            return False
        if state.has_begun or state.opened:
            return False
        votes = state.votes.of(0)
        offers = tuple(votes[number] for number in state.first if number in votes)
        same = all(vote.digest == value.digest == self.promise.locked for vote in offers)
        if len(offers) < self.committee.threshold or not same:
            return False
        state.has_begun = True
        session = Session(state.height, 0, value.digest, offers)
        self._take_session(offers[0].sender, session)
        sessions = self._sessions(0, value.digest)
        if self._coordinates(0) and sessions is not None and session.id in sessions:
            # for whoever lacks a vote, and says so in its next status
            state.opened.append(session)
            for offer in offers:
                sessions.occupy(offer.sender, offer.commitments)
        return True

    @property
    def _wait_for_shares(self) -> set[int]:
        """Of those who sign unasked: who puts the shares together, and who waits for that."""
        first = self.state.first
        return {first[0], *(number for number in self.state.candidates if number in first)}

    def _will_open(self, round_: int) -> bool:
        """Whether the round's session waits for us to open it.

        Who signs unasked is given until the next status to do so: with what it has published it
        signs once, so that nobody else is asked meanwhile.
        """
        state = self.state
        is_awaited = self._sign_unasked(round_) and not (state.has_begun or state.has_waited)
        return self._coordinates(round_) and not is_awaited

    # --- whom the proposer asks ------------------------------------------------------------------

    def _ask(self, proposal: Proposal) -> None:
        """In the first round no more than it takes, and first those who signed last.

        Those who vote at once need not be asked. Whoever is awake and has no value says so in its
        next status, and is asked then.
        """
        others = self.committee.after(self.me)
        first = [number for number in self.state.first if number != self.me]
        if proposal.round == 0:
            rest = [number for number in others if number not in first]
            rest.sort(key=lambda number: number in self._late)
            # as many as those who vote at once are too few, or may be late
            missing = self.committee.threshold - 1 - len(set(first) - self._late)
            others = rest[:missing]
        self._asked = {*first, *others}
        self._send_each(others, proposal)

    def _rule_ask_rest(self) -> bool:
        """Somebody is against what is proposed, so that those who were spared may be wanted."""
        state = self.state
        proposal = state.proposals.get(state.round)
        rest = [number for number in self.committee.after(self.me) if number not in self._asked]
        if not (self._asked and rest) or proposal is None or proposal.sender != self.me:
            return False
        wanted = proposal.value.digest
        if all(vote.digest == wanted for vote in state.votes.of(state.round).values()):
            return False
        self._asked.update(rest)
        self._send_each(rest, proposal)
        return True

    def _look_who_is_late(self) -> None:
        """Whoever was asked and has not signed is, until it votes again without being asked."""
        state = self.state
        signed = {sender for _, sender in state.heard}
        self._late |= self._asked
        self._late -= signed | (set(state.votes.of(0)) - self._asked)
        self._asked = set()

    # Of the rules that these rest on: rules.py and replica.py.

    def _prevote(self, value: Value | None) -> None:
        raise NotImplementedError

    def _take_session(self, sender: int, session: Session) -> None:
        raise NotImplementedError

    def _sessions(self, round_: int, digest: bytes) -> Sessions[Offer] | None:
        raise NotImplementedError

    @property
    def _is_locked_now(self) -> bool:
        raise NotImplementedError
