"""Shell completion of names and ids. Nothing here raises: a failed completion offers nothing."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import split_arg_string

from .. import files
from ..errors import HostError
from ..node import addressbook, links
from ..scope.folder import ScopeFolder
from . import defaults

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completion(find: Callable[[click.Context], Iterable[str]]) -> Complete:
    """The completion that offers what `find` returns for the words so far."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        try:
            found = set(find(ctx))
        except (HostError, OSError, ValueError):
            return []
        return sorted(word for word in found if word.startswith(incomplete))

    return complete


def _folder(ctx: click.Context, name: str) -> Path:
    given = ctx.params.get(name)
    return Path(given) if given else defaults.folder(name)


def _members(ctx: click.Context) -> Iterable[str]:
    folder = ScopeFolder.find(_folder(ctx, "scope"))
    return [one.name for one in folder.members.newest()] if folder else []


def _roles(ctx: click.Context) -> Iterable[str]:
    folder = ScopeFolder.find(_folder(ctx, "scope"))
    return folder.policy.role_names if folder and folder.policy else []


def _requests(ctx: click.Context) -> Iterable[str]:
    folder = ScopeFolder.find(_folder(ctx, "scope"))
    return [path.stem for path in folder.requests()] if folder else []


def _book(ctx: click.Context) -> Iterable[str]:
    return [*addressbook.read(_folder(ctx, "scope")), *addressbook.read(_folder(ctx, "node"))]


def _nodes(ctx: click.Context) -> Iterable[str]:
    seen = addressbook.read_last_seen(_folder(ctx, "node"))
    return [*_book(ctx), *seen, *_members(ctx)]


def _targets(ctx: click.Context) -> Iterable[str]:
    return [*_book(ctx), "all"]


def _pending(ctx: click.Context) -> Iterable[str]:
    # imported here: most commands talk to no daemon
    from ..governor.client.connection import connect

    # DIR is a word of the same argument, so that Click has not parsed it yet
    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    folders = [Path(word) for word in words[3:] if files.is_file(Path(word) / "governor.toml")]
    folder = folders[0] if folders else defaults.governor()
    if folder is None:
        return []
    with connect(folder) as client:
        found = client.ask("pending")
    return [one["id"][:8] for one in (*found["proposals"], *found["ceremonies"])]


def _boards(_: click.Context) -> Iterable[str]:
    # imported here: most commands need no board
    from ..device.board import board_names

    return board_names()


def _modems(_: click.Context) -> Iterable[str]:
    return links.MODEMS


member_names = _completion(_members)
role_names = _completion(_roles)
request_names = _completion(_requests)
book_names = _completion(_book)
node_names = _completion(_nodes)
delivery_targets = _completion(_targets)
pending_ids = _completion(_pending)
modem_names = _completion(_modems)
known_boards = _completion(_boards)
