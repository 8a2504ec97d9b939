"""The view of the demonstration while it runs: a live view on a terminal, lines elsewhere."""

import threading
import time
from typing import Any

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..cli.layout import wrapped
from ..node.meshstatus import bar
from . import scenario
from .airwaves import BUDGET_MS, Airwaves
from .governors import GovernorProcess
from .process import Event, Process
from .proofs import TITLES, Proof, Report

# The pause after each proof in the live view, to read the claim and its evidence.
READ_S = 0.4
# With this many claims the live view fits a terminal of 40 lines.
_CLAIMS_SHOWN = 6
_REFRESH_HZ = 8
_FRESH_S = 2.0
_MESH = (scenario.MAST, *scenario.MESH)
_PARTS = (scenario.GATE, *scenario.DEVICES, *scenario.LATE, *_MESH)
_GOVERNORS = (*scenario.GOVERNORS, scenario.SUCCESSOR)
_OFFLINE = Text("offline", style="bold red")
# Texts for a governor's events.
_GOVERNOR_NEWS = {
    "started": "started",
    "seated": "governs",
    "decided": "decided",
    "proposed": "a proposal waits for operators",
    "share": "received a new key share",
    "retired": "retired: other governors are in force",
}


class Lines:
    """Prints one line for each step, activity and proof."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_event(self, process: Process, event: Event) -> None:
        """Ignore events of processes."""

    def on_change(self, report: Report, what: str) -> None:
        """Print a step, an activity or a proof."""
        if what == "step":
            self._console.print()
            self._print(f"{report.step}  {TITLES[report.step - 1]}", 3)
        elif what == "activity":
            self._print(f"   ... {report.activity}", 7)
        else:
            proof = report.proofs[-1]
            mark = "ok " if proof.held else "NOT"
            self._print(f"   {mark} {proof.claim}", 7)
            self._print(f"       {proof.evidence}", 7)

    def _print(self, line: str, indent: int) -> None:
        # a pipe takes lines of any length
        width = self._console.width if self._console.is_terminal else None
        for part in wrapped(line, width, indent):
            self._console.print(part)


class _Node:
    """What the live view shows of one process."""

    def __init__(self) -> None:
        self.process: Process | None = None  # None before the first event
        self.epoch = 0
        self.epoch_at = 0.0
        self.news = ""
        self.news_at = 0.0
        self.airtime_ms = 0.0

    def __str__(self) -> str:
        """The last event; before it the airtime so far as a share of the budget."""
        if not self.airtime_ms:
            return self.news
        share = self.airtime_ms / BUDGET_MS
        return f"airtime {bar(share)} {share:.2%}  {self.news}"


class LiveView:
    """The testbed now: each node with its epoch and last event; the step with its evidence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._nodes = {name: _Node() for name in (*_GOVERNORS, *(spec.name for spec in _PARTS))}
        self._report: Report | None = None
        self._lock = threading.Lock()
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=_REFRESH_HZ,
            transient=True,
        )

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_event(self, process: Process, event: Event) -> None:
        """Take an event of a process; called in the process' reader thread."""
        with self._lock:
            if isinstance(process, Airwaves):
                if event.what["event"] == "sent":
                    self._nodes[event.what["from"]].airtime_ms += event.what["airtime_ms"]
                return
            node = self._nodes[process.name]
            node.process = process
            epoch = event.what.get("epoch")
            if isinstance(epoch, int) and epoch != node.epoch:
                node.epoch, node.epoch_at = epoch, event.at
            if news := _news(process.name, event.what):
                node.news, node.news_at = news, event.at

    def on_change(self, report: Report, what: str) -> None:
        """Take the report; pause after a proof."""
        self._report = report
        if what == "proof":
            time.sleep(READ_S)

    # --- drawing ----------------------------------------------------------------------------------

    def _render(self) -> RenderableType:
        report = self._report
        if report is None:
            return Text("Preparing the testbed ...", style="dim")
        seconds = f"{time.monotonic() - report.started:.0f} s"
        title = f"Writ: a {scenario.SCOPE} on this machine"
        nodes = Panel(self._nodes_table(), title=title, subtitle=seconds, box=ROUNDED, expand=True)
        left = self._console.height - self._height(nodes)
        shown = (self._steps(report, count) for count in range(_CLAIMS_SHOWN, 0, -1))
        steps = next((one for one in shown if self._height(one) <= left), self._steps(report, 1))
        return Group(nodes, steps)

    def _height(self, what: RenderableType) -> int:
        return len(self._console.render_lines(what, pad=False))

    def _nodes_table(self) -> Table:
        table = Table(box=None, expand=True, show_header=False, padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True)
        # the last event may take two lines rather than be cut
        table.add_column(ratio=1, overflow="fold")
        with self._lock:
            for name in _GOVERNORS:
                table.add_row(*self._governor(name, self._nodes[name]))
            for spec in _PARTS:
                if spec in _MESH and self._nodes[spec.name].process is None:
                    continue
                table.add_row(*self._node(spec, self._nodes[spec.name]))
        return table

    def _governor(self, name: str, node: _Node) -> list[Text]:
        if node.process is None:
            return self._row(name, "governor", Text("not started yet", style="dim"), node)
        epoch = Text("no share yet", style="dim")
        if node.epoch:
            epoch = Text(f"epoch {node.epoch}, height {node.epoch + 1}", style=_shade(node))
        if isinstance(node.process, GovernorProcess) and node.process.is_byzantine:
            return self._row(name, "Byzantine governor", epoch, node, "bold magenta")
        return self._row(name, "governor", epoch, node)

    def _node(self, spec: scenario.NodeSpec, node: _Node) -> list[Text]:
        state = "not started yet" if node.process is None else "not a member yet"
        epoch = Text(state, style="dim")
        if node.epoch:
            age_s = time.monotonic() - node.epoch_at
            epoch = Text(f"epoch {node.epoch} for {age_s:.0f} s", style=_shade(node))
        return self._row(spec.name, spec.description, epoch, node)

    @staticmethod
    def _row(name: str, role: str, epoch: Text, node: _Node, style: str = "bold") -> list[Text]:
        if node.process is not None and node.process.pid is None:
            return [Text(name, style="red"), Text(role, style="dim"), _OFFLINE, Text()]
        fresh = time.monotonic() - node.news_at < _FRESH_S
        news = Text(str(node), style="" if fresh else "dim")
        return [Text(name, style=style), Text(role, style="dim"), epoch, news]

    def _steps(self, report: Report, claims_shown: int) -> RenderableType:
        lines: list[RenderableType] = []
        if report.took_s:
            held = sum(proof.held and proof.step in report.took_s for proof in report.proofs)
            done = f" ✔ {len(report.took_s)} of {report.wanted} steps, {held} claims held"
            lines.append(Text(done, style="green"))
        if report.step and report.step not in report.took_s:
            lines.append(_line(f" ▶ {report.step}  ", TITLES[report.step - 1], "bold"))
            mine = [proof for proof in report.proofs if proof.step == report.step]
            for proof in mine[-claims_shown:]:
                lines += _short(proof, proof is mine[-1])
            lines.append(_line("      … ", report.activity, "cyan"))
        if report.step < len(TITLES) and report.wanted == len(TITLES):
            lines.append(_line(f"   {report.step + 1}  ", TITLES[report.step], "dim"))
        return Group(*lines)


