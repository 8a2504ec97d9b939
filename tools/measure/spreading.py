"""A policy amendment over a LoRa field, beside naive flooding of the same bytes (tools/field).

The fields are those of `tools/field --core`: the production mesh core and real capsules, without
sessions and requests, and without what whole nodes send besides. Spreaders are chosen by the
production gateway, from the reports that the nodes would send (`Field.report`). Airtime is that of
all nodes from the moment at which the gateways have the amendment, less what the same field sends
at rest in the same time.
"""

import statistics
from typing import Any

from field.field import Plan
from field.measure import Course
from field.measure import measure as run

from .row import Row

SEEDS = (1, 2, 3, 4, 5)
COURSE = Course(form_s=2400, readings_s=0, rest_s=600, spread_s=3600)
GOAL = 0.333


def _figures(nodes: int, seed: int) -> dict[str, Any]:
    plan = Plan(nodes=nodes, seed=seed, boot_s=300, is_core=True)
    found: dict[str, Any] = run(plan, COURSE).figures
    return found


def measure() -> list[Row]:
    """All rows. About a minute of processor time."""
    hundred = [_figures(100, seed) for seed in SEEDS]
    thousand = _figures(1000, 1)
    rows = []
    for name, kind in (("", ""), ("_in_all", "_all")):
        values = [found[f"share_amendment_airtime{kind}"] for found in hundred]
        until = "to 95 %" if not kind else "whole flood, and all that follows the amendment"
        rows.append(
            Row(
                f"share.amendment_airtime{name}",
                round(statistics.mean(values), 3),
                "times",
                GOAL,
                f"naive flooding of the same bytes, 100 nodes, {until}; mean of {len(SEEDS)} seeds",
                1,
            )
        )
    rows.append(
        Row(
            "share.amendment_airtime_1000",
            thousand["share_amendment_airtime"],
            "times",
            GOAL,
            "the same with 1,000 nodes and 4 gateways, one seed",
            1,
        )
    )
    rows.append(
        Row(
            "s.amendment_1000_p95",
            thousand["spread"]["seconds"]["95"],
            "s",
            None,
            "naive flooding in the same field",
            thousand["flood"]["seconds"]["95"],
        )
    )
    return rows
