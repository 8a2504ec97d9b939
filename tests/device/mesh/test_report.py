"""What a node tells of its mesh: airtime against the budget, neighbours, parents, queue."""

from mesh_rig import RELAY, SENSOR, Air, Link

from writ import cbor
from writ.mesh.mailbox import Mailbox, _Child
from writ.mesh.neighbour import Neighbour
from writ.mesh.poll import poll
from writ.mesh.report import report

SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20


def field(duty_cycle_permille=1000):
    """(air, gateway, sensor) after a message of the sensor."""
    air = Air()
    link = Link()
    link.duty_cycle_permille = duty_cycle_permille
    gateway = air.node(1, RELAY, is_gateway=True, links=[link])
    sensor = air.node(2, SENSOR)
    gateway.knows(sensor)
    sensor.knows(gateway)
    assert air.run(lambda: sensor.mesh.routing.rank == 1)
    sensor.send(gateway, SECRET)
    assert air.run(lambda: gateway.got)
    # the receipt
    air.step()
    return air, gateway, sensor


def test_a_report_before_the_first_frame():
    air = Air()
    node = air.node(1, SENSOR)
    found = report(node.mesh, 0)
    assert found["links"] == [[2, 0, None, [], [], {}, None]]
    assert found["neighbours"] == [] and found["parents"] == []
    cbor.encode(found)


def test_a_report_has_the_airtime_by_class_and_by_neighbour():
    air, gateway, _ = field(duty_cycle_permille=10)
    found = report(gateway.mesh, air.now_ms)
    ((kind, spent_ms, budget_ms, classes, noisiest, counters, error),) = found["links"]
    assert (kind, budget_ms, counters, error) == (2, 36000, {}, None)
    assert spent_ms == (gateway.mesh.outbox.budgets[0].used_us(air.now_ms) + 999) // 1000 > 0
    # HELLOs and greetings, the receipt of the message; class 15 has sent nothing
    assert [row[0] for row in classes] == [0, 1]
    assert sum([row[1] for row in classes]) - spent_ms in (0, 1)
    assert [row[2] for row in classes] == [None, None]
    # what was sent because of the sensor
    assert noisiest[0][0] == 2 and 0 < noisiest[0][1] <= spent_ms
    assert found["rank"] == 0 and found["gateway"] == 1
    assert cbor.decode(cbor.encode(found)) == found


def test_a_report_of_a_node_below_a_gateway():
    air, _, sensor = field()
    found = report(sensor.mesh, air.now_ms)
    assert (found["rank"], found["gateway"], found["parents"]) == (1, 1, [1])
    ((address, link, rank, is_mutual, delivered, snr, heard_s),) = found["neighbours"]
    assert (address, link, rank, is_mutual, delivered) == (1, 0, 0, True, 256)
    assert snr == 5 and 0 <= heard_s < 60
    assert found["links"][0][2] is None
    assert found["waiting"] == len(sensor.mesh.outbox.transfers)
    # three neighbours at most, and only those that have cost something
    for other in range(10, 20):
        sensor.mesh.outbox.budgets[0].charge(air.now_ms, 1000 * other, 0, other)
    noisiest = report(sensor.mesh, air.now_ms)["links"][0][4]
    assert noisiest[0][0] in (1, 19) and len(noisiest) == 3
    later_ms = air.now_ms + 2 * 3600000
    assert report(sensor.mesh, later_ms)["links"][0][4] == []


def test_a_report_has_the_children_that_sleep_and_what_waits_for_them():
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    child = air.node(2, SENSOR, is_leaf=True)
    gateway.knows(child)
    child.knows(gateway)
    assert air.run(lambda: child.mesh.routing.rank == 1)
    assert "sleepers" not in report(gateway.mesh, air.now_ms)
    child.mesh.outbox.now_ms = air.now_ms
    sent = poll(child.mesh, 4000, 900)
    assert air.run(lambda: sent.is_done, 30)
    child.is_asleep = True
    gateway.send(child, SECRET)
    air.step()
    later_ms = air.now_ms + 600000
    found = report(gateway.mesh, later_ms, 0, {2: 900, 7: 3600})
    (address, sleep_s, heard_s, waiting), announced = found["sleepers"]
    assert (address, sleep_s, waiting) == (2, 900, 1) and 600 <= heard_s < 630
    # it is no child, and has told this gateway that it sleeps
    assert announced == [7, 3600, None, None]
    assert cbor.decode(cbor.encode(found)) == found
    assert "sleep_s" not in found
    assert report(child.mesh, air.now_ms, 900)["sleep_s"] == 900


def test_a_report_of_a_host_with_hundreds_of_neighbours_fits_a_body():
    air = Air()
    node = air.node(1, RELAY, is_gateway=True)
    mailbox = node.mesh.outbox.mailbox = Mailbox(node.mesh)
    heard = []
    for number in range(1000, 1250):
        child = mailbox.children[number] = _Child()
        child.sleep_ms = 86400000
        if number == 1249:
            child.waiting = [None]
        neighbour = Neighbour(0, number)
        neighbour.heard_ms = number
        heard.append(neighbour)
    node.mesh.neighbours = heard
    found = report(node.mesh, 3600000)
    assert len(found["neighbours"]) == 32 and found["neighbours"][0][0] == 1249
    assert len(found["sleepers"]) == 24 and found["sleepers"][0][0] == 1249
    assert len(cbor.encode(found)) < 1536
