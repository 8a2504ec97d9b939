"""`make bench`: measures Writ beside its peers, on this machine, in one run.

Prints a table and writes build/bench.json: a list of {"name", "value", "unit", "goal", "peer",
"peer_value", "interpreter"}. Times are the best of several runs, or percentiles where the name says
so; the machine's speed, and what else it does, is in them. `value` is null for what cannot be
measured here.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import build_mpy
from device_files import ROOT
from measure import (
    flooding,
    fragmenting,
    governing,
    groupkey,
    heap_mesh,
    interpreters,
    joining,
    relaying,
    sizes,
    sleeping,
    spreading,
)
from measure.row import Row
from rich import box
from rich.console import Console
from rich.table import Table

OUTPUT = ROOT / "build/bench.json"
WIDTH = 100


def table(rows: list[Row]) -> Table:
    """The rows for people. 100 characters wide at most: no name and no number is ever cut."""
    result = Table(
        title="Writ beside its peers, in one run on this machine",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    result.add_column("figure", no_wrap=True)
    result.add_column("value", justify="right", no_wrap=True)
    result.add_column("goal", justify="right", no_wrap=True)
    result.add_column("beside", overflow="fold")
    result.add_column("interpreter", no_wrap=True)
    for row in rows:
        colour = "" if row.goal is None else "green" if row.holds() else "red"
        value = "not measured" if row.value is None else f"{row.value:,g} {row.unit}"
        beside = row.peer or ""
        if row.peer_value is not None:
            beside = f"{row.peer_value:,g}  {beside}"
        result.add_row(
            row.name,
            f"[{colour}]{value}[/]" if colour else value,
            "" if row.goal is None else f"{row.goal:,g}",
            beside,
            row.interpreter or "",
        )
    return result


def main() -> None:
    """Measure, print, write. With --check the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument(
        "--only", choices=("bytes", "times", "heap", "floods", "group", "mesh", "governors")
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args()
    console = Console()
    console.width = max(console.width, WIDTH)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        build_mpy.build(tree)
        parts: dict[str, Callable[[], list[Row]]] = {
            "bytes": sizes.measure,
            "times": lambda: interpreters.measure_times(tree),
            "heap": lambda: [
                *interpreters.measure_heap(tree),
                *fragmenting.measure(tree),
                *heap_mesh.measure(tree),
            ],
            "floods": lambda: flooding.measure(build_mpy.find_micropython(), tree),
            "group": groupkey.measure,
            "mesh": lambda: [
                *joining.measure(),
                *sleeping.measure(),
                *relaying.measure(),
                *spreading.measure(),
            ],
            "governors": lambda: governing.measure(tree),
        }
        for part, measure in parts.items():
            if options.only in (None, part):
                with console.status(f"measuring {part}"):
                    rows += measure()
    console.print(table(rows))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps([row.to_item() for row in rows], indent=1) + "\n")
    console.print(f"written to {options.output}")
    missed = [row.name for row in rows if not row.holds()]
    if missed:
        console.print(f"goals missed: {', '.join(missed)}")
        if options.check:
            sys.exit(1)


if __name__ == "__main__":
    main()
