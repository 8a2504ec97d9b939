"""The option and the output of commands that deliver capsules to nodes."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from ..scope.delivery import Delivery, Outcome, deliver_to_all
from .boundary import REFUSED, UNREACHABLE
from .complete import delivery_targets
from .output import Output

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


def finish(out: Output, found: Sequence[Delivery]) -> None:
    """Exit with a code for failed deliveries; the certified capsules stay in the folder."""
    failed = [one for one in found if not one.is_good]
    if not failed:
        return
    names = ", ".join(one.name for one in failed)
    out.warn(f"certified, but not delivered to {names}: run this again later with --deliver")
    is_unreachable = all(one.is_unreachable for one in failed)
    click.get_current_context().exit(UNREACHABLE if is_unreachable else REFUSED)
