"""A newer epoch at nodes with two links: it is sent on over the other one, once for each."""

import signer
from mesh_rig import KEY, LORA, RELAY, Air, Link

from writ.mesh.frame import BROADCAST, CONTROL, Frame, decode
from writ.mesh.routing import PART, WANT

TAG = signer.scope()[0]
SERIAL = 1


def field(count, connected, cut=(), wire=(0, SERIAL)):
    """Nodes 1 (the gateway) to `count`, each with two links.

    connected: the addresses on each link; cut: (address, address) that do not hear each other;
    wire: µs a byte and kind of link 0.
    """
    air = Air()
    air.step_ms = 100
    for address in range(1, count + 1):
        links = [Link(byte_us=wire[0], kind=wire[1]), Link()]
        air.node(address, RELAY, links, is_gateway=address == 1)
    for node in air.nodes:
        node.knows(*[other for other in air.nodes if other is not node])
    for link in (0, 1):
        air.connect(link, *[air.nodes[address - 1] for address in connected[link]])
    for one, other in cut:
        air.cut(air.nodes[one - 1], air.nodes[other - 1])
    assert air.run(lambda: all([node.mesh.routing.rank < 255 for node in air.nodes]), 300)
    air.run(seconds=60)
    air.frames.clear()
    return air


def amend(air):
    """Give the gateway an amendment; whether all nodes get it soon, before they hear a HELLO."""
    gateway = air.nodes[0]
    head = gateway.authority.head
    gateway.take(signer.certify(signer.amendment_payload(2, head, b"\x09" * 8)))
    is_here = air.run(lambda: all([one.authority.epoch == 2 for one in air.nodes]), 15)
    air.run(seconds=60)
    return is_here


def sent(air, kind):
    """[(address, link)] of the control frames of one kind that were sent, in order."""
    found = []
    for _, node, link, data in air.frames:
        frame = decode(data, TAG)
        if frame.kind == CONTROL and frame.payload[0] == kind:
            found.append((node.address, link))
    return found


def check(air, expected, spare=0):
    """The amendment came in PARTs alone, by these (address, link) and at most `spare` others."""
    assert amend(air), [node.authority.epoch for node in air.nodes]
    parts = sent(air, PART)
    missing = [one for one in expected if one not in parts]
    assert not missing and len(parts) <= len(expected) + spare, parts
    assert not sent(air, WANT)


def test_what_comes_over_lora_is_sent_on_over_serial():
    check(field(3, ((2, 3), (1, 2))), [(1, 1), (2, 0)])


def test_what_comes_over_serial_is_sent_on_over_lora_once_for_all():
    # some may have heard of others before these had a parent
    check(field(5, ((1, 2), (2, 3, 4, 5))), [(1, 0), (2, 1)], 1)


def test_senders_on_one_link_are_not_heard_on_the_other():
    # 2, 3 and 4 hear the gateway and each other, 5 and 6 are children of 2 and 3. Node 7 hears 4
    # alone, on a slower link: 4 has heard two others send the capsule when its turn comes
    apart = [(5, other) for other in (1, 3, 4, 6)] + [(6, other) for other in (1, 2, 4)]
    air = field(7, ((1, 2, 3, 4, 5, 6), (4, 7)), apart, (20, LORA))
    check(air, [(1, 0), (2, 0), (3, 0), (4, 1)])


def test_a_flood_of_wants_on_one_link_holds_up_no_other_link():
    air = field(2, ((1, 2), (1, 2)), wire=(1000, LORA))
    amend(air)
    air.frames.clear()
    air.step_ms = 500

    def want(link, sender):
        head = bytes((WANT, 0, 0)) + gateway.address.to_bytes(2, "big")
        frame = Frame(0, CONTROL, sender, BROADCAST, 1000, head, 1)
        gateway.mesh.receive(link, frame.encode(TAG, KEY), 9, air.now_ms)
        air.run(seconds=12)

    # each one from another member, as far as its frames say. In the end it is answered once in
    # eight minutes
    gateway = air.nodes[0]
    number = 0
    while len(sent(air, PART)) < 8:
        number += 1
        want(0, 1000 + number)
        assert number < 500
    air.frames.clear()
    want(1, 5000)
    assert sent(air, PART) == [(1, 1)]
    want(0, 5001)
    assert sent(air, PART) == [(1, 1)]


def test_a_link_with_small_frames_takes_the_capsule_from_no_other_link():
    # it was cleared, and the other link sent a part of 0: number -1
    air = field(3, ((1, 2), (1, 3)), wire=(1000, LORA))
    gateway, near = air.nodes[:2]
    gateway.links[1].mtu = 23
    head = gateway.authority.head
    gateway.take(signer.certify(signer.amendment_payload(2, head, b"\x09" * 8)))
    assert air.run(lambda: near.authority.epoch == 2, 15)
    parts = sent(air, PART)
    assert (1, 0) in parts and (1, 1) not in parts
