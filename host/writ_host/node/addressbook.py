"""Address books: book.toml, written by people, and seen.json, where members last answered.

    book.toml   NAME = "host:port"              seen.json   {NAME: ["host:port", node id (hex)]}

For a node behind a mesh seen.json has "mesh:1a2b via host:port" (behind.py).
Addresses are hints. The handshake proves who answers, so a wrong address costs time and nothing
else.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from writ.errors import UsageError

from .. import files, target, textfile
from ..textfile import BadText
from .behind import check_address

BOOK_FILE = "book.toml"
SEEN_FILE = "seen.json"
SEEN_MAX = 256
_SEEN_ADVICE = "Remove the file: the addresses are learned again."
_NEW_BOOK = "# Where members are: name, host:port\n"


def read(folder: Path) -> dict[str, str]:
    """{name: "host:port"} of the folder's book.toml; {} if there is none.

    Raises `BadText` for a file that is not TOML, or for a wrong address.
    """
    path = folder / BOOK_FILE
    try:
        entries = textfile.read_toml(path)
    except FileNotFoundError:
        return {}
    except BadText as error:
        raise BadText(str(error), 'Write lines like: pump1 = "10.0.0.7:5683"') from None
    # other entries are people's notes
    texts = {name: value for name, value in entries.items() if isinstance(value, str)}
    try:
        return {name: target.check_address(value) for name, value in texts.items()}
    except UsageError as error:
        raise BadText(f"{path}: {error}") from None


def write(folder: Path, name: str, address: str) -> None:
    """Set one member's address in book.toml; all other lines stay as they are."""
    if read(folder).get(name) == address:
        return
    path = folder / BOOK_FILE
    top, rest = _split(textfile.read(path) if files.exists(path) else _NEW_BOOK)
    line = f'{_key(name)} = "{address}"\n'
    if _line_of(name).search(top):
        top = _line_of(name).sub(lambda _: line, top, count=1)
    else:
        top += ("" if not top or top.endswith("\n") else "\n") + line
    files.write_atomically(path, (top + rest).encode(), 0o644)


def remove(folder: Path, name: str) -> bool:
    """Remove one member's address from book.toml; returns whether there was one."""
    if name not in read(folder):
        return False
    path = folder / BOOK_FILE
    top, rest = _split(textfile.read(path))
    top = _line_of(name).sub("", top, count=1)
    files.write_atomically(path, (top + rest).encode(), 0o644)
    return name not in read(folder)


def rename(folder: Path, before: str, after: str) -> bool:
    """Give an entry of book.toml another name, in place of an entry that had it, in one write.

    Returns whether there was an entry `before`.
    """
    if before not in read(folder):
        return False
    path = folder / BOOK_FILE
    top, rest = _split(textfile.read(path))
    top = _line_of(after).sub("", top, count=1)
    top = _line_of(before).sub(lambda found: _key(after) + found["value"], top, count=1)
    files.write_atomically(path, (top + rest).encode(), 0o644)
    return after in read(folder)


def _key(name: str) -> str:
    # a dot in a bare key would make a table of it
    return json.dumps(name) if "." in name else name


def _line_of(name: str) -> re.Pattern[str]:
    quoted = f"""["']?{re.escape(name)}["']?"""
    return re.compile(rf"^[ \t]*{quoted}(?P<value>[ \t]*=.*\n?)", re.MULTILINE)


def _split(text: str) -> tuple[str, str]:
    """The lines of names, which stand above the first table, and the rest."""
    table = re.search(r"^\s*\[", text, re.MULTILINE)
    place = table.start() if table else len(text)
    return text[:place], text[place:]


@dataclass(frozen=True)
class LastSeen:
    """The address at which a member last answered, and its node id (8 bytes)."""

    address: str
    node_id: bytes


def read_last_seen(folder: Path) -> dict[str, LastSeen]:
    """{name: `LastSeen`}, the newest last; {} if there is no file.

    Raises `BadText` for a damaged file, `OSError` for one that cannot be read.
    """
    path = folder / SEEN_FILE
    try:
        entries = textfile.read_json(path)
        return {
            name: LastSeen(check_address(address), bytes.fromhex(node_id))
            for name, (address, node_id) in entries.items()
        }
    except files.ABSENT:
        return {}
    except BadText as error:
        raise BadText(str(error), _SEEN_ADVICE) from None
    except (AttributeError, TypeError, UsageError, ValueError):
        # another shape
        raise BadText(f"{path}: not a list of addresses", _SEEN_ADVICE) from None


def save_last_seen(folder: Path, name: str, address: str, node_id: bytes) -> None:
    """Remember where a member answered; the oldest entry is dropped when the file is full.

    A former name of the same node is forgotten.

    Raises nothing for a file that cannot be read or written: the call that succeeded must not fail.
    """
    try:
        seen = read_last_seen(folder)
    except (BadText, OSError):
        return
    entry = LastSeen(address, node_id)
    others = [item for item in seen.items() if item[0] != name and item[1].node_id != node_id]
    if seen.get(name) == entry and len(others) == len(seen) - 1:
        return
    kept = [*others, (name, entry)][-SEEN_MAX:]
    text = json.dumps({name: [one.address, one.node_id.hex()] for name, one in kept}, indent=1)
    # a full or read-only disk
    with contextlib.suppress(OSError):
        files.write_atomically(folder / SEEN_FILE, text.encode(), 0o600)
