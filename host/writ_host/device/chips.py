"""The chips that boards have: pins, offsets in flash, and the architecture for `mpy-cross`.

Sources: Espressif's data sheets, chapters "Pin Overview" and "IO Pins" (ESP32 version 4.9, ESP32-S3
2.0, ESP32-C3 2.1, ESP32-C6 1.3); Raspberry Pi, "RP2040 Datasheet" and "RP2350 Datasheet", section
"GPIO"; MicroPython, ports/esp32/boards/*/board.json ("flash_offset") and py/persistentcode.h
(`MPY_FEATURE_ARCH`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """A chip, or an interpreter on a system with files.

    family: "esp32", "rp2" or "host"; gpios: the numbers of its pins; inputs: those that cannot
    drive; flash_pins: those of the flash in the package or module; wake_pins: those that wake it
    from a deep sleep; march: `mpy-cross -march` for native code (bytecode runs everywhere);
    firmware_offset: where MicroPython's firmware begins in flash; uarts: how many UARTs there are;
    spis: the numbers of its SPI buses in MicroPython.
    """

    name: str
    title: str
    family: str
    gpios: frozenset[int] = frozenset()
    inputs: frozenset[int] = frozenset()
    flash_pins: frozenset[int] = frozenset()
    wake_pins: frozenset[int] = frozenset()
    march: str | None = None
    firmware_offset: int = 0
    uarts: int = 0
    spis: tuple[int, ...] = ()


def _pins(*ranges: int | tuple[int, int]) -> frozenset[int]:
    pairs = [(one, one) if isinstance(one, int) else one for one in ranges]
    return frozenset(pin for first, last in pairs for pin in range(first, last + 1))


CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            "esp32",
            "ESP32",
            "esp32",
            gpios=_pins((0, 23), (25, 27), (32, 39)),
            inputs=_pins((34, 39)),
            flash_pins=_pins((6, 11)),
            wake_pins=_pins(0, 2, 4, (12, 15), (25, 27), (32, 39)),
            march="xtensawin",
            firmware_offset=0x1000,
            uarts=3,
            spis=(1, 2),
        ),
        Chip(
            "esp32s3",
            "ESP32-S3",
            "esp32",
            gpios=_pins((0, 21), (26, 48)),
            flash_pins=_pins((26, 32)),
            wake_pins=_pins((0, 21)),
            march="xtensawin",
            uarts=3,
            spis=(1, 2),
        ),
        Chip(
            "esp32c3",
            "ESP32-C3",
            "esp32",
            gpios=_pins((0, 21)),
            flash_pins=_pins((12, 17)),
            wake_pins=_pins((0, 5)),
            march="rv32imc",
            uarts=2,
            spis=(1,),
        ),
        Chip(
            "esp32c6",
            "ESP32-C6",
            "esp32",
            gpios=_pins((0, 30)),
            flash_pins=_pins((24, 30)),
            wake_pins=_pins((0, 7)),
            march="rv32imc",
            uarts=2,
            spis=(1,),
        ),
        Chip("rp2040", "RP2040", "rp2", _pins((0, 29)), march="armv6m", uarts=2, spis=(0, 1)),
        Chip("rp2350", "RP2350", "rp2", _pins((0, 47)), march="armv7emsp", uarts=2, spis=(0, 1)),
        Chip("linux", "Raspberry Pi, with Linux", "host", _pins((0, 27))),
        Chip("unix", "MicroPython's unix port", "host"),
    )
}
