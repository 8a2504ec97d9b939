"""A newer epoch in a neighbourhood: who asks, who answers, and what liars and floods gain."""

import signer
from mesh_rig import KEY, RELAY, ROUTES, SENSOR, Air, air_policy, chain

from writ.authority.capsule import node_id
from writ.compat import MICROPYTHON, sha256
from writ.limits import NEIGHBOURS_MAX, PART_SENDERS_MAX
from writ.mesh.brief import shorten
from writ.mesh.frame import BROADCAST, CONTROL, DATA, Frame, decode
from writ.mesh.routing import PART, WANT

TAG = signer.scope()[0]
SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20
# whole meshes with their authorities, in the heap that the suite has
CROWD = 8 if MICROPYTHON else 31
# of a flood: frames, and the time between them
FLOOD = 300
PAUSE_S = 12


def crowd(count=CROWD, **more):
    """Nodes that all hear each other, in the mesh; the first one is the gateway."""
    air = Air(**more)
    air.node(1, RELAY, is_gateway=True)
    for address in range(2, count + 1):
        air.node(address, SENSOR)
    for node in air.nodes[1:]:
        node.knows(air.nodes[0])
    assert air.run(lambda: all(node.mesh.routing.rank < 255 for node in air.nodes), 1200)
    air.run(seconds=60)
    air.frames.clear()
    return air


def flood(air):
    """The numbers of frames in an hour of a flood; the time of `air` passes between them."""
    air.step_ms = 500
    for number in range(FLOOD):
        yield number
        air.run(seconds=PAUSE_S)


def settle(air, *nodes, number=9):
    """Give these nodes the amendment of `revoke`, before any frame tells of it."""
    raw = revoke(nodes[0], number)
    for node in nodes:
        node.take(raw)
    return raw


def revoke(node, number=9):
    """The amendment that revokes a node after the policy in force at `node`; 16 bytes of id."""
    authority = node.authority
    payload = signer.amendment_payload(authority.epoch + 1, authority.head, bytes((number,)) * 8)
    return signer.certify(payload)


def controls(air, kind):
    """[(node, content)] of the control frames of one kind that were sent."""
    found = []
    for _, node, _, data in air.frames:
        frame = decode(data, TAG)
        if frame.kind == CONTROL and frame.payload[0] == kind:
            found.append((node, frame.payload[3:]))
    return found


def others(air):
    """How many frames were sent that a pull needs."""
    kinds = [decode(data, TAG).kind for _, _, _, data in air.frames]
    return len([kind for kind in kinds if kind != CONTROL])


def have(air, epoch):
    """Whether all nodes have this epoch."""
    return all(node.authority.epoch == epoch for node in air.nodes)


def inject(air, node, kind, content, sender, epoch, counter):
    """Let a node receive a WANT or PART of a member, with the true link key; its counter says."""
    high = (counter >> 16).to_bytes(2, "big")
    frame = Frame(0, CONTROL, sender, BROADCAST, counter, bytes((kind,)) + high + content, epoch)
    return node.mesh.receive(0, frame.encode(TAG, KEY), 9, air.now_ms)


def part(raw, base, index=0, count=1, tile=200):
    """The content of a PART of the capsule `raw` that follows epoch `base`."""
    head = (base & 63) << 10 | index << 5 | count - 1
    tag = sha256(raw)[:2] if count > 1 else b""
    return head.to_bytes(2, "big") + tag + raw[index * tile : index * tile + tile]


# --- one neighbourhood hears it once --------------------------------------------------------------


def test_a_crowd_hears_an_amendment_once():
    air = crowd()
    raw = settle(air, air.nodes[0])
    assert air.run(lambda: have(air, 2), 120)
    air.run(seconds=60)
    # in the form without what all know
    assert controls(air, PART)[0][1] == part(shorten(raw, 1), 1)
    # some have heard of others before these had a parent
    assert len(controls(air, PART)) <= 2
    assert not controls(air, WANT)
    assert not others(air)


def test_a_crowd_hears_it_in_spite_of_losses():
    def rounds(seed):
        air = crowd(loss=51, seed=seed)
        for node in air.nodes:
            node.links[0].mtu = 51
        raw = settle(air, air.nodes[0])
        assert air.run(lambda: have(air, 2), 300), seed
        assert not others(air)
        return len(controls(air, PART)) * 29 / len(shorten(raw, 1))

    # if each of 31 nodes repeated it, each would send it once
    for seed in range(1 if MICROPYTHON else 3):
        assert rounds(seed) <= 8


