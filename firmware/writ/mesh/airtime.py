"""LoRa time on air. Airtime is an integer in microseconds."""

from ..compat import memoize
from ..errors import UsageError


@memoize
def time_on_air_us(
    length,
    spreading_factor,
    bandwidth_khz=125,
    coding_rate=5,
    preamble=8,
    has_header=True,
    has_crc=True,
):
    """Microseconds that a LoRa frame of `length` bytes (0 to 255) takes.

    Source: Semtech SX1276/77/78/79 datasheet, section 4.1.1.7; SX1262 has the same at spreading
    factors 7 to 12. Low data rate optimisation is on above symbols of 16 ms (section 4.1.1.6).

    bandwidth_khz: 125, 250 or 500; coding_rate: 5 to 8, for 4/5 to 4/8; preamble: symbols, 6 at
    least. Raises `UsageError` for other values.
    """
    if not (
        type(length) is type(spreading_factor) is type(coding_rate) is type(preamble) is int
        and 0 <= length <= 255
        and 7 <= spreading_factor <= 12
        and bandwidth_khz in (125, 250, 500)
        and 5 <= coding_rate <= 8
        and 6 <= preamble <= 65535
    ):
        raise UsageError(
            "no LoRa frame: length 0 to 255, spreading_factor 7 to 12, bandwidth_khz 125, 250 or"
            " 500, coding_rate 5 to 8, preamble 6 or more"
        )
    symbol_us = (1000 << spreading_factor) // bandwidth_khz
    bits = 8 * length - 4 * spreading_factor + 28
    if has_crc:
        bits += 16
    if not has_header:
        bits -= 20
    a_block = 4 * (spreading_factor - (2 if symbol_us > 16000 else 0))
    symbols = preamble + 4 + 8 + max(0, -(-bits // a_block)) * coding_rate
    return symbols * symbol_us + symbol_us // 4
