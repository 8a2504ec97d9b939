"""What a refused LoRa setting could be instead: other factors, modems and frequencies.

The answers are found by trying the settings with the modems' own code.
"""

from collections.abc import Callable, Sequence
from typing import Any

from writ.errors import UsageError
from writ.mesh.dutycycle import BANDS

_FACTORS = range(7, 13)
_BANDWIDTHS_KHZ = (125, 250, 500)
# Makes an entry complete for radios on SPI; other modems ignore it
_SPI = {"spi": 0, "cs": 0, "busy": 0}
# What every modem can do beside its factors and bandwidths
_COMMON = {
    "frequency_khz": 868125, "coding_rate": 5, "power_dbm": 13, "duty_cycle_permille": 1000
}  # fmt: skip
_Entry = dict[str, Any]


def hint(entry: _Entry, modems: Sequence[str], open_entry: Callable[[_Entry], Any]) -> str:
    """The text to add to the error for an entry of a LoRa link, or "" if nothing is known.

    modems: all that there are; open_entry: raises `UsageError` for settings that are impossible.
    """

    def works(**changes: Any) -> bool:
        try:
            open_entry({**_SPI, **entry, **changes})
        except UsageError:
            return False
        return True

    if not works(**_COMMON):
        return _channels(entry, modems, works)
    return (
        ""
        if works() or not works(duty_cycle_permille=1000)
        else _band(entry["frequency_khz"], entry["bandwidth_khz"])
    )


def _channels(entry: _Entry, modems: Sequence[str], works: Callable[..., bool]) -> str:
    """The factors of each bandwidth that this modem has, and the modems that have these."""
    rows = []
    for width in _BANDWIDTHS_KHZ:
        factors = [
            factor
            for factor in _FACTORS
            if works(**_COMMON, spreading_factor=factor, bandwidth_khz=width)
        ]
        if factors:
            rows.append(f"at {width} kHz {_ranges(factors)}")
    if not rows:
        # something else is wrong
        return ""
    text = f". {entry['modem']} has {', '.join(rows)}"
    others = [one for one in modems if works(**_COMMON, modem=one)]
    if others:
        settings = f"SF{entry['spreading_factor']} at {entry['bandwidth_khz']} kHz"
        text += f"; modems with {settings}: {', '.join(others)}"
    return text


def _ranges(factors: list[int]) -> str:
    """ "SF7 to SF9", or "SF7, SF8, SF10"."""
    first, last = factors[0], factors[-1]
    if len(factors) > 2 and last - first == len(factors) - 1:
        return f"SF{first} to SF{last}"
    return ", ".join(f"SF{factor}" for factor in factors)


def _band(frequency_khz: int, bandwidth_khz: int) -> str:
    """The nearest band, and the frequencies in it at which the channel fits."""
    joined: list[list[int]] = []
    for low, high, _ in BANDS:
        if joined and joined[-1][1] == low:
            joined[-1][1] = high
        else:
            joined.append([low, high])
    low, high = min(
        joined, key=lambda band: max(band[0] - frequency_khz, frequency_khz - band[1], 0)
    )
    text = f": the nearest band is {low} to {high} kHz"
    first, last = low + (bandwidth_khz + 1) // 2, high - (bandwidth_khz + 1) // 2
    if first > last:
        return f"{text}, narrower than the channel"
    return f"{text}, which takes --frequency {first} to {last}"
