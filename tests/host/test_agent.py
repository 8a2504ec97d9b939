"""The agent's loop: what must not stop a device, and when it greets its gateways."""

import json
from pathlib import Path

import pytest

from writ import agent
from writ.coap import CON, GET, Message, decode


class Link:
    """A link with a script: datagrams that come in, and all that was sent."""

    def __init__(self, *datagrams: bytes) -> None:
        self.datagrams = list(datagrams)
        self.sent: list[tuple[str, bytes]] = []

    def receive(self, timeout_ms: int) -> tuple[bytes, str] | None:
        return (self.datagrams.pop(0), "peer:1") if self.datagrams else None

    def send(self, address: str, data: bytes) -> None:
        self.sent.append((address, data))


def node_in(path: Path, *datagrams: bytes, **config: object) -> agent.Node:
    (path / "config.json").write_text(json.dumps({"name": "soil", **config}))
    node = agent.Node.load(str(path))
    node.link = Link(*datagrams)
    return node


def test_heap_that_is_full_loses_a_message_and_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = Message(CON, GET, 7, b"t")
    message.add_path("writ/request")
    node = node_in(tmp_path, message.encode(), message.encode())

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(node.governance, "serve", full)
        node.step(0)
    assert node.counters == {"MemoryError": 1} and node.link.sent == []
    # the sender repeats it, and is not taken for one that was answered
    node.step(0)
    ((_, data),) = node.link.sent
    assert decode(data).mid == 7 and decode(data).payload


def test_heap_that_is_full_while_receiving_is_survived(tmp_path: Path) -> None:
    node = node_in(tmp_path)

    def full(timeout_ms: int) -> None:
        raise MemoryError

    node.link.receive = full
    node.step(0)
    assert node.counters == {"MemoryError": 1}


def test_gateway_is_greeted_again_soon_until_there_is_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_in(tmp_path, gateways=["gate:1"])
    node.authority.me = object()
    greeted = []
    has_session: list[bool] = []

    class Clock:
        now = 0

        def now_ms(self) -> int:
            return self.now

    node.clock = Clock()
    monkeypatch.setattr(
        node.governance, "ask_beacon", lambda address: greeted.append(node.now_ms) or []
    )
    monkeypatch.setattr(node.sessions, "by_address", lambda address: bool(has_session))
    for now in range(0, 8001, 1000):
        node.clock.now = now
        node.step(0)
    assert greeted == [0, 4000, 8000]
    has_session.append(True)
    for now in range(9000, 80001, 1000):
        node.clock.now = now
        node.step(0)
    assert greeted == [0, 4000, 8000, 12000, 42000, 72000]
