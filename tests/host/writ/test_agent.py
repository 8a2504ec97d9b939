"""The agent's loop: events that must not stop a device, and requests to its gateways."""

import json
import os
import pty
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import signer
from agent_rig import Clock, Restarted, Spy
from fakeflash import MemoryFlash
from node_rig import EXPIRES, GATEWAY, SENSOR, make, private
from node_rig import member as certified

from writ import agent, crypto
from writ.authority.authority import Authority
from writ.authority.capsule import node_id
from writ.authority.store import FileFlash, Store
from writ.node import asking, delegate
from writ.startup import load_key
from writ.wire.blockwise import block_encode
from writ.wire.coap import BLOCK1, CON, GET, OSCORE, POST, Message, decode


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


def test_a_full_heap_loses_a_message_and_the_device_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = Message(CON, GET, 7, b"t")
    message.add_path("writ/request")
    node = node_in(tmp_path, message.encode())

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(node.sync, "serve", full)
        node.step(0)
    assert node.counters == {"MemoryError": 1} and node.link.sent == []
    # the sender repeats it, and it is not treated as a duplicate
    node.link.datagrams.append(message.encode())
    node.step(0)
    ((_, data),) = node.link.sent
    assert decode(data).mid == 7 and decode(data).payload


def test_a_full_heap_while_receiving_does_not_stop_the_device(tmp_path: Path) -> None:
    node = node_in(tmp_path)

    def full(timeout_ms: int) -> None:
        raise MemoryError

    node.link.receive = full
    gone = []
    node.sessions.give_way = lambda: gone.append("oldest")
    node.step(0)
    # otherwise it would never have room to receive again
    assert node.counters == {"MemoryError": 1} and gone == ["oldest"]


def test_a_heap_without_room_to_receive_does_not_stop_the_ticks(tmp_path: Path) -> None:
    node = node_in(tmp_path)
    node.clock = Clock()

    def full(timeout_ms: int) -> None:
        raise MemoryError

    node.link.receive = full
    for now in range(1000, 5000, 1000):
        node.clock.now = now
        node.step(0)
    # each second step does the ticks, whose time-outs free memory
    assert node.now_ms == 4000 and node.counters == {"MemoryError": 2}


class Rare:
    """`receive` of a node whose heap is full for so many datagrams."""

    def __init__(self, node: agent.Node, count: int) -> None:
        self._receive, self._count = node.receive, count
        node.receive = self

    def __call__(self, *datagram: Any) -> object:
        self._count -= 1
        if self._count >= 0:
            raise MemoryError
        return self._receive(*datagram)


def node_with_strangers(path: Path, *datagrams: bytes) -> tuple[agent.Node, list[str]]:
    """A node with an upload of a stranger, and which sessions it has evicted."""
    begun = Message(CON, POST, 5, b"u", bytes(256))
    begun.add_path("writ")
    begun.add(BLOCK1, block_encode(0, True, 4))
    node = node_in(path, begun.encode())
    node.step(0)
    assert node.server.stranger_uploads.transfers and node.exchanges.seen[0]
    node.link.datagrams.extend(datagrams)
    gone: list[str] = []
    node.sessions.give_way = lambda: gone.append("oldest")
    return node, gone


def has_strangers(node: agent.Node) -> bool:
    return bool(node.server.stranger_uploads.transfers or node.exchanges.seen[0])


def test_a_stranger_whose_datagrams_fill_the_heap_evicts_no_session(tmp_path: Path) -> None:
    plain = Message(CON, GET, 7, b"t")
    plain.add_path("writ/request")
    node, gone = node_with_strangers(tmp_path, *[plain.encode()] * 5)
    Rare(node, 5)
    for _ in range(5):
        node.step(0)
    assert node.counters["MemoryError"] >= 2 and gone == [] and not has_strangers(node)


def test_a_member_that_finds_a_full_heap_displaces_strangers_first(tmp_path: Path) -> None:
    member = Message(CON, GET, 8, b"t", bytes(9))
    member.add(OSCORE, b"\x09\x00\x05")
    node, gone = node_with_strangers(tmp_path, member.encode())
    Rare(node, 1)
    node.step(0)
    # it is served at once, without a retransmission
    assert node.counters == {"MemoryError": 1, "UnknownContext": 1} and gone == []
    assert not node.server.stranger_uploads.transfers
    # only if there is no room even then, the least recently used session ends
    node.link.datagrams.append(member.encode()[:-1])
    Rare(node, 2)
    node.step(0)
    assert node.counters["MemoryError"] == 3 and gone == ["oldest"]


def test_work_that_finds_a_full_heap_displaces_strangers_first(tmp_path: Path) -> None:
    node, gone = node_with_strangers(tmp_path)
    node.tick = lambda now_ms: bytearray(1 << 60)
    node.step(0)
    assert node.counters == {"MemoryError": 1} and gone == [] and not has_strangers(node)
    node.step(0)
    assert gone == ["oldest"]


