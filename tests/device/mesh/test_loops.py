"""How a node tells the loss of its parents while a duty cycle is used up, so that no loop forms."""

from mesh_rig import RELAY, ROUTES, SENSOR, Air, Link
from signer import scope

from writ.limits import URGENT_MAX
from writ.mesh.frame import ACK, CONTROL, decode
from writ.mesh.routing import HELLO, NO_RANK

TAG = scope()[0]
HOUR_MS = 3600000
SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20


def limited(kind=2):
    """A link with a duty cycle."""
    link = Link(kind=kind)
    link.duty_cycle_permille = 10
    return link


def relay_with_parent(links):
    """(air, relay): the relay has a parent, and nothing to send."""
    air = Air()
    gateway = air.node(1, RELAY, [Link(kind=link.kind) for link in links], is_gateway=True)
    relay = air.node(2, RELAY, links)
    gateway.knows(relay)
    relay.knows(gateway)
    assert air.run(lambda: relay.mesh.routing.rank == 1, 120)
    drain(air, relay)
    return air, relay


def drain(air, node, link=0):
    """All frames that a node sends now on a link."""
    sent = []
    while True:
        data = node.mesh.outgoing(link, air.now_ms)
        if not data:
            return sent
        node.mesh.sent(link, air.now_ms)
        sent.append(decode(data, TAG))


def use_up(air, node, link=0):
    """Let the duty cycle of a link be used up now."""
    budget = node.mesh.outbox.budgets[link]
    budget.charge(air.now_ms, budget.limit_us, 0, None)


def wait(air, node, seconds):
    """Let the time pass for one node. What it has sent on its first link."""
    sent = []
    for _ in range(10 * seconds):
        node.mesh.tick(air.now_ms)
        sent += drain(air, node)
        air.now_ms += 100
    return sent


def hellos(frames):
    """The ranks that HELLOs tell."""
    return [
        frame.payload[3] for frame in frames if frame.kind == CONTROL and frame.payload[0] == HELLO
    ]


def test_a_hello_that_has_waited_tells_the_present_rank():
    # as rank 1 it made other nodes take this one for a parent, an hour after the loss of its own
    air, relay = relay_with_parent([limited()])
    use_up(air, relay)
    relay.mesh.routing.trickle.reset(air.now_ms)
    assert not wait(air, relay, 600)
    relay.mesh.neighbours.find(0, 1).rank = NO_RANK
    relay.mesh.routing.choose(air.now_ms)
    assert relay.mesh.routing.rank == NO_RANK
    sent = wait(air, relay, 3300)
    assert hellos(sent)[0] == NO_RANK


def test_one_hello_waits_for_the_duty_cycle():
    # each interval added one, until they filled the queue, and the receipts found no room
    air, relay = relay_with_parent([limited()])
    use_up(air, relay)
    for _ in range(URGENT_MAX + 2):
        relay.mesh.routing.trickle.reset(air.now_ms)
        assert not wait(air, relay, 5)
    assert relay.mesh.outbox.next_ms(air.now_ms) > 0
    outbox = relay.mesh.outbox
    for number in range(URGENT_MAX - 1):
        outbox.send_first(0, 0, ACK, 1, bytes((0, number)))
    air.now_ms += 2 * HOUR_MS
    sent = drain(air, relay)
    assert len(hellos(sent)) == 1 and len(sent) == URGENT_MAX


def test_the_own_hello_takes_the_place_of_one_that_a_stranger_has_asked_for():
    # whose airtime may be used up
    air, relay = relay_with_parent([limited()])
    use_up(air, relay)
    relay.mesh.solicited(air.now_ms)
    wait(air, relay, 5)
    relay.mesh.routing.trickle.reset(air.now_ms)
    wait(air, relay, 5)
    relay.mesh.solicited(air.now_ms)
    wait(air, relay, 5)
    air.now_ms += 2 * HOUR_MS
    assert len(hellos(drain(air, relay))) == 1
    assert 15 not in relay.mesh.outbox.budgets[0].classes


