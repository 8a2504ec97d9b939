"""The metrics of `writ node run` (scrape.py). Labels hold nothing secret: names of members."""

from typing import Any

from ..scrape import Exporter, Samples
from . import meshmetrics

HELP = {
    "epoch": "Policy epoch in force at the node.",
    "sessions": "Sessions with other members.",
    "defects": "Messages that met a bug of this program and were dropped.",
    "rejections": "Rejections by the node, by name.",
    **meshmetrics.HELP,
}
_PERIOD_MS = 1000


class NodeMetrics:
    """Publishes the metrics of a node once a second. A part of the agent.

    node: a `ReportingNode`.
    """

    def __init__(self, node: Any) -> None:
        self.exporter = Exporter("writ_node_", HELP)
        self._node = node
        self._due_ms = 0

    def samples(self) -> Samples:
        """All metrics of this moment."""
        node = self._node
        samples = Samples(
            {"epoch": node.authority.epoch, "sessions": len(node.sessions)},
            {"defects": node.defects.count},
            {("rejections", "name"): dict(node.counters)},
        )
        meshmetrics.add(samples, node)
        return samples

    def receive(self, datagram: bytes, source: str, link: Any, now_ms: int) -> bool:
        """False: no datagram is its own."""
        return False

    def tick(self, now_ms: int) -> list[tuple[str, bytes]]:
        """Publish, where a second is over."""
        if now_ms >= self._due_ms:
            self._due_ms = now_ms + _PERIOD_MS
            self.exporter.publish(self.samples())
        return []

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has something to do."""
        return max(0, self._due_ms - now_ms)