def test_a_flood_does_not_keep_a_member_waiting(tmp_path: Path) -> None:
    plain = Message(CON, GET, 7, b"t")
    plain.add_path("writ/request")
    member = Message(CON, GET, 8, b"t", bytes(9))
    member.add(OSCORE, b"\x09\x00\x05")
    node = node_in(tmp_path, *[plain.encode(), b"garbage"] * 100, member.encode())
    handled = []
    receive = node.receive
    node.receive = lambda data, *more: handled.append(data) or receive(data, *more)  # type: ignore
    while node.link.datagrams:
        node.step(0)
    # the first step takes all; the next ones find that strangers send more than the node can do
    assert len(handled) < 50 and handled[-1] == member.encode()
    assert node.counters["UnknownContext"] == 1
    assert node.counters["RateLimited"] == 201 - len(handled)
    # afterwards a stranger is served again
    node.step(0)
    node.link.datagrams.append(plain.encode())
    node.step(0)
    assert handled[-1] == plain.encode()


def test_a_full_heap_at_a_request_costs_an_operation_one_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the peer counted as asked, and was never asked again
    node = node_in(tmp_path, governors=["10.0.0.1:1"])
    node.clock = Clock()
    done: list[Any] = []
    node.delegate.fetch(bytes(32), done.append)
    asked = []

    def request(*words: object) -> list[tuple[str, bytes]]:
        asked.append(words)
        if len(asked) == 1:
            raise MemoryError
        return []

    monkeypatch.setattr(node, "request", request)
    for now in (0, 0, 1000, 2000):
        node.clock.now = now
        node.step(0)
    assert len(asked) == 2 and done == [] and node.counters == {"MemoryError": 1}


def member(expires: int) -> Any:
    return SimpleNamespace(expires=expires, key_epoch=0)


def renewals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **config: object) -> list[int]:
    """The times of renewal requests of a node whose membership ends after 30 days and 10 s."""
    node = node_in(tmp_path, **config)
    node.authority.me = member(30 * 86400 + 10)
    node.clock = Clock()
    spy = Spy()
    monkeypatch.setattr(delegate, "Delegate", spy)
    monkeypatch.setattr(asking, "Asking", spy)
    operation = SimpleNamespace(due_ms=0, end_ms=1 << 40)
    node._delegate_state[1].append(operation)
    asked: list[object] = []

    def request(*words: object) -> list[tuple[str, bytes]]:
        assert node._delegate is None
        asked.append(words)
        return [("governor:1", b"tick")]

    monkeypatch.setattr(node, "request", request)
    monkeypatch.setattr(node.sync, "ask_beacon", lambda address: [])
    for now in range(0, 7300000, 5000):
        node.clock.now = now
        node.step(0)
    # it has its time when something is due
    assert len(node.link.sent) == len(asked) == 1460
    node._lock.close()
    operation.due_ms = node.clock.now + 1
    node.step(0)
    assert len(asked) == 1460 and node._delegate is None
    return spy.renewed


def test_membership_that_ends_soon_is_renewed_once_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for config in ({"gateways": ["10.0.0.1:1"]}, {"governors": ["10.0.0.1:1"]}):
        assert renewals(tmp_path, monkeypatch, **config) == [15000, 3615000, 7215000]


def test_membership_is_not_renewed_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without a peer to ask, with renewal switched off, and long before the expiry
    for config in (
        {},
        {"gateways": ["10.0.0.1:1"], "renew_days": 0},
        {"governors": ["10.0.0.1"], "renew_days": 29},
    ):
        assert renewals(tmp_path, monkeypatch, **config) == []


def test_delegate_is_made_when_it_is_first_used(tmp_path: Path) -> None:
    node = node_in(tmp_path, gateways=["10.0.0.1:1"], governors=["10.0.0.2:1"])
    assert node._delegate is None
    assert node.delegate is node.delegate and node.delegate._asking._peers == ["10.0.0.2:1"]


def test_a_gateway_is_asked_again_soon_until_there_is_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_in(tmp_path, gateways=["10.0.0.1:1"], renew_days=0)
    node.authority.charter = object()
    node.authority.me = member(1 << 33)
    greeted = []
    has_session: list[bool] = []

    node.clock = Clock()
    monkeypatch.setattr(node.sync, "ask_beacon", lambda address: greeted.append(node.now_ms) or [])
    session = SimpleNamespace(is_writ=True, shown=node.authority.me)
    monkeypatch.setattr(
        node.sessions, "by_address", lambda address: session if has_session else None
    )
    for now in range(0, 8001, 1000):
        node.clock.now = now
        node.step(0)
    assert greeted == [0, 4000, 8000]
    has_session.append(True)
    for now in range(9000, 80001, 1000):
        node.clock.now = now
        node.step(0)
    assert greeted == [0, 4000, 8000, 12000, 42000, 72000]


