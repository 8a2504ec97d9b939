"""Partition tables: Espressif's own vectors, round trips, and what must be refused."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ_host.device import partitions
from writ_host.device.partitions import BadPartitions, Partition

MIB = 1 << 20
# ESP-IDF, components/partition_table/test_gen_esp32part_host/gen_esp32part_tests.py, commit
# 0146f258: LONGER_BINARY_TABLE, with the MD5 that Espressif states
ESPRESSIF_TABLE = bytes.fromhex(
    "aa500000 00000100 00001000 666163746f7279000000000000000000 00000000"
    "aa500120 00001100 00020000 64617461000000000000000000000000 00000000"
    "aa501000 00001500 00100000 7365636f6e6400000000000000000000 00000000"
    "ebeb" + "ff" * 14 + "f9bd061b45686f86571a2cd52a1da65b" + "ff" * 32
)
ESPRESSIF_PARTS = (
    Partition("factory", "app", "factory", 0x10000, MIB),
    Partition("data", "data", "0x20", 0x110000, 0x200),
    Partition("second", "0x10", "0x00", 0x150000, 0x1000),
)
# MicroPython v1.28.0, ports/esp32/partitions-4MiB-romfs.csv
MICROPYTHON_CSV = """\
# Notes: the offset of the partition table itself is set in Kconfig.projbuild.
# Name,   Type, SubType, Offset,  Size, Flags
nvs,      data, nvs,     0x9000,  0x6000,
phy_init, data, phy,     0xf000,  0x1000,
factory,  app,  factory, 0x10000, 0x1D0000,
romfs,    data, 0x8f,    0x1E0000, 0x20000,
"""
APP = Partition("factory", "app", "factory", 0x10000, 0x100000)


def entry(table: bytes, *, md5: bool = True) -> bytes:
    """A binary table of these entries."""
    check = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest() if md5 else b""
    return table + check + b"\xff" * 32


def test_binary_is_what_espressif_publishes() -> None:
    assert partitions.parse_table(ESPRESSIF_TABLE) == ESPRESSIF_PARTS
    written = partitions.write_table(ESPRESSIF_PARTS)
    assert len(written) == partitions.TABLE_BYTES
    assert written == ESPRESSIF_TABLE.ljust(partitions.TABLE_BYTES, b"\xff")


def test_csv_is_what_micropython_has() -> None:
    table = partitions.parse_csv(MICROPYTHON_CSV)
    assert table[0] == Partition("nvs", "data", "nvs", 0x9000, 0x6000)
    assert table[-1] == Partition("romfs", "data", "0x8f", 0x1E0000, 0x20000)
    assert table[2].end == table[3].offset
    assert partitions.parse_csv(partitions.write_csv(table)) == table


def test_csv_reads_names_numbers_units_and_default_offsets_as_gen_esp32part() -> None:
    """As its test_type_subtype_names, test_unit_suffixes and test_default_offsets."""
    numbers = "a,0,0,,1M\nb,0,0x10,,0x100000\nc,0,0x1f,,1024k\nd,1,0x15,,32K\ne,0,0x20,,1M"
    names = "a,app,factory,,1M\nb,app,ota_0,,1M\nc,app,ota_15,,1M\nd,data,0x15,,32K\ne,app,test,,1M"
    assert partitions.parse_csv(numbers) == partitions.parse_csv(names)
    offsets = [part.offset for part in partitions.parse_csv(numbers)]
    assert offsets == [0x10000, 0x110000, 0x210000, 0x310000, 0x320000]
    (one,) = partitions.parse_csv("x, app, factory, 64k, 1M, encrypted:readonly\n")
    assert one.flags == ("encrypted", "readonly")
    assert partitions.parse_csv(partitions.write_csv([one])) == (one,)
    assert partitions.parse_table(partitions.write_table([one])) == (one,)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x, app, factory", "line 2: not Name"),
        ("x, app, factory, 0x10000, 1M, encrypted, more", "line 2: not Name"),
        ("x, app, factory, 0x10000, 1M, secret", "unknown flag 'secret'"),
        ("x, apps, factory, 0x10000, 1M", "line 2: 'apps' is not a number"),
        ("x, app, 0x100, 0x10000, 1M", "line 2: '0x100' is above 0xff"),
        ("x, app, factory, , ", "line 2: '' is not a number"),
        ("x, app, factory, 0x10000, -1", "line 2: '-1' is not a number"),
        ("x, app, factory, 0x10000, 1_000", "line 2: '1_000' is not a number"),
        ("x, app, factory, 32K, 1M", "within the partition table"),
        ("x, app, factory, 0x9000, 1M", "no multiple of 0x10000"),
        ("x, data, nvs, 0x9004, 0x1000", "no multiple of 0x1000"),
        ("x, app, test, 0x10000, 0x1004", "its size is no multiple"),
        ("x, data, nvs, 0x9000, 0", "its size is no multiple"),
        ("x, data, nvs, 0x9000, 4294967295M", "behind the largest flash"),
        ("x, data, ota, 0x9000, 0x1000", "'ota' data has 0x2000 bytes"),
        ("seventeen-letters, data, nvs, 0x9000, 0x1000", "a label has 1 to 16"),
        (", data, nvs, 0x9000, 0x1000", "a label has 1 to 16"),
        ("x, data, nvs, 0x9000, 0x1000\nx, data, nvs, 0xa000, 0x1000", "two have this label"),
        ("x, data, nvs, 0x9000, 0x2000\ny, data, nvs, 0xa000, 0x1000", "overlaps 'x'"),
        ("x, data, nvs, 0xa000, 0x1000\ny, data, nvs, 0x9000, 0x2000", "overlaps 'y'"),
        ("", "a table of 0 partitions"),
        ("\n".join(f"p{n}, data, nvs,, 4K" for n in range(95)), "a table of 95"),
        ("#" * 20000, "more than 16384"),
    ],
)
def test_bad_csv_is_refused(row: str, said: str) -> None:
    with pytest.raises(BadPartitions, match=said):
        partitions.parse_csv(f"# a comment\n{row}\n")


def test_partitions_end_with_the_flash() -> None:
    table = partitions.parse_csv(MICROPYTHON_CSV)
    partitions.check(table, 2 * MIB)
    with pytest.raises(BadPartitions, match="'romfs' ends at 0x200000, the flash at 0x1ff000"):
        partitions.check(table, 2 * MIB - 0x1000)


def test_every_damaged_byte_of_a_binary_table_is_found() -> None:
    length = len(ESPRESSIF_TABLE)
    for index in range(length):
        damaged = bytearray(ESPRESSIF_TABLE)
        damaged[index] ^= 1
        with pytest.raises(BadPartitions):
            partitions.parse_table(bytes(damaged))
    for cut in range(length):
        with pytest.raises(BadPartitions):
            partitions.parse_table(ESPRESSIF_TABLE[:cut])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (entry(ESPRESSIF_TABLE[:32], md5=False), "no entry"),
        (entry(b""), "a table of 0"),
        (entry(ESPRESSIF_TABLE[:28] + b"\x04\0\0\0"), "not a label and flags"),
        (entry(ESPRESSIF_TABLE[:12] + b"a\0b".ljust(16, b"\0") + bytes(4)), "not a label"),
        (entry(ESPRESSIF_TABLE[:12] + b"\xc3\xa4".ljust(16, b"\0") + bytes(4)), "not a label"),
        (entry(ESPRESSIF_TABLE[:32] * 95), "no end"),
    ],
)
def test_bad_binary_is_refused(table: bytes, said: str) -> None:
    with pytest.raises(BadPartitions, match=said):
        partitions.parse_table(table)


def test_romfs_takes_its_room_from_vfs() -> None:
    stock = (APP, Partition("vfs", "data", "fat", 0x200000, 0x200000))
    assert partitions.with_romfs(stock) == (
        APP,
        Partition("romfs", "data", "0x8f", 0x200000, 0x80000),
        Partition("vfs", "data", "fat", 0x280000, 0x180000),
    )
    for table in ((APP,), (APP, Partition("vfs", "data", "fat", 0x200000, 0x80000))):
        with pytest.raises(BadPartitions, match="no partition 'vfs' of more than"):
            partitions.with_romfs(table)


ROWS = st.tuples(st.booleans(), st.integers(0, 0x0F), st.integers(1, 64))


@given(st.lists(ROWS, min_size=1, max_size=partitions.ENTRIES_MAX))
def test_any_table_survives_both_formats(rows: list[tuple[bool, int, int]]) -> None:
    lines = [
        f"p{number}, {'app' if is_app else 'data'}, {0x30 + subtype}, , {sectors * 4}K"
        for number, (is_app, subtype, sectors) in enumerate(rows)
    ]
    table = partitions.parse_csv("\n".join(lines))
    assert partitions.parse_csv(partitions.write_csv(table)) == table
    assert partitions.parse_table(partitions.write_table(table)) == table
