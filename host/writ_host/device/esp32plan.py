"""The flash plan of an ESP32 board: a stock firmware of MicroPython, its table, and our images.

The firmware is one file from the chip's `firmware_offset` on: bootloader, FF, partition table at
0x8000, FF, and the app at the begin of its partition (MicroPython, ports/esp32/makeimg.py). The
bootloader and the app are images as esptool reads them: a header with the chip's id, segments,
a checksum and a SHA-256.

Rules:
1. The partitions are those of the file, but for the file systems. The table in flash names "vfs",
   and "romfs" for a firmware that mounts it. Without "vfs" in the table MicroPython would add one
   up to the end of the flash (ports/esp32/main.c), and a LittleFS of another size does not mount.
2. "vfs" ends with the smallest flash that the board is sold with. The bootloader refuses a table
   that ends behind the flash size of its own header, so that size is set where it is too small.
"""

import struct
from dataclasses import dataclass

import esptool
from esptool.bin_image import LoadFirmwareImage
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError

from . import partitions
from .esptoollog import Quiet
from .facts import Board
from .flashplan import BadFirmware, FlashPlan, Part, check_version, make_plan
from .images import Areas, board_images
from .littlefs import BLOCK_BYTES
from .partitions import SECTOR_BYTES, TABLE_BYTES, TABLE_OFFSET, BadPartitions, Partition

