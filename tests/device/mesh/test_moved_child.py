"""A sleeping child that gets another parent: what its gateway has for it follows it there."""

from mesh_rig import RELAY, SENSOR, Air
from sleep_rig import SECRET, SLEEP_S, WINDOW_MS, listen, sleep

from writ.mesh.poll import poll


def moving():
    """(air, gateway, relay, child): a child of the gateway wakes, and hears the relay only."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relay = air.node(2, RELAY)
    child = air.node(3, SENSOR, is_leaf=True)
    nodes = (gateway, relay, child)
    for node in nodes:
        node.knows(*[other for other in nodes if other is not node])
    air.cut(relay, child)
    assert air.run(lambda: child.mesh.routing.rank == 1 and relay.mesh.routing.rank == 1, 120)
    listen(air, child)
    sleep(air, child, 60)
    gateway.send(child, SECRET)
    air.run(None, 5)
    air.cut(gateway, child)
    air.join(relay, child)
    child.is_asleep = False
    return air, gateway, relay, child


def move(air, gateway, relay, child):
    """Let the child take the relay for its parent, and show the gateway the way."""
    child.mesh.outbox.now_ms = air.now_ms
    poll(child.mesh, WINDOW_MS, SLEEP_S)
    assert air.run(lambda: not child.mesh.routing.parents, 60)
    relay.mesh.solicited(air.now_ms)
    assert air.run(lambda: child.mesh.routing.rank == 2, 120)
    child.send(gateway, b"\x60\x00\x12\x34")
    assert air.run(lambda: gateway.got, 30)
    gateway.got.clear()


def test_the_messages_of_a_gateway_follow_a_child_to_its_new_parent():
    air, gateway, relay, child = moving()
    assert [len(one.waiting) for one in gateway.mesh.outbox.mailbox.children.values()] == [1]
    move(air, gateway, relay, child)
    # what was kept here for it, and what is sent from now on
    assert not gateway.mesh.outbox.mailbox.children
    assert air.run(lambda: child.got, 10)
    gateway.send(child, SECRET + b"next")
    assert air.run(lambda: len(child.got) == 2, 10)
    assert child.got == [("mesh:0001", SECRET), ("mesh:0001", SECRET + b"next")]
    # at the new parent they wait for its window
    assert listen(air, child) == 0
    sleep(air, child, 60)
    gateway.send(child, SECRET + b"last")
    air.run(None, 30)
    assert len(child.got) == 2
    assert listen(air, child) == 1
    assert air.run(lambda: len(child.got) == 3, 10)


def test_a_child_that_comes_back_is_a_child_of_the_gateway_again():
    air, gateway, relay, child = moving()
    move(air, gateway, relay, child)
    assert air.run(lambda: child.got, 10)
    air.join(gateway, child)
    air.cut(relay, child)
    child.mesh.outbox.now_ms = air.now_ms
    poll(child.mesh, WINDOW_MS, SLEEP_S)
    assert air.run(lambda: child.mesh.routing.rank != 2, 60)
    gateway.mesh.solicited(air.now_ms)
    assert air.run(lambda: child.mesh.routing.rank == 1, 120)
    assert listen(air, child) == 0
    sleep(air, child, 60)
    # the way by the relay is older
    assert gateway.mesh.routes == {3: [2]}
    gateway.send(child, SECRET + b"back")
    air.run(None, 30)
    assert listen(air, child) == 1
    assert air.run(lambda: len(child.got) == 2, 10)


def test_what_was_forwarded_to_a_child_that_has_moved_is_counted():
    air, gateway, relay, child = moving()
    gateway.mesh.outbox.queue(0, 3, (1, 0, 0, None), 3, SECRET + b"other", 2)
    move(air, gateway, relay, child)
    assert gateway.rejected == {"NoRoute": 1}
    assert air.run(lambda: child.got, 10)
    assert child.got == [("mesh:0001", SECRET)]
