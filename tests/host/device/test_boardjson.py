"""/board.json says what board.toml says, for the device's program."""

import json
import tomllib

import pytest

from writ_host.device.board import BOARDS, board_names, load_board
from writ_host.device.boardjson import device_board

PARTS = ("led", "button", "uart", "i2c", "radio", "battery", "pins")


@pytest.mark.parametrize("name", board_names())
def test_it_has_what_the_board_states_and_nothing_else(name: str) -> None:
    stated = tomllib.loads((BOARDS / name / "board.toml").read_text())
    found = json.loads(device_board(load_board(name)))
    assert found.pop("board") == name and found.pop("chip") == stated["chip"]
    assert found.pop("wifi", False) == stated.get("wifi", False)
    assert set(found) == {part for part in PARTS if stated.get(part)}
    for part, facts in found.items():
        expected = dict(stated[part])
        if "number" in expected and part == "uart":
            expected["port"] = expected.pop("number")
        # the defaults of flags are written out
        for key, value in facts.items():
            assert expected.pop(key, False) == value, (part, key)
        assert not expected


def test_the_boards_of_the_tree_have_parts() -> None:
    found = json.loads(device_board(load_board("esp32s3")))
    assert found["button"] == {"pin": 0, "active_low": True}
    assert found["i2c"] == {"number": 0, "sda": 8, "scl": 9}
    assert device_board(load_board("pico-w")).endswith(b"}\n")
