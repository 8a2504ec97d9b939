"""Who decides: so many governors, so many of them a quorum, and what that tolerates.

Safety needs threshold > (n + f) / 2 (docs/consensus.md); nothing here knows keys or messages.
"""

from dataclasses import dataclass
from itertools import combinations

from writ.limits import GOVERNORS_MAX

from ..errors import HostError, Malformed


class UnsafeThreshold(HostError):
    """A threshold with which a scope could be split, or that no quorum could reach."""

    advice = "Take more than half of the governors; three of four tolerate one liar or one dead."


def tolerance(governors: int, threshold: int) -> tuple[int, int]:
    """(how many may be dead, how many may lie) while the scope still works and stays safe.

    Dead: the others still reach the threshold. Lying: threshold > (governors + lying) / 2.
    """
    return governors - threshold, max(0, 2 * threshold - governors - 1)


def check_threshold(governors: int, threshold: int, lying: int = 0) -> None:
    """Raises `UnsafeThreshold` unless `threshold` of `governors` is reachable and safe.

    Safe: with so many `lying` any two quorums still share an honest governor. Reachable: the
    honest alone are a quorum.
    """
    if not 1 <= governors <= GOVERNORS_MAX:
        raise UnsafeThreshold(f"a scope has 1 to {GOVERNORS_MAX} governors")
    if 2 * threshold <= governors + lying:
        raise UnsafeThreshold(
            f"{threshold} of {governors} could certify two policies for one epoch"
            f" with {lying} of them lying"
        )
    if threshold > governors - lying:
        raise UnsafeThreshold(f"the {governors - lying} honest never reach {threshold}")


@dataclass(frozen=True)
class Committee:
    """The governors of one scope, numbered 1 to `count`; `scope` (32 B) is their group key.

    Raises `UnsafeThreshold`.
    """

    scope: bytes
    count: int
    threshold: int

    def __post_init__(self) -> None:
        if len(self.scope) != 32:
            raise Malformed("a group key has 32 bytes")
        check_threshold(self.count, self.threshold)

    @property
    def numbers(self) -> range:
        """All identifiers."""
        return range(1, self.count + 1)

    @property
    def faulty(self) -> int:
        """f: how many may lie at will, and decisions are still one and still reached."""
        return min(tolerance(self.count, self.threshold))

    def proposer(self, height: int, round_: int) -> int:
        """Whose turn it is: everybody's within `count` rounds, another's first at each height."""
        return (height + round_) % self.count + 1

    def after(self, number: int) -> list[int]:
        """The others, from the next one by number on."""
        return [*range(number + 1, self.count + 1), *range(1, number)]

    def quorums_share_an_honest_one(self, lying: int) -> bool:
        """By brute force, for tests: no two quorums have only liars in common."""
        quorums = [set(q) for q in combinations(self.numbers, self.threshold)]
        return all(len(a & b) > lying for a in quorums for b in quorums)
