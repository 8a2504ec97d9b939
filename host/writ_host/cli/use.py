"""`writ use`: the scope, the node and the governor that commands use without an option."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from ..errors import HostError
from . import defaults
from .output import Output, command

_folder = click.Path(file_okay=False, path_type=Path)


@command()
@click.argument("folders", nargs=-1, metavar="[DIR...]", type=_folder)
@click.option("--scope", type=_folder, help="A scope's folder.")
@click.option("--node", type=_folder, help="A node's folder.")
@click.option("--governor", type=_folder, help="A governor's folder.")
@click.option("--forget", is_flag=True, help="Forget all defaults first.")
def use(
    out: Output,
    folders: tuple[Path, ...],
    scope: Path | None,
    node: Path | None,
    governor: Path | None,
    forget: bool,
) -> None:
    """Choose the folders that commands use without an option; without DIR, show them.

    DIR is the folder of a scope, a node or a governor; the options say which. An option or
    environment variable (WRIT_SCOPE, WRIT_NODE, WRIT_GOVERNOR) has priority. Without a choice the
    current folder is used.
    """
    before = _known(forget)
    chosen = {} if forget else dict(before)
    named = {"scope": scope, "node": node, "governor": governor}
    pairs = [(name, folder) for name, folder in named.items() if folder is not None]
    for name, folder in [*pairs, *((defaults.kind_of(one), one) for one in folders)]:
        defaults.check_folder(name, folder)
        chosen[name] = folder.resolve()
    if chosen != before or forget:
        defaults.write(chosen)
    for name in defaults.VARIABLES:
        _say(out, name, before.get(name), chosen.get(name))
    if chosen != before:
        out.note(f"kept in {defaults.path()}; to undo: {_undo(before)}")
    out.json({name: chosen.get(name) for name in defaults.VARIABLES})


def _known(forget: bool) -> dict[str, Path]:
    try:
        return defaults.read()
    except HostError:
        if not forget:
            raise
        # a broken file is what --forget is for
        return {}


def _say(out: Output, name: str, before: Path | None, now: Path | None) -> None:
    """Say what commands use now, and what they used before."""
    text = f"{name:<8}  {now or 'not chosen'}"
    out.line(text if now == before else f"{text} (was {before or 'not chosen'})")
    variable = defaults.VARIABLES[name]
    if (there := os.environ.get(variable)) and Path(there).resolve() != now:
        out.warn(f"{variable} is set, and has priority: {there}")


def _undo(before: Mapping[str, Path]) -> str:
    options = "".join(
        f" --{name} {shlex.quote(str(folder))}" for name, folder in sorted(before.items())
    )
    return f"writ use --forget{options}"
