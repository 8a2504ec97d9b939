"""Flashes for tests: one in memory, and one that loses power in the middle of a write."""


class PowerCut(BaseException):
    """The power fails now; no Exception, so that nothing can swallow it."""


class MemoryFlash:
    """What FileFlash does, in a dict: {"name.slot": bytes}."""

    def __init__(self, files=None):
        self.files = files if files is not None else {}
        self.writes = 0

    def read(self, name):
        """The bytes of the record's slot, or None."""
        return self.files.get(name)

    def write(self, name, data):
        """Replace the bytes of the slot."""
        self.writes += 1
        self.files[name] = bytes(data)


class FailingFlash(MemoryFlash):
    """A flash on which reading the files in `bad` fails (EIO): "name.slot"."""

    bad = ()

    def read(self, name):
        """The bytes of the slot, or None, or an error of the medium."""
        if name in self.bad:
            raise OSError(5)
        return MemoryFlash.read(self, name)


def same_tail(data, cut, old):
    """A write in place: beyond the cut stands what stood there before."""
    return data[:cut] + old[cut:]


def short(data, cut, old):
    """A file cut short."""
    return data[:cut]


def erased(data, cut, old):
    """A sector erased before it is programmed: 0xFF beyond the cut."""
    return data[:cut] + b"\xff" * (len(data) - cut)


def garbage(data, cut, old):
    """Bits that are neither the old nor the new ones beyond the cut."""
    data = bytearray(data)
    for i in range(cut, len(data)):
        data[i] = (data[i] * 167 + 91) & 255
    return data


TAILS = (short, same_tail, erased, garbage)


class TornFlash(MemoryFlash):
    """Cuts the power at write number `at` (from 0), after `byte` bytes of it.

    byte None: after all of it, just before `write` returns. tail: what follows the cut.
    """

    def __init__(self, files, at, byte=0, tail=short):
        MemoryFlash.__init__(self, files)
        self.at = at
        self.byte = byte
        self.tail = tail

    def write(self, name, data):
        """Replace the bytes of the slot, unless the power fails."""
        if self.writes == self.at:
            if self.byte is not None:
                old = self.files.get(name) or b""
                data = self.tail(bytes(data), self.byte, old)
            self.files[name] = bytes(data)
            self.at = -1
            raise PowerCut()
        MemoryFlash.write(self, name, data)
