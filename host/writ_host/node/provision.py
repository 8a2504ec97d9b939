"""Provisioning of a node's folder: its config.json, its key, and the capsules that it is given.

`writ.agent.Node.load` reads the folder, whose records are the store of the device core.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.store import FileFlash, Store
from writ.compat import Clock
from writ.errors import AlreadyKnown, RolledBack
from writ.node.statement import member_request
from writ.startup import load_key

from .. import files
from ..errors import HostError
from . import config as nodeconfig
from .folder import FolderLock

# A node that has a newer one of these kinds needs no older one.
_SUPERSEDED = (capsules.POLICY, capsules.SUCCESSION, capsules.BEACON)


def make_node(
    directory: Path,
    name: str | None,
    scope: bytes | None = None,
    listen: str | None = None,
    gateways: Sequence[str] = (),
    governors: Sequence[str] = (),
) -> bytes:
    """Make or complete the folder; the node's request for membership (bytes).

    The first call makes the key, which is never replaced. Raises `HostError` if the folder belongs
    to a node of another name or scope.
    """
    has_config = files.exists(directory / nodeconfig.NAME)
    config = nodeconfig.read(directory, of_chip=True) if has_config else {}
    config = settings(config, str(directory), name, scope, listen, gateways, governors)
    files.make_folder(directory, 0o700)
    write_config(directory, config)
    private = load_key(Store(FileFlash(str(directory))))
    request: bytes = member_request(private, config["name"])
    return request


def settings(
    config: Mapping[str, Any],
    where: str,
    name: str | None,
    scope: bytes | None = None,
    listen: str | None = None,
    gateways: Sequence[str] = (),
    governors: Sequence[str] = (),
) -> dict[str, Any]:
    """A node's config.json, made from `config` (empty for a new node) and what is given.

    where: its folder or file, in errors. Raises `HostError` for another name or scope than that of
    `config`, and for a bad address.
    """
    config = dict(config)
    known = config.get("name")
    if name is None and known is None:
        raise HostError("a new node needs a name", "Give --name NAME.")
    if name is not None and known not in (None, name):
        raise HostError(f"{where} belongs to the node {known}", "Omit --name, or use another one.")
    if scope is not None:
        _check_scope(where, config, scope)
    config["name"] = capsules.check_name(name or known)
    if scope is not None:
        config["scope"] = scope.hex()
    if listen or "listen" not in config:
        config["listen"] = listen or "0.0.0.0:5683"
        nodeconfig.check_listen(config["listen"])
    for key, addresses in (("gateways", gateways), ("governors", governors)):
        if addresses:
            config[key] = [
                address
                if key == "gateways" and address == nodeconfig.DISCOVER
                else nodeconfig.check_numeric(address)
                for address in addresses
            ]
    return config


def _check_scope(where: object, config: Mapping[str, Any], scope: bytes) -> None:
    if config.get("scope") not in (None, scope.hex()):
        raise HostError(
            f"{where} trusts scope {config['scope']}, not {scope.hex()}",
            "A node cannot change its scope: use another folder.",
        )


def write_config(directory: Path, config: dict[str, Any]) -> None:
    """Replace config.json, which may hold OSCORE secrets."""
    text = json.dumps(config, indent=2) + "\n"
    files.write_atomically(directory / "config.json", text.encode())


def check_install(directory: Path, scope: bytes, node_id: bytes) -> None:
    """Check, before a certification, that `install` can follow it.

    scope: the scope's id; node_id: of the new member. Raises `HostError`: there is no such folder,
    it cannot be written, it belongs to another node or scope, or its node runs (`NodeInUse`).
    """
    config = nodeconfig.read(directory, of_chip=True)
    files.check_writable(directory)
    _check_scope(directory, config, scope)
    lock = FolderLock(directory)
    try:
        private = Store(FileFlash(str(directory))).load("key")
    finally:
        lock.release()
    own = bytes(capsules.node_id(crypto.p256_public(private)[0])) if private else b""
    if own != node_id:
        whose = f"belongs to the node {own.hex()}" if own else "has no key"
        raise HostError(
            f"{directory} {whose}; the request is of {node_id.hex()}",
            "Give the folder in which this request was made.",
        )


def install(directory: Path, raws: Iterable[bytes], scope: bytes) -> list[str]:
    """Put capsules into a node's folder, checked as the node does; returns the new ones' kinds.

    A node that is past the beginning of the chain refuses it as older than what it has: it knows
    that part. scope: the scope id to trust, if the node has none yet. Raises the `Rejection` of the
    first other capsule that the node refuses, or `NodeInUse` while the node runs.
    """
    config = nodeconfig.read(directory, of_chip=True)
    lock = FolderLock(directory)
    try:
        # the scope that the node trusts already is not replaced
        if config.get("scope"):
            scope = bytes.fromhex(config["scope"])
        else:
            write_config(directory, {**config, "scope": scope.hex()})
        store = Store(FileFlash(str(directory)))
        x, _ = crypto.p256_public(load_key(store))
        authority, clock = Authority(store, x, scope), Clock()
        taken = []
        for raw in raws:
            try:
                capsule = authority.receive(raw, clock.now_ms())
            except AlreadyKnown:
                continue
            except RolledBack:
                if capsules.parse(raw).kind not in _SUPERSEDED:
                    raise
                continue
            taken.append(capsules.KIND_NAMES[capsule.kind])
        return taken
    finally:
        lock.release()
