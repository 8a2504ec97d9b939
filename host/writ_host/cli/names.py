"""Click callbacks that check names and files on the command line before the command runs."""

from pathlib import Path

import click

from writ.authority.capsule import check_name
from writ.errors import Rejection

from ..errors import Malformed
from ..keys import identity


def node_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A member's name (writ.authority.capsule.check_name)."""
    try:
        return value if value is None else str(check_name(value))
    except Rejection:
        message = f"{value!r} is not a valid name: use 1 to 24 of a-z, 0-9, - _ ."
        raise click.BadParameter(message, ctx, param) from None


def scope_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A scope's or governor's name (writ_host.keys.identity.check_name)."""
    try:
        return identity.check_name(value)
    except Malformed:
        message = f"{value!r} is not a valid name: use 1 to 24 of a-z, 0-9 and inner hyphens"
        raise click.BadParameter(message, ctx, param) from None


def scope_names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """A comma-separated list of governors' names."""
    if value is None:
        return None
    found = [scope_name(ctx, param, word.strip()) for word in value.split(",")]
    if len(set(found)) < len(found):
        raise click.BadParameter("a name is given twice", ctx, param)
    return found


def record_files(ctx: click.Context, param: click.Parameter, value: str) -> list[Path]:
    """A comma-separated list of existing files."""
    paths = [Path(word.strip()) for word in value.split(",") if word.strip()]
    for path in paths:
        if not path.is_file():
            raise click.BadParameter(f"there is no file {path}", ctx, param)
    if len(set(paths)) < len(paths):
        raise click.BadParameter("a file is given twice", ctx, param)
    return paths
