"""The REPL of a board with MicroPython at a serial port: connect, run code, start the program.

1. `connect` opens the port, interrupts the board's program (Ctrl-C) and enters the raw REPL
   (Ctrl-A). A soft reset there frees the heap of the program; MicroPython runs boot.py then, and
   leaves main.py out.
2. `Repl.run` executes code on the board, and returns what it prints. Everything that a board sends
   is foreign: it is bounded in bytes and in time.
3. At the end the board's program starts again, unless the caller leaves the board in its REPL.

The line discipline is that of MicroPython's documentation, "REPL: raw mode and raw-paste mode".
"""

import contextlib
import io
import json
import re
import struct
import time
from collections.abc import Iterator
from typing import Any

from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from ..errors import HostError, NotReachable
from . import ports

BAUD = 115_200
# Each attempt is one Ctrl-C and one Ctrl-A. A board that resets when the port is opened needs a
# second or two before it hears them.
ATTEMPTS = 4
INTERRUPT_S = 1.0  # how long the output of an interrupted program is read
QUIET_S = 0.2  # silence after which it has ended
ENTER_S = 2.5  # how long the raw REPL takes to answer
BOOT_S = 6.0  # how long boot.py may run after a soft reset; then it is interrupted
# How long a board may be silent in the middle of an answer: it hashes 64 kB or erases flash then.
SILENCE_S = 10.0
WRITE_S = 10.0
# What a command may print. A file comes in pieces.
ANSWER_BYTES_MAX = 256 * 1024
LINE_BYTES_MAX = 2000
# What is kept of a board's output, to explain why it does not listen.
SEEN_BYTES_MAX = 4096
# without the ">" of the prompt, which `SerialTransport.exec_raw_no_follow` reads
_RAW = b"raw REPL; CTRL-B to exit\r\n"
_SOFT_RESET = b"soft reboot\r\n"
_ANSWER = b"writ:"
_INTERRUPT, _ENTER, _LEAVE, _END = b"\x03", b"\x01", b"\x02", b"\x04"


class NoRepl(NotReachable):
    """The board does not enter its raw REPL."""


class LostBoard(NotReachable):
    """The connection to the board broke off, or its answer is none."""

    advice = (
        "Check the cable and the board's power, and close other programs that use the port. Then"
        " run the command again: a deploy is completed by the next one."
    )


class BoardFailed(HostError):
    """Code on the board has raised an exception. error: its last line, "OSError: 28"."""

    advice = "Reset the board, and run the command again: writ device reset."

    def __init__(self, error: str, advice: str | None = None) -> None:
        self.error = error
        super().__init__(f"the board reports: {error}", advice)


class BoardFull(BoardFailed):
    """The board's file system is full."""

    advice = "Remove files from the board: writ device files list, then writ device files rm."


class _Line(SerialTransport):  # type: ignore[misc]
    """mpremote's transport, with bounds for what a board sends.

    silence_s, bytes_max: the bounds of `read_until`. ahead: what has arrived after an ending.
    """

    silence_s = SILENCE_S
    bytes_max = ANSWER_BYTES_MAX
    ahead = b""

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = None,
        data_consumer: Any = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        """What arrives until `ending`, with it; less if the board is silent before.

        Raises `TransportError` for more than `bytes_max`.
        """
        data = bytearray()
        quiet_from = time.monotonic()
        while not data.endswith(ending):
            if len(data) > self.bytes_max:
                raise TransportError("more than expected")
            # one at a time: what follows belongs to the next answer
            if self.ahead:
                data += self.ahead[:1]
                self.ahead = self.ahead[1:]
            elif self.serial.in_waiting:
                data += self.serial.read(1)
                quiet_from = time.monotonic()
            elif time.monotonic() > quiet_from + self.silence_s:
                break
            else:
                time.sleep(0.002)
        return bytes(data)

    def skip(self, ending: bytes, timeout_s: float, quiet_s: float | None = None) -> bytes:
        """Read until `ending`, or until nothing has arrived for `quiet_s`; the last bytes of it."""
        data = bytearray()
        quiet_from = begin = time.monotonic()
        while True:
            now = time.monotonic()
            if now > begin + timeout_s or (quiet_s is not None and now > quiet_from + quiet_s):
                break
            if not self.serial.in_waiting:
                time.sleep(0.002)
                continue
            data += self.serial.read(self.serial.in_waiting)
            quiet_from = now
            if ending and ending in data:
                found, _, rest = data.rpartition(ending)
                self.ahead = bytes(rest)
                return bytes((found + ending)[-SEEN_BYTES_MAX:])
            del data[:-SEEN_BYTES_MAX]
        return bytes(data)


