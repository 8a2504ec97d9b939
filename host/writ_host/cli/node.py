"""`writ node`: runs this machine as a node, with the same agent as a device; links of a node."""

from pathlib import Path
from typing import Any, cast

import click

from writ import crypto
from writ.authority.capsule import node_id
from writ.authority.store import Store

from .. import service
from ..node import config as nodeconfig
from ..node import links, sensors
from ..node.agent import ReportingNode
from ..node.folder import NodeFolder
from ..target import check_address
from .nodelink import link
from .options import node_argument
from .output import Output, command


@click.group()
def group() -> None:
    """Run this machine as a node, and set the links of a node."""


group.add_command(link)


@command(group)
@node_argument
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="The address to listen at. Default: `listen` of config.json, or 0.0.0.0:5683.",
)
@click.option(
    "--serve",
    metavar="NAME,...",
    help=f"Comma-separated sensors to serve, of {', '.join(sensors.SENSORS)}. Default: all"
    " available; `none` serves none.",
)
@click.option(
    "--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics over HTTP. Default: none."
)
def run(
    out: Output, directory: Path, listen: str | None, serve: str | None, metrics: str | None
) -> None:
    """Run the node in DIR until SIGTERM or Ctrl-C. The policy decides who may read its sensors."""
    names = _sensors(serve)
    for address in filter(None, (listen, metrics)):
        check_address(address)
    listen = listen or nodeconfig.read(directory).get("listen", "0.0.0.0:5683")

    def log(facts: dict[str, object], text: str) -> None:
        out.event(facts, f"{facts['time']}  {text}")

    def make(store: Store, config: dict[str, Any]) -> ReportingNode:
        return ReportingNode(store, config, log)

    with NodeFolder(directory, listen=listen, make=make) as folder:
        node = cast(ReportingNode, folder.node)
        node.serve(names)
        if metrics:
            node.serve_metrics(metrics)
        _report_start(node, listen, names)
        service.notify("READY=1")
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
    own_id = node_id(crypto.p256_public(node.private)[0])
    # a renamed member keeps its old name in config.json
    name = authority.me.name if authority.me else node.name
    node.report(
        "started",
        f"{name}, node id {own_id.hex()}, listens at {listen} and serves"
        f" {', '.join(names) or 'nothing'}",
        name=name,
        node_id=own_id,
        listen=listen,
        serves=names,
        epoch=authority.epoch,
    )
    if authority.me is None or authority.charter is None:
        node.report("waiting", "not a member yet: waiting for capsules (writ member admit)")
        # they are opened when the node is a member: until then nothing else says so
        for number, entry in enumerate(node.config.get("links", [])):
            if problem := links.port_problem(entry):
                text = f"link {number} will not work: {problem}"
                node.report("link", text, link=number, problem=problem)
    else:
        node.report(
            "member",
            f"member of {authority.charter.name}, policy epoch {authority.epoch}",
            scope=authority.charter.name,
            node_id=authority.me.node_id,
        )
