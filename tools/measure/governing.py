"""Governors compared with etcd, in one run: decisions, enforcement on devices, renewals."""

from pathlib import Path

from . import deciding, enforcing, etcd, renewing
from .row import Row

# A Byzantine fault tolerant decision may take at most so many times as long as a put of etcd, which
# tolerates crashes only: the goal now, and the goal one day.
GOAL_TIMES, MOONSHOT_TIMES = 10, 3


def measure(tree: Path) -> list[Row]:
    """All rows of governors. tree: the folder of the device's compiled modules."""
    beside = etcd.measure()
    decided = deciding.measure()
    put_ms = _value(beside, "ms.etcd_put_p50")
    decide_ms = _value(decided, "ms.decide_4_p50")
    if put_ms is not None and decide_ms is not None:
        first = decided[0]
        first.goal = round(GOAL_TIMES * put_ms, 2)
        first.peer, first.peer_value = "etcd put, 3 members", put_ms
        times = round(decide_ms / put_ms, 1)
        ratio = Row("times.decide_4_etcd", times, "x", GOAL_TIMES, "moonshot", MOONSHOT_TIMES)
        decided.insert(2, ratio)
    return beside + decided + enforcing.measure(tree) + renewing.measure()


def _value(rows: list[Row], name: str) -> float | None:
    return next(row.value for row in rows if row.name == name)
