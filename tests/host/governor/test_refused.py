"""Refusals of parties without a session: counted in status and metrics, rarely in the log."""

import socket

import pytest
from daemon_rig import Driven

from writ.wire import coap
from writ.wire.coap import Message
from writ_host.governor import snapshot
from writ_host.governor.peering.bootstrap import REQUESTS_BURST
from writ_host.node import refusallog


class Stranger:
    """A socket that sends plain requests to a daemon."""

    def __init__(self, driven: Driven) -> None:
        self._driven = driven
        self._to = driven.daemon.endpoint.socket.getsockname()
        self._mid = 0

    def send(self, count: int, method: int, path: str) -> list[bytes]:
        """The answers to so many requests."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            sender.setblocking(False)
            answers: list[bytes] = []
            for _ in range(count):
                self._mid += 1
                message = Message(coap.CON, method, self._mid, b"t")
                message.add_path(path)
                sender.sendto(message.encode(), self._to)
                self._driven.daemon.endpoint.on_readable(0)
                try:
                    answers.append(bytes(coap.decode(sender.recv(2048)).payload))
                except BlockingIOError:
                    continue
            return answers


def test_refusals_are_counted_in_status_and_metrics(driven: Driven) -> None:
    stranger = Stranger(driven)
    assert stranger.send(2, coap.GET, "founding/00") == [b"85 NotFound"] * 2
    assert stranger.send(3, coap.PUT, "founding") == [b"86 WrongMethod"] * 3
    governor = driven.daemon.governor
    expected = {"NotFound": 2, "WrongMethod": 3}
    assert snapshot.status(governor)["rejected"]["founding"] == expected
    assert snapshot.samples(governor).by_label["founding", "name"] == expected
    driven.daemon.metrics.publish(snapshot.samples(governor))
    text = {
        (sample.labels.get("name"), sample.value)
        for family in driven.daemon.metrics.collect()
        for sample in family.samples
        if sample.name == "writ_governor_founding_total"
    }
    assert text == {("NotFound", 2), ("WrongMethod", 3)}


def test_a_flood_of_refused_requests_makes_one_line_a_minute(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driven.daemon, "now_ms", lambda: 1000)
    monkeypatch.setattr(driven.daemon.endpoint, "_now_ms", lambda: 1000)
    stranger = Stranger(driven)
    answers = stranger.send(REQUESTS_BURST + 50, coap.PUT, "founding")
    # beyond the rate limit there is no answer, which would double the flood
    assert len(answers) == REQUESTS_BURST
    assert driven.daemon.endpoint.refused == {"WrongMethod": REQUESTS_BURST, "RateLimited": 50}
    assert [one["reason"] for one in driven.named("rejected")] == ["WrongMethod", "RateLimited"]
    monkeypatch.setattr(driven.daemon, "now_ms", lambda: 1000 + refusallog.WINDOW_MS)
    driven.turn()
    counts = {one["reason"]: one["count"] for one in driven.named("refusals")}
    assert counts == {"WrongMethod": REQUESTS_BURST - 1, "RateLimited": 49}
    assert len(driven.named("rejected")) == 2


def test_asking_for_a_ceremony_that_is_not_there_yet_is_not_logged(driven: Driven) -> None:
    """Every founding begins with that question."""
    Stranger(driven).send(1, coap.GET, "founding/00")
    driven.turn()
    assert not driven.named("rejected")
