"""Partition tables of ESP32 chips: CSV as ESP-IDF writes it, and the binary table in flash.

Source: Espressif, "ESP-IDF Programming Guide", API Guides, "Partition Tables"
(https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-guides/partition-tables.html), and
ESP-IDF's components/partition_table/gen_esp32part.py.

Rules:
1. The table lies at `TABLE_OFFSET` and fills one sector; partitions lie behind it.
2. An app begins at a multiple of 64 KiB and has whole sectors (4 KiB); everything else begins at a
   sector.
3. An entry has 32 bytes, little-endian: AA 50, type, subtype, offset and size (4 bytes each), label
   (16 bytes, filled with zeros), flags (4 bytes). EB EB, 14 times FF and the MD5 of all entries
   follow, then FF up to `TABLE_BYTES`.
"""

import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import HostError

TABLE_OFFSET = 0x8000
SECTOR_BYTES = 0x1000
TABLE_BYTES = 0xC00
APP_ALIGNMENT = 0x10000
# 96 entries fit, of which the MD5 and the end take two
ENTRIES_MAX = 94
# A table of 94 lines with comments
CSV_CHARS_MAX = 16384
# The field has 4 bytes
FLASH_BYTES_MAX = 1 << 32
# Two slots of 256 KiB for the agent
ROMFS_BYTES = 512 << 10

_MAGIC = b"\xaa\x50"
_ENTRY = struct.Struct("<2sBBLL16sL")
_MD5_HEAD = b"\xeb\xeb" + b"\xff" * 14
_END = b"\xff" * _ENTRY.size
_KINDS = {"app": 0, "data": 1}
_SUBTYPES: dict[str, dict[str, int]] = {
    "app": {"factory": 0x00, **{f"ota_{n}": 0x10 + n for n in range(16)}, "test": 0x20},
    "data": {
        "ota": 0x00, "phy": 0x01, "nvs": 0x02, "coredump": 0x03, "nvs_keys": 0x04, "efuse": 0x05,
        "undefined": 0x06, "esphttpd": 0x80, "fat": 0x81, "spiffs": 0x82, "littlefs": 0x83,
    },
}  # fmt: skip
_FLAGS = {"encrypted": 1, "readonly": 2}
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,16}")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})([kKmM]?)")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


class BadPartitions(HostError):
    """A partition table that no ESP32 can use. `str(error)` names the partition or the line."""

    advice = "Correct the partition table and run the command again."


