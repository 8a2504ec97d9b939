"""`writ bridge`: runs a member that publishes readings at an MQTT broker, and tests it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..bridge import settings as bridgesettings
from ..bridge.announce import encoded
from ..bridge.bridge import Bridge, open_folder
from ..bridge.check import CONNECT_S, check
from ..bridge.dryrun import DryRun, Shown
from ..errors import NotReachable
from ..node import config as nodeconfig
from ..service import stopped_by_signals
from ..target import check_address
from .options import node_argument, scope_option
from .output import Output, command, plain

# A node that is offline answers none of its reads, which take a minute and a half.
_DRY_RUN_S = 120.0


def _folder_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the bridge's folder, its file, and the scope's address book."""
    for option in (
        scope_option,
        click.option(
            "--file",
            "file",
            type=click.Path(dir_okay=False, path_type=Path),
            help=f"What is published, and where. Default: {bridgesettings.NAME} in DIR.",
        ),
        node_argument,
    ):
        function = option(function)
    return function


@click.group()
def group() -> None:
    """Publish readings of members at an MQTT broker, also for Home Assistant.

    A bridge is a member of its own: it reads what its roles allow. DIR is its node's folder, with
    bridge.toml (docs/bridge.md).
    """


@command(group)
@_folder_options
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="The address to listen at. Default: `listen` of config.json, or 0.0.0.0:5683.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve Prometheus metrics over HTTP. Default: `metrics` of bridge.toml.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Read each resource once and show what would be published; contact no broker.",
)
def run(
    out: Output,
    directory: Path,
    file: Path | None,
    scope: Path,
    listen: str | None,
    metrics: str | None,
    dry_run: bool,
) -> None:
    """Run the bridge in DIR until SIGTERM or Ctrl-C."""
    for address in (listen, metrics):
        if address:
            check_address(address)
    # before anything is opened: most mistakes are there
    settings = bridgesettings.read(file or directory / bridgesettings.NAME)
    if dry_run:
        _dry_run(out, directory, settings, (scope,))
        return

    def log(facts: dict[str, object], text: str) -> None:
        out.event({**facts, "text": text}, f"{facts['time']}  {text}")

    listen = listen or nodeconfig.read(directory).get("listen", "0.0.0.0:5683")
    with (
        open_folder(directory, settings, listen, log) as folder,
        Bridge(folder, settings, (scope,), metrics) as bridge,
        stopped_by_signals(bridge.stop),
    ):
        bridge.run()


def _dry_run(
    out: Output, directory: Path, settings: bridgesettings.Settings, books: tuple[Path, ...]
) -> None:
    with open_folder(directory, settings, None, lambda *_: None) as folder:
        dry = DryRun(folder, settings, books)
        for shown in dry.run(_DRY_RUN_S):
            _show(out, shown)
        unread = dry.unread
    if unread:
        raise NotReachable(f"no answer from {', '.join(unread)}")


def _show(out: Output, shown: Shown) -> None:
    if shown.problem:
        text = f"{shown.payload}: {shown.problem}"
        out.event({"reading": shown.payload, "problem": shown.problem}, text)
        return
    facts = {"topic": shown.topic, "payload": plain(shown.payload), "retain": shown.retain}
    payload = shown.payload
    if isinstance(payload, bytes):
        text = f"a capsule of {len(payload)} bytes"
    else:
        text = encoded(payload).decode() if isinstance(payload, dict) else str(payload)
    out.event(facts, f"{shown.topic}{' (retained)' if shown.retain else ''}  {text}")


@command(group, name="check")
@_folder_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=CONNECT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the broker.",
)
def check_command(
    out: Output, directory: Path, file: Path | None, scope: Path, timeout_s: float
) -> None:
    """Test bridge.toml in DIR, and whether the broker lets the bridge publish."""
    settings = bridgesettings.read(file or directory / bridgesettings.NAME)
    with open_folder(directory, settings, None, lambda *_: None) as folder:
        found = check(folder, settings, timeout_s)
    out.ok(f"{found.name} can publish at {found.broker}")
    out.fields(
        {
            "file": settings.path,
            "topics": f"writ/{found.scope.hex()}/",
            "readings": f"{found.readings} of {len(found.nodes)} nodes",
            "node id": found.node_id,
        }
    )
    if not found.is_member:
        out.warn(f"{found.name} is not a member yet: writ member admit {found.name} --out DIR")
    out.note(f"next: writ bridge run {directory} --dry-run")
    out.json(
        {
            "file": settings.path,
            "name": found.name,
            "node_id": found.node_id,
            "scope": found.scope,
            "member": found.is_member,
            "broker": found.broker,
            "readings": found.readings,
            "nodes": found.nodes,
        }
    )
