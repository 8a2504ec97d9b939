"""Stock firmware for tests: files as MicroPython's ports/esp32/makeimg.py makes them.

The images in it are made by esptool, so that esptool and a chip's bootloader would take them; the
code in them is random bytes.
"""

from collections.abc import Sequence
from random import Random

from esptool.bin_image import ELFSection, ESP32FirmwareImage
from esptool.targets import CHIP_DEFS

from writ_host.device import partitions
from writ_host.device.partitions import TABLE_OFFSET, Partition

STOCK = (
    Partition("nvs", "data", "nvs", 0x9000, 0x6000),
    Partition("phy_init", "data", "phy", 0xF000, 0x1000),
    Partition("factory", "app", "factory", 0x10000, 0x1F0000),
)
OFFSETS = {"esp32": 0x1000}  # 0 for all other chips


def image(chip: str, content: bytes, flash_mib: int = 4) -> bytes:
    """An image for a chip with one segment in its RAM."""
    rom = CHIP_DEFS[chip]
    made = type("Image", (ESP32FirmwareImage,), {"ROM_LOADER": rom})()
    begin = next(start for start, _, name in rom.MEMORY_MAP if name == "DRAM")
    made.segments = [ELFSection(b".dram0.data", begin, content, 0)]
    made.entrypoint = begin
    made.chip_id = rom.IMAGE_CHIP_ID
    made.flash_size_freq = (flash_mib.bit_length() - 1) << 4
    made.max_rev_full = 65535
    saved = made.save(None)
    assert saved is not None
    return bytes(saved)


def firmware(
    chip: str,
    version: str = "v1.28.0",
    app_bytes: int = 40_000,
    table: Sequence[Partition] = STOCK,
    seed: int = 1,
) -> bytes:
    """A stock firmware of MicroPython for a chip, as it is downloaded."""
    random = Random(seed)
    banner = f"3.4.0; MicroPython {version} on 2026-04-06\0".encode() if version else b""
    app = image(chip, random.randbytes(app_bytes // 2) + banner + bytes(app_bytes // 2))
    parts = {
        OFFSETS.get(chip, 0): image(chip, random.randbytes(9_000)),
        TABLE_OFFSET: partitions.write_table(table),
        next(part.offset for part in table if part.kind == "app"): app,
    }
    found = bytearray()
    for offset, data in parts.items():
        found += b"\xff" * (offset - OFFSETS.get(chip, 0) - len(found)) + data
    return bytes(found)
