"""What a board.toml states, as frozen dataclasses; board.py reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from . import partitions
from .chips import Chip
from .partitions import BadPartitions, Partition


@dataclass(frozen=True)
class Firmware:
    """The stock build of MicroPython. file: pattern of the name of its download.

    version_min: the oldest release that has the partitions of the file; has_romfs: whether the
    build can mount a ROMFS.
    """

    build: str
    page: str
    file: str
    version_min: str
    has_romfs: bool = False

    def has_name(self, name: str) -> bool:
        """Whether a file of this name is such a download."""
        return fnmatchcase(name, self.file)


@dataclass(frozen=True)
class Switch:
    """An LED or a button. pin: a number, or MicroPython's name of a pin of the Wi-Fi chip."""

    pin: int | str
    active_low: bool = False


@dataclass(frozen=True)
class Uart:
    """The UART for a modem or another node. port: its number in MicroPython, or a tty's path."""

    port: int | str
    tx: int | None = None
    rx: int | None = None

    def link(self, **settings: object) -> dict[str, object]:
        """An entry of "links" in config.json (docs/wire.md), at this UART.

        settings: `kind="serial"`, or `kind="lora"`, the modem and its channel.
        """
        pins = {"tx": self.tx, "rx": self.rx} if isinstance(self.port, int) else {}
        return {**settings, "port": self.port, **{k: v for k, v in pins.items() if v is not None}}


@dataclass(frozen=True)
class I2c:
    """The I2C bus for sensors. number: as MicroPython counts."""

    number: int
    sda: int
    scl: int


@dataclass(frozen=True)
class Radio:
    """A LoRa radio on SPI. wires: pins and settings under the names of config.json.

    khz_min, khz_max: the frequencies that the antenna's part of the board is made for; None if the
    vendor sells it for several bands.
    """

    modem: str
    wires: Mapping[str, int]
    khz_min: int | None = None
    khz_max: int | None = None

    def link(self, **channel: int) -> dict[str, object]:
        """The entry of "links" in config.json (docs/wire.md) for this radio.

        channel: frequency_khz, spreading_factor, bandwidth_khz, coding_rate, power_dbm, and
        duty_cycle_permille if it is not that of the frequency.
        """
        return {"kind": "lora", "modem": self.modem, **self.wires, **channel}


@dataclass(frozen=True)
class Battery:
    """An ADC pin that measures the battery: volts at the pin, times permille / 1000.

    enable: the pin that connects the divider, None if it always is; enable_low: it does when low.
    """

    pin: int
    permille: int
    enable: int | None = None
    enable_low: bool = False


@dataclass(frozen=True)
class Source:
    """A document that facts come from: names of `FACTS`."""

    title: str
    url: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """A board as its file describes it; None, 0 or empty for what is not known or not there.

    partitions: the flash as the stock firmware uses it; pins: named pins, as {"vext": 36}.
    """

    name: str
    title: str
    chip: Chip
    sources: tuple[Source, ...]
    wifi: bool = False
    flash_bytes: int = 0
    psram_bytes: int = 0
    heap_bytes: int = 0
    notes: tuple[str, ...] = ()
    firmware: Firmware | None = None
    partitions: tuple[Partition, ...] = ()
    pins: Mapping[str, int] = field(default_factory=dict)
    led: Switch | None = None
    button: Switch | None = None
    uart: Uart | None = None
    i2c: I2c | None = None
    radio: Radio | None = None
    battery: Battery | None = None

    def partition(self, label: str) -> Partition:
        """The partition of this label. Raises `BadPartitions`."""
        found = [part for part in self.partitions if part.label == label]
        if not found:
            raise BadPartitions(f"{self.name} has no partition '{label}'")
        return found[0]

    def romfs_partitions(self) -> tuple[Partition, ...]:
        """The table for a firmware that mounts a ROMFS: see `partitions.with_romfs`."""
        if self.chip.family != "esp32":
            raise BadPartitions(f"{self.name} has no partition table")
        return partitions.with_romfs(self.partitions)
