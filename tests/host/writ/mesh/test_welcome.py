"""What travels with the link key, so that a node that has joined is a neighbour at once."""

from types import SimpleNamespace

import node_rig
import pytest
import signer
from airfield_rig import RELAY, AirField

from writ import cbor
from writ.mesh import frame as frames
from writ.mesh.compress import compress
from writ.mesh.frame import CONTROL, DATA, JOIN_CLASS, LOCAL, Frame
from writ.mesh.neighbour import ANSWER, GREET, PROOF
from writ.mesh.routing import HELLO_BYTES
from writ.mesh.welcome import offer, take
from writ.node.call import Answer
from writ.wire import coap

TAG = signer.scope()[0]


def joined(is_blank: bool) -> AirField:
    """A gateway and a node that has just joined, and the frames of that."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.run(seconds=60)
    field.nodes["gate"].authority.receive(node_rig.member("soil", 3, node_rig.SENSOR), 0)
    field.sent.clear()
    field.node("soil", 3, is_blank=is_blank)
    links = field.frames["soil"]
    assert field.run(lambda: links.mesh.routing and links.mesh.routing.parents, 120)
    return field


def controls(field: AirField) -> list[int]:
    """The kinds of the greetings and HELLOs on air."""
    found = [frames.decode(data, TAG) for _, _, data in field.sent]
    return [one.payload[0] for one in found if one.kind == CONTROL and one.route_class == 0]


@pytest.mark.parametrize("is_blank", [False, True])
def test_a_node_that_has_joined_needs_no_greeting_and_no_second_handshake(is_blank: bool) -> None:
    field = joined(is_blank)
    assert not {GREET, ANSWER, PROOF} & set(controls(field))
    assert field.nodes["gate"].counters.get("UnknownNeighbour") is None
    gate, soil = field.frames["gate"].mesh, field.frames["soil"].mesh
    assert gate.neighbours.find(0, 3).is_mutual and soil.neighbours.find(0, 1).is_mutual
    # until what was under way in the join class is there
    field.run(seconds=20)
    field.sent.clear()
    answer = field.ask("soil", "gate", "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")
    field.run(seconds=1)
    kinds = [frames.decode(data, TAG).kind for _, _, data in field.sent]
    assert kinds.count(DATA) == 2


def test_a_node_solicits_once_for_each_time_that_a_neighbour_may_take() -> None:
    field = joined(False)
    found = [frames.decode(data, TAG) for _, _, data in field.sent]
    assert sum(one.kind == CONTROL and one.route_class == JOIN_CLASS for one in found) == 1


def request(field: AirField, query: list[str], is_first: bool = True) -> SimpleNamespace:
    """A request for the link key of the member 3 in the join class."""
    address = next(iter(field.frames["gate"].mesh.join._links))
    return SimpleNamespace(
        query=query,
        address=f"join:{address:04x}",
        is_first=is_first,
        peer=field.nodes["soil"].authority.me,
    )


def test_a_request_that_was_held_back_makes_no_neighbour() -> None:
    field = joined(False)
    mesh = field.frames["gate"].mesh
    counter = mesh.neighbours.find(0, 3).counter
    # in an older session, an attacker may have held it back; frames after it are recorded
    assert offer(mesh, request(field, ["f=1"], is_first=False), field.now_ms) == b""
    for text in ("f=", "f=-1", "f= 1", "f=1_0", "f=123456789", "f=G", "g=1"):
        assert offer(mesh, request(field, [text]), field.now_ms) == b""
    over_udp = request(field, ["f=1"])
    over_udp.address = "192.0.2.1:5683"
    assert offer(mesh, over_udp, field.now_ms) == b""
    assert mesh.neighbours.find(0, 3).counter == counter
    assert len(offer(mesh, request(field, ["f=1"]), field.now_ms)) == 4 + HELLO_BYTES


def test_a_welcome_of_another_size_is_none() -> None:
    field = joined(False)
    node, mesh = field.nodes["soil"], field.frames["soil"].mesh
    peer = field.nodes["gate"].authority.me
    for size in (0, 1, 9, 11):
        body = cbor.encode([1, bytes(16), bytes(4), 0, bytes(size)])
        assert not take(mesh, node, Answer(coap.CONTENT, body, peer), field.now_ms)


def test_the_handle_of_a_node_that_has_joined_ends() -> None:
    field = joined(False)
    soil = field.frames["soil"].mesh
    message = compress(b"\x40\x01\x00\x01\xb4writ")
    frame = Frame(JOIN_CLASS, DATA, 77, soil.join.handle, 1, message, 1, LOCAL)
    data = frame.encode(TAG, None)
    assert soil.receive(0, data, 5, field.now_ms)
    assert soil.receive(0, data, 5, field.now_ms + 60000) == []
