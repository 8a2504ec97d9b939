"""How long a battery lasts in a sensor that sleeps, beside a LoRaWAN class A device.

A sensor reports every 15 minutes at SF9 to a gateway, and sleeps. The production node says what it
sends, how long its radio listens and how long it is awake, on the channel of tools/radio, where
computing takes no time. In each cycle that is a protected POST of 4 bytes with its receipt and its
protected answer, a POLL with its receipt, and once an hour the report of its neighbours, which
brings a beacon. Both devices have the same chips, by their datasheets (tools/radio/energy.py):
SX1262 at 14 dBm, and ESP32-S3, which sleeps deeply between. Neither its start after a deep sleep
nor the sensor is counted, for both.

The LoRaWAN device sends the same 4 bytes, unconfirmed, and opens both windows:
- LoRaWAN 1.0.3 specification, chapter 4: 13 bytes around the payload (MHDR, DevAddr, FCtrl, FCnt,
  FPort, MIC); section 3.3: RX1 opens a second after the uplink, RX2 after two. A window lasts at
  least as long as the preamble takes to be detected: 8 symbols here.
- Regional Parameters 1.0.3, section 2.2.7 (EU863-870): RX1 has the uplink's data rate, RX2 SF12.
Its controller sleeps between the windows: the best that it can do.
"""

from dataclasses import dataclass
from typing import Any

from radio.energy import ESP32_S3, SX1262, Controller, Cycle, charge_mah, lifetime_days
from radio.phy import Settings, airtime_us

from writ.sleeper import Sleeper
from writ.wire import coap

from .airnodes import RELAY, SENSOR, Air
from .row import Row

SPREADING_FACTOR = 9
PERIOD_S = 900
READING = b"21.5"
# Two alkaline AA cells in series, as their vendors state it for small currents. What the cells lose
# by themselves is not counted
BATTERY_MAH = 2500.0
CYCLES = 16
# Two years
GOAL_DAYS = 730
_PATIENCE_S = 3600.0
_OVERHEAD_BYTES = 13
_WINDOW_SYMBOLS = 8
_RX2_SPREADING_FACTOR = 12


@dataclass(frozen=True)
class Measured:
    """A mean cycle. charge_mah: of radio and controller; awake_s: of the controller."""

    charge_mah: float
    sending_s: float
    listening_s: float
    awake_s: float
    frames: float
    bytes: float

    @property
    def days(self) -> float:
        """How long the battery lasts."""
        return lifetime_days(BATTERY_MAH, 3600 * self.charge_mah / PERIOD_S)


def _controller_mah(controller: Controller, awake_s: float) -> float:
    asleep_s = PERIOD_S - awake_s
    return (awake_s * controller.active_ma + asleep_s * controller.deep_sleep_ma) / 3600


class _Sensor:
    """The production node that reports, and sleeps."""

    def __init__(self) -> None:
        self.air = air = Air(SPREADING_FACTOR)
        capsules = [air.scope.charter, air.policy, air.beacon, air.member("gateway", 1, RELAY)]
        gateway = air.node("gateway", [*capsules, air.member("soil", 17, SENSOR)], True)
        self.readings: list[bytes] = []
        resource = gateway.resource("log", methods=("POST",))
        resource(lambda request: self.readings.append(request.payload))
        capsules = [air.scope.charter, air.policy, air.beacon, air.member("soil", 17, SENSOR)]
        self.node = air.node("soil", capsules, sleep_s=PERIOD_S)
        self.frames = air.links["soil"]
        self.radio = self.frames.links[0].radio
        mesh = self.frames.mesh
        assert air.run(lambda: mesh.routing and mesh.routing.parents, _PATIENCE_S)

    def report(self) -> float:
        """Report a reading, and do what `node.sleep` does before the sleep; s awake."""
        air, frames = self.air, self.frames
        begin_ms, count = air.now_ms, len(self.readings)
        answers: list[Any] = []
        air.ask(self.node, coap.POST, "log", READING, "mesh:0001", answers.append)
        frames.sleeper = sleeper = Sleeper(frames, PERIOD_S, begin_ms + 300000)
        assert air.run(lambda: sleeper.is_ready(air.now_ms), _PATIENCE_S)
        frames.sleeper = None
        assert answers and answers[0].is_success() and self.readings[count:] == [READING]
        assert frames.links[0].sleep(air.now_ms)
        return (air.now_ms - begin_ms) / 1000

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.air.asleep.add("soil")
        self.air.run(lambda: False, seconds, 1000)
        self.air.asleep.discard("soil")
        self.frames.links[0].wake(self.air.now_ms)


def measure_sensor() -> Measured:
    """The mean of `CYCLES` cycles of the production node."""
    sensor = _Sensor()
    # two hours, so that the handshake and the first reports are over
    for _ in range(8):
        sensor.sleep(PERIOD_S - sensor.report())
    before, awake_s = sensor.radio.usage(), 0.0
    sensor.air.sent.clear()
    for _ in range(CYCLES):
        took_s = sensor.report()
        awake_s += took_s
        sensor.sleep(PERIOD_S - took_s)
    after = sensor.radio.usage()
    radio_mah = charge_mah(SX1262, after) - charge_mah(SX1262, before)
    sent = [item for item in sensor.air.sent if item[1] == "soil"]
    sending_us = sum(after.sending_us.values()) - sum(before.sending_us.values())
    listening_us = after.listening_us - before.listening_us
    return Measured(
        radio_mah / CYCLES + _controller_mah(ESP32_S3, awake_s / CYCLES),
        sending_us / CYCLES / 1e6,
        listening_us / CYCLES / 1e6,
        awake_s / CYCLES,
        len(sent) / CYCLES,
        sum(len(item[2]) for item in sent) / CYCLES,
    )


def compute_lorawan() -> Measured:
    """A cycle of the LoRaWAN device."""
    settings = Settings(spreading_factor=SPREADING_FACTOR)
    size = _OVERHEAD_BYTES + len(READING)
    sending_s = airtime_us(settings, size) / 1e6
    symbols_s = [
        2**factor / settings.bandwidth_hz for factor in (SPREADING_FACTOR, _RX2_SPREADING_FACTOR)
    ]
    listening_s = _WINDOW_SYMBOLS * sum(symbols_s)
    awake_s = sending_s + listening_s
    cycle = Cycle(PERIOD_S, sending_s, settings.power_dbm, listening_s, awake_s)
    charge = cycle.average_ma(SX1262, ESP32_S3) * PERIOD_S / 3600
    return Measured(charge, sending_s, listening_s, awake_s, 1, size)


def measure() -> list[Row]:
    """`days.battery_sleepy`."""
    lorawan = compute_lorawan().days
    return [
        Row(
            "days.battery_sleepy",
            round(measure_sensor().days),
            "d",
            GOAL_DAYS,
            peer="LoRaWAN class A, unconfirmed",
            peer_value=round(lorawan),
        )
    ]


def main() -> None:
    """Print both cycles: `python -m measure.sleeping`."""
    for name, one in (("node", measure_sensor()), ("LoRaWAN", compute_lorawan())):
        print(
            f"{name}: {one.frames:.2f} frames, {one.bytes:.1f} bytes, {one.sending_s:.3f} s"
            f" sending, {one.listening_s:.3f} s listening, {one.awake_s:.3f} s awake,"
            f" {1000 * one.charge_mah:.2f} uAh a cycle, {one.days:.0f} days"
        )


if __name__ == "__main__":
    main()
