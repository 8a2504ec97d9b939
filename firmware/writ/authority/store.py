"""Crash-safe records on flash: two slots each, with a sequence number and a checksum.

A record is written into the older slot, so that power may fail at each byte: the next start finds
either the old record or the new one. The files belong to a `flash` object with two methods:
`read(name) -> bytes | None` and `write(name, data)`, which returns when the data is on the medium.
"""

import os

from ..compat import const, fsync, sha256
from ..errors import StoreDamaged, StoreFailed, UsageError
from ..limits import RECORD_BYTES_MAX

# A slot: "W", sequence (4 bytes), length (2 bytes), payload, first 8 bytes of SHA-256 of all that
_HEADER_BYTES = const(7)
_CHECK_BYTES = const(8)


def _frame(sequence, data):
    framed = b"W" + sequence.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
    return framed + sha256(framed)[:_CHECK_BYTES]


def _unframe(raw):
    # (sequence, data), or None for what a power failure may leave
    if raw is None or len(raw) < _HEADER_BYTES + _CHECK_BYTES or raw[0] != 0x57:
        return None
    if int.from_bytes(raw[5:7], "big") != len(raw) - _HEADER_BYTES - _CHECK_BYTES:
        return None
    # a view and no copy: the record is large for a device's heap
    if sha256(memoryview(raw)[:-_CHECK_BYTES])[:_CHECK_BYTES] != raw[-_CHECK_BYTES:]:
        return None
    return int.from_bytes(raw[1:5], "big"), raw[_HEADER_BYTES:-_CHECK_BYTES]


class Store:
    """Named records over a flash. `save` is atomic; `load` gives the newest whole record."""

    def __init__(self, flash):
        self._flash = flash
        self._newest = {}  # name -> (sequence, slot "a" or "b")

    def load(self, name):
        """The newest whole record (bytes), or None if it was never saved.

        Raises `StoreDamaged` if both slots exist and neither is whole: the node rather stops than
        continues from an unknown state.
        """
        best = None
        seen = 0
        for slot in "ab":
            raw = self._flash.read(name + "." + slot)
            seen += 1 if raw else 0
            found = _unframe(raw)
            if found and (best is None or found[0] > best[0]):
                best = (found[0], found[1], slot)
        if best is None:
            # a first save cut short leaves one broken slot; two broken slots are damage
            if seen > 1:
                raise StoreDamaged()
            return None
        self._newest[name] = (best[0], best[2])
        return best[1]

    def save(self, name, data):
        """Replace the record by `data` (RECORD_BYTES_MAX at most). Power may fail at any time."""
        if len(data) > RECORD_BYTES_MAX:
            raise UsageError("record over RECORD_BYTES_MAX")
        if name not in self._newest:
            self.load(name)
        sequence, slot = self._newest.get(name, (0, "b"))
        sequence += 1
        slot = "a" if slot == "b" else "b"
        try:
            self._flash.write(name + "." + slot, _frame(sequence, data))
        except OSError:
            # the other slot is whole, and the next save writes this one again
            raise StoreFailed() from None
        self._newest[name] = (sequence, slot)

    def reset(self, name):
        """Give up a damaged record: the next `save` overwrites it."""
        self._newest[name] = (0, "b")


class FileFlash:
    """A directory of a file system as flash."""

    def __init__(self, directory):
        self._directory = directory
        try:
            os.mkdir(directory)
        except OSError:
            # it exists already, or the first write shows the error
            pass

    def read(self, name):
        """The file's bytes, or None where there is none."""
        path = self._directory + "/" + name
        try:
            # MicroPython allocates as many bytes as it is asked to read
            size = min(os.stat(path)[6], RECORD_BYTES_MAX + 64)
            with open(path, "rb") as handle:
                return handle.read(size)
        except OSError:
            return None

    def write(self, name, data):
        """Replace the file's content and wait until the medium has it."""
        with open(self._directory + "/" + name, "wb") as handle:
            handle.write(data)
            fsync(handle)
