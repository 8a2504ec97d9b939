"""A board for tests: MicroPython's unix port behind a serial port, with a flash that stays.

`Board(folder).path` is a port for `mpremote` and `writ device`. Behind it runs the real interpreter
with its own raw REPL and raw paste mode, and a LittleFS in a file as its root (board_start.py).
What the unix port lacks, the rig makes up for:

1. A soft reset ends the unix port. The rig prints `MPY: soft reboot`, as a chip does, and starts
   the interpreter again. It enters the raw REPL if the reset came from there; main.py is left out
   then, as on a chip.
2. `machine.reset()` does not exist: here it ends the process by a signal. The rig prints bytes as
   the ROM of an ESP32 does at another rate, and starts the interpreter with boot.py and main.py.
3. `vfs.rom_ioctl` does not exist: board_start.py has one for a file.
4. Ctrl-C is a byte as others in the raw REPL. Here it interrupts what runs there, as on a chip.

The port is a cable of two ptys, as the interpreter needs a terminal of its own. It can be cut after
a number of bytes in either direction, with the board's power or without.
"""

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Callable, Mapping
from pathlib import Path

import build_mpy
from littlefs import LittleFS, UserContext

from writ_host.device.littlefs import BLOCK_BYTES, PROGRAM_BYTES, littlefs_image

START = Path(__file__).with_name("board_start.py")
HEAP_BYTES = 512 * 1024
FLASH_BYTES = 1024 * 1024
WAIT_S = 60
# Bytes on their way to one end, beyond what the kernel holds
PENDING_BYTES = 65536
_RAW, _FRIENDLY = b"raw REPL; CTRL-B to exit", b'Type "help()"'
_ROM_NOISE = b"\x8c\xe2rst:0x1 (POWERON)\r\n\xfe\x80"


