"""What a stranger with a radio, or a member that lies, costs a mesh: no airtime, and no end."""

import signer
from mesh_rig import KEY, RELAY, ROUTES, SENSOR, Air, Link, air_policy, chain

from writ.authority import capsule
from writ.limits import (
    FRAME_TRIES_MAX,
    JOIN_REASSEMBLIES_MAX,
    MESH_MESSAGE_BYTES_MAX,
    NEIGHBOURS_MAX,
    REASSEMBLIES_MAX,
    TRANSFERS_MESH_MAX,
)
from writ.mesh.compress import compress
from writ.mesh.frame import ACK, BROADCAST, CONTROL, DATA, FRAGMENT, JOIN_CLASS, Frame, decode
from writ.mesh.routing import HELLO

PLAIN = b"\x40\x01\x00\x01\xb4writ"
HANDLE = 0x7777
TAG = signer.scope()[0]


def quiet_chain():
    """`chain` of mesh_rig.py, with a relay that has nothing to send."""
    air, gateway, relay, sensor = chain()
    drain(air, relay)
    return air, gateway, relay, sensor


def inject(air, node, frame, key=KEY):
    """Let one node receive a frame; key: None for the join class."""
    return node.mesh.receive(0, frame.encode(TAG, key), 9, air.now_ms)


def drain(air, node):
    """[Frame] that a node has to send now."""
    frames = []
    while True:
        data = node.mesh.outgoing(0, air.now_ms)
        if not data:
            return frames
        node.mesh.sent(0, air.now_ms)
        frames.append(decode(data, TAG))


def join_frame(kind, transmitter, receiver, payload, counter=1):
    """A frame of a stranger."""
    return Frame(JOIN_CLASS, kind, transmitter, receiver, counter, payload)


def hello(counter, rank=0, transmitter=9, epoch=1):
    """A HELLO of a member."""
    content = bytes((HELLO, counter >> 24, counter >> 16 & 255, rank, 0, 0, 0, 1, 0, 0, 0))
    return Frame(0, CONTROL, transmitter, BROADCAST, counter, content, epoch)


# --- strangers ------------------------------------------------------------------------------------


def test_a_request_to_a_handle_that_is_gone_is_repeated_no_more():
    # CoAP repeats it four times, and each repetition was four frames
    air, _, relay, _ = quiet_chain()
    inject(air, relay, join_frame(DATA, HANDLE, 2, PLAIN), None)
    drain(air, relay)

    def frames_of_a_try():
        relay.mesh.send("join:%04x" % HANDLE, PLAIN, air.now_ms)
        frames = []
        for _ in range(300):
            frames += [one for one in drain(air, relay) if one.route_class == JOIN_CLASS]
            air.now_ms += 100
        return len(frames)

    assert frames_of_a_try() == FRAME_TRIES_MAX
    assert frames_of_a_try() == 0
    # it is heard again
    inject(air, relay, join_frame(DATA, HANDLE, 2, PLAIN, 2), None)
    drain(air, relay)
    assert frames_of_a_try() == FRAME_TRIES_MAX
    assert HANDLE not in relay.mesh.join._links and HANDLE not in relay.mesh.join._recent


def test_a_handle_that_is_gone_on_one_link_stays_on_the_other():
    air = Air()
    relay = air.node(2, RELAY, [Link(), Link()])
    for link in (0, 1):
        frame = join_frame(DATA, HANDLE, 2, PLAIN, 1 + link)
        relay.mesh.receive(link, frame.encode(TAG, None), 9, air.now_ms)
    relay.mesh.join.drop(0, HANDLE)
    assert relay.mesh.join.way_to(HANDLE) == (1, 2)


def test_a_stranger_cannot_acknowledge_the_message_to_a_member():
    air, gateway, relay, _ = quiet_chain()
    relay.send(gateway, PLAIN)
    (sent,) = [one for one in drain(air, relay) if one.kind == DATA]
    receipt = sent.counter.to_bytes(2, "big")
    inject(air, relay, join_frame(ACK, 1, 2, receipt), None)
    assert relay.mesh.outbox.transfers.to(0, 1)
    inject(air, relay, Frame(0, ACK, 1, 2, next_counter(relay, 1), receipt, 1))
    assert not relay.mesh.outbox.transfers.to(0, 1)


def next_counter(node, address):
    """The next counter that a node accepts of a neighbour."""
    return node.mesh.neighbours.find(0, address).counter + 1


def test_a_stranger_with_the_address_of_a_member_holds_up_no_message_to_it():
    air, gateway, relay, _ = quiet_chain()
    assert inject(air, relay, join_frame(DATA, 1, 2, compress(PLAIN)), None)
    relay.mesh.send("join:0001", PLAIN, air.now_ms)
    relay.send(gateway, PLAIN)
    classes = [one.route_class for one in drain(air, relay) if one.kind == DATA]
    assert sorted(classes) == [0, JOIN_CLASS]


