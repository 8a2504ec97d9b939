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

    @property
    def _first(self) -> list[int]:
        """The proposer of the first round, and who with it is just a quorum: they vote at once."""
        committee = self.committee
        proposer = committee.proposer(self.state.height, 0)
        return [proposer, *committee.after(proposer)[: committee.threshold - 1]]

    def _wanted_by_all(self) -> Value | None:
        """What an honest proposer has to propose: nobody wants anything else, nor did before."""
        values = set(self.state.candidates.values())
        return values.pop() if self._is_calm and len(values) == 1 else None

    def _rule_prevote_at_once(self) -> bool:
        """Lines 22 to 26, a message earlier; what follows is waited for as in line 57."""
        state = self.state
        if state.round or state.step != PROPOSE or 0 in self.promise.prevotes:
            return False
        if self._coordinates(0) or self.me not in self._first:
            return False
        value = self._wanted_by_all()
        if value is None or self.accept(value) is not None:
            return False
        state.told = value
        self._prevote(value)
        self._deadline_ms = self._now_ms + self.timing.of(PROPOSE, 0)
        return True

    def _rule_begin(self) -> bool:
        """Lines 36 to 40: those who vote at once hear each other, and sign unasked."""
        state = self.state
        value = state.told
        if value is None or state.has_begun or state.round or not self._is_locked_now:
            return False
        if state.opened or not self._is_small:
            return False
        votes = state.votes.of(0)
        offers = tuple(votes[number] for number in self._first if number in votes)
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
        first = self._first
        return {first[0], *(number for number in self.state.candidates if number in first)}

    def _will_open(self, round_: int) -> bool:
        """Whether the round's session waits for us to open it."""
        unasked = not round_ and self.state.told is not None and self._is_small
        return self._coordinates(round_) and not unasked

    # --- whom the proposer asks ------------------------------------------------------------------

    def _ask(self, proposal: Proposal) -> None:
        """In the first round no more than it takes, first those who signed last; others are spared.

        Nor those who voted at once. Whoever is awake and has no value says so in its next status,
        and is asked then.
        """
        if proposal.round > 0:
            self._asked = len(self._row)
            self._send(proposal)
            return
        self._asked = self.committee.threshold - 1
        asked = self._row[: self._asked]
        if self.state.told is not None:
            asked = [number for number in asked if number not in self._first]
        self._send_each(asked, proposal)

    def _rule_ask_rest(self) -> bool:
        """Somebody is against what is proposed, so that those who were spared may be wanted."""
        state = self.state
        rest = self._row[self._asked :]
        proposal = state.proposals.get(state.round)
        if not (self._asked and rest) or proposal is None or proposal.sender != self.me:
            return False
        wanted = proposal.value.digest
        if all(vote.digest == wanted for vote in state.votes.of(state.round).values()):
            return False
        self._asked += len(rest)
        self._send_each(rest, proposal)
        return True

    def _reorder(self) -> None:
        """Whoever was asked and has not signed is asked last from now on."""
        asked, rest = self._row[: self._asked], self._row[self._asked :]
        signed = {sender for _, sender in self.state.heard}
        late = [number for number in asked if number not in signed]
        self._row = [number for number in asked if number in signed] + rest + late
        self._asked = 0

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
