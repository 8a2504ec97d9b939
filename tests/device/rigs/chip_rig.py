"""In the place of a chip's modules: what is called is recorded. There is no chip and no radio here.

The names and arguments are those of MicroPython's documentation: machine.WDT, Timer, Pin.
"""


class Pin:
    """As `machine.Pin`; made: all of them, by their number."""

    IN, OUT, PULL_UP, PULL_DOWN = 0, 1, 2, 3
    made = {}
    levels = {}  # what inputs read

    def __init__(self, id, mode=-1, pull=-1):
        self.id = id
        self.mode = mode
        self.pull = pull
        self.values = []
        Pin.made[id] = self

    def value(self, x=None):
        """Read the level, or set it."""
        if x is None:
            return Pin.levels.get(self.id, 1)
        self.values.append(x)
        return None


class WDT:
    """As `machine.WDT`."""

    def __init__(self, id=0, timeout=5000):
        # an RP2040 takes no more
        if timeout > 8388:
            raise ValueError("timeout exceeds 8388")
        self.timeout = timeout
        self.feeds = 0

    def feed(self):
        """Count it."""
        self.feeds += 1


class Timer:
    """As `machine.Timer`; `fire` lets a period pass."""

    PERIODIC = 1

    def __init__(self, id=-1):
        self.id = id

    def init(self, mode=1, period=-1, callback=None):
        """Start it."""
        self.mode, self.period, self.callback = mode, period, callback

    def fire(self, times=1):
        """Call the callback as often."""
        for _ in range(times):
            self.callback(self)
