"""The committee: how many governors there are, how many are a quorum, and what that tolerates.

Safety with f Byzantine governors of n needs threshold > (n + f) / 2 (docs/consensus.md). This
module has neither keys nor messages.
"""

from dataclasses import dataclass

from writ.limits import GOVERNORS_MAX

from ..errors import HostError, Malformed


class UnsafeThreshold(HostError):
    """A threshold that permits two decisions of one epoch, or that no quorum can reach."""

    advice = (
        "Choose a threshold above half of the governors:"
        " 3 of 4 tolerates 1 offline or 1 Byzantine governor."
    )


def tolerance(governors: int, threshold: int) -> tuple[int, int]:
    """(offline, Byzantine): how many governors of each kind the scope tolerates.

    While so many are offline, the others still reach the threshold. While so many are Byzantine,
    the scope is safe: threshold > (governors + Byzantine) / 2.
    """
    return governors - threshold, max(0, 2 * threshold - governors - 1)


def default_threshold(governors: int) -> int:
    """The least threshold that is safe with f = (governors - 1) // 3 Byzantine governors.

    That is the least threshold > (governors + f) / 2.
    """
    return (governors + (governors - 1) // 3) // 2 + 1


def check_threshold(governors: int, threshold: int, byzantine: int = 0) -> None:
    """Raises `UnsafeThreshold` unless `threshold` of `governors` is reachable and safe.

    Safe: with so many `byzantine` any two quorums still share an honest governor. Reachable: the
    honest governors alone are a quorum.
    """
    if not 1 <= governors <= GOVERNORS_MAX:
        raise UnsafeThreshold(f"a scope has 1 to {GOVERNORS_MAX} governors")
    if 2 * threshold <= governors + byzantine:
        raise UnsafeThreshold(
            f"with {byzantine} Byzantine governors, {threshold} of {governors} could sign"
            " two policies for one epoch"
        )
    honest = governors - byzantine
    if threshold > honest:
        raise UnsafeThreshold(f"the {honest} honest governors never reach {threshold}")


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
        """The governors' numbers."""
        return range(1, self.count + 1)

    @property
    def faulty_max(self) -> int:
        """f: how many may be Byzantine while decisions are still unique and still reached."""
        return min(tolerance(self.count, self.threshold))

    def proposer(self, height: int, round_: int) -> int:
        """The round's proposer. The turn rotates with each round and with each height."""
        return (height + round_) % self.count + 1

    def after(self, number: int) -> list[int]:
        """The other governors in order of their numbers, beginning after `number`."""
        return [*range(number + 1, self.count + 1), *range(1, number)]
