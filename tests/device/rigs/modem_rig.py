"""Scripted ends for the drivers of LoRa modems, on MicroPython and CPython.

The emulated modems of tools/radio are another pair of eyes; tests/host/writ/link has those.
"""

CHANNEL = {
    "kind": "lora",
    "port": "/dev/none",
    "frequency_khz": 868100,
    "spreading_factor": 7,
    "bandwidth_khz": 125,
    "coding_rate": 5,
    "power_dbm": 14,
}


def channel(**other):
    """An entry of "links" in config.json, with some fields replaced."""
    config = dict(CHANNEL)
    config.update(other)
    return config


class ScriptedPort:
    """In the place of a `Port`, open at once. answer: what a command is answered with, in bytes.

    lines: the commands that were written, without their ends.
    """

    def __init__(self, answer):
        self.counters = {}
        self.handle = None
        self.error = None
        self.answer = answer
        self.lines = []
        self.sent = b""
        self.is_plugged = True
        self.is_closed = False
        self.incoming = b""
        self.chunk_bytes = 256
        self._change = None

    def read(self, now_ms):
        """The next chunk; opens the port if it is plugged in."""
        if self.handle is None and self.is_plugged:
            if self.error:
                self.counters["Reopened"] = self.counters.get("Reopened", 0) + 1
            self.handle, self.error = self, None
            self._change = True
        chunk = self.incoming[: self.chunk_bytes]
        self.incoming = self.incoming[len(chunk) :]
        return chunk

    def is_ready(self):
        """Whether it takes data."""
        return self.handle is not None

    def write(self, data):
        """Take data; each whole line is answered at once."""
        if self.handle is None:
            return False
        self.sent += data
        while b"\r\n" in self.sent:
            line, self.sent = self.sent.split(b"\r\n", 1)
            self.lines.append(line)
            self.incoming += self.answer(line)
        return True

    def take_change(self):
        """As `Port.take_change`."""
        change, self._change = self._change, None
        return change

    def next_ms(self, now_ms):
        """1,000 while it is closed, 0 while there is more to read, as a handle is readable."""
        if self.handle is None:
            return 1000
        return 0 if self.incoming else None

    def unplug(self):
        """Take the modem away: what is in the line is lost."""
        self.is_plugged = self._change = False
        self.handle, self.error = None, "gone"
        self.incoming = self.sent = b""

    def plug_in(self):
        """Bring it back: the next read opens the port."""
        self.is_plugged = True

    def close(self):
        """Close it for good."""
        self.unplug()
        self.is_closed = True


class Time:
    """Runs a link by its own `next_ms`, in time that does not pass by itself."""

    def __init__(self, link):
        self.link = link
        self.now_ms = 1000

    def run(self, for_ms=0):
        """Run for that time, and until nothing is left to read; returns the frames."""
        frames = []
        end_ms = self.now_ms + for_ms
        for _ in range(100000):
            found = self.link.receive(self.now_ms)
            if found:
                frames.append(found)
            wait_ms = self.link.next_ms(self.now_ms)
            if found or wait_ms == 0:
                continue
            if wait_ms is None or self.now_ms + wait_ms > end_ms:
                self.now_ms = end_ms
                return frames
            self.now_ms += wait_ms
        raise AssertionError("the link never rests")
