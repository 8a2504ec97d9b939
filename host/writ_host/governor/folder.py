"""A governor's folder: where its files are, and governor.toml, read strictly.

governor.toml         name, peers, listen; bind, metrics (optional)
NAME.key  NAME.seat   encrypted (keyfile.py)      NAME.toml  the public record (record.py)
node/                 folder of its scope node    ledger.db  all that it promised and certified
peers.toml            where the other governors are (addresses.py)
control.sock          where the operator's commands reach the daemon
"""

import errno
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.errors import UsageError
from writ.link.udp import split

from .. import files, target
from ..errors import FileInTheWay, HostError, Malformed
from ..keys.identity import check_name

PEERS_PORT = 5685
LISTEN_PORT = 5683
_TOML_BYTES_MAX = 65536
_NOT_OURS = (
    "This machine does not have that address. Where others reach it by an address that is not its"
    ' own, set bind = "0.0.0.0" in governor.toml.'
)
_KEYS = ("name", "peers", "listen", "bind", "metrics")
_TEMPLATE = """\
# A governor of a Writ scope. Its keys are beside this file, encrypted.
name = "{name}"
# UDP, for governors among themselves: also in {name}.toml, which the others have
peers = "{peers}"
# UDP, for devices and all other members of the scope
listen = "{listen}"
# The local address of both, where it is another than the one that others send to:
# bind = "0.0.0.0"
# Prometheus metrics:
# metrics = "127.0.0.1:9685"
"""


class NoGovernor(HostError):
    """A folder that is no governor's."""

    advice = "Say which folder, or make one: writ governor init DIR --name NAME."


class BadSettings(Malformed):
    """A governor.toml that no daemon can start with."""

    advice = "Mend governor.toml and run the command again."


class OpenFolder(HostError):
    """A folder in which others could put a ledger, keys or a control socket of their own."""

    advice = "Take that from them: chmod go-w DIR. Was it so for long? Make the governor anew."


class AddressTaken(HostError):
    """A socket that cannot be bound."""

    advice = "Stop what has it (or run writ governor status DIR), or change governor.toml."


@dataclass(frozen=True)
class Settings:
    """governor.toml. Addresses are "host:port"; bind is a host, metrics may be None."""

    name: str
    peers: str
    listen: str
    bind: str | None = None
    metrics: str | None = None

    def bound(self, address: str) -> str:
        """Where the socket that others reach at `address` is bound on this machine."""
        return f"{self.bind}:{address.rpartition(':')[2]}" if self.bind else address

    def keep(self, key: str) -> socket.socket:
        """A UDP socket that keeps the port of `key` until it is closed. Raises `OSError`."""
        host, port = split(self.bound(getattr(self, key)))
        kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            kept.bind((host, port))
        except OSError:
            kept.close()
            raise
        return kept

    def check_free(self, key: str) -> None:
        """Raises `AddressTaken` where `key` ("peers", "listen", "metrics") cannot be bound."""
        address = getattr(self, key)
        if address is None:
            return
        kind = socket.SOCK_STREAM if key == "metrics" else socket.SOCK_DGRAM
        host, port = split(address if key == "metrics" else self.bound(address))
        with socket.socket(socket.AF_INET, kind) as probe:
            if key == "metrics":
                # as its server does
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                advice = _NOT_OURS if error.errno == errno.EADDRNOTAVAIL else None
                raise AddressTaken(f"{key} {address}: {error.strerror or error}", advice) from None


@dataclass(frozen=True)
class Layout:
    """The folder at `path`."""

    path: Path

    @property
    def toml(self) -> Path:
        """The settings."""
        return self.path / "governor.toml"

    @property
    def node(self) -> Path:
        """The scope node's folder."""
        return self.path / "node"

    @property
    def ledger(self) -> Path:
        """The database."""
        return self.path / "ledger.db"

    @property
    def peers(self) -> Path:
        """Where the other governors are."""
        return self.path / "peers.toml"

    @property
    def control(self) -> Path:
        """The socket of the daemon that runs here."""
        return self.path / "control.sock"

    def record(self, name: str) -> Path:
        """The public record."""
        return self.path / f"{name}.toml"

    def check_private(self) -> None:
        """Raises `OpenFolder` where anybody but the owner may write."""
        if self.path.stat().st_mode & 0o022:
            raise OpenFolder(f"others may write in {self.path}")

    def sweep(self, name: str) -> None:
        """Remove what a crash left of a write; only while no other daemon can run here."""
        for secret in (f"{name}.key", f"{name}.seat", f"{name}.seat.next"):
            files.remove_leftovers(self.path / secret)

    def read(self) -> Settings:
        """The settings. Raises `NoGovernor` where there are none, or `BadSettings`."""
        try:
            text = files.read_bounded(self.toml, _TOML_BYTES_MAX).decode()
            found = tomllib.loads(text)
        except (FileNotFoundError, NotADirectoryError):
            raise NoGovernor(f"{self.path} is no governor's folder (no {self.toml.name})") from None
        except UnicodeDecodeError:
            raise BadSettings(f"{self.toml}: not UTF-8 text") from None
        except (ValueError, Malformed) as error:
            raise BadSettings(f"{self.toml}: {error}") from None
        return _checked(found, self.toml)

    def check_keys(self, name: str) -> None:
        """Raises `BadSettings` where the governor that the settings name has no keys here."""
        if (self.path / f"{name}.key").exists():
            return
        there = ", ".join(sorted(path.name for path in self.path.glob("*.key"))) or "none"
        raise BadSettings(
            f"{self.toml}: the name is {name}, and there is no {name}.key",
            f"There is {there}: mend the name, or restore the folder (writ governor restore).",
        )

    def check_new(self) -> None:
        """Raises `FileInTheWay` where a governor lives already, `OpenFolder` as `check_private`."""
        if self.toml.exists():
            raise FileInTheWay(f"{self.toml} exists already", "Choose another folder.")
        if self.path.exists():
            self.check_private()

    def create(self, name: str, peers: str, listen: str) -> Settings:
        """A new folder with its settings. Raises as `check_new`."""
        self.check_new()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = _TEMPLATE.format(name=name, peers=peers, listen=listen)
        files.write_atomically(self.toml, text.encode(), 0o644)
        return self.read()


def _checked(found: dict[str, Any], path: Path) -> Settings:
    for key, value in found.items():
        if key not in _KEYS:
            raise BadSettings(f'{path}: "{key}" is not one of {", ".join(_KEYS)}')
        if not isinstance(value, str):
            raise BadSettings(f'{path}: "{key}" is not text in quotes')
    for key in ("name", "peers", "listen"):
        if key not in found:
            raise BadSettings(f'{path}: no "{key}"')
    try:
        check_name(found["name"])
        for key in ("peers", "listen", "metrics"):
            if key in found:
                found[key] = target.check_address(found[key])
        if "bind" in found:
            target.check_address(found["bind"] + ":1")
    except (Malformed, UsageError) as error:
        raise BadSettings(f"{path}: {error}") from None
    return Settings(**found)


def own_host() -> str:
    """This machine's address as others see it, as far as it can know: no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
