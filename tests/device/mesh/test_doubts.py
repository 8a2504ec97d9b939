"""What made-up frames cost: candidates, capsules to ask for, parents, and doubts of a link key."""

import signer
from mesh_rig import KEY, RELAY, SENSOR, Air, chain

from writ.limits import (
    CANDIDATES_MAX,
    DOUBTS_MAX,
    FRAME_TRIES_HEARD_MAX,
    FRAME_TRIES_MAX,
    MISSING_MAX,
    ORIGINS_MAX,
)
from writ.mesh.compress import compress
from writ.mesh.frame import BROADCAST, CONTROL, DATA, UP, Frame, decode
from writ.mesh.routing import HELLO, NO_RANK
from writ.node.server import Request
from writ.wire.coap import CON, GET, URI_QUERY, Message

PLAIN = b"\x40\x01\x00\x01\xb4writ"
TAG = signer.scope()[0]
OTHER_KEY = b"o" * 16


def hello(transmitter, counter=1, epoch=1, key=KEY, rank=0):
    """The bytes of a HELLO."""
    content = bytes((HELLO, counter >> 24, counter >> 16 & 255, rank, 0, 0, 0, 1, 0))
    return Frame(0, CONTROL, transmitter, BROADCAST, counter, content, epoch).encode(TAG, key)


def hear(air, node, data):
    """Let one node receive a frame."""
    return node.mesh.receive(0, data, 9, air.now_ms)


def joiner():
    """(air, sensor): a member without link key, which hears no other node."""
    air = Air()
    return air, air.node(3, SENSOR, key=None)


def test_made_up_candidates_displace_no_true_one():
    air, sensor = joiner()
    hear(air, sensor, hello(1))
    for address in range(100, 100 + 5 * CANDIDATES_MAX):
        hear(air, sensor, hello(address, key=OTHER_KEY))
    assert (0, 1) in sensor.mesh.join.candidates
    assert len(sensor.mesh.join.candidates) == CANDIDATES_MAX


def test_a_candidate_that_acknowledges_nothing_makes_room():
    air, sensor = joiner()
    for address in range(100, 100 + CANDIDATES_MAX):
        hear(air, sensor, hello(address, key=OTHER_KEY))
    hear(air, sensor, hello(1))
    assert (0, 1) not in sensor.mesh.join.candidates
    sensor.mesh.send("join:0064", PLAIN, air.now_ms)
    assert air.run(lambda: (0, 100) not in sensor.mesh.join.candidates, 60)
    hear(air, sensor, hello(1))
    assert (0, 1) in sensor.mesh.join.candidates


def test_a_candidate_that_does_not_help_makes_room_in_a_full_table():
    air, sensor = joiner()
    join = sensor.mesh.join
    hear(air, sensor, hello(1))
    # a node with one neighbour tries that one again
    join.try_next()
    assert join.candidates == [(0, 1)]
    for address in range(100, 99 + CANDIDATES_MAX):
        hear(air, sensor, hello(address))
    join.try_next()
    assert (0, 1) not in join.candidates and len(join.candidates) == CANDIDATES_MAX - 1


def up(node, transmitter, origin):
    """The bytes of a message that a neighbour forwards."""
    counter = node.mesh.neighbours.find(0, transmitter).counter + 1
    frame = Frame(1, DATA, transmitter, node.address, counter, compress(PLAIN), 1, UP, 4, origin)
    return frame.encode(TAG, KEY)


def test_made_up_origins_leave_room_for_the_capsules_of_others():
    air, _, relay, _ = chain()
    for origin in range(100, 100 + 2 * MISSING_MAX):
        hear(air, relay, up(relay, 1, origin))
    missing = relay.mesh.missing
    assert 0 < len([one for one in missing if one[0] == 1]) <= MISSING_MAX // 2
    relay.mesh.inbox.request_capsule(3, 50)
    assert (3, 50) in missing


def test_made_up_neighbours_leave_room_for_the_capsules_of_others():
    _, _, relay, _ = chain()
    inbox, missing = relay.mesh.inbox, relay.mesh.missing
    for address in range(100, 100 + 2 * MISSING_MAX):
        inbox.request_capsule(address, address)
    assert len(missing) == MISSING_MAX // 2
    inbox.request_capsule(3, 50)
    inbox.request_capsule(3, 51)
    # by turns: the others do not wait until all made-up ones are given up
    order = []
    while missing:
        order.append(missing[0])
        inbox.end_request()
        if len(order) < 3:
            inbox.request_capsule(200 + len(order), 200 + len(order))
    assert order[:4] == [(100, 100), (3, 50), (101, 101), (3, 51)]


def test_a_relay_remembers_many_origins_and_the_newest_go_on():
    _, _, relay, _ = chain()
    permit = relay.mesh.permit
    for address in range(10, 12 + ORIGINS_MAX):
        relay.take(
            signer.certify(signer.member_payload(bytes((address & 255, 7)) * 16, "o", address, 4))
        )
        assert permit.roles(address, 0) == 5
    assert len(permit._origins) == len(permit._recent) == ORIGINS_MAX
    # its capsule has left the cache, what is needed of it has not
    assert relay.authority.peer_by(address=20) is None
    assert permit.roles(20, 0) == 5


