"""The folder of a node on a host: its lock, and the agent that runs on it.

The folder is a device's (config.json and the records of writ.authority.store); `book.toml` and
`seen.json` (addressbook.py) are added by hosts. Two processes on one folder would use AEAD nonces
twice, so a lock keeps the second one out.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from writ import agent, compat
from writ.authority.store import FileFlash, Store

from .. import files
from ..errors import NodeInUse
from . import addressbook
from . import config as nodeconfig


class HostNode(agent.Node):
    """An agent that remembers the epoch each peer last announced: `peer_epochs`, by node id."""

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        self.peer_epochs: dict[bytes, int] = {}
        super().__init__(store, config)

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
    port, contacts no gateway by itself and does not renew its membership. make: the class of the
    agent. node: the agent; gateways: "host:port" each. Raises `NodeInUse`, `NoNode`, `BadConfig`.
    """

    def __init__(
        self,
        path: Path,
        listen: str | None = None,
        make: Callable[[Store, dict[str, Any]], HostNode] = HostNode,
    ) -> None:
        self.path = path
        self.config = nodeconfig.read(path)
        self.gateways: list[str] = self.config.get("gateways", [])
        self._lock = FolderLock(path)
        try:
            config = {**self.config, "listen": listen or "0.0.0.0:0"}
            if listen is None:
                config["gateways"] = []
                config["renew_days"] = 0
            self.node = make(Store(FileFlash(str(path))), config)
            self._restore_addresses()
            with files.naming(Path(config["listen"])):
                self.node.open()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "NodeFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket and unlock the folder."""
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
