"""The config.json of a board's node, over its REPL: read, checked, changed and shown."""

import json
from typing import Any

from writ.configfile import CHECKS

from ..errors import HostError
from ..node import config as nodeconfig
from . import boardfiles, deploy
from .repl import Repl

PATH = "/node/config.json"
# A device has heap for much less.
BYTES_MAX = 64 * 1024
# Values that hold keys.
_SECRET_KEYS = ("oscore",)
HIDDEN = "(not shown)"


class BadBoardConfig(HostError):
    """A config.json on a board that is no JSON object."""

    advice = "Replace it: writ device files put config.json /node/config.json --secret."


def read(board: Repl) -> dict[str, Any]:
    """The settings of the board's node; {} without a file.

    Raises BadBoardConfig and what `boardfiles.read` raises.
    """
    try:
        content = boardfiles.read(board, PATH, BYTES_MAX)
    except boardfiles.NoFile:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise BadBoardConfig(f"{PATH} on the board is no JSON") from None
    if not isinstance(found, dict):
        raise BadBoardConfig(f"{PATH} on the board is not an object {{...}}")
    return found


def change(board: Repl, key: str, value: object, *, is_removed: bool = False) -> dict[str, Any]:
    """Set or remove one key of the board's config.json; all settings after it.

    Every value is checked first, as the agent and the commands of a host do; the file is the old
    one or the new one at any time. Raises BadConfig, HostError for a key with secrets, and what
    `read` and `deploy.put` raise.
    """
    if key in _SECRET_KEYS:
        raise HostError(
            f'"{key}" holds keys, which a command line shows to other users',
            f"Write it into a file, and send that: writ device files put FILE {PATH} --secret.",
        )
    found = read(board)
    if is_removed:
        if key not in found:
            raise HostError(f'{PATH} has no "{key}"', "See: writ device config show.")
        del found[key]
    else:
        found[key] = value
    nodeconfig.check_values(found, PATH, of_chip=True)
    deploy.put(board, PATH, (json.dumps(found, indent=2) + "\n").encode())
    return found


def shown(config: dict[str, Any]) -> dict[str, Any]:
    """The settings for a screen: without keys, and without what Writ does not know."""
    return {
        key: value if key in CHECKS and key not in _SECRET_KEYS else HIDDEN
        for key, value in sorted(config.items())
    }


def parsed(text: str) -> Any:
    """A value from the command line: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
