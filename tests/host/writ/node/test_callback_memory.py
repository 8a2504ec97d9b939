"""A heap that is full while the node calls an app, or does what it has put off: it tries again."""

import signer
from memory_rig import Hungry, ScarceNet
from node_rig import EXPIRES, GATEWAY, SENSOR, head_of, make, member, node_id, policy, serve

from writ.limits import TRIES_MAX
from writ.node.resolve import ask as ask_by_name
from writ.wire import coap

NEVER = 1 << 30


def field(**nodes):
    """A gateway and a sensor with an open session."""
    soil = make("soil", 2, SENSOR)
    serve(soil)
    net = ScarceNet(gw=make("gw", 1, GATEWAY), soil=soil, **nodes)
    net.ask("gw", "soil", "temp")
    return net


def call(net, on_answer):
    """Call "temp" from the gateway."""
    request = (coap.GET, "temp", b"", "soil", None, (), None, on_answer)
    net.send("gw", net.nodes["gw"].request(*request))


def test_an_answer_is_given_again_to_a_receiver_that_had_no_room() -> None:
    net = field()
    answers = []
    receiver = Hungry(answers.append)
    call(net, receiver)
    net.run(1000)
    assert receiver.calls == 2 and [answer.payload for answer in answers] == [b"21.5"]
    assert len(net.nodes["gw"].sessions) == 1


def test_a_receiver_that_never_has_room_ends_no_node() -> None:
    net = field()
    receiver = Hungry(print, NEVER)
    call(net, receiver)
    net.run(60000)
    assert receiver.calls == 2 + TRIES_MAX and net.nodes["gw"]._deferred == []
    assert net.ask("gw", "soil", "temp", ms=60000).is_success()


def test_a_delegate_tells_a_receiver_again_that_had_no_room() -> None:
    net = field()
    soil = net.nodes["soil"]
    answers = []
    receiver = Hungry(answers.append)
    net.delegate("soil", "gw").fetch(bytes(16), receiver)
    net.run_for(60, lambda: answers)
    assert receiver.calls == 2 and len(answers) == 1 and soil._deferred == []


def test_what_was_put_off_is_done_with_more_room() -> None:
    net = field()
    done = []
    net.nodes["soil"].later(Hungry(lambda now_ms: done.append(now_ms) or []))
    net.run(1000)
    assert len(done) == 1 and net.nodes["soil"].counters["MemoryError"] == 1


def test_a_name_is_looked_up_at_the_next_gateway_whenever_there_is_room() -> None:
    net = field(far=make("far", 5, GATEWAY))
    gateway = net.nodes["gw"]
    net.nodes["far"].authority.receive(member("soil", 2, SENSOR), 0)
    net.nodes["far"].addresses[node_id("soil")] = "soil"
    answers = []
    gateway.request = Hungry(gateway.request, 0)
    via = ["soil", "far"]
    net.nodes["soil"].authority.me = None  # it does not know the name
    net.send("gw", ask_by_name(gateway, via, "soil", coap.GET, "hello", b"", answers.append))
    gateway.request = Hungry(gateway.request, 1)
    net.nodes["soil"].authority.me = net.nodes["far"].authority.peer_by(name="soil")
    net.run(300000)
    assert gateway.request.calls >= 2 and [a.is_success() for a in answers] == [True]


def test_a_pull_that_had_no_room_is_done_at_once() -> None:
    net = field()
    whole = policy(3)
    net.nodes["gw"].authority.receive(whole, 0)
    soil = net.nodes["soil"]
    soil.authority.receive = Hungry(soil.authority.receive)
    net.ask("gw", "soil", "temp")
    net.run(1000)
    assert soil.authority.head == head_of(whole)
    assert soil.sync._next_pull_ms.get(node_id("gw"), 0) <= net.now_ms


def test_a_pull_that_never_had_room_is_not_held_against_the_peer() -> None:
    net = field()
    net.nodes["gw"].authority.receive(policy(3), 0)
    soil = net.nodes["soil"]
    soil.make_room = soil.count  # the session stays
    soil.authority.receive = Hungry(soil.authority.receive, NEVER)
    net.ask("gw", "soil", "temp")
    net.run(1000)
    (session,) = soil.sessions
    assert soil.authority.receive.calls > 1 and session.tries == 0


def test_a_notification_for_which_there_was_no_room_is_made_again() -> None:
    net = field()
    soil, gateway = net.nodes["soil"], net.nodes["gw"]
    resource = Hungry(lambda request: b"20", 0)
    soil.resource("temp", period_s=3600)(resource)
    values = []
    request = (coap.GET, "temp", b"", "soil", None, (), True, values.append)
    net.send("gw", gateway.request(*request))
    net.run(1000)
    count = len(values)
    assert count
    resource.calls = 0
    resource._times = 1
    soil.server.resources["temp"].due_ms = net.now_ms
    net.run_for(10)
    assert resource.calls == 2 and len(values) == count + 1


def test_a_renewed_node_that_had_no_room_shows_its_capsule_later() -> None:
    soon = signer.FOUNDED + 600
    soil = make("soil", 2, SENSOR)
    serve(soil)
    net = ScarceNet(gw=make("gw", 1, GATEWAY, exp=soon), soil=soil)
    net.ask("gw", "soil", "temp")
    gateway = net.nodes["gw"]
    gateway.authority.receive(member("gw", 1, GATEWAY, EXPIRES), net.now_ms)
    net.run(700000)
    # the refusal of the old capsule has come, and its answer finds no room
    send = gateway.client.send
    gateway.client.send = lambda call, *more: (
        hungry(call, *more) if call.path == "writ" else send(call, *more)
    )
    hungry = Hungry(send)
    net.insist("gw", "soil", "temp")
    assert hungry.calls == 2 and len(gateway.sessions) == 1
