"""Sleeping children: what a parent keeps for them, when it sends it, and when it gives them up."""

import signer
from mesh_rig import RELAY, SENSOR, Air, air_policy
from sleep_rig import SECRET, SLEEP_S, WINDOW_MS, listen, sleep

from writ.authority import capsule
from writ.errors import BadFrame, MailboxFull, TableFull
from writ.limits import (
    MAILBOX_BYTES_MAX,
    MAILBOX_MESSAGES_MAX,
    SLEEP_S_MAX,
    SLEEPERS_MAX,
    WINDOWS_MISSED_MAX,
)
from writ.mesh.frame import CONTROL, HEADER_BYTES, MIC_BYTES, decode
from writ.mesh.mailbox import Mailbox
from writ.mesh.poll import poll
from writ.mesh.routing import HELLO, POLL


def field(roles=SENSOR):
    """(air, gateway, relay, child): a chain, whose end sleeps."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relay = air.node(2, RELAY)
    child = air.node(3, roles, is_leaf=True)
    nodes = (gateway, relay, child)
    air.line(*nodes)
    for node in nodes:
        node.knows(*[other for other in nodes if other is not node])
    assert air.run(lambda: child.mesh.routing.rank == 2, 120)
    # so that the gateway knows the way back
    child.send(gateway, b"\x40\x01\x00\x01\xb4writ")
    assert air.run(lambda: gateway.got)
    gateway.got.clear()
    return air, gateway, relay, child


def frames_to(air, address, since=0):
    """The decoded frames on air to this address, from frame number `since` on."""
    found = [decode(data, signer.scope()[0]) for _, _, _, data in air.frames[since:]]
    return [frame for frame in found if frame.receiver == address]


def test_a_request_waits_for_the_window_of_a_child():
    air, gateway, relay, child = field()
    assert listen(air, child) == 0
    child.is_asleep = True
    before = len(air.frames)
    gateway.send(child, SECRET)
    sleep(air, child)
    # no frame was spent on a child that does not listen, and its parent has not given it up
    assert frames_to(air, 3, before) == [] and child.got == []
    assert [one.is_mutual for one in relay.mesh.neighbours if one.address == 3] == [True]
    assert listen(air, child) == 1
    assert air.run(lambda: child.got, 5)
    assert child.got == [("mesh:0001", SECRET)]
    assert listen(air, child) == 0
    assert relay.rejected == {} and gateway.rejected == {}


def test_a_reading_arrives_and_its_answer_comes_in_the_same_window():
    air, gateway, _relay, child = field()
    listen(air, child)
    sleep(air, child)
    child.is_asleep = False
    child.send(gateway, SECRET)
    assert air.run(lambda: gateway.got, 5)
    gateway.send(child, SECRET + b"answer")
    # without a POLL: a child that sends listens
    assert air.run(lambda: child.got, 3)
    assert child.got == [("mesh:0001", SECRET + b"answer")]


def test_a_repeated_request_is_kept_once():
    air, gateway, relay, child = field()
    listen(air, child)
    child.is_asleep = True
    for _ in range(5):
        gateway.send(child, SECRET)
        air.run(None, 5)
    assert listen(air, child) == 1
    assert relay.rejected == {}


def test_a_long_message_prolongs_the_window():
    air, gateway, relay, child = field()
    for node in (gateway, relay, child):
        node.links[0].mtu = 51
    message = bytes(range(200)) * 3
    listen(air, child, 1000)
    child.is_asleep = True
    gateway.send(child, message)
    air.run(None, 60)
    assert listen(air, child, 1000) == 1
    begin_ms = air.now_ms
    assert air.run(lambda: child.got, 30)
    # it took more than the window that the child has announced
    air.run(None, 1)
    assert child.got == [("mesh:0001", message)]
    assert begin_ms + 20 < air.now_ms
    assert relay.rejected == {}


def test_no_long_message_begins_in_the_second_half_of_a_window():
    air, _gateway, relay, child = field()
    listen(air, child)
    mailbox = relay.mesh.outbox.mailbox
    long = b"\x00" * 300
    head = 1, 0, 0, None
    # a frame of the child has opened its window
    mailbox.heard(3, air.now_ms)
    later_ms = air.now_ms + WINDOW_MS // 2 + 1
    relay.mesh.outbox.now_ms = later_ms
    relay.mesh.outbox.queue(0, 3, head, 3, long)
    mailbox.tick(later_ms)
    assert len(relay.mesh.outbox.transfers) == 0
    # a short one still fits
    relay.mesh.outbox.queue(0, 3, head, 4, SECRET)
    mailbox.tick(later_ms)
    assert [one.message for one in relay.mesh.outbox.transfers] == [SECRET]


def test_a_message_is_taken_back_when_the_window_closes():
    air, gateway, relay, child = field()
    listen(air, child)
    child.is_asleep = True
    gateway.send(child, SECRET)
    air.run(None, 5)
    assert listen(air, child) == 1
    # the child hears nothing of it
    sleep(air, child, 60)
    assert child.got == [] and len(relay.mesh.outbox.transfers) == 0
    sent = [frame for frame in frames_to(air, 3) if frame.kind != CONTROL]
    assert len(sent) < 12
    assert listen(air, child) == 1
    assert air.run(lambda: child.got, 5)
    assert child.got == [("mesh:0001", SECRET)] and "NoRoute" not in relay.rejected


def test_a_child_that_acknowledges_nothing_in_its_window_is_not_lost():
    air, gateway, relay, child = field()
    listen(air, child, 60000)
    child.is_asleep = True
    gateway.send(child, SECRET)
    air.run(None, 5)
    assert listen(air, child, 60000) == 1
    sleep(air, child, 120)
    assert relay.rejected == {}
    assert [one.is_mutual for one in relay.mesh.neighbours if one.address == 3] == [True]
    assert listen(air, child) == 1
    assert air.run(lambda: child.got, 5)


def test_a_child_that_misses_its_windows_is_lost_with_its_messages():
    air, gateway, relay, child = field()
    listen(air, child)
    child.is_asleep = True
    gateway.send(child, SECRET)
    gateway.send(child, SECRET + b"2")
    sleep(air, child, WINDOWS_MISSED_MAX * SLEEP_S - 60)
    assert relay.rejected == {}
    sleep(air, child, 120)
    assert relay.rejected == {"NoRoute": 2}
    assert [one.is_mutual for one in relay.mesh.neighbours if one.address == 3] == [False]
    # it comes back
    child.is_asleep = False
    child.send(gateway, SECRET)
    assert air.run(lambda: gateway.got, 60)
    assert listen(air, child) == 0


def test_a_flood_fills_its_mailbox_only_and_is_counted():
    air, gateway, relay, child = field()
    other = air.node(4, SENSOR, is_leaf=True)
    air.cut(other, gateway)
    air.cut(other, child)
    for node in (gateway, relay):
        node.knows(other)
    other.knows(gateway, relay, child)
    assert air.run(lambda: other.mesh.routing.rank == 2, 60)
    listen(air, child)
    listen(air, other)
    outbox = relay.mesh.outbox
    head = 1, 0, 0, None
    for number in range(MAILBOX_MESSAGES_MAX):
        outbox.queue(0, 3, head, 3, bytes((number,)) * 20)
    for number in range(100, 103):
        try:
            outbox.queue(0, 3, head, 3, bytes((number,)) * 20)
            raise AssertionError
        except MailboxFull:
            pass
    # what is more urgent displaces the last of what is less
    outbox.queue(0, 3, head, 7, b"governance")
    assert relay.rejected == {"MailboxFull": 1}
    # another child has its own room, and the bytes of all are bounded
    outbox.queue(0, 4, head, 3, b"mine")
    count = 0
    try:
        for number in range(1000):
            outbox.queue(0, 4, head, 3, number.to_bytes(2, "big") * 300)
            count += 1
    except MailboxFull:
        pass
    assert count < MAILBOX_MESSAGES_MAX and count * 600 <= MAILBOX_BYTES_MAX
    assert listen(air, child) == MAILBOX_MESSAGES_MAX
    assert air.run(lambda: len(child.got) >= 1, 5)


class Stub:
    """A frame of a child, and a mesh without messages."""

    receiver = 1
    outbox = None

    def __init__(self, transmitter):
        self.transmitter = transmitter
        self.outbox = self.permit = self
        self.transfers = ()

    def roles(self, address, now_ms):
        """Roles of a member, which each child is."""
        return 1


def test_malformed_polls_take_no_place():
    mailbox = Mailbox(Stub(1))
    for content in (
        b"",
        b"\0\1\0\0",
        b"\0\1\0\0\1\0",
        b"\0\0\0\0\1",
        b"\0\1" + (SLEEP_S_MAX + 1).to_bytes(3, "big"),
    ):
        try:
            mailbox.polled(0, Stub(7), content, 0)
            raise AssertionError(content)
        except BadFrame:
            pass
    assert mailbox.next_ms(0) is None
    assert mailbox.polled(0, Stub(7), b"\0\1" + SLEEP_S_MAX.to_bytes(3, "big"), 0) == 0


def test_a_flood_of_children_is_bounded():
    mailbox = Mailbox(Stub(1))
    for number in range(1, SLEEPERS_MAX + 1):
        assert mailbox.polled(0, Stub(number), b"\0\1\0\0\1", 0) == 0
    try:
        mailbox.polled(0, Stub(SLEEPERS_MAX + 1), b"\0\1\0\0\1", 0)
        raise AssertionError
    except TableFull:
        pass
    # one that is known still polls, and one that stays awake leaves its place
    assert mailbox.polled(0, Stub(1), b"\0\1\0\0\1", 0) == 0
    assert mailbox.polled(0, Stub(1), b"\0\1\0\0\0", 0) == 0
    assert mailbox.polled(0, Stub(SLEEPERS_MAX + 1), b"\0\1\0\0\1", 0) == 0


def test_a_child_that_stays_awake_gets_all_its_messages():
    air, gateway, _relay, child = field()
    listen(air, child)
    child.is_asleep = True
    gateway.send(child, SECRET)
    gateway.send(child, SECRET + b"2")
    air.run(None, 5)
    assert listen(air, child, WINDOW_MS, 0) == 2
    assert air.run(lambda: len(child.got) == 2, 5)
    gateway.send(child, SECRET + b"3")
    assert air.run(lambda: len(child.got) == 3, 5)


def test_a_revoked_child_gets_nothing():
    air, gateway, relay, child = field()
    listen(air, child)
    child.is_asleep = True
    gateway.send(child, SECRET)
    air.run(None, 5)
    revoked = [capsule.node_id(child.x)]
    for node in (gateway, relay):
        node.take(air_policy(2, node.authority.head, revoked=revoked))
    child.is_asleep = False
    # its first frame may be that of a renewed member, whose capsule is asked for
    listen(air, child)
    air.run(None, 5)
    assert child.got == [] and relay.rejected["Revoked"] > 0
    sent = poll(child.mesh, WINDOW_MS, SLEEP_S)
    air.run(lambda: sent.is_failed, 30)
    assert not sent.is_done and child.got == []


def test_a_window_does_not_deliver_to_a_child_revoked_meanwhile():
    air, gateway, relay, child = field()
    listen(air, child)
    child.is_asleep = True
    gateway.send(child, SECRET)
    air.run(None, 5)
    mailbox = relay.mesh.outbox.mailbox
    mailbox.heard(3, air.now_ms)
    revoked = [capsule.node_id(child.x)]
    relay.take(air_policy(2, relay.authority.head, revoked=revoked))
    child.is_asleep = False
    air.run(None, 5)
    # whether it is renewed is asked first
    assert child.got == [] and relay.mesh.missing == [(3, 3)] and relay.rejected["Revoked"] > 0


def test_a_leaf_sends_no_hello_and_forwards_nothing():
    air, gateway, relay, child = field(RELAY)
    air.run(None, 300)
    own = [decode(data, signer.scope()[0]) for _, node, _, data in air.frames if node is child]
    assert not [one for one in own if one.kind == CONTROL and one.payload[0] == HELLO]
    # no other node takes it for a parent
    other = air.node(4, SENSOR)
    air.cut(other, gateway)
    air.cut(other, relay)
    other.knows(gateway, relay, child)
    child.knows(other)
    air.run(None, 60)
    assert other.mesh.routing.parents == []
    # and what is sent by it is refused
    data = other.mesh.outbox
    data.address, data.now_ms = 4, air.now_ms
    data.queue(0, 3, (1, 1, 3, 4), 3, SECRET)
    air.run(None, 30)
    assert "NotRouted" in child.rejected and gateway.got == []


def test_a_child_finds_another_parent_when_its_own_one_died():
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relays = [air.node(2, RELAY), air.node(3, RELAY)]
    child = air.node(4, SENSOR, is_leaf=True)
    air.cut(gateway, child)
    nodes = [gateway, child] + relays
    for node in nodes:
        node.knows(*[other for other in nodes if other is not node])
    assert air.run(lambda: len(child.mesh.routing.parents) == 2, 120)
    listen(air, child)
    first = child.mesh.routing.parents[0].address
    sleep(air, child, 600)
    dead = [one for one in relays if one.address == first][0]
    dead.is_asleep = True
    child.is_asleep = False
    child.mesh.outbox.now_ms = air.now_ms
    sent = poll(child.mesh, WINDOW_MS, SLEEP_S)
    assert air.run(lambda: sent.is_failed, 60) and not sent.is_done
    assert child.mesh.routing.parents[0].address != first
    assert listen(air, child) == 0


def test_a_poll_is_one_short_frame():
    air, _gateway, _relay, child = field()
    # receipts are still under way
    air.run(None, 2)
    before = len(air.frames)
    listen(air, child)
    (sent,) = frames_to(air, 2, before)
    assert sent.payload[0] == POLL and sent.payload[3:] == b"\0\x28\0\x0e\x10"
    assert len(sent.raw) + MIC_BYTES == HEADER_BYTES + 8
    (receipt,) = frames_to(air, 3, before)
    assert len(receipt.raw) + MIC_BYTES == HEADER_BYTES + 3
