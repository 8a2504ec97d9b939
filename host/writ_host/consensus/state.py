"""What a replica knows of its current height.

`HeightState` is forgotten when the height is decided. What must survive is in hardstate.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .committee import Committee
from .effects import Decide
from .messages import Offer, Prevote, PrevoteQuorum, RoundProposal, Share, SigningSession
from .roast import SigningSessions
from .value import Value
from .votes import Votes

# Steps of a round: arXiv 1807.04938, Algorithm 1, line 4.
PROPOSE, PREVOTE, PRECOMMIT = "propose", "prevote", "precommit"
# Messages kept for each sender: sessions and shares before their value, and the next height's.
STASH_MAX = 8

# accept(value) -> the reason why it must not become the policy of its epoch, or None.
AcceptValue = Callable[[Value], str | None]


class Chain(Protocol):
    """The caller's durable list of decisions, one for each height."""

    @property
    def height(self) -> int:
        """The first height that is not decided yet."""

    def decision(self, height: int) -> Decide | None:
        """The decision of `height`, if it is still kept."""


@dataclass(frozen=True)
class Timing:
    """How long a replica waits, in milliseconds, `growth_ms` more in each round (lines 21, 35, 48).

    The precommit step includes a signing session, and must outlast the other steps of the other
    governors. Then a lock of a round is known everywhere before the next round's proposal
    (docs/consensus.md).
    """

    propose_ms: int = 1000
    prevote_ms: int = 500
    precommit_ms: int = 2000
    growth_ms: int = 500
    growth_rounds_max: int = 100
    resend_ms: int = 400
    idle_ms: int = 5000

    def of(self, step: str, round_: int) -> int:
        """The timeout of `step` in `round_`."""
        growth = self.growth_ms * min(round_, self.growth_rounds_max)
        if step == PROPOSE:
            return self.propose_ms + growth
        if step == PREVOTE:
            return self.prevote_ms + growth
        return self.precommit_ms + 2 * growth


@dataclass
class HeightState:
    """One height. `round` and `step` are as in the paper."""

    committee: Committee
    height: int
    round: int = 0
    step: str = PROPOSE
    # False until a value was submitted, or f + 1 others are awake
    is_awake: bool = False
    votes: Votes = field(init=False)
    # submitted values that this governor accepts, by submitter
    candidates: dict[int, Value] = field(default_factory=dict)
    # by round: proposals, proven quorums, this governor's own prevotes
    proposals: dict[int, RoundProposal] = field(default_factory=dict)
    quorums: dict[int, PrevoteQuorum] = field(default_factory=dict)
    own_prevotes: dict[int, Prevote] = field(default_factory=dict)
    # signing sessions by round and digest; shares by session and signer
    sessions: dict[tuple[int, bytes], SigningSessions[Offer]] = field(default_factory=dict)
    shares: dict[tuple[bytes, int], Share] = field(default_factory=dict)
    # of the current round: sessions that this replica opened, those of them that it has not joined,
    # sessions that wait for its share, its shares
    opened_sessions: list[SigningSession] = field(default_factory=list)
    unjoined_sessions: list[SigningSession] = field(default_factory=list)
    unsigned_sessions: list[SigningSession] = field(default_factory=list)
    own_shares: list[Share] = field(default_factory=list)
    # the fast path (fastpath.py): the first round's value, None off the fast path; the governors
    # that vote for it at once, the proposer first
    fast_value: Value | None = None
    fast_signers: tuple[int, ...] = ()
    # whether their session has started here, and whether it was awaited for long enough
    has_fast_session: bool = False
    is_fast_overdue: bool = False
    # the highest round in which each other governor was seen; the others that are awake
    rounds_seen: dict[int, int] = field(default_factory=dict)
    awake_others: set[int] = field(default_factory=set)
    # by sender: sessions and shares that arrived before their value
    _stash: dict[int, list[SigningSession | Share]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.votes = Votes(self.committee)

    def enter(self, round_: int) -> None:
        """Begin a round, and forget what only older ones need."""
        self.round, self.step = round_, PROPOSE
        self.opened_sessions, self.unjoined_sessions = [], []
        self.unsigned_sessions, self.own_shares = [], []
        oldest = round_ - 1
        self.votes.forget_before(oldest)
        for rounds in (self.proposals, self.quorums, self.own_prevotes):
            for old in [number for number in rounds if number < oldest]:
                del rounds[old]
        for place in [place for place in self.sessions if place[0] < oldest]:
            del self.sessions[place]
        for key in [key for key, share in self.shares.items() if share.round < oldest]:
            del self.shares[key]
        for sender, kept in self._stash.items():
            self._stash[sender] = [message for message in kept if message.round >= oldest]

    @property
    def has_fast_vote(self) -> bool:
        """Whether this is the first round, and this replica is on the fast path in it."""
        return self.round == 0 and self.fast_value is not None

    def value(self, round_: int, digest: bytes) -> Value | None:
        """The value with this digest, from the fast path, the round's proposal or its quorum."""
        if round_ == 0 and self.fast_value is not None and self.fast_value.digest == digest:
            return self.fast_value
        for source in (self.proposals.get(round_), self.quorums.get(round_)):
            if source is not None and source.value.digest == digest:
                return source.value
        return None

    def stash(self, sender: int, message: SigningSession | Share) -> None:
        """Keep a message until its value is known. At the limit the oldest is dropped."""
        kept = self._stash.setdefault(sender, [])
        if message not in kept:
            kept.append(message)
            del kept[:-STASH_MAX]

    def unstash(self) -> dict[int, list[SigningSession | Share]]:
        """All stashed messages by sender, once."""
        kept, self._stash = self._stash, {}
        return kept

    def see_round(self, sender: int, round_: int) -> None:
        """Note that a governor is in this round, or was."""
        self.rounds_seen[sender] = max(round_, self.rounds_seen.get(sender, 0))

    def round_to_join(self) -> int | None:
        """The highest round in which at least f + 1 others are, if it is later (line 55)."""
        if max(self.rounds_seen.values(), default=0) <= self.round:
            return None
        rounds = sorted(self.rounds_seen.values(), reverse=True)
        faulty = self.committee.faulty_max
        if len(rounds) > faulty and rounds[faulty] > self.round:
            return rounds[faulty]
        return None
