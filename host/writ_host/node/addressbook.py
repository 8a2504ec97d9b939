"""Address books: book.toml (NAME = "host:port", written by people), and where nodes were last seen.

Addresses are hints. A handshake proves who is there, so a wrong one costs time and nothing else.
"""

import contextlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from writ.errors import UsageError

from .. import files, target
from ..errors import HostError

SEEN = "seen.json"
SEEN_MAX = 256


def read(folder: Path) -> dict[str, str]:
    """{name: "host:port"} of the folder's book.toml; {} where there is none. Raises `HostError`."""
    path = folder / "book.toml"
    try:
        entries = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HostError(f"{path}: {error}", 'Write lines like: pump1 = "10.0.0.7:5683"') from None
    # other entries are people's notes
    texts = {name: value for name, value in entries.items() if isinstance(value, str)}
    return {name: target.check_address(value) for name, value in texts.items()}


@dataclass(frozen=True)
class Seen:
    """Where a member of this name answered, and its node id (8 bytes)."""

    address: str
    node_id: bytes


def read_seen(folder: Path) -> dict[str, Seen]:
    """{name: `Seen`}, the latest last; what is damaged counts for nothing."""
    try:
        entries = json.loads((folder / SEEN).read_text("utf-8"))
        return {
            name: Seen(target.check_address(address), bytes.fromhex(node_id))
            for name, (address, node_id) in entries.items()
        }
    except (AttributeError, OSError, TypeError, UsageError, ValueError):
        return {}


def save_seen(folder: Path, name: str, address: str, node_id: bytes) -> None:
    """Remember where a node answered; the one seen longest ago gives way."""
    seen = read_seen(folder)
    entry = Seen(address, node_id)
    if seen.get(name) == entry:
        return
    seen.pop(name, None)
    kept = [*seen.items(), (name, entry)][-SEEN_MAX:]
    text = json.dumps({name: [seen.address, seen.node_id.hex()] for name, seen in kept}, indent=1)
    # a cache: a full or read-only disk must not spoil the call that went well
    with contextlib.suppress(OSError):
        files.write_atomically(folder / SEEN, text.encode(), 0o600)
