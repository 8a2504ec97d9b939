"""A governor's folder: the paths of its files, and a strict reader of governor.toml.

governor.toml         name, peers, listen; bind and metrics are optional
NAME.key  NAME.seat   identity and key share, encrypted (keys/keyfile.py)
NAME.toml             the governor's public record (ceremonies/record.py)
node/                 the folder of its scope node (node.py)
ledger.db             the durable state (ledger/)
peers.toml            the addresses of the other governors (peering/addresses.py)
control.sock          the daemon's control socket (control.py)
"""

import errno
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.errors import UsageError

from .. import files, inet, target, textfile
from ..errors import FileInTheWay, HostError, Malformed
from ..keys.identity import check_name
from ..textfile import BadText

PEERS_PORT = 5685
LISTEN_PORT = 5683
_NOT_LOCAL = (
    "This machine does not have that address. If others reach this machine through NAT or port"
    ' forwarding, set bind = "0.0.0.0" in governor.toml.'
)
_KEYS = ("name", "peers", "listen", "bind", "metrics")
_TEMPLATE = """\
# Settings of a governor of a Writ scope. Its encrypted keys are beside this file.
name = "{name}"
# UDP address for the other governors. {name}.toml, which they have, names it too.
peers = "{peers}"
# UDP address for devices and all other members of the scope.
listen = "{listen}"
# Local address of both sockets, if it differs from the address that others send to:
# bind = "0.0.0.0"
# HTTP address for Prometheus metrics:
# metrics = "127.0.0.1:9685"
"""


class NoGovernor(HostError):
    """The folder is not a governor's folder."""

    advice = "Name the governor's folder, or create one: writ governor init DIR --name NAME."


class BadSettings(Malformed):
    """A daemon cannot start with this governor.toml."""

    advice = "Correct governor.toml and run the command again."


class FolderNotPrivate(HostError):
    """Other users can write to the folder: they could replace the ledger, keys or socket."""

    advice = (
        "Remove their write permission: chmod go-w DIR. If others may have used it, create the"
        " governor again."
    )


class AddressUnavailable(HostError):
    """A socket cannot be bound to its address."""

    advice = "Stop the process that uses it (see writ governor status DIR), or edit governor.toml."


@dataclass(frozen=True)
class Settings:
    """The content of governor.toml. Addresses are "host:port", bind is a host."""

    name: str
    peers: str
    listen: str
    bind: str | None = None
    metrics: str | None = None

    def bound(self, address: str) -> str:
        """The local "host:port" of the socket that others reach at `address`."""
        return inet.join(self.bind, inet.split(address)[1]) if self.bind else address

    def reserve(self, key: str) -> socket.socket:
        """A UDP socket that reserves the port of `key` until it is closed. Raises `OSError`."""
        family, address = inet.look_up(*inet.split(self.bound(getattr(self, key))))
        reserved = socket.socket(family, socket.SOCK_DGRAM)
        try:
            reserved.bind(address)
        except OSError:
            reserved.close()
            raise
        return reserved

    def check_free(self, key: str) -> None:
        """Check that the address of `key` ("peers", "listen", "metrics") can be bound.

        Raises `AddressUnavailable`.
        """
        address = getattr(self, key)
        if address is None:
            return
        kind = socket.SOCK_STREAM if key == "metrics" else socket.SOCK_DGRAM
        host, port = inet.split(address if key == "metrics" else self.bound(address))
        family, bound = inet.look_up(host, port)
        with socket.socket(family, kind) as probe:
            if key == "metrics":
                # as the metrics server does
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(bound)
            except OSError as error:
                advice = _NOT_LOCAL if error.errno == errno.EADDRNOTAVAIL else None
                text = f"{key} {address}: {error.strerror or error}"
                raise AddressUnavailable(text, advice) from None


