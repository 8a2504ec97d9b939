"""Ebyte E22-900T22: a transparent serial port over LoRa.

Source: "E22-xxxT22S series product user manual", Chengdu Ebyte, 2012-2024, chapter 6 ("Working
mode") and chapter 7 ("Register read and write control": command format, register description).

The module has no AT commands: in mode 0 what the host writes goes on air, in mode 2 the host reads
and writes registers in binary (C0, C1, C2; FF FF FF for a wrong format). The mode is chosen by the
pins M0 and M1. A pty has no modem lines (TIOCMSET fails), so the pins are set by `set_pins` or by
the control channel of the tool. Bit 4 of REG1 ("software mode switching", in recent firmware)
allows C0 C1 C2 C3 02 and the mode on the serial port instead, as on a real module.

Where the manual is silent, this is assumed:
- A burst of the host ends after a pause of three bytes. It is sent in sub-packets of the size in
  REG1. The buffer has 1,000 bytes; what exceeds it is lost.
- Ebyte names air data rates only. Each is the LoRa setting whose rate at 4/5 is nearest, at 500 kHz
  but for 0.3k; the newer manuals' rates below 2.4k are those of the older ones. The preamble has 8
  symbols; 3 bytes, address and network, precede the data on air.
- RSSI is the byte 256 + dBm, as in the manual of 2024; older ones have -2 * dBm.
- Relay, fixed transmission, WOR (mode 1) and configuration by air (CF CF) are not emulated. Writing
  such a bit is answered with FF FF FF.
- A mode that is left while a frame is on air ends after it.
"""

from collections import deque
from collections.abc import Callable
from typing import ClassVar

from radio.modems.modem import Modem
from radio.outcome import Reception
from radio.phy import Settings
from radio.timeline import Entry, Timeline
from radio.transceiver import SENDING, Radio

TRANSPARENT, WOR, CONFIGURATION, DEEP_SLEEP = 0, 1, 2, 3

_WRITE, _READ, _WRITE_TEMPORARY = 0xC0, 0xC1, 0xC2
_WRONG = b"\xff\xff\xff"
_SPECIAL = b"\xc0\xc1\xc2\xc3"

# ADDH ADDL NETID REG0 (9600 8N1, 2.4k) REG1 REG2 (868.125 MHz) REG3 (WOR cycle 2 s) CRYPT
_DEFAULTS = bytes([0, 0, 0, 0x62, 0, 0x12, 0x03, 0, 0])
_ADDRESS, _NETWORK, _REG0, _REG1, _REG2, _REG3, _CRYPT = 0, 2, 3, 4, 5, 6, 7
_PRODUCT = range(0x80, 0x87)  # read only; its content is Ebyte's

_BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
_CONFIGURATION_BAUD = 9600
# Air data rate 0 to 7 (0.3k 1.2k 2.4k 4.8k 9.6k 19.2k 38.4k 62.5k): spreading factor, bandwidth.
_RATES = (
    (12, 125_000),
    (12, 500_000),
    (11, 500_000),
    (10, 500_000),
    (8, 500_000),
    (7, 500_000),
    (6, 500_000),
    (5, 500_000),
)
_POWERS_DBM = (22, 17, 13, 10)
_PACKETS = (240, 128, 64, 32)
_FIRST_HZ, _CHANNEL_HZ, _CHANNEL_MAX = 850_125_000, 1_000_000, 80

_NOISE_READABLE = 0x20  # REG1
_SOFTWARE_SWITCH = 0x10  # REG1; bit 2 in manuals of other modules of the series
_RSSI_BYTE, _LISTEN_FIRST = 0x80, 0x10  # REG3
_NOT_EMULATED = 0x40 | 0x20 | 0x08  # REG3: fixed transmission, relay, WOR sender

_BUFFER_MAX = 1000
_HEADER = 3
# "LBT": the module waits for a free channel for at most two seconds.
_WAIT_US_MAX = 2_000_000
_RETRY_US = 20_000


