"""The folder of a node on a host: its lock, and the agent that runs on it.

The folder is a device's (config.json and the records of writ.authority.store); `book.toml` and
`seen.json` (addressbook.py) are added by hosts. Two processes on one folder would use AEAD nonces
twice, so a lock keeps the second one out.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from writ import agent, compat
from writ.authority.store import FileFlash, Store

from .. import files, inet
from ..errors import NodeInUse
from . import addressbook, asleep, behind
from . import config as nodeconfig
from .airtimekeeper import AirtimeKeeper
from .behind import Behind
from .lansearch import search
from .meshmetrics import FrameCounts
from .meshroutes import MeshRoutes
from .proxy import MeshProxy
from .routekeeper import RouteKeeper
from .udplink import HostUdpLink


class HostNode(agent.Node):
    """An agent that remembers the epoch each peer last announced: `peer_epochs`, by node id."""

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        self.peer_epochs: dict[bytes, int] = {}
        self.undiscoverable = ""
        self.link: Any
        self.frames: Any = None  # the `FrameLinks` of a node that has some, once it is open
        self.tunnels = Behind(self)
        self.proxy: MeshProxy | None = None  # of a gateway, as the routes
        self._routes: MeshRoutes | None = None
        self.frame_counts: FrameCounts | None = None
        self._keeper: RouteKeeper | None = None
        self._airtime: AirtimeKeeper | None = None
        super().__init__(store, config)

    def open_link(self) -> HostUdpLink:
        """As the agent does; answers leave from the address that was asked."""
        return HostUdpLink(self._listen)

    def open(self) -> None:
        """As the agent does; receives requests to groups, and passes requests on to its mesh."""
        if self.link is None:
            super().open()
            self.join_groups()
            self._timeout_of = self.exchanges.timeout_of
            self.exchanges.timeout_of = self._first_timeout_ms
            if self.frames:
                self.frame_counts = FrameCounts(self.frames.mesh)
            if self.frames and self.config.get("mesh_gateway"):
                self.proxy = proxy = MeshProxy(self, self.frames)
                self.server.proxy = proxy.serve
                report: Any = self.mesh_report
                self.mesh_report = lambda now_ms: {**report(now_ms), **proxy.report(now_ms)}
                self._routes = MeshRoutes(self.frames.mesh, self.sleepers)
                self.on_neighbours = self._routes.report
                self._lan += [proxy, self._routes]

    def keep(self, folder: Path) -> None:
        """Go on with the airtime and, as a gateway, the ways of the folder; keep both there."""
        if self.frames:
            self._airtime = airtime = AirtimeKeeper(self.frames.mesh.outbox.budgets, folder)
            airtime.restore(int(self.clock.now_ms()))
            self._lan.append(airtime)
            report: Any = self.mesh_report
            self.mesh_report = lambda now_ms: {
                **report(now_ms),
                "airtime_s": airtime.known_s(now_ms),
            }
        if self._routes:
            self._keeper = RouteKeeper(self, self._routes, folder)
            self._keeper.restore(int(self.clock.now_ms()))
            self._lan.append(self._keeper)

    def save(self) -> None:
        """Write airtime and ways to the folder, at a clean end."""
        if self._airtime:
            self._airtime.save(int(self.clock.now_ms()))
        if self._keeper:
            self._keeper.save()

    @property
    def airtime_problem(self) -> str:
        """Why the airtime is not read or written, else ""."""
        return self._airtime.problem if self._airtime else ""

    @property
    def ways_problem(self) -> str:
        """Why the ways are not read or written, else ""."""
        return self._keeper.problem if self._keeper else ""

    def _first_timeout_ms(self, address: str) -> int | None:
        if behind.is_behind(address):
            return behind.TIMEOUT_MS
        found = self._timeout_of(address) if self._timeout_of else None
        if found is None or not address.startswith("mesh:"):
            return found
        target = int(address[5:9], 16)
        sleep = asleep.known(self, self.frames.mesh, target, int(self.now_ms))
        # a child that has just joined says how long it sleeps to its parent, and reports later
        return found + 1000 * sleep.sleep_s if sleep and target not in self.sleepers else found

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[str, bytes]]:
        """As the core does; notes which gateways answer."""
        self.tunnels.silent.discard(source)
        out: list[tuple[str, bytes]] = super().receive(datagram, source, now_ms)
        return out

    def send(self, datagrams: list[tuple[str, bytes]]) -> None:
        """As the agent does; those for nodes behind a mesh go to its gateway."""
        for address, data in datagrams:
            if behind.is_behind(address):
                self.send(self.tunnels.wrap(address, data))
            else:
                now_ms = int(self.now_ms)
                source = self.proxy.sending(address, data, now_ms) if self.proxy else None
                if self._routes:
                    self._routes.sending(address, data, now_ms)
                if source is None:
                    super().send([(address, data)])
                else:
                    self.frames.mesh.send(address, data, now_ms, source)

    def address_of(self, node_id: bytes) -> str | None:
        """As the core does; for a node in the own mesh, as soon as there is a way to it."""
        found: str | None = super().address_of(node_id)
        if found is None and self.frames and (member := self.authority.peer(node_id)):
            mesh = self.frames.mesh
            near = [one.address for one in mesh.neighbours if one.is_mutual]
            is_near = member.address in near or (
                self._routes is not None and self._routes.is_near(member.address)
            )
            if is_near or member.address in mesh.routes:
                return f"mesh:{member.address:04x}"
        return found

    def mesh_address(self, name: str) -> tuple[str, bytes] | None:
        """(address in the own mesh, node id) of the member with this name, or None."""
        member = self.authority.peer_by(name=name) if self.frames else None
        if member is None:
            return None
        address = self.address_of(member.node_id) or ""
        is_own = address.startswith("mesh:") and not behind.is_behind(address)
        return (address, bytes(member.node_id)) if is_own else None

    def join_groups(self) -> None:
        """Receive requests to all CoAP nodes, on interfaces that have come since, too.

        `undiscoverable`: why that is impossible, else "".
        """
        if not self.config.get("discoverable"):
            return
        try:
            self.link.join_groups()
            self.undiscoverable = ""
        except OSError as error:
            self.undiscoverable = error.strerror or str(error)

    @property
    def operations(self) -> list[Any]:
        """The operations under way at host peers (writ.node.operation)."""
        found: list[Any] = self._delegate_state[1]
        return found

    def notice(self, session: Any, epoch: int, now_ms: int) -> list[tuple[str, bytes]]:
        """As the core does; an authentic message announced the peer's epoch."""
        self.peer_epochs[session.peer.node_id] = epoch
        out: list[tuple[str, bytes]] = super().notice(session, epoch, now_ms)
        return out