def test_answers_to_strangers_leave_room_in_the_queue():
    air, gateway, relay, _ = quiet_chain()
    for handle in range(100, 100 + 2 * TRANSFERS_MESH_MAX):
        inject(air, relay, join_frame(DATA, handle, 2, compress(PLAIN)), None)
        relay.mesh.send("join:%04x" % handle, PLAIN, air.now_ms)
    assert relay.rejected["TableFull"]
    full = relay.rejected["TableFull"]
    relay.send(gateway, PLAIN)
    assert relay.rejected["TableFull"] == full
    assert [one for one in relay.mesh.outbox.transfers if not one.is_join]


# the first of 32 tiles of a message that never goes on
HALF = (1 << 10 | 31).to_bytes(2, "big") + b"x" * 8


def test_half_messages_of_strangers_do_not_keep_others_from_joining():
    air, _, relay, _ = quiet_chain()
    for handle in range(100, 100 + JOIN_REASSEMBLIES_MAX):
        inject(air, relay, join_frame(FRAGMENT, handle, 2, HALF), None)
    inject(air, relay, join_frame(FRAGMENT, 500, 2, HALF), None)
    assert relay.rejected["TableFull"] == 1
    air.run(seconds=30)
    inject(air, relay, join_frame(FRAGMENT, 500, 2, HALF), None)
    assert relay.rejected["TableFull"] == 1


def test_strangers_that_ask_for_hello_pay_with_their_own_airtime():
    air, _, relay, sensor = quiet_chain()
    rows = ROUTES[:2] + ([15, 1, RELAY, 6, 0, 1, 0],)
    relay.take(air_policy(2, relay.authority.head, rows))
    # the HELLO frames of the new epoch
    air.step_ms = 250
    air.run(seconds=3600)
    air.frames.clear()
    end_ms = air.now_ms + 3600000
    number = 0
    while air.now_ms < end_ms:
        inject(air, relay, join_frame(CONTROL, 77, BROADCAST, b"\0", number & 65535), None)
        number += 1
        air.run(seconds=2)
    airtime_ms = sum([len(one[3]) for one in air.frames if one[1] is relay])
    # an hour has 3600 s: one thousandth for strangers, and what Trickle says by itself
    assert 3000 < airtime_ms < 3600 + 3000
    assert relay.rejected["ClassAirtime"] > 100
    assert relay.mesh.routing.rank == 1 and sensor.mesh.routing.rank == 2


def test_a_handle_serves_only_while_its_node_joins():
    air, _, _, sensor = quiet_chain()
    handle = sensor.mesh.join.handle
    drain(air, sensor)
    assert inject(air, sensor, join_frame(DATA, 77, handle, compress(PLAIN)), None) == []
    assert not drain(air, sensor)
    sensor.mesh.join.is_stale = True
    assert inject(air, sensor, join_frame(DATA, 77, handle, compress(PLAIN)), None)


def test_a_relay_that_doubts_its_key_still_answers_by_its_address():
    air, _, relay, _ = quiet_chain()
    relay.mesh.join.is_stale = True
    inject(air, relay, join_frame(DATA, 77, 2, compress(PLAIN)), None)
    relay.mesh.send("join:004d", PLAIN, air.now_ms)
    frames = drain(air, relay)
    # the receipt is in front of the answer
    assert [(one.kind, one.hops, one.transmitter) for one in frames] == [(DATA, 2, 2)]


def test_a_recorded_greeting_is_answered_once():
    air, _, relay, _ = quiet_chain()

    def answers(frame):
        inject(air, relay, frame)
        return len(drain(air, relay))

    # of a member that is away, and of a neighbour
    away = Frame(0, CONTROL, 9, 2, 500, b"\0\0\0nonc", 1)
    near = Frame(0, CONTROL, 3, 2, next_counter(relay, 3), b"\0\0\0nonc", 1)
    for frame in (away, near):
        air.now_ms += 60000
        assert answers(frame) == 1
        assert sum([answers(frame) for _ in range(20)]) == 0
        frame.counter += 1
        assert answers(frame) == 1
    # a device in the place of another one begins with small counters
    air.now_ms += 600000
    away.counter = 1
    assert answers(away) == 1 and answers(away) == 0


def test_a_recorded_hello_is_greeted_once():
    air, _, relay, _ = quiet_chain()
    relay.take(signer.certify(signer.member_payload(b"\x09" * 32, "n9", 9, RELAY)))
    air.frames.clear()
    recorded = hello(500)
    for _ in range(20):
        inject(air, relay, recorded)
        air.run(seconds=60)
    greets = [one for one in air.frames if one[1] is relay and one[3][7] == 9]
    assert 0 < len(greets) <= 4


# --- members that lie -----------------------------------------------------------------------------


