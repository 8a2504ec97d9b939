"""A radio: its state, what it is set to, and what has happened to it."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from radio.outcome import ASLEEP, HALF_DUPLEX, RETUNED, Reception, Usage
from radio.pathloss import Position, name_hash
from radio.phy import Settings, airtime_us, disturbs
from radio.timeline import Timeline

# States of a radio.
SLEEPING, LISTENING, SENDING = "sleeping", "listening", "sending"

HOUR_US = 3_600_000_000
# Later than any frame: a radio that does not listen.
_NEVER_US = 1 << 62


class Busy(Exception):
    """The radio is sending: it can send the next frame when `send` has called `done`."""


class Air(Protocol):
    """What a radio needs of its channel."""

    timeline: Timeline

    def start(
        self,
        radio: "Radio",
        payload: bytes,
        settings: Settings,
        done: Callable[[], object] | None,
    ) -> int:
        """Put a frame on air. Returns its time on air in microseconds."""


class Transmission:
    """A frame on air."""

    __slots__ = ("critical_us", "end_us", "number", "payload", "radio", "settings", "start_us")

    def __init__(self, radio: "Radio", number: int, payload: bytes, settings: Settings) -> None:
        self.radio = radio
        self.number = number
        self.payload = payload
        self.settings = settings
        self.start_us = radio.channel.timeline.now_us
        self.critical_us = self.start_us + settings.critical_us
        self.end_us = self.start_us + airtime_us(settings, len(payload))


class Arrival:
    """A transmission at one receiver."""

    __slots__ = ("disturber", "radio", "rssi_dbm", "transmission")

    def __init__(self, radio: "Radio", transmission: Transmission, rssi_dbm: float) -> None:
        self.radio = radio
        self.transmission = transmission
        self.rssi_dbm = rssi_dbm
        self.disturber: Radio | None = None


class Radio:
    """One transceiver. It begins asleep.

    received: called with each frame. damaged: called for a frame that a listening receiver had
    locked on and lost in a collision, as chips report a CRC error.
    """

    def __init__(self, channel: Air, name: str, position: Position, settings: Settings):
        self.channel = channel
        self.name = name
        self.position = position
        self.settings = settings.interned()
        self.state = SLEEPING  # SLEEPING, LISTENING or SENDING
        self.received: Callable[[Reception], object] | None = None
        self.damaged: Callable[[Reception], object] | None = None
        self.counters: Counter[str] = Counter()  # "sent", "received" and the reasons of losses
        self.hash = name_hash(name)
        self.neighbours: list[tuple[float, str, Radio]] = []  # loss in dB, name, radio; ascending
        self.arrivals: list[Arrival] = []
        self._after = SLEEPING  # the state to which sending returns
        self._since_us = channel.timeline.now_us  # when the state began
        self._tuned_us = _NEVER_US  # since when it has listened with these settings
        self._deaf = ASLEEP  # why it did not hear what began before that
        self._slept_us = self._listened_us = 0
        self._sent_us: dict[float, int] = {}
        self._hour: deque[tuple[int, int]] = deque()  # (end, airtime) of the last hour

    def listen(self, settings: Settings | None = None) -> None:
        """Listen, with other settings if given. While it sends: afterwards."""
        was_tuned = self.state == LISTENING
        changed = settings is not None and settings != self.settings
        if settings is not None:
            self.settings = settings.interned()
        self._after = LISTENING
        if self.state == SENDING or (was_tuned and not changed):
            return
        self._enter(LISTENING)
        self._tuned_us = self.channel.timeline.now_us
        self._deaf = RETUNED if was_tuned else ASLEEP

    def sleep(self) -> None:
        """Stop listening. While it sends: afterwards."""
        self._after = SLEEPING
        if self.state == LISTENING:
            self._enter(SLEEPING)
            self._forget()

    def send(
        self,
        payload: bytes,
        done: Callable[[], object] | None = None,
        settings: Settings | None = None,
    ) -> int:
        """Send a frame of at most 255 bytes now. Returns its time on air in microseconds.

        done: called at its end. Afterwards the radio is in the state of before. Raises `Busy` while
        it sends, and `ValueError` for a frame that is too long.
        """
        if self.state == SENDING:
            raise Busy(self.name)
        on_air = settings.interned() if settings else self.settings
        return self.channel.start(self, bytes(payload), on_air, done)

    def is_channel_active(self) -> bool:
        """Channel activity detection (CAD) that ends now, for the radio's settings.

        It sees a frame of its spreading factor and frequency that is strong enough and began before
        the detection did, `Settings.cad_us` ago; in preamble or data, as SX126x chips do (Semtech
        AN1200.85).
        """
        latest_us = self.channel.timeline.now_us - self.settings.cad_us
        return any(
            arrival.transmission.start_us <= latest_us
            and arrival.rssi_dbm >= self.settings.sensitivity_dbm
            and disturbs(self.settings, arrival.transmission.settings)
            for arrival in self.arrivals
        )

    def rssi_dbm(self) -> float:
        """The strongest signal on the radio's frequency now, or the noise."""
        found = [
            arrival.rssi_dbm
            for arrival in self.arrivals
            if 2 * abs(arrival.transmission.settings.frequency_hz - self.settings.frequency_hz)
            <= self.settings.bandwidth_hz
        ]
        return max([*found, self.settings.noise_dbm])

    def usage(self) -> Usage:
        """The time spent in each state until now."""
        self._charge()
        return Usage(self._slept_us, self._listened_us, dict(self._sent_us))

    def airtime_last_hour_us(self) -> int:
        """The time on air of the frames that have ended or run in the hour until now."""
        self._forget_old()
        return sum(airtime for _, airtime in self._hour)

    def _forget_old(self) -> None:
        start_us = self.channel.timeline.now_us - HOUR_US
        while self._hour and self._hour[0][0] <= start_us:
            self._hour.popleft()

    def _enter(self, state: str) -> None:
        self._charge()
        self.state = state

    def _charge(self) -> None:
        now_us = self.channel.timeline.now_us
        if self.state == SLEEPING:
            self._slept_us += now_us - self._since_us
        elif self.state == LISTENING:
            self._listened_us += now_us - self._since_us
        self._since_us = now_us

    def begin(self, transmission: Transmission) -> None:
        """A frame of this radio goes on air."""
        self._after = self.state
        self._enter(SENDING)
        airtime = transmission.end_us - transmission.start_us
        power = transmission.settings.power_dbm
        self._sent_us[power] = self._sent_us.get(power, 0) + airtime
        self._forget_old()
        self._hour.append((transmission.end_us, airtime))
        self.counters["sent"] += 1

    def end(self) -> None:
        """The frame has ended: back to the state of before."""
        self._enter(self._after)
        if self._after == SLEEPING:
            self._forget()
        else:
            self._tuned_us = self.channel.timeline.now_us
            self._deaf = HALF_DUPLEX

    def _forget(self) -> None:
        self._tuned_us = _NEVER_US
        self._deaf = ASLEEP

    def missed(self, transmission: Transmission) -> str | None:
        """Why the radio did not listen to all of a frame's critical section, or None."""
        if self.state == SENDING and self._since_us < transmission.end_us:
            return HALF_DUPLEX
        return self._deaf if self._tuned_us > transmission.critical_us else None
