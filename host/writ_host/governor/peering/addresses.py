"""The address book of the other governors: peers.toml, which people may edit while no daemon runs.

An address comes from a record, an invitation or a change of governors. A governor that sends from
another address gets that address. A wrong address does no harm: each peer proves its key.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from writ.authority.ratelimit import TokenBucket
from writ.compat import Clock
from writ.errors import UsageError

from ... import files, inet, target, textfile
from ...errors import Malformed
from ...keys.identity import PublicIdentity
from ...node.resolver import Resolver
from ...textfile import BadText

_HEAD = "# Addresses of the other governors: name, host:port\n"
# Look-ups of names in invitations that no operator has approved. A founding by names has 13 at
# most; beyond two foundings strangers make this governor ask for six names a minute. They have a
# table and threads of their own, so that they delay no name of a known governor.
STRANGERS_BURST = 26
STRANGERS_REFILL_MS = 10_000
STRANGERS_AT_ONCE = 2
STRANGERS_THREADS_MAX = 4
STRANGERS_NAMES_MAX = 32


class BadAddresses(Malformed):
    """A peers.toml cannot be read."""

    advice = "Correct peers.toml, or remove it: the addresses are learned again."


class AddressBook:
    """The addresses in the file at `path`. Raises `BadAddresses`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_name = _read(path)
        clock = Clock()
        self._resolver = Resolver(lambda: int(clock.now_ms()))
        self._resolver_for_strangers = Resolver(
            lambda: int(clock.now_ms()),
            TokenBucket(STRANGERS_BURST, STRANGERS_REFILL_MS),
            STRANGERS_AT_ONCE,
            STRANGERS_THREADS_MAX,
            STRANGERS_NAMES_MAX,
        )

    def set(self, found: Mapping[str, str]) -> None:
        """Store {name: "host:port"}, durably if anything changes."""
        if any(self._by_name.get(name) != address for name, address in found.items()):
            self._by_name.update(found)
            lines = [f'{name} = "{self._by_name[name]}"\n' for name in sorted(self._by_name)]
            files.write_atomically(self._path, (_HEAD + "".join(lines)).encode(), 0o644)

    def learn(
        self, governors: Iterable[PublicIdentity], last_seen: Mapping[bytes, tuple[str, int]]
    ) -> None:
        """Store the newest source of each governor. last_seen: {node key: (address, ms)}.

        A host name is kept: it outlives the address that it has today.
        """
        moved = {}
        for governor in governors:
            known = self._by_name.get(governor.name, "")
            if governor.node_key in last_seen and (not known or inet.is_numeric(known)):
                moved[governor.name] = last_seen[governor.node_key][0]
        self.set(moved)

    def of(self, governors: Iterable[PublicIdentity]) -> dict[bytes, str]:
        """{node key: "host:port", numeric} of the governors with a known address."""
        found = {}
        for governor in governors:
            address = self.resolve(self._by_name.get(governor.name, ""))
            if address:
                found[governor.node_key] = address
        return found

    def resolve(self, address: str, is_trusted: bool = True) -> str:
        """The address with a numeric host; "" if it is not known now: ask again later.

        Never waits for a name server. is_trusted: False for an address that a stranger may have
        chosen, whose look-ups are limited.
        """
        if not address or inet.is_numeric(address):
            return address
        host, port = inet.split(address)
        resolver = self._resolver if is_trusted else self._resolver_for_strangers
        found = resolver.resolve(host)
        return inet.join(found, port) if found else ""


def _read(path: Path) -> dict[str, str]:
    try:
        found = textfile.read_toml(path)
        for name, address in found.items():
            if not isinstance(address, str):
                raise BadAddresses(f'{path}: {name} must be "host:port"')
            target.check_address(address)
    except FileNotFoundError:
        return {}
    except BadText as error:
        raise BadAddresses(str(error)) from None
    except UsageError as error:
        raise BadAddresses(f"{path}: {error}") from None
    return found
