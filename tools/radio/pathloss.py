"""How much of a signal is lost on the way: log-distance path loss with shadowing.

loss(d) = loss at d0 + 10 * exponent * log10(d / d0) + shadowing. Shadowing is a normal variable of
the pair, the same in both directions and for the whole run: hills and houses stay where they are.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from statistics import NormalDist

Position = tuple[float, float, float]

_MASK = (1 << 64) - 1
_TO_SHARE = 1 / (1 << 53)
_inverse_normal = NormalDist().inv_cdf
# Shadowing is cut off here, so that a distance exists beyond which nothing is heard.
_SIGMAS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class LogDistance:
    """A log-distance model. Distances in metres, losses in dB."""

    exponent: float
    reference_m: float
    reference_db: float
    shadowing_db: float

    def median_db(self, distance_m: float) -> float:
        """The loss without shadowing. Less than one metre counts as one metre."""
        ratio = max(distance_m, 1.0) / self.reference_m
        return self.reference_db + 10 * self.exponent * math.log10(ratio)

    def reach_m(self, budget_db: float) -> float:
        """The distance beyond which no pair has a loss of at most `budget_db`."""
        spare_db = budget_db + _SIGMAS_MAX * self.shadowing_db - self.reference_db
        return max(1.0, self.reference_m * 10 ** (spare_db / (10 * self.exponent)))

    def without_shadowing(self) -> "LogDistance":
        """The same model on a plain."""
        return replace(self, shadowing_db=0.0)


# The name in a scene's file: the model.
MODELS = {
    # Bor et al., MSWiM 2016, section 3.1 (built-up area); LoRaSim and Meshtasticator use it too.
    "lorasim": LogDistance(2.08, 40.0, 127.41, 3.57),
    # Petäjäjärvi et al., "On the coverage of LPWANs", ITST 2015: by car around Oulu.
    "oulu": LogDistance(2.32, 1000.0, 128.95, 7.8),
    # Friis at 868 MHz: 20 log10(4 pi / wavelength).
    "free space": LogDistance(2.0, 1.0, 31.22, 0.0),
}


def name_hash(name: str) -> int:
    """64 bits of a name, for `shadowing_db`."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def mix(value: int) -> int:
    """64 well-mixed bits of 64 (the finalizer of SplitMix64, Steele et al., OOPSLA 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def share(value: int) -> float:
    """A number above 0 and below 1, of 64 mixed bits."""
    return ((value >> 11) + 0.5) * _TO_SHARE


def shadowing_db(model: LogDistance, seed: int, one: int, other: int) -> float:
    """The shadowing of a pair: symmetric. seed: 64 mixed bits; one, other: `name_hash` of each."""
    if not model.shadowing_db:
        return 0.0
    sigmas = _inverse_normal(((mix(one ^ other ^ seed) >> 11) + 0.5) * _TO_SHARE)
    if sigmas > _SIGMAS_MAX:
        sigmas = _SIGMAS_MAX
    elif sigmas < -_SIGMAS_MAX:
        sigmas = -_SIGMAS_MAX
    return model.shadowing_db * sigmas
