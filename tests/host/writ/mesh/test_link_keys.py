"""The link key over time: replaced by a revocation, asked for after a sleep, kept from others."""

import node_rig
import pytest
from airfield_rig import RELAY, AirField

from writ.limits import LINK_KEY_OVERLAP_MS
from writ.mesh.frame import JOIN_CLASS
from writ.wire import coap


def settled(**more: object) -> AirField:
    """A gateway, a relay and two sensors that hear each other; all are in the mesh."""
    field = AirField(**more)
    field.node("gate", 1, RELAY, is_gateway=True)
    for number, name in enumerate(("hill", "soil", "thief"), 2):
        field.node(name, number, RELAY if name == "hill" else node_rig.SENSOR)
    assert field.run(
        lambda: all(frames.mesh.routing.rank < 3 for frames in field.frames.values()), 300
    )
    return field


def key(field: AirField, name: str) -> bytes:
    found: bytes = field.frames[name].keys.key
    return found


def enact(field: AirField, *names: str, **changes: object) -> None:
    """Certify the next policy, and hand it to these nodes."""
    raw = field.next_policy(**changes)
    for name in names:
        field.nodes[name].authority.receive(raw, field.now_ms)


def test_a_newer_epoch_in_a_header_is_pulled() -> None:
    field = settled()
    enact(field, "gate")
    # something speaks, and its header tells
    assert field.run(lambda: all(node.authority.epoch == 2 for node in field.nodes.values()), 3000)


def test_a_revocation_replaces_the_key_and_the_revoked_one_gets_none() -> None:
    field = settled()
    old = key(field, "gate")
    enact(field, "gate", revoked=[node_rig.node_id("thief")])
    honest = ("gate", "hill", "soil")
    assert field.run(
        lambda: (
            len({key(field, name) for name in honest} - {old}) == 1
            and all(key(field, name) != old for name in honest)
        ),
        3000,
    )
    field.run(seconds=LINK_KEY_OVERLAP_MS // 1000 + 60)
    assert key(field, "thief") == old
    # it has heard of its revocation, as the others have, and asks for membership at most
    thief = field.nodes["thief"]
    assert thief.authority.epoch == 2
    del field.sent[:]
    field.run(seconds=1200)
    assert key(field, "thief") == old
    sent = [frame for _, name, frame in field.sent if name == "thief"]
    assert all(frame[0] & 15 == JOIN_CLASS for frame in sent)
    assert thief.counters["Revoked"] > 0
    # the others still talk
    answer = field.ask("soil", "gate", "temp")
    assert answer.code == coap.CONTENT


def test_a_member_that_slept_through_the_overlap_asks_again() -> None:
    field = settled()
    old = key(field, "soil")
    asleep = {name: field.__dict__[name].pop("soil") for name in ("nodes", "frames")}
    enact(field, "gate", revoked=[node_rig.node_id("thief")])
    assert field.run(lambda: key(field, "hill") != old, 3000)
    field.run(seconds=LINK_KEY_OVERLAP_MS // 1000 + 60)
    for name, part in asleep.items():
        field.__dict__[name]["soil"] = part
    # its messages are not acknowledged, until it has found out why
    for _ in range(20):
        answer = field.ask("soil", "gate", "temp", 300)
        if answer.code == coap.CONTENT:
            break
    assert answer.code == coap.CONTENT
    assert key(field, "soil") == key(field, "gate")


def test_two_gateways_agree_on_one_key() -> None:
    field = AirField()
    field.node("one", 1, RELAY, is_gateway=True)
    field.node("two", 2, RELAY, is_gateway=True)
    field.node("soil", 3)
    assert field.run(lambda: len({key(field, name) for name in ("one", "two", "soil")}) == 1, 3000)


def test_a_gateway_without_a_key_asks_those_that_it_hears() -> None:
    field = AirField()
    field.node("one", 1, RELAY, is_gateway=True)
    assert field.run(lambda: key(field, "one"), 60)
    first = key(field, "one")
    field.node("two", 2, RELAY, is_gateway=True)
    assert field.run(lambda: key(field, "two"), 60)
    assert key(field, "one") == key(field, "two") == first


def test_gateways_with_a_key_each_agree_without_a_common_neighbour() -> None:
    field = AirField()
    field.node("one", 1, RELAY, is_gateway=True)
    field.node("two", 2, RELAY, is_gateway=True)
    field.cut = {("one", "two"), ("two", "one")}
    assert field.run(lambda: key(field, "one") and key(field, "two"), 60)
    assert key(field, "one") != key(field, "two")
    field.cut.clear()
    assert field.run(lambda: key(field, "one") == key(field, "two"), 3600)
    # once the overlap is over, in which frames under the earlier keys arrive, nothing is asked
    field.run(seconds=LINK_KEY_OVERLAP_MS // 1000 + 300)
    for name in ("one", "two"):
        assert not field.frames[name].mesh.join.is_joining()


@pytest.mark.parametrize(("ahead", "seconds"), [(128, 3700), (129, 600), (255, 600)])
def test_a_node_that_slept_for_hundreds_of_epochs_learns_of_them(ahead: int, seconds: int) -> None:
    # the epoch of a header has 8 bits. To those that are 129 to 255 ahead this node looks newer:
    # they ask it, and what they ask tells their epoch. It asks its gateway for the beacon each hour
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("soil", 3)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1, 300)
    field.epoch = ahead
    enact(field, "gate")
    assert field.nodes["gate"].authority.epoch == ahead + 1
    end_ms = field.now_ms + 1000 * seconds
    while field.now_ms < end_ms and field.nodes["soil"].authority.epoch == 1:
        field.step(100)
    assert field.nodes["soil"].authority.epoch == ahead + 1
