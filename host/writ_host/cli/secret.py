"""The passphrase or key file of the governors' key shares: from a file, or typed by a person."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import HostError, NeedsPerson, WeakPassphrase
from ..keys import keyfile
from .output import Output

PASSPHRASE_BYTES_MAX = 4096
PROMPT = "Passphrase that protects the governors' key shares"


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
    if not files.is_file(path):
        advice = "Give the file that the keys were made with: no other one opens them."
        raise HostError(f"{path}: no such file", advice)
    return path


def unlock(
    out: Output, passphrase_file: Path | None, key_file: Path | None, is_new: bool = False
) -> keyfile.Unlock:
    """The secret that opens the governors' encrypted files, or will encrypt them (`is_new`).

    A new key file is made where none exists. Raises `NeedsPerson` without a terminal to ask at, and
    `WeakPassphrase` for a new passphrase in a file that is too short.
    """
    if passphrase_file and key_file:
        raise click.UsageError("--passphrase-file and --key-file exclude each other")
    if key_file:
        if is_new and not files.exists(key_file):
            made = keyfile.KeyFile.create(key_file)
            out.note(f"made {key_file}: this file opens the key shares, so keep it apart from them")
            return made
        return keyfile.KeyFile.load(_existing(key_file))
    if passphrase_file:
        found = _passphrase_in(_existing(passphrase_file))
        if is_new:
            found.check_new()
        return found
    if out.as_json or not sys.stdin.isatty():
        raise NeedsPerson(
            f"needed: {PROMPT[0].lower()}{PROMPT[1:]}",
            "Run the command in a terminal, or give --passphrase-file or --key-file.",
        )
    return _ask_new(out) if is_new else keyfile.Passphrase(_ask())


def _passphrase_in(path: Path) -> keyfile.Passphrase:
    with files.open_secret(path) as file:
        line = file.read(PASSPHRASE_BYTES_MAX).split(b"\n")[0].rstrip(b"\r")
    try:
        return keyfile.Passphrase(line.decode())
    except UnicodeDecodeError:
        raise HostError(f"{path}: not UTF-8 text", "Save it as UTF-8.") from None


def _ask(prompt: str = PROMPT) -> str:
    text: str = click.prompt(prompt, hide_input=True, err=True)
    return text


def _ask_new(out: Output) -> keyfile.Passphrase:
    """Ask until a new passphrase is long enough, and was typed twice."""
    prompt = f"{PROMPT} (at least {keyfile.PASSPHRASE_CHARACTERS_MIN} characters)"
    while True:
        found = keyfile.Passphrase(_ask(prompt))
        try:
            found.check_new()
        except WeakPassphrase as error:
            out.note(f"refused: {error}")
            continue
        if _ask("Repeat for confirmation") == found.text:
            return found
        out.note("refused: the two are not the same")
