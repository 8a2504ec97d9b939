"""What a mesh sends when: receipts before messages, repetitions after the frame, and an end."""

from mesh_rig import KEY, RELAY, ROUTES, SENSOR, Air, Link
from signer import scope

from writ.limits import PARENTS_MAX, URGENT_MAX
from writ.mesh.frame import ACK, CONTROL, DATA, FRAGMENT, UP, Frame, decode
from writ.mesh.outbox import patience_ms

TAG = scope()[0]
SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20


def pair(link=None):
    """(air, gateway, sensor): the sensor has a way, and nothing to send."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    sensor = air.node(2, SENSOR, [link or Link()])
    gateway.knows(sensor)
    sensor.knows(gateway)
    assert air.run(lambda: sensor.mesh.routing.rank == 1, 120)
    while sensor.mesh.outgoing(0, air.now_ms):
        sensor.mesh.sent(0, air.now_ms)
    return air, gateway, sensor


def data_to(air, node, address):
    """Let a node receive a message of a neighbour."""
    counter = node.mesh.neighbours.find(0, address).counter + 1
    frame = Frame(1, DATA, address, node.address, counter, b"\0" + SECRET, 1)
    node.mesh.receive(0, frame.encode(TAG, KEY), 9, air.now_ms)


def test_a_receipt_does_not_wait_behind_a_frame_that_the_link_has_not_taken():
    air, gateway, sensor = pair()
    sensor.send(gateway, SECRET)
    held = sensor.mesh.outgoing(0, air.now_ms)
    assert decode(held, TAG).kind == DATA
    # the link is busy; meanwhile something arrives
    data_to(air, sensor, 1)
    assert decode(sensor.mesh.outgoing(0, air.now_ms), TAG).kind == ACK
    sensor.mesh.sent(0, air.now_ms)
    assert sensor.mesh.outgoing(0, air.now_ms) == held
    sensor.mesh.sent(0, air.now_ms)
    assert sensor.mesh.outgoing(0, air.now_ms) is None


def test_a_frame_that_waits_leaves_room_for_as_many_receipts():
    air, gateway, sensor = pair()
    sensor.send(gateway, SECRET)
    sensor.mesh.outgoing(0, air.now_ms)
    kinds = []
    for _ in range(URGENT_MAX + 3):
        sensor.mesh.outbox.send_first(0, 0, CONTROL, 1, b"x")
    while True:
        data = sensor.mesh.outgoing(0, air.now_ms)
        if not data:
            break
        kinds.append(decode(data, TAG).kind)
        sensor.mesh.sent(0, air.now_ms)
    assert kinds == [CONTROL] * URGENT_MAX + [DATA]


def test_hello_is_no_traffic_of_a_neighbour():
    # it was charged to a neighbour called 65535, which had half of the airtime only
    link = Link()
    link.duty_cycle_permille = 2
    air, _, sensor = pair(link)
    budget = sensor.mesh.outbox.budgets[0]
    count = 0
    while budget.wait_ms(air.now_ms, 30000) == 0 and count < 1000:
        sensor.mesh.outbox.send_first(0, 0, CONTROL, 65535, b"\x03" + bytes(6))
        assert sensor.mesh.outgoing(0, air.now_ms)
        sensor.mesh.sent(0, air.now_ms)
        count += 1
    assert "NeighbourAirtime" not in sensor.rejected and count > 100


def test_each_link_is_charged_for_its_own_frame():
    air = Air()
    node = air.node(1, RELAY, [Link(), Link(byte_us=10)], is_gateway=True)
    outbox = node.mesh.outbox
    for link in (0, 1):
        outbox.send_first(link, 0, CONTROL, 65535, bytes(9 + link))
    frames = [node.mesh.outgoing(link, air.now_ms) for link in (0, 1)]
    for link in (0, 1):
        node.mesh.sent(link, air.now_ms)
    spent_us = [outbox.budgets[link].used_us(air.now_ms) for link in (0, 1)]
    assert spent_us == [1000 * len(frames[0]), 10 * len(frames[1])]


def test_the_time_for_a_receipt_begins_when_the_frame_has_left():
    for size, kind in ((20, DATA), (300, FRAGMENT)):
        air, gateway, sensor = pair()
        air.nodes.remove(gateway)
        sensor.send(gateway, SECRET[:10] + bytes(size))
        patience = patience_ms(sensor.links[0])
        count = 0
        # it waits for the link, and then in the modem, for much longer than a receipt may take
        for _ in range(3):
            data = sensor.mesh.outgoing(0, air.now_ms)
            air.now_ms += 5 * patience
            assert sensor.mesh.outgoing(0, air.now_ms) == data
        while data:
            assert decode(data, TAG).kind == kind
            count += 1
            sensor.mesh.sent(0, air.now_ms)
            for _ in range(3):
                air.now_ms += 5 * patience
                sensor.mesh.leaving(0, True, air.now_ms)
            data = sensor.mesh.outgoing(0, air.now_ms)
        assert count == (1 if kind == DATA else 2)
        assert 0 < sensor.mesh.outbox.next_ms(air.now_ms) <= 2 * patience
        air.now_ms += 2 * patience
        assert sensor.mesh.outgoing(0, air.now_ms)


def test_the_time_of_a_message_that_is_done_begins_no_more():
    air, gateway, sensor = pair()
    sensor.send(gateway, SECRET)
    data = sensor.mesh.outgoing(0, air.now_ms)
    sensor.mesh.sent(0, air.now_ms)
    counter = sensor.mesh.neighbours.find(0, 1).counter + 1
    receipt = decode(data, TAG).counter.to_bytes(2, "big")
    frame = Frame(1, ACK, 1, 2, counter, receipt, 1)
    sensor.mesh.receive(0, frame.encode(TAG, KEY), 9, air.now_ms)
    assert not list(sensor.mesh.outbox.transfers)
    sensor.mesh.leaving(0, True, air.now_ms)
    assert sensor.mesh.outbox.next_ms(air.now_ms) is None


def deaf_parents(count):
    """(air, sensor): parents that say HELLO again and again, and acknowledge no message."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relays = [air.node(2 + number, RELAY) for number in range(count)]
    sensor = air.node(9, SENSOR)
    air.cut(gateway, sensor)
    nodes = [gateway, sensor] + relays
    for node in nodes:
        node.knows(*[other for other in nodes if other is not node])
    assert air.run(lambda: len(sensor.mesh.routing.parents) == min(count, PARENTS_MAX), 300)
    for relay in relays:
        receive = relay.mesh.receive

        def receive_control(link, data, snr, now_ms, receive=receive):
            return receive(link, data, snr, now_ms) if data[3] >> 4 == CONTROL else []

        relay.mesh.receive = receive_control
    return air, gateway, sensor


