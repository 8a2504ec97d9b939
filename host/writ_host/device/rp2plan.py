"""The flash plan of a board with an RP2040 or RP2350, and the UF2 file that carries it.

The flash has no partition table: the firmware begins at 0, and the file system is at its end, as
the firmware was built (MicroPython, ports/rp2/rp2_flash.c: MICROPY_HW_FLASH_STORAGE_BYTES). The
board's file states that as the partition "vfs".
"""

from .facts import Board
from .flashplan import FlashPlan, Part, check_version, make_plan
from .images import Areas, board_images
from .littlefs import BLOCK_BYTES, PROGRAM_BYTES_RP2
from .uf2 import FAMILIES, read_uf2, write_uf2


def plan_rp2(board: Board, firmware: bytes, files: dict[str, bytes]) -> FlashPlan:
    """The plan for a board. firmware: a stock UF2 file; files: as `board_images` takes them.

    Raises BadFirmware, BadPartitions, BadPlan, and what `board_images` raises.
    """
    stock = read_uf2(firmware, FAMILIES[board.chip.name])
    version = check_version(stock.content, board)
    vfs = board.partition("vfs")
    made = board_images(Areas(vfs.size, 0, BLOCK_BYTES, PROGRAM_BYTES_RP2), files)
    parts = [
        Part(0, stock.content, f"MicroPython {version}"),
        Part(vfs.offset, made.data, "vfs: programs and settings (LittleFS)"),
    ]
    return make_plan(board, version, board.flash_bytes, parts, made.data_files)


def plan_uf2(plan: FlashPlan, firmware: bytes) -> bytes:
    """One UF2 file with all parts of a plan. firmware: the stock file that the plan was made of.

    Blocks of other families stay in front, as the work-around for erratum E10 of an RP2350.
    """
    family = FAMILIES[plan.board.chip.name]
    return read_uf2(firmware, family).others + write_uf2(plan.parts, family)
