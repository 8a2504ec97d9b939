"""Requests from MQTT: what the node's policy allows, and no more, whatever a client sends."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bridge_rig import BridgeProcess, bridge_folder, toml
from field_rig import OPERATOR, Field, writ, writ_json, write_book
from mosquitto_rig import (
    ANSWER,
    Client,
    Mosquitto,
    ask,
    needs_mosquitto,
    properties,
    wait_for,
)
from paho.mqtt.client import topic_matches_sub

from writ.errors import TimedOut
from writ.wire import coap
from writ_host.bridge import requests as requests_module
from writ_host.bridge import topics
from writ_host.bridge.broker import Received
from writ_host.bridge.members import Outcome
from writ_host.bridge.requests import (
    AT_ONCE,
    BURST,
    MESH_TIMEOUT_MS,
    QUEUE_MAX,
    TIMEOUT_MS,
    Reply,
    Requests,
)
from writ_host.bridge.settings import RequestSettings

SCOPE = bytes(8)

# --- against a real broker and a real device ------------------------------------------------------

REQUESTS = "[requests]\nper_minute = 600\n"


@pytest.fixture
def bridge(field: Field, broker: Mosquitto) -> Iterator[BridgeProcess]:
    """A bridge that takes requests, and the device "soil"."""
    device = field.device("soil")
    path = bridge_folder(field, toml(broker.port, REQUESTS), soil=device.address)
    bridge = BridgeProcess(path).start()
    bridge.wait_for("connected")
    yield bridge
    bridge.kill()


@needs_mosquitto
@pytest.mark.slow
def test_requests_are_judged_by_the_called_node(
    field: Field, broker: Mosquitto, bridge: BridgeProcess
) -> None:
    root = f"writ/{field.scope.id.hex()}/soil"
    with Client(broker.port) as client:
        answer = ask(client, f"{root}/temp/get")
        assert (answer.payload, properties(answer)) == (b"21.1", {"code": "2.05"})
        assert not answer.retain
        answer = ask(client, f"{root}/note/set", b"first")
        assert (answer.payload, properties(answer)) == (b"", {"code": "2.04"})
        ask(client, f"{root}/note/post", b" second")
        assert ask(client, f"{root}/note/get").payload == b"first second"
        # no rule allows it
        refused = {"code": "4.03", "refusal": "NotAllowed", "refusal_code": "40"}
        for word in ("secret/get", "secret/set", "temp/set"):
            answer = ask(client, f"{root}/{word}", b"1")
            assert answer.payload.startswith(b"40 NotAllowed")
            assert properties(answer) == refused
        answer = ask(client, f"{root}/missing/get")
        assert properties(answer)["refusal"] == "NotFound"
        answer = ask(client, f"writ/{field.scope.id.hex()}/stranger/temp/get")
        assert (answer.payload, properties(answer)) == (
            b"UnknownNode",
            {"refusal": "UnknownNode"},
        )
        wait_for(lambda: bridge.metric('requests_refused_total{reason="NotAllowed"}') >= 3)
        assert bridge.metric("requests_total") >= 4


@needs_mosquitto
@pytest.mark.slow
def test_a_stored_command_is_never_carried_out(
    field: Field, broker: Mosquitto, bridge: BridgeProcess
) -> None:
    root = f"writ/{field.scope.id.hex()}/soil"
    with Client(broker.port) as client:
        client.publish(f"{root}/note/set", b"stored", retain=True)
        bridge.wait_for("refused", reason="request Retained")
        assert ask(client, f"{root}/note/get").payload == b""
        # neither does the next connection
        bridge.kill()
        bridge.start()
        bridge.wait_for("connected", 2)
        assert ask(client, f"{root}/note/get").payload == b""
        # and a command that came while the bridge was away is gone
        bridge.kill()
        client.publish(f"{root}/note/set", b"late")
        bridge.start()
        bridge.wait_for("connected", 3)
        assert ask(client, f"{root}/note/get").payload == b""


@needs_mosquitto
@pytest.mark.slow
def test_a_switch_is_set_and_shows_its_state(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    more = '[[reading]]\nnode = "soil"\nresource = "note"\nplatform = "switch"\nevery_s = 3600\n'
    path = bridge_folder(field, toml(broker.port, REQUESTS + more), soil=device.address)
    bridge = BridgeProcess(path).start()
    topic = f"writ/{field.scope.id.hex()}/soil/note"
    try:
        with Client(broker.port) as client:
            client.wait(topic)
            client.publish(f"{topic}/set", b"1")
            # read again at once, not after an hour
            wait_for(lambda: json.loads(client.at(topic)[-1])["value"] == 1)
            shown = writ_json_lines(path, bridge)
            (switch,) = shown["components"].values()
            assert switch["command_topic"] == f"{topic}/set"
            assert (switch["payload_on"], switch["payload_off"]) == ("1", "0")
    finally:
        bridge.kill()


def writ_json_lines(path: Any, bridge: BridgeProcess) -> dict[str, Any]:
    """The discovery of "soil" that a dry run shows."""
    bridge.kill()
    lines = writ("bridge", "run", path, "--dry-run", "--json").stdout.splitlines()
    payloads = [json.loads(line).get("payload") for line in lines]
    found = [one for one in payloads if isinstance(one, dict) and one["device"]["name"] == "soil"]
    return found[0]  # type: ignore[no-any-return]


@needs_mosquitto
@pytest.mark.slow
def test_without_the_table_no_request_is_taken(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    path = bridge_folder(field, toml(broker.port), soil=device.address)
    bridge = BridgeProcess(path).start()
    root = f"writ/{field.scope.id.hex()}/soil"
    try:
        with Client(broker.port) as client:
            client.wait(f"{root}/temp")
            client.publish(f"{root}/note/set", b"1", ResponseTopic=ANSWER)
            count = len(client.at(f"{root}/temp"))
            wait_for(lambda: len(client.at(f"{root}/temp")) > count + 1)
            assert client.at(ANSWER) == []
        path = field.folder("other", OPERATOR)
        write_book(path, soil=device.address)
        assert writ_json("get", "soil/note", "--node", path)["text"] == ""
    finally:
        bridge.kill()


# --- bounds, without a network --------------------------------------------------------------------


class Calls:
    """Stands in place of `Members`: keeps the calls, so that a test ends them when it wants."""

    def __init__(self) -> None:
        self.open: list[tuple[str, int, str, bytes, Any]] = []
        self.in_mesh: set[str] = set()

    def is_in_mesh(self, name: str) -> bool:
        return name in self.in_mesh

    def call(self, name: str, method: int, path: str, payload: bytes, on_outcome: Any) -> None:
        self.open.append((name, method, path, payload, on_outcome))


class Log:
    """Requests, and what they have answered and refused."""

    def __init__(self, per_minute: int = 6000) -> None:
        self.calls = Calls()
        self.answers: list[tuple[bytes, Reply]] = []
        self.changed: list[tuple[str, str]] = []
        members: Any = self.calls
        self.requests = Requests(
            RequestSettings(per_minute=per_minute),
            SCOPE,
            members,
            lambda message, reply: self.answers.append((message.correlation, reply)),
            lambda *_: None,
            lambda *what: self.changed.append(what),
        )

    def send(
        self, node: str, mark: bytes = b"", now_ms: int = 0, path: str = "t", **more: Any
    ) -> None:
        """Receive a PUT."""
        topic = topics.request(SCOPE, node, path, "set")
        self.requests.receive(Received(topic, b"1", False, "writ-response/x", mark, **more), now_ms)


def test_a_nodes_requests_keep_their_order_and_a_silent_node_holds_up_no_other() -> None:
    log = Log()
    for mark in (b"1", b"2"):
        log.send("a", mark)
    for n in range(AT_ONCE):
        log.send(f"n{n}")
    # one call of each node, and no more than so many at one time
    assert [call[0] for call in log.calls.open] == ["a", *[f"n{n}" for n in range(AT_ONCE - 1)]]
    log.calls.open[0][4](Outcome(coap.CHANGED, b"done"))
    assert log.answers == [(b"1", Reply(b"done", "2.04"))]
    assert log.changed == [("a", "t")]
    log.requests.tick(1)
    assert [call[0] for call in log.calls.open][AT_ONCE:] == ["a"]
    # the sender hears that its time is over, and the node's late answer is no second one
    log.requests.tick(TIMEOUT_MS)
    number = TimedOut.code
    assert (b"2", Reply(b"%d TimedOut" % number, "", "TimedOut", number)) in log.answers
    count = len(log.answers)
    log.calls.open[AT_ONCE][4](Outcome(coap.CHANGED))
    assert len(log.answers) == count


def test_a_node_in_a_mesh_has_more_time() -> None:
    log = Log()
    log.send("a", b"1")
    log.calls.in_mesh.add("a")
    log.requests.tick(TIMEOUT_MS)
    assert not log.answers
    log.requests.tick(MESH_TIMEOUT_MS)
    assert [mark for mark, _ in log.answers] == [b"1"]


def test_the_queue_is_bounded() -> None:
    log = Log()
    nodes = [f"n{n % 50}" for n in range(AT_ONCE + QUEUE_MAX + 5)]
    for n, node in enumerate(nodes):
        log.send(node, now_ms=10 * n, path=f"p{n}")
    assert log.requests.refused["TableFull"] == 5


def test_one_topics_flood_leaves_the_others_their_share() -> None:
    log = Log(per_minute=60)
    for _ in range(100):
        log.send("a")
    log.send("b", b"other")
    assert log.requests.refused == {"RateLimited": 100 - BURST}
    log.send("a", now_ms=1000)
    assert log.requests.refused == {"RateLimited": 100 - BURST}
    refused = [reply for _, reply in log.answers if reply.refusal == "RateLimited"]
    assert 0 < len(refused) <= requests_module._ANSWERS


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("soil/temp/get", ("soil", "temp", coap.GET)),
        ("soil/valve/1/set", ("soil", "valve/1", coap.PUT)),
        ("soil/valve/set/set", ("soil", "valve/set", coap.PUT)),
        ("soil/log/post", ("soil", "log", coap.POST)),
        ("soil/get", None),
        ("soil/temp", None),
        ("soil/temp/delete", None),
        ("soil/te mp/get", None),
        ("soil/../get", ("soil", "..", coap.GET)),
        ("Soil/temp/get", None),
        ("capsule/policy/get", None),
        ("/temp/get", None),
        ("soil/$state/get", None),
    ],
)
def test_the_topic_of_a_request(topic: str, parts: object) -> None:
    assert topics.parse_request(SCOPE, f"writ/{SCOPE.hex()}/{topic}") == parts
    assert topics.parse_request(SCOPE, f"writ/{'f' * 16}/{topic}") is None
    assert topics.parse_request(SCOPE, f"x/writ/{SCOPE.hex()}/{topic}") is None


def test_filters_match_requests_and_no_readings() -> None:
    filters = topics.request_filters(SCOPE)
    for path in ("a", "a/b", "a/b/c", "a/b/c/d"):
        request = topics.request(SCOPE, "soil", path, "set")
        assert any(topic_matches_sub(one, request) for one in filters)
        reading = topics.reading(SCOPE, "soil", path)
        assert not any(topic_matches_sub(one, reading) for one in filters)