class Board:
    """A board with its power on. path: of its serial port, a symbolic link to a pty.

    files: what is in its flash. rom_bytes: the size of its ROMFS partition.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, bytes] | None = None,
        flash_bytes: int = FLASH_BYTES,
        rom_bytes: int = 0,
        heap_bytes: int = HEAP_BYTES,
    ) -> None:
        self.path = folder / "port"
        self.flash = folder / "flash"
        self.flash.write_bytes(littlefs_image(files or {}, flash_bytes))
        self.rom = folder / "rom" if rom_bytes else None
        if self.rom:
            self.rom.write_bytes(b"\xff" * rom_bytes)
        self.output = bytearray()  # all that the board has printed
        self.starts = 0
        # bytes until the cable is cut, by direction; None for never
        self.cut: dict[str, int | None] = {"in": None, "out": None}
        self.is_cut = threading.Event()
        self.passed = {"in": 0, "out": 0}
        self._cut_power = True
        self._heap = heap_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._near = self._near_slave = self._far = -1
        self._to_host, self._to_board = bytearray(), bytearray()
        self._is_raw = False
        self._orders: list[tuple[Callable[[], None], threading.Event]] = []
        self._wake = os.pipe()
        self._is_running = True
        self._error: Exception | None = None
        self._plug()
        self._power_on()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- for tests --------------------------------------------------------------------------------

    def cut_after(self, count: int, direction: str = "in", power: bool = True) -> None:
        """Pull the cable after `count` more bytes to the board ("in") or from it ("out").

        power: the board loses its power by that, too.
        """

        def cut() -> None:
            self.is_cut.clear()
            self.cut = {"in": None, "out": None}
            self.cut[direction] = count
            self._cut_power = power

        self._order(cut)

    def repair(self) -> None:
        """Plug the cable in again, and start the board if it has no power."""
        self._order(self._repair)

    def plug(self) -> None:
        """Plug the cable in."""
        self._order(self._plug)

    def unplug(self) -> None:
        """Pull the cable; the board keeps its power."""
        self._order(self._unplug)

    def power_off(self) -> None:
        """End the board at once."""
        self._order(self._power_off)

    def power_on(self) -> None:
        """Start the board."""
        self._order(self._power_on)

    def wait_for(self, text: bytes, since: int = 0) -> None:
        """Wait until the board has printed `text`, after `since` bytes of `output`."""
        self.wait_until(lambda: text in self.output[since:])

    def wait_until(self, check: Callable[[], object]) -> None:
        """Wait until `check()` is true."""
        end = time.monotonic() + WAIT_S
        while not check():
            assert time.monotonic() < end, self.output[-2000:]
            assert self._error is None
            time.sleep(0.01)

    def files(self) -> dict[str, bytes]:
        """All files in its flash by path, as an independent LittleFS finds them.

        The board must have no power, or be idle.
        """
        data = self.flash.read_bytes()
        context = UserContext(len(data))
        context.buffer = bytearray(data)
        system = LittleFS(
            context=context,
            block_size=BLOCK_BYTES,
            block_count=len(data) // BLOCK_BYTES,
            prog_size=PROGRAM_BYTES,
        )
        found = {}
        for folder, _, names in system.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with system.open(path, "rb") as handle:
                    found[path] = handle.read()
        return found

    def close(self) -> None:
        """End the thread, the board and its port."""
        self._is_running = False
        os.write(self._wake[1], b"x")
        self._thread.join()
        self._power_off()
        self._unplug()
        for handle in self._wake:
            os.close(handle)
        assert self._error is None

    @property
    def pending(self) -> int:
        """The number of bytes that the host's port does not take yet."""
        return len(self._to_host)

    # --- its thread -------------------------------------------------------------------------------

    def _order(self, work: Callable[[], None]) -> None:
        done = threading.Event()
        self._orders.append((work, done))
        os.write(self._wake[1], b"x")
        assert done.wait(WAIT_S), self._error

    def _plug(self) -> None:
        if self._near < 0:
            self._near, self._near_slave = pty.openpty()
            tty.setraw(self._near_slave)
            os.set_blocking(self._near, False)
            self.path.symlink_to(os.ttyname(self._near_slave))

    def _unplug(self) -> None:
        if self._near >= 0:
            self.path.unlink()
            os.close(self._near)
            os.close(self._near_slave)
            self._near = self._near_slave = -1
        self._to_host.clear()
        self._to_board.clear()

    def _power_on(self, has_program: bool = True) -> None:
        if self._process is not None:
            return
        self._far, slave = pty.openpty()
        os.set_blocking(self._far, False)
        _as_uart(slave)
        words = [self.flash.name, PROGRAM_BYTES, int(has_program)]
        words += [self.rom.name] if self.rom else []
        self._process = subprocess.Popen(
            [
                *(str(build_mpy.find_micropython()), "-X", f"heapsize={self._heap}", "-i"),
                *(str(START), *map(str, words)),
            ],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self.flash.parent,
            env={**os.environ, "MICROPYPATH": str(START.parent), "TERM": "dumb"},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.starts += 1
        self._is_raw = not has_program
        if self._is_raw:
            # it waits for its prompt in the terminal's buffer
            self._to_board += b"\x01"

    def _power_off(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._end()

    def _end(self) -> int:
        assert self._process
        code = self._process.wait()
        self._process = None
        os.close(self._far)
        self._far = -1
        self._to_board.clear()
        return code

    def _repair(self) -> None:
        self.cut = {"in": None, "out": None}
        self._plug()
        self._power_on()

    def _run(self) -> None:
        try:
            while self._is_running:
                self._carry()
        except Exception as error:
            # shown by the next order, or by `close`
            self._error = error
            raise

    def _carry(self) -> None:
        readers = [self._wake[0]]
        if self._near >= 0 and len(self._to_board) < PENDING_BYTES:
            readers.append(self._near)
        if self._far >= 0 and len(self._to_host) < PENDING_BYTES:
            readers.append(self._far)
        writers = [self._near] if self._to_host and self._near >= 0 else []
        writers += [self._far] if self._to_board and self._far >= 0 else []
        readable, writable, _ = select.select(readers, writers, [])
        if self._far in writable:
            del self._to_board[: os.write(self._far, self._to_board[:4096])]
        if self._near in writable:
            del self._to_host[: os.write(self._near, self._to_host[:4096])]
        if self._near in readable:
            self._pass("in", self._interrupting(os.read(self._near, 4096)), self._to_board)
        if self._far >= 0 and self._far in readable:
            self._hear()
        if self._wake[0] in readable:
            os.read(self._wake[0], 64)
        while self._orders:
            work, done = self._orders.pop(0)
            work()
            done.set()

    def _interrupting(self, data: bytes) -> bytes:
        """What the host sends, without a Ctrl-C that interrupts the interpreter here."""
        if b"\x03" not in data or self._process is None:
            return data
        # in this mode no byte becomes a signal; MicroPython handles SIGINT while code runs
        is_raw = not termios.tcgetattr(self._far)[3] & termios.ISIG
        if not (is_raw and _handles_interrupts(self._process.pid)):
            return data
        os.kill(self._process.pid, signal.SIGINT)
        return data.replace(b"\x03", b"", 1)

    def _hear(self) -> None:
        try:
            data = os.read(self._far, 4096)
        except OSError:
            data = b""  # the interpreter has ended
        if data:
            self._print(data)
            return
        if self._end() == -signal.SIGKILL:
            self._print(_ROM_NOISE)
            self._power_on()
        else:
            self._print(b"MPY: soft reboot\r\n")
            self._power_on(has_program=not self._is_raw)

    def _print(self, data: bytes) -> None:
        self.output += data
        tail = self.output[-len(data) - len(_RAW) :]
        if _RAW in tail or _FRIENDLY in tail:
            self._is_raw = tail.rfind(_RAW) > tail.rfind(_FRIENDLY)
        # without a cable, what it prints is lost
        if self._near >= 0:
            self._pass("out", data, self._to_host)

    def _pass(self, direction: str, data: bytes, to: bytearray) -> None:
        left = self.cut[direction]
        passed = data if left is None else data[:left]
        to += passed
        self.passed[direction] += len(passed)
        if left is None:
            return
        self.cut[direction] = left - len(passed)
        if len(passed) < len(data) or left == len(passed):
            self.cut[direction] = None
            if self._cut_power:
                # what has arrived is still executed, as far as the board comes
                if self._to_board and self._far >= 0:
                    os.write(self._far, self._to_board[:4096])
                self._power_off()
            self._unplug()
            self.is_cut.set()


def _handles_interrupts(pid: int) -> bool:
    text = Path(f"/proc/{pid}/status").read_text()
    (handled,) = (line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:"))
    return bool(int(handled, 16) >> (signal.SIGINT - 1) & 1)


def _as_uart(slave: int) -> None:
    """A terminal that changes no byte, in which Ctrl-C interrupts and discards nothing."""
    tty.setraw(slave)
    settings = termios.tcgetattr(slave)
    settings[3] = termios.ISIG | termios.NOFLSH
    none = os.fpathconf(slave, "PC_VDISABLE")
    for index in (termios.VQUIT, termios.VSUSP):
        settings[6][index] = none
    termios.tcsetattr(slave, termios.TCSANOW, settings)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