def test_a_message_that_a_relay_makes_too_long_is_refused():
    air, _, relay, _ = quiet_chain()
    message = b"\0" * MESH_MESSAGE_BYTES_MAX
    frame = Frame(0, DATA, 3, 2, next_counter(relay, 3), message, 1, 1, 4, 3)
    assert inject(air, relay, frame) == []
    assert relay.rejected["TooLarge"] == 1


def test_made_up_neighbours_do_not_hold_all_places_for_fragments():
    air, _, relay, _ = quiet_chain()
    for address in range(1000, 1000 + REASSEMBLIES_MAX):
        # the ANSWER that the liar would hear has this nonce
        nonce = relay.mesh.neighbours.nonce(0, address, air.now_ms)
        inject(air, relay, Frame(0, CONTROL, address, 2, 1, b"\2\0\0" + nonce, 1))
        inject(air, relay, Frame(0, FRAGMENT, address, 2, 2, HALF, 1))
        drain(air, relay)
    inject(air, relay, Frame(0, FRAGMENT, 3, 2, next_counter(relay, 3), HALF, 1))
    assert relay.rejected["TableFull"] == 1
    air.run(seconds=20)
    inject(air, relay, Frame(0, FRAGMENT, 3, 2, next_counter(relay, 3), HALF, 1))
    assert relay.rejected["TableFull"] == 1


def test_the_largest_counter_is_no_trap():
    air, _, relay, _ = quiet_chain()
    neighbour = relay.mesh.neighbours.find(0, 3)
    neighbour.accept(0xFFFFFFFF)
    # no key is needed for this frame
    for low in (1, 0x7000, 0xFFFF):
        inject(air, relay, Frame(1, DATA, 3, 2, low, b"x"), b"x" * 16)
    assert relay.rejected["BadMic"] == 3


def test_newer_epochs_of_made_up_neighbours_take_no_memory():
    air, _, relay, _ = quiet_chain()
    for number in range(10 * NEIGHBOURS_MAX):
        inject(air, relay, hello(number + 1, 255, 1000 + number, 9))
    assert len(relay.mesh.newer) <= NEIGHBOURS_MAX


def test_an_address_without_number_is_no_way():
    air, _, relay, _ = quiet_chain()
    for address in ("mesh:", "mesh:x", "join:-", "mesh:10000000000"):
        relay.mesh.send(address, PLAIN, air.now_ms)
    assert relay.rejected["NoRoute"] == 4


# --- airtime and flash ----------------------------------------------------------------------------


def test_a_frame_that_the_duty_cycle_never_allows_holds_up_no_other():
    link = Link(byte_us=40000)
    link.duty_cycle_permille = 1
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True, links=[link])
    sensor = air.node(2, SENSOR)
    gateway.knows(sensor)
    sensor.knows(gateway)
    assert air.run(lambda: sensor.mesh.routing.rank == 1, 120)
    gateway.send(sensor, bytes(200))
    air.run(seconds=2)
    assert gateway.rejected["DutyCycle"] >= 1
    air.run(seconds=3700)
    air.frames.clear()
    assert air.run(lambda: [one for one in air.frames if one[1] is gateway], 3700)


def test_a_node_waits_for_the_duty_cycle_without_running_hot():
    link = Link(byte_us=20000)
    link.duty_cycle_permille = 1
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True, links=[link])
    sensor = air.node(2, SENSOR)
    gateway.knows(sensor)
    sensor.knows(gateway)
    air.run(seconds=600)
    # it holds a frame, and has receipts behind it
    inject(air, gateway, Frame(0, CONTROL, 3, 1, 5, b"\0\0\0nonc", 1))
    for _ in range(3):
        sensor.send(gateway, PLAIN)
        air.run(seconds=60)
    assert not gateway.mesh.outgoing(0, air.now_ms)
    assert gateway.mesh.next_ms(air.now_ms) > 0


def test_the_next_capsule_of_an_origin_that_is_past_is_asked_for():
    # else a relay would refuse a renewed member, or a new device with its address, for ever
    air, _, relay, sensor = quiet_chain()
    relay.take(air_policy(2, relay.authority.head, revoked=[capsule.node_id(sensor.x)]))
    relay.mesh.missing.clear()
    counter = next_counter(relay, 3)
    for number in range(10):
        inject(air, relay, Frame(1, DATA, 3, 2, counter + number, compress(PLAIN), 2, 1, 4, 3))
        air.now_ms += 1000
    # at most once a minute: a revoked member could let relays ask
    assert relay.mesh.missing == [(3, 3)] and relay.rejected["Revoked"] == 9
    relay.mesh.missing.clear()
    air.now_ms += 60000
    frame = Frame(1, DATA, 3, 2, counter + 10, compress(PLAIN), 2, 1, 4, 3)
    inject(air, relay, frame)
    assert relay.mesh.missing == [(3, 3)]
    relay.take(signer.certify(signer.member_payload(b"\x05" * 32, "n5", 3, SENSOR)))
    relay.mesh.release(air.now_ms)
    assert [one for one in drain(air, relay) if one.kind == DATA and one.far == 3]