def test_it_passes_relays_and_a_node_sends_it_for_its_children():
    air = Air()
    nodes = [air.node(1, RELAY, is_gateway=True)]
    nodes += [air.node(number, RELAY) for number in range(2, 6)]
    air.line(*nodes)
    for node in nodes:
        node.knows(*[other for other in nodes if other is not node])
    assert air.run(lambda: nodes[-1].mesh.routing.rank == 4, 300)
    air.run(seconds=60)
    air.frames.clear()
    settle(air, nodes[0])
    assert air.run(lambda: have(air, 2), 120)
    air.run(seconds=60)
    senders = [node.address for node, _ in controls(air, PART)]
    # the last one has no child
    assert senders == [1, 2, 3, 4]
    # and upwards
    air.frames.clear()
    settle(air, nodes[-1], number=10)
    assert air.run(lambda: have(air, 3), 120)
    # a relay may hear of the epoch by another frame, before the parts
    assert len(controls(air, WANT)) <= 2


def test_only_a_node_that_others_may_need_says_hello_soon():
    air, gateway, relay, sensor = chain()
    # intervals of Trickle have grown
    air.step_ms = 500
    air.run(seconds=600)
    raw = revoke(gateway)
    soon_ms = 16 * 4000
    # one that lacks the epoch, and has another parent
    sensor.mesh.neighbours.add(0, 40).epoch = 1
    for node, is_needed in ((gateway, True), (relay, True), (sensor, False)):
        for other in node.mesh.neighbours:
            if other.address == node.address - 1:
                # it has the epoch
                other.epoch = 2
        node.take(raw)
        node.mesh.tick(air.now_ms)
        assert (node.mesh.routing.trickle.next_ms(air.now_ms) <= soon_ms) == is_needed, node.address


def test_a_newer_header_makes_one_node_ask_and_one_answer():
    air = crowd()
    # they know of it, and have had no reason to send it
    late = air.nodes[-3:]
    for node in air.nodes[:-3]:
        node.take(revoke(node))
        node.mesh.tick(air.now_ms)
    for node in air.nodes[:-3]:
        node.mesh.load_spread()._owed = [0]
        node.mesh.routing.trickle._due_ms = None
    air.nodes[0].mesh.routing.trickle.reset(air.now_ms)
    assert air.run(lambda: have(air, 2), 60)
    assert len(controls(air, WANT)) == 1
    assert len(controls(air, PART)) == 1
    # it names the one that it has heard
    node, content = controls(air, WANT)[0]
    assert node in late and content == b"\0\1"


def test_an_older_header_is_answered_once():
    air = crowd()
    for node in air.nodes[:-1]:
        node.take(revoke(node))
        node.mesh.tick(air.now_ms)
        node.mesh.load_spread()._owed = [0]
    inject_all(air, air.nodes[-1], bytes((3, 0, 0, 1, 0, 9, 0, 1, 0, 0, 1)))
    assert air.run(lambda: have(air, 2), 30)
    assert len(controls(air, PART)) == 1


def inject_all(air, sender, payload):
    """Let all nodes receive a HELLO that `sender` sends now."""
    head = 0, 0, 0, None
    data = sender.mesh.outbox.encode(head, CONTROL, BROADCAST, payload[:1] + payload[3:])[1]
    air.transmit(sender, 0, data)


# --- several epochs -------------------------------------------------------------------------------


def test_mixed_epochs_all_reach_the_newest():
    air = crowd(9)
    chain = []
    for number in range(3):
        raw = revoke(air.nodes[0], 20 + number)
        chain.append(raw)
        air.nodes[0].take(raw)
    for index in range(1, 9):
        for raw in chain[: index % 4]:
            air.nodes[index].take(raw)
    assert air.run(lambda: have(air, 4), 600)
    assert not others(air)


def test_a_node_three_epochs_behind_catches_up():
    air = crowd(4)
    for number in range(3):
        raw = revoke(air.nodes[0], 20 + number)
        for node in air.nodes[:3]:
            node.take(raw)
    late = air.nodes[3]
    assert air.run(lambda: late.authority.epoch == 4, 600)
    assert not others(air) and not late.mesh.newer


