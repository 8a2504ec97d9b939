"""Serial ports in memory, on MicroPython and CPython; real ones are in tests/host/writ/link."""

from writ.link.serial import SerialLink

CONFIG = {"kind": "serial", "port": "/dev/none"}


class Memory:
    """In the place of a `Port`: gives what was put in, chunk by chunk, and keeps what was sent."""

    def __init__(self):
        self.counters = {}
        self.handle = self.error = None
        self.chunks = []
        self.sent = b""
        self.reads = 0
        self.is_open = True

    def read(self, now_ms):
        """The next chunk, b"" for none."""
        self.reads += 1
        return self.chunks.pop(0) if self.chunks else b""

    def is_ready(self):
        """Whether it takes data."""
        return self.is_open

    def write(self, data):
        """Keep data."""
        self.sent += data
        return True

    def next_ms(self, now_ms):
        """0 while there is more to read, as a handle would be readable."""
        return 0 if self.chunks else None

    def close(self):
        """Take no more data."""
        self.is_open = False


def link():
    """(link, the `Memory` on which it is)."""
    memory = Memory()
    return SerialLink(CONFIG, memory), memory


def received(one, now_ms=0):
    """All frames that a link has to give."""
    frames = []
    while True:
        found = one.receive(now_ms)
        if found is None and one.next_ms(now_ms) != 0:
            return frames
        if found is not None:
            assert found[1] is None
            frames.append(found[0])


class Bytes:
    """A reproducible stream of bytes (xorshift, 32 bits), the same on both interpreters."""

    def __init__(self, seed):
        self._state = seed

    def take(self, count):
        """The next `count` bytes."""
        out = bytearray(count)
        state = self._state
        for at in range(count):
            state ^= (state << 13) & 0xFFFFFFFF
            state ^= state >> 17
            state ^= (state << 5) & 0xFFFFFFFF
            out[at] = state >> 11 & 255
        self._state = state
        return bytes(out)

    def below(self, bound):
        """A number below `bound`, at most 65,536."""
        return int.from_bytes(self.take(2), "big") % bound
