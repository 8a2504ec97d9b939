"""One node of the world: the whole production node, its flash, its power and its requests."""

from field.member import Member, MemoryFlash

from meshsim.checks import Violation


class PowerCut(BaseException):
    """The power of a node fails now; no Exception, so that nothing can swallow it."""


class Flash(MemoryFlash):
    """A flash in memory that loses power in the middle of a write when `fails()` says so."""

    def __init__(self, fails, rng):
        super().__init__()
        self._fails = fails
        self._rng = rng

    def write(self, name, data):
        """Replace a file, or a part of it."""
        if self._fails():
            cut = self._rng.randrange(len(data) + 1)
            old = self.files.get(name, b"")
            tail = self._rng.choice((b"", old[cut:], b"\xff" * (len(data) - cut)))
            self.files[name] = bytes(data[:cut]) + tail
            raise PowerCut()
        super().write(name, data)


class AirLink:
    """A frame link of one node in the world's air: one frame at a time."""

    kind = 2
    handle = None

    def __init__(self, world, who, member):
        self.mtu = world.plan.mtu
        self.duty_cycle_permille = world.plan.duty_cycle_permille
        self.inbox = []
        self._world = world
        self._who = who
        self._member = member
        self._until_us = 0

    def airtime_us(self, length):
        """Microseconds on air of a frame of `length` bytes."""
        return self._world.airtime_us(length)

    def receive(self, now_ms):
        """(frame, SNR in dB), or None."""
        return self.inbox.pop(0) if self.inbox else None

    def is_sending(self, now_ms):
        """Whether a frame is on air."""
        return self._world.timeline.now_us < self._until_us

    def send(self, frame, now_ms):
        """Send a frame, unless one is on air."""
        if self.is_sending(now_ms):
            return False
        airtime_us = self.airtime_us(len(frame))
        self._until_us = self._world.timeline.now_us + airtime_us
        self._world.sent(self._who, self._member, frame, airtime_us)
        self._world.timeline.at(self._until_us, self._member.wake)
        return True

    def next_ms(self, now_ms):
        """None: the world wakes the node."""
        return 0 if self.inbox else None


class SimMember(Member):
    """A node that may lose its power. What it raises is a violation."""

    def __init__(self, world, who, roles, flash, is_new):
        self.world = world
        self.who = who
        self.is_on = True
        self.open = {}  # payload of a reading, or a name -> when it was requested
        # the flash of a new node does not fail before it is provisioned
        super().__init__(
            world.code,
            world.scope,
            world.names[who],
            who + 1,
            roles,
            world.timeline,
            world.checks.stepped,
            None if is_new else flash,
        )
        if is_new:
            flash.files.update(self.flash.files)
            self.node.store._flash = self.flash = flash

    def guard(self, function, *arguments):
        """Call a function of the node: its power may fail meanwhile."""
        if not self.is_on:
            return
        try:
            function(*arguments)
        except PowerCut:
            self.world.lose_power(self.who)
        except Violation:
            raise
        except Exception as error:
            raise Violation(f"{self.name} raised {type(error).__name__}: {error}") from error

    def _step(self):
        self.guard(super()._step)

    def take(self, frame, snr):
        """Take a frame, if the power is on."""
        self.guard(super().take, frame, snr)

    def wake(self):
        """Let the node run soon, if the power is on."""
        if self.is_on:
            super().wake()

    def ask(self, method, path, payload, address, done):
        """As `request`, guarded."""
        self.guard(super().request, method, path, payload, address, done)
