"""The log of a host says once that the airtime of a link is used up, and when it is free again."""

import re

from mesh_rig import RELAY, Air, Link

from writ.mesh.frame import CONTROL
from writ_host.node.airtimecheck import AirtimeCheck


def test_a_node_that_is_mute_says_so_once() -> None:
    link = Link(byte_us=20_000)
    link.duty_cycle_permille = 1
    air = Air()
    node = air.node(1, RELAY, [link], is_gateway=True)
    outbox = node.mesh.outbox
    check = AirtimeCheck(outbox)
    news = []
    start_ms = air.now_ms
    # more than the duty cycle allows, for two hours
    while air.now_ms < start_ms + 7_200_000:
        if air.now_ms < start_ms + 3_600_000:
            outbox.send_first(0, 0, CONTROL, 65535, bytes(6))
        while node.mesh.outgoing(0, air.now_ms):
            node.mesh.sent(0, air.now_ms)
        news += check.tick(air.now_ms)
        air.now_ms += 10_000
    (_, is_used_up, text), (number, *free) = news
    assert is_used_up and text.startswith("link 0: airtime used up (3.")
    assert " s of 3.6 s in the last hour); next frame in about " in text
    assert re.search(r"about (5\d min( \d+ s)?|1 h( \d+ s| 1 min)?)$", text), text
    assert (number, free[0]) == (0, False)
    assert str(free[1]).startswith("link 0: airtime is free again (")


def test_a_link_without_duty_cycle_is_never_used_up() -> None:
    air = Air()
    node = air.node(1, RELAY, [Link(byte_us=20_000)], is_gateway=True)
    check = AirtimeCheck(node.mesh.outbox)
    for _ in range(100):
        node.mesh.outbox.send_first(0, 0, CONTROL, 65535, bytes(6))
        while node.mesh.outgoing(0, air.now_ms):
            node.mesh.sent(0, air.now_ms)
        assert check.tick(air.now_ms) == []
        air.now_ms += 1000
