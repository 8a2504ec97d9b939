"""A node's folder for a PC or a Raspberry Pi: its config.json, its key, and what it is handed.

The folder is the one that `writ.agent.Node.load` reads; its records are the core's own store.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from writ import crypto
from writ.agent import load_key
from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.compat import Clock
from writ.errors import AlreadyKnown
from writ.node.statement import member_request

from .. import files, target
from ..errors import HostError
from . import config as nodeconfig
from .folder import FolderLock, PrivateFlash


def make_node(
    directory: Path,
    name: str | None,
    scope: bytes | None = None,
    listen: str | None = None,
    gateways: Sequence[str] = (),
) -> bytes:
    """Make the folder, or complete it, and give its request for membership (bytes).

    The key is made on the first call and never replaced. Raises `HostError` where the folder
    belongs to another name or scope.
    """
    has_config = (directory / nodeconfig.NAME).exists()
    config = nodeconfig.read(directory) if has_config else {}
    known = config.get("name")
    if name is None and known is None:
        raise HostError("a new node needs a name", "Give --name NAME.")
    if name is not None and known not in (None, name):
        raise HostError(f"{directory} is the node {known}", "Leave --name out, or use another DIR.")
    if scope is not None and config.get("scope") not in (None, scope.hex()):
        raise HostError(
            f"{directory} trusts scope {config['scope']}, not {scope.hex()}",
            "A node keeps its scope: use another folder for another scope.",
        )
    config["name"] = capsules.check_name(name or known)
    if scope is not None:
        config["scope"] = scope.hex()
    if listen or "listen" not in config:
        config["listen"] = listen or "0.0.0.0:5683"
        nodeconfig.check_listen(config["listen"])
    if gateways:
        config["gateways"] = [target.check_address(address) for address in gateways]
    directory.mkdir(parents=True, exist_ok=True)
    write_config(directory, config)
    private = load_key(Store(PrivateFlash(str(directory))))
    request: bytes = member_request(private, config["name"])
    return request


def write_config(directory: Path, config: dict[str, Any]) -> None:
    """Replace config.json."""
    text = json.dumps(config, indent=2) + "\n"
    files.write_atomically(directory / "config.json", text.encode(), 0o644)


def install(directory: Path, raws: Iterable[bytes], scope: bytes) -> list[str]:
    """Put capsules into a node's folder through the node's own checks; the kinds that were new.

    scope: whom a node trusts that was not told yet.

    Raises the `Rejection` of the first that the node refuses, or `NodeInUse` while it runs.
    """
    config = nodeconfig.read(directory)
    lock = FolderLock(directory)
    try:
        # whom the node was told to trust stands above whoever hands something over
        if config.get("scope"):
            scope = bytes.fromhex(config["scope"])
        else:
            write_config(directory, {**config, "scope": scope.hex()})
        store = Store(PrivateFlash(str(directory)))
        x, _ = crypto.p256_public(load_key(store))
        authority, clock = Authority(store, x, scope), Clock()
        taken = []
        for raw in raws:
            try:
                capsule = authority.receive(raw, clock.now_ms())
            except AlreadyKnown:
                continue
            taken.append(capsules.KIND_NAMES[capsule.kind])
        return taken
    finally:
        lock.release()
