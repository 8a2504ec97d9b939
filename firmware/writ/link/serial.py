"""Frames on a serial line: a frame and its CRC, COBS-encoded, between zeros (docs/wire.md).

A zero occurs nowhere else, so a receiver finds the next frame after noise, after a frame of which
a part is missing, and when it begins to listen in the middle of one.
"""

from ..errors import UsageError
from ..limits import SERIAL_CHUNKS, SERIAL_FRAME_BYTES_MAX
from .cobs import RUN_BYTES, crc16, decode, encode
from .port import Port

_CRC_BYTES = 2


def pack(frame):
    """The bytes of a frame on the line. frame: bytes."""
    coded = encode(frame + crc16(frame).to_bytes(_CRC_BYTES, "big"))
    # the first zero ends the noise that may have come before
    return b"\0" + coded + b"\0"


class SerialLink:
    """A frame link over a serial port. config: its entry of "links" in config.json.

    port: in the place of `Port(config)`. `counters`: "BadFrame" (damaged), "TooLarge", "Reopened".
    """

    kind = 1  # the bit of a route's links mask
    mtu = SERIAL_FRAME_BYTES_MAX
    duty_cycle_permille = 1000  # no regulator limits a wire

    def __init__(self, config, port=None):
        self._port = port or Port(config)
        self.counters = self._port.counters
        self._data = b""  # what was read last
        self._at = 0  # how much of it is done
        longest = SERIAL_FRAME_BYTES_MAX + _CRC_BYTES
        # a frame that has not ended yet, encoded
        self._coded = bytearray(longest + longest // RUN_BYTES + 1)
        self._length = 0
        self._is_skipping = False  # whether that frame is too long, and dropped

    @property
    def handle(self):
        """What select.poll can wait for; None while the port is closed. It may change."""
        return self._port.handle

    @property
    def error(self):
        """Why the port is closed, as text; None while it is open."""
        return self._port.error

    def receive(self, now_ms):
        """(frame, None) or None; there is no SNR on a wire. Never waits, not for a flood either."""
        for _ in range(SERIAL_CHUNKS):
            if self._at == len(self._data):
                self._at = 0
                self._data = self._port.read(now_ms)
                if not self._data:
                    break
            frame = self._next_frame()
            if frame:
                return frame, None
        return None

    def send(self, frame, now_ms):
        """Send a frame (bytes). False if the port is closed or busy; then try again later.

        Raises `UsageError` unless the frame has 1 to `mtu` bytes.
        """
        if not 0 < len(frame) <= self.mtu:
            raise UsageError("a frame of %d bytes" % len(frame))
        return self._port.is_ready() and self._port.write(pack(frame))

    def airtime_us(self, length):
        """0: a wire is not shared."""
        return 0

    def next_ms(self, now_ms):
        """In how many ms `receive` should be called though `handle` is not readable, or None."""
        return 0 if self._at < len(self._data) else self._port.next_ms(now_ms)

    def close(self):
        """Close the port."""
        self._port.close()

    def _next_frame(self):
        # the next good frame in what was read, or None if there is no other
        data = self._data
        while self._at < len(data):
            end = data.find(b"\0", self._at)
            part = data[self._at : len(data) if end < 0 else end]
            self._at += len(part) + (end >= 0)
            self._append(part)
            if end >= 0:
                frame = self._finish()
                if frame:
                    return frame
        return None

    def _append(self, part):
        end = self._length + len(part)
        if self._is_skipping:
            return
        if end > len(self._coded):
            self._is_skipping = True
            self._count("TooLarge")
            return
        self._coded[self._length : end] = part
        self._length = end

    def _finish(self):
        length, self._length = self._length, 0
        if self._is_skipping:
            self._is_skipping = False
            return None
        if not length:
            # between two frames
            return None
        length = decode(self._coded, length)
        whole = memoryview(self._coded)[: max(0, length)]
        # a CRC over the frame and its own CRC leaves no remainder
        if length <= _CRC_BYTES or crc16(whole):
            return self._count("BadFrame")
        if length > self.mtu + _CRC_BYTES:
            return self._count("TooLarge")
        return bytes(whole[:-_CRC_BYTES])

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1