def test_a_gateway_is_greeted_as_soon_as_the_node_is_a_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # charter and membership come in two messages: 30 s went by before the gateway knew the node
    node = node_in(tmp_path, gateways=["10.0.0.1:1"], renew_days=0)
    node.authority.charter = object()
    node.clock = Clock()
    did = []
    monkeypatch.setattr(node.client, "catch_up", lambda *words: did.append("catch up") or [])
    monkeypatch.setattr(node.sync, "ask_beacon", lambda address: did.append("greet") or [])
    node.step(0)
    node.authority.me = member(1 << 33)
    for now in (100, 200):
        node.clock.now = now
        node.step(0)
    assert did == ["catch up", "greet"]


@pytest.mark.parametrize("is_lost", [False, True])
def test_gateways_learn_a_new_name_without_a_refusal(is_lost: bool) -> None:
    flash = MemoryFlash()
    make("soil", 2, SENSOR, flash=flash)
    soil = Restarted(flash, make("gw", 1, GATEWAY))
    node, net, step = soil.node, soil.net, soil.step
    step()
    node.authority.receive(certified("field-1", 2, SENSOR, EXPIRES + 1, key="soil"), net.now_ms)
    if is_lost:
        net.change = lambda source, target, data: ()
        step()
        # longer than a message is repeated (RFC 7252, section 4.8.2: 93 s)
        net.run(100000)
        net.change = None
    # an unanswered request of the silence is repeated as long, and others to the gateway wait
    step(100000)
    known = net.nodes["gw"].authority.peer(node_id(crypto.p256_public(private("soil"))[0]))
    assert known.name == "field-1"
    net.log.clear()
    step(40000)
    # once is enough: from now on only the beacon is asked for
    assert len(net.log) == 2


def test_a_node_says_who_it_is_when_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_in(tmp_path, listen="127.0.0.1:5683")
    node.later(lambda now_ms: node.stop() or [])
    node.run()
    own_id = node_id(crypto.p256_public(node.private)[0])
    assert capsys.readouterr().out == f"soil, node id {own_id.hex()}, listens at 127.0.0.1:5683\n"


def test_a_node_without_a_port_does_not_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_in(tmp_path, listen="127.0.0.1:0")
    node.announce()
    assert capsys.readouterr().out.endswith(
        node_id(crypto.p256_public(node.private)[0]).hex() + "\n"
    )


def test_a_renamed_member_starts_under_its_new_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_in(tmp_path, listen="127.0.0.1:5683")
    # config.json keeps the name from before the renaming
    node.authority.me = SimpleNamespace(name="field-1")
    node.announce()
    assert capsys.readouterr().out.startswith("field-1, node id ")


def test_a_node_on_ip_goes_on_after_a_deep_sleep(tmp_path: Path) -> None:
    # with keys that operators gave
    (tmp_path / "config.json").touch(0o600)
    peer = {"member": certified("hub", 1, GATEWAY).hex(), "secret": "11" * 16, "salt": ""}
    config = {"oscore": [{**peer, "id": "01", "peer_id": "02"}], "listen": "127.0.0.1:0"}
    store = Store(FileFlash(str(tmp_path)))
    Authority(store, crypto.p256_public(load_key(store))[0], signer.scope()).receive(
        signer.charter(), 0
    )
    numbers = []
    for _ in range(3):
        node = node_in(tmp_path, **config)
        (preshared,) = node.sessions
        numbers += [preshared.context.next_piv() for _ in range(2)]
        with pytest.raises(SystemExit):
            node.sleep(60, deep=True)
        node._lock.close()
    assert numbers == [bytes((number,)) for number in range(6)]
    # an ordinary start skips what is reserved
    (tmp_path / "sleep.a").write_bytes(b"")
    (tmp_path / "sleep.b").write_bytes(b"")
    (preshared,) = node_in(tmp_path, **config).sessions
    assert preshared.context.sequence > 64


def test_a_name_in_a_mesh_that_is_not_known_has_no_way(tmp_path: Path) -> None:
    port = os.ttyname(pty.openpty()[1])
    node = node_in(tmp_path, links=[{"kind": "serial", "port": port}], listen="127.0.0.1:0")
    answers: list[Any] = []
    node.link = None
    node.ask("gate", GET, "temp", on_answer=answers.append)
    node.ask("gate", GET, "temp")
    assert [type(one.rejection).__name__ for one in answers] == ["NoRoute"]
    assert node.counters == {"NoRoute": 2} and node.link is not None
    node.link.close()
