"""The times of many rounds of one operation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """seconds: the time of each round, in any order."""

    seconds: Sequence[float]

    def ms(self, percent: int) -> float:
        """The nearest-rank percentile, in milliseconds, to a hundredth."""
        ordered = sorted(self.seconds)
        rank = max(1, math.ceil(percent / 100 * len(ordered)))
        return round(1000 * ordered[rank - 1], 2)
