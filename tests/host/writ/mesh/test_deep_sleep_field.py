"""Deep sleep in virtual time: a node goes on at once, and no nonce or counter comes twice."""

from typing import Any

import pytest
from deepfield_rig import HOUR, DeepField, Nonces
from measure.sleepcycle import BEHIND_RELAY, BESIDE_GATEWAY, REPORT

from writ import cbor
from writ.authority.store import Store
from writ.limits import LINK_KEY_OVERLAP_MS
from writ.wire import coap

QUARTER = 900


@pytest.fixture
def field() -> DeepField:
    """A chain: gateway, relay, and a sensor that sleeps deeply for a quarter of an hour."""
    return DeepField("hill", sleep_s=QUARTER)


@pytest.mark.parametrize(("relays", "frames"), [((), BESIDE_GATEWAY), (("hill",), BEHIND_RELAY)])
def test_a_node_goes_on_with_its_reading(
    relays: tuple[str, ...], frames: tuple[tuple[bool, int], ...]
) -> None:
    field = DeepField(*relays, sleep_s=QUARTER)
    for _ in range(3):
        field.deep_sleep()
        # no handshake, no greeting, no report
        assert tuple(field.reading()) == frames
        assert field.awake_ms < 1000
    assert field.levels == [b"21.5"] * 3
    assert len(field.soil.sessions) == 1 + len(relays) and not field.soil.counters
    field.deep_sleep()
    if relays:
        assert tuple(field.reading()) == frames[:4] + REPORT + frames[4:]


def test_the_hourly_report_is_due_in_its_hour(field: DeepField) -> None:
    reports = []

    def take(peer: Any, payload: bytes, now_ms: int) -> bytes:
        reports.append(peer.address)
        return b""

    field.nodes["gate"].on_neighbours = take
    for _ in range(9):
        field.deep_sleep()
        field.settle()
    assert reports.count(3) == 2


def test_no_nonce_and_no_counter_comes_twice_in_1000_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nonces = Nonces(monkeypatch)
    field = DeepField(sleep_s=600, step_ms=100, off_ms=30000)
    first = len(nonces.sealed), len(nonces.counters)
    gate = field.nodes["gate"]
    for number in range(1000):
        answers: list[object] = []
        if number % 7 == 0:
            # it waits at the gateway
            gate.now_ms = field.now_ms
            request = gate.request(coap.GET, "temp", b"", "mesh:0002", on_answer=answers.append)
            field.send("gate", request)
        # now and then the power fails, before the record is used or after it
        field.power_down()
        field.pass_time(600)
        if number % 50 == 49:
            field.power_up()
        assert field.power_up() == (number % 50 != 49)
        assert field.ask("soil", "gate", "temp").code == coap.CONTENT
        field.settle()
        assert len(answers) == (number % 7 == 0)
        assert all(one.code == coap.CONTENT for one in answers)  # type: ignore[attr-defined]
    assert nonces.twice == []
    # the request, the answer; the frames of both
    assert len(nonces.sealed) - first[0] > 2000 and len(nonces.counters) - first[1] > 4000


def test_a_recording_from_before_the_sleep_is_refused(field: DeepField) -> None:
    field.run(None, 5)
    recorded = [raw for _, name, raw in field.sent if name == "hill"]
    field.deep_sleep()
    field.run(None, 1)
    before, served = len(field.sent), []
    field.soil.resource("temp")(lambda request: served.append(request) or b"1")
    for raw in recorded:
        field.frames["soil"].links[0].inbox.append((raw, 5))
        field.run(None, 1)
    # but for the last frame of its parent, which is acknowledged again
    assert len([name for _, name, _ in field.sent[before:] if name == "soil"]) <= 1 and not served
    assert field.soil.counters["Replayed"] > 10


def test_a_policy_and_a_revocation_arrive_in_the_first_window(field: DeepField) -> None:
    field.power_down()
    revoked = b"r" * 8
    field.nodes["gate"].authority.receive(field.next_policy(revoked=[revoked]), field.now_ms)
    field.pass_time(QUARTER)
    assert field.power_up()
    field.settle()
    assert field.soil.authority.epoch == 2 and field.soil.authority.policy.revoked == [revoked]
    keys = {field.frames[name].keys.key for name in ("gate", "hill", "soil")}
    assert len(keys) == 1
    field.deep_sleep()
    assert field.ask("soil", "gate", "temp").code == coap.CONTENT


