"""The metrics over HTTP, also while clients hold connections open."""

import socket
import threading
import time
import urllib.request

import pytest

from writ_host import scrape
from writ_host.governor.metrics import Metrics
from writ_host.scrape import Samples

pytestmark = pytest.mark.slow


def test_metrics_over_http() -> None:
    metrics = Metrics()
    metrics.serve("127.0.0.1:0")
    try:
        metrics.observe_fsync(0.002)
        metrics.observe_decision(0.02)
        metrics.publish(
            Samples(
                {"epoch": 3, "beacon_age_seconds": None},
                {"decisions": 2},
                {("bytes_sent", "governor"): {"b": 7.0, "a": 5.0}},
            )
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        metrics.close()
    for line in (
        "writ_governor_epoch 3.0",
        "writ_governor_decisions_total 2.0",
        'writ_governor_bytes_sent_total{governor="a"} 5.0',
        'writ_governor_fsync_seconds_bucket{le="0.003"} 1.0',
        "writ_governor_decide_seconds_count 1.0",
    ):
        assert line in text.splitlines()
    assert "beacon_age" not in text


def test_clients_that_send_slowly_leave_room_for_a_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape.ScrapeHandler, "timeout", 0.5)
    metrics = Metrics()
    metrics.serve("127.0.0.1:0")
    slow = [
        socket.create_connection(("127.0.0.1", metrics.port)) for _ in range(scrape.SCRAPES_MAX)
    ]
    try:
        for link in slow:
            link.sendall(b"GET /metrics HTTP/1.1\r\n")
        waiting = set(slow)
        # a header each, more often than the timeout; after a hundred the server would refuse them
        for _ in range(60):
            time.sleep(0.1)
            for link in list(waiting):
                try:
                    link.sendall(b"X: 1\r\n")
                except OSError:
                    waiting.discard(link)
        assert not waiting
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            assert answer.status == 200
    finally:
        for link in slow:
            link.close()
        metrics.close()


def test_open_connections_do_not_exhaust_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scrape.ScrapeHandler, "timeout", 0.5)
    metrics = Metrics()
    metrics.serve("127.0.0.1:0")
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", metrics.port)) for _ in range(40)]
    try:
        # all but SCRAPES_MAX are closed at once, the others when their timeout is over
        for link in idle:
            link.settimeout(10)
            assert link.recv(1) == b""
            assert threading.active_count() - before <= scrape.SCRAPES_MAX
        while threading.active_count() > before:
            time.sleep(0.01)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            assert answer.status == 200
    finally:
        for link in idle:
            link.close()
        metrics.close()
