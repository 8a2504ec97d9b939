"""Nodes that sleep, in virtual time: readings, requests, governance in the first window."""

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from airfield_rig import RELAY, AirField

from writ.limits import AWAKE_S_MAX, SLEEPERS_MAX
from writ.node.sleepers import note_sleep
from writ.sleep import _settle
from writ.sleeper import Sleeper
from writ.wire import coap
from writ_host.node.meshroutes import MeshRoutes

HOUR = 3600


def doze(field: AirField, name: str, seconds: int = HOUR) -> int:
    """Let a node do what is due, and sleep; how long it was awake, in ms."""
    awake_ms = settle(field, name)
    field.asleep.add(name)
    end_ms = field.now_ms + 1000 * seconds
    while field.now_ms < end_ms:
        field.step(1000)
    field.asleep.discard(name)
    return awake_ms


def settle(field: AirField, name: str, seconds: int = HOUR) -> int:
    """Let a node do what is due, up to the moment at which it may sleep."""
    frames = field.frames[name]
    frames.sleeper = Sleeper(frames, seconds, field.now_ms + 1000 * AWAKE_S_MAX)
    begin_ms = field.now_ms
    assert field.run(lambda: frames.sleeper.is_ready(field.now_ms), 600)
    frames.sleeper = None
    return field.now_ms - begin_ms


@pytest.fixture
def field() -> AirField:
    """A chain: gateway, relay, and a sensor that sleeps for an hour."""
    made = AirField()
    made.node("gate", 1, RELAY, is_gateway=True)
    made.node("hill", 2, RELAY)
    made.node("soil", 3, sleep_s=HOUR)
    made.line("gate", "hill", "soil")
    # it joins, within the time that it may stay awake
    assert settle(made, "soil") < 1000 * AWAKE_S_MAX
    assert made.frames["soil"].mesh.routing.rank == 2
    return made


def frames_to(field: AirField, address: int, since: int) -> list[bytes]:
    return [f for _, _, f in field.sent[since:] if int.from_bytes(f[6:8], "big") == address]


def test_a_node_with_nothing_to_do_is_awake_for_one_poll(field: AirField) -> None:
    doze(field, "soil")
    # the hourly beacon
    settle(field, "soil")
    before = len(field.sent)
    assert doze(field, "soil", 60) < 1000
    assert [len(frame) for frame in frames_to(field, 2, before)] == [22]


def test_a_reading_arrives_and_its_answer_too(field: AirField) -> None:
    doze(field, "soil")
    answer = field.ask("soil", "gate", "temp")
    assert answer.code == coap.CONTENT
    assert doze(field, "soil", 60) < 20000


def test_a_request_arrives_in_the_window_of_a_child(field: AirField) -> None:
    answers: list[object] = []
    field.ask("soil", "gate", "temp")
    settle(field, "soil")
    gate = field.nodes["gate"]
    # the gateway knows from the request for its beacon how long it sleeps
    assert gate.sleepers == {3: HOUR}
    before = len(field.sent)
    field.asleep.add("soil")
    gate.now_ms = field.now_ms
    field.send("gate", gate.request(1, "temp", b"", "mesh:0003", on_answer=answers.append))
    end_ms = field.now_ms + 1000 * HOUR - 60000
    while field.now_ms < end_ms:
        field.step(1000)
    assert frames_to(field, 3, before) == [] and not answers
    field.asleep.discard("soil")
    settle(field, "soil")
    (answer,) = answers
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")  # type: ignore[attr-defined]
    assert field.nodes["hill"].counters.get("NoRoute", 0) == 0


def test_a_policy_and_a_revocation_arrive_in_the_first_window(field: AirField) -> None:
    doze(field, "soil", 60)
    field.asleep.add("soil")
    revoked = b"r" * 8
    field.nodes["gate"].authority.receive(field.next_policy(revoked=[revoked]), field.now_ms)
    hill, soil = field.nodes["hill"].authority, field.nodes["soil"].authority
    assert field.run(lambda: hill.epoch == 2, 300)
    for _ in range(HOUR):
        field.step(1000)
    field.asleep.discard("soil")
    assert settle(field, "soil") < 1000 * AWAKE_S_MAX
    assert soil.epoch == 2 and soil.policy.revoked == [revoked]
    # and the link key of the others, which have forgotten the one before
    keys = [field.frames[name].keys for name in ("gate", "hill", "soil")]
    assert len({one.key for one in keys}) == 1
    assert field.ask("soil", "gate", "temp").code == coap.CONTENT


def test_a_revoked_child_gets_nothing(field: AirField) -> None:
    gate = field.nodes["gate"]
    field.ask("soil", "gate", "temp")
    settle(field, "soil")
    field.asleep.add("soil")
    gate.now_ms = field.now_ms
    answers: list[object] = []
    field.send("gate", gate.request(1, "temp", b"", "mesh:0003", on_answer=answers.append))
    field.run(None, 20)
    own = field.nodes["soil"].authority.me
    gate.authority.receive(field.next_policy(revoked=[own.node_id]), field.now_ms)
    assert field.run(lambda: field.nodes["hill"].authority.epoch == 2, 300)
    key = field.frames["soil"].keys.key
    for _ in range(HOUR):
        field.step(1000)
    field.asleep.discard("soil")
    served = []
    field.nodes["soil"].resource("temp")(lambda request: served.append(request) or b"1")
    settle(field, "soil")
    assert not served
    assert field.frames["soil"].keys.key == key != field.frames["hill"].keys.key
    assert not [a for a in answers if a.is_success()]  # type: ignore[attr-defined]


