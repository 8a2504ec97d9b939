"""The views of the demonstration: no claim is cut, whatever the terminal's width."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from writ_host.cli.output import _Console
from writ_host.demo import process, view
from writ_host.demo.airwaves import BUDGET_MS, Airwaves
from writ_host.demo.proofs import Proof, Report

COLUMNS = 80
CLAIM = (
    "four processes made one group key; its private key is split into shares, and never assembled"
)
EVIDENCE = "anna 8644, ben 8646, carl 8648, dora 8650: each computed the fingerprint " + " ".join(
    str(number) for number in range(49078, 49098)
)
ACTIVITY = "one governor invites the others; the operators compare fingerprints over another line"


def terminal(height: int = 40, is_terminal: bool = True) -> Console:
    """The console of commands, on a terminal or in a pipe."""
    return _Console(
        file=io.StringIO(),
        width=COLUMNS,
        height=height,
        force_terminal=is_terminal,
        force_interactive=is_terminal,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def report_of(count: int) -> Report:
    report = Report()
    report.step, report.activity = 1, ACTIVITY
    report.proofs = [Proof(1, f"{number} {CLAIM}", EVIDENCE) for number in range(count)]
    return report


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    return re.split(r"[\r\n]+", plain)


def words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("height", [24, 40])
def test_the_live_view_wraps_claims_evidence_and_activity(height: int) -> None:
    console = terminal(height)
    shown = view.LiveView(console)
    shown._report = report_of(6)
    with shown:
        shown._live.refresh()
    lines = printed(console)
    assert max(map(len, lines)) <= COLUMNS
    # the newest claim with its evidence is shown, also on a terminal of few lines
    for text in (f"5 {CLAIM}", EVIDENCE, ACTIVITY, "2 Read, write, observe"):
        assert text in words(lines)
    is_high = height == 40
    assert (f"0 {CLAIM}" in words(lines)) == is_high


def test_the_lines_wrap_on_a_terminal_and_are_aligned() -> None:
    console = terminal()
    shown = view.Lines(console)
    report = report_of(1)
    for what in ("step", "activity", "proof"):
        shown.on_change(report, what)
    lines = printed(console)
    assert max(map(len, lines)) <= COLUMNS
    for text in (CLAIM, EVIDENCE, ACTIVITY):
        assert text in words(lines)
    assert all(line.startswith(" " * 3) for line in lines[2:] if line)


def test_the_lines_in_a_pipe_have_any_length() -> None:
    console = terminal(is_terminal=False)
    shown = view.Lines(console)
    shown.on_change(report_of(1), "proof")
    assert f"       {EVIDENCE}" in printed(console)


def test_the_table_at_the_end_wraps_claims() -> None:
    console = terminal()
    view.proof_table(console, report_of(2))
    lines = printed(console)
    assert max(map(len, lines)) <= COLUMNS
    cells = [line.split("│")[3] for line in lines if line.count("│") == 5]
    assert words(cells).count(CLAIM) == 2


def test_the_view_shows_airtime_against_the_budget(tmp_path: Path) -> None:
    shown = view.LiveView(terminal())
    radio = Airwaves(tmp_path, tmp_path, ["mast"])
    mast = process.Process("mast", tmp_path, process.Program([], {}, ""))
    assert "mast" not in "".join(rows(shown))
    shown.on_event(mast, process.Event(0.0, {"event": "epoch", "epoch": 3}))
    sent = {"event": "sent", "from": "mast", "airtime_ms": BUDGET_MS / 4}
    shown.on_event(radio, process.Event(0.0, sent))
    shown.on_event(radio, process.Event(0.0, {"event": "lost", "from": "mast"}))
    assert shown._nodes["mast"].airtime_ms == BUDGET_MS / 4
    text = str(shown._nodes["mast"])
    assert text.startswith("airtime [#####...............] 25.00%")


def rows(shown: view.LiveView) -> list[str]:
    """The names in the table of nodes."""
    return [str(cell) for cell in shown._nodes_table().columns[0].cells]