def test_a_node_that_was_revoked_in_its_sleep_gets_nothing(field: DeepField) -> None:
    gate = field.nodes["gate"]
    answers: list[object] = []
    gate.now_ms = field.now_ms
    field.power_down()
    field.send("gate", gate.request(1, "temp", b"", "mesh:0003", on_answer=answers.append))
    field.pass_time(20)
    own = field.soil.authority.me
    gate.authority.receive(field.next_policy(revoked=[own.node_id]), field.now_ms)
    key = field.frames["soil"].keys.key
    field.pass_time(QUARTER)
    assert field.power_up()
    served = []
    field.soil.resource("temp")(lambda request: served.append(request) or b"1")
    field.settle()
    assert not served
    assert field.frames["soil"].keys.key == key != field.frames["hill"].keys.key
    assert not [one for one in answers if one.is_success()]  # type: ignore[attr-defined]


def test_a_link_key_has_its_true_age_after_a_sleep(field: DeepField) -> None:
    gate = field.nodes["gate"]
    gate.authority.receive(field.next_policy(revoked=[b"r" * 8]), field.now_ms)
    keys = field.frames["soil"].keys
    old = keys.key
    assert field.run(lambda: field.frames["soil"].keys.key != old, 300)
    field.settle()
    made_ms = keys._since_ms
    assert abs(field.frames["gate"].keys._since_ms - made_ms) < 3000
    field.deep_sleep(60)
    keys = field.frames["soil"].keys
    assert 0 <= keys._since_ms - made_ms <= 2000
    assert keys._old_key == old and keys.sending(field.now_ms) == old
    # the other nodes have forgotten the old one meanwhile
    field.deep_sleep(LINK_KEY_OVERLAP_MS // 1000)
    keys = field.frames["soil"].keys
    assert keys.sending(field.now_ms) != old and keys._old_key is None
    assert field.ask("soil", "gate", "temp").code == coap.CONTENT


def test_the_duty_cycle_holds_over_sleeps(field: DeepField) -> None:
    budget = field.mesh.outbox.budgets[0]
    used_us = budget.used_us(field.now_ms)
    assert used_us > 0
    field.deep_sleep(120)
    budget = field.mesh.outbox.budgets[0]
    assert used_us <= budget.used_us(field.now_ms) < used_us + 62000
    for _ in range(5):
        field.deep_sleep()
    # all of it was longer ago
    assert field.mesh.outbox.budgets[0].used_us(field.now_ms) == 0


def test_a_parent_that_died_meanwhile_is_left() -> None:
    field = DeepField("hill", "tree", sleep_s=QUARTER)
    field.settle()
    first = field.mesh.routing.parents[0].address
    field.asleep.add("hill" if first == 2 else "tree")
    field.deep_sleep()
    field.settle()
    assert field.mesh.routing.parents[0].address != first
    assert field.ask("soil", "gate", "temp").code == coap.CONTENT


def test_the_capsule_of_a_parent_without_a_session_is_kept(field: DeepField) -> None:
    hill = field.soil.authority.peer_by(address=2)
    field.soil.sessions.drop(field.soil.sessions.by_peer(hill.node_id))
    for name in ("s0", "s1"):
        # as if another session had taken its record
        record = Store(field.flash).load(name)
        if record and cbor.decode(record)[0] == hill.raw:
            del field.flash.files[name + ".a"], field.flash.files[name + ".b"]
    field.deep_sleep()
    assert field.soil.authority.peer_by(address=2).raw == hill.raw
    assert len(field.soil.sessions) == 1
    assert tuple(field.reading()) == BEHIND_RELAY


def test_a_node_without_its_record_starts_as_ever(field: DeepField) -> None:
    field.power_down(HOUR)
    del field.flash.files["sleep.a"], field.flash.files["sleep.b"]
    field.pass_time(QUARTER)
    before = len(field.sent)
    assert not field.power_up()
    field.settle()
    # it hears of its neighbours anew, and greets them
    assert len([name for _, name, _ in field.sent[before:] if name == "soil"]) > 5
    field.reading()