def test_a_capsule_that_a_neighbour_asks_for_in_vain_is_asked_for_here_too():
    air, _, relay, _ = chain()
    relay.take(signer.certify(signer.member_payload(bytes(31) + b"\x09", "o", 9, SENSOR)))
    hear(air, relay, up(relay, 1, 9))
    assert not relay.mesh.missing
    relay.authority.forget()
    request = Message(CON, GET)
    request.add(URI_QUERY, "a=0009")
    # not by a stranger on IP
    relay.mesh.missed(Request(request, b"", None, "10.0.0.1:5683"))
    hear(air, relay, up(relay, 1, 9))
    assert not relay.mesh.missing
    relay.mesh.missed(Request(request, b"", None, "mesh:0001"))
    hear(air, relay, up(relay, 1, 9))
    assert relay.mesh.missing == [(1, 9)]
    for query in ("a=", "a=x", "a=00090", "a=ffff", "c="):
        request = Message(CON, GET)
        request.add(URI_QUERY, query)
        relay.mesh.missed(Request(request, b"", None, "mesh:0001"))


def test_a_hello_of_a_stranger_costs_no_request():
    # a hundred neighbours would each ask for its capsule
    air, _, relay, _ = chain()
    content = bytes((HELLO, 0, 0, 7, 0, 9, 0, 1, 0, 0, 9))
    hear(air, relay, Frame(0, CONTROL, 50, BROADCAST, 1, content, 1).encode(TAG, KEY))
    assert relay.mesh.neighbours.find(0, 50) and not relay.mesh.missing


def count_tries(is_heard):
    """How often a message is sent to a parent that answers nothing."""
    air, gateway, relay, sensor = chain()
    air.cut(relay, sensor)
    sensor.send(gateway, PLAIN)
    air.frames.clear()
    for _ in range(400):
        if is_heard:
            # for another node, and not checked
            hear(air, sensor, Frame(1, DATA, 2, 1, 1, b"x", 1).encode(TAG, OTHER_KEY))
        air.run(seconds=1)
        if sensor.rejected.get("NoRoute"):
            break
    return len([one for one in air.frames if one[1] is sensor and decode(one[3], TAG).kind == DATA])


def test_a_parent_that_is_heard_is_tried_more_often():
    assert count_tries(False) == FRAME_TRIES_MAX
    assert count_tries(True) == FRAME_TRIES_HEARD_MAX


def test_a_message_back_from_the_parent_makes_a_node_give_it_up_once():
    # any member can send one in the name of the parent
    air, _, relay, _ = chain()
    hear(air, relay, up(relay, 1, 3))
    assert relay.mesh.routing.rank == NO_RANK
    assert air.run(lambda: relay.mesh.routing.rank == 1, 60)
    for _ in range(5):
        hear(air, relay, up(relay, 1, 3))
        assert relay.mesh.routing.rank == 1
    # later a loop ends again
    air.now_ms += 600000
    hear(air, relay, up(relay, 1, 3))
    assert relay.mesh.routing.rank == NO_RANK


def test_a_node_that_slept_for_hundreds_of_epochs_doubts_its_key():
    # the epoch of a header has 8 bits: that of the others looks earlier
    air = Air()
    sensor = air.node(3, SENSOR)
    for ahead in (127, 129, 200, 255):
        sensor.mesh.join.is_stale = False
        hear(air, sensor, hello(1, epoch=1 + ahead & 255, key=OTHER_KEY))
        assert sensor.mesh.join.is_stale, ahead


def test_a_neighbour_of_an_earlier_epoch_is_the_one_that_has_to_ask():
    air, _, relay, _ = chain()
    for counter in range(10):
        hear(air, relay, hello(1, counter, epoch=0, key=OTHER_KEY))
    assert not relay.mesh.join.is_stale


def test_a_gateway_asks_another_one_that_has_another_key():
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    air.run(seconds=1)
    hear(air, gateway, hello(2, key=OTHER_KEY))
    assert gateway.mesh.join.is_stale and gateway.mesh.join.candidates == [(0, 2)]
    # strangers can say so, too: it is asked once in ten minutes
    gateway.mesh.join.is_stale = False
    for _ in range(100):
        air.now_ms += 5000
        hear(air, gateway, hello(2, key=OTHER_KEY))
        assert not gateway.mesh.join.is_stale
    air.now_ms += 600000
    hear(air, gateway, hello(2, key=OTHER_KEY))
    assert gateway.mesh.join.is_stale


def doubts(air, node, *transmitters):
    """Whether a node doubts its key after frames with another MIC; ends the doubt."""
    for counter in range(DOUBTS_MAX):
        for transmitter in transmitters:
            hear(air, node, hello(transmitter, counter, key=OTHER_KEY))
    is_stale, node.mesh.join.is_stale = node.mesh.join.is_stale, False
    return is_stale


def test_a_stranger_makes_a_node_doubt_its_key_once_in_ten_minutes():
    # in the name of its parent, which answers each time that the key is the right one
    air, _, relay, _ = chain()
    assert doubts(air, relay, 1)
    for _ in range(20):
        air.now_ms += 20000
        assert not doubts(air, relay, 1)
    # it has missed a new key in the meantime: it doubts again
    air.now_ms += 200000
    hear(air, relay, hello(1, key=OTHER_KEY))
    assert not relay.mesh.join.is_stale
    assert doubts(air, relay, 1)


def test_a_node_without_parent_doubts_its_key_at_once():
    # what it has sent got no receipt: a doubt of before does not keep it from the key of the others
    air, _, relay, _ = chain()
    assert doubts(air, relay, 1)
    for parent in list(relay.mesh.routing.parents):
        relay.mesh.routing.lost(parent, air.now_ms)
    hear(air, relay, hello(77, key=OTHER_KEY))
    assert relay.mesh.join.is_stale


def test_made_up_nodes_are_no_candidates_of_a_member():
    air, _, relay, _ = chain()
    relay.mesh.join.candidates.clear()
    assert not doubts(air, relay, *range(100, 110))
    assert relay.mesh.join.candidates == []
    # a made-up name does not end the row of the neighbour
    assert doubts(air, relay, 100, 1, 101)
    assert relay.mesh.join.candidates == [(0, 1)]
