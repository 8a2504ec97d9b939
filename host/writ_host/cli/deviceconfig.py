"""`writ device config`: the settings of a board's node."""

import json
from typing import Any

import click

from writ.configfile import CHECKS

from ..device import boardconfig, repl
from .devicefiles import port_option
from .output import Output, command


@click.group()
def group() -> None:
    """Show and change the config.json of the board's node (docs/wire.md).

    Keys of preshared contexts are never printed.
    """


_key_argument = click.argument(
    "key", shell_complete=lambda ctx, param, text: [k for k in CHECKS if k.startswith(text)]
)


def _print(out: Output, found: dict[str, Any]) -> None:
    settings = boardconfig.shown(found)
    out.fields({key: _text(value) for key, value in settings.items()})
    out.json({"config": settings})


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@command(group)
@port_option
def show(out: Output, port: str | None) -> None:
    """Show the settings of the board's node."""
    with repl.connect(port) as board:
        found = boardconfig.read(board)
    if not found:
        out.note(f"the board has no {boardconfig.PATH}")
    _print(out, found)


@command(group, "set")
@_key_argument
@click.argument("value")
@port_option
def set_(out: Output, key: str, value: str, port: str | None) -> None:
    """Set KEY to VALUE, which is JSON or else text; a wrong value is refused."""
    with repl.connect(port) as board:
        found = boardconfig.change(board, key, boardconfig.parsed(value))
    _print(out, found)


@command(group)
@_key_argument
@port_option
def unset(out: Output, key: str, port: str | None) -> None:
    """Remove KEY from the settings."""
    with repl.connect(port) as board:
        found = boardconfig.change(board, key, None, is_removed=True)
    _print(out, found)