_MAGIC = 0xE9  # the first byte of an image
_UF2 = b"UF2\n"
_HEADER_BYTES = 24
_DIGEST_BYTES = 32
# What esptool meets in an image that is cut or altered
_DAMAGES = (
    FatalError,
    struct.error,
    EOFError,
    IndexError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_VFS, _ROMFS = "vfs", "romfs"


@dataclass(frozen=True)
class Esp32Firmware:
    """A stock firmware in its parts. table: the partitions of the file."""

    bootloader: bytes
    table: tuple[Partition, ...]
    app: bytes
    app_partition: Partition
    version: str


def plan_esp32(board: Board, firmware: bytes, files: dict[str, bytes]) -> FlashPlan:
    """The plan for a board. firmware: the file's bytes; files: as `board_images` takes them.

    Raises BadFirmware, BadPartitions, BadPlan, and what `board_images` raises.
    """
    stock = read_firmware(board, firmware)
    has_romfs = _has(stock.table, _ROMFS) or bool(board.firmware and board.firmware.has_romfs)
    table = _table(board, stock.table, has_romfs)
    vfs = _partition(table, _VFS)
    romfs_bytes = _partition(table, _ROMFS).size if has_romfs else 0
    made = board_images(Areas(vfs.size, romfs_bytes, BLOCK_BYTES), files)
    bootloader = _sized(board, stock.bootloader, table[-1].end)
    parts = [
        Part(board.chip.firmware_offset, bootloader, "bootloader"),
        Part(TABLE_OFFSET, partitions.write_table(table), "partition table"),
        Part(stock.app_partition.offset, stock.app, f"MicroPython {stock.version}"),
        Part(vfs.offset, made.data, "vfs: programs and settings (LittleFS)"),
    ]
    if made.romfs:
        parts.append(Part(_partition(table, _ROMFS).offset, made.romfs, "romfs: the agent (ROMFS)"))
    paths = {**made.data_files, **{f"rom/{path}": None for path in made.romfs_files}}
    return make_plan(board, stock.version, board.flash_bytes, parts, paths)


def read_firmware(board: Board, data: bytes) -> Esp32Firmware:
    """The parts of a stock firmware for the chip of `board`. Raises `BadFirmware`."""
    if data.startswith(_UF2):
        raise BadFirmware("this is a UF2 file", "Download the .bin file for this board.")
    start = board.chip.firmware_offset
    length = _image_bytes(board, data, "the file")
    if length > TABLE_OFFSET - start:
        raise BadFirmware(
            "the file is an app alone",
            "Take the file that holds bootloader, partition table and app: not one for updates"
            " (-ota, .app-bin).",
        )
    raw = data[TABLE_OFFSET - start : TABLE_OFFSET - start + TABLE_BYTES]
    try:
        table = partitions.parse_table(raw)
    except BadPartitions as error:
        raise BadFirmware(f"the file has no partition table: {error}") from None
    apps = [part for part in table if part.kind == "app"]
    if not apps:
        raise BadFirmware("the partition table of the file has no app")
    app = data[apps[0].offset - start :]
    if len(app) > apps[0].size:
        raise BadFirmware(f"the app has {len(app)} bytes, its partition {apps[0].size}")
    _image_bytes(board, app, "the app in the file")
    return Esp32Firmware(data[:length], table, app, apps[0], check_version(app, board))


def _image_bytes(board: Board, data: bytes, what: str) -> int:
    """The length of the image for the board's chip at the begin of `data`.

    Raises `BadFirmware` for one that is damaged, or for another chip.
    """
    if len(data) < _HEADER_BYTES or data[0] != _MAGIC:
        raise BadFirmware(f"{what} is no image for an ESP32 chip")
    chip_id = int.from_bytes(data[12:14], "little")
    expected = CHIP_DEFS[board.chip.name]
    if chip_id != expected.IMAGE_CHIP_ID:
        names = {one.IMAGE_CHIP_ID: one.CHIP_NAME for one in CHIP_DEFS.values()}
        other = names.get(chip_id, f"chip {chip_id}")
        raise BadFirmware(f"{what} is for {other}; {board.name} has {expected.CHIP_NAME}")
    with Quiet():
        try:
            image = LoadFirmwareImage(board.chip.name, data)
        except _DAMAGES as error:
            raise _damaged(what, str(error)) from None
    if image.checksum != image.calculate_checksum():
        raise _damaged(what, "its checksum is wrong")
    if not image.append_digest:
        raise _damaged(what, "it has no SHA-256")
    if image.stored_digest != image.calc_digest:
        raise _damaged(what, "its SHA-256 is wrong")
    return int(image.data_length) + _DIGEST_BYTES


def _damaged(what: str, why: str) -> BadFirmware:
    return BadFirmware(f"{what} is damaged: {why}", "Download it again.")


def _table(board: Board, stock: tuple[Partition, ...], has_romfs: bool) -> tuple[Partition, ...]:
    """The table in flash: that of the file, with file systems up to the end of the flash."""
    kept = tuple(part for part in stock if part.label not in (_VFS, _ROMFS))
    known = [part for part in stock if part.label in (_VFS, _ROMFS)]
    begin = max(part.end for part in kept)
    if known and min(part.offset for part in known) < begin:
        raise BadFirmware("the file systems are not at the end of the file's partition table")
    begin = -(-begin // SECTOR_BYTES) * SECTOR_BYTES
    if begin >= board.flash_bytes:
        raise BadFirmware(
            f"the firmware needs more than the {board.flash_bytes >> 20} MiB of {board.name}"
        )
    vfs = Partition(_VFS, "data", "fat", begin, board.flash_bytes - begin)
    table = (*kept, vfs)
    table = partitions.with_romfs(table) if has_romfs else table
    partitions.check(table, board.flash_bytes)
    return tuple(sorted(table, key=lambda part: part.offset))


def _sized(board: Board, bootloader: bytes, end: int) -> bytes:
    """The bootloader with a flash size in its header that is not smaller than `end`."""
    if _flash_bytes(bootloader) >= end:
        return bootloader
    offset = board.chip.firmware_offset
    size = f"{board.flash_bytes >> 20}MB"
    with Quiet():
        try:
            sized: bytes = esptool.merge_bin(
                [(offset, bootloader)], board.chip.name, flash_size=size, target_offset=offset
            )
        except FatalError as error:
            raise BadFirmware(f"the bootloader takes no flash of {size}: {error}") from None
    if _flash_bytes(sized) < end:
        raise BadFirmware(f"the bootloader takes no flash of {size}")
    return sized


def _flash_bytes(bootloader: bytes) -> int:
    # the upper half of byte 3: 0 is 1 MiB, 1 is 2 MiB (esptool, FLASH_SIZES)
    return (1 << 20) << (bootloader[3] >> 4)


def _has(table: tuple[Partition, ...], label: str) -> bool:
    return any(part.label == label for part in table)


def _partition(table: tuple[Partition, ...], label: str) -> Partition:
    return next(part for part in table if part.label == label)
