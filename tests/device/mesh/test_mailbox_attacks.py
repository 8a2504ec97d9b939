"""Sleeping children: what liars and floods take from others in the mailboxes of a parent."""

import signer
from mesh_rig import KEY, RELAY, SENSOR, Air

from writ.errors import MailboxFull
from writ.limits import MAILBOX_BYTES_MAX, SLEEP_S_MAX, SLEEPERS_MAX
from writ.mesh.frame import CONTROL, Frame, decode
from writ.mesh.neighbour import PROOF
from writ.mesh.poll import poll
from writ.mesh.routing import POLL

TAG = signer.scope()[0]
WINDOW_MS = 4000


def field(is_known=True):
    """(air, relay, child): a gateway, a relay, and a child that may sleep.

    is_known: whether the relay has the member capsule of the child.
    """
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relay = air.node(2, RELAY)
    child = air.node(3, SENSOR, is_leaf=True)
    air.line(gateway, relay, child)
    gateway.knows(relay)
    child.knows(relay)
    relay.knows(gateway)
    if is_known:
        relay.knows(child)
    assert air.run(lambda: child.mesh.routing.rank == 2, 120)
    return air, relay, child


def ask(air, child, sleep_s=3600):
    """The `Poll` of a child that listens now."""
    child.is_asleep = False
    child.mesh.outbox.now_ms = air.now_ms
    return poll(child.mesh, WINDOW_MS, sleep_s)


def say(air, node, address, counter, kind, content):
    """Let a node receive a control frame of this transmitter."""
    payload = bytes((kind,)) + (counter >> 16).to_bytes(2, "big") + content
    frame = Frame(0, CONTROL, address, node.address, counter, payload, 1)
    node.mesh.receive(0, frame.encode(TAG, KEY), 9, air.now_ms)


def frames_of(air, node):
    """The decoded frames that a node has sent."""
    return [decode(data, TAG) for _, sender, _, data in air.frames if sender is node]


def test_made_up_sleepers_take_no_places():
    air, relay, child = field()
    for number in range(SLEEPERS_MAX):
        # addresses that no member has. The attacker hears the nonce
        address = 20000 + number
        nonce = relay.mesh.neighbours.nonce(0, address, air.now_ms)
        say(air, relay, address, 1, PROOF, nonce)
        before = relay.rejected.get("UnknownOrigin", 0)
        say(air, relay, address, 2, POLL, b"\0\1" + SLEEP_S_MAX.to_bytes(3, "big"))
        assert relay.rejected["UnknownOrigin"] == before + 1
    assert not relay.mesh.outbox.mailbox.children
    sent = ask(air, child)
    assert air.run(lambda: sent.is_done, 30)
    assert list(relay.mesh.outbox.mailbox.children) == [3]


def test_a_new_child_gets_its_place_once_its_capsule_is_here():
    air, relay, child = field(False)
    sent = ask(air, child)
    # its parent asks it for the capsule, as the agent does, and the child polls once more
    assert air.run(lambda: relay.mesh.missing, 5)
    assert relay.mesh.missing == [(3, 3)] and not sent.is_done
    relay.knows(child)
    assert air.run(lambda: sent.is_done, 30)
    assert sent.waiting == 0 and list(relay.mesh.outbox.mailbox.children) == [3]
    polls = [one for one in frames_of(air, child) if one.kind == CONTROL and one.payload[0] == POLL]
    assert len(polls) == 2


def test_a_child_without_a_receipt_takes_its_parent_again_and_its_place_in_the_next_wake():
    air, relay, child = field(False)
    sent = ask(air, child)
    # nothing brings its capsule in this wake
    assert air.run(lambda: sent.is_failed, 240)
    assert not relay.mesh.outbox.mailbox.children
    child.is_asleep = True
    air.run(None, 60)
    relay.knows(child)
    child.is_asleep = False
    # a HELLO of the relay, or its answer to a greeting
    assert air.run(lambda: child.mesh.routing.parents, 1200)
    sent = ask(air, child)
    assert air.run(lambda: sent.is_done, 30)
    assert list(relay.mesh.outbox.mailbox.children) == [3]


def test_messages_for_one_child_leave_room_for_those_of_others():
    air, relay, child = field()
    other = air.node(4, SENSOR, is_leaf=True)
    relay.knows(other)
    other.knows(relay)
    assert air.run(lambda: other.mesh.routing.parents, 120)
    for node in (child, other):
        sent = ask(air, node)
        assert air.run(lambda sent=sent: sent.is_done, 30)
        node.is_asleep = True
    outbox = relay.mesh.outbox
    head = 1, 0, 0, None
    size = 660
    count = 0
    try:
        while count < MAILBOX_BYTES_MAX // size + 1:
            outbox.queue(0, 4, head, 3, bytes((count,)) * size)
            count += 1
    except MailboxFull:
        pass
    assert count * size <= MAILBOX_BYTES_MAX >> 1
    # a request for the other child, and a body of it
    outbox.queue(0, 3, head, 3, b"a request" * 20)
    # what is more urgent displaces only what frees enough bytes
    outbox.queue(0, 4, head, 7, b"u" * size)
    assert (
        sum([len(one[2]) for one in outbox.mailbox.children[4].waiting]) <= MAILBOX_BYTES_MAX >> 1
    )
    outbox.queue(0, 4, head, 6, b"s" * 20)
    try:
        outbox.queue(0, 4, head, 7, b"v" * size)
        raise AssertionError
    except MailboxFull:
        pass
    assert [len(one[2]) for one in outbox.mailbox.children[3].waiting] == [180]


def test_the_bytes_of_all_mailboxes_are_bounded():
    air, relay, _ = field()
    children = [air.node(number, SENSOR, is_leaf=True) for number in (4, 5, 6, 7)]
    relay.knows(*children)
    for child in children:
        child.knows(relay)
    assert air.run(lambda: all([child.mesh.routing.parents for child in children]), 120)
    kept = 0
    for child in children:
        sent = ask(air, child)
        assert air.run(lambda sent=sent: sent.is_done, 30)
        child.is_asleep = True
        try:
            relay.mesh.outbox.queue(0, child.address, (1, 0, 0, None), 3, b"m" * 660)
            kept += 660
        except MailboxFull:
            pass
    assert kept <= MAILBOX_BYTES_MAX < kept + 660
