"""A pseudo-terminal in place of a modem's serial port, under a stable name.

The name is a symlink to the terminal, as udev makes /dev/serial/by-id. Unplugging closes both ends
and removes the link, so a program that has it open gets a hang-up; plugging in again makes another
terminal under the same name. A pty has no modem lines and no baud rate: both are ignored.
"""

import os
import tty
from pathlib import Path

_CHUNK = 4096


class Pty:
    """One port. `master` is None while it is unplugged."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master: int | None = None
        self._slave = -1

    def plug(self) -> None:
        """Make a terminal and the link to it. A link that is there is replaced.

        Raises `OSError`, also if something else than a link has the name.
        """
        if self.master is not None:
            return
        if self.link.exists() and not self.link.is_symlink():
            raise FileExistsError(f"{self.link} is no symlink: choose another `port`")
        master, slave = os.openpty()
        # our own handle on the slave keeps reads from failing while no program has it open
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.master, self._slave = master, slave
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(slave))
        fresh.replace(self.link)

    def unplug(self) -> None:
        """Close the terminal, and remove the link."""
        if self.master is None:
            return
        self.link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self.master)
        self.master = None

    def read(self) -> bytes:
        """What a program has written; empty if nothing is there."""
        if self.master is None:
            return b""
        try:
            return os.read(self.master, _CHUNK)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Write for a program to read. What does not fit is lost, as on a UART."""
        if self.master is None:
            return
        try:
            os.write(self.master, data)
        except BlockingIOError:
            return
