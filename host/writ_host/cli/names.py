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


def governor_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A governor's new name, which its node has, too."""
    node_name(ctx, param, value)
    return scope_name(ctx, param, value)


def scope_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A scope's new name (writ_host.keys.identity.check_name)."""
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
    found = [governor_name(ctx, param, word.strip()) for word in value.split(",")]
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
