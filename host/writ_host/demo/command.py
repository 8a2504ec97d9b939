"""`writ demo`: a whole scope on this machine, with proofs of its claims."""

import time
from pathlib import Path

import click

from ..cli.output import Output, command
from . import runner, view
from .proofs import TITLES, Failure, Report
from .testbed import Testbed


@command()
@click.option("--plain", is_flag=True, help="Print lines in place of a live view.")
@click.option("--keep", is_flag=True, help="Keep the testbed running after the last step.")
@click.option(
    "--steps",
    "part",
    type=click.Choice([*runner.PARTS]),
    help="Play a part alone: `authority` (policies, revocation, attacks), `governors` (those, and"
    " outages, replacement, a Byzantine governor) or `mesh` (LoRa and a serial line).",
)
@click.option(
    "--stop",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="End a demonstration that was started with --keep in DIR.",
)
@click.pass_context
def demo(
    ctx: click.Context,
    out: Output,
    plain: bool,
    keep: bool,
    part: str | None,
    folder: Path | None,
) -> None:
    """Run a scope on this machine, from founding to attacks and outages, and prove each claim.

    Four governors, two gateways and nine devices run as processes of their own and talk over UDP on
    the loopback interface, and three of the devices over emulated LoRa modems and a serial line.
    Governors are killed, replaced, and made Byzantine. The command writes to a
    temporary folder only, and all processes end with it. The exit code is 1 if a claim fails.
    """
    if folder:
        runner.stop(folder)
        out.ok("the demonstration has ended")
        return
    if keep and part:
        raise click.UsageError("--keep needs all steps: omit --steps")
    console = out.errors if out.as_json else out.console
    show = view.LiveView(console) if out.is_live and not plain else view.Lines(console)
    if out.as_json:
        show = _Silent(console)
    with runner.ended_by_sigterm(), Testbed(show.on_event) as bed:
        report = Report(show.on_change)
        out.note(f"gateway: {bed.host.description}; devices: {bed.device.description}")
        with show:
            runner.run_steps(bed, report, part)
        log = None if report.failure is None else bed.save_log()
        _print_result(out, bed, report, isinstance(show, view.LiveView), log)
        if keep and report.holds:
            runner.keep_running(bed, out.line)
    if not report.holds:
        ctx.exit(1)


class _Silent(view.Lines):
    # with --json only the final document is printed
    def on_change(self, report: Report, what: str) -> None:
        pass


def _print_result(
    out: Output, bed: Testbed, report: Report, is_live: bool, log: Path | None
) -> None:
    took_s = time.monotonic() - report.started
    held = sum(proof.held for proof in report.proofs)
    if not out.as_json:
        out.line()
        if is_live:
            view.proof_table(out.console, report)
        else:
            # the evidence is printed above already
            rows = [(one.step, "yes" if one.held else "NO", one.claim) for one in report.proofs]
            out.table(("step", "held", "claim"), rows)
        summary = f"{held} of {len(report.proofs)} claims held, "
        summary += f"{len(report.took_s)} of {report.wanted} steps, {took_s:.0f} s"
        if report.holds:
            out.ok(summary)
        else:
            out.line(f"{summary}: the demonstration failed", "bold red")
            out.fields(_failure(report.failure, log))
    out.json(
        {
            "ok": report.holds,
            "duration_s": round(took_s, 1),
            "devices": bed.device.description,
            "folder": bed.path,
            "failure": _failure(report.failure, log) or None,
            "step_durations_s": {
                step: round(seconds, 1) for step, seconds in report.took_s.items()
            },
            "proofs": [
                {
                    "step": proof.step,
                    "title": TITLES[proof.step - 1],
                    "claim": proof.claim,
                    "evidence": proof.evidence,
                    "held": proof.held,
                }
                for proof in report.proofs
            ],
        }
    )


def _failure(failure: Failure | None, log: Path | None) -> dict[str, object]:
    if failure is None:
        return {}
    return {
        "step": f"{failure.step}  {failure.title}",
        "awaited": failure.awaited,
        "found": failure.message,
        "advice": failure.advice,
        "log": str(log),
    }
