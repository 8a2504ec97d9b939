"""Flash plans: what is written where, and firmware files that must be refused."""

import hashlib
from dataclasses import replace

import build_mpy
import esp_firmware
import esptool
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host.device import partitions
from writ_host.device.board import Board, board_names, load_board
from writ_host.device.esp32plan import plan_esp32, read_firmware
from writ_host.device.esptoollog import Quiet
from writ_host.device.flashplan import (
    BadFirmware,
    BadPlan,
    FlashPlan,
    Part,
    check_pin,
    check_version,
    make_plan,
)
from writ_host.device.images import TooLarge
from writ_host.device.partitions import Partition

MIB = 1 << 20
needs_compiler = pytest.mark.skipif(build_mpy.find_compiler() is None, reason="no mpy-cross here")
ESP32_BOARDS = [name for name in board_names() if load_board(name).chip.family == "esp32"]
S3 = load_board("esp32s3")


def by_name(plan: FlashPlan) -> dict[str, Part]:
    """The parts of a plan by the first word of what they are."""
    return {part.what.split()[0].rstrip(":"): part for part in plan.parts}


@needs_compiler
@pytest.mark.parametrize("name", ESP32_BOARDS)
def test_every_esp32_board_has_a_plan(name: str) -> None:
    board = load_board(name)
    stock = esp_firmware.firmware(board.chip.name)
    plan = plan_esp32(board, stock, {"app.py": b"def setup(node):\n    pass\n"})
    assert plan.version == "v1.28.0" and plan.flash_bytes == board.flash_bytes
    assert {"app.py", "boot.py", "main.py", "node/"} < set(plan.files)
    parts = by_name(plan)
    assert list(parts) == ["bootloader", "partition", "MicroPython", "vfs"]
    table = partitions.parse_table(parts["partition"].data)
    assert table[:3] == esp_firmware.STOCK
    # the file states where the firmware's own start puts the file system: so does the table
    assert table[3] == board.partition("vfs")
    assert (parts["vfs"].offset, len(parts["vfs"].data)) == (table[3].offset, table[3].size)
    start = board.chip.firmware_offset
    assert parts["bootloader"].offset == start
    assert parts["MicroPython"].data == stock[0x10000 - start :]


@needs_compiler
def test_the_flash_size_in_the_bootloader_is_that_of_a_larger_board() -> None:
    heltec = load_board("heltec-v3")
    stock = esp_firmware.firmware("esp32s3")
    small = by_name(plan_esp32(S3, stock, {}))["bootloader"].data
    large = by_name(plan_esp32(heltec, stock, {}))["bootloader"].data
    assert stock.startswith(small)
    assert (small[3] >> 4, large[3] >> 4) == (2, 3)  # 4 and 8 MiB
    # all else but the digest is the same, and the digest is right
    assert large[4:-32] == small[4:-32]
    assert hashlib.sha256(large[:-32]).digest() == large[-32:]


@needs_compiler
def test_a_firmware_that_mounts_a_romfs_has_the_agent_there() -> None:
    romfs = Partition("romfs", "data", "0x8f", 0x200000, 0x20000)
    stock = esp_firmware.firmware("esp32s3", table=(*esp_firmware.STOCK, romfs))
    plan = plan_esp32(S3, stock, {})
    parts = by_name(plan)
    table = partitions.parse_table(parts["partition"].data)
    assert [(part.label, part.offset, part.size) for part in table[3:]] == [
        ("romfs", 0x200000, 0x80000),
        ("vfs", 0x280000, 0x180000),
    ]
    assert parts["romfs"].offset == 0x200000 and parts["romfs"].data.startswith(b"\xd2\xcd\x31")
    assert len(parts["vfs"].data) == 0x180000
    assert "rom/writ/agent.mpy" in plan.files and "lib/writ/agent.mpy" not in plan.files
    marked = replace(S3, firmware=replace(S3.firmware, has_romfs=True))  # type: ignore[type-var]
    same = plan_esp32(marked, esp_firmware.firmware("esp32s3"), {})
    assert same.parts == plan.parts


