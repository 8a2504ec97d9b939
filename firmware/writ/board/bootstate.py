"""How often the device has started in a row without having run well: /boot.state.

The count is written before anything can fail, and cleared when the agent has run for a minute, or
goes to a deep sleep. A wake from a deep sleep is no start.
"""

import errno

from ..compat import fsync
from ..limits import STARTS_MAX

# the file holds one digit
_LARGEST = 9


class BootState:
    """The count in the file `path`. failed: the starts before this one that did not run well."""

    def __init__(self, path):
        self._path = path
        self.failed = self._read()
        self._count = self.failed  # on flash

    def _read(self):
        try:
            with open(self._path, "rb") as handle:
                data = handle.read(2)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return 0
        # a write that was cut may have left nothing: a start is tried
        return int(data) if len(data) == 1 and data.isdigit() else 0

    def _write(self, count):
        if count != self._count:
            with open(self._path, "wb") as handle:
                handle.write(b"%d" % count)
                fsync(handle)
            self._count = count

    def begin(self):
        """Count this start."""
        self._write(min(self.failed + 1, _LARGEST))

    def clear(self):
        """This start has run well."""
        self._write(0)

    def is_failing(self):
        """Whether the app must not be started."""
        return self.failed >= STARTS_MAX

    def pause_s(self):
        """How long to wait before the reset after a fault: longer each time, 5 minutes at most."""
        return min(300, 5 << max(0, self.failed + 1 - STARTS_MAX))
