"""`writ governor approve` and `writ governor deny`: an operator decides."""

from pathlib import Path

import click

from ..errors import Disagreement, HostError
from ..governor.client.connection import connect
from ..governor.client.summary import awaited, needs_operators
from ..governor.control import Document
from ..governor.proposals.proposal import OPEN
from . import defaults
from . import governorview as view
from .complete import pending_ids
from .options import yes_option
from .output import Output, command

reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="The reason: signed, and kept in the log."
)


def split_folder(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> tuple[Path, str]:
    """(the governor's folder, the other argument); the folder has a default (defaults.py)."""
    folder = defaults.governor() if len(given) == 1 else None
    if folder is not None:
        return folder, given[0]
    if len(given) != 2:
        message = f"give {param.metavar}; for a default of DIR: writ use, or WRIT_GOVERNOR"
        raise click.UsageError(message, ctx)
    return Path(given[0]), given[1]


what_argument = click.argument(
    "what",
    metavar="[DIR] ID",
    nargs=-1,
    required=True,
    callback=split_folder,
    type=str,
    shell_complete=pending_ids,
)


@command()
@what_argument
@reason_option
@yes_option
@click.option("--fingerprint", help="The fingerprint that you heard, in place of the question.")
def approve(
    out: Output, what: tuple[Path, str], reason: str, yes: bool, fingerprint: str | None
) -> None:
    """Approve a proposal or a ceremony.

    `pending` shows its ID; the first digits suffice. The approval is signed, logged, and final. You
    can approve a ceremony once its fingerprint is shown; --yes skips the comparison, and warns.
    """
    _decide(out, what, reason, yes, True, fingerprint)


@command()
@what_argument
@reason_option
@yes_option
def deny(out: Output, what: tuple[Path, str], reason: str, yes: bool) -> None:
    """Deny a proposal or a ceremony.

    `pending` shows its ID; the first digits suffice. The denial is signed, logged, and final.
    """
    _decide(out, what, reason, yes, False, None)


def _decide(
    out: Output, what: tuple[Path, str], reason: str, yes: bool, is_yes: bool, told: str | None
) -> None:
    directory, id = what
    with connect(directory) as client:
        found = client.ask("find", id=id)
        if found["what"] == "proposal" and found["state"] != OPEN:
            because = f" ({found['reason']})" if found["reason"] else ""
            raise HostError(
                f"{found['title']}: {found['state']} already{because}",
                f"Nothing is left to decide. See: writ governor log {directory}",
            )
        # without the command that approves, which the operator has just run
        for line in view.item(found, None):
            out.line(line)
        own, question = found.get("fingerprint") or "", _question(found, is_yes)
        if told is not None:
            if "".join(told.split()) != "".join(own.split()):
                raise Disagreement(f"the fingerprint here is {own or 'not known yet'}")
        elif own and is_yes:
            out.confirm_compared(question, "the fingerprint", own, yes)
        else:
            out.confirm(question, yes)
        decided = client.ask("decide", id=found["id"], yes=is_yes, reason=reason)
    word = "approved" if is_yes else "denied"
    out.ok(f"{word}: {found['title']}")
    for line in after(decided):
        out.note(line)
    out.json({"id": found["id"], "decided": word, **decided})


def after(found: Document) -> list[str]:
    """What a proposal or ceremony waits for once this operator has decided."""
    lines = [awaited({**found, "needs_decision": False}, None)]
    if found["what"] == "proposal" and needs_operators(found):
        lines.append(f"the other operators decide at their governors, on {found['id'][:8]}")
    return [line for line in lines if line]


def _question(found: Document, is_yes: bool) -> str:
    if not is_yes:
        return "Deny this?"
    if found.get("fingerprint"):
        return "Did all operators read out this fingerprint to each other?"
    return "Approve this?"
