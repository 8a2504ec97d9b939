"""Crash-safe records on flash: two slots each, with a sequence number and a checksum.

A save writes the slot that is not the newest, then the other one with the same content, so that
power may fail at each byte: the next start finds either the old record or the new one, and each
slot alone is the newest one afterwards. The record "names" lists the saved ones: a record that is
lost is no record that was never saved. The files belong to a `flash` object with two methods:
`read(name)` gives bytes, or None only where no file is; `write(name, data)` returns when the data
is on the medium. Both raise `OSError`.
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
# The list of records; longer names than its record holds are not listed
_LIST = "names"


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
        # name -> (sequence, newest slot, whether the other slot has the same sequence); None for
        # the latter after `reset`
        self._newest = {}
        self._names = None  # the list of records, once it was needed

    def _find(self, name):
        # ((sequence, slot, is_double), content, slots there, error): of the newest whole slot
        newest = (0, "b", False)
        data = None
        seen = error = ""
        for slot in "ab":
            try:
                raw = self._flash.read(name + "." + slot)
            except OSError as reason:
                error = name + ": " + str(reason)
                continue
            if raw is not None:
                seen += slot
            found = _unframe(raw)
            if found and found[0] >= newest[0]:
                newest = (found[0], slot, found[0] == newest[0])
                data = found[1]
        return newest, data, seen, error

    def load(self, name):
        """The newest whole record (bytes), or None if it was never saved.

        Raises `StoreDamaged` for what no power failure leaves: a slot that cannot be read, slots of
        which none is whole, or a missing slot. The node rather stops than continues from an unknown
        state.
        """
        newest, data, seen, error = self._find(name)
        # this slot may have the newest record: the other one is no replacement
        if not error:
            # slot a alone is a first save that was cut short
            if seen == "b" or (seen == "a" and newest[0] > 1):
                error = name + "." + "ba"[seen == "b"] + " is missing"
            elif data is None and (seen == "ab" or (name != _LIST and name in self._listed())):
                error = name if seen else name + " is missing"
        if error:
            raise StoreDamaged(error)
        if data is not None:
            self._newest[name] = newest
        return data

    def _listed(self):
        if self._names is None:
            self._names = (self.load(_LIST) or b"").decode().split()
        return self._names

    def save(self, name, data, is_kept=True):
        """Replace the record by `data` (RECORD_BYTES_MAX at most). Power may fail at any time.

        is_kept: False for a record that may go back by one save, or be lost: only its first save
        writes both slots, and it is not listed.
        """
        if len(data) > RECORD_BYTES_MAX:
            raise UsageError("record over RECORD_BYTES_MAX")
        if name not in self._newest:
            self.load(name)
        sequence, slot, is_double = self._newest.get(name, (0, "b", None))
        sequence += 1
        framed = _frame(sequence, data)
        targets = "ab" if slot == "b" else "ba"
        if not is_kept and is_double is not None:
            targets = targets[0]
        try:
            for target in targets:
                self._flash.write(name + "." + target, framed)
                # one slot is whole now, and the next save does not begin with it
                self._newest[name] = (sequence, target, target != targets[0])
        except OSError as error:
            raise StoreFailed(name + ": " + str(error)) from None
        if is_kept and name != _LIST:
            self._list(name)

    def _list(self, name):
        names = self._listed()
        if name not in names:
            text = " ".join(names + [name]).encode()
            if len(text) <= RECORD_BYTES_MAX:
                self.save(_LIST, text)
                names.append(name)

    def mend(self, name):
        """Complete the save of a loaded record that a power failure has cut between the slots."""
        found = self._newest.get(name)
        if found and found[2] is False:
            self.save(name, self.load(name))
        elif found and found[2]:
            self._list(name)

    def reset(self, name):
        """Give up a damaged record: the next `save` overwrites it."""
        sequence, slot, _ = self._find(name)[0]
        # first the slot that is whole, with a sequence above that of the other one
        slot = "ba"[slot == "b"] if sequence else slot
        self._newest[name] = (sequence + 1 if sequence else 0, slot, None)


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