class FolderLock:
    """The exclusive use of a node's folder, until `release` or the end of the process.

    Raises `NodeInUse` if another process holds it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = compat.lock_folder(str(path))
        except BlockingIOError:
            raise NodeInUse(f"{path} is in use by {_holder(path)}") from None
        self._file.write(f" ({' '.join(_command())})".encode()[:180])
        self._file.flush()

    def release(self) -> None:
        """Unlock the folder."""
        self._file.close()


def _holder(path: Path) -> str:
    with compat.open_private(str(path / "lock"), "rb") as file:
        return file.read(200).decode("utf-8", "replace") or "another process"


def _command() -> list[str]:
    # only the verbs: later arguments may be a payload
    return [Path(sys.argv[0]).name, *[word for word in sys.argv[1:3] if word.isalpha()]]


class NodeFolder:
    """A node's folder, open and locked. Use as a context manager.

    listen: the address of the agent's socket; None for a node that only calls: it uses a free
    port, contacts no gateway by itself, does not renew its membership and answers no
    search. make: the class of the agent. node: the agent. Raises `NodeInUse`, `NoNode`,
    `BadConfig`.
    """

    def __init__(
        self,
        path: Path,
        listen: str | None = None,
        make: Callable[[Store, dict[str, Any]], HostNode] = HostNode,
    ) -> None:
        self.path = path
        self.config = nodeconfig.read(path)
        named = [
            address if address == nodeconfig.DISCOVER else nodeconfig.check_numeric(address)
            for address in self.config.get("gateways", [])
        ]
        self._gateways = [address for address in named if address != nodeconfig.DISCOVER]
        # an agent that listens searches by itself
        self._is_searching = listen is None and nodeconfig.DISCOVER in named
        self._lock = FolderLock(path)
        try:
            config = {**self.config, "listen": listen or inet.any_address()}
            config["gateways"] = list(named)
            if "governors" in config:
                config["governors"] = [*map(nodeconfig.check_numeric, config["governors"])]
            config.setdefault("discoverable", not inet.is_loopback(config["listen"]))
            if listen is None:
                config["gateways"] = []
                config["renew_days"] = 0
                config["discoverable"] = False
            self.node = make(Store(FileFlash(str(path))), config)
            self._restore_addresses()
            with files.naming(Path(config["listen"])):
                self.node.open()
            self.node.keep(path)
        except BaseException:
            self._lock.release()
            raise

    @property
    def gateways(self) -> list[str]:
        """The gateways of config.json, and those that were found on the network if it says so.

        A node that only calls looks for them at the first use, and waits for the first answer, at
        most `lansearch.SEARCH_S`. An address is a hint.
        """
        live: list[str] = self.node.config["gateways"]
        if live:
            return live
        if self._is_searching:
            self._is_searching = False
            scope = self.node.authority.scope
            with contextlib.suppress(OSError):
                found = search(scope=scope.hex() if scope else None, is_enough=bool)
                self._gateways += [one.address for one in found]
        return self._gateways

    def __enter__(self) -> "NodeFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Keep airtime and ways, close the socket and unlock the folder."""
        self.node.save()
        if self.node.link:
            self.node.link.close()
        self._lock.release()

    def _restore_addresses(self) -> None:
        # Flash keeps sessions but no addresses. An old address is a guess that is safe: a wrong
        # peer cannot answer in the session.
        for session in self.node.sessions:
            seen = addressbook.read_last_seen(self.path).get(session.peer.name)
            if seen and seen.node_id == session.peer.node_id:
                session.address = seen.address
