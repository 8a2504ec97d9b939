"""Crash-safe records on flash: two slots each, with a sequence number and a checksum.

A record is written into the older slot, so that power may fail at each byte: the next start finds
either the old record or the new one. The first save writes both slots. The files belong to a
`flash` object with two methods: `read(name)` gives bytes, or None only where no file is;
`write(name, data)` returns when the data is on the medium. Both raise `OSError`.
"""

import os

from .. import compat
from ..compat import MICROPYTHON, const, fsync, make_folder, open_private, sha256
from ..errors import StoreDamaged, StoreFailed, UsageError
from ..limits import RECORD_BYTES_MAX

# A slot: "W", sequence (4 bytes), length (2 bytes), payload, first 8 bytes of SHA-256 of all that
_HEADER_BYTES = const(7)
_CHECK_BYTES = const(8)
_ENOENT = const(2)


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

        Raises `StoreDamaged` if a slot cannot be read, or if there are slots and none is whole: the
        node rather stops than continues from an unknown state.
        """
        best = None
        seen = ""
        for slot in "ab":
            try:
                raw = self._flash.read(name + "." + slot)
            except OSError as error:
                # this slot may have the newest record: the other one is no replacement
                raise StoreDamaged(name + ": " + str(error)) from None
            if raw is not None:
                seen += slot
            found = _unframe(raw)
            if found and (best is None or found[0] > best[0]):
                best = (found[0], found[1], slot)
        if best is None:
            # a first save cut short leaves slot a alone
            if seen not in ("", "a"):
                raise StoreDamaged(name)
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
        framed = _frame(sequence + 1, data)
        try:
            # the first record goes into both: in one slot only it would be lost with that slot
            for target in "ab" if not sequence else "a" if slot == "b" else "b":
                self._flash.write(name + "." + target, framed)
        except OSError as error:
            # the other slot is whole, and the next save writes this one again
            raise StoreFailed(name + ": " + str(error)) from None
        self._newest[name] = (sequence + 1, target)

    def reset(self, name):
        """Give up a damaged record: the next `save` overwrites it."""
        self._newest[name] = (0, "b")


class FileFlash:
    """A directory of a file system as flash. On CPython only the owner may read its files."""

    def __init__(self, directory):
        self._directory = directory
        try:
            make_folder(directory)
        except OSError:
            # it exists already, or the first write shows the error
            pass

    def read(self, name):
        """The file's bytes, or None where there is none.

        Raises `OSError`, or `UsageError` for a key that other users can read.
        """
        path = self._directory + "/" + name
        try:
            with open_private(path, "rb") as handle:
                if not MICROPYTHON and name[:4] == "key." and not compat.is_private(handle):
                    raise UsageError("other users can read " + path + ": chmod 600 it")
                # MicroPython allocates as many bytes as it is asked to read
                return handle.read(min(os.stat(path)[6], RECORD_BYTES_MAX + 64))
        except OSError as error:
            if error.errno != _ENOENT:
                raise
            return None

    def write(self, name, data):
        """Replace the file's content and wait until the medium has it."""
        with open_private(self._directory + "/" + name, "wb") as handle:
            handle.write(data)
            fsync(handle)
