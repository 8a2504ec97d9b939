"""The images of a board's flash: ROMFS with the agent's modules, and LittleFS with all else.

MicroPython looks for a module in the root folder first, then in its frozen ones, in /lib, /rom and
/rom/lib. It mounts ROMFS at /rom and runs boot.py and main.py from the root folder only, so these
two are in the LittleFS image, and so are the node's data in /node. A board without ROMFS has the
modules in /lib, at the price of heap (docs/memory.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .build.agentfiles import module_files, startup_files
from .filetree import BadFiles
from .littlefs import BLOCK_BYTES, PROGRAM_BYTES, littlefs_image
from .romfs import romfs_image

# The folder of the node's settings, key and records. Named as the package it would hide it.
NODE_FOLDER = "node"
_PACKAGE = "writ"


@dataclass(frozen=True)
class Areas:
    """Where the images of a board go. Sizes in bytes.

    romfs_bytes: 0 for a firmware without ROMFS; program_bytes: 256 on RP2 (littlefs.py).
    """

    data_bytes: int
    romfs_bytes: int = 0
    block_bytes: int = BLOCK_BYTES
    program_bytes: int = PROGRAM_BYTES


@dataclass(frozen=True)
class Images:
    """The images, and what is in them by path. romfs is empty for a board without ROMFS."""

    data: bytes
    data_files: dict[str, bytes]
    romfs: bytes
    romfs_files: dict[str, bytes]


class TooLarge(BadFiles):
    """A ROMFS image that is larger than the board's partition."""

    advice = "Make the romfs partition larger, or deliver the modules in /lib: without ROMFS."


def board_images(areas: Areas, files: Mapping[str, bytes] | None = None) -> Images:
    """The images of a new board. files: the user's, such as app.py or node/config.json.

    Raises BadFiles, TooLarge, BadSize, and what `module_files` raises.
    """
    modules = module_files()
    in_rom = modules if areas.romfs_bytes else {}
    romfs = romfs_image(in_rom) if in_rom else b""
    if len(romfs) > areas.romfs_bytes:
        raise TooLarge(f"the ROMFS image has {len(romfs)} bytes, its place {areas.romfs_bytes}")
    own = dict(files or {})
    _check(own)
    data_files = {f"{NODE_FOLDER}/": b"", **startup_files(), **own}
    if not in_rom:
        data_files |= {f"lib/{path}": content for path, content in modules.items()}
    data = littlefs_image(data_files, areas.data_bytes, areas.block_bytes, areas.program_bytes)
    return Images(data, data_files, romfs, in_rom)


def _check(files: Mapping[str, bytes]) -> None:
    startup = startup_files()
    for path in files:
        if path in startup:
            raise BadFiles(f"{path} is the agent's", "Put the program of the board into app.py.")
        parts = path.removeprefix("lib/").split("/")
        if parts[0].partition(".")[0] == _PACKAGE:
            raise BadFiles(
                f"{path} would hide the agent's package {_PACKAGE}",
                f"Give it another name; the node's own data are in {NODE_FOLDER}/.",
            )