def test_a_node_far_behind_pulls_at_once():
    air = crowd(3)
    late = air.nodes[2]
    for number in range(6):
        raw = revoke(air.nodes[0], 20 + number)
        for node in air.nodes[:2]:
            node.take(raw)
    late.mesh.newer.clear()
    air.run(lambda: late.mesh.newer or have(air, 7), 600)
    # the whole policy may have come first: it fits
    assert late.authority.epoch == 7 or late.mesh.newer


def test_what_no_neighbour_sends_is_pulled_after_some_time():
    air = crowd(3)
    late = air.nodes[2]
    # a neighbour says so, and no node answers
    for count in range(20):
        inject(air, late, WANT, b"\0\0", 77, 2, 1000 + count)
        air.run(seconds=30)
        if late.mesh.newer:
            break
    assert late.mesh.newer == {77: 2}
    assert 2 <= len(controls(air, WANT)) <= 6


# --- members that lie -----------------------------------------------------------------------------


def test_wrong_parts_change_nothing_and_their_sender_is_ignored():
    air = crowd(3)
    victim = air.nodes[2]
    good = revoke(victim)
    bad = signer.forge(good)
    inject(air, victim, PART, part(bad, 1), 77, 2, 1000)
    assert victim.authority.epoch == 1
    assert victim.rejected["BadSignature"] == 1
    # it pulls from the next one that has the epoch, and asks the liar for nothing
    assert not victim.mesh.newer
    inject(air, victim, WANT, b"\0\0", 77, 2, 1001)
    assert not victim.mesh.newer
    inject(air, victim, WANT, b"\0\0", 78, 2, 1000)
    assert victim.mesh.newer == {78: 2}
    # nor does it take other parts of the liar; those of others are taken
    for count in range(20):
        inject(air, victim, PART, part(bad, 1, 0, 2, 60), 77, 2, 1002 + count)
    inject(air, victim, PART, part(good, 1, 0, 2, 60), 78, 2, 1001)
    inject(air, victim, PART, part(good, 1, 1, 2, 60), 78, 2, 1002)
    assert victim.authority.epoch == 2
    assert victim.rejected["BadSignature"] == 1


def test_a_wrong_part_among_true_ones_is_found_by_the_signature():
    air = crowd(3)
    victim = air.nodes[2]
    good = revoke(victim)
    first = part(good, 1, 0, 2, 60)
    inject(air, victim, PART, first, 78, 2, 1000)
    # with the tag of the true capsule
    last = part(good, 1, 1, 2, 60)
    inject(air, victim, PART, last[:-1] + b"?", 77, 2, 1000)
    assert victim.authority.epoch == 1 and victim.rejected["BadSignature"] == 1
    # both have taken part
    assert sorted(victim.mesh.load_spread()._liars) == [77, 78]
    inject(air, victim, WANT, b"\0\0", 79, 2, 1000)
    assert victim.mesh.newer == {79: 2}


def test_parts_without_end_take_no_memory_and_hold_up_nobody():
    air = crowd(3)
    victim = air.nodes[2]
    air.step_ms = 100
    for number in range(300):
        wrong = bytes((number & 255, number >> 8)) * 300
        inject(air, victim, PART, part(wrong, 1, number % 3, 32, 20), 100 + number, 2, 1000)
        air.run(seconds=1)
    spread = victim.mesh.load_spread()
    assert (
        len(spread._coverage.senders) <= PART_SENDERS_MAX and len(spread._liars) <= PART_SENDERS_MAX
    )
    assert len(victim.mesh.newer) <= NEIGHBOURS_MAX
    # it has asked at growing intervals only, and pulls
    assert len([node for node, _ in controls(air, WANT) if node is victim]) <= 8
    assert victim.mesh.newer
    air.run(seconds=60)
    good = revoke(victim)
    inject(air, victim, PART, part(good, 1), 78, 2, 1000)
    assert victim.authority.epoch == 2


def test_parts_of_another_capsule_wait():
    air = crowd(2)
    victim = air.nodes[1]
    good = revoke(victim)
    inject(air, victim, PART, part(good, 1, 0, 2, 60), 78, 2, 1000)
    inject(air, victim, PART, part(b"wrong" * 40, 1, 0, 2, 60), 77, 2, 1000)
    inject(air, victim, PART, part(good, 1, 1, 2, 60), 78, 2, 1001)
    assert victim.authority.epoch == 2


