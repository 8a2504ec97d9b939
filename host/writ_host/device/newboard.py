"""The files of a board that is flashed: its program, its description, and its node's settings.

The node's key is not among them: the device makes it at its first start, and it never leaves it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import textfile
from ..errors import HostError
from ..node import config as nodeconfig
from ..node import provision
from ..textfile import BadText
from . import boardjson, wifijson
from .appfile import read_app
from .facts import Board
from .images import NODE_FOLDER

CONFIG = f"{NODE_FOLDER}/{nodeconfig.NAME}"


def new_files(
    board: Board, config: dict[str, Any], app: Path | None, wifi: Path | None = None
) -> dict[str, bytes]:
    """The files for `board_images`. config: of `node_settings`; app: the user's program.

    wifi: a wifi.json. Raises what `read_app` and `read_wifi` raise, and HostError for a board
    without Wi-Fi.
    """
    found = {
        boardjson.FILE: boardjson.device_board(board),
        CONFIG: (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
    }
    if app is not None:
        found["app.py"] = read_app(app)
    if wifi is not None:
        if not board.wifi:
            raise HostError(f"{board.name} has no Wi-Fi", "Leave --wifi out.")
        found[wifijson.FILE] = wifijson.read_wifi(wifi)
    return found


def node_settings(
    file: Path | None, name: str | None, scope: bytes | None, gateways: Sequence[str]
) -> dict[str, Any]:
    """The config.json of a new node on a chip: that of `file`, completed by what is given.

    Raises BadConfig for a value that no agent can use, HostError as `provision.settings` does, and
    OSError as open does.
    """
    config: Any = {}
    where = "the new node"
    if file is not None:
        where = str(file)
        try:
            config = textfile.read_json(file)
        except BadText as error:
            raise nodeconfig.BadConfig(str(error), error.advice) from None
        if not isinstance(config, dict):
            raise nodeconfig.BadConfig(f"{file}: not an object {{...}}")
        nodeconfig.check_values(config, where, of_chip=True)
    found = provision.settings(config, where, name, scope, None, gateways)
    nodeconfig.check_values(found, where, of_chip=True)
    return found
