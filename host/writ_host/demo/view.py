"""How a person watches the demonstration: a live picture on a terminal, lines elsewhere."""

import threading
import time
from typing import Any

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from . import farm
from .governors import Governor
from .process import Event, Process
from .proofs import TITLES, Ledger, Proof

# Long enough to read a claim while its evidence stands beside it; only where somebody watches.
READ_S = 0.4
# So that all of it fits a terminal of 40 lines.
_CLAIMS_SHOWN = 6
_REFRESH_HZ = 8
_FRESH_S = 2.0
_PARTS = (farm.GATE, *farm.DEVICES, *farm.LATE)
_GOVERNORS = (*farm.GOVERNORS, farm.SUCCESSOR)
_DEAD = Text("dead", style="bold red")
# Of a governor.
_SHORT = {
    "started": "started",
    "seated": "governs",
    "decided": "decided",
    "proposed": "a proposal waits for operators",
    "share": "got a new share",
    "retired": "retired: others govern now",
}


class Lines:
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_event(self, process: Process, event: Event) -> None:
        """A process told something: not shown here."""

    def on_change(self, ledger: Ledger, what: str) -> None:
        """A step, a word or a proof."""
        if what == "step":
            self._console.print(f"\n{ledger.step}  {TITLES[ledger.step - 1]}")
        elif what == "words":
            self._console.print(f"   ... {ledger.words}")
        else:
            proof = ledger.proofs[-1]
            mark = "ok " if proof.held else "NOT"
            self._console.print(f"   {mark} {proof.claim}\n       {proof.evidence}")


class _Node:
    # what the picture shows of a process
    def __init__(self) -> None:
        self.process: Process | None = None
        self.epoch = 0
        self.epoch_at = 0.0
        self.news = ""
        self.news_at = 0.0


class Picture:
    """The field as it is now: nodes with epoch, age and what happened; steps and their evidence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._nodes = {name: _Node() for name in (*_GOVERNORS, *(part.name for part in _PARTS))}
        self._ledger: Ledger | None = None
        self._lock = threading.Lock()
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=_REFRESH_HZ,
            transient=True,
        )

    def __enter__(self) -> "Picture":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_event(self, process: Process, event: Event) -> None:
        """A process told something; called by its reader."""
        with self._lock:
            node = self._nodes[process.name]
            node.process = process
            epoch = event.what.get("epoch")
            if isinstance(epoch, int) and epoch != node.epoch:
                node.epoch, node.epoch_at = epoch, event.at
            if news := _news(process.name, event.what):
                node.news, node.news_at = news, event.at

    def on_change(self, ledger: Ledger, what: str) -> None:
        """A step, a word or a proof."""
        self._ledger = ledger
        if what == "proof":
            time.sleep(READ_S)

    # --- drawing ----------------------------------------------------------------------------------

    def _render(self) -> RenderableType:
        ledger = self._ledger
        if ledger is None:
            return Text("Preparing the field ...", style="dim")
        seconds = f"{time.monotonic() - ledger.started:.0f} s"
        title = f"Writ: a {farm.SCOPE} on this machine"
        return Group(
            Panel(self._field(), title=title, subtitle=seconds, box=ROUNDED, expand=True),
            self._steps(ledger),
        )

    def _field(self) -> Table:
        table = Table(box=None, expand=True, show_header=False, padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        with self._lock:
            for name in _GOVERNORS:
                table.add_row(*self._governor(name, self._nodes[name]))
            for part in _PARTS:
                table.add_row(*self._node(part, self._nodes[part.name]))
        return table

    def _governor(self, name: str, node: _Node) -> list[Text]:
        if node.process is None:
            return self._row(name, "governor", Text("not asked yet", style="dim"), node)
        epoch = Text("no share yet", style="dim")
        if node.epoch:
            epoch = Text(f"epoch {node.epoch}, height {node.epoch + 1}", style=_shade(node))
        if isinstance(node.process, Governor) and node.process.is_liar:
            return self._row(name, "governor that lies", epoch, node, "bold magenta")
        return self._row(name, "governor", epoch, node)

    def _node(self, part: farm.Part, node: _Node) -> list[Text]:
        epoch = Text("not born yet" if node.process is None else "no member yet", style="dim")
        if node.epoch:
            age_s = time.monotonic() - node.epoch_at
            epoch = Text(f"epoch {node.epoch} for {age_s:.0f} s", style=_shade(node))
        return self._row(part.name, part.words, epoch, node)

    @staticmethod
    def _row(name: str, words: str, epoch: Text, node: _Node, style: str = "bold") -> list[Text]:
        if node.process is not None and node.process.pid is None:
            return [Text(name, style="red"), Text(words, style="dim"), _DEAD, Text()]
        fresh = time.monotonic() - node.news_at < _FRESH_S
        news = Text(node.news, style="" if fresh else "dim")
        return [Text(name, style=style), Text(words, style="dim"), epoch, news]

    def _steps(self, ledger: Ledger) -> RenderableType:
        lines: list[RenderableType] = []
        if ledger.took_s:
            held = sum(proof.held and proof.step in ledger.took_s for proof in ledger.proofs)
            words = f" ✔ {len(ledger.took_s)} of {len(TITLES)} steps, {held} claims held"
            lines.append(Text(words, style="green"))
        if ledger.step and ledger.step not in ledger.took_s:
            lines.append(Text(f" ▶ {ledger.step}  {TITLES[ledger.step - 1]}", style="bold"))
            mine = [proof for proof in ledger.proofs if proof.step == ledger.step]
            lines += [_short(proof, proof is mine[-1]) for proof in mine[-_CLAIMS_SHOWN:]]
            lines.append(Text(f"      … {ledger.words}", style="cyan"))
        if ledger.step < len(TITLES):
            lines.append(Text(f"   {ledger.step + 1}  {TITLES[ledger.step]}", style="dim"))
        return Group(*lines)


def _shade(node: _Node) -> str:
    is_new = time.monotonic() - node.epoch_at < _FRESH_S
    return "bold green" if is_new else "green"


def _short(proof: Proof, with_evidence: bool) -> Text:
    text = Text("      ")
    text.append("✔ " if proof.held else "✘ ", style="green" if proof.held else "bold red")
    text.append(proof.claim)
    if with_evidence:
        text.append(f"\n          {proof.evidence}", style="dim")
    return text


def _news(name: str, what: dict[str, Any]) -> str:
    # one process' evidence, in a few words
    if what["event"] == "start":
        return "booted"
    if name in _GOVERNORS:
        return _news_of_governor(name, what)
    if what["event"] == "epoch":
        heard = " and ".join(what.get("peers", []))
        return f"epoch {what['epoch']}, heard of from {heard}" if heard else "took a new policy"
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
    return _SHORT.get(what["event"], "")


def proof_table(console: Console, ledger: Ledger) -> None:
    """What was proved, with its evidence, on a terminal."""
    table = Table(box=ROUNDED)
    table.add_column("step", no_wrap=True)
    table.add_column("held", no_wrap=True)
    table.add_column("what was proved", overflow="fold", ratio=2)
    table.add_column("evidence", overflow="fold", ratio=3, style="dim")
    step = 0
    for proof in ledger.proofs:
        if proof.step != step:
            step = proof.step
            table.add_section()
        held = Text("yes", style="green") if proof.held else Text("NO", style="bold red")
        table.add_row(Text(str(proof.step)), held, Text(proof.claim), Text(proof.evidence))
    console.print(table, soft_wrap=False)
