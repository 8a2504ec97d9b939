"""The prevotes that a replica has counted at one height, in a bounded window of rounds."""

from dataclasses import dataclass, field

from .committee import Committee
from .messages import Prevote

# An honest replica is rarely further ahead. One that lags more learns so from status messages.
ROUNDS_AHEAD_MAX = 8


@dataclass
class _Round:
    prevotes: dict[int, Prevote] = field(default_factory=dict)  # by voter
    counts: dict[bytes, int] = field(default_factory=dict)  # by digest, b"" for nil


class Votes:
    """Prevotes by round and voter. A voter's first prevote in a round counts."""

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        self._rounds: dict[int, _Round] = {}

    def add(self, prevote: Prevote, current: int) -> Prevote | None:
        """Count a verified prevote; returns the earlier one that it contradicts, if any.

        current: the replica's round. A vote that is repeated with other commitments, after its
        author has restarted, replaces the earlier one.
        """
        if not current - 1 <= prevote.round <= current + ROUNDS_AHEAD_MAX:
            return None
        found = self._rounds.setdefault(prevote.round, _Round())
        earlier = found.prevotes.get(prevote.sender)
        if earlier is None:
            name = prevote.digest or b""
            found.counts[name] = found.counts.get(name, 0) + 1
        elif earlier.digest != prevote.digest:
            return earlier
        if earlier is None or earlier.counter <= prevote.counter:
            found.prevotes[prevote.sender] = prevote
        return None

    def forget_before(self, round_: int) -> None:
        """Forget rounds before this one, which can no longer decide anything."""
        for old in [number for number in self._rounds if number < round_]:
            del self._rounds[old]

    def of(self, round_: int) -> dict[int, Prevote]:
        """The round's prevotes by voter."""
        found = self._rounds.get(round_)
        return {} if found is None else found.prevotes

    def voter_mask(self, round_: int) -> int:
        """The round's voters as a bit mask: bit n for governor n."""
        return sum(1 << number for number in self.of(round_))

    def quorum(self, round_: int) -> bytes | None:
        """The digest for which a quorum of the round voted; b"" for nil, None for no quorum."""
        for name, count in self._counts(round_).items():
            if count >= self._committee.threshold:
                return name
        return None

    def is_split(self, round_: int) -> bool:
        """Whether no value can have a quorum in the round any more, as each governor votes once."""
        missing = self._committee.count - len(self.of(round_))
        counts = [count for name, count in self._counts(round_).items() if name]
        return max(counts, default=0) + missing < self._committee.threshold

    def _counts(self, round_: int) -> dict[bytes, int]:
        found = self._rounds.get(round_)
        return {} if found is None else found.counts

    def prevote_quorum(self, round_: int, digest: bytes) -> tuple[Prevote, ...]:
        """A quorum of the round's prevotes for `digest`."""
        found = [prevote for prevote in self.of(round_).values() if prevote.digest == digest]
        return tuple(found[: self._committee.threshold])
