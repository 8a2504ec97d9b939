"""Observations over days and restarts (RFC 7641, sections 3.3.1 and 4.5)."""

from node_rig import GATEWAY, SENSOR, Net, code, make, serve, start

from writ.limits import OBSERVE_IDLE_S, OBSERVE_SLACK_S, PAUSE_MS_MAX
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
        assert len(net.nodes["gw"].exchanges.pending) == 1


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
    assert code(answers[-1]) == "TimedOut" and net.nodes["gw"].exchanges.pending == {}


def test_a_notification_in_time_prevents_the_registration():
    net, _, answers = observed(300)
    net.log.clear()
    net.run(HOUR_MS)
    asked = [data for source, _, data in net.log if source == "gw" and data[0] >> 4 & 3 < coap.ACK]
    assert asked == [] and 12 <= len(answers) <= 14


def refused(net):
    """Forge refusals by "soil" of all requests of "gw": it has no such session any more."""
    for _, token in list(net.nodes["gw"].exchanges.pending):
        message = coap.Message(coap.NON, coap.UNAUTHORIZED, net.now_ms & 0xFFFF, token, b"")
        net.inject("soil", "gw", message.encode())


def handshakes(net):
    """How many handshakes the gateway has begun since the last call."""
    found = [coap.decode(data) for source, _, data in net.log if source == "gw"]
    net.log.clear()
    return len([1 for one in found if one.option(coap.URI_PATH) == b".well-known" and one.payload])


def notified(net):
    net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
    net.run()


def test_values_and_refusals_by_turns_cost_few_handshakes():
    net, _, answers = observed()
    net.nodes["soil"].handshaker.limit = lambda *_: None
    handshakes(net)
    for _ in range(600):
        notified(net)
        refused(net)
        net.run(1000)
    # after 0, 2, 4 ... 64 s, and then one in 64 s
    assert 6 <= handshakes(net) <= 16
    assert answers[-1].is_success()


def test_a_refusal_in_the_pause_does_not_prolong_it():
    net, _, _ = observed()
    net.nodes["soil"].handshaker.limit = lambda *_: None
    notified(net)
    refused(net)
    net.run()
    refused(net)
    handshakes(net)
    for _ in range(5):
        net.run(500)
        refused(net)
    assert handshakes(net) == 1


def test_an_observation_that_lived_for_a_while_is_registered_again_at_once():
    net, _, answers = observed()
    for _ in range(4):
        net.run(PAUSE_MS_MAX)
        notified(net)
        refused(net)
        handshakes(net)
        before = len(answers)
        net.run()
        assert handshakes(net) == 1 and len(answers) == before + 1
