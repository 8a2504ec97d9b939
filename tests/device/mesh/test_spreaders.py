"""Spreaders: nodes that a gateway has chosen to send a new epoch on, and gateways that lie."""

import signer
from mesh_rig import RELAY, SENSOR, Air

from writ.mesh.frame import CONTROL, decode
from writ.mesh.nearby import take_spreading
from writ.mesh.routing import PART

TAG = signer.scope()[0]


def line(count, *told_of):
    """Nodes 1 (the gateway) to `count` in a line. told_of: is_spreader of each from node 2 on."""
    air = Air()
    air.step_ms = 100
    nodes = [air.node(1, RELAY, is_gateway=True)]
    nodes += [air.node(number, RELAY) for number in range(2, count + 1)]
    air.line(*nodes)
    for node in nodes:
        node.knows(*[other for other in nodes if other is not node])
    assert air.run(lambda: nodes[-1].mesh.routing.rank == count - 1, 300)
    # intervals of Trickle have grown
    air.run(seconds=1200)
    air.frames.clear()
    for node, is_spreader in zip(nodes[1:], told_of):
        node.mesh.is_spreader = is_spreader
    return air


def amend(air, node, seconds):
    """Give a node the next amendment; whether all have it in time. seconds: at most."""
    authority = node.authority
    epoch = authority.epoch + 1
    node.take(signer.certify(signer.amendment_payload(epoch, authority.head, bytes((epoch,)) * 8)))
    return air.run(lambda: all([one.authority.epoch == epoch for one in air.nodes]), seconds)


def senders(air):
    """The short addresses of those that have sent PARTs, in order."""
    frames = [(node.address, decode(data, TAG)) for _, node, _, data in air.frames]
    return [by for by, one in frames if one.kind == CONTROL and one.payload[0] == PART]


def test_a_spreader_sends_also_for_nodes_that_are_no_children():
    air = Air()
    gateway, relay, other = (
        air.node(1, RELAY, is_gateway=True),
        air.node(2, RELAY),
        air.node(3, RELAY),
    )
    sensor = air.node(4, SENSOR)
    air.cut(gateway, sensor)
    for node in air.nodes:
        node.knows(*[one for one in air.nodes if one is not node])
    assert air.run(lambda: len(sensor.mesh.routing.parents) == 2, 200)
    air.run(seconds=60)
    first = sensor.mesh.routing.parents[0].address
    # the gateway has chosen the other one
    spreader, silent = (other, relay) if first == relay.address else (relay, other)
    spreader.mesh.is_spreader = True
    silent.mesh.is_spreader = False
    air.frames.clear()
    assert amend(air, gateway, 30)
    air.run(seconds=30)
    assert senders(air) == [1, spreader.address]


def test_spreaders_send_soon():
    air = line(5, True, True, True, False)
    began_ms = air.now_ms
    assert amend(air, air.nodes[0], 60)
    # a quarter of the longest wait at each spreader; the gateway waits as without a choice
    assert air.now_ms - began_ms < 12 * 4 * 500
    air.run(seconds=120)
    assert senders(air) == [1, 2, 3, 4]


def test_a_gateway_that_names_no_spreader_only_slows_an_epoch():
    air = line(4, False, False, False)
    assert amend(air, air.nodes[0], 600)
    # the children have heard a HELLO, and have asked
    assert senders(air) == [1, 2, 3]


def test_a_gateway_that_makes_all_nodes_spreaders_costs_one_round_of_each():
    air = line(4, True, True, True)
    assert amend(air, air.nodes[0], 60)
    air.run(seconds=600)
    assert len(senders(air)) <= 4


def test_an_epoch_that_comes_from_below_goes_up_past_nodes_that_are_no_spreaders():
    air = line(4, False, False, False)
    assert amend(air, air.nodes[3], 60)


def test_what_a_gateway_tells_is_one_byte():
    mesh = Air().node(2, RELAY).mesh
    assert mesh.is_spreader is None
    for payload, is_spreader, rest in (
        (b"\1", True, b""),
        (b"\0\x84\x43", False, b"\x84\x43"),
        (b"\1\x84", True, b"\x84"),
        (b"", None, b""),
        (b"\0", False, b""),
        (b"\x84\x43", None, b"\x84\x43"),
        (b"\2", None, b"\2"),
    ):
        assert take_spreading(mesh, payload) == rest
        assert mesh.is_spreader is is_spreader


def test_a_node_that_sleeps_is_no_spreader_whatever_the_gateway_says():
    mesh = Air().node(2, SENSOR).mesh
    mesh.is_leaf = True
    assert take_spreading(mesh, b"\1") == b""
    assert mesh.is_spreader is False