class Repl:
    """The raw REPL of a board. path: of its port. `connect` makes one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.line = open_line(path)

    def enter(self) -> None:
        """Interrupt the program, and enter the raw REPL after a soft reset. Raises NoRepl."""
        seen = b""
        for _ in range(ATTEMPTS):
            seen += self._interrupt()
            if not seen.endswith(_RAW):
                continue
            self.line.serial.write(_END)
            found = self.line.skip(_SOFT_RESET, ENTER_S)
            if found.endswith(_SOFT_RESET):
                found = self.line.skip(_RAW, BOOT_S)
                if not found.endswith(_RAW):
                    # boot.py does not end
                    found += self._interrupt()
                if found.endswith(_RAW):
                    return
            seen += found
        raise explanation(self.path, seen[-SEEN_BYTES_MAX:])

    def _interrupt(self) -> bytes:
        """Interrupt what runs, and ask for the raw REPL; the last bytes of what arrives."""
        self.line.serial.write(2 * _INTERRUPT)
        seen = self.line.skip(b"", INTERRUPT_S, QUIET_S)
        self.line.serial.write(_ENTER)
        return seen + self.line.skip(_RAW, ENTER_S)

    def run(self, code: str, silence_s: float = SILENCE_S) -> bytes:
        """Execute `code` on the board; what it prints. silence_s: how long it may be silent.

        Raises BoardFailed, BoardFull and LostBoard.
        """
        self.line.silence_s = silence_s
        with talking():
            self.line.exec_raw_no_follow(code)
            output, error = self.line.follow(None)
        if error:
            raise _failure(error)
        return bytes(output)

    def ask(self, expression: str, silence_s: float = SILENCE_S) -> Any:
        """The value of an expression on the board, in JSON's types. Raises as `run`, LostBoard.

        A line of its own has it, since the firmware may print its own lines between.
        """
        output = self.run(f"import json\nprint('\\nwrit:'+json.dumps({expression}))", silence_s)
        lines = [one for one in output.splitlines() if one.startswith(_ANSWER)]
        try:
            return json.loads(lines[-1].removeprefix(_ANSWER))
        except (IndexError, ValueError, RecursionError):
            raise LostBoard("the board's answer is damaged") from None

    def start_program(self) -> None:
        """Start the board's program by a soft reset. Raises LostBoard."""
        with talking():
            self.line.serial.write(b"\r" + _LEAVE)
            self.line.skip(b">>> ", ENTER_S)
            self.line.serial.write(_END)
            found = self.line.skip(_SOFT_RESET, ENTER_S)
        if not found.endswith(_SOFT_RESET):
            raise LostBoard("the board's program was not started again", "Reset the board.")

    def lines(self) -> Iterator[str]:
        """The lines that the board prints from now on, without end. Raises LostBoard."""
        pending = b""
        while True:
            with talking():
                if not self.line.serial.in_waiting:
                    time.sleep(0.05)
                    continue
                pending += self.line.serial.read(self.line.serial.in_waiting)
            *whole, pending = pending.split(b"\n")
            # a line without end comes in pieces
            if len(pending) > LINE_BYTES_MAX:
                whole, pending = [*whole, pending], b""
            for line in whole:
                yield line.rstrip(b"\r").decode("utf-8", "replace")

    def reset(self) -> None:
        """Reset the board as its button does. It may leave USB for a moment. Raises LostBoard."""
        with talking():
            # the board confirms that it has the code, not that it has done it
            self.line.exec_raw_no_follow("import machine\nmachine.reset()")

    def close(self) -> None:
        """Close the port."""
        close_line(self.line)


