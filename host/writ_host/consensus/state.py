"""What a replica knows of the height it is at, and the small parts of its rules.

`HeightState` is forgotten with its height; what must survive is in hardstate.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .committee import Committee
from .effects import Decide
from .messages import Lock, Offer, Prevote, Proposal, Session, Share
from .roast import Sessions
from .value import Value
from .votes import Votes

# Steps of a round: arXiv 1807.04938, Algorithm 1, line 4.
PROPOSE, PREVOTE, PRECOMMIT = "propose", "prevote", "precommit"
# Sessions and shares that came before what they need, for each sender.
STASH_MAX = 8

# Why a value must not become the policy of its epoch, or None: accept(value) -> reason.
Accept = Callable[[Value], str | None]


class Chain(Protocol):
    """The caller's durable list of decisions; heights follow each other."""

    @property
    def height(self) -> int:
        """The first height that is not decided yet."""

    def decision(self, height: int) -> Decide | None:
        """What was decided at `height`, if it is still kept."""


@dataclass(frozen=True)
class Timing:
    """How long a replica waits, in milliseconds; each round `growth_ms` more (lines 21, 35, 48).

    A precommit takes a signing session and must outlast the others' other steps, so that a lock
    made in a round is known everywhere before the next round's proposal (docs/consensus.md).
    """

    propose_ms: int = 1000
    prevote_ms: int = 500
    precommit_ms: int = 2000
    growth_ms: int = 500
    growth_rounds_max: int = 100
    resend_ms: int = 400
    idle_ms: int = 5000

    def of(self, step: str, round_: int) -> int:
        """How long `step` of `round_` may take."""
        growth = self.growth_ms * min(round_, self.growth_rounds_max)
        if step == PROPOSE:
            return self.propose_ms + growth
        if step == PREVOTE:
            return self.prevote_ms + growth
        return self.precommit_ms + 2 * growth


@dataclass
class HeightState:
    """One height. round and step as in the paper; the rest is what messages brought."""

    committee: Committee
    height: int
    round: int = 0
    step: str = PROPOSE
    awake: bool = False
    votes: Votes = field(init=False)
    # whose value may be proposed, by who submitted it
    candidates: dict[int, Value] = field(default_factory=dict)
    proposals: dict[int, Proposal] = field(default_factory=dict)
    # what we voted for in the first round without a proposal, and who does so, the proposer first
    told: Value | None = None
    first: tuple[int, ...] = ()
    # whether those who did have all votes of each other, and sign; or were waited for long enough
    has_begun: bool = False
    has_waited: bool = False
    locks: dict[int, Lock] = field(default_factory=dict)
    own: dict[int, Prevote] = field(default_factory=dict)
    sessions: dict[tuple[int, bytes], Sessions[Offer]] = field(default_factory=dict)
    # of the current round: opened by us, and not joined yet; waiting for our share, our shares
    opened: list[Session] = field(default_factory=list)
    begun: list[Session] = field(default_factory=list)
    asked: list[Session] = field(default_factory=list)
    answered: list[Share] = field(default_factory=list)
    heard: dict[tuple[bytes, int], Share] = field(default_factory=dict)
    stash: dict[int, list[Session | Share]] = field(default_factory=dict)
    # the highest round each other governor was seen in, and who is awake
    ahead: dict[int, int] = field(default_factory=dict)
    stirring: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.votes = Votes(self.committee)

    def enter(self, round_: int) -> None:
        """Begin a round; what only older ones needed is forgotten."""
        self.round, self.step = round_, PROPOSE
        self.opened, self.begun, self.asked, self.answered = [], [], [], []
        self.votes.forget_before(round_ - 1)
        for rounds in (self.proposals, self.locks, self.own):
            for old in [number for number in rounds if number < round_ - 1]:
                del rounds[old]
        for place in [place for place in self.sessions if place[0] < round_ - 1]:
            del self.sessions[place]
        for key in [key for key, share in self.heard.items() if share.round < round_ - 1]:
            del self.heard[key]
        for sender, kept in self.stash.items():
            self.stash[sender] = [message for message in kept if message.round >= round_ - 1]

    @property
    def is_told(self) -> bool:
        """Whether this is the first round, and our vote in it was for what we were told."""
        return self.round == 0 and self.told is not None

    def value(self, round_: int, digest: bytes) -> Value | None:
        """The value with this digest, as this round's proposal or proof brought it."""
        if round_ == 0 and self.told is not None and self.told.digest == digest:
            return self.told
        for source in (self.proposals.get(round_), self.locks.get(round_)):
            if source is not None and source.value.digest == digest:
                return source.value
        return None

    def keep(self, sender: int, message: Session | Share) -> None:
        """Set a message aside until what it needs is known; the oldest gives way."""
        kept = self.stash.setdefault(sender, [])
        if message not in kept:
            kept.append(message)
            del kept[:-STASH_MAX]

    def round_to_join(self) -> int | None:
        """The highest round in which at least f + 1 others are, if that is ahead (line 55)."""
        wanted = self.committee.faulty
        if max(self.ahead.values(), default=0) <= self.round:
            return None
        rounds = sorted(self.ahead.values(), reverse=True)
        if len(rounds) > wanted and rounds[wanted] > self.round:
            return rounds[wanted]
        return None
