"""The command line: `python tools/field 100`. See README.md."""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # started by its path
    sys.path[0] = str(ROOT / "tools")
    sys.path[1:1] = [str(ROOT / "firmware"), str(ROOT / "host")]

from radio.pathloss import MODELS  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: E402

from field.field import FREQUENCY_KHZ, NODES_MAX, Plan  # noqa: E402
from field.ground import NEIGHBOURS, NoGround  # noqa: E402
from field.measure import Course, Run  # noqa: E402
from field.report import as_text  # noqa: E402
from field.scope import CHANGES  # noqa: E402

_MINUTE_S = 60


def parser() -> argparse.ArgumentParser:
    """All options."""
    made = argparse.ArgumentParser(
        prog="python tools/field",
        description="Run the production mesh with N nodes on a simulated LoRa channel, in virtual"
        " time: how it forms, what readings cost, how an amendment spreads, beside naive flooding"
        " of the same bytes (README.md).",
    )
    made.add_argument("nodes", type=int, metavar="N", help=f"nodes, 1 to {NODES_MAX}")
    made.add_argument("--seed", type=int, default=1, help="one seed gives one outcome (default 1)")
    made.add_argument("--json", action="store_true", help="print the figures as one JSON document")
    made.add_argument("--out", type=Path, metavar="FOLDER", help="write PNG pictures there")
    made.add_argument(
        "--core",
        action="store_true",
        help="the mesh core alone: no handshakes, no requests of the mesh, no readings",
    )
    ground = made.add_argument_group("the field")
    ground.add_argument(
        "--gateways", type=int, default=0, help="default: one for 250 nodes, at least one"
    )
    ground.add_argument(
        "--area",
        type=float,
        default=0.0,
        metavar="KM",
        help=f"side of the square (default: so that a node hears {NEIGHBOURS} others on average)",
    )
    ground.add_argument("--sf", type=int, default=7, help="spreading factor, 7 to 12 (default 7)")
    ground.add_argument(
        "--frequency",
        type=int,
        default=FREQUENCY_KHZ,
        metavar="KHZ",
        help=f"decides on the duty cycle (default {FREQUENCY_KHZ}: 10 %%)",
    )
    ground.add_argument(
        "--loss", type=float, default=0.0, help="share of frames lost besides collisions"
    )
    ground.add_argument("--model", choices=MODELS, default="oulu", help="path loss (default oulu)")
    ground.add_argument("--plain", action="store_true", help="no shadowing: a field without hills")
    course = made.add_argument_group("the course, in minutes of virtual time")
    course.add_argument("--boot", type=float, default=30.0, help="all are on by then (default 30)")
    course.add_argument("--form", type=float, default=90.0, help="until readings (default 90)")
    course.add_argument(
        "--readings", type=float, default=60.0, help="0 for no readings (default 60)"
    )
    course.add_argument(
        "--period", type=float, default=15.0, help="of a node's readings (default 15)"
    )
    course.add_argument("--rest", type=float, default=60.0, help="before the change (default 60)")
    course.add_argument("--spread", type=float, default=240.0, help="after it (default 240)")
    course.add_argument(
        "--change",
        choices=CHANGES,
        default="grant",
        help="the amendment: grant a role to a node, add a rule, or revoke a node (default grant)",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 2 for wrong options."""
    made = parser()
    options = made.parse_args(arguments)
    try:
        plan = Plan(
            nodes=options.nodes,
            gateways=options.gateways,
            seed=options.seed,
            spreading_factor=options.sf,
            area_km=options.area,
            loss=options.loss,
            model=options.model,
            shadowing=not options.plain,
            frequency_khz=options.frequency,
            boot_s=_MINUTE_S * options.boot,
            is_core=options.core,
        )
        course = Course(
            form_s=_MINUTE_S * options.form,
            readings_s=0 if options.core else _MINUTE_S * options.readings,
            period_s=_MINUTE_S * options.period,
            rest_s=_MINUTE_S * options.rest,
            spread_s=_MINUTE_S * options.spread,
            change=options.change,
        )
        began_s = time.monotonic()
        run = _measure(plan, course)
    except (ValueError, NoGround) as error:
        made.error(str(error))
    if options.json:
        print(json.dumps(run.figures))
    else:
        print(as_text(run.figures))
        print(f"          {time.monotonic() - began_s:.0f} s of this machine's time")
    if options.out:
        try:
            # needed for pictures only
            from field.picture import draw_all
        except ImportError:
            print("error: pictures need Pillow: `make venv` installs it", file=sys.stderr)
            return 1
        for path in draw_all(run, options.out):
            print(f"wrote {path}", file=sys.stderr)
    return 0


def _measure(plan: Plan, course: Course) -> Run:
    columns = (TextColumn("{task.description:12}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("place nodes", total=1.0)
        run = Run(
            plan, course, lambda part, share: bar.update(task, description=part, completed=share)
        )
        run.measure()
    return run


if __name__ == "__main__":
    sys.exit(main())
