"""The option and the output of commands that deliver capsules, and `writ member deliver`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import UnknownNode
from ..node import addressbook, provision
from ..scope.delivery import ALL, Delivery, Outcome, deliver_to_all, find_targets, full_sender
from ..scope.folder import ScopeFolder
from ..target import check_address
from .boundary import REFUSED, UNREACHABLE
from .complete import delivery_targets, member_names
from .options import scope_option, timeout_option
from .output import Output, command
from .view import open_view

# What `finish` says, with the names or addresses of those without an answer.
AGAIN = "certified, but not delivered to {names}: run this again later with --deliver"
DELIVER_MEMBERS = "certified, but not delivered to {names}: run later  writ member deliver NAME"

_folder = click.Path(file_okay=False, path_type=Path)

deliver_option = click.option(
    "--deliver",
    "targets",
    multiple=True,
    metavar="TARGET",
    shell_complete=delivery_targets,
    help="Deliver to a NAME of book.toml, to HOST:PORT, or to `all` of book.toml; may be repeated.",
)


def deliver(
    out: Output,
    targets: Sequence[tuple[str, str]],
    send: Callable[[str, str], Sequence[Outcome]],
) -> list[Delivery]:
    """Deliver to each (name, address) by `send`, and show the answers."""
    if not targets:
        return []
    with out.progress("delivering", len(targets)) as bar:
        found = deliver_to_all(targets, send, lambda _: bar.advance())
    rows = [(one.name, one.address, one.text) for one in found]
    out.table(("node", "address", "answer"), rows, "delivered")
    return found


def not_yet(names: Sequence[str]) -> str:
    """The note on members that were certified and not delivered: it certifies nothing again."""
    name = names[0] if len(names) == 1 else "NAME"
    return (
        f"not delivered yet: run  writ member deliver {name} --deliver HOST:PORT  (or --out DIR for"
        " a node of this machine)"
    )


def documents(found: Sequence[Delivery]) -> list[dict[str, Any]]:
    """The deliveries for --json."""
    return [
        {
            "name": one.name,
            "address": one.address,
            "ok": one.is_good,
            "error": one.error or None,
            "capsules": [
                {
                    "what": outcome.label,
                    "state": outcome.state,
                    "reason": outcome.reason.__name__ if outcome.reason else None,
                }
                for outcome in one.outcomes
            ],
        }
        for one in found
    ]


def finish(out: Output, found: Sequence[Delivery], warning: str = AGAIN) -> None:
    """Exit with a code for failed deliveries; the certified capsules stay in the folder."""
    failed = [one for one in found if not one.is_good]
    if not failed:
        return
    out.warn(warning.format(names=", ".join(one.name for one in failed)))
    is_unreachable = all(one.is_unreachable for one in failed)
    click.get_current_context().exit(UNREACHABLE if is_unreachable else REFUSED)


def remember(folder: ScopeFolder, found: Sequence[Delivery]) -> None:
    """Keep the addresses at which members have taken their capsules in the scope's book.toml."""
    for one in found:
        if one.is_good:
            addressbook.write(folder.path, one.name, one.address)


@command(name="deliver")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=member_names)
@click.option("--deliver", "address", metavar="HOST:PORT", help="The address; with one NAME.")
@click.option("--out", "node", type=_folder, help="Install in this node's folder; with one NAME.")
@scope_option
@timeout_option
def deliver_members(
    out: Output,
    names: tuple[str, ...],
    address: str | None,
    node: Path | None,
    scope: Path,
    timeout_s: float,
) -> None:
    """Deliver to members what they need: charter, policy, their certificates and the beacon.

    NAME is a name, or `all` of book.toml. Nothing is certified. The address of a member is that of
    book.toml, or of --deliver, which is then kept in book.toml.
    """
    if (address or node) and (len(names) > 1 or ALL in names):
        raise click.UsageError("--deliver and --out go with one NAME")
    folder = open_view(scope).folder
    for name in names:
        if name != ALL and folder.members.find(name) is None:
            raise UnknownNode(f"no member is called {name}", "See the members: writ member list.")
    installed: list[str] = []
    if node is not None:
        member = folder.members.find(names[0])
        installed = provision.install(node, folder.capsules(member), folder.charter.scope)
        out.ok(f"installed in {node}: {', '.join(installed) or 'nothing new'}")
    goals = [] if node and not address else _goals(folder, names, address)
    done = deliver(out, goals, full_sender(folder, timeout_s))
    remember(folder, done)
    out.json({"delivered": documents(done), "installed": installed})
    finish(out, done, "not delivered to {names}: run this again later")


def _goals(folder: ScopeFolder, names: Sequence[str], address: str | None) -> list[tuple[str, str]]:
    """[(name, "host:port")] of members. Raises `UnknownNode` for one without an address."""
    if address:
        return [(names[0], check_address(address))]
    try:
        return find_targets(folder, names)
    except UnknownNode as error:
        raise UnknownNode(str(error), f"Give --deliver HOST:PORT. {error.advice}") from None
