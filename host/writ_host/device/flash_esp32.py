"""Writes a flash plan to an ESP32 chip at a serial port, with esptool.

1. Before the first byte is written the chip is asked: its kind, the size of its flash, and whether
   flash encryption or secure boot are on. A chip that does not fit the plan is refused unchanged.
2. esptool writes each part and compares its MD5. At the end all parts are compared once more.
3. A board that is lost on the way has an incomplete flash: the command is run again. The chip's
   loader is in its ROM, so that no cut makes a board unusable.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import esptool
import serial
from esptool.cmds import detect_flash_size
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError, flash_size_bytes

from ..errors import HostError, NotReachable
from . import ports
from .esptoollog import Quiet
from .flashplan import FlashPlan

# What the ROM prints when it starts a program from flash: "boot:0x8 (SPI_FAST_FLASH_BOOT)"
_BOOTED = re.compile(rb"boot:0x[0-9a-fA-F]+ ?\(SPI_FAST_FLASH_BOOT\)")
ROM_BAUD = 115_200
# UART bridges of all known boards reach it; esptool's own default for flashing.
BAUD = 460_800
# What is kept of the last bytes from the chip, to explain why it does not answer.
SEEN_BYTES_MAX = 2048
_LOADER = (
    "Hold the board's BOOT button, press and release RESET (or plug the cable in), then release"
    " BOOT, and run the command again."
)
_USB = (
    " The USB of an ESP32-S3 or -C3 is gone while the chip starts: hold BOOT while you plug it in."
)


class NoLoader(NotReachable):
    """The chip's ROM loader does not answer."""

    advice = _LOADER


class WrongChip(HostError):
    """The chip at the port is not the board's."""

    advice = "Choose the board's port with --port, or name another board: writ board list."


class FlashTooSmall(HostError):
    """The chip has less flash than the board's file says."""

    advice = "Name a board with a smaller flash: writ board list."


class LockedChip(HostError):
    """A chip with flash encryption, secure boot or secure download mode."""

    advice = "Writ does not write such chips. Use the tools that locked it, or another chip."


class LostChip(NotReachable):
    """The connection broke off while the flash was written."""

    advice = (
        "Take a shorter USB cable, and a port of the computer itself rather than a hub. Then run"
        " the command again: it starts from the begin, and no cut makes a chip unusable."
    )


class BrownOut(LostChip):
    """The chip's supply voltage broke down."""

    advice = (
        "The USB port or the cable does not supply enough current. Remove radios and sensors, take"
        " a shorter cable or a powered hub, and run the command again."
    )


class NotWritten(HostError):
    """The flash does not hold what was written."""

    advice = "Run the command again with --erase. If it fails again, the flash may be worn out."


@dataclass(frozen=True)
class Flashed:
    """What was written where. warnings: esptool's."""

    port: str
    chip: str
    flash_bytes: int
    warnings: tuple[str, ...]


class Line(serial.Serial):
    """A serial port that keeps the last bytes that came."""

    seen = b""

    def read(self, size: int = 1) -> bytes:
        """As `serial.Serial.read`."""
        found: bytes = super().read(size)
        self.seen = (self.seen + found)[-SEEN_BYTES_MAX:]
        return found


