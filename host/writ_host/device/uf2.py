"""UF2 files: blocks of 512 bytes with an address each, which a board's drive takes.

Source: Microsoft, "USB Flashing Format (UF2)", https://github.com/microsoft/uf2. Family ids: its
utils/uf2families.json. The flash of an RP2 begins at `FLASH_BASE` (RP2040 and RP2350 datasheets,
"Address Map").
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from .flashplan import BadFirmware, Part

BLOCK_BYTES = 512
PAYLOAD_BYTES = 256  # a page of flash
FLASH_BASE = 0x10000000
FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}  # RP2350: secure Arm image
# The largest firmware of flashplan.py, in blocks
BLOCKS_MAX = 1 << 15
# Content of a file: the address range of the flash window
_WINDOW_BYTES = 16 << 20
_HEAD = struct.Struct("<8I")
_END = struct.Struct("<I")
_MAGICS = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_NOT_FLASH, _CONTAINER, _HAS_FAMILY = 0x0001, 0x1000, 0x2000


@dataclass(frozen=True)
class Uf2:
    """A UF2 file for one family. content: the flash from `FLASH_BASE` on, FF where nothing is.

    others: whole blocks of other families, which a file may begin with.
    """

    content: bytes
    others: bytes


def read_uf2(data: bytes, family: int) -> Uf2:
    """The content of a file for this family. Raises `BadFirmware`."""
    count, rest = divmod(len(data), BLOCK_BYTES)
    if rest or not 0 < count <= BLOCKS_MAX:
        raise BadFirmware(f"{len(data)} bytes are no UF2 file of at most {BLOCKS_MAX} blocks")
    pages: dict[int, bytes] = {}
    others = bytearray()
    totals = set()
    for start in range(0, len(data), BLOCK_BYTES):
        block = data[start : start + BLOCK_BYTES]
        first, second, flags, address, size, _, total, found = _HEAD.unpack_from(block)
        if (first, second, _END.unpack_from(block, BLOCK_BYTES - 4)[0]) != _MAGICS:
            raise BadFirmware(f"byte {start} of the file begins no UF2 block")
        if flags & (_NOT_FLASH | _CONTAINER):
            continue
        if not flags & _HAS_FAMILY or found != family:
            others += block
            continue
        offset = address - FLASH_BASE
        is_page = size == PAYLOAD_BYTES and offset % PAYLOAD_BYTES == 0
        if not is_page or not 0 <= offset < _WINDOW_BYTES or offset in pages:
            raise BadFirmware(f"the UF2 block at byte {start} is no page of the flash")
        pages[offset] = block[_HEAD.size : _HEAD.size + PAYLOAD_BYTES]
        totals.add(total)
    if not pages:
        raise BadFirmware("the UF2 file is for another chip")
    if totals != {len(pages)}:
        raise BadFirmware("the UF2 file lacks blocks", "Download it again.")
    content = bytearray(b"\xff" * (max(pages) + PAYLOAD_BYTES))
    for offset, page in pages.items():
        content[offset : offset + PAYLOAD_BYTES] = page
    return Uf2(bytes(content), bytes(others))


def write_uf2(parts: Iterable[Part], family: int) -> bytes:
    """The file for parts at offsets of the flash; each is filled with FF to whole pages."""
    pages = [
        (part.offset + at, part.data[at : at + PAYLOAD_BYTES].ljust(PAYLOAD_BYTES, b"\xff"))
        for part in parts
        for at in range(0, len(part.data), PAYLOAD_BYTES)
    ]
    found = bytearray()
    for number, (offset, page) in enumerate(pages):
        head = (*_MAGICS[:2], _HAS_FAMILY, FLASH_BASE + offset, PAYLOAD_BYTES)
        found += _HEAD.pack(*head, number, len(pages), family) + page
        found += bytes(BLOCK_BYTES - _HEAD.size - PAYLOAD_BYTES - 4) + _END.pack(_MAGICS[2])
    return bytes(found)
