"""`writ demo`: a whole scope on this machine, with proofs of what it does."""

import time
from pathlib import Path

import click

from ..cli.output import Output, command
from . import play, view
from .field import Field
from .proofs import TITLES, Ledger


@command()
@click.option("--plain", is_flag=True, help="Lines instead of a live picture.")
@click.option("--keep", is_flag=True, help="Leave the field running, to play with it.")
@click.option(
    "--stop",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="End a demonstration that was left running in DIR.",
)
@click.pass_context
def demo(ctx: click.Context, out: Output, plain: bool, keep: bool, folder: Path | None) -> None:
    """A farm on this machine: founded, read, changed, attacked and cut off, with proofs.

    Four governors, a gateway and six devices, each a process of its own, talk over UDP on the
    loopback interface; governors are killed, replaced, and made to lie. Nothing outside a temporary
    folder is touched, and all processes end with the command. The exit code is 1 if anything that
    should hold did not.
    """
    if folder:
        play.stop(folder)
        out.ok("ended")
        return
    console = out.errors if out.as_json else out.console
    show = view.Picture(console) if out.is_live and not plain else view.Lines(console)
    if out.as_json:
        show = _Silent(console)
    with play.ended_by_sigterm(), Field(show.on_event) as field:
        ledger = Ledger(show.on_change)
        out.note(f"gateway: {field.host.words}; devices: {field.device.words}")
        with show:
            play.play(field, ledger)
        _tell(out, field, ledger, isinstance(show, view.Picture))
        if keep and ledger.holds:
            play.keep_running(field, out.line)
    if not ledger.holds:
        ctx.exit(1)


class _Silent(view.Lines):
    # for programs, which read the table
    def on_change(self, ledger: Ledger, what: str) -> None:
        pass


def _tell(out: Output, field: Field, ledger: Ledger, is_live: bool) -> None:
    took_s = time.monotonic() - ledger.started
    held = sum(proof.held for proof in ledger.proofs)
    if not out.as_json:
        out.line()
        if is_live:
            view.proof_table(out.console, ledger)
        else:
            # the evidence stands above already
            rows = [(one.step, "yes" if one.held else "NO", one.claim) for one in ledger.proofs]
            out.table(("step", "held", "what was proved"), rows)
        words = f"{held} of {len(ledger.proofs)} held, {len(ledger.took_s)} of {len(TITLES)} steps"
        words += f", {took_s:.0f} s"
        if ledger.holds:
            out.ok(words)
        else:
            out.line(f"{words}: this demonstration failed", "bold red")
    out.json(
        {
            "holds": ledger.holds,
            "seconds": round(took_s, 1),
            "devices": field.device.words,
            "folder": field.path,
            "took_s": {step: round(seconds, 1) for step, seconds in ledger.took_s.items()},
            "proofs": [
                {
                    "step": proof.step,
                    "title": TITLES[proof.step - 1],
                    "claim": proof.claim,
                    "evidence": proof.evidence,
                    "held": proof.held,
                }
                for proof in ledger.proofs
            ],
        }
    )