@dataclass(frozen=True)
class GovernorFolder:
    """The governor's folder at `path`."""

    path: Path

    @property
    def toml(self) -> Path:
        """The settings file."""
        return self.path / "governor.toml"

    @property
    def node(self) -> Path:
        """The scope node's folder."""
        return self.path / "node"

    @property
    def ledger(self) -> Path:
        """The ledger's database."""
        return self.path / "ledger.db"

    def seat(self, name: str) -> Path:
        """The encrypted key share of the governor `name`."""
        return self.path / f"{name}.seat"

    @property
    def peers(self) -> Path:
        """The address book of the other governors."""
        return self.path / "peers.toml"

    @property
    def control(self) -> Path:
        """The control socket of the daemon that runs in this folder."""
        return self.path / "control.sock"

    def record(self, name: str) -> Path:
        """The public record of the governor `name`."""
        return self.path / f"{name}.toml"

    def check_private(self) -> None:
        """Raises `FolderNotPrivate` if anyone but the owner may write to the folder."""
        if self.path.stat().st_mode & 0o022:
            raise FolderNotPrivate(f"other users may write to {self.path}")

    def sweep(self, name: str) -> None:
        """Remove temporary files that a crash left. The caller holds the folder's lock."""
        for secret in (f"{name}.key", f"{name}.seat", f"{name}.seat.next"):
            files.remove_leftovers(self.path / secret)

    def read(self) -> Settings:
        """Read the settings. Raises `NoGovernor` if there are none, or `BadSettings`."""
        try:
            found = textfile.read_toml(self.toml)
        except (FileNotFoundError, NotADirectoryError):
            raise NoGovernor(
                f"{self.path} is not a governor's folder (no {self.toml.name})"
            ) from None
        except BadText as error:
            raise BadSettings(str(error), error.advice) from None
        return _checked(found, self.toml)

    def check_keys(self, name: str) -> None:
        """Raises `BadSettings` if the folder has no key file of the governor `name`."""
        if files.exists(self.path / f"{name}.key"):
            return
        there = ", ".join(sorted(path.name for path in self.path.glob("*.key"))) or "none"
        raise BadSettings(
            f"{self.toml}: the name is {name}, but there is no {name}.key",
            f"Key files here: {there}. Correct the name, or restore the folder from a backup"
            " (writ governor restore).",
        )

    def check_new(self) -> None:
        """Check that a governor can be created here.

        Raises `FileInTheWay` if there is one already, `FolderNotPrivate` as `check_private`.
        """
        if files.exists(self.toml):
            raise FileInTheWay(f"{self.toml} exists already", "Choose another folder.")
        if files.exists(self.path):
            self.check_private()

    def make(self) -> None:
        """Make the folder, and check that files can be written in it.

        Raises as `check_new` and `files.make_folder`.
        """
        self.check_new()
        files.make_folder(self.path, 0o700)
        with tempfile.TemporaryFile(dir=self.path):
            pass

    def create(self, name: str, peers: str, listen: str) -> Settings:
        """Create the folder and its settings. Raises as `make`."""
        self.make()
        text = _TEMPLATE.format(name=name, peers=peers, listen=listen)
        files.write_atomically(self.toml, text.encode(), 0o644)
        return self.read()


def _checked(found: dict[str, Any], path: Path) -> Settings:
    for key, value in found.items():
        if key not in _KEYS:
            raise BadSettings(f'{path}: unknown key "{key}" (known: {", ".join(_KEYS)})')
        if not isinstance(value, str):
            raise BadSettings(f'{path}: "{key}" must be a string in quotes')
    for key in ("name", "peers", "listen"):
        if key not in found:
            raise BadSettings(f'{path}: "{key}" is missing')
    try:
        check_name(found["name"])
        for key in ("peers", "listen", "metrics"):
            if key in found:
                found[key] = target.check_address(found[key])
        if "bind" in found:
            target.check_address(inet.join(found["bind"], 1))
    except (Malformed, UsageError) as error:
        raise BadSettings(f"{path}: {error}") from None
    return Settings(**found)
