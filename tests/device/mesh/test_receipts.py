"""Receipts that travel in front of a message, in place of a frame of their own."""

import signer
from mesh_rig import KEY, RELAY, SENSOR, Air, Link

from writ.mesh.frame import ACK, DATA, HEADER_BYTES, JOIN_CLASS, LOCAL, Frame, decode

REQUEST = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20
ANSWER = b"\x61\x44\x00\x07\x2a\x90\xff" + b"a" * 18
TAG = signer.scope()[0]


def pair(mtu=222):
    """(air, gateway, sensor) that have greeted each other, with an empty record of frames."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True, links=[Link(mtu)])
    sensor = air.node(2, SENSOR, links=[Link(mtu)])
    gateway.knows(sensor)
    sensor.knows(gateway)
    assert air.run(lambda: sensor.mesh.routing.rank == 1)
    air.run(seconds=30)
    air.frames.clear()
    return air, gateway, sensor


def kinds(air, *wanted):
    """Frames of these kinds: (sender, kind, bytes of the receipt in front)."""
    found = []
    for _, sender, _, data in air.frames:
        frame = decode(data, TAG)
        if frame.kind in wanted:
            found.append((sender.address, frame.kind, frame.hops))
    return found


def test_an_answer_carries_the_receipt_of_its_request():
    air, gateway, sensor = pair()
    sensor.send(gateway, REQUEST)
    assert air.run(lambda: gateway.got)
    gateway.send(sensor, ANSWER)
    assert air.run(lambda: sensor.got)
    air.run(seconds=5)
    assert (gateway.got, sensor.got) == ([("mesh:0002", REQUEST)], [("mesh:0001", ANSWER)])
    assert kinds(air, DATA, ACK) == [(2, DATA, 0), (1, DATA, 2), (2, ACK, 0)]
    assert not len(sensor.mesh.outbox.transfers) and not len(gateway.mesh.outbox.transfers)


def test_a_message_in_fragments_is_acknowledged_in_front_of_the_answer():
    air, gateway, sensor = pair()
    sensor.send(gateway, bytes(400))
    assert air.run(lambda: gateway.got)
    gateway.send(sensor, ANSWER)
    assert air.run(lambda: sensor.got)
    air.run(seconds=5)
    assert kinds(air, DATA, ACK) == [(1, DATA, 1), (2, ACK, 0)]
    assert not len(sensor.mesh.outbox.transfers)


def test_a_lost_answer_is_sent_again_and_each_message_arrives_once():
    air, gateway, sensor = pair()
    sensor.send(gateway, REQUEST)
    assert air.run(lambda: gateway.got)
    gateway.send(sensor, ANSWER)
    air.loss = 256
    air.step()
    air.loss = 0
    assert kinds(air, DATA) == [(2, DATA, 0), (1, DATA, 2)]
    assert air.run(lambda: sensor.got)
    air.run(seconds=20)
    assert (gateway.got, sensor.got) == ([("mesh:0002", REQUEST)], [("mesh:0001", ANSWER)])
    assert not len(sensor.mesh.outbox.transfers) and not len(gateway.mesh.outbox.transfers)


def test_a_message_without_room_for_the_receipt_leaves_it_alone():
    air, gateway, sensor = pair(mtu=64)
    sensor.send(gateway, REQUEST)
    assert air.run(lambda: gateway.got)
    # compressed it has a byte more; a byte is left
    gateway.send(sensor, bytes(64 - HEADER_BYTES - 2))
    assert air.run(lambda: sensor.got)
    air.run(seconds=5)
    assert kinds(air, DATA, ACK) == [(2, DATA, 0), (1, ACK, 0), (1, DATA, 0), (2, ACK, 0)]


def test_a_receipt_longer_than_its_frame_is_no_message():
    air, gateway, _ = pair()
    counter = gateway.mesh.neighbours.find(0, 2).counter + 1
    for size, payload in ((15, b"\x01\x02"), (2, b"\x01\x02"), (3, b"")):
        frame = Frame(1, DATA, 2, 1, counter, payload, 1, LOCAL, size)
        counter += 1
        assert gateway.mesh.receive(0, frame.encode(TAG, KEY), 5, air.now_ms) == []
    assert gateway.rejected["BadMessage"] == 3
    frame = Frame(JOIN_CLASS, DATA, 9, 1, 1, b"\x01", 1, LOCAL, 15)
    assert gateway.mesh.receive(0, frame.encode(TAG, None), 5, air.now_ms) == []
    assert gateway.rejected["BadMessage"] == 4
