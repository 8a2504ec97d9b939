"""Click callbacks that check names and files on the command line before the command runs."""

from pathlib import Path

import click

from .. import files
from ..errors import Malformed
from ..keys import identity
from ..names import name_problem


def node_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A member's new name (writ_host.names)."""
    if value is not None and (problem := name_problem(value)):
        raise click.BadParameter(f"{value!r} {problem}", ctx, param)
    return value


def new_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A new name of a governor or scope (writ_host.keys.identity.check_name), clear as a node's."""
    node_name(ctx, param, value)
    try:
        return identity.check_name(value)
    except Malformed:
        message = f"{value!r} is not a valid name: {identity.NAME_RULE}"
        raise click.BadParameter(message, ctx, param) from None


def governor_names(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> list[str] | None:
    """A comma-separated list of governors' names."""
    if value is None:
        return None
    found = [new_name(ctx, param, word.strip()) for word in value.split(",")]
    if len(set(found)) < len(found):
        raise click.BadParameter("a name is given twice", ctx, param)
    return found


def record_files(ctx: click.Context, param: click.Parameter, value: str) -> list[Path]:
    """A comma-separated list of existing files."""
    paths = [Path(word.strip()) for word in value.split(",") if word.strip()]
    for path in paths:
        if not files.is_file(path):
            raise click.BadParameter(f"there is no file {path}", ctx, param)
    if len(set(paths)) < len(paths):
        raise click.BadParameter("a file is given twice", ctx, param)
    return paths
