"""/board.json of a device: what its boot needs of board.toml (docs/boot.md).

Only what the file of the board states is in it. `firmware/writ/board/program.py` reads it.
"""

import json
from collections.abc import Mapping
from typing import Any

from .facts import Battery, Board, I2c, Radio, Switch, Uart

FILE = "board.json"


def device_board(board: Board) -> bytes:
    """The content of /board.json: JSON with sorted keys, in one line."""
    found: dict[str, Any] = {"board": board.name, "chip": board.chip.name}
    if board.wifi:
        found["wifi"] = True
    parts = {
        "led": _switch(board.led),
        "button": _switch(board.button),
        "uart": _uart(board.uart),
        "i2c": _i2c(board.i2c),
        "radio": _radio(board.radio),
        "battery": _battery(board.battery),
        "pins": dict(board.pins),
    }
    found.update({name: part for name, part in parts.items() if part})
    return (json.dumps(found, sort_keys=True) + "\n").encode()


def _known(part: Mapping[str, object]) -> dict[str, object]:
    # without what the board does not state
    return {key: value for key, value in part.items() if value is not None}


def _switch(part: Switch | None) -> dict[str, object]:
    return {"pin": part.pin, "active_low": part.active_low} if part else {}


def _uart(part: Uart | None) -> dict[str, object]:
    return _known({"port": part.port, "tx": part.tx, "rx": part.rx}) if part else {}


def _i2c(part: I2c | None) -> dict[str, object]:
    return {"number": part.number, "sda": part.sda, "scl": part.scl} if part else {}


def _radio(part: Radio | None) -> dict[str, object]:
    if part is None:
        return {}
    bounds = {"khz_min": part.khz_min, "khz_max": part.khz_max}
    return _known({"modem": part.modem, **part.wires, **bounds})


def _battery(part: Battery | None) -> dict[str, object]:
    if part is None:
        return {}
    return _known(
        {
            "pin": part.pin,
            "permille": part.permille,
            "enable": part.enable,
            "enable_low": part.enable_low,
        }
    )