def test_malformed_parts_and_wants_are_refused():
    air = crowd(2)
    node = air.nodes[1]
    contents = (b"", b"\x04", b"\x04\x00", b"\x04\x20x", b"\x04\x01", b"\x04\x01tg", b"\x04\x41tgx")
    for count in range(len(contents)):
        inject(air, node, PART, contents[count], 77, 2, 1000 + count)
    contents = (b"", b"1", b"123", b"1234", b"123456789")
    for count in range(len(contents)):
        inject(air, node, WANT, contents[count], 77, 0, 2000 + count)
    assert node.rejected["BadFrame"] == 12
    assert node.mesh.load_spread()._partial is None


def test_a_flood_of_wants_costs_little_airtime():
    air = crowd(3)
    settle(air, *air.nodes)
    air.run(seconds=60)
    air.frames.clear()
    # each one from another member, as far as its frames say
    for number in flood(air):
        for node in air.nodes:
            server = (0, node.address)[number & 1].to_bytes(2, "big")
            inject(air, node, WANT, server, 1000 + number, 1, 1000)
    per_node = len(controls(air, PART)) / 3
    assert 1 <= per_node <= 12
    # and as many of older epochs in turn
    air.frames.clear()
    for number in flood(air):
        for node in air.nodes:
            inject(air, node, WANT, b"\0\0", 2000 + number, (1, 0, 255)[number % 3], 1000)
    assert len(controls(air, PART)) / 3 <= 8


def test_a_replayed_want_is_answered_by_nobody():
    air = crowd(4)
    for node in air.nodes[:3]:
        node.take(revoke(node))
    assert air.run(lambda: have(air, 2), 60)
    air.step_ms = 500
    air.run(seconds=3600)
    inject(air, air.nodes[0], WANT, b"\0\1", 4, 1, 70000)
    air.run(seconds=60)
    air.frames.clear()
    for _ in range(100):
        inject(air, air.nodes[0], WANT, b"\0\1", 4, 1, 70000)
        air.run(seconds=10)
    assert not controls(air, PART)


def test_a_revoked_node_gets_no_answer():
    air = crowd(3)
    gateway, thief = air.nodes[0], air.nodes[2]
    gateway.knows(thief)
    thief.send(gateway, SECRET)
    assert air.run(lambda: gateway.got, 60)
    payload = signer.amendment_payload(2, gateway.authority.head, node_id(thief.x))
    raw = signer.certify(payload)
    for node in air.nodes[:2]:
        node.take(raw)
        node.mesh.tick(air.now_ms)
        node.mesh.load_spread()._owed = [0]
    # once a minute it may be a renewed member
    gateway.mesh.permit._renewal_ms = air.now_ms
    air.frames.clear()
    # neither its WANT nor the header of its message is answered
    inject(air, gateway, WANT, b"\0\1", 3, 1, 70000)
    counter = gateway.mesh.neighbours.find(0, 3).counter + 3
    frame = Frame(1, DATA, 3, 1, counter, b"x", 1)
    gateway.mesh.receive(0, frame.encode(TAG, KEY), 9, air.now_ms)
    air.cut(gateway, thief)
    air.run(seconds=30)
    assert gateway.rejected["Revoked"] >= 2
    assert not [node for node, _ in controls(air, PART) if node is gateway]


def test_a_false_newer_epoch_costs_few_wants():
    air = crowd(3)
    victim = air.nodes[2]
    for number in flood(air):
        inject(air, victim, WANT, b"\0\0", 77, 3, 1000 + number)
        victim.mesh.newer.clear()
    assert len([node for node, _ in controls(air, WANT) if node is victim]) <= 24


def test_a_long_policy_is_left_to_the_pull():
    air = crowd(3)
    head = air.nodes[0].authority.head
    revoked = [bytes((number,)) * 8 for number in range(1, 61)]
    raw = air_policy(2, head, ROUTES, revoked=revoked)
    assert len(raw) > 674
    for node in air.nodes[:2]:
        node.take(raw)
    assert air.run(lambda: air.nodes[2].mesh.newer, 600)
    assert not controls(air, PART)
