"""`writ node run`: this machine as a node, the same agent as on a device."""

from pathlib import Path
from typing import Any, cast

import click

from writ.authority.store import Store

from ..node import config as nodeconfig
from ..node import sensors
from ..node.agent import ReportingNode
from ..node.folder import NodeFolder
from ..target import check_address
from .output import Output, command


@click.group()
def group() -> None:
    """Run this machine as a node."""


@command(group)
@click.argument(
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_NODE",
    default=Path("."),
)
@click.option("--listen", metavar="HOST:PORT", help="Instead of config.json's, or 0.0.0.0:5683.")
@click.option(
    "--serve",
    metavar="NAME,...",
    help=f"Of {', '.join(sensors.SENSORS)}: all that this machine has, unless told; none.",
)
def run(out: Output, directory: Path, listen: str | None, serve: str | None) -> None:
    """Run the node in DIR until SIGTERM or Ctrl-C. Who may read its sensors, the policy says."""
    names = _sensors(serve)
    if listen:
        check_address(listen)
    listen = listen or nodeconfig.read(directory).get("listen", "0.0.0.0:5683")

    def tell(facts: dict[str, object], text: str) -> None:
        out.event(facts, f"{facts['time']}  {text}")

    def make(store: Store, config: dict[str, Any]) -> ReportingNode:
        return ReportingNode(store, config, tell)

    with NodeFolder(directory, listen=listen, make=make) as folder:
        node = cast(ReportingNode, folder.node)
        node.serve(names)
        _report_start(node, listen, names)
        node.serve_until_signalled()
        node.report("stopped", "stopped")


def _sensors(serve: str | None) -> list[str]:
    if serve is None:
        return sensors.available()
    if serve == "none":
        return []
    return sensors.choose(name.strip() for name in serve.split(",") if name.strip())


def _report_start(node: ReportingNode, listen: str, names: list[str]) -> None:
    authority = node.authority
    node.report(
        "started",
        f"{node.name} listens at {listen} and serves {', '.join(names) or 'nothing'}",
        name=node.name,
        listen=listen,
        serves=names,
        epoch=authority.epoch,
    )
    if authority.me is None or authority.charter is None:
        node.report("waiting", "not a member yet: it waits for its capsules (writ member admit)")
    else:
        node.report(
            "member",
            f"member of {authority.charter.name}, policy epoch {authority.epoch}",
            scope=authority.charter.name,
            node=authority.me.node_id,
        )
