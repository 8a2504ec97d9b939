"""The log of a device: what it prints, with the time, in two files that take turns.

1. The first line of a file is `log N`; the file with the larger N is written to. When it is full,
   the other one is emptied and begins with N + 1. So the last 8 kB are always there.
2. Lines wait in memory until `flush`. A power cut costs the lines that wait, and in the worst case
   the older file. LittleFS keeps the content of before when a write is cut; on another file system
   the last line may be cut, and the next one begins on a line of its own.
3. A program that prints much loses lines, which are counted: flash wears.
"""

import errno
import os

from ..compat import fsync
from ..limits import LOG_FILE_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_PENDING_BYTES_MAX

FILES = ("log.0", "log.1")


class Log:
    """The log in `folder` ("/"). clock: a function that returns the time as text.

    Raises `OSError` for files that cannot be read.
    """

    def __init__(self, folder, clock):
        self._folder = folder
        self._clock = clock
        self._lines = []  # bytes, with their line ends
        self._pending_bytes = 0
        self._lost = 0  # lines
        self._at = 1  # the index of the file in use; the first one is log.0
        self._number = 0  # of the file in use; 0: there is none
        for index in (0, 1):
            number = self._read_number(index)
            if number > self._number:
                self._at, self._number = index, number
        self._size = LOG_FILE_BYTES_MAX
        self._is_cut = False  # whether the last line has no end
        if self._number:
            self._measure()

    def _path(self, index):
        return self._folder + FILES[index]

    def _read_number(self, index):
        try:
            with open(self._path(index), "rb") as handle:
                line = handle.readline()
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return 0
        digits = line[4:-1]
        # a power cut may have left no line, or a part of it
        if line[:4] != b"log " or line[-1:] != b"\n" or not digits.isdigit():
            return 0
        return int(digits)

    def _measure(self):
        path = self._path(self._at)
        self._size = os.stat(path)[6]
        with open(path, "rb") as handle:
            handle.seek(self._size - 1)
            self._is_cut = handle.read(1) != b"\n"

    def add(self, text):
        """Add the lines of `text`; what is no printable ASCII becomes a question mark."""
        for line in text.split("\n"):
            if line:
                self._add_line(self._clock() + " " + line)

    def _add_line(self, line):
        line = line[:LOG_LINE_BYTES_MAX]
        data = bytes([ord(one) if 32 <= ord(one) < 127 else 63 for one in line]) + b"\n"
        if self._pending_bytes + len(data) > LOG_PENDING_BYTES_MAX:
            self._lost += 1
            return
        self._lines.append(data)
        self._pending_bytes += len(data)

    def is_half_full(self):
        """Whether the lines that wait need half of their room."""
        return 2 * self._pending_bytes > LOG_PENDING_BYTES_MAX

    def flush(self):
        """Write the lines that wait. If the flash refuses them they are lost."""
        count = len(self._lines)
        if self._lost:
            self._lines.append(b"%d lines lost\n" % self._lost)
        if not self._lines:
            return
        data = b"".join(self._lines)
        self._lines.clear()
        self._pending_bytes = 0
        at, number, size, mode = self._at, self._number, self._size, "ab"
        if self._is_cut:
            data = b"\n" + data
        if size + len(data) > LOG_FILE_BYTES_MAX:
            at, number, size, mode = at ^ 1, number + 1, 0, "wb"
            data = b"log %d\n" % number + data
        try:
            self._write(self._path(at), mode, data)
        except OSError:
            self._lost += count
            # a part of the data may be there
            self._is_cut = True
            return
        self._at, self._number, self._size = at, number, size + len(data)
        self._lost = 0
        self._is_cut = False

    def _write(self, path, mode, data):
        with open(path, mode) as handle:
            handle.write(data)
            fsync(handle)
