"""Mutated frames of strangers and insiders through a relay: rejections only, bounded tables."""

import random

import node_rig
import pytest
from airfield_rig import RELAY, AirField

from writ import limits
from writ.mesh import frame as frames
from writ.mesh.frame import JOIN_CLASS, MIC_BYTES, mic


@pytest.fixture(scope="module")
def recorded() -> tuple[AirField, list[bytes]]:
    """A field in which a node has joined over a relay, and all frames of that."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.node("soil", 3, is_blank=True)
    field.line("gate", "hill", "soil")
    field.nodes["hill"].authority.receive(node_rig.member("soil", 3, node_rig.SENSOR), 0)
    assert field.run(lambda: field.frames["soil"].mesh.routing, 300)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 2, 300)
    assert field.ask("soil", "gate", "temp").is_success()
    assert field.ask("gate", "soil", "temp").is_success()
    return field, [frame for _, _, frame in field.sent]


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The frame with a few bytes changed, cut off or added."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        how = chance.randrange(4)
        if how == 0 and len(found) > 1:
            del found[chance.randrange(len(found)) :]
        elif how == 1:
            found += chance.randbytes(chance.randrange(1, 40))
        elif found:
            at = chance.randrange(len(found))
            found[at] = chance.choice((0, 255, found[at] ^ 1 << chance.randrange(8)))
    return bytes(found)


def signed(field: AirField, data: bytes, high: int) -> bytes:
    """The frame with a valid MIC in the place of its own one: that of an insider."""
    if len(data) < 14 or data[0] & 15 == JOIN_CLASS:
        return data
    key = field.frames["gate"].keys.key
    return data[:-MIC_BYTES] + mic(key, high, data[:-MIC_BYTES])


@pytest.mark.parametrize("insider", [False, True])
def test_mutated_frames_raise_nothing(
    recorded: tuple[AirField, list[bytes]], insider: bool
) -> None:
    field, sent = recorded
    chance = random.Random(insider)
    node, part = field.nodes["hill"], field.frames["hill"]
    mesh = part.mesh
    for _ in range(20_000):
        data = mutated(chance, chance.choice(sent))
        if insider:
            data = signed(field, data, chance.choice((0, 0, 0, 1, 65535)))
        field.now_ms += chance.choice((0, 1, 20, 500))
        for address, datagram in mesh.receive(0, data, chance.choice((None, -7, 9)), field.now_ms):
            field.send("hill", node.receive(datagram, address, field.now_ms))
        mesh.tick(field.now_ms)
        if mesh.outgoing(0, field.now_ms):
            mesh.sent(0, field.now_ms)
        assert len(mesh.neighbours) <= limits.NEIGHBOURS_MAX
        assert len(mesh.outbox.transfers) <= limits.TRANSFERS_MESH_MAX
        assert len(mesh.missing) <= limits.MISSING_MAX
        assert len(mesh.join.candidates) <= limits.CANDIDATES_MAX
    counted = set(node.counters)
    assert {"BadFrame", "BadMic", "WrongScope", "UnknownClass"} <= counted
    assert frames.decode(sent[0], sent[0][1])
