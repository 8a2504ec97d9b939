"""A full queue: messages to a neighbour that does not answer do not keep those to others out."""

from mesh_rig import RELAY, SENSOR, Air, chain

from writ.errors import TableFull
from writ.limits import TRANSFERS_MESH_MAX
from writ.mesh.frame import DOWN, LOCAL
from writ.mesh.mailbox import Mailbox, _Child

SHARE = TRANSFERS_MESH_MAX >> 2
SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20


def field():
    """(air, gateway, relay, soil, well): two sensors behind a relay, of which the gateway knows."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relay = air.node(2, RELAY)
    soil = air.node(3, SENSOR)
    well = air.node(4, SENSOR)
    nodes = [gateway, relay, soil, well]
    for one in nodes:
        one.knows(*[other for other in nodes if other is not one])
    for sensor in (soil, well):
        air.cut(gateway, sensor)
    assert air.run(lambda: {soil.mesh.routing.rank, well.mesh.routing.rank} == {2}, 300)
    for sensor in (soil, well):
        sensor.send(gateway, SECRET)
        gateway.mesh.learn(sensor.address, [relay.address])
    assert air.run(lambda: len(gateway.got) == 2)
    air.run(lambda: not relay.mesh.outbox.transfers)
    return air, gateway, relay, soil, well


def queued_for(relay, node):
    """How many messages wait at the relay for a node."""
    return len([one for one in relay.mesh.outbox.transfers if one.receiver == node.address])


def test_a_sensor_is_reached_while_another_one_does_not_answer():
    air, gateway, relay, soil, well = field()
    well.is_asleep = True
    # requests to both in turn, for as long as the relay tries to reach the lost one
    for number in range(12 + SHARE):
        for part in range(1 + SHARE // 4):
            gateway.send(well, SECRET + bytes((number, part)))
        air.run(seconds=5)
        gateway.send(soil, SECRET + bytes((number,)))
        assert air.run(lambda number=number: len(soil.got) > number, 5), number
    assert relay.rejected["TableFull"]


def test_a_neighbour_that_was_lost_makes_room_before_it_has_answered_a_greeting():
    air, gateway, relay, soil, well = field()
    well.is_asleep = True
    relay.mesh.neighbours.find(0, well.address).is_mutual = False
    for number in range(SHARE):
        gateway.send(well, SECRET + bytes((number,)))
    assert air.run(lambda: queued_for(relay, well) == SHARE, 60)
    air.run(seconds=3)
    # all places are for messages to others now
    head = 1, DOWN, 2, soil.address
    air.cut(relay, soil)
    for number in range(SHARE):
        relay.mesh.outbox.queue(0, soil.address, head, 3, b"x%d" % number, gateway.address)
    assert queued_for(relay, well) == 0 and queued_for(relay, soil) == SHARE


def test_messages_to_a_parent_that_is_gone_do_not_fill_the_queue_for_others():
    air, gateway, relay, soil, _ = field()
    gateway.is_asleep = True
    for number in range(TRANSFERS_MESH_MAX):
        relay.send(gateway, SECRET + bytes((number,)))
    air.run(seconds=4)
    assert queued_for(relay, gateway) == TRANSFERS_MESH_MAX
    relay.send(soil, SECRET)
    assert air.run(lambda: ("mesh:0002", SECRET) in soil.got, 5)


def refused(relay, receiver, source):
    """Whether a relay has no place for a message of this source."""
    try:
        relay.mesh.outbox.queue(0, receiver.address, (1, LOCAL, 0, None), 3, b"new", source.address)
    except TableFull:
        return True
    return False


def test_messages_to_neighbours_that_answer_keep_their_places():
    _, gateway, relay, soil, well = field()
    for number in range(SHARE):
        head = 1, LOCAL, 0, None
        relay.mesh.outbox.queue(0, soil.address, head, 3, b"x%d" % number, gateway.address)
    assert refused(relay, well, gateway) and queued_for(relay, soil) == SHARE


def test_one_more_message_to_a_neighbour_that_does_not_answer_displaces_none():
    air, gateway, relay, _, well = field()
    well.is_asleep = True
    for number in range(SHARE):
        gateway.send(well, SECRET + bytes((number,)))
    assert air.run(lambda: queued_for(relay, well) == SHARE, 60)
    air.run(seconds=3)
    assert refused(relay, well, gateway) and queued_for(relay, well) == SHARE


def test_a_begun_message_to_a_neighbour_that_does_not_answer_stays():
    # by its end the relay knows that the neighbour is gone
    air, gateway, relay, soil, well = field()
    well.is_asleep = True
    head = 1, LOCAL, 0, None
    relay.mesh.outbox.queue(0, well.address, head, 3, b"x", gateway.address)
    air.run(seconds=3)
    for number in range(SHARE - 1):
        relay.mesh.outbox.queue(0, soil.address, head, 3, b"x%d" % number, gateway.address)
    assert refused(relay, gateway, gateway) and queued_for(relay, well) == 1


def test_what_makes_room_for_others_goes_back_to_the_mailbox_of_a_child():
    _, _, relay, sensor = chain()
    outbox = relay.mesh.outbox
    outbox.mailbox = Mailbox(relay.mesh)
    child = outbox.mailbox.children[4] = _Child()
    head = 1, LOCAL, 0, None
    for number in range(SHARE):
        outbox.start(0, 4, head, 3, b"x%d" % number, 1)
    outbox.transfers.to(0, 4).parts.is_repeated = True
    outbox.start(0, sensor.address, head, 3, b"y", 1)
    assert child.waiting == [(head, 3, b"x%d" % (SHARE - 1), 1)]
    assert "TableFull" not in relay.rejected
