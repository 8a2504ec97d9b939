"""A LittleFS image that MicroPython mounts (`vfs.VfsLfs2`): the writable file system of a board.

littlefs does not keep all settings of the one who formatted: which files are inside a folder's own
block depends on the size of caches, and commits are padded to the unit of programming. So they are
here as MicroPython has them (extmod/vfs_lfs.c and vfs_lfsx.c, version 1.29), and the size is that
of the partition, which is in the superblock.
"""

from collections.abc import Mapping

from littlefs import LittleFS
from littlefs.errors import LittleFSError

from ..errors import HostError
from .filetree import NAME_BYTES_MAX, Tree, tree_of

# Sectors of NOR flash, on ESP32 (SPI_FLASH_SEC_SIZE) and RP2 (FLASH_SECTOR_SIZE).
BLOCK_BYTES = 4096
# VfsLfs2's default, which ports/esp32/modules/inisetup.py uses.
PROGRAM_BYTES = 32
# ports/rp2/modules/_boot.py: flash of an RP2 is programmed in pages.
PROGRAM_BYTES_RP2 = 256
_READ_BYTES = 32
_LOOKAHEAD_BYTES = 32
_BLOCK_CYCLES = 100
_CACHE_UNITS = 4
# Every MicroPython reads 2.0. Since 1.22 it has 2.1, and updates the superblock when it writes.
_DISK_VERSION = 0x00020000
# a block pair for the superblock and one for growth
_BLOCKS_MIN = 4


class BadSize(HostError):
    """A size that no LittleFS image has, or one that is too small for its files."""

    advice = "Leave out files, or use a board with a larger partition for data."


def littlefs_image(
    files: Mapping[str, bytes],
    size: int,
    block_size: int = BLOCK_BYTES,
    program_bytes: int = PROGRAM_BYTES,
) -> bytes:
    """The image of `files` with `size` bytes, the same for the same arguments.

    files: {"main.py": content}, and {"node/": b""} for an empty folder. Raises BadFiles, and
    BadSize if the files do not fit.
    """
    tree = tree_of(files)
    cache_bytes = _CACHE_UNITS * max(_READ_BYTES, program_bytes)
    # littlefs ends the process otherwise
    is_unit = program_bytes > 0 and program_bytes % _READ_BYTES == 0
    if not is_unit or block_size < cache_bytes or block_size % cache_bytes:
        raise BadSize(f"blocks of {block_size} bytes are not programmed by {program_bytes}")
    count, rest = divmod(size, block_size)
    if rest or count < _BLOCKS_MIN:
        raise BadSize(f"{size} bytes are no {_BLOCKS_MIN} or more blocks of {block_size} bytes")
    system = LittleFS(
        mount=False,
        block_size=block_size,
        block_count=count,
        read_size=_READ_BYTES,
        prog_size=program_bytes,
        cache_size=cache_bytes,
        lookahead_size=_LOOKAHEAD_BYTES,
        block_cycles=_BLOCK_CYCLES,
        name_max=NAME_BYTES_MAX,
        disk_version=_DISK_VERSION,
    )
    try:
        system.format()
        system.mount()
        _write(system, tree, "")
        system.unmount()
    except LittleFSError as error:
        if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
            raise
        content = sum(map(len, files.values()))
        raise BadSize(f"{content} bytes in {len(files)} files do not fit into {size}") from error
    return bytes(system.context.buffer)


def _write(system: LittleFS, tree: Tree, folder: str) -> None:
    for name, inner in tree.items():
        path = f"{folder}/{name}"
        if isinstance(inner, bytes):
            with system.open(path, "wb") as handle:
                handle.write(inner)
        else:
            system.mkdir(path)
            _write(system, inner, path)
