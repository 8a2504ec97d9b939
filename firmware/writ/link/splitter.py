"""A stream of bytes from a port, split at a separator, in bounded memory."""


class Splitter:
    """The pieces between separators, one at a time, in `buffer`.

    separator: 1 byte; longest: bytes of a piece; too_long: called once for each longer piece, which
    is dropped.
    """

    def __init__(self, separator, longest, too_long):
        self._separator = separator
        self._too_long = too_long
        self.buffer = bytearray(longest)
        self._length = 0  # of the piece that has not ended yet
        self._is_skipping = False  # whether that piece is too long
        self._data = b""  # what was fed last
        self._at = 0  # how much of it is done

    def has_rest(self):
        """Whether not all that was fed is done: feed more only afterwards."""
        return self._at < len(self._data)

    def feed(self, data):
        """Take what was read (bytes)."""
        self._data = data
        self._at = 0

    def drop(self):
        """Forget the piece that has not ended yet."""
        self._length = 0
        self._is_skipping = False

    def next(self):
        """The length of the next whole piece, which is in `buffer`; None if there is no other."""
        data = self._data
        while self._at < len(data):
            end = data.find(self._separator, self._at)
            part = data[self._at : len(data) if end < 0 else end]
            self._at += len(part) + (end >= 0)
            self._append(part)
            if end >= 0:
                length, self._length = self._length, 0
                if not self._is_skipping:
                    return length
                self._is_skipping = False
        return None

    def _append(self, part):
        end = self._length + len(part)
        if self._is_skipping:
            return
        if end > len(self.buffer):
            self._is_skipping = True
            self._too_long()
            return
        self.buffer[self._length : end] = part
        self._length = end
