"""Boards, each read strictly from one file: `boards/NAME/board.toml`.

`board_names` lists the boards of this installation, `load_board` reads one. A file states facts
only, and names a source for each group of them; what is not known is left out. `SCHEMA` lists the
tables and keys, boards/README.md explains them.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from .. import files, textfile
from ..errors import HostError
from ..policy.strict_toml import PolicyError, Table, listing, read_toml, suggestion
from . import partitions
from .chips import CHIPS
from .facts import Battery, Board, Firmware, I2c, Radio, Source, Switch, Uart
from .partitions import BadPartitions, Partition

__all__ = [
    *("BadBoard", "Battery", "Board", "Firmware", "I2c", "Partition", "Radio", "Source", "Switch"),
    *("Uart", "UnknownBoard", "board_names", "load_board", "parse_board", "read_board"),
]

FILE = "board.toml"
# In an installed package the files are its data (setup.py), in a checkout they are at its top.
_INSTALLED = Path(__file__).with_name("boards")
BOARDS = (
    _INSTALLED if files.is_folder(_INSTALLED) else Path(__file__).resolve().parents[3] / "boards"
)
# A board has about 3 kB.
BOARD_BYTES_MAX = 16384
# Letters of a text, of a URL, and items of a list
TEXT_CHARS_MAX = 200
ITEMS_MAX = 32
PIN_MAX = 63
KIB_MAX = 1 << 20  # 1 GiB
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"1\.[0-9]{1,3}(\.[0-9]{1,3})?")

# Each table with its keys; "" is the top of the file.
SCHEMA: Mapping[str, tuple[str, ...]] = {
    "": (
        *("title", "chip", "wifi", "flash_kib", "psram_kib", "heap_kib", "notes"),
        *("firmware", "partition", "pins", "led", "button", "uart", "i2c", "radio", "battery"),
        "source",
    ),
    "firmware": ("build", "page", "file", "version_min", "romfs"),
    "partition": ("label", "kind", "subtype", "offset", "size"),
    "led": ("pin", "active_low"),
    "button": ("pin", "active_low"),
    "uart": ("number", "port", "tx", "rx"),
    "i2c": ("number", "sda", "scl"),
    "radio": (
        *("modem", "spi", "cs", "sck", "mosi", "miso", "reset", "busy", "dio1", "dio0", "antenna"),
        *("tcxo_mv", "khz_min", "khz_max"),
    ),
    "battery": ("pin", "permille", "enable", "enable_low"),
    "source": ("title", "url", "facts"),
}
# The facts that a source can be named for, and that need one where the file states them
FACTS = tuple(key for key in SCHEMA[""] if key not in ("title", "notes", "source"))
MODEMS = ("sx1262", "sx1276")
# What config.json calls a radio's wires: integers all of them
_WIRES = SCHEMA["radio"][1:-2]
_DRIVEN = ("sck", "mosi", "reset", "antenna")


class BadBoard(HostError):
    """A board.toml that does not fit the schema. `str(error)` begins with file and line."""

    advice = "Correct the file; boards/README.md explains its tables and keys."


class UnknownBoard(HostError):
    """There is no board of this name."""

    advice = "writ board list shows the boards."


def board_names(folder: Path = BOARDS) -> list[str]:
    """The names of all boards, sorted."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def load_board(name: str, folder: Path = BOARDS) -> Board:
    """The board of this name. Raises `UnknownBoard`, `BadBoard`, or `OSError` as open does."""
    if not _NAME.fullmatch(name) or not files.is_file(folder / name / FILE):
        advice = suggestion(name, board_names(folder)) + UnknownBoard.advice
        raise UnknownBoard(f"there is no board '{name[:32]}'", advice)
    return read_board(folder / name / FILE)


def read_board(path: Path) -> Board:
    """The board that the file describes; its folder has its name. Raises as `load_board`."""
    try:
        return parse_board(textfile.read(path, BOARD_BYTES_MAX), path.parent.name, str(path))
    except textfile.BadText as error:
        raise BadBoard(str(error), error.advice) from None


