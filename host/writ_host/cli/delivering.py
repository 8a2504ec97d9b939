"""Options and output of commands that hand capsules to nodes."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from ..scope.delivery import Delivery, Outcome, deliver_to_all
from .boundary import REFUSED, UNREACHABLE
from .output import Output

deliver_option = click.option(
    "--deliver",
    multiple=True,
    metavar="WHERE",
    help="Hand it over to NAME, HOST:PORT, or all of book.toml; may be repeated.",
)


def deliver(
    out: Output,
    targets: Sequence[tuple[str, str]],
    give: Callable[[str, str], Sequence[Outcome]],
) -> list[Delivery]:
    """Hand over, and show what became of it."""
    if not targets:
        return []
    with out.progress("handing over", len(targets)) as bar:
        found = deliver_to_all(targets, give, lambda _: bar.advance())
    rows = [(one.name, one.address, one.text) for one in found]
    out.table(("node", "address", "answer"), rows, "handed over")
    return found


def documents(found: Sequence[Delivery]) -> list[dict[str, Any]]:
    """For --json."""
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
    """Leave with the exit code that the deliveries deserve; what was certified stays certified."""
    bad = [one for one in found if not one.is_good]
    if not bad:
        return
    names = ", ".join(one.name for one in bad)
    out.warn(f"certified and kept, but not handed over to {names}: try --deliver again later")
    unreachable = all(one.is_unreachable for one in bad)
    click.get_current_context().exit(UNREACHABLE if unreachable else REFUSED)
