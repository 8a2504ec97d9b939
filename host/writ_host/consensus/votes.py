"""The prevotes that a replica has seen at one height, a bounded window of rounds."""

from collections.abc import Iterable

from .committee import Committee
from .messages import Prevote, Proposal, Share
from .signer import Signer

# An honest replica is rarely further ahead; whoever lags more is told by status messages.
ROUNDS_AHEAD_MAX = 8
# Verified signatures remembered: each prevote comes by itself, in sessions and in proofs.
VERIFIED_MAX = 1024


class Votes:
    """Prevotes by round and voter. The first of a voter in a round counts, others are evidence."""

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        self._rounds: dict[int, dict[int, Prevote]] = {}

    def add(self, prevote: Prevote, current: int) -> Prevote | None:
        """Count a verified prevote; returns the earlier one that it contradicts, if any.

        A vote repeated with other commitments (its author restarted) replaces the earlier one.
        """
        if not current - 1 <= prevote.round <= current + ROUNDS_AHEAD_MAX:
            return None
        voters = self._rounds.setdefault(prevote.round, {})
        earlier = voters.get(prevote.sender)
        if earlier is not None and earlier.digest != prevote.digest:
            return earlier
        if earlier is None or earlier.counter <= prevote.counter:
            voters[prevote.sender] = prevote
        return None

    def forget_before(self, round_: int) -> None:
        """Rounds before this one decide nothing any more."""
        for old in [number for number in self._rounds if number < round_]:
            del self._rounds[old]

    def of(self, round_: int) -> dict[int, Prevote]:
        """The round's prevotes by voter."""
        return self._rounds.get(round_, {})

    def voters(self, round_: int) -> int:
        """Who voted in the round, as a bit mask."""
        return sum(1 << number for number in self.of(round_))

    def quorum(self, round_: int) -> bytes | None:
        """The digest that a quorum of the round voted for; b"" for nil, None for no quorum."""
        counts: dict[bytes, int] = {}
        for prevote in self.of(round_).values():
            name = prevote.digest or b""
            counts[name] = counts.get(name, 0) + 1
            if counts[name] >= self._committee.threshold:
                return name
        return None

    def is_split(self, round_: int) -> bool:
        """Whether no value can have a quorum in the round any more, if each votes once."""
        counts: dict[bytes | None, int] = {None: 0}
        votes = self.of(round_).values()
        for prevote in votes:
            counts[prevote.digest] = counts.get(prevote.digest, 0) + 1
        del counts[None]
        missing = len(self._committee.numbers) - len(votes)
        return max(counts.values(), default=0) + missing < self._committee.threshold

    def certificate(self, round_: int, digest: bytes) -> tuple[Prevote, ...]:
        """A quorum of the round's prevotes for `digest`."""
        found = [prevote for prevote in self.of(round_).values() if prevote.digest == digest]
        return tuple(found[: self._committee.threshold])


class Verifier:
    """Checks signed messages and proofs of a quorum, each signature once."""

    def __init__(self, committee: Committee, signer: Signer) -> None:
        self._committee = committee
        self._signer = signer
        self._verified: dict[Prevote | Proposal | Share, None] = {}

    def check(self, message: Prevote | Proposal | Share) -> bool:
        """True when its author is a governor and signed it."""
        if message.sender not in self._committee.numbers:
            return False
        if message in self._verified:
            return True
        text = message.text(self._committee.scope)
        if not self._signer.verify(message.sender, text, message.signature):
            return False
        self._verified[message] = None
        if len(self._verified) > VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]
        return True

    def is_quorum(self, proof: Iterable[Prevote], height: int, round_: int, digest: bytes) -> bool:
        """True for a quorum of governors who signed prevotes for exactly this."""
        listed = list(proof)
        wanted = height, round_, digest
        return (
            len({prevote.sender for prevote in listed}) == len(listed)
            and len(listed) >= self._committee.threshold
            and all((p.height, p.round, p.digest) == wanted for p in listed)
            and all(self.check(prevote) for prevote in listed)
        )