def test_a_node_takes_no_parent_before_its_neighbours_know_of_its_loss():
    # its child took it for the old parent, and it took the child: a loop for up to an hour
    air, relay = relay_with_parent([limited()])
    use_up(air, relay)
    entry = relay.mesh.routing.parents[0]
    relay.mesh.routing.lost(entry, air.now_ms)
    entry.rank = 3
    start_ms = air.now_ms
    told_ms = None
    while relay.mesh.routing.rank == NO_RANK:
        relay.mesh.tick(air.now_ms)
        if hellos(drain(air, relay)) and told_ms is None:
            told_ms = air.now_ms
        air.now_ms += 100
        assert air.now_ms - start_ms < 2 * HOUR_MS
    assert told_ms is not None and told_ms - start_ms > HOUR_MS // 2
    assert air.now_ms - told_ms >= 10000
    assert relay.mesh.routing.rank == 4


def test_a_loss_is_told_although_others_have_told_theirs():
    air, relay = relay_with_parent([Link()])
    relay.mesh.routing.lost(relay.mesh.routing.parents[0], air.now_ms)
    lone = bytes((NO_RANK,)) + bytes(7)
    for address in (7, 8, 9):
        other = relay.mesh.neighbours.add(0, address)
        relay.mesh.routing.heard(other, lone, True, air.now_ms)
    assert hellos(wait(air, relay, 5))[:1] == [NO_RANK]


def test_a_loss_is_told_on_each_link_before_a_parent_is_taken_there():
    air, relay = relay_with_parent([Link(), limited()])
    air.run(seconds=60)
    use_up(air, relay, 1)
    for entry in list(relay.mesh.neighbours):
        relay.mesh.routing.lost(entry, air.now_ms)
    on_lora = relay.mesh.neighbours.find(1, 1)
    on_lora.rank = 3
    assert not hellos(drain(air, relay, 1))
    wait(air, relay, 60)
    # the other link has told it, and would bring a parent at once
    assert relay.mesh.routing.rank == NO_RANK
    relay.mesh.neighbours.find(0, 1).rank = 5
    wait(air, relay, 1)
    assert relay.mesh.routing.rank == 6 and relay.mesh.routing.parents[0].link == 0


def test_a_link_that_the_policy_silences_leaves_the_others_their_hellos():
    routes = [route[:3] + [1 << 2] + route[4:] for route in ROUTES]
    air = Air()
    air.node(1, RELAY, [Link(kind=1), Link(kind=2)], is_gateway=True, routes=routes)
    air.run(seconds=10)
    assert {link for _, _, link, _ in air.frames} == {1}


def test_a_sleeping_node_tells_no_loss():
    # it sends no HELLO, and no node has it for a parent
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    leaf = air.node(2, SENSOR, is_leaf=True)
    gateway.knows(leaf)
    leaf.knows(gateway)
    assert air.run(lambda: leaf.mesh.routing.rank == 1, 120)
    entry = leaf.mesh.routing.parents[0]
    leaf.mesh.routing.lost(entry, air.now_ms)
    entry.rank = 0
    assert air.run(lambda: leaf.mesh.routing.rank == 1, 5)


def test_a_node_takes_no_child_for_a_parent():
    # the child has not heard of the loss: its HELLO still has a rank, and names this node
    air, relay = relay_with_parent([Link()])
    relay.mesh.routing.lost(relay.mesh.routing.parents[0], air.now_ms)
    child = relay.mesh.neighbours.add(0, 3)
    child.is_mutual = True
    relay.mesh.routing._may_relay = lambda neighbour, now_ms: True
    hello = bytes((2, 0, 9, 0, 1, 0))
    relay.mesh.routing.heard(child, hello + b"\0\2", True, air.now_ms)
    wait(air, relay, 30)
    assert relay.mesh.routing.rank == NO_RANK
    # it has another parent now
    relay.mesh.routing.heard(child, hello + b"\0\7", True, air.now_ms)
    assert relay.mesh.routing.parents == [child]
