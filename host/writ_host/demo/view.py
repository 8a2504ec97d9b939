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
from .board import Board, Event
from .proofs import TITLES, Ledger, Proof

# Long enough to read a claim while its evidence stands beside it; only where somebody watches.
READ_S = 0.9
_REFRESH_HZ = 8
_FRESH_S = 2.0


class Lines:
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_event(self, board: Board, event: Event) -> None:
        """A node told something: not shown here."""

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
    # what the picture shows of a node
    def __init__(self) -> None:
        self.board: Board | None = None
        self.epoch = 0
        self.epoch_at = 0.0
        self.news = ""
        self.news_at = 0.0


class Picture:
    """The field as it is now: nodes with epoch, age and what happened; steps and their evidence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._nodes = {part.name: _Node() for part in (farm.GATE, *farm.DEVICES)}
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

    def on_event(self, board: Board, event: Event) -> None:
        """A node told something; called by that node's reader."""
        with self._lock:
            node = self._nodes[board.name]
            node.board = board
            epoch = event.what.get("epoch")
            if isinstance(epoch, int) and epoch != node.epoch:
                node.epoch, node.epoch_at = epoch, event.at
            if news := _news(event.what):
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
            Panel(self._field(ledger), title=title, subtitle=seconds, box=ROUNDED, expand=True),
            self._steps(ledger),
        )

    def _field(self, ledger: Ledger) -> Table:
        table = Table(box=None, expand=True, show_header=False, padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        names = Text("  ").join(
            Text(name, style="green" if name in farm.SIGNERS else "dim") for name in farm.GOVERNORS
        )
        table.add_row(Text("governors", style="bold"), "any 3 of 4 sign", "", names)
        with self._lock:
            for part in (farm.GATE, *farm.DEVICES):
                table.add_row(*self._row(part, self._nodes[part.name]))
        return table

    def _row(self, part: farm.Part, node: _Node) -> list[Text]:
        now = time.monotonic()
        gone = node.board is not None and node.board.pid is None
        epoch = Text("not born yet" if node.board is None else "no member yet", style="dim")
        if gone:
            epoch = Text("gone", style="bold red")
        elif node.epoch:
            style = "bold green" if now - node.epoch_at < _FRESH_S else "green"
            epoch = Text(f"epoch {node.epoch} for {now - node.epoch_at:.0f} s", style=style)
        fresh = now - node.news_at < _FRESH_S
        return [
            Text(part.name, style="red" if gone else "bold"),
            Text(part.words, style="dim"),
            epoch,
            Text("" if gone else node.news, style="" if fresh else "dim"),
        ]

    def _steps(self, ledger: Ledger) -> RenderableType:
        lines: list[RenderableType] = []
        for number, title in enumerate(TITLES, 1):
            if number in ledger.took_s:
                took = f"{ledger.took_s[number]:.0f} s"
                lines.append(Text(f" ✔ {number}  {title}  ({took})", style="green"))
            elif number > ledger.step:
                lines.append(Text(f"   {number}  {title}", style="dim"))
            else:
                lines.append(Text(f" ▶ {number}  {title}", style="bold"))
                mine = [proof for proof in ledger.proofs if proof.step == number]
                lines += [_short(proof, proof is mine[-1]) for proof in mine]
                lines.append(Text(f"      … {ledger.words}", style="cyan"))
        return Group(*lines)


def _short(proof: Proof, with_evidence: bool) -> Text:
    text = Text("      ")
    text.append("✔ " if proof.held else "✘ ", style="green" if proof.held else "bold red")
    text.append(proof.claim)
    if with_evidence:
        text.append(f"\n          {proof.evidence}", style="dim")
    return text


def _news(what: dict[str, Any]) -> str:
    # one node's evidence, in a few words
    if what["event"] == "start":
        return "booted"
    if what["event"] == "epoch":
        heard = " and ".join(what.get("peers", []))
        return f"epoch {what['epoch']}, heard of from {heard}" if heard else "took a new policy"
    if what["event"] != "answer":
        return ""
    if what.get("observe") is not None:
        return f"observes {what['target']}: {what.get('text')}"
    said = " ".join(str(what[key]) for key in ("code", "text") if what.get(key))
    return f"{what['method']} {what['target']}: {said}"


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
