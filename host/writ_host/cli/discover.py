"""`writ discover`: the nodes that answer on the local network."""

from pathlib import Path

import click

from writ.errors import Rejection

from ..errors import HostError
from ..node import lansearch
from ..node import status as nodestatus
from ..node.client import NodeClient
from ..node.lansearch import Found
from ..target import Target
from .call import open_client
from .options import node_option, scope_option
from .output import Output, command

# A device needs some seconds for a handshake.
_VERIFY_TIMEOUT_S = 15.0


@command()
@node_option
@scope_option
@click.option("--verify", is_flag=True, help="Call each node of this node's scope, to verify it.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0.1, 600),
    default=lansearch.SEARCH_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for answers. Nodes answer within 5 s.",
)
def discover(out: Output, node: Path, scope: Path, verify: bool, wait_s: float) -> None:
    """List the nodes that answer a multicast search on the local network.

    What answers is not verified: scope and node id are claims that anyone may make. With --verify
    this node calls each address that claims its scope, and the handshake shows which member
    answers. Nodes of another scope cannot be verified from here.
    """
    own = _own_scope(node) if verify else None
    found = lansearch.search(wait_s)
    documents = [_unverified(one) for one in found]
    if verify and any(one.scope == own for one in found):
        with open_client(node, scope, out) as client:
            for one, document in zip(found, documents, strict=True):
                if one.scope == own:
                    document.update(_verified(client, one.address))
    rows = [
        [str(one["address"]), str(one["scope"] or ""), str(one["node_id"] or ""), _status(one)]
        for one in documents
    ]
    out.table(["ADDRESS", "SCOPE", "NODE ID", "STATUS"], rows)
    if not found:
        out.note("no node answered: it may be on another network, or not discoverable")
    elif not verify:
        out.note("nothing here is verified: scope and node id are claims; see --verify")
    out.json({"nodes": documents})


def _own_scope(node: Path) -> str | None:
    scope = nodestatus.read_folder_status(node).scope_id
    return scope.hex() if scope else None


def _unverified(found: Found) -> dict[str, object]:
    return {
        "address": found.address,
        "scope": found.scope,
        "node_id": found.node_id,
        "verified": False,
        "name": None,
        "problem": None,
    }


def _verified(client: NodeClient, address: str) -> dict[str, object]:
    """What a call shows of the node at an address."""
    try:
        peer = client.call(Target(None, address, "writ/beacon"), timeout_s=_VERIFY_TIMEOUT_S).peer
    except (HostError, Rejection) as error:
        return {"problem": str(error) or type(error).__name__}
    return {"verified": True, "name": peer.name, "node_id": peer.node_id.hex()}


def _status(document: dict[str, object]) -> str:
    if document["verified"]:
        return f"verified: {document['name']}"
    return f"unverified: {document['problem']}" if document["problem"] else "unverified"
