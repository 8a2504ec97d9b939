"""`writ use`: the scope, the node and the governor that commands use without an option."""

from pathlib import Path

import click

from .. import files
from ..errors import HostError
from . import defaults
from .output import Output, command

_folder = click.Path(file_okay=False, path_type=Path)
# A file that each kind of folder has.
_MARKS = {"scope": "charter.cbor", "node": "config.json", "governor": "governor.toml"}


@command()
@click.option("--scope", type=_folder, help="A scope's folder.")
@click.option("--node", type=_folder, help="A node's folder.")
@click.option("--governor", type=_folder, help="A governor's folder.")
@click.option("--forget", is_flag=True, help="Forget all defaults first.")
def use(
    out: Output, scope: Path | None, node: Path | None, governor: Path | None, forget: bool
) -> None:
    """Choose the folders that commands use without an option; without options, show them.

    An option or environment variable (WRIT_SCOPE, WRIT_NODE, WRIT_GOVERNOR) has priority. Without a
    choice the current folder is used.
    """
    chosen = {} if forget else defaults.read()
    given = {"scope": scope, "node": node, "governor": governor}
    for name, folder in given.items():
        if folder is None:
            continue
        if not files.is_file(folder / _MARKS[name]):
            raise HostError(
                f"{folder} is not a {name}'s folder (no {_MARKS[name]})", "Check the path."
            )
        chosen[name] = folder.resolve()
    if forget or any(given.values()):
        defaults.write(chosen)
    shown = {name: chosen.get(name, "not chosen") for name in given}
    out.fields(shown)
    out.json({name: chosen.get(name) for name in given})
