"""Names on the command line, checked before anything is begun. Callbacks for Click's parameters."""

from pathlib import Path

import click

from writ.authority.capsule import check_name
from writ.errors import Rejection

from ..errors import Malformed
from ..keys import identity


def node_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """What a member may be called (writ.capsule.check_name)."""
    try:
        return value if value is None else str(check_name(value))
    except Rejection:
        words = f"{value!r} is no name: 1 to 24 of a-z, 0-9, - _ ."
        raise click.BadParameter(words, ctx, param) from None


def scope_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """What a scope or a governor may be called (writ_host.identity.check_name)."""
    try:
        return identity.check_name(value)
    except Malformed:
        words = f"{value!r} is no name: 1 to 24 of a-z, 0-9 and inner hyphens"
        raise click.BadParameter(words, ctx, param) from None


def scope_names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """Several governors' names, with commas between them."""
    if value is None:
        return None
    found = [scope_name(ctx, param, word.strip()) for word in value.split(",")]
    if len(set(found)) < len(found):
        raise click.BadParameter("the same name twice", ctx, param)
    return found


def record_files(ctx: click.Context, param: click.Parameter, value: str) -> list[Path]:
    """Files with commas between them, all there."""
    paths = [Path(word.strip()) for word in value.split(",") if word.strip()]
    for path in paths:
        if not path.is_file():
            raise click.BadParameter(f"there is no file {path}", ctx, param)
    if len(set(paths)) < len(paths):
        raise click.BadParameter("the same file twice", ctx, param)
    return paths