@needs_compiler
@pytest.mark.parametrize("name", ["esp32", "esp32c3", "heltec-v3"])
def test_the_merged_image_is_what_esptool_merges(name: str) -> None:
    board = load_board(name)
    plan = plan_esp32(board, esp_firmware.firmware(board.chip.name), {})
    pairs = [(part.offset, part.data) for part in plan.parts]
    with Quiet():
        merged = esptool.merge_bin(pairs, board.chip.name)
    assert plan.image() == merged
    assert len(merged) == board.flash_bytes


def make(*parts: Part, flash_bytes: int = 4 * MIB) -> FlashPlan:
    return make_plan(S3, "v1.28.0", flash_bytes, parts, {})


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "with 0 parts"),
        ([Part(0, b"", "a")], "is empty"),
        ([Part(0x800, b"a", "a")], "not at a sector's begin"),
        ([Part(0x1000, b"a" * 0x1001, "a"), Part(0x2000, b"b", "b")], "b at 0x2000 overlaps a"),
        # the erase of the second part's sector would take the end of the first one
        ([Part(0x1000, b"a", "a"), Part(0x1000, b"b", "b")], "b at 0x1000 overlaps a"),
        ([Part(4 * MIB - 0x1000, b"a" * 0x1001, "a")], "ends at 0x400001, the flash at 0x400000"),
    ],
)
def test_parts_that_overlap_or_do_not_fit_are_refused(parts: list[Part], said: str) -> None:
    with pytest.raises(BadPlan, match=said):
        make(*parts)


def test_parts_may_touch_and_are_sorted() -> None:
    plan = make(Part(0x2000, b"b", "b"), Part(0, b"a" * 0x2000, "a"), Part(0x3FF000, b"c", "c"))
    assert [part.what for part in plan.parts] == ["a", "b", "c"]
    assert plan.size == 0x2002
    assert plan.image() == b"a" * 0x2000 + b"b" + b"\xff" * (0x3FF000 - 0x2001) + b"c"


@pytest.mark.parametrize("flash_bytes", [0, -1, 1 << 40])
def test_a_flash_of_no_size_is_refused(flash_bytes: int) -> None:
    with pytest.raises(BadPlan, match="no plan for a flash"):
        make(Part(0, b"a", "a"), flash_bytes=flash_bytes)


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32c6"])
def test_a_firmware_for_another_chip_is_refused(chip: str) -> None:
    stock = esp_firmware.firmware(chip)
    with pytest.raises(BadFirmware, match="esp32s3 has ESP32-S3"):
        read_firmware(S3, stock)


def test_an_app_for_another_chip_is_refused() -> None:
    stock = bytearray(esp_firmware.firmware("esp32s3"))
    stock[0x10000:] = esp_firmware.firmware("esp32c3")[0x10000:]
    with pytest.raises(BadFirmware, match="the app in the file is for ESP32-C3"):
        read_firmware(S3, bytes(stock))


def test_files_that_are_no_whole_firmware_are_refused() -> None:
    stock = esp_firmware.firmware("esp32s3")
    large_app = esp_firmware.image("esp32s3", bytes(60_000))
    for data, said in (
        (b"", "no image"),
        (b"UF2\n" + bytes(600), "a UF2 file"),
        (b"\xe9" + bytes(10), "no image"),
        (bytes(100_000), "no image"),
        (large_app, "an app alone"),
        (stock[:0x8000], "no partition table"),
        (stock[:0x10000], "no image"),
        (stock[:-1], "the app in the file is damaged"),
        (stock[:0x8000] + b"\xff" * 0xC00 + stock[0x8C00:], "no partition table"),
    ):
        with pytest.raises(BadFirmware, match=said):
            read_firmware(S3, data)


def test_an_app_that_is_larger_than_its_partition_is_refused() -> None:
    table = (*esp_firmware.STOCK[:2], replace(esp_firmware.STOCK[2], size=0x8000))
    with pytest.raises(BadFirmware, match="its partition 32768"):
        read_firmware(S3, esp_firmware.firmware("esp32s3", table=table))


