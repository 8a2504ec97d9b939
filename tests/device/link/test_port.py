"""A port's back-off and its queue, over lines in memory; and a chip's UART, over a double of it.

Real ttys are in tests/host/writ/link. No interpreter here has a `machine.UART`: the double does
what MicroPython documents of it.
"""

import sys

from harness import raises

from writ.compat import MICROPYTHON
from writ.errors import UsageError
from writ.limits import SERIAL_BUFFER_BYTES, SERIAL_CHUNK_BYTES
from writ.link import port as module
from writ.link.port import Port

CONFIG = {"kind": "serial", "port": "/dev/none"}


class Line:
    """A line in memory. room: bytes that it takes; is_gone: whether it is unplugged."""

    def __init__(self):
        self.handle = object()
        self.arrived = b""
        self.sent = b""
        self.room = 1000000
        self.is_gone = self.is_closed = False

    def readinto(self, buffer):
        """As a line's."""
        self._look()
        count = min(len(buffer), len(self.arrived))
        buffer[:count] = self.arrived[:count]
        self.arrived = self.arrived[count:]
        return count

    def write(self, data):
        """As a line's."""
        self._look()
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def close(self):
        """As a line's."""
        self.is_closed = True

    def _look(self):
        if self.is_gone:
            raise OSError(5, "gone")


class Socket:
    """Where lines are plugged in: `line`, or None; `tries`: when it was asked, in ms."""

    def __init__(self, line=None):
        self.line = line
        self.tries = []
        self.now_ms = 0

    def __enter__(self):
        self._before = module.open_line
        module.open_line = self._open
        return self

    def __exit__(self, *_):
        module.open_line = self._before

    def _open(self, config):
        self.tries.append(self.now_ms)
        if self.line is None:
            raise OSError(2, "none there")
        return self.line

    def run(self, port, until_ms):
        """Call `port.read` when it is due, from now on; all that it gives."""
        found = b""
        while self.now_ms <= until_ms:
            found += port.read(self.now_ms)
            wait_ms = port.next_ms(self.now_ms)
            if wait_ms is None:
                break
            self.now_ms += max(1, wait_ms)
        return found


def test_bytes_pass_both_ways():
    line = Line()
    with Socket(line):
        port = Port(CONFIG)
        assert port.handle is None and port.next_ms(0) == 0 and not port.write(b"early")
        assert port.read(0) == b"" and port.handle is line.handle and port.next_ms(0) is None
        line.arrived = bytes(SERIAL_CHUNK_BYTES) + b"rest"
        assert port.read(1) == bytes(SERIAL_CHUNK_BYTES)
        assert port.read(1) == b"rest" and port.read(1) == b""
        assert port.write(b"out") and line.sent == b"out"
        assert port.counters == {} and port.error is None


def test_a_missing_port_is_tried_less_and_less_often():
    with Socket() as socket:
        port = Port(CONFIG)
        socket.run(port, 120000)
        assert socket.tries == [0, 1000, 3000, 7000, 15000, 31000, 61000, 91000]
        assert "none there" in port.error and port.handle is None


def test_a_port_that_is_plugged_in_again_is_used_again():
    first, second = Line(), Line()
    with Socket(first) as socket:
        port = Port(CONFIG)
        port.read(0)
        first.is_gone, socket.line = True, None
        assert port.read(50000) == b"" and first.is_closed
        assert port.handle is None and "gone" in port.error and not port.write(b"no")
        socket.now_ms = 50000
        socket.run(port, 50999)
        second.arrived = b"back"
        socket.line = second
        assert socket.run(port, 60000) == b"back"
        assert socket.tries == [0, 51000]
        assert port.counters == {"Reopened": 1} and port.error is None
        assert port.handle is second.handle


def test_a_change_of_the_port_is_told_once():
    line = Line()
    with Socket(line) as socket:
        port = Port(CONFIG)
        assert port.take_change() is None
        port.read(0)
        assert port.take_change() is True and port.take_change() is None
        # lost, and opened again before anything asks
        line.is_gone = True
        port.read(1000)
        line.is_gone = False
        socket.run(port, 5000)
        assert port.handle and port.take_change() is True and port.take_change() is None
        line.is_gone = True
        port.read(9000)
        assert port.take_change() is False and port.take_change() is None