@dataclass(frozen=True)
class Partition:
    """One partition. offset, size: in bytes.

    kind: "app", "data", or a number ("0x40"); subtype: a name of ESP-IDF ("nvs") or a number
    ("0x8f"); flags: "encrypted", "readonly".
    """

    label: str
    kind: str
    subtype: str
    offset: int
    size: int
    flags: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The offset of the first byte behind the partition."""
        return self.offset + self.size


def check(table: Sequence[Partition], flash_bytes: int | None = None) -> None:
    """Raise `BadPartitions` unless an ESP32 with `flash_bytes` of flash can use the table."""
    if not 0 < len(table) <= ENTRIES_MAX:
        raise BadPartitions(f"a table of {len(table)} partitions: 1 to {ENTRIES_MAX} fit")
    check_layout(table, flash_bytes)
    for part in table:
        where = f"partition '{part.label}'"
        if part.offset < TABLE_OFFSET + SECTOR_BYTES:
            raise BadPartitions(f"{where} begins at {part.offset:#x}, within the partition table")
        if part.kind == "app" and part.offset % APP_ALIGNMENT:
            raise BadPartitions(
                f"{where} begins at {part.offset:#x}, which is no multiple of {APP_ALIGNMENT:#x}"
            )
        if (part.kind, part.subtype) == ("data", "ota") and part.size != 2 * SECTOR_BYTES:
            raise BadPartitions(f"{where}: 'ota' data has 0x2000 bytes")


def check_layout(parts: Sequence[Partition], flash_bytes: int | None = None) -> None:
    """Raise `BadPartitions` for parts of a flash, of any chip, that overlap or do not fit."""
    labels = [part.label for part in parts]
    before: Partition | None = None
    for part in sorted(parts, key=lambda part: part.offset):
        where = f"partition '{part.label}'"
        _check_one(part, where)
        if labels.count(part.label) > 1:
            raise BadPartitions(f"{where}: two have this label")
        if before is not None and part.offset < before.end:
            raise BadPartitions(f"{where} overlaps '{before.label}', which ends at {before.end:#x}")
        if flash_bytes is not None and part.end > flash_bytes:
            raise BadPartitions(f"{where} ends at {part.end:#x}, the flash at {flash_bytes:#x}")
        before = part


def _check_one(part: Partition, where: str) -> None:
    if not _LABEL.fullmatch(part.label):
        raise BadPartitions(f"{where}: a label has 1 to 16 letters, digits, '_', '-' or '.'")
    _subtype_number(part.kind, part.subtype, where)
    if part.offset < 0 or part.offset % SECTOR_BYTES:
        raise BadPartitions(
            f"{where} begins at {part.offset:#x}, which is no multiple of {SECTOR_BYTES:#x}"
        )
    if part.size <= 0 or (part.kind == "app" and part.size % SECTOR_BYTES):
        raise BadPartitions(f"{where}: its size is no multiple of {SECTOR_BYTES:#x}")
    if part.end > FLASH_BYTES_MAX:
        raise BadPartitions(f"{where} ends behind the largest flash")
    if unknown := [flag for flag in part.flags if flag not in _FLAGS]:
        raise BadPartitions(f"{where}: unknown flag '{unknown[0]}'")


def with_romfs(table: Sequence[Partition], size: int = ROMFS_BYTES) -> tuple[Partition, ...]:
    """The table with a partition "romfs" at the begin of "vfs", which loses `size` bytes.

    MicroPython mounts the partition with that label only (ports/esp32/esp32_partition.c). Subtype
    0x8f is that of its partitions-4MiB-romfs.csv. Raises `BadPartitions` without room.
    """
    done: list[Partition] = []
    for part in table:
        if part.label == "vfs" and part.size > size:
            done.append(Partition("romfs", "data", "0x8f", part.offset, size))
            part = replace(part, offset=part.offset + size, size=part.size - size)
        done.append(part)
    if len(done) == len(table):
        raise BadPartitions(f"there is no partition 'vfs' of more than {size} bytes")
    check(done)
    return tuple(done)


# --- CSV ------------------------------------------------------------------------------------------


def parse_csv(text: str) -> tuple[Partition, ...]:
    """The partitions of an ESP-IDF CSV file. Raises `BadPartitions`, with the line.

    An empty offset is the next free one.
    """
    if len(text) > CSV_CHARS_MAX:
        raise BadPartitions(f"a CSV file of more than {CSV_CHARS_MAX} characters")
    table: list[Partition] = []
    end = TABLE_OFFSET + SECTOR_BYTES
    for number, line in enumerate(text.split("\n"), 1):
        row = line.strip()
        if not row or row.startswith("#"):
            continue
        part = _parse_row(row, f"line {number}", end)
        end = part.end
        table.append(part)
    check(table)
    return tuple(table)


def _parse_row(row: str, where: str, end: int) -> Partition:
    fields = [field.strip() for field in row.split(",")]
    # a comma behind the last field is usual
    while len(fields) > 5 and not fields[-1]:
        fields.pop()
    if not 5 <= len(fields) <= 6:
        raise BadPartitions(f"{where}: not Name, Type, SubType, Offset, Size, Flags")
    label, kind, subtype, offset_text, size_text = fields[:5]
    kind = _name(kind, _KINDS, where)
    subtype = _name(subtype or "undefined", _SUBTYPES.get(kind, {}), where)
    alignment = APP_ALIGNMENT if kind == "app" else SECTOR_BYTES
    offset = _number(offset_text, where) if offset_text else -(-end // alignment) * alignment
    flags = tuple(flag for flag in fields[5].split(":") if flag) if len(fields) > 5 else ()
    return Partition(label, kind, subtype, offset, _number(size_text, where), flags)


def write_csv(table: Iterable[Partition]) -> str:
    """The table as an ESP-IDF CSV file."""
    rows = [("# Name", "Type", "SubType", "Offset", "Size", "Flags")]
    rows += [
        (p.label, p.kind, p.subtype, f"{p.offset:#x}", f"{p.size:#x}", ":".join(p.flags))
        for p in table
    ]
    return "".join(", ".join(row).rstrip() + "\n" for row in rows)


def _number(text: str, where: str) -> int:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise BadPartitions(f"{where}: '{text[:32]}' is not a number such as 0x10000, 64K or 1M")
    return int(found[1], 0 if "x" in found[1].lower() else 10) * _UNITS[found[2].lower()]


def _name(text: str, names: dict[str, int], where: str) -> str:
    """A type or subtype as its name, or as "0x8f" if it has none."""
    if text in names:
        return text
    value = _number(text, where)
    if value > 0xFF:
        raise BadPartitions(f"{where}: '{text[:32]}' is above 0xff")
    return next((name for name, number in names.items() if number == value), f"{value:#04x}")


def _subtype_number(kind: str, subtype: str, where: str) -> tuple[int, int]:
    """(type, subtype) as numbers. Raises `BadPartitions` for other than the usual spelling."""
    numbers = []
    for text, names in ((kind, _KINDS), (subtype, _SUBTYPES.get(kind, {}))):
        if _name(text, names, where) != text:
            raise BadPartitions(f"{where}: write '{_name(text, names, where)}' for '{text}'")
        numbers.append(names[text] if text in names else int(text, 16))
    return numbers[0], numbers[1]


# --- Binary ---------------------------------------------------------------------------------------


def write_table(table: Sequence[Partition]) -> bytes:
    """The table as it lies in flash at `TABLE_OFFSET`, `TABLE_BYTES` long.

    Raises `BadPartitions` if the table does not pass `check`.
    """
    check(table)
    entries = b"".join(
        _ENTRY.pack(
            _MAGIC,
            *_subtype_number(part.kind, part.subtype, part.label),
            part.offset,
            part.size,
            part.label.encode(),
            sum(_FLAGS[flag] for flag in part.flags),
        )
        for part in table
    )
    return (entries + _MD5_HEAD + hashlib.md5(entries).digest()).ljust(TABLE_BYTES, b"\xff")


def parse_table(data: bytes) -> tuple[Partition, ...]:
    """The partitions of a binary table, which may be followed by more bytes of flash.

    Raises `BadPartitions` without MD5 or with a wrong one, and for a table without an end.
    """
    table: list[Partition] = []
    is_checked = False
    for start in range(0, min(len(data), TABLE_BYTES), _ENTRY.size):
        entry = data[start : start + _ENTRY.size]
        if is_checked:
            if entry != _END:
                break
            check(table)
            return tuple(table)
        if entry[:16] == _MD5_HEAD:
            if entry[16:] != hashlib.md5(data[:start]).digest():
                raise BadPartitions("the MD5 of the partition table is wrong")
            is_checked = True
            continue
        table.append(_parse_entry(entry, start))
    raise BadPartitions("the partition table has no end")


def _parse_entry(entry: bytes, start: int) -> Partition:
    where = f"the partition table at {start:#x}"
    if len(entry) < _ENTRY.size or entry[:2] != _MAGIC:
        raise BadPartitions(f"{where}: no entry")
    _, kind_number, subtype_number, offset, size, label, flags = _ENTRY.unpack(entry)
    name, _, rest = label.partition(b"\0")
    known = sum(_FLAGS.values())
    if rest.strip(b"\0") or not name.isascii() or flags & ~known:
        raise BadPartitions(f"{where}: not a label and flags of ESP-IDF")
    kind = _name(str(kind_number), _KINDS, where)
    subtype = _name(str(subtype_number), _SUBTYPES.get(kind, {}), where)
    names = tuple(flag for flag, bit in _FLAGS.items() if flags & bit)
    return Partition(name.decode(), kind, subtype, offset, size, names)
