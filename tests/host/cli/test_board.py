"""`writ board`: the list, one board, an unknown one, and completion of names."""

import json

import pytest
from click.testing import CliRunner

from writ_host.cli import main
from writ_host.device.board import board_names, load_board


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(words))
    return result.exit_code, result.stdout, result.stderr


def test_list_names_each_board_with_its_radio() -> None:
    code, text, _ = run("board", "list")
    assert code == 0
    rows = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert set(board_names()) <= set(rows)
    assert "sx1262" in rows["heltec-v3"] and "8 MiB" in rows["heltec-v3"]
    assert "sx12" not in rows["esp32"] and "ESP32_GENERIC" in rows["esp32"]


def test_list_as_json_has_all_facts() -> None:
    code, text, _ = run("board", "list", "--json")
    assert code == 0
    found = {one["name"]: one for one in json.loads(text)}
    assert list(found) == board_names()
    assert found["heltec-v3"]["chip"] == "esp32s3"
    assert found["heltec-v3"]["radio"]["wires"]["cs"] == 8
    assert found["unix"]["radio"] is None


@pytest.mark.parametrize("name", board_names())
def test_show_names_each_pin_and_each_source(name: str) -> None:
    board = load_board(name)
    code, text, _ = run("board", "show", name)
    assert code == 0 and board.title in text
    for source in board.sources:
        assert source.url in text and source.title in text
    for note in board.notes:
        assert f"- {note}" in text
    for pin, number in board.pins.items():
        assert f"{pin} {number}" in text
    for part in board.partitions:
        assert f"{part.offset:#x}" in text
    wires = board.radio.wires if board.radio else {}
    for key, number in wires.items():
        assert (f"SPI {number}" if key == "spi" else str(number)) in text
    assert json.loads(run("board", "show", name, "--json")[1])["name"] == name


def test_show_says_when_the_battery_is_measured() -> None:
    assert "GPIO 1, times 4.9, while GPIO 37 is high" in run("board", "show", "heltec-v3")[1]


def test_unknown_board_is_refused_with_the_nearest_name() -> None:
    code, text, error = run("board", "show", "heltec-v2")
    assert code == 1 and not text
    assert "there is no board 'heltec-v2'" in error and "Did you mean 'heltec-v3'?" in error
    code, text, _ = run("board", "show", "../unix", "--json")
    assert code == 1 and json.loads(text)["error"]["name"] == "UnknownBoard"


def test_names_are_completed() -> None:
    environment = {
        "_WRIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "writ board show t3",
        "COMP_CWORD": "3",
    }
    done = CliRunner().invoke(main, [], env=environment, prog_name="writ")
    assert done.stdout.split() == ["plain,t3-s3-sx1262", "plain,t3-s3-sx1276"]
