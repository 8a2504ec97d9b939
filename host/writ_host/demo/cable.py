"""A serial line of the demonstration: two pseudo-terminals, and a thread between them."""

import os
import select
import threading
import tty
from pathlib import Path

_CHUNK = 4096


class Cable:
    """A null-modem cable. ends: two paths, symbolic links that programs open as serial ports.

    Call `close` at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.ends = (folder / "serial-a", folder / "serial-b")
        self.carried = 0  # bytes, both ways
        self._masters: list[int] = []
        self._slaves: list[int] = []
        for path in self.ends:
            master, slave = os.openpty()
            # raw, so that nothing is echoed before a program opens the port
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            # an own handle keeps the port open while no program uses it
            self._slaves.append(slave)
            path.symlink_to(os.ttyname(slave))
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pull the cable out."""
        os.write(self._wake, b"x")
        self._thread.join()
        for handle in (*self._masters, *self._slaves, self._stop, self._wake):
            os.close(handle)
        for path in self.ends:
            path.unlink(missing_ok=True)

    def _carry(self) -> None:
        while True:
            readable, _, _ = select.select([*self._masters, self._stop], [], [])
            if self._stop in readable:
                return
            for handle, other in zip(self._masters, reversed(self._masters), strict=True):
                if handle in readable:
                    data = os.read(handle, _CHUNK)
                    self.carried += len(data)
                    try:
                        os.write(other, data)
                    except BlockingIOError:
                        # as on a wire whose receiver does not read
                        continue
