"""A serial port of bytes, for frames (serial.py) and for modems. It survives unplugging.

What is open is a line: a tty (tty.py) or the UART of a chip (uart.py), with
    handle             what select.poll can wait for
    readinto(buffer)   the number of bytes read, 0 for none
    write(data)        the number of bytes taken, 0 for none
    close()
`readinto` and `write` never wait, and raise `OSError` if the line is gone.
"""

from ..compat import MICROPYTHON, const
from ..errors import UsageError
from ..limits import SERIAL_CHUNK_BYTES

_BAUD = const(115200)
# The pause before a lost port is opened again: it doubles from the first to the second.
_RETRY_MS = const(1000)
_RETRY_LONGEST_MS = const(30000)
# When `read` is called again while the line had no room for all that was written.
_DRAIN_MS = const(10)


def open_line(config):
    """The line of a checked config. Raises `OSError`, or `ValueError` for what it cannot do."""
    baud = config.get("baud", _BAUD)
    if MICROPYTHON and not isinstance(config["port"], str):
        from .uart import Uart

        return Uart(config["port"], baud, config.get("tx"), config.get("rx"))
    from .tty import Tty

    return Tty(config["port"], baud)


def check(config):
    """Raise `UsageError` unless these are a port's settings. On a chip "port" is a number."""
    port = config.get("port")
    if not (port and isinstance(port, str)) and not (MICROPYTHON and isinstance(port, int)):
        raise UsageError('links: "port" is not the path of a serial port')
    for field in ("baud", "tx", "rx"):
        value = config.get(field, 1)
        if type(value) is not int or value < 0 or (value == 0 and field == "baud"):
            raise UsageError('links: "' + field + '" is not a number')


class Port:
    """The serial port of an entry of "links" in config.json: "port", "baud" (115200), "tx", "rx".

    It is opened by the first `read`. While it is closed, since the device is missing, unplugged or
    in use, `handle` is None and `error` says why; `read` opens it when that is due.
    Raises `UsageError` for settings of no port.
    """

    def __init__(self, config):
        check(config)
        self._config = config
        self.handle = None  # of the open line: it changes when the port is opened again
        self.error = None  # the text of the last failure
        self.counters = {}  # "Reopened"
        self._line = None
        self._change = None  # True: it was opened, False: closed; None: `take_change` has told it
        self._buffer = bytearray(SERIAL_CHUNK_BYTES)
        self._out = b""  # a memoryview of what the line had no room for
        self._now_ms = 0
        self._opened_ms = None  # None before the first time
        self._due_ms = 0  # None after `close`
        self._retry_ms = _RETRY_MS

    def read(self, now_ms):
        """What has arrived, at most SERIAL_CHUNK_BYTES; b"" for nothing, and while it is closed."""
        self._now_ms = now_ms
        if self._line is None:
            self._open()
        if self._flush():
            try:
                count = self._line.readinto(self._buffer)
                if count:
                    return bytes(memoryview(self._buffer)[:count])
            except OSError as error:
                self._lose(error)
        return b""

    def is_ready(self):
        """Whether `write` would take data now."""
        return self._flush() and not self._out

    def write(self, data):
        """Send `data` (bytes). False if the port is closed, or still has bytes of earlier data.

        What was taken and has not left is lost if the port is unplugged.
        """
        if not self.is_ready():
            return False
        self._out = memoryview(data)
        return self._flush()

    def take_change(self):
        """True if the port was opened since the last call, False if it was closed, else None."""
        change, self._change = self._change, None
        return change

    def next_ms(self, now_ms):
        """In how many ms `read` should be called though `handle` is not readable; None: never."""
        if self._line is None:
            return None if self._due_ms is None else max(0, self._due_ms - now_ms)
        return _DRAIN_MS if self._out else None

    def close(self):
        """Close the port for good."""
        if self._line is not None:
            self._line.close()
        self._line = self.handle = self._due_ms = None

    def _open(self):
        if self._due_ms is None or self._now_ms < self._due_ms:
            return
        try:
            self._line = open_line(self._config)
        except (OSError, ValueError) as error:
            self._lose(error)
            return
        if self._opened_ms is not None:
            self.counters["Reopened"] = self.counters.get("Reopened", 0) + 1
        self._opened_ms = self._now_ms
        self._change = True
        self.handle = self._line.handle
        self.error = None

    def _flush(self):
        # send what is left, as far as there is room; whether the port is open
        if self._line is None:
            return False
        try:
            while self._out:
                count = self._line.write(self._out)
                if not count:
                    break
                self._out = self._out[count:]
        except OSError as error:
            self._lose(error)
            return False
        return True

    def _lose(self, error):
        if self._line is not None:
            self._line.close()
            if self._now_ms - self._opened_ms >= _RETRY_LONGEST_MS:
                # a port that fails at once each time is opened less and less often
                self._retry_ms = _RETRY_MS
        self._line = self.handle = None
        self._out = b""
        self._change = False
        self.error = str(error)
        self._due_ms = self._now_ms + self._retry_ms
        self._retry_ms = min(2 * self._retry_ms, _RETRY_LONGEST_MS)