def _shade(node: _Node) -> str:
    is_new = time.monotonic() - node.epoch_at < _FRESH_S
    return "bold green" if is_new else "green"


def _line(mark: str, text: str, style: str = "", mark_style: str = "") -> Table:
    """A mark, and beside it a text that is wrapped and never cut."""
    line = Table.grid()
    line.add_column(no_wrap=True, width=len(mark))
    line.add_column(overflow="fold")
    line.add_row(Text(mark, style=mark_style or style), Text(text, style=style))
    return line


def _short(proof: Proof, with_evidence: bool) -> list[Table]:
    mark, style = ("✔", "green") if proof.held else ("✘", "bold red")
    lines = [_line(f"      {mark} ", proof.claim, mark_style=style)]
    if with_evidence:
        lines.append(_line(" " * 10, proof.evidence, "dim"))
    return lines


def _news(name: str, what: dict[str, Any]) -> str:
    """A short text for one event of a process, "" for an event that is not shown."""
    if what["event"] == "start":
        return "booted"
    if name in _GOVERNORS:
        return _news_of_governor(name, what)
    if what["event"] == "started":
        return "booted"
    if what["event"] == "epoch":
        peers = " and ".join(what.get("peers", []))
        return f"epoch {what['epoch']}, received from {peers}" if peers else "received a new policy"
    if what["event"] == "request":
        return f"{what['request']} by {what['peer']}"
    if what["event"] != "answer":
        return ""
    if what.get("observe") is not None:
        return f"observes {what['target']}: {what.get('text')}"
    said = " ".join(str(what[key]) for key in ("code", "text") if what.get(key))
    return f"{what['method']} {what['target']}: {said}"


def _news_of_governor(name: str, what: dict[str, Any]) -> str:
    if what["event"] == "approved" and "governor" in what:
        return "its operator approved" if what.get("governor") == name else ""
    if what["event"] == "accused":
        return f"accuses {what.get('governor')}"
    return _GOVERNOR_NEWS.get(what["event"], "")


def proof_table(console: Console, report: Report) -> None:
    """Print all claims with their evidence, as a table on a terminal."""
    table = Table(box=ROUNDED)
    table.add_column("step", no_wrap=True)
    table.add_column("held", no_wrap=True)
    table.add_column("claim", overflow="fold", ratio=2)
    table.add_column("evidence", overflow="fold", ratio=3, style="dim")
    step = 0
    for proof in report.proofs:
        if proof.step != step:
            step = proof.step
            table.add_section()
        held = Text("yes", style="green") if proof.held else Text("NO", style="bold red")
        table.add_row(Text(str(proof.step)), held, Text(proof.claim), Text(proof.evidence))
    console.print(table, soft_wrap=False)
