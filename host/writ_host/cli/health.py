"""`writ ping NODE` and `writ status [NODE]`: reachability and status of one node or all."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .. import humanize
from ..errors import Malformed, NotReachable
from ..node import denial, meshstatus
from ..node import status as nodestatus
from ..node.client import GET, NodeClient, Reply
from ..scope.folder import ScopeFolder
from ..target import Target, parse
from . import memberstatus
from .call import open_client
from .complete import node_names
from .options import node_option, scope_option, timeout_option
from .output import Output, command, plain

_target = click.argument("target", metavar="NODE", shell_complete=node_names)


@command()
@_target
@node_option
@scope_option
@timeout_option
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="The number of requests.",
)
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="The pause between two requests.",
)
def ping(
    out: Output,
    target: str,
    node: Path,
    scope: Path,
    timeout_s: float,
    count: int,
    interval_s: float,
) -> None:
    """Measure how fast a node answers, and show its policy epoch.

    NODE is a name, or coap://HOST:PORT. The time of the first answer may include a handshake.
    """
    goal = parse(target, with_path=False)
    target_path = Target(goal.name, goal.address, "writ/beacon")
    took_ms = []
    with open_client(node, scope, out) as client:
        for number in range(count):
            if number:
                time.sleep(interval_s)
            try:
                reply = client.call(target_path, GET, b"", timeout_s)
            except NotReachable as error:
                out.event({"node": str(goal), "ms": None}, str(error))
                continue
            took_ms.append(reply.took_ms)
            _print_answer(out, client, reply)
    if not took_ms:
        tried = "" if count == 1 else f" {count} requests"
        raise NotReachable(f"{goal} did not answer{tried}")
    if count > 1:
        times = f"{min(took_ms):.0f}/{sum(took_ms) / len(took_ms):.0f}/{max(took_ms):.0f}"
        out.line(f"{len(took_ms)} of {count} answered; {times} ms min/mean/max")


def _print_answer(out: Output, client: NodeClient, reply: Reply) -> None:
    own = client.node.authority.epoch
    known = {True: ", as here", False: f" (here: {own})"}[reply.epoch == own]
    epoch = f"epoch {reply.epoch}{known}" if reply.epoch else "epoch unknown"
    event = {
        "node": reply.peer.name,
        "address": reply.address,
        "ms": round(reply.took_ms, 1),
        "epoch": reply.epoch,
        "own_epoch": own,
    }
    out.event(
        event, f"{reply.peer.name} at {reply.address} answered in {reply.took_ms:.0f} ms, {epoch}"
    )


@command()
@click.argument("target", metavar="[NODE]", required=False, shell_complete=node_names)
@node_option
@scope_option
@timeout_option
@click.option("--offline", is_flag=True, help="Without NODE: ask no member.")
@click.option(
    "--mesh/--no-mesh",
    "asks_mesh",
    default=True,
    help="Without NODE: whether members behind a mesh are asked, which costs airtime.",
)
def status(
    out: Output,
    target: str | None,
    node: Path,
    scope: Path,
    timeout_s: float,
    offline: bool,
    asks_mesh: bool,
) -> None:
    """Show the status of NODE; without NODE, that of this node's folder and of all members.

    Members are those of the scope's folder, of the address books, and those that have answered
    before. They are asked at the same time, and each has the time of --timeout.
    """
    if target is None:
        source = click.get_current_context().get_parameter_source("timeout_s")
        is_default = source in (None, ParameterSource.DEFAULT)
        asking = memberstatus.Asking(timeout_s, not is_default, offline, asks_mesh)
        _show_all(out, node, scope, asking)
        return
    if offline or not asks_mesh:
        raise click.UsageError("--offline and --no-mesh go without NODE")
    goal = parse(target, with_path=False)
    target_path = Target(goal.name, goal.address, "writ/status")
    with open_client(node, scope, out) as client:
        reply = client.call(target_path, GET, b"", timeout_s)
        if not reply.is_success:
            raise denial.refusal(client, target_path, reply, GET)
        own = client.node.authority.epoch
    document = humanize.as_cbor(reply.payload)
    if not isinstance(document, dict):
        raise Malformed(
            f"{goal}: the status is not a CBOR map", "The node may run another version of Writ."
        )
    out.fields({"address": reply.address, **nodestatus.describe_status(document, own)})
    mesh = document.get("mesh")
    if isinstance(mesh, dict):
        names = _short_addresses(scope)
        _show_mesh(out, mesh, names, document.get("uptime_s"))
        document["mesh"] = meshstatus.document(mesh, names)
    out.json({**document, "address": reply.address, "ms": round(reply.took_ms, 1)})


def _show_all(out: Output, node: Path, scope: Path, asking: memberstatus.Asking) -> None:
    own = nodestatus.read_folder_status(node)
    out.fields(nodestatus.describe_folder(own))
    members = memberstatus.Members(node, scope, own)
    members.ask(out, asking)
    documents = members.documents()
    if len(documents) > 1:
        out.table(memberstatus.COLUMNS, memberstatus.rows(documents), "members")
        out.line(memberstatus.summary(documents))
        if members.view:
            members.view.say(out)
    out.json({**plain(own), "members": documents})


def _short_addresses(scope: Path) -> dict[int, str]:
    folder = ScopeFolder.find(scope)
    return {one.address: one.name for one in folder.members.all()} if folder else {}


def _show_mesh(
    out: Output, mesh: dict[str, Any], names: Mapping[int, str], uptime_s: object
) -> None:
    out.fields(meshstatus.describe_mesh(mesh, names, uptime_s))
    if classes := meshstatus.class_rows(mesh):
        out.table(meshstatus.CLASS_COLUMNS, classes, "airtime by class")
    if neighbours := meshstatus.neighbour_rows(mesh, names):
        out.table(meshstatus.NEIGHBOUR_COLUMNS, neighbours, "neighbours")
    if sleepers := meshstatus.sleeper_rows(mesh, names):
        out.table(meshstatus.SLEEPER_COLUMNS, sleepers, "nodes that sleep")
