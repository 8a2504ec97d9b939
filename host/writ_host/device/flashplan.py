"""A flash plan: what of a board's flash is written where, checked before a port is opened.

1. A part is a run of bytes at an offset, which is the begin of a sector.
2. Parts do not overlap, and the last one ends within the flash.
3. All bytes between parts keep what they had, unless the whole flash is erased.

esp32plan.py and rp2plan.py make plans of a stock firmware and of the images of images.py.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import HostError
from .facts import Board
from .partitions import SECTOR_BYTES

# The largest firmware of MicroPython has 2.5 MiB; a UF2 file has twice the bytes of its content.
FIRMWARE_BYTES_MAX = 16 << 20
# The flash of the largest board that boards/ may describe with a plan. A plan is held in memory.
FLASH_BYTES_MAX = 128 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
# py/mpconfig.h, MICROPY_BANNER_NAME_AND_VERSION: sys.version has it in each build
_BANNER = re.compile(rb"MicroPython (v([0-9]{1,3}(?:\.[0-9]{1,3}){1,2})[0-9A-Za-z.+-]{0,40}) on ")


class BadFirmware(HostError):
    """A firmware file that is not what this board needs."""

    advice = "Download the file that writ board show names for this board."


class BadPlan(HostError):
    """Parts that overlap or do not fit the flash."""

    advice = "Compare the board's flash with its file: writ board show."


@dataclass(frozen=True)
class Part:
    """Bytes at an offset of the flash. what: "app", "partition table"."""

    offset: int
    data: bytes
    what: str

    @property
    def end(self) -> int:
        """The offset of the first byte behind the part."""
        return self.offset + len(self.data)


@dataclass(frozen=True)
class FlashPlan:
    """All that is written on a board. version: of MicroPython, as "v1.28.0".

    flash_bytes: what the board has at least; files: the paths on the board, for people.
    """

    board: Board
    version: str
    flash_bytes: int
    parts: tuple[Part, ...]
    files: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of bytes to write."""
        return sum(len(part.data) for part in self.parts)

    def image(self) -> bytes:
        """One image from offset 0 to the end of the last part, with FF between the parts."""
        merged = bytearray(b"\xff" * max(part.end for part in self.parts))
        for part in self.parts:
            merged[part.offset : part.end] = part.data
        return bytes(merged)


def make_plan(
    board: Board, version: str, flash_bytes: int, parts: Sequence[Part], files: Mapping[str, object]
) -> FlashPlan:
    """A plan of these parts in the order of their offsets. Raises `BadPlan`."""
    found = tuple(sorted(parts, key=lambda part: part.offset))
    if not found or not 0 < flash_bytes <= FLASH_BYTES_MAX:
        raise BadPlan(f"no plan for a flash of {flash_bytes} bytes with {len(found)} parts")
    end = 0
    before = ""
    for part in found:
        if part.offset % SECTOR_BYTES or not part.data:
            raise BadPlan(f"{part.what} at {part.offset:#x} is empty, or not at a sector's begin")
        # what is erased reaches to the end of the sector
        if part.offset < -(-end // SECTOR_BYTES) * SECTOR_BYTES:
            raise BadPlan(f"{part.what} at {part.offset:#x} overlaps {before}, up to {end:#x}")
        if part.end > flash_bytes:
            raise BadPlan(f"{part.what} ends at {part.end:#x}, the flash at {flash_bytes:#x}")
        end, before = part.end, part.what
    return FlashPlan(board, version, flash_bytes, found, tuple(sorted(files)))


def check_pin(data: bytes, sha256: str | None) -> None:
    """Raise `BadFirmware` unless a file has this SHA-256 (hexadecimal; None: not pinned)."""
    if sha256 is None:
        return
    if not _SHA256.fullmatch(sha256.lower()):
        raise BadFirmware("a SHA-256 has 64 hexadecimal digits", "Copy it whole.")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise BadFirmware(
            f"the firmware file has SHA-256 {found}, not the one that is pinned",
            "Do not use this file: download it again, and compare.",
        )


def check_version(content: bytes, board: Board) -> str:
    """MicroPython's version in a firmware, as "v1.28.0". content: its bytes in flash.

    Raises `BadFirmware` without one, and for one that is older than the board's `version_min`.
    """
    found = _BANNER.search(content)
    if not found:
        raise BadFirmware("the file has no MicroPython in it")
    text = found[1].decode()
    least = board.firmware.version_min if board.firmware else "0.0"
    if _numbers(found[2].decode()) < _numbers(least):
        raise BadFirmware(f"the file has MicroPython {text}; {board.name} needs {least} or newer")
    return text


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    return (*numbers, 0, 0)[:3]
