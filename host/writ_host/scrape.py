"""Metrics in Prometheus' text format (prometheus.io/docs/instrumenting), served over HTTP.

A daemon's loop calls `publish` once a second. The server's thread reads only published samples,
never the daemon itself.
"""

import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from writ.errors import UsageError

from . import inet

# Connections at one time, so that clients cannot use up the process's threads and descriptors.
SCRAPES_MAX = 8
# A client that has not sent its request after so long is disconnected.
CLIENT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Samples:
    """The samples of one moment. Names lack the prefix of the `Exporter`.

    gauges, counters: {name: value}, a gauge of None is left out; by_label: counters as
    {(name, label): {label value: count}}; labelled: gauges as {(name, labels): {values: value}}.
    """

    gauges: dict[str, float | None] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    by_label: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    labelled: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], float]] = field(
        default_factory=dict
    )


class _UntilDeadline(io.RawIOBase):
    """Reads a connection until CLIENT_TIMEOUT_S after the start; then raises `TimeoutError`.

    The timeout of a socket begins anew with each byte.
    """

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection = connection
        self._end_s = time.monotonic() + timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        rest_s = self._end_s - time.monotonic()
        if rest_s <= 0:
            raise TimeoutError
        self._connection.settimeout(rest_s)
        return self._connection.recv_into(buffer)


class ScrapeHandler(WSGIRequestHandler):
    """Handles one scrape, without logging."""

    timeout = CLIENT_TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_UntilDeadline(self.connection, self.timeout))

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self._free_slots = threading.Semaphore(SCRAPES_MAX)
        self.address_family, address = inet.look_up(host, port)
        super().__init__(address, ScrapeHandler)

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


class Exporter(Collector):
    """The published samples as metrics, and their HTTP server (`serve`).

    prefix: of all names; meanings: {name: help text}.
    """

    def __init__(self, prefix: str, meanings: Mapping[str, str]) -> None:
        self._prefix, self._meanings = prefix, meanings
        self._samples = Samples()
        self._server: WSGIServer | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def publish(self, samples: Samples) -> None:
        """Set the samples that the next scrapes return."""
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """The metrics for prometheus_client, which calls this in the server's thread."""
        now = self._samples
        for name, value in now.gauges.items():
            if value is not None:
                yield GaugeMetricFamily(self._prefix + name, self._meanings[name], value=value)
        for name, value in now.counters.items():
            yield CounterMetricFamily(self._prefix + name, self._meanings[name], value=value)
        for (name, label), values in now.by_label.items():
            family = CounterMetricFamily(self._prefix + name, self._meanings[name], labels=[label])
            for key, value in sorted(values.items()):
                family.add_metric([key], value)
            yield family

        for (name, labels), rows in now.labelled.items():
            gauge = GaugeMetricFamily(self._prefix + name, self._meanings[name], labels=labels)
            for row, value in sorted(rows.items()):
                gauge.add_metric(row, value)
            yield gauge

    def serve(self, address: str) -> None:
        """Start the HTTP server at "host:port" in a thread. Raises `UsageError`, `OSError`."""
        try:
            host, port = inet.split(address)
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
