"""A node's address changes at run time, as when a lease of DHCP ends: sessions and observations."""

from node_rig import GATEWAY, SENSOR, Net, code, make, node_id, serve

from writ.wire import coap


def observed(period_s=10):
    """(net, answers): the gateway observes "temp" of the sensor, which has a period."""
    soil = make("soil", 2, SENSOR)
    serve(soil)
    soil.server.resources["temp"].period_ms = period_s * 1000
    net = Net(gw=make("gw", 1, GATEWAY), soil=soil)
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    assert len(answers) == 1 and answers[0].observe is not None
    return net, answers


def move(net, name, to):
    """Give a node another address; what is sent to the old one is lost."""
    net.nodes[to] = net.nodes.pop(name)


def test_calls_and_notifications_follow_an_observer_that_moved():
    net, answers = observed()
    move(net, "gw", "gw2")
    assert code(net.ask("gw2", "soil", "hello")) == "2.05"
    before = len(answers)
    net.log.clear()
    net.run(35000)
    assert len(answers) == before + 3
    assert {target for source, target, _ in net.log if source == "soil"} == {"gw2"}
    assert len(net.nodes["soil"].server.observers.entries) == 1


def test_the_observation_of_an_observer_that_moved_and_vanished_ends():
    net, _ = observed()
    move(net, "gw", "gw2")
    net.ask("gw2", "soil", "hello")
    del net.nodes["gw2"]
    net.run(400000)
    assert net.nodes["soil"].server.observers.entries == []


def test_notifications_of_a_server_that_moved_are_taken():
    net, answers = observed()
    move(net, "soil", "soil2")
    before = len(answers)
    net.run(35000)
    # at once, and not after the observer has registered again
    assert len(answers) == before + 3
    assert all(code(answer) == "2.05" for answer in answers)

    net.log.clear()
    net.run(3600000)
    assert len(answers) > before + 300
    assert not [data for source, _, data in net.log if source == "gw" and 0 < data[1] < 32]
    # calls go to the new address, too
    assert net.nodes["gw"].address_of(node_id("soil")) == "soil2"


def test_a_server_that_moved_twice_and_back_is_followed():
    net, answers = observed()
    for before, after in (("soil", "soil2"), ("soil2", "soil3"), ("soil3", "soil")):
        move(net, before, after)
        seen = len(answers)
        net.run(15000)
        assert len(answers) > seen, after


def test_copies_and_forgeries_from_elsewhere_move_nothing():
    net, answers = observed()
    net.log.clear()
    net.run(15000)
    (old,) = [data for source, _, data in net.log if source == "soil" and data[1] == coap.CONTENT]
    seen = len(answers)
    forged = bytearray(old)
    forged[-1] ^= 1
    plain = coap.Message(coap.NON, coap.CONTENT, 9, coap.decode(old).token, b"22.0").encode()
    gateway = net.nodes["gw"]
    for data in (old, bytes(forged), plain):
        out = gateway.receive(data, "mallory", net.now_ms)
        # as for any answer that fits no request
        assert [target for target, _ in out] == ["mallory"] and out[0][1][0] >> 4 & 3 == coap.RST
    assert len(answers) == seen
    net.run(10000)
    assert len(answers) == seen + 1