def test_a_child_whose_parent_died_finds_another_one() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.node("tree", 3, RELAY)
    field.node("soil", 4, sleep_s=HOUR)
    field.cut |= {("gate", "soil"), ("soil", "gate")}
    settle(field, "soil")
    field.run(None, 60)
    doze(field, "soil", 60)
    routing = field.frames["soil"].mesh.routing
    first = routing.parents[0].address
    field.asleep.add("hill" if first == 2 else "tree")
    doze(field, "soil")
    settle(field, "soil")
    assert routing.parents[0].address != first
    assert field.ask("soil", "gate", "temp").code == coap.CONTENT


@pytest.mark.parametrize("is_host", [False, True])
def test_a_child_that_moves_behind_a_relay_gets_its_answers(is_host: bool) -> None:
    field = MovingField(is_host)
    # it looks for a parent once. Without its answers it would be awake for AWAKE_S_MAX each time
    for awake_s in (AWAKE_S_MAX, 30, 30):
        answers: list[Any] = []
        soil = field.nodes["soil"]
        soil.now_ms = field.now_ms
        out = soil.request(coap.GET, "temp", b"", "mesh:0001", on_answer=answers.append)
        field.send("soil", out)
        assert doze(field, "soil") < 1000 * awake_s
        assert [one.code for one in answers] == [coap.CONTENT]
    assert field.frames["soil"].mesh.routing.parents[0].address == 2
    # a request finds it there
    answers = []
    gate = field.nodes["gate"]
    gate.now_ms = field.now_ms
    field.asleep.add("soil")
    field.send("gate", gate.request(1, "temp", b"", "mesh:0003", on_answer=answers.append))
    for _ in range(60):
        field.step(1000)
    assert not answers
    field.asleep.discard("soil")
    settle(field, "soil")
    assert [one.payload for one in answers] == [b"21.5"]


class MovingField(AirField):
    """A sleeping child of a gateway that hears nothing but a relay now. is_host: of the gateway."""

    def __init__(self, is_host: bool) -> None:
        super().__init__()
        gate = self.node("gate", 1, RELAY, is_gateway=True)
        self.ways = MeshRoutes(self.frames["gate"].mesh) if is_host else None
        if self.ways:
            gate.on_neighbours = self.ways.report
        self.node("hill", 2, RELAY)
        self.node("soil", 3, sleep_s=HOUR)
        self.cut = {("hill", "soil"), ("soil", "hill")}
        settle(self, "soil")
        self.ask("soil", "gate", "temp")
        doze(self, "soil")
        self.cut = {("gate", "soil"), ("soil", "gate")}

    def step(self, ms: int = 20) -> None:
        super().step(ms)
        if getattr(self, "ways", None):
            self.ways.tick(self.now_ms)


def test_requests_of_a_join_do_not_keep_a_member_awake() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    soil = field.node("soil", 2, sleep_s=HOUR)
    # to a neighbour of the join that does not answer
    field.send("soil", soil.request(coap.GET, "temp", b"", "join:0009"))
    # as an agent
    soil.frames = field.frames["soil"]
    soil.clock = SimpleNamespace(now_ms=lambda: field.now_ms)
    soil.step = field.step
    _settle(soil, HOUR)
    assert field.now_ms < 60000 and not soil.exchanges.pending


def test_a_node_without_neighbours_sleeps_nevertheless(field: AirField) -> None:
    doze(field, "soil")
    field.asleep |= {"gate", "hill"}
    assert 200000 < settle(field, "soil") <= 301000


class Report:
    """What `note_sleep` reads of a request."""

    def __init__(self, address: int, *query: str) -> None:
        self.peer = self
        self.address = address
        self.query = query
        self.payload = bytes(4)


def test_members_that_say_that_they_sleep_are_bounded() -> None:
    sleepers: OrderedDict[int, int] = OrderedDict()
    for query in ("s=", "s=0", "s=86401", "s=-1", "s=1e3", "s=\u0663", "s=0000001", "t=5"):
        note_sleep(sleepers, Report(1, query))
    assert sleepers == {}
    last = SLEEPERS_MAX + 10
    for address in range(1, last + 1):
        note_sleep(sleepers, Report(address, "s=900", "s=901"))
    # those that were silent longest are forgotten
    assert dict(sleepers) == dict.fromkeys(range(last - SLEEPERS_MAX + 1, last + 1), 900)


def test_a_member_that_reports_again_keeps_its_place_and_no_other_one_loses_its_own(
    field: AirField,
) -> None:
    gate = field.nodes["gate"]
    for address in range(100, 100 + SLEEPERS_MAX):
        gate.sync._take_report(Report(address, "s=900"), 0)
    gate.sync._take_report(Report(100, "s=60"), 0)
    assert len(gate.sleepers) == SLEEPERS_MAX and gate.sleepers[100] == 60
    gate.sync._take_report(Report(99, "s=900"), 0)
    assert 100 in gate.sleepers and 101 not in gate.sleepers
    # one that stays awake from now on
    gate.sync._take_report(Report(99), 0)
    assert 99 not in gate.sleepers
