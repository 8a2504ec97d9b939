"""Where the passphrase comes from: a file, a key file, or a person; never from the command line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import HostError, NeedsPerson
from ..keys import keyfile
from .output import Output

PASSPHRASE_BYTES_MAX = 4096


def secret_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --passphrase-file and --key-file."""
    path = click.Path(dir_okay=False, path_type=Path)
    function = click.option(
        "--key-file",
        type=path,
        envvar="WRIT_KEY_FILE",
        help="A key file (32 random bytes or more) in place of a passphrase [WRIT_KEY_FILE].",
    )(function)
    return click.option(
        "--passphrase-file",
        type=path,
        envvar="WRIT_PASSPHRASE_FILE",
        help="Read the passphrase from the first line of this file [WRIT_PASSPHRASE_FILE].",
    )(function)


def _existing(path: Path) -> Path:
    if not path.is_file():
        advice = "Give the one that the keys were made with: nothing else opens them."
        raise HostError(f"{path}: no such file", advice)
    return path


def unlock(
    out: Output,
    passphrase_file: Path | None,
    key_file: Path | None,
    what: str,
    is_new: bool = False,
) -> keyfile.Unlock:
    """What opens, or will lock (`is_new`), the files of `what`, such as "the governors' seats".

    A new key file is made where none is yet. Raises `NeedsPerson` where nobody can be asked.
    """
    if passphrase_file and key_file:
        raise click.UsageError("--passphrase-file and --key-file exclude each other")
    if key_file:
        if is_new and not key_file.exists():
            out.note(f"made {key_file}: whoever has it opens the seats, so keep it apart")
            return keyfile.KeyFile.create(key_file)
        return keyfile.KeyFile.load(_existing(key_file))
    if passphrase_file:
        with open(_existing(passphrase_file), "rb") as file:
            line = file.read(PASSPHRASE_BYTES_MAX).split(b"\n")[0].rstrip(b"\r")
        try:
            return keyfile.Passphrase(line.decode())
        except UnicodeDecodeError:
            raise HostError(f"{passphrase_file}: not UTF-8 text", "Save it as UTF-8.") from None
    if out.as_json or not sys.stdin.isatty():
        raise NeedsPerson(
            f"the passphrase for {what} is needed",
            "Run it in a terminal, or give --passphrase-file or --key-file.",
        )
    question = f"Passphrase for {what}"
    text = click.prompt(question, hide_input=True, confirmation_prompt=is_new, err=True)
    return keyfile.Passphrase(text)
