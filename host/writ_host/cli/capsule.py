"""`writ capsule inspect`: explains each byte of a capsule."""

import errno
import sys
from pathlib import Path

import click

from .. import files
from ..errors import HostError
from ..scope.folder import ScopeFolder
from ..scope.inspection import Inspection, inspect_capsule
from .boundary import REFUSED
from .options import scope_option
from .output import Output, command

INPUT_BYTES_MAX = 65536


@click.group()
def group() -> None:
    """Explain a capsule byte by byte."""


@command(group)
@click.argument("source", metavar="FILE|HEX|-")
@scope_option
def inspect(out: Output, source: str, scope: Path) -> None:
    """Explain a capsule or a membership request: each field, the signature, and errors.

    The signature is checked against the group key of --scope, that of a charter against the key in
    the charter. The exit code is 1 if nodes would reject the capsule.
    """
    raw = _read(source)
    found = inspect_capsule(raw, ScopeFolder.find(scope))
    _show(out, found)
    out.json({**vars(found), "bytes": raw, "ok": _is_good(found)})
    if not _is_good(found):
        click.get_current_context().exit(REFUSED)


def _is_good(found: Inspection) -> bool:
    return found.problem is None and found.signature in ("valid", "unchecked")


def _read(source: str) -> bytes:
    if source == "-":
        data = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    elif _is_file(source):
        with open(source, "rb") as file:
            data = file.read(INPUT_BYTES_MAX + 1)
    else:
        found = _from_hex(source)
        if found is None:
            raise HostError(
                f"{source[:60]}: neither a file nor hex digits",
                "Give a file, hex digits, or - for standard input.",
            )
        data = found
    if len(data) > INPUT_BYTES_MAX:
        raise HostError(f"more than {INPUT_BYTES_MAX} bytes", "A capsule is far shorter.")
    # a capsule begins with the byte 0x84, which is not ASCII, so it is never valid hex digits
    text = data.decode("ascii", "ignore")
    return (_from_hex(text) if len(text) == len(data) else None) or data


def _is_file(source: str) -> bool:
    try:
        return files.is_file(Path(source))
    except OSError as error:
        # hex digits may be too long for a file name
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _from_hex(text: str) -> bytes | None:
    digits = "".join(text.split()).removeprefix("0x")
    try:
        return bytes.fromhex(digits) or None
    except ValueError:
        return None


def _show(out: Output, found: Inspection) -> None:
    goal = "" if found.goal is None else f", goal {found.goal}"
    over = " (over)" if found.goal is not None and found.size > found.goal else ""
    out.fields(
        {
            "kind": found.kind,
            "size": f"{found.size} bytes{goal}{over}",
            "digest": found.digest,
            "head": found.head,
            "scope": found.scope,
            "signature": f"{found.signature}: {found.signature_text}",
        }
    )
    rows = [
        (part.offset, part.size, "  " * part.depth + part.diagnostic, _meaning(part))
        for part in found.parts
    ]
    out.table(("at", "bytes", "CBOR", "meaning"), rows)
    if found.diagnostic:
        out.note(found.diagnostic)
    if found.problem is not None:
        at = "" if found.problem_at is None else f", at byte {found.problem_at}"
        out.line(f"nodes reject this capsule: {found.problem}{at}", "red")
    elif found.signature == "invalid":
        out.line("nodes reject this capsule: BadSignature (29)", "red")


def _meaning(part: object) -> str:
    flaw = getattr(part, "flaw", "")
    meaning = str(getattr(part, "meaning", ""))
    return f"{meaning} ({flaw})" if flaw else meaning
