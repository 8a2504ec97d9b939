"""An attacker with a radio: what it sends is not believed, and costs a mesh no airtime."""

import signer
from harness import raises
from mesh_rig import KEY, RELAY, ROUTES, SENSOR, Air, air_policy, chain

from writ import crypto
from writ.authority import capsule
from writ.errors import Replayed
from writ.limits import FRAME_TRIES_HEARD_MAX, RECEIPTS_MAX
from writ.mesh.compress import compress
from writ.mesh.frame import BROADCAST, CONTROL, DATA, Frame, decode
from writ.mesh.neighbour import Neighbour

HELLO = b"\x40\x01\x00\x01\xb5hello"
WORD = compress(HELLO)
TAG = signer.scope()[0]
SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20


def inject(air, node, data):
    """Let one node receive a frame of an attacker; what it has for the node core."""
    return node.mesh.receive(0, data, 9, air.now_ms)


def quiet(air, node):
    """Send what a node has to send now; how many frames that was."""
    count = 0
    while node.mesh.outgoing(0, air.now_ms):
        node.mesh.sent(0, air.now_ms)
        count += 1
    return count


def test_a_recorded_hour_is_relayed_by_nobody():
    air, gateway, relay, sensor = chain()
    for _ in range(4):
        gateway.got.clear()
        sensor.send(gateway, SECRET)
        assert air.run(lambda: gateway.got)
    air.run(seconds=30)
    recorded = [frame[3] for frame in air.frames]
    for node in (gateway, relay, sensor):
        quiet(air, node)
        for data in recorded:
            assert inject(air, node, data) == []
        # a greeting is answered, a few of all of them
        assert quiet(air, node) <= 8
        assert node.rejected["Replayed"] > 5
    air.now_ms += 3600000
    for data in recorded:
        assert inject(air, relay, data) == []
    assert quiet(air, relay) <= 4


def test_a_restarted_relay_is_not_fooled_by_a_recording():
    air, gateway, relay, sensor = chain()
    sensor.send(gateway, SECRET)
    assert air.run(lambda: gateway.got)
    recorded = [frame[3] for frame in air.frames]
    relay.boot()
    relay.knows(gateway, sensor)
    for _ in range(3):
        for data in recorded:
            assert inject(air, relay, data) == []
    assert not [one for one in relay.mesh.neighbours if one.proofs]
    # it costs a few answers to greetings, and no message
    sent = 0
    while relay.mesh.outgoing(0, air.now_ms):
        frame = decode(relay.mesh.outgoing(0, air.now_ms), TAG)
        assert frame.kind == CONTROL
        relay.mesh.sent(0, air.now_ms)
        sent += 1
    assert sent <= 4
    # the true neighbours come back by themselves
    air.run(seconds=60)
    count = len(gateway.got)
    sensor.send(gateway, SECRET)
    air.run(seconds=60)
    sensor.send(gateway, SECRET)
    assert air.run(lambda: len(gateway.got) > count, 120)


def test_frames_of_strangers_cost_a_counter_and_no_airtime():
    air, _, relay, sensor = chain()
    quiet(air, relay)
    neighbours = len(relay.mesh.neighbours)
    for number in range(200):
        frame = Frame(
            number % 15,
            number % 4,
            3,
            (2, BROADCAST)[number & 1],
            number << 12,
            b"\x03\0\0" + b"x" * 9,
        )
        assert inject(air, relay, frame.encode(TAG, b"x" * 16)) == []
        assert inject(air, relay, crypto.sha256(b"%d" % number) * 2) == []
    assert quiet(air, relay) == 0
    assert len(relay.mesh.neighbours) == neighbours and not relay.mesh.missing
    for name in ("BadMic", "UnknownClass", "BadFrame"):
        assert relay.rejected[name] > 5, relay.rejected
    # a member's frame is still taken
    assert sensor.mesh.routing.parents


def test_a_flood_of_greetings_is_answered_at_a_rate_and_fills_no_table():
    air, _, relay, _ = chain()
    quiet(air, relay)
    known = len(relay.mesh.neighbours)
    for number in range(500):
        # an insider that makes up addresses: strangers lack the key
        frame = Frame(0, CONTROL, 100 + number, 2, number, b"\0\0\0nonc")
        inject(air, relay, frame.encode(TAG, KEY))
        quiet(air, relay)
    assert relay.rejected["RateLimited"] > 400
    assert len(relay.mesh.neighbours) == known


def test_a_proof_counts_once():
    air, _, relay, sensor = chain()
    (neighbour,) = [one for one in relay.mesh.neighbours if one.address == 3]
    proofs = [
        frame[3]
        for frame in air.frames
        if frame[1] is sensor and frame[3][3] >> 4 == CONTROL and frame[3][10] == 2
    ]
    assert proofs
    before = neighbour.counter
    for data in proofs:
        inject(air, relay, data)
    assert neighbour.counter == before