def parse_board(text: str, name: str, where: str = FILE) -> Board:
    """The board of a board.toml. where: the file's name in errors. Raises `BadBoard`."""
    try:
        source, values = read_toml(text, where)
        return _Reader(Table(source, values, SCHEMA[""])).board(name)
    except PolicyError as error:
        advice = error.advice if error.advice != PolicyError.advice else BadBoard.advice
        raise BadBoard(str(error), advice) from None


class _Reader:
    """Reads the tables of one file. All methods raise `PolicyError`."""

    def __init__(self, root: Table) -> None:
        self._root = root
        self._chip = CHIPS[_choice(root, "chip", tuple(CHIPS))]

    def board(self, name: str) -> Board:
        """The whole board."""
        root = self._root
        board = Board(
            name=name,
            title=_text(root, "title"),
            chip=self._chip,
            sources=self._sources(),
            wifi=root.flag("wifi"),
            flash_bytes=root.number("flash_kib", KIB_MAX, 0) << 10,
            psram_bytes=root.number("psram_kib", KIB_MAX, 0) << 10,
            heap_bytes=root.number("heap_kib", KIB_MAX, 0) << 10,
            notes=self._notes(),
            firmware=self._firmware(),
            partitions=self._partitions(),
            pins=self._pins(),
            led=self._switch("led"),
            button=self._switch("button"),
            uart=self._uart(),
            i2c=self._i2c(),
            radio=self._radio(),
            battery=self._battery(),
        )
        self._check_partitions(board)
        self._check_sources(board)
        return board

    def _table(self, name: str) -> Table | None:
        return self._root.table(name, SCHEMA[name]) if self._root.has(name) else None

    def _tables(self, name: str) -> list[Table]:
        found = self._root.tables(name, SCHEMA[name])
        if len(found) > ITEMS_MAX:
            raise self._root.error(name, f"more than {ITEMS_MAX} times [[{name}]]")
        return found

    def _notes(self) -> tuple[str, ...]:
        notes = self._root.texts("notes", ())
        if len(notes) > ITEMS_MAX or any(len(note) > TEXT_CHARS_MAX for note in notes):
            limits = f"{ITEMS_MAX} texts of {TEXT_CHARS_MAX} characters"
            raise self._root.error("notes", f"'notes' has at most {limits}")
        return notes

    def _sources(self) -> tuple[Source, ...]:
        found = []
        for table in self._tables("source"):
            facts = table.texts("facts")
            for fact in facts:
                if fact not in FACTS:
                    raise table.error(
                        "facts", f"unknown facts '{fact}'", f"Known: {listing(sorted(FACTS))}."
                    )
            url = _text(table, "url")
            if not re.fullmatch(r"https://[!-~]+", url):
                raise table.error("url", "'url' must begin with https:// and have no blanks")
            found.append(Source(_text(table, "title"), url, facts))
        return tuple(found)

    def _check_sources(self, board: Board) -> None:
        named = {fact for source in board.sources for fact in source.facts}
        for fact in FACTS:
            if self._root.has(fact) and fact not in named:
                raise self._root.error(
                    fact,
                    f"no [[source]] is named for '{fact}'",
                    "Add a [[source]] with title, url and facts, or leave the key out.",
                )

    def _firmware(self) -> Firmware | None:
        table = self._table("firmware")
        if table is None:
            return None
        version = _text(table, "version_min")
        if not _VERSION.fullmatch(version):
            raise table.error("version_min", "'version_min' must be a release such as \"1.26.0\"")
        return Firmware(
            build=_text(table, "build"),
            page=_text(table, "page"),
            file=_text(table, "file"),
            version_min=version,
            has_romfs=table.flag("romfs"),
        )

    def _partitions(self) -> tuple[Partition, ...]:
        most = partitions.FLASH_BYTES_MAX
        return tuple(
            Partition(
                _text(table, "label"),
                _text(table, "kind"),
                _text(table, "subtype"),
                table.number("offset", most),
                table.number("size", most),
            )
            for table in self._tables("partition")
        )

    def _check_partitions(self, board: Board) -> None:
        if not board.partitions:
            return
        check = partitions.check if self._chip.family == "esp32" else partitions.check_layout
        try:
            check(board.partitions, board.flash_bytes)
        except BadPartitions as error:
            raise self._root.error("partition", str(error)) from None
        for part in board.partitions:
            if part.size % partitions.SECTOR_BYTES:
                text = f"partition '{part.label}' does not end with a sector of 0x1000 bytes"
                raise self._root.error("partition", text)

    def _pin(self, table: Table, key: str, drives: bool = False) -> int:
        """A pin that the chip has. drives: it must not be one that only reads."""
        pin = table.number(key, PIN_MAX)
        if pin not in self._chip.gpios:
            raise table.error(key, f"'{key}': {self._chip.title} has no GPIO {pin}")
        if pin in self._chip.flash_pins:
            raise table.error(key, f"'{key}': GPIO {pin} belongs to the flash")
        if drives and pin in self._chip.inputs:
            raise table.error(key, f"'{key}': GPIO {pin} is an input only")
        return pin

    def _optional_pin(self, table: Table, key: str, drives: bool = False) -> int | None:
        return self._pin(table, key, drives) if table.has(key) else None

    def _pins(self) -> dict[str, int]:
        table = self._root.table("pins", None)
        for key in table.values:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,23}", key) or len(table.values) > ITEMS_MAX:
                raise table.error(key, f"'{key[:32]}' is not a pin's name such as gps_tx")
        return {key: self._pin(table, key) for key in table.values}

    def _switch(self, name: str) -> Switch | None:
        table = self._table(name)
        if table is None:
            return None
        # a pin of the Wi-Fi chip, as on a Pico W, has a name only
        is_named = isinstance(table.required("pin"), str)
        pin = _text(table, "pin") if is_named else self._pin(table, "pin", drives=name == "led")
        return Switch(pin, table.flag("active_low"))

    def _uart(self) -> Uart | None:
        table = self._table("uart")
        if table is None:
            return None
        if table.has("port"):
            port = _text(table, "port")
            if self._chip.family != "host" or not port.startswith("/dev/") or table.has("number"):
                raise table.error("port", "'port' is the path of a tty, in the place of 'number'")
            return Uart(port, self._optional_pin(table, "tx"), self._optional_pin(table, "rx"))
        number = table.number("number", max(self._chip.uarts - 1, 0))
        return Uart(number, self._pin(table, "tx", drives=True), self._pin(table, "rx"))

    def _i2c(self) -> I2c | None:
        table = self._table("i2c")
        if table is None:
            return None
        pins = [self._pin(table, key, drives=True) for key in ("sda", "scl")]
        return I2c(table.number("number", 1), *pins)

    def _radio(self) -> Radio | None:
        table = self._table("radio")
        if table is None:
            return None
        modem = _choice(table, "modem", MODEMS)
        if table.number("spi", 2) not in self._chip.spis:
            raise table.error("spi", f"'spi': {self._chip.title} has {self._chip.spis}")
        wires = {"spi": table.number("spi", 2), "cs": self._pin(table, "cs", drives=True)}
        foreign = ("dio0",) if modem == "sx1262" else ("busy", "dio1", "tcxo_mv")
        for key in _WIRES[2:]:
            if not table.has(key):
                if key == "busy" and modem == "sx1262":
                    table.required(key)
            elif key in foreign:
                raise table.error(key, f"'{key}' is not for a radio {modem}")
            elif key == "tcxo_mv":
                wires[key] = table.number(key, 3300)
            else:
                wires[key] = self._pin(table, key, drives=key in _DRIVEN)
        bounds = [
            table.number(key, 1_000_000) if table.has(key) else None for key in SCHEMA["radio"][-2:]
        ]
        return Radio(modem, wires, *bounds)

    def _battery(self) -> Battery | None:
        table = self._table("battery")
        if table is None:
            return None
        return Battery(
            self._pin(table, "pin"),
            table.number("permille", 100_000),
            self._optional_pin(table, "enable", drives=True),
            table.flag("enable_low"),
        )


def _text(table: Table, key: str) -> str:
    text = table.text(key)
    if not 0 < len(text) <= TEXT_CHARS_MAX or not text.isprintable():
        raise table.error(key, f"'{key}' has 1 to {TEXT_CHARS_MAX} printable characters")
    return text


def _choice(table: Table, key: str, choices: tuple[str, ...]) -> str:
    text = table.text(key)
    if text not in choices:
        raise table.error(
            key,
            f"'{key}' is '{text[:32]}'",
            f"{suggestion(text, choices)}Known: {listing(choices)}.",
        )
    return text
