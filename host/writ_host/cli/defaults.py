"""The folders that commands use without an option: chosen by `writ use`, in one file per user.

An option has priority over an environment variable, which has priority over this file; without any
the current folder is used.
"""

import json
import os
from pathlib import Path

from .. import files, textfile
from ..errors import HostError
from ..textfile import BadText

FILE = "defaults.toml"
# Names in the file, and the environment variable that has priority.
VARIABLES = {"scope": "WRIT_SCOPE", "node": "WRIT_NODE", "governor": "WRIT_GOVERNOR"}
# A file that each kind of folder has.
MARKS = {"scope": "charter.cbor", "node": "config.json", "governor": "governor.toml"}


def check_folder(kind: str, folder: Path, advice: str = "Check the path.") -> None:
    """Raise `HostError` unless a folder is that of a "scope", "node" or "governor"."""
    if not files.is_file(folder / MARKS[kind]):
        raise HostError(f"{folder} is not a {kind}'s folder (no {MARKS[kind]})", advice)


def kind_of(folder: Path) -> str:
    """What a folder is: "scope", "node" or "governor". Raises `HostError`."""
    kinds = [kind for kind, mark in MARKS.items() if files.is_file(folder / mark)]
    if len(kinds) == 1:
        return kinds[0]
    listed = ", ".join(MARKS.values())
    raise HostError(
        f"{folder} is not the folder of one scope, node or governor ({listed})",
        "Check the path, or say which with --scope, --node or --governor.",
    )


def path() -> Path:
    """The file: in $XDG_CONFIG_HOME/writ, by default ~/.config/writ."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "writ" / FILE


def read() -> dict[str, Path]:
    """{name: folder} of the file; {} if there is none. Raises `BadText`."""
    file = path()
    try:
        found = textfile.read_toml(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for name, value in found.items():
        if name not in VARIABLES or not isinstance(value, str) or not value.isprintable():
            raise BadText(f"{file}: {name} is no folder", "To write the file anew: writ use.")
    return {name: Path(value) for name, value in found.items()}


def write(chosen: dict[str, Path]) -> None:
    """Replace the file."""
    file = path()
    for made in (file.parent.parent, file.parent):
        files.make_folder(made, 0o700)
    lines = [f"{name} = {json.dumps(str(folder))}\n" for name, folder in sorted(chosen.items())]
    text = "# The folders that writ uses without an option (writ use).\n" + "".join(lines)
    files.write_atomically(file, text.encode(), 0o644)


def folder(name: str) -> Path:
    """The folder of "scope" or "node" without an option and a variable."""
    return read().get(name, Path("."))


def governor() -> Path | None:
    """The governor's folder without an argument: of WRIT_GOVERNOR, or of the file."""
    named = os.environ.get(VARIABLES["governor"])
    return Path(named) if named else read().get("governor")