def test_what_the_policy_does_not_allow_is_neither_delivered_nor_relayed():
    # classes: 2 without relays, 3 from relays only, 4 on a serial line only, 5 without hops
    rows = ROUTES + (
        [2, 1, 0, 6, 4, 1000, 0],
        [3, RELAY, RELAY, 6, 4, 1000, 0],
        [4, 1, RELAY, 2, 4, 1000, 0],
        [5, 1, RELAY, 6, 0, 1000, 0],
    )
    air, _, relay, _ = chain()
    policy = air_policy(2, relay.authority.head, rows)
    for node in air.nodes:
        node.take(policy)
    (entry,) = [one for one in relay.mesh.neighbours if one.address == 3]
    counter = entry.counter + 10
    for route_class, hops, name in (
        (2, 3, "NotRouted"),
        (3, 3, "NotRouted"),
        (4, 3, "NotRouted"),
        (5, 0, "NotRouted"),
        (5, 1, "NotRouted"),
        (1, 5, "NotRouted"),
        (1, 0, "NotRouted"),
        (9, 3, "UnknownClass"),
    ):
        counter += 1
        frame = Frame(route_class, DATA, 3, 2, counter, WORD, 2, 1, hops, 3)
        before = relay.rejected.get(name, 0)
        assert inject(air, relay, frame.encode(TAG, KEY)) == []
        assert relay.rejected.get(name, 0) == before + 1, (route_class, hops)
        while relay.mesh.outgoing(0, air.now_ms):
            assert decode(relay.mesh.outgoing(0, air.now_ms), TAG).kind != DATA
            relay.mesh.sent(0, air.now_ms)
    # the same frame in an allowed class is relayed
    frame = Frame(1, DATA, 3, 2, counter + 1, WORD, 2, 1, 3, 3)
    inject(air, relay, frame.encode(TAG, KEY))
    kinds = []
    while relay.mesh.outgoing(0, air.now_ms):
        kinds.append(decode(relay.mesh.outgoing(0, air.now_ms), TAG).kind)
        relay.mesh.sent(0, air.now_ms)
    assert DATA in kinds


def test_a_revoked_origin_is_refused_at_the_first_hop():
    air, gateway, relay, sensor = chain()
    node = capsule.node_id(sensor.x)
    relay.take(air_policy(2, relay.authority.head, revoked=[node]))
    count = len(gateway.got)
    sensor.send(gateway, SECRET)
    air.run(seconds=30)
    assert len(gateway.got) == count
    assert relay.rejected["Revoked"] >= 1
    # and the relay wants another link key
    assert relay.keys.is_stale(relay.authority.policy)


def test_a_nonce_counts_once_and_none_outlives_its_neighbour():
    air, _, relay, _ = chain()
    neighbours = relay.mesh.neighbours
    nonce = neighbours.nonce(0, 3, air.now_ms)

    def prove(counter, given):
        frame = Frame(
            0, CONTROL, 3, 2, counter, b"\x02" + (counter >> 16).to_bytes(2, "big") + given
        )
        inject(air, relay, frame.encode(TAG, KEY))

    prove(5000, nonce)
    assert neighbours.find(0, 3).counter == 5000
    # the recording of that frame would take the counter back
    neighbours.find(0, 3).accept(5100)
    prove(5000, nonce)
    assert neighbours.find(0, 3).counter == 5100
    # neither does it bring a forgotten neighbour back
    neighbours.drop(neighbours.find(0, 3))
    prove(5000, nonce)
    assert neighbours.find(0, 3) is None
    first = neighbours.nonce(0, 3, air.now_ms)
    prove(6000, first)
    neighbours.drop(neighbours.find(0, 3))
    prove(6000, first)
    assert neighbours.find(0, 3) is None
    # and a nonce ends after two minutes
    late = neighbours.nonce(0, 3, air.now_ms)
    air.now_ms += 120000
    prove(7000, late)
    assert neighbours.find(0, 3) is None


def test_a_receipt_is_repeated_a_few_times_and_no_more():
    air, _, relay, _ = chain()
    (entry,) = [one for one in relay.mesh.neighbours if one.address == 3]
    data = Frame(1, DATA, 3, 2, entry.counter + 1, WORD, 1).encode(TAG, KEY)
    quiet(air, relay)
    assert inject(air, relay, data) == [("mesh:0003", HELLO)]
    assert quiet(air, relay) == 1
    count = 0
    for _ in range(10):
        assert inject(air, relay, data) == []
        count += quiet(air, relay)
    assert count == RECEIPTS_MAX == FRAME_TRIES_HEARD_MAX - 1


