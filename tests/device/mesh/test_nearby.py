"""The report of a node's neighbours to its gateway."""

from mesh_rig import RELAY, SENSOR, Air, Link

from writ.limits import REPORTED_MAX
from writ.mesh.nearby import report_of


def test_a_report_lists_the_neighbours_that_take_frames():
    air = Air()
    node = air.node(1, SENSOR, [Link(), Link(byte_us=50, kind=1)])
    table = node.mesh.neighbours
    assert report_of(node.mesh, 0) == bytes(4)
    # one that was heard, and takes no frames of this node
    table.add(0, 9)
    first = table.add(0, 0x0102)
    first.is_mutual = True
    first.snr = -7
    first.delivered = 200
    second = table.add(1, 0x0103)
    second.is_mutual = True
    found = report_of(node.mesh, 0x65432100)
    # 50 bytes take 50 ms on the first link, and 2.5 ms on the second one
    assert found == bytes.fromhex("65432100" + "0103010003ff80" + "0102020033c8f9")


def test_a_report_is_bounded():
    air = Air()
    node = air.node(1, RELAY)
    for number in range(2, 40):
        one = node.mesh.neighbours.add(0, number)
        one.is_mutual = True
        one.snr = 300 if number % 2 else -300
        one.delivered = 100 + number
    found = report_of(node.mesh, 0)
    # the table of a device is not longer; a host has more, and reports the best ones
    assert len(found) == 4 + 7 * min(REPORTED_MAX, len(node.mesh.neighbours))
    assert found[4:6] == b"\x00\x27" and found[10] in (127, 129)
