"""The metrics of a governor, served in Prometheus' text format (prometheus.io/docs/instrumenting).

The daemon's loop calls `observe_...` and, once a second, `publish`. The server's thread reads only
published samples, never the governor itself. Labels hold nothing secret: names of governors, of
rejections and of kinds of capsules.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from writ.errors import UsageError
from writ.link.udp import split

# Connections at one time, so that clients cannot use up the process's threads and descriptors.
SCRAPES_MAX = 8
# A client that sends nothing for so long is disconnected.
CLIENT_TIMEOUT_S = 5.0
# An fsync of a good disk takes 0.1 ms, of an SD card 100 ms.
_FSYNC_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_DECIDE_BUCKETS_S = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True)
class Samples:
    """The samples of one moment. Names lack the prefix `writ_governor_`.

    gauges, counters: {name: value}, a gauge of None is left out; by_label: counters as
    {(name, label): {label value: count}}.
    """

    gauges: dict[str, float | None] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    by_label: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)


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


class ScrapeHandler(WSGIRequestHandler):
    """Handles one scrape, without logging."""

    timeout = CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self._free_slots = threading.Semaphore(SCRAPES_MAX)
        super().__init__((host, port), ScrapeHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free_slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free_slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # the client sent nothing, or has disconnected
        pass


class Metrics(Collector):
    """All metrics of a governor, and their HTTP server (`serve`)."""

    def __init__(self) -> None:
        self._samples = Samples()
        self._server: WSGIServer | None = None
        self._fsyncs_s: list[float] = []
        self.registry = CollectorRegistry()
        self.registry.register(self)
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
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """The metrics for prometheus_client, which calls this in the server's thread."""
        now = self._samples
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
        """Start the HTTP server at "host:port" in a thread. Raises `UsageError`, `OSError`."""
        try:
            host, port = split(address)
        except ValueError:
            raise UsageError(f"{address!r} is not HOST:PORT") from None
        self._server = _Server(host, port)
        self._server.set_app(make_wsgi_app(self.registry))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """The server's TCP port, 0 without a server."""
        return self._server.server_port if self._server else 0

    def close(self) -> None:
        """Stop the server."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