def test_roles_decide_for_each_part_of_the_way():
    # class 6 from relays only, forwarded by relays; class 7 heard on serial lines only; class 8
    # from sensors only
    rows = ROUTES + (
        [6, RELAY, RELAY, 6, 4, 1000, 0],
        [7, 1, RELAY, 2, 4, 1000, 0],
        [8, SENSOR, RELAY, 6, 4, 1000, 0],
    )
    air, gateway, relay, sensor = chain()
    policy = air_policy(2, relay.authority.head, rows)
    for node in air.nodes:
        node.take(policy)
    (up,) = [one for one in relay.mesh.neighbours if one.address == 3]
    (down,) = [one for one in gateway.mesh.neighbours if one.address == 2]

    def sends(node, entry, route_class, shape, hops, far, message=WORD):
        counter = entry.counter + 1
        frame = Frame(
            route_class, DATA, entry.address, node.address, counter, message, 2, shape, hops, far
        )
        before = node.rejected.get("NotRouted", 0)
        found = inject(air, node, frame.encode(TAG, KEY))
        quiet(air, node)
        return found, node.rejected.get("NotRouted", 0) - before

    # to a neighbour: the sensor is no relay
    assert sends(relay, up, 6, 0, 0, None) == ([], 1)
    assert sends(relay, up, 1, 0, 0, None) == ([("mesh:0003", HELLO)], 0)
    assert sends(relay, up, 7, 0, 0, None) == ([], 1)
    # forwarded by the relay, whose role is allowed; the origin's is not
    assert sends(gateway, down, 6, 1, 1, 3) == ([], 1)
    assert sends(gateway, down, 1, 1, 1, 3) == ([("mesh:0003", HELLO)], 0)
    # a sensor that forwards what another node has sent
    assert sends(relay, up, 1, 1, 1, 1) == ([], 1)
    # downwards, from one that may not be the origin of this class
    message = b"\x01\x00\x03" + WORD
    (back,) = [one for one in sensor.mesh.neighbours if one.address == 2]
    assert sends(sensor, back, 6, 2, 1, 3, message) == ([], 1)
    message = b"\x01\x00\x01" + WORD
    assert sends(sensor, back, 8, 2, 1, 3, message) == ([], 1)
    assert sends(sensor, back, 6, 2, 1, 3, message) == ([("mesh:0001", HELLO)], 0)


def source_route(node, entry, message, far, route_class=0):
    """A frame of this neighbour of `node` that goes down along a source route."""
    counter = entry.counter + 1
    epoch = node.authority.epoch
    way = Frame(route_class, DATA, entry.address, node.address, counter, message, epoch, 2, 1, far)
    return way.encode(TAG, KEY)


def test_a_sensor_sends_no_source_routes_in_the_name_of_a_gateway():
    # nor in its own: no node takes it for a parent, so no way begins at it
    air, gateway, relay, sensor = chain()
    other = air.node(4, SENSOR)
    for node in (gateway, relay, sensor):
        node.knows(other)
        other.knows(node)
    for node in (gateway, sensor):
        air.cut(node, other)
    assert air.run(lambda: other.mesh.routing.rank == 2, 120)
    (entry,) = [one for one in relay.mesh.neighbours if one.address == 3]
    for name in (b"\0\1", b"\0\2", b"\0\3"):
        before = relay.rejected.get("NotRouted", 0)
        message = b"\1" + name + WORD
        assert inject(air, relay, source_route(relay, entry, message, 4)) == []
        assert inject(air, relay, source_route(relay, entry, message, 2)) == []
        assert relay.rejected["NotRouted"] == before + 2
    air.run(seconds=10)
    assert other.got == []
    # as it would be if the gateway had sent it
    (entry,) = [one for one in relay.mesh.neighbours if one.address == 1]
    inject(air, relay, source_route(relay, entry, b"\1\0\1" + WORD, 4))
    assert air.run(lambda: other.got, 10) and other.got == [("mesh:0001", HELLO)]


def test_a_gateway_that_does_not_forward_a_class_sends_its_answers_down():
    # class 1 from gateways and sensors, forwarded by other nodes
    hub, relay_only = 8, 16
    rows = ([0, 1, hub | relay_only, 6, 4, 1000, 7], [1, hub | SENSOR, relay_only, 6, 4, 1000, 3])
    air = Air()
    gateway = air.node(1, hub, is_gateway=True, routes=rows)
    relay = air.node(2, relay_only, routes=rows)
    sensor = air.node(3, SENSOR, routes=rows)
    nodes = (gateway, relay, sensor)
    air.line(*nodes)
    for node in nodes:
        node.knows(*[one for one in nodes if one is not node])
    assert air.run(lambda: sensor.mesh.routing.rank == 2, 120)
    sensor.send(gateway, HELLO)
    assert air.run(lambda: gateway.got, 30)
    gateway.send(sensor, SECRET)
    assert air.run(lambda: sensor.got, 30) and sensor.got == [("mesh:0001", SECRET)]


def test_a_late_answer_makes_no_accepted_frame_fresh_again():
    one = Neighbour(0, 7)
    one.restart(9, 0)
    for counter in (10, 11, 12):
        one.check(counter)
        one.accept(counter)
    # an ANSWER that was sent before those frames, and held back
    one.restart(9, 1000)
    for counter in (9, 10, 11, 12):
        raises(Replayed, one.check, counter)
    one.check(13)
    # a device in its place begins with small counters
    one.restart(3, 500000)
    one.check(4)
