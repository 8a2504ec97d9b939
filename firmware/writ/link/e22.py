"""Ebyte E22-900T and E22-400T (T22, T30) in transparent mode as a frame link.

Source: Chengdu Ebyte, "E22-xxxT22S series product user manual", 2012-2024, chapters 6 (working
modes) and 7 (registers):
- M1 = M0 = 0: what comes by the serial port goes on air. M1 = M0 = 1: deep sleep, no reception.
  M1 = 1, M0 = 0: configuration, at 9600 baud 8N1. C1 reads registers, C0 writes them to flash; both
  are answered with C1.
- At most 240 bytes go on air at once. There are no borders of frames on the serial port, so a frame
  travels as on a serial line (serial.py), which takes 5 bytes more: 235 bytes a frame.
- "LBT": the module listens before it sends, for two seconds at most, and sends then.
- The module tells RSSI, and no SNR.

With the pins in config.json ("m0" and "m1", on a chip) the registers are compared at each start and
written where they differ, and the module sleeps with its node. Without them set the module up with
Ebyte's tool: the channel, the air data rate of `_RATES`, transparent transmission, sub-packets of
240 bytes, LBT. "aux" is optional: the module sets it low while it is busy.

Ebyte does not say which LoRa settings an air data rate is, or what precedes the data on air. Each
rate is taken for the settings at 4/5 whose rate is nearest, with 3 bytes before the data (address
and network). So the airtime is an estimate.
"""

from ..compat import MICROPYTHON, const
from ..errors import UsageError
from .lora import LORA, Settings
from .port import Port
from .serial import SerialLink

_BAUD = const(9600)
# (spreading_factor, bandwidth_khz): bits 2 to 0 of REG0. 38.4k and 62.5k would be factors 6 and 5.
# The manual of 2012-2024 has 2.4k for 0, 1 and 2; those of 2012-2018 have 0.3k, 1.2k and 2.4k.
_RATES = {(12, 125): 0, (12, 500): 1, (11, 500): 2, (10, 500): 3, (8, 500): 4, (7, 500): 5}
# power_dbm: bits 1 and 0 of REG1, of T22 and of T30
_POWERS = {22: 0, 17: 1, 13: 2, 10: 3, 30: 0, 27: 1, 24: 2, 21: 3}
# First channel in kHz, and the number of channels of 1 MHz
_BANDS = ((410125, 84), (850125, 81))
_9600_8N1 = const(0x60)
# REG3: LBT, and the default cycle of a mode that is not used
_REG3 = const(0x13)

_READ = b"\xc1\x00\x07"
_WRITE = b"\xc0\x00\x07"
_ANSWER_BYTES = const(10)

# The frame's CRC, one byte of COBS and two zeros; what the module adds
_PACKING_BYTES = const(5)
_HEADER_BYTES = const(3)

# The module needs milliseconds to change its mode.
_MODE_MS = const(100)
_ANSWER_MS = const(1000)
_PAUSE_MS = const(1000)
_PAUSE_LONGEST_MS = const(30000)
_TAIL_MS = const(20)

# States
_CLOSED = const(0)
_PAUSED = const(1)
_ENTERING = const(2)  # configuration mode
_READING = const(3)
_WRITING = const(4)
_LEAVING = const(5)
_READY = const(6)
_ASLEEP = const(7)


class Pins:
    """M0, M1 and AUX of the module on a chip: numbers of pins; aux may be None."""

    def __init__(self, m0, m1, aux):
        if not MICROPYTHON:
            raise UsageError('links: "m0" and "m1" are for chips')
        import machine

        if not hasattr(machine, "Pin"):
            raise UsageError("links: this interpreter has no pins")
        self._m0 = machine.Pin(m0, machine.Pin.OUT, value=0)
        self._m1 = machine.Pin(m1, machine.Pin.OUT, value=0)
        self._aux = None if aux is None else machine.Pin(aux, machine.Pin.IN)

    def set_mode(self, m0, m1):
        """Set the levels of M0 and M1."""
        self._m0(m0)
        self._m1(m1)

    def is_free(self):
        """Whether the module takes a frame now."""
        return self._aux is None or self._aux() == 1