def test_a_table_without_an_app_is_refused() -> None:
    stock = bytearray(esp_firmware.firmware("esp32s3"))
    stock[0x8000:0x8C00] = partitions.write_table(esp_firmware.STOCK[:2])
    with pytest.raises(BadFirmware, match="has no app"):
        read_firmware(S3, bytes(stock))


def test_a_firmware_that_leaves_no_room_for_files_is_refused() -> None:
    table = (*esp_firmware.STOCK[:2], replace(esp_firmware.STOCK[2], size=0x3F0000))
    with pytest.raises(BadFirmware, match="needs more than the 4 MiB"):
        plan_esp32(S3, esp_firmware.firmware("esp32s3", table=table), {})


def test_file_systems_in_the_middle_of_a_table_are_refused() -> None:
    table = (
        Partition("vfs", "data", "fat", 0x9000, 0x7000),
        Partition("factory", "app", "factory", 0x10000, 0x1F0000),
    )
    with pytest.raises(BadFirmware, match="not at the end"):
        plan_esp32(S3, esp_firmware.firmware("esp32s3", table=table), {})


@needs_compiler
def test_a_vfs_that_is_too_small_for_the_agent_is_refused() -> None:
    romfs = Partition("romfs", "data", "0x8f", 0x200000, 0x20000)
    tiny = replace(S3, flash_bytes=0x200000 + 0x21000)
    with pytest.raises((TooLarge, partitions.BadPartitions)):
        plan_esp32(tiny, esp_firmware.firmware("esp32s3", table=(*esp_firmware.STOCK, romfs)), {})


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_altered_byte_of_the_images_is_found(data: st.DataObject) -> None:
    stock = esp_firmware.firmware("esp32s3", app_bytes=2_000)
    length = len(esp_firmware.image("esp32s3", bytes(9_000)))
    ranges = [range(length), range(0x8000, 0x8080), range(0x10000, len(stock))]
    at = data.draw(st.sampled_from(data.draw(st.sampled_from(ranges))))
    altered = bytearray(stock)
    altered[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadFirmware):
        read_firmware(S3, bytes(altered))


@given(st.binary(max_size=200), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_raise_nothing_else(tail: bytes, cut: int) -> None:
    header = esp_firmware.image("esp32s3", bytes(64))
    with pytest.raises(BadFirmware):
        read_firmware(S3, header[:cut] + tail)


def version(text: str, board: Board = S3) -> str:
    return check_version(f"..\x00{text}\x00..".encode(), board)


def test_the_version_is_read_and_compared() -> None:
    assert version("MicroPython v1.26.0 on 2025-08-09") == "v1.26.0"
    assert version("MicroPython v1.29.0-preview.142.g6cbda1f96d on 2026-08-01").startswith("v1.29")
    assert version("MicroPython v2.0 on 2027-01-01") == "v2.0"
    for old in ("v1.25.0", "v1.9.4", "v1.25.0-preview.3.gabc"):
        with pytest.raises(BadFirmware, match=r"needs 1\.26\.0 or newer"):
            version(f"MicroPython {old} on 2024-01-01")
    for none in ("CircuitPython 9.2.1 on 2025-01-01", "MicroPython", ""):
        with pytest.raises(BadFirmware, match="has no MicroPython"):
            version(none)


def test_a_pinned_hash_is_compared() -> None:
    digest = hashlib.sha256(b"firmware").hexdigest()
    check_pin(b"firmware", None)
    check_pin(b"firmware", digest)
    check_pin(b"firmware", digest.upper())
    with pytest.raises(BadFirmware, match="not the one that is pinned"):
        check_pin(b"firmwarE", digest)
    for bad in ("", "00", "z" * 64, digest + "0"):
        with pytest.raises(BadFirmware, match="64 hexadecimal"):
            check_pin(b"firmware", bad)