def open_line(path: str) -> Any:
    """The transport of a port that is open. Raises what `ports.open_error` makes."""
    try:
        # without a bound, a board that is silent would block for ever
        line = _Line(path, BAUD, timeout=SILENCE_S)
    except (TransportError, OSError, ValueError):
        raise _open_error(path) from None
    line.serial.write_timeout = WRITE_S
    return line


def close_line(line: Any) -> None:
    """Close the port; a board that is gone is no error."""
    with contextlib.suppress(OSError):
        line.close()


def _open_error(path: str) -> HostError:
    # mpremote hides the reason
    import serial

    try:
        serial.serial_for_url(path, exclusive=True).close()
    except OSError as error:
        return ports.open_error(path, error)
    except ValueError:
        return ports.NoPort(f"{path} is no port")
    return LostBoard(f"{path} could not be opened at first", "Run the command again.")


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """Inside, what pyserial and mpremote raise becomes LostBoard, and mpremote prints nothing."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except (TransportError, OSError, struct.error):
        raise LostBoard("the connection to the board broke off") from None


@contextlib.contextmanager
def connect(path: str | None, starts: bool = True) -> Iterator[Repl]:
    """The raw REPL of the board at this port, or at the only one; its program is stopped.

    starts: whether the program starts again at the end, also after an error. Raises what
    `ports.choose` and `ports.open_error` do, NoRepl and LostBoard.
    """
    repl = Repl(ports.choose(path))
    try:
        with talking():
            repl.enter()
        try:
            yield repl
        except BaseException:
            if starts:
                with contextlib.suppress(HostError):
                    repl.start_program()
            raise
        if starts:
            repl.start_program()
    finally:
        repl.close()


def _failure(error: bytes) -> BoardFailed:
    lines = error.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1][:200] if lines else "an error without text"
    if re.search(r"OSError: (\[Errno 28\]|28\b)|ENOSPC", last):
        return BoardFull(last)
    if last.startswith("MemoryError"):
        return BoardFailed(last, "The board has too little free heap: remove what boot.py loads.")
    return BoardFailed(last)


def explanation(path: str, seen: bytes) -> NoRepl:
    """Why a board that printed `seen` does not enter its REPL, with what to do next."""
    text = seen.decode("utf-8", "replace")
    what = f"the board at {path} does not enter its REPL"
    if not seen:
        return NoRepl(
            f"{what}: it sends nothing",
            "Check that the port is that of the board, and that it runs MicroPython (if not:"
            " boards/README.md). Press its reset button, and run the command again.",
        )
    # ESP32's ROM prints this at each start
    if "waiting for download" in text:
        return NoRepl(
            f"{what}: it waits for a download",
            "Press its reset button without the BOOT button, and run the command again.",
        )
    if len(re.findall(r"\brst:0x|Guru Meditation|soft reboot", text)) > 1:
        return NoRepl(
            f"{what}: it starts again and again",
            "Check its power supply. If it does not help, install MicroPython anew.",
        )
    strange = sum(
        letter == "�" or not (letter.isprintable() or letter.isspace()) for letter in text
    )
    if strange * 4 > len(text):
        return NoRepl(
            f"{what}: it sends bytes that are no text",
            "Check that the port is that of the board, and not that of a modem.",
        )
    return NoRepl(
        f"{what}: a program runs that Ctrl-C does not end",
        "Press the board's reset button, and run the command again at once. If it does not help,"
        " install MicroPython anew.",
    )