class E22(SerialLink):
    """A frame link. config: its entry of "links" in config.json; port, pins: in the place of their
    own.

    counters: "BadFrame", "TooLarge" and "Reopened" as a serial link; "NoAnswer", "Refused" (by the
    module in its configuration).
    """

    kind = LORA
    mtu = 240 - _PACKING_BYTES

    def __init__(self, config, port=None, pins=None):
        self.settings = one = Settings(config)
        self.duty_cycle_permille = one.duty_cycle_permille
        config = dict(config)
        config.setdefault("baud", _BAUD)
        if pins is None and "m0" in config:
            pins = Pins(config["m0"], config.get("m1"), config.get("aux"))
        rate = _RATES.get((one.spreading_factor, one.bandwidth_khz))
        one.check(rate is not None, "no air data rate for these settings")
        one.check(one.coding_rate == 5, "coding rate 4/5 only")
        one.check(one.power_dbm in _POWERS, "22, 17, 13 or 10 dBm, or 8 dBm more")
        channel = _channel(one.frequency_khz)
        one.check(channel is not None, "channels of 1 MHz: 850125 + n * 1000 or 410125 + n * 1000")
        one.check(pins is None or config["baud"] == _BAUD, "9600 baud where it has pins")
        self._registers = bytes((0, 0, 0, _9600_8N1 | rate, _POWERS[one.power_dbm], channel, _REG3))
        super().__init__(config, port or Port(config))
        self._pins = pins
        self._byte_us = 10000000 // config["baud"]
        self._state = _CLOSED
        self._due_ms = None  # when the state ends; None: never
        self._pause_ms = _PAUSE_MS
        self._answer = b""
        self._free_ms = 0  # when the last frame has left

    @property
    def error(self):
        """Why the link is not ready, as text; None if it is."""
        if self._state == _READY:
            return None
        if self._state == _ASLEEP:
            return "the modem sleeps"
        return self._port.error or "the modem is being set up"

    def receive(self, now_ms):
        """(frame, None) or None. Never waits."""
        frame = None
        if self._pins is None or self._state in (_READY, _CLOSED):
            frame = super().receive(now_ms)
        else:
            self._answer = (self._answer + self._port.read(now_ms))[-_ANSWER_BYTES:]
            self._take_answer(now_ms)
        self._follow_port(now_ms)
        if self._due_ms is not None and now_ms >= self._due_ms:
            self._go_on(now_ms)
        return frame

    def send(self, frame, now_ms):
        """Send a frame (bytes). False if the module is not ready or sends another one.

        Raises `UsageError` unless the frame has 1 to `mtu` bytes.
        """
        if self._state != _READY or self.is_sending(now_ms):
            return False
        if not super().send(frame, now_ms):
            return False
        count = len(frame) + _PACKING_BYTES
        busy_us = self.airtime_us(len(frame)) + count * self._byte_us
        self._free_ms = now_ms + busy_us // 1000 + _TAIL_MS
        return True

    def is_sending(self, now_ms):
        """Whether a frame is under way: it waits for the channel, or is on air."""
        return now_ms < self._free_ms or not (self._pins is None or self._pins.is_free())

    def sleep(self, now_ms):
        """Stop receiving, with pins. False if that takes time: `receive`, and call this again."""
        if self._pins is None or self._state in (_CLOSED, _PAUSED, _ASLEEP):
            return True
        if self._state != _READY or self.is_sending(now_ms):
            return False
        self._pins.set_mode(1, 1)
        self._enter(_ASLEEP, None)
        return True

    def wake(self, now_ms):
        """Receive again. Frames are taken when the module has changed its mode."""
        if self._state == _ASLEEP:
            self._pins.set_mode(0, 0)
            self._enter(_LEAVING, now_ms + _MODE_MS)

    def airtime_us(self, length):
        """Microseconds on air of a frame of `length` bytes: an estimate."""
        return self.settings.airtime_us(length + _PACKING_BYTES + _HEADER_BYTES)

    def next_ms(self, now_ms):
        """In how many ms `receive` should be called though `handle` is not readable, or None."""
        soonest = super().next_ms(now_ms)
        if self._due_ms is not None:
            left_ms = max(0, self._due_ms - now_ms)
            soonest = left_ms if soonest is None else min(soonest, left_ms)
        return soonest

    def close(self):
        """Close the port."""
        super().close()
        self._enter(_CLOSED, None)

    def _enter(self, state, due_ms):
        self._state = state
        self._due_ms = due_ms
        self._answer = b""

    def _follow_port(self, now_ms):
        change = self._port.take_change()
        if change is None:
            return
        self._pause_ms = _PAUSE_MS
        if not change:
            self._enter(_CLOSED, None)
        elif self._pins is None:
            self._enter(_READY, None)
        else:
            self._begin(now_ms)

    def _begin(self, now_ms):
        self._pins.set_mode(0, 1)
        self._enter(_ENTERING, now_ms + _MODE_MS)

    def _go_on(self, now_ms):
        # the time of a state is over
        if self._state == _PAUSED:
            self._begin(now_ms)
        elif self._state == _ENTERING:
            self._enter(_READING, now_ms + _ANSWER_MS)
            self._port.write(_READ)
        elif self._state == _LEAVING:
            self._pause_ms = _PAUSE_MS
            self._enter(_READY, None)
        else:
            self._count("NoAnswer")
            self._pause(now_ms)

    def _take_answer(self, now_ms):
        if self._state not in (_READING, _WRITING) or self._answer[:3] != _READ:
            if self._state == _WRITING and self._answer[-3:] == b"\xff\xff\xff":
                self._count("Refused")
                self._pause(now_ms)
            return
        if len(self._answer) < _ANSWER_BYTES:
            return
        if self._answer[3:] == self._registers:
            self._pins.set_mode(0, 0)
            self._enter(_LEAVING, now_ms + _MODE_MS)
        elif self._state == _READING:
            self._enter(_WRITING, now_ms + _ANSWER_MS)
            self._port.write(_WRITE + self._registers)
        else:
            self._count("Refused")
            self._pause(now_ms)

    def _pause(self, now_ms):
        self._enter(_PAUSED, now_ms + self._pause_ms)
        self._pause_ms = min(2 * self._pause_ms, _PAUSE_LONGEST_MS)


def _channel(frequency_khz):
    for first_khz, count in _BANDS:
        number, rest = divmod(frequency_khz - first_khz, 1000)
        if rest == 0 and 0 <= number < count:
            return number
    return None
