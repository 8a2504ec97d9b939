"""Observations over days and restarts (RFC 7641, sections 3.3.1 and 4.5)."""

from node_rig import GATEWAY, SENSOR, Net, code, make, serve, start

from writ.limits import OBSERVE_IDLE_S, OBSERVE_SLACK_S
from writ.wire import coap

DAY_MS = 86400000
HOUR_MS = 3600000


def observed(period_s=None):
    """(net, flash of the sensor, answers): the gateway observes "level" of the sensor."""
    flash = make("soil", 2, SENSOR).store._flash
    net = Net(gw=make("gw", 1, GATEWAY), soil=restarted(flash, period_s))
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    assert answers and answers[0].observe is not None
    return net, flash, answers


def restarted(flash, period_s=None):
    node = start("soil", flash)
    serve(node)
    node.server.resources["temp"].period_ms = period_s and period_s * 1000
    return node


def kinds(net):
    """The types of the datagrams from the sensor since the last call, but for acknowledgements."""
    found = [data[0] >> 4 & 3 for source, _, data in net.log if source == "soil"]
    net.log.clear()
    return [kind for kind in found if kind < coap.ACK]


def test_a_quiet_observation_is_confirmed_every_day():
    net, _, answers = observed()
    # the observer's own registrations are left out: it is a stock client that never repeats them
    net.nodes["gw"].exchanges.tick = lambda now_ms: ([], [])
    net.nodes["gw"].exchanges.next_ms = lambda now_ms: None
    kinds(net)
    for day in range(3):
        net.run(DAY_MS)
        assert kinds(net) == [coap.CON], day
    assert len(answers) == 4


def test_rare_notifications_are_confirmable_once_a_day():
    net, _, _ = observed()
    net.nodes["gw"].exchanges.tick = lambda now_ms: ([], [])
    net.nodes["gw"].exchanges.next_ms = lambda now_ms: None
    kinds(net)
    gap_ms = 0
    for number in range(1, 60):
        net.now_ms += 5 * HOUR_MS
        net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
        net.run()
        gap_ms = 0 if coap.CON in kinds(net) else gap_ms + 5 * HOUR_MS
        assert gap_ms < DAY_MS, number


def test_an_observer_that_vanished_is_forgotten_within_a_day():
    net, _, _ = observed()
    del net.nodes["gw"]
    net.run(DAY_MS)
    assert net.nodes["soil"].server.observers.entries == []


def test_an_observer_registers_again_after_the_server_has_restarted():
    for period_s in (None, 10, 300):
        net, flash, answers = observed(period_s)
        net.run(2 * (period_s or 0) * 1000)
        net.nodes["soil"] = restarted(flash, period_s)
        before = len(answers)
        stale_ms = 1000 * ((period_s or OBSERVE_IDLE_S) + OBSERVE_SLACK_S)
        net.run(stale_ms + 16000)
        assert len(net.nodes["soil"].server.observers.entries) == 1, period_s
        net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
        net.run()
        assert len(answers) >= before + 2 and code(answers[-1]) == "2.05"
        # one observation, whatever happened before
        assert len(net.nodes["gw"].exchanges._pending) == 1


def test_an_observer_tries_for_some_minutes_and_then_tells_its_caller():
    net, flash, answers = observed(10)
    soil = net.nodes.pop("soil")
    net.run(4 * 60000)
    assert answers[-1].rejection is None
    net.nodes["soil"] = restarted(flash, 10)
    net.run(3 * 60000)
    assert answers[-1].rejection is None and len(net.nodes["soil"].server.observers.entries) == 1
    del net.nodes["soil"], soil
    net.run(HOUR_MS)
    assert code(answers[-1]) == "TimedOut" and net.nodes["gw"].exchanges._pending == {}


def test_a_notification_in_time_prevents_the_registration():
    net, _, answers = observed(300)
    net.log.clear()
    net.run(HOUR_MS)
    asked = [data for source, _, data in net.log if source == "gw" and data[0] >> 4 & 3 < coap.ACK]
    assert asked == [] and 12 <= len(answers) <= 14
