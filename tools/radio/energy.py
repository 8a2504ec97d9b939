"""What radio time costs a battery.

Currents are the typical ones of the datasheets, in mA at 3.3 V and 25 °C. A board adds its
regulator's and its leakage; a battery loses charge by itself. Both are the caller's to add.
"""

from bisect import bisect_left
from dataclasses import dataclass

from radio.outcome import Usage
from radio.phy import Settings, airtime_us

_HOUR_US = 3_600_000_000
_DAY_H = 24.0


@dataclass(frozen=True, slots=True)
class Chip:
    """A LoRa transceiver. transmit: (dBm, mA), ascending."""

    name: str
    source: str
    sleep_ma: float
    receive_ma: float
    transmit: tuple[tuple[float, float], ...]

    def transmit_ma(self, power_dbm: float) -> float:
        """The current at a power: on a line between the datasheet's points.

        Below the first point its current counts. Raises `ValueError` above the last.
        """
        powers = [power for power, _ in self.transmit]
        if power_dbm > powers[-1]:
            raise ValueError(f"{self.name} sends at most {powers[-1]} dBm, not {power_dbm}")
        index = bisect_left(powers, power_dbm)
        if index == 0:
            return self.transmit[0][1]
        (low, low_ma), (high, high_ma) = self.transmit[index - 1], self.transmit[index]
        return low_ma + (high_ma - low_ma) * (power_dbm - low) / (high - low)


@dataclass(frozen=True, slots=True)
class Controller:
    """A microcontroller. active_ma: at work, its own radio off."""

    name: str
    source: str
    deep_sleep_ma: float
    active_ma: float


SX1276 = Chip(
    "SX1276",
    # IDDSL; IDDR with LNA boost on, band 1; IDDT: RFO at 7 and 13 dBm, PA_BOOST at 17 and 20 dBm
    "Semtech SX1276/77/78/79 datasheet, revision 7, table 6",
    sleep_ma=0.0002,
    receive_ma=11.5,
    transmit=((7, 20.0), (13, 29.0), (17, 87.0), (20, 120.0)),
)
SX1262 = Chip(
    "SX1262",
    # warm start; LoRa 125 kHz, boosted, DC-DC; 868/915 MHz with the optimal PA settings
    "Semtech SX1261/2 datasheet DS.SX1261-2, section 3.5, power consumption",
    sleep_ma=0.0006,
    receive_ma=5.3,
    transmit=((14, 45.0), (17, 58.0), (20, 84.0), (22, 118.0)),
)
ESP32_S3 = Controller(
    "ESP32-S3",
    # deep sleep: RTC memory on, RTC peripherals off; active: modem-sleep, 80 MHz, one core at work,
    # peripheral clocks disabled
    "Espressif ESP32-S3 Series Datasheet v2.0, tables 5-9 and 5-10",
    deep_sleep_ma=0.007,
    active_ma=28.4,
)


def charge_mah(chip: Chip, usage: Usage) -> float:
    """What a radio has taken from the battery."""
    sending = sum(us * chip.transmit_ma(power) for power, us in usage.sending_us.items())
    other = usage.sleeping_us * chip.sleep_ma + usage.listening_us * chip.receive_ma
    return (sending + other) / _HOUR_US


def sent_byte_uah(chip: Chip, settings: Settings, length: int) -> float:
    """Charge for each byte of a frame of `length` bytes (1 to 255), its preamble included."""
    sent_mah = airtime_us(settings, length) * chip.transmit_ma(settings.power_dbm) / _HOUR_US
    return 1000 * sent_mah / length


def listening_hour_mah(chip: Chip) -> float:
    """Charge for an hour of listening."""
    return chip.receive_ma


@dataclass(frozen=True, slots=True)
class Cycle:
    """What a sensor does in each period, in seconds. Radio and controller sleep otherwise.

    sending_s at power_dbm, listening_s, and awake_s of the controller (sending and listening
    included, unless it sleeps meanwhile).
    """

    period_s: float
    sending_s: float
    power_dbm: float
    listening_s: float
    awake_s: float

    def average_ma(self, chip: Chip, controller: Controller) -> float:
        """The average current. Raises `ValueError` if a period does not hold its parts."""
        radio_s = self.sending_s + self.listening_s
        if not max(radio_s, self.awake_s) <= self.period_s:
            raise ValueError("the period is shorter than what happens in it")
        charge = (
            self.sending_s * chip.transmit_ma(self.power_dbm)
            + self.listening_s * chip.receive_ma
            + (self.period_s - radio_s) * chip.sleep_ma
            + self.awake_s * controller.active_ma
            + (self.period_s - self.awake_s) * controller.deep_sleep_ma
        )
        return charge / self.period_s


def lifetime_days(capacity_mah: float, average_ma: float) -> float:
    """How long a battery lasts at an average current."""
    return capacity_mah / average_ma / _DAY_H
