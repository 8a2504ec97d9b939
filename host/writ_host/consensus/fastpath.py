"""The fast path: shortcuts in the first round while all governors want the same value.

 1. The fast path is open at a height if the height before had at most one candidate and was
    decided in its first round (`end_height`).
 2. On the fast path the first round needs no proposal. The proposer, the governor that submitted
    the only candidate and the governors after the proposer by number, together a quorum (the *fast
    signers*), prevote for the candidate as soon as they know and accept it (lines 22 to 26, one
    message earlier).
 3. With at most `ALL_TO_ALL_MAX` of them, fast signers send these prevotes to each other. A fast
    signer that has all of them knows the signing session, which they name, and signs without a
    `SigningSession` message (lines 36 to 40).
 4. The proposer asks only a quorum to sign, and asks the others once a governor votes for another
    value or for nil.
 5. A governor that was asked and has not signed is *late*. The proposer prefers others to it at
    the next heights.

Line numbers are of Algorithm 1 in arXiv 1807.04938. Nothing here affects safety: votes, locks and
sessions are made by the same rules as on the slow path (docs/consensus.md). This module only says
who votes and signs earlier, and who receives which message; rules.py and precommit.py act on it.
"""

from .context import ReplicaContext
from .messages import RoundProposal, SigningSession
from .state import PROPOSE
from .value import Value

# Up to this quorum, prevotes from each fast signer to each other cost no more datagrams than a
# session message, which holds all of them.
ALL_TO_ALL_MAX = 3


class FastPath:
    """The fast path of one replica. It reads the context and sets only `state.fast_...` fields."""

    def __init__(self, context: ReplicaContext) -> None:
        self._context = context
        self._is_open = True
        # this replica's requests at this height, as the first round's proposer
        self._requested: set[int] = set()
        # governors that did not sign when this replica last requested it
        self._late: set[int] = set()

    @property
    def _is_small(self) -> bool:
        return self._context.committee.threshold <= ALL_TO_ALL_MAX

    def is_all_to_all(self, round_: int) -> bool:
        """Whether fast signers send their prevotes to each other and sign without a session."""
        return round_ == 0 and self._context.state.fast_value is not None and self._is_small

    # --- who prevotes without a proposal ----------------------------------------------------------

    def value_to_prevote(self) -> Value | None:
        """The value for which this replica prevotes now without a proposal, or None."""
        context = self._context
        state = context.state
        if state.round or state.step != PROPOSE or 0 in context.hard_state.prevotes:
            return None
        if context.is_coordinator(0):
            return None
        value = self._only_candidate()
        if value is None or context.me not in self._signers() or context.accept(value) is not None:
            return None
        return value

    def enter(self, value: Value) -> None:
        """Let the first round be about `value`: the fast signers vote for it at once."""
        state = self._context.state
        state.fast_value, state.fast_signers = value, self._signers()

    def enter_as_proposer(self, value: Value) -> None:
        """Enter, unless another value was submitted or a fast signer was late at an earlier height.

        With a late fast signer the proposer keeps its vote back. The others then wait for the
        session that it opens with governors that are not late.
        """
        if self._only_candidate() == value and not (
            self._is_small and self._late.intersection(self._signers())
        ):
            self.enter(value)

    def _only_candidate(self) -> Value | None:
        """The only submitted value, which an honest proposer has to propose; else None."""
        values = set(self._context.state.candidates.values())
        return values.pop() if self._is_open and len(values) == 1 else None

    def _signers(self) -> tuple[int, ...]:
        """A quorum: the first round's proposer, a sole submitter, and the next ones by number."""
        committee, candidates = self._context.committee, self._context.state.candidates
        proposer = committee.proposer(self._context.state.height, 0)
        order = committee.after(proposer)
        if len(candidates) == 1:
            order.sort(key=lambda number: number not in candidates)
        return proposer, *order[: committee.threshold - 1]

    # --- who signs without a session --------------------------------------------------------------

    def session(self) -> SigningSession | None:
        """The session that the fast signers' prevotes name, once all of them are here."""
        context = self._context
        state = context.state
        value = state.fast_value
        if value is None or not self.is_all_to_all(state.round) or not context.is_locked_now:
            return None
        if state.has_fast_session or state.opened_sessions:
            return None
        votes = state.votes.of(0)
        offers = tuple(votes[number] for number in state.fast_signers if number in votes)
        locked = context.hard_state.locked
        same = all(vote.digest == value.digest == locked for vote in offers)
        if len(offers) < context.committee.threshold or not same:
            return None
        return SigningSession(state.height, 0, value.digest, offers)

    def share_receivers(self) -> set[int]:
        """Fast signers that combine the shares: the proposer, and those that submitted a value."""
        signers = self._context.state.fast_signers
        candidates = self._context.state.candidates
        receivers = {signers[0], *(number for number in candidates if number in signers)}
        return receivers - {self._context.me}

    def is_ours_to_open(self, round_: int) -> bool:
        """Whether this replica has to open the round's session now.

        Fast signers have until the next status to sign without one. Their published nonces sign
        once only, so no other session may use them meanwhile.
        """
        state = self._context.state
        is_awaited = not (state.has_fast_session or state.is_fast_overdue)
        return self._context.is_coordinator(round_) and not (
            self.is_all_to_all(round_) and is_awaited
        )

    # --- which governors the proposer asks --------------------------------------------------------

    def proposal_receivers(self, proposal: RoundProposal) -> list[int]:
        """The governors to which this proposer sends its proposal.

        In the first round these are no more than a quorum needs, those that signed last before
        late ones. Fast signers need no proposal. A governor that is awake and has no value says so
        in its next status, and receives the proposal then.
        """
        committee = self._context.committee
        others = committee.after(self._context.me)
        signers = set(self._context.state.fast_signers) - {self._context.me}
        if proposal.round == 0:
            rest = [number for number in others if number not in signers]
            rest.sort(key=lambda number: number in self._late)
            # as many as are missing from the quorum without late fast signers
            missing = committee.threshold - 1 - len(signers - self._late)
            others = rest[:missing]
        self._requested = {*signers, *others}
        return others

    def further_receivers(self, proposal: RoundProposal) -> list[int]:
        """The governors that were not asked, once a governor votes against this proposal."""
        if not self._requested or proposal.sender != self._context.me:
            return []
        others = self._context.committee.after(self._context.me)
        rest = [number for number in others if number not in self._requested]
        votes = self._context.state.votes.of(proposal.round).values()
        if not rest or all(vote.digest == proposal.value.digest for vote in votes):
            return []
        self._requested.update(rest)
        return rest

    def end_height(self) -> None:
        """Note which governors were late, and whether the next height may use the fast path.

        A governor is late from a request that it did not answer until it signs, or votes without
        being asked.
        """
        state = self._context.state
        signed = {sender for _, sender in state.shares}
        self._late |= self._requested
        self._late -= signed | (set(state.votes.of(0)) - self._requested)
        self._requested = set()
        self._is_open = state.round == 0 and len(set(state.candidates.values())) <= 1
