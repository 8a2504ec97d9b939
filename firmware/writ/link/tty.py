"""A tty as the line of a port (port.py): on hosts, and on MicroPython's unix port."""

import errno
import select

from ..compat import MICROPYTHON

if MICROPYTHON:

    def open_tty(path, baud):
        """An open file: 8 bits, no parity, no echo; a read takes what is there, without a wait.

        Raises `OSError`, and `ValueError` for a baud rate that this interpreter does not know.
        """
        import termios

        rate = getattr(termios, "B%d" % baud, None)
        if rate is None:
            raise ValueError("baud rate %d is not one of MicroPython's termios" % baud)
        handle = open(path, "r+b")
        try:
            termios.setraw(handle.fileno())  # type: ignore[attr-defined]
            attributes = termios.tcgetattr(handle.fileno())
            attributes[4] = attributes[5] = rate
            # VMIN and VTIME are integers, the other control characters are bytes
            attributes[6] = [0 if isinstance(one, int) else one for one in attributes[6]]
            termios.tcsetattr(handle.fileno(), termios.TCSANOW, attributes)
        except BaseException:
            handle.close()
            raise
        return handle
else:
    from .pyserial import open_tty


class Tty:
    """The tty at `path` with that baud rate. Raises as `open_tty` does."""

    def __init__(self, path, baud):
        self.handle = open_tty(path, baud)
        self._readable = select.poll()
        self._readable.register(self.handle, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self.handle, select.POLLOUT)

    def readinto(self, buffer):
        """The number of bytes read, 0 for none. Raises `OSError` if the line is gone."""
        if not self._readable.poll(0):
            return 0
        count = self.handle.readinto(buffer)
        if count == 0:
            # readable, and at its end
            raise OSError(errno.EIO, "the serial port is gone")
        return count or 0

    def write(self, data):
        """The number of bytes taken, 0 for none. Raises `OSError` if the line is gone.

        MicroPython cannot make a tty non-blocking. But Linux reports one as writable only while
        fewer than 256 bytes wait in its driver, whose buffer has thousands (WAKEUP_CHARS and
        UART_XMIT_SIZE in its sources): then the longest frame fits.
        """
        return self.handle.write(data) or 0 if self._writable.poll(0) else 0

    def close(self):
        """Close the tty."""
        self.handle.close()