def test_a_message_that_no_parent_acknowledges_is_given_up():
    air, gateway, sensor = deaf_parents(2)
    sensor.send(gateway, SECRET)
    seconds = 0
    while [one for one in sensor.mesh.outbox.transfers if one.head[1] == UP]:
        air.run(seconds=10)
        seconds += 10
        for entry in list(sensor.mesh.neighbours):
            # they are heard again at once
            entry.rank = 1
        sensor.mesh.routing.choose(air.now_ms)
        assert seconds < 600
    assert sensor.rejected["NoRoute"] == PARENTS_MAX


def test_a_message_changes_to_no_link_that_its_class_may_not_use():
    # class 1 on LoRa only; the other parent is on a serial line
    rows = (ROUTES[0], [1, SENSOR | RELAY, RELAY, 4, 4, 1000, 3], ROUTES[2])
    air = Air()
    both = [Link(), Link(kind=1, byte_us=9000)]
    gateway = air.node(1, RELAY, both, is_gateway=True, routes=rows)
    sensor = air.node(2, SENSOR, both, routes=rows)
    gateway.knows(sensor)
    sensor.knows(gateway)
    assert air.run(lambda: len(sensor.mesh.routing.parents) == 2, 300)
    assert sensor.mesh.routing.parents[0].link == 0
    air.nodes.remove(gateway)
    sensor.mesh.outbox.queue(0, 1, (1, UP, 4, 2), 3, b"\0" + SECRET)
    air.frames.clear()
    air.run(seconds=30)
    sent = [one[2] for one in air.frames if decode(one[3], TAG).kind == DATA]
    assert sent == [0] * 4 and sensor.rejected["NotRouted"] == 1


def test_a_repeated_datagram_waits_once():
    # CoAP repeats a request (RFC 7252, section 4.2) while the first one waits for the duty cycle
    air, gateway, sensor = pair()
    for _ in range(3):
        sensor.send(gateway, SECRET)
    sensor.send(gateway, SECRET + b"another")
    assert len(sensor.mesh.outbox.transfers) == 2
    assert air.run(lambda: len(gateway.got) == 2)
    # one that has arrived goes again
    sensor.send(gateway, SECRET)
    assert air.run(lambda: len(gateway.got) == 3)
