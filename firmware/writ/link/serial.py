"""Frames on a serial line: a frame and its CRC, COBS-encoded, between zeros (docs/wire.md).

A zero occurs nowhere else, so a receiver finds the next frame after noise, after a frame of which
a part is missing, and when it begins to listen in the middle of one.
"""

from ..errors import UsageError
from ..limits import SERIAL_CHUNKS, SERIAL_FRAME_BYTES_MAX
from .cobs import RUN_BYTES, crc16, decode, encode
from .port import Port
from .splitter import Splitter

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
        longest = SERIAL_FRAME_BYTES_MAX + _CRC_BYTES
        # frames, encoded
        longest += longest // RUN_BYTES + 1
        self._coded = Splitter(b"\0", longest, lambda: self._count("TooLarge"))

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
            if not self._coded.has_rest():
                data = self._port.read(now_ms)
                if not data:
                    break
                self._coded.feed(data)
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

    def is_sending(self, now_ms):
        """Whether a part of the last frame has not left: the line had no room for it."""
        return self._port.handle is not None and not self._port.is_ready()

    def airtime_us(self, length):
        """0: a wire is not shared."""
        return 0

    def next_ms(self, now_ms):
        """In how many ms `receive` should be called though `handle` is not readable, or None."""
        return 0 if self._coded.has_rest() else self._port.next_ms(now_ms)

    def sleep(self, now_ms):
        """True: nothing on a wire needs current for its reception."""
        return True

    def wake(self, now_ms):
        """Nothing."""

    def close(self):
        """Close the port."""
        self._port.close()

    def _next_frame(self):
        # the next good frame in what was read, or None if there is no other
        while True:
            length = self._coded.next()
            if length is None:
                return None
            # nothing is between two frames
            frame = length and self._open(length)
            if frame:
                return frame

    def _open(self, length):
        coded = self._coded.buffer
        length = decode(coded, length)
        whole = memoryview(coded)[: max(0, length)]
        # a CRC over the frame and its own CRC leaves no remainder
        if length <= _CRC_BYTES or crc16(whole):
            return self._count("BadFrame")
        if length > self.mtu + _CRC_BYTES:
            return self._count("TooLarge")
        return bytes(whole[:-_CRC_BYTES])

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1