class E22(Modem):
    """The module, in mode 0 (M0 and M1 low)."""

    kind: ClassVar[str] = "e22"

    def __init__(
        self, radio: Radio, timeline: Timeline, write: Callable[[bytes], object] | None = None
    ) -> None:
        super().__init__(radio, timeline, write)
        self._flash = bytearray(_DEFAULTS)
        self._registers = bytearray(_DEFAULTS)
        self.mode = TRANSPARENT
        self._burst = b""
        self._pause: Entry | None = None
        self._queue: deque[bytes] = deque()
        self._waited_us = 0
        self._last_rssi_dbm = -256.0

    def power_on(self) -> None:
        """Load the registers from flash. The module says nothing."""
        self.power_off()
        self.is_powered = True
        self._registers = bytearray(self._flash)
        Timeline.cancel(self._pause)
        self._burst = b""
        self._queue.clear()
        self._tune()

    def reset(self) -> None:
        """The reset pin."""
        self.power_on()

    def set_pins(self, m0: int, m1: int) -> None:
        """Set the level of both pins. Raises `ValueError` for mode 1, which is not emulated."""
        self.set_mode(2 * m1 + m0)

    def set_mode(self, mode: int) -> None:
        """Enter mode 0 (transparent), 2 (configuration) or 3 (deep sleep)."""
        if mode not in (TRANSPARENT, CONFIGURATION, DEEP_SLEEP):
            raise ValueError("mode 1 (WOR) is not emulated; modes are 0, 2 and 3")
        self.mode = mode
        self._tune()

    def feed(self, data: bytes) -> None:
        """Take bytes from the host: a burst, which ends with a pause."""
        is_deaf = self.mode == DEEP_SLEEP and not self._registers[_REG1] & _SOFTWARE_SWITCH
        if not self.is_powered or is_deaf:
            return
        self._burst += data
        Timeline.cancel(self._pause)
        configuring = self.mode == CONFIGURATION
        baud = _CONFIGURATION_BAUD if configuring else _BAUDS[self._registers[_REG0] >> 5]
        self._pause = self.timeline.after(3 * 10_000_000 // baud, self._end_of_burst)

    def on_frame(self, reception: Reception) -> None:
        """Hand the data to the host, if address and network are this module's."""
        payload = reception.payload
        address = bytes(self._registers[_ADDRESS:_NETWORK])
        if self.mode != TRANSPARENT or len(payload) < _HEADER:
            return
        if payload[2] != self._registers[_NETWORK] or address not in (payload[:2], b"\xff\xff"):
            return
        self._last_rssi_dbm = reception.rssi_dbm
        data = payload[_HEADER:]
        if self._registers[_REG3] & _RSSI_BYTE:
            data += _rssi_byte(reception.rssi_dbm)
        self.say(data)

    def _tune(self) -> None:
        factor, bandwidth = _RATES[self._registers[_REG0] & 7]
        settings = Settings(
            frequency_hz=_FIRST_HZ + _CHANNEL_HZ * self._registers[_REG2],
            bandwidth_hz=bandwidth,
            spreading_factor=factor,
            power_dbm=_POWERS_DBM[self._registers[_REG1] & 3],
        )
        self.radio.listen(settings)
        if self.mode != TRANSPARENT or not self.is_powered:
            self.radio.sleep()

    def _end_of_burst(self) -> None:
        burst, self._burst, self._pause = self._burst, b"", None
        if not self.is_powered:
            return
        special = self._special(burst)
        if special is not None:
            self.say(special)
        elif self.mode == CONFIGURATION:
            self.say(self._configure(burst))
        elif self.mode == TRANSPARENT:
            self._accept(burst)

    def _special(self, burst: bytes) -> bytes | None:
        # The commands that REG1 allows outside of mode 2, or None for data.
        if not burst.startswith(_SPECIAL):
            return None
        rest = burst[len(_SPECIAL) :]
        if len(rest) == 2 and rest[0] == 2 and self._registers[_REG1] & _SOFTWARE_SWITCH:
            if rest[1] not in (TRANSPARENT, CONFIGURATION, DEEP_SLEEP):
                return _WRONG
            self.set_mode(rest[1])
            return _SPECIAL[1:] + rest
        if len(rest) == 2 and self._registers[_REG1] & _NOISE_READABLE and self.mode == TRANSPARENT:
            start, length = rest
            if not 1 <= length <= 2 - start:
                return _WRONG
            levels = (self.radio.rssi_dbm(), self._last_rssi_dbm)[start : start + length]
            return bytes([_READ, start, length]) + b"".join(map(_rssi_byte, levels))
        return None

    def _configure(self, burst: bytes) -> bytes:
        if len(burst) < 3:
            return _WRONG
        command, start, length = burst[:3]
        if command == _READ and len(burst) == 3:
            return self._read(start, length)
        if command in (_WRITE, _WRITE_TEMPORARY) and len(burst) == 3 + length:
            return self._write(start, burst[3:], command == _WRITE)
        return _WRONG

    def _read(self, start: int, length: int) -> bytes:
        if start in _PRODUCT and start + length <= _PRODUCT.stop and length:
            return bytes([_READ, start, length]) + bytes(length)
        if not length or start + length > len(self._registers):
            return _WRONG
        # the key is write only: it reads as zero
        shown = bytes(self._registers[:_CRYPT]) + bytes(len(self._registers) - _CRYPT)
        return bytes([_READ, start, length]) + shown[start : start + length]

    def _write(self, start: int, values: bytes, is_lasting: bool) -> bytes:
        found = bytearray(self._registers)
        if not values or start + len(values) > len(found):
            return _WRONG
        found[start : start + len(values)] = values
        if found[_REG3] & _NOT_EMULATED or found[_REG2] > _CHANNEL_MAX:
            return _WRONG
        self._registers = found
        if is_lasting:
            self._flash = bytearray(found)
        self._tune()
        return bytes([_READ, start, len(values)]) + values

    def _accept(self, data: bytes) -> None:
        free = _BUFFER_MAX - sum(map(len, self._queue))
        size = _PACKETS[self._registers[_REG1] >> 6]
        data = data[:free]
        self._queue.extend(data[i : i + size] for i in range(0, len(data), size))
        self._send_next()

    def _send_next(self) -> None:
        if not self._queue or self.radio.state == SENDING or not self.is_powered:
            return
        listens_first = self._registers[_REG3] & _LISTEN_FIRST
        if listens_first and self._waited_us < _WAIT_US_MAX and self.radio.is_channel_active():
            self._waited_us += _RETRY_US
            self.later(_RETRY_US, self._send_next)
            return
        self._waited_us = 0
        header = bytes(self._registers[: _NETWORK + 1])
        data = self._queue.popleft()
        self.radio.send(header + data, self.in_this_life(self._send_next))


def _rssi_byte(dbm: float) -> bytes:
    return bytes([max(0, min(255, 256 + round(dbm)))])