def write_plan(
    plan: FlashPlan,
    path: str,
    erase: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Flashed:
    """Write a plan to the chip at the port `path`, compare it, and start the chip.

    erase: erase the whole flash first. advance: gets the number of bytes of the plan, as they are
    written. Raises what `ports.open_error` makes, NoLoader, WrongChip, FlashTooSmall, LockedChip,
    LostChip, BrownOut and NotWritten.
    """
    line = _open(path)
    progress = _Progress(plan, advance)
    try:
        with Quiet(progress.report) as log, _explaining(line, path):
            chip = _connect(line, path)
            _check(plan, chip)
            chip = esptool.run_stub(chip)
            if not chip.uses_usb_jtag_serial():
                chip.change_baud(BAUD)
            esptool.attach_flash(chip)
            flash_bytes = _check_flash(plan, chip)
            _write(plan, chip, erase, progress)
            esptool.reset_chip(chip, "hard-reset")
            return Flashed(path, chip.CHIP_NAME, flash_bytes, tuple(log.warnings))
    finally:
        with contextlib.suppress(OSError):
            line.close()


class _Progress:
    """Bytes of a plan that are done; esptool reports a fraction of one part after the other."""

    def __init__(self, plan: FlashPlan, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._bytes = 0  # of the current part, 0 before the first one
        self._told = 0

    def begin(self, count: int) -> None:
        """The next part has `count` bytes; the one before is complete."""
        self.report(1.0)
        self._bytes, self._told = count, 0

    def report(self, done: float) -> None:
        """The part of the current part that is done."""
        count = int(self._bytes * done)
        if count > self._told:
            self._advance(count - self._told)
            self._told = count


def _open(path: str) -> Line:
    try:
        line = Line()
        line.port, line.baudrate, line.exclusive = path, ROM_BAUD, True
        line.open()
    except OSError as error:
        raise ports.open_error(path, error) from None
    except ValueError:
        raise ports.NoPort(f"{path} is no port") from None
    return line


@contextlib.contextmanager
def _explaining(line: Line, path: str) -> Iterator[None]:
    """Turns what esptool raises into errors that say what to do next."""
    try:
        yield
    except FatalError as error:
        raise _explained(line, path, str(error)) from None
    except OSError as error:
        # pyserial's exceptions are OSErrors
        raise _lost(line, path, error) from None


def _explained(line: Line, path: str, text: str) -> HostError:
    first = text.strip().split("\n")[0]
    if "MD5" in text or "Verification failed" in text or "flash region is empty" in text:
        return NotWritten(f"the flash of the chip at {path} is not as written: {first}")
    return _lost(line, path, first)


def _lost(line: Line, path: str, reason: object) -> HostError:
    if b"rownout" in line.seen:
        return BrownOut(f"the supply voltage of the chip at {path} broke down")
    return LostChip(f"the chip at {path} is gone, or does not answer any more: {reason}")


def _connect(line: Line, path: str) -> Any:
    try:
        return esptool.detect_chip(line)
    except FatalError as error:
        text = str(error)
        if b"rownout" in line.seen:
            raise
        if "Wrong boot mode" in text or _BOOTED.search(line.seen):
            raise NoLoader(f"the chip at {path} has started its program, not its loader") from None
        if "TX path" in text:
            raise NoLoader(
                f"the chip at {path} sends, but does not hear",
                "Check the cable, and that nothing is wired to the pins of its UART.",
            ) from None
        if "Unexpected chip" in text:
            raise WrongChip(f"{path}: {text.splitlines()[0]}") from None
        usb = _USB if path.startswith("/dev/ttyACM") else ""
        raise NoLoader(f"no ESP32 chip answers at {path}", _LOADER + usb) from None


def _check(plan: FlashPlan, chip: Any) -> None:
    """Raise unless the chip is the plan's and takes plain bytes."""
    expected = CHIP_DEFS[plan.board.chip.name].CHIP_NAME
    if expected != chip.CHIP_NAME:
        raise WrongChip(f"the chip is an {chip.CHIP_NAME}; {plan.board.name} has an {expected}")
    if chip.secure_download_mode:
        raise LockedChip("the chip is in secure download mode")
    if chip.get_flash_encryption_enabled():
        raise LockedChip("the chip encrypts its flash")
    if chip.get_secure_boot_enabled():
        raise LockedChip("the chip starts signed programs only (secure boot)")


def _check_flash(plan: FlashPlan, chip: Any) -> int:
    """The size of the chip's flash in bytes. Raise `FlashTooSmall` if the plan does not fit."""
    found = detect_flash_size(chip)
    if found is None:
        raise FlashTooSmall(
            "the size of the chip's flash is unknown",
            "Check that nothing is wired to the pins of the flash.",
        )
    size = int(flash_size_bytes(found))
    if size < plan.flash_bytes:
        raise FlashTooSmall(
            f"the chip has {size >> 20} MiB of flash; {plan.board.name} has"
            f" {plan.flash_bytes >> 20} MiB"
        )
    return size


def _write(plan: FlashPlan, chip: Any, erase: bool, progress: _Progress) -> None:
    if erase:
        esptool.erase_flash(chip)
    for part in plan.parts:
        progress.begin(len(part.data))
        esptool.write_flash(chip, [(part.offset, part.data)])
        if not chip.IS_STUB:
            # esptool has connected to a lost port again: it made another object for the stub that
            # runs now, and left this one marked as the ROM's
            chip.IS_STUB = True
            chip.flush_input()
    progress.report(1.0)
    esptool.verify_flash(chip, [(part.offset, part.data) for part in plan.parts])
