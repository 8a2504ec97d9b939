"""Where the other governors are: peers.toml, by name, which people may edit while nothing runs.

An address comes from a record, an invitation or a change of governors; who was heard elsewhere is
known there from then on. Nothing depends on its truth: a peer proves its key.
"""

import socket
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from writ.errors import UsageError
from writ.link import udp

from ... import files, target
from ...errors import Malformed
from ...keys.identity import Governor

_FILE_BYTES_MAX = 65536
_HEAD = "# Where the other governors are, as this one knows it: name, host:port\n"
# A name that has changed its meaning is looked up again after so long; a look-up blocks.
_RESOLVE_AGAIN_S = 300.0


class BadAddresses(Malformed):
    """A peers.toml that cannot be read."""

    advice = "Mend peers.toml, or remove it: the others will be heard from."


class Addresses:
    """The file, open. Raises `BadAddresses`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_name = _read(path)
        self._resolved: dict[str, tuple[str, float]] = {}

    def set(self, found: Mapping[str, str]) -> None:
        """Remember {name: "host:port"}, durably where it is news."""
        if any(self._by_name.get(name) != address for name, address in found.items()):
            self._by_name.update(found)
            lines = [f'{name} = "{self._by_name[name]}"\n' for name in sorted(self._by_name)]
            files.write_atomically(self._path, (_HEAD + "".join(lines)).encode(), 0o644)

    def learn(self, governors: Iterable[Governor], heard: Mapping[bytes, tuple[str, int]]) -> None:
        """Remember where peers with a numeric address were heard last ({node key: (address, ms)}).

        A host name stays: it says more than the address that it has today.
        """
        moved = {}
        for governor in governors:
            known = self._by_name.get(governor.name, "")
            if governor.node_key in heard and (not known or is_numeric(known)):
                moved[governor.name] = heard[governor.node_key][0]
        self.set(moved)

    def of(self, governors: Iterable[Governor]) -> dict[bytes, str]:
        """{node key: "host:port", numeric} of those with an address that is known."""
        found = {}
        for governor in governors:
            address = self.resolve(self._by_name.get(governor.name, ""))
            if address:
                found[governor.node_key] = address
        return found

    def resolve(self, address: str) -> str:
        """The address with a numeric host; "" where it has none at present."""
        if not address or is_numeric(address):
            return address
        known, until = self._resolved.get(address, ("", 0.0))
        if time.monotonic() < until:
            return known
        host, port = udp.split(address)
        try:
            listed = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
            known = f"{listed[0][4][0]}:{port}"
        except OSError:
            # what it was before is the best guess
            pass
        self._resolved[address] = known, time.monotonic() + _RESOLVE_AGAIN_S
        return known


def is_numeric(address: str) -> bool:
    """Whether the host of "host:port" is an IPv4 address."""
    try:
        socket.inet_pton(socket.AF_INET, address.rpartition(":")[0])
    except OSError:
        return False
    return True


def _read(path: Path) -> dict[str, str]:
    try:
        found = tomllib.loads(files.read_bounded(path, _FILE_BYTES_MAX).decode())
        for name, address in found.items():
            if not isinstance(address, str):
                raise BadAddresses(f'{path}: {name} is not "host:port"')
            target.check_address(address)
    except FileNotFoundError:
        return {}
    except (ValueError, UsageError, Malformed) as error:
        raise BadAddresses(f"{path}: {error}") from None
    return found
