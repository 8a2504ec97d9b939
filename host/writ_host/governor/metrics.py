"""What a daemon measures, in Prometheus' text format (prometheus.io/docs/instrumenting).

The daemon's loop calls `observe_...` and, once a second, `publish`; the server's thread sees only
what was published, never the daemon itself. No label holds anything secret: names of governors,
of rejections and of kinds.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from writ.errors import UsageError
from writ.link.udp import split

# At one time: whoever reaches the port must not use up the process's threads and descriptors.
SCRAPES_MAX = 8
# Without a byte for so long, a client is let go.
SILENT_S = 5.0
# An fsync of a good disk takes 0.1 ms, of an SD card 100 ms.
_FSYNC_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_DECIDE_BUCKETS_S = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True)
class Samples:
    """One moment. gauges, counters: {name: value}; by_...: {(name, label): {label value: count}}.

    Names without the `writ_governor_` in front of them; None is left out.
    """

    gauges: Mapping[str, float | None] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    by_label: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)


_HELP = {
    "epoch": "Policy epoch in force.",
    "height": "Height being decided.",
    "round": "Round of the height being decided.",
    "pending": "Proposals that wait.",
    "peers_heard": "Other governors heard within the last 15 seconds.",
    "clocks_off": "Other governors whose clock differs from ours by more than the charter allows.",
    "beacon_age_seconds": "Age of the newest beacon by this machine's clock.",
    "decisions": "Ordered values decided.",
    "certified": "Capsules certified, by kind.",
    "refused": "Proposals refused.",
    "accused": "Times a governor was caught at what no honest one does.",
    "rejections": "Messages of devices that were refused, by name.",
    "peering": "What happened among governors, by name.",
    "datagrams_sent": "Datagrams sent, by governor.",
    "datagrams_received": "Datagrams received, by governor.",
    "datagrams_unread": "Datagrams dropped since too much of that governor waited.",
    "bytes_sent": "Bytes sent, by governor.",
    "bytes_received": "Bytes received, by governor.",
}


class Request(WSGIRequestHandler):
    """One scrape; nothing of it is logged."""

    timeout = SILENT_S

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self._free = threading.Semaphore(SCRAPES_MAX)
        super().__init__((host, port), Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # it was silent, or has gone
        pass


class Metrics(Collector):
    """All of a daemon's metrics, and the server that shows them (`serve`)."""

    def __init__(self) -> None:
        self._snapshot = Samples()
        self._server: WSGIServer | None = None
        self._fsyncs_s: list[float] = []
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._fsync = Histogram(
            "writ_governor_fsync_seconds",
            "How long a write to the ledger took until the disk had it.",
            buckets=_FSYNC_BUCKETS_S,
            registry=self.registry,
        )
        self._decide = Histogram(
            "writ_governor_decide_seconds",
            "From a proposal's arrival here, or its last approval, to its certificate.",
            buckets=_DECIDE_BUCKETS_S,
            registry=self.registry,
        )

    def observe_fsync(self, seconds: float) -> None:
        """A write that the disk has; shown when the next moment is published."""
        self._fsyncs_s.append(seconds)

    def observe_decide(self, seconds: float) -> None:
        """A proposal that was certified."""
        self._decide.observe(seconds)

    def publish(self, snapshot: Samples) -> None:
        """What the next scrapes show."""
        for seconds in self._fsyncs_s:
            self._fsync.observe(seconds)
        self._fsyncs_s.clear()
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client wants it; called by the server's thread."""
        now = self._snapshot
        for name, value in now.gauges.items():
            if value is not None:
                yield GaugeMetricFamily(f"writ_governor_{name}", _HELP[name], value=value)
        for name, value in now.counters.items():
            yield CounterMetricFamily(f"writ_governor_{name}", _HELP[name], value=value)
        for (name, label), values in now.by_label.items():
            family = CounterMetricFamily(f"writ_governor_{name}", _HELP[name], labels=[label])
            for key, value in sorted(values.items()):
                family.add_metric([key], value)
            yield family

    def serve(self, address: str) -> None:
        """Answer HTTP at "host:port", in a thread of its own. Raises `UsageError`, `OSError`."""
        try:
            host, port = split(address)
        except ValueError:
            raise UsageError(f"{address!r} is not HOST:PORT") from None
        self._server = _Server(host, port)
        self._server.set_app(make_wsgi_app(self.registry))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port if self._server else 0

    def close(self) -> None:
        """Stop the server."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