def test_a_port_that_fails_at_once_each_time_is_opened_less_and_less_often():
    class Bad(Line):
        """Gone as soon as it is open."""

        def _look(self):
            raise OSError(5, "gone")

    with Socket(Bad()) as socket:
        port = Port(CONFIG)
        socket.run(port, 50000)
        assert socket.tries == [0, 1000, 3000, 7000, 15000, 31000]
        # one that worked for as long as the longest pause begins anew
        socket.line = Line()
        socket.now_ms = 61000
        port.read(61000)
        assert port.handle is socket.line.handle
        socket.line.is_gone = True
        port.read(91000)
        assert port.next_ms(91000) == 1000


def test_what_finds_no_room_is_sent_later_and_in_order():
    line = Line()
    with Socket(line):
        port = Port(CONFIG)
        port.read(0)
        line.room = 3
        assert port.write(b"first") and line.sent == b"fir"
        # it keeps one piece of data, no more
        assert not port.is_ready() and not port.write(b"second")
        assert 0 < port.next_ms(0) <= 100
        line.room = 1
        port.read(1)
        assert line.sent == b"firs" and not port.write(b"second")
        line.room = 100
        assert port.write(b"second") and line.sent == b"firstsecond"
        assert port.next_ms(1) is None


def test_data_of_before_is_not_sent_after_the_port_was_lost():
    line, other = Line(), Line()
    with Socket(line) as socket:
        port = Port(CONFIG)
        port.read(0)
        line.room = 3
        assert port.write(b"first")
        line.is_gone = True
        assert not port.write(b"second") and port.handle is None
        socket.line = other
        port.read(1000)
        assert port.write(b"third") and other.sent == b"third"


def test_a_closed_port_stays_closed():
    line = Line()
    with Socket(line) as socket:
        port = Port(CONFIG)
        port.read(0)
        port.close()
        assert line.is_closed and port.handle is None
        assert port.read(100000) == b"" and port.next_ms(100000) is None and not port.write(b"x")
        assert socket.tries == [0]
        port.close()


class Uart:
    """What MicroPython documents of machine.UART, with a line of its own."""

    def __init__(self, number, baud, **settings):
        if number > 2:
            raise ValueError("UART(%d) does not exist" % number)
        self.made = (number, baud, settings)
        self.arrived = b"hello"
        self.sent = b""
        self.is_done = True
        self.is_off = False

    def any(self):
        """The number of bytes that have arrived."""
        return len(self.arrived)

    def readinto(self, buffer, count):
        """Read `count` bytes; it would wait for more than there are."""
        assert 0 < count <= len(self.arrived)
        buffer[:count] = self.arrived[:count]
        self.arrived = self.arrived[count:]
        return count

    def txdone(self):
        """Whether all has left."""
        return self.is_done

    def write(self, data):
        """Take data; it would wait while earlier data is on its way."""
        assert self.is_done
        self.sent += bytes(data)
        self.is_done = False
        return len(data)

    def deinit(self):
        """Release the pins."""
        self.is_off = True


class Machine:
    """In the place of the module `machine`."""

    UART = Uart


def test_a_number_is_the_uart_of_a_chip():
    if not MICROPYTHON:
        raises(UsageError, Port, {"port": 1})
        return
    port = Port({"port": 1, "tx": 17, "rx": 18})
    assert port.read(0) == b"" and "no UART" in port.error


def test_the_uart_of_a_chip():
    if not MICROPYTHON:
        sys.modules["machine"] = Machine
    from writ.link import uart

    before, uart.machine = uart.machine, Machine
    try:
        line = uart.Uart(1, 57600, 17, None)
        buffers = {"rxbuf": SERIAL_BUFFER_BYTES, "txbuf": SERIAL_BUFFER_BYTES, "timeout": 0}
        buffers["tx"] = 17
        assert line.handle.made == (1, 57600, buffers)
        buffer = bytearray(3)
        assert line.readinto(buffer) == 3 and buffer == b"hel"
        assert line.readinto(buffer) == 2 and buffer[:2] == b"lo"
        assert line.readinto(buffer) == 0
        assert line.write(memoryview(b"first")) == 5
        assert line.write(memoryview(b"second")) == 0
        line.handle.is_done = True
        assert line.write(memoryview(b"second")) == 6 and line.handle.sent == b"firstsecond"
        line.close()
        assert line.handle.is_off
        raises(ValueError, uart.Uart, 3, 9600, None, None)
    finally:
        uart.machine = before
        if not MICROPYTHON:
            del sys.modules["machine"]
