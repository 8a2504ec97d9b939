"""The folders that commands use without an option: chosen by `writ use`, in one file per user.

An option has priority over an environment variable, which has priority over this file; without any
the current folder is used.
"""

import json
import os
from pathlib import Path

from .. import files, textfile
from ..textfile import BadText

FILE = "defaults.toml"
# Names in the file, and the environment variable that has priority.
VARIABLES = {"scope": "WRIT_SCOPE", "node": "WRIT_NODE", "governor": "WRIT_GOVERNOR"}


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
