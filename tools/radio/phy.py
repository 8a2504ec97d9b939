"""The LoRa physical layer: settings, time on air, sensitivity, and which settings meet.

Sources: Semtech SX1276/77/78/79 datasheet, revision 7 (May 2020); Semtech SX1261/2 datasheet; Bor,
Roedig, Voigt, Alonso, "Do LoRa Low-Power Wide-Area Networks Scale?", MSWiM 2016, and its simulator
LoRaSim; Meshtasticator (lib/phy.py).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from writ.mesh.airtime import time_on_air_us

# SX1276 datasheet, table 10, RFS_L125_HF, RFS_L250_HF, RFS_L500_HF (band 1, highest LNA gain, LNA
# boost), in dBm for spreading factors 6 to 12. It has no factor 5: that column continues the step
# of 2.5 dB in the demodulator's SNR limit (table 13), as SX126x chips have it.
_SENSITIVITY_DBM = {
    125_000: (-115.5, -118, -123, -126, -129, -132, -133, -136),
    250_000: (-112.5, -115, -120, -123, -125, -128, -130, -133),
    500_000: (-108.5, -111, -116, -119, -122, -125, -128, -130),
}
BANDWIDTHS_HZ = tuple(_SENSITIVITY_DBM)
SPREADING_FACTORS = range(5, 13)

# Thermal noise, and the receiver's noise figure (Semtech AN1200.22, "LoRa Modulation Basics").
_NOISE_DBM_PER_HZ = -174.0
_NOISE_FIGURE_DB = 6.0

_SNR_MAX_DB = 31.75

# Bor et al., section 3.2: the stronger signal is received if it is 6 dB above the other one ...
CAPTURE_DB = 6.0
# ... and a receiver needs the last five symbols of the preamble, and all that follows, undisturbed.
_PREAMBLE_NEEDED = 5

# LoRaSim's frequencyCollision: carriers this close disturb each other. The wider one decides.
_INTERFERENCE_HZ = {125_000: 30_000, 250_000: 60_000, 500_000: 120_000}

# A detection takes about two symbols (SX1276 datasheet, "Channel Activity Detection").
_CAD_SYMBOLS = 2

FRAME_MAX = 255  # bytes: the length field of the LoRa header


@dataclass(frozen=True, slots=True)
class Settings:
    """What a radio is set to. Raises `ValueError` for values that no LoRa chip has.

    coding_rate: 5 to 8, for 4/5 to 4/8. preamble: symbols. sync_word: networks with different ones
    do not receive each other, but disturb each other.
    """

    frequency_hz: int = 868_100_000
    bandwidth_hz: int = 125_000
    spreading_factor: int = 7
    coding_rate: int = 5
    preamble: int = 8
    power_dbm: float = 14
    sync_word: int = 0x12

    def __post_init__(self) -> None:
        if self.bandwidth_hz not in BANDWIDTHS_HZ:
            raise ValueError(f"bandwidth_hz is one of {BANDWIDTHS_HZ}, not {self.bandwidth_hz}")
        if self.spreading_factor not in SPREADING_FACTORS:
            raise ValueError(f"spreading_factor is 5 to 12, not {self.spreading_factor}")
        if not 5 <= self.coding_rate <= 8:
            raise ValueError(f"coding_rate is 5 to 8, for 4/5 to 4/8, not {self.coding_rate}")
        if not 1 <= self.preamble <= 65535:
            raise ValueError(f"preamble is 1 to 65535 symbols, not {self.preamble}")

    def interned(self) -> "Settings":
        """The one object with these values: the channel compares settings by identity first."""
        return _INTERNED.setdefault(self, self)

    @property
    def symbol_us(self) -> int:
        """Duration of a symbol, 2^SF / BW, in microseconds. It is whole for all bandwidths."""
        return (1_000_000 << self.spreading_factor) // self.bandwidth_hz

    @property
    def sensitivity_dbm(self) -> float:
        """The weakest signal that is received."""
        return _SENSITIVITY_DBM[self.bandwidth_hz][self.spreading_factor - 5]

    @property
    def noise_dbm(self) -> float:
        """The noise in the bandwidth."""
        return _NOISE_DBM_PER_HZ + 10 * math.log10(self.bandwidth_hz) + _NOISE_FIGURE_DB

    def snr_db(self, rssi_dbm: float) -> float:
        """The signal-to-noise ratio that a chip reports, at most 31.75 dB (RegPktSnrValue)."""
        return min(_SNR_MAX_DB, rssi_dbm - self.noise_dbm)

    @property
    def critical_us(self) -> int:
        """Microseconds after the start from which a frame must be undisturbed."""
        return max(0, self.preamble - _PREAMBLE_NEEDED) * self.symbol_us

    @property
    def cad_us(self) -> int:
        """How long a detection of activity takes. What began later than that is missed."""
        return _CAD_SYMBOLS * self.symbol_us


# All settings that radios have had. A field has few.
_INTERNED: dict[Settings, Settings] = {}


@lru_cache(maxsize=4096)
def airtime_us(settings: Settings, length: int) -> int:
    """Time on air of a frame of `length` bytes (0 to 255), with explicit header and CRC.

    The formula of `writ.mesh.airtime`; for spreading factors 5 and 6, which an SX1276 lacks, that
    of the SX1261/2 datasheet, section 6.1.4. Raises `ValueError` for another length.
    """
    if not 0 <= length <= FRAME_MAX:
        raise ValueError(f"a LoRa frame has 0 to {FRAME_MAX} bytes, not {length}")
    if settings.spreading_factor < 7:
        bits = max(0, 8 * length + 16 - 4 * settings.spreading_factor + 20)
        blocks = -(-bits // (4 * settings.spreading_factor))
        quarters = 4 * (settings.preamble + 8 + blocks * settings.coding_rate) + 25
        return quarters * settings.symbol_us // 4
    # the device's function has the chip's minimum of 6 symbols
    preamble = max(6, settings.preamble)
    found: int = time_on_air_us(
        length,
        settings.spreading_factor,
        settings.bandwidth_hz // 1000,
        settings.coding_rate,
        preamble,
    )
    return found - (preamble - settings.preamble) * settings.symbol_us


@lru_cache(maxsize=4096)
def can_receive(receiver: Settings, sender: Settings) -> bool:
    """Whether a radio with one setting receives frames of the other, if they are strong enough.

    The carrier may be off by a quarter of the bandwidth (SX1276 datasheet, table 10, FERR_L).
    """
    return (
        receiver.spreading_factor == sender.spreading_factor
        and receiver.bandwidth_hz == sender.bandwidth_hz
        and receiver.sync_word == sender.sync_word
        and 4 * abs(receiver.frequency_hz - sender.frequency_hz) <= receiver.bandwidth_hz
    )


@lru_cache(maxsize=4096)
def disturbs(one: Settings, other: Settings) -> bool:
    """Whether two signals collide. Different spreading factors are orthogonal, as in LoRaSim."""
    reach = max(_INTERFERENCE_HZ[one.bandwidth_hz], _INTERFERENCE_HZ[other.bandwidth_hz])
    return (
        one.spreading_factor == other.spreading_factor
        and abs(one.frequency_hz - other.frequency_hz) <= reach
    )
