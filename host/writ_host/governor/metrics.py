"""The metrics of a governor, served in Prometheus' text format (scrape.py).

The daemon's loop calls `observe_...` and, once a second, `publish`. Labels hold nothing secret:
names of governors, of rejections and of kinds of capsules.
"""

from prometheus_client import Histogram

from ..scrape import Exporter, Samples

# An fsync of a good disk takes 0.1 ms, of an SD card 100 ms.
_FSYNC_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_DECIDE_BUCKETS_S = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

_HELP = {
    "epoch": "Policy epoch in force.",
    "height": "Height being decided.",
    "round": "Round of the height being decided.",
    "pending": "Open proposals.",
    "peers_heard": "Other governors that sent a message within the last 15 seconds.",
    "clocks_off": "Other governors whose clock differs from ours by more than the charter allows.",
    "beacon_age_seconds": "Age of the newest beacon by this machine's clock.",
    "decisions": "Ordered values decided.",
    "certified": "Capsules certified, by kind.",
    "refused": "Proposals refused.",
    "defects": "Messages that met a bug of this program and were dropped.",
    "accused": "Governors with proven Byzantine behaviour, 1 each.",
    "rejections": "Rejected messages of devices, by name.",
    "peering": "Rejections in the transport between governors, by name.",
    "founding": "Rejections of plain CoAP at the peering address, without a session, by name.",
    "datagrams_sent": "Datagrams sent, by governor.",
    "datagrams_received": "Datagrams received, by governor.",
    "datagrams_unread": "Datagrams dropped unread because of that governor's backlog.",
    "bytes_sent": "Bytes sent, by governor.",
    "bytes_received": "Bytes received, by governor.",
}


class Metrics(Exporter):
    """All metrics of a governor, and their HTTP server (`serve`)."""

    def __init__(self) -> None:
        super().__init__("writ_governor_", _HELP)
        self._fsyncs_s: list[float] = []
        self._fsync = Histogram(
            "writ_governor_fsync_seconds",
            "Duration of a commit to the ledger, fsync included.",
            buckets=_FSYNC_BUCKETS_S,
            registry=self.registry,
        )
        self._decide = Histogram(
            "writ_governor_decide_seconds",
            "Time until a proposal of this governor is certified.",
            buckets=_DECIDE_BUCKETS_S,
            registry=self.registry,
        )

    def observe_fsync(self, seconds: float) -> None:
        """Record the duration of a commit; visible after the next `publish`."""
        self._fsyncs_s.append(seconds)

    def observe_decision(self, seconds: float) -> None:
        """Record the time that a proposal took until it was certified."""
        self._decide.observe(seconds)

    def publish(self, samples: Samples) -> None:
        """Set the samples that the next scrapes return."""
        for seconds in self._fsyncs_s:
            self._fsync.observe(seconds)
        self._fsyncs_s.clear()
        super().publish(samples)
