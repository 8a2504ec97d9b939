"""A governor's public record, NAME.toml: its keys and its addresses, for the other governors.

    name = "anna"
    verify_key = "..."              # Ed25519, X25519 and P-256, in hex
    seal_key = "..."
    node_key = "..."
    peers = "10.0.0.5:5684"         # the address for the other governors
    listen = "10.0.0.5:5683"        # the address of its scope node, for devices

The keys identify the governor; the addresses are hints that may change.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from writ.limits import ADDRESS_BYTES_MAX

from ... import textfile
from ...errors import HostError, Malformed
from ...keys.identity import PublicIdentity
from ...textfile import BadText

# Six lines with room for comments.
RECORD_BYTES_MAX = 4096
_KEYS = ("verify_key", "seal_key", "node_key")
_ADDRESSES = ("peers", "listen")
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:([1-9][0-9]{0,4})", re.ASCII)


class BadRecord(HostError):
    """The file is not a governor's record."""

    advice = "Ask that governor for its record again: the file NAME.toml in its folder."


def check_address(text: object) -> str:
    """`text` if it is "host:port", with an IPv4 address or a name. Raises `Malformed`."""
    found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if found is None or int(found[1]) > 65535 or len(found[0]) > ADDRESS_BYTES_MAX:
        raise Malformed(f"{text!r} is not HOST:PORT", "Write an address like 10.0.0.5:5684.")
    return found[0]


@dataclass(frozen=True)
class Record:
    """A governor, and the addresses ("host:port") of its two sockets. Raises `Malformed`."""

    governor: PublicIdentity
    peers: str
    listen: str

    def __post_init__(self) -> None:
        check_address(self.peers)
        check_address(self.listen)

    def to_toml(self) -> str:
        """The file's text."""
        values = {"name": self.governor.name}
        values |= {key: getattr(self.governor, key).hex() for key in _KEYS}
        values |= {key: getattr(self, key) for key in _ADDRESSES}
        # none of these needs an escape
        lines = [f'{key} = "{value}"' for key, value in values.items()]
        return "\n".join(["# The public record of a governor: for the others.", *lines, ""])

    @classmethod
    def from_toml(cls, text: str, name: str = "the record") -> "Record":
        """The record in a text; `name`: the file's, for errors.

        Raises `BadRecord` for a text that is not TOML, or with a missing or invalid key."""
        if len(text.encode(errors="replace")) > RECORD_BYTES_MAX:
            raise BadRecord(f"a record has at most {RECORD_BYTES_MAX} bytes")
        try:
            values = textfile.parse_toml(text, name)
        except BadText as error:
            raise BadRecord(str(error)[:200]) from None
        wanted = {"name", *_KEYS, *_ADDRESSES}
        if missing := sorted(wanted - values.keys()):
            raise BadRecord(f"the record lacks {', '.join(missing)}")
        if unknown := sorted(values.keys() - wanted):
            raise BadRecord(f"a record has no key {unknown[0]!r}")
        try:
            keys = [_unhex(key, values[key]) for key in _KEYS]
            governor = PublicIdentity.from_item([values["name"], *keys])
            return cls(governor, check_address(values["peers"]), check_address(values["listen"]))
        except Malformed as error:
            raise BadRecord(str(error)) from None

    @classmethod
    def load(cls, path: Path) -> "Record":
        """The record in this file. Raises `BadRecord`, with the file's name."""
        try:
            text = textfile.read(path, RECORD_BYTES_MAX)
        except FileNotFoundError:
            raise BadRecord(f"{path}: no such file") from None
        except OSError as error:
            raise BadRecord(f"{path}: {error.strerror or error}") from None
        except BadText as error:
            raise BadRecord(str(error)) from None
        try:
            return cls.from_toml(text, str(path))
        except BadRecord as error:
            found = str(error)
            raise BadRecord(found if found.startswith(str(path)) else f"{path}: {found}") from None


def _unhex(name: str, value: object) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Malformed(f"{name} must be hex digits, lower case")
    return bytes.fromhex(value)
