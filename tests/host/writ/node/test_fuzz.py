"""Any input in any order: counted rejections, bounded tables, no exception."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from node_hostile import FIRST_MESSAGES, capsule_post, only_rejections, remid
from node_rig import (
    GATEWAY,
    GUEST,
    RULES,
    SENSOR,
    Net,
    amendment,
    head_of,
    make,
    node_id,
    policy,
    serve,
    start,
)

from writ import limits
from writ.node.resolve import resolve
from writ.wire import coap

pytestmark = pytest.mark.slow

LAW_2 = policy(2, policy(), RULES)
STEP_2 = amendment(2, head_of(policy()), node_id("gone"))
FEW = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def bounded(node):
    """Assert that no table of a node is larger than its limit."""
    exchanges = node.exchanges
    assert len(node.sessions) <= limits.SESSIONS_MAX
    assert len(node.handshaker.pending) <= limits.HANDSHAKES_MAX
    assert len(node.handshaker._started) <= limits.REQUESTS_MAX
    assert len(node.client.handshakes) <= limits.REQUESTS_MAX
    assert len(node.introduced) <= 16
    assert len(node.server.observers.entries) <= limits.OBSERVERS_MAX
    assert len(node.server.uploads.transfers) <= limits.TRANSFERS_MAX
    assert len(node.server.stranger_uploads.transfers) <= limits.TRANSFERS_MAX
    assert len(exchanges.pending) <= limits.REQUESTS_MAX
    assert max(map(len, exchanges.seen)) <= limits.DEDUP_MAX
    assert len(exchanges._loose) <= limits.DEDUP_MAX
    assert len(exchanges._confirmable) <= limits.REQUESTS_MAX + limits.OBSERVERS_MAX
    assert len(node.addresses) <= limits.ADDRESSES_MAX
    assert len(node.authority.peers) <= limits.PEERS_MAX
    assert len(node._deferred) <= limits.REQUESTS_MAX
    only_rejections(node)


def trio():
    """A net of a gateway, a sensor and a guest, all of which serve."""
    nodes = {
        "gw": make("gw", 1, GATEWAY),
        "soil": make("soil", 2, SENSOR),
        "guest": make("guest", 3, GUEST),
    }
    for node in nodes.values():
        serve(node)
    return Net(**nodes)


def recorded():
    """All datagrams of an ordinary exchange: [(source, target, data)]."""
    net = trio()
    net.ask("gw", "soil", "temp")
    net.ask("gw", "soil", "big")
    net.ask("gw", "soil", "big", coap.POST, b"x" * 700)
    net.ask("guest", "soil", "temp")
    net.call("gw", "soil", "temp", observe=True)
    net.run()
    net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
    net.nodes["gw"].authority.receive(LAW_2, 0)
    net.ask("gw", "soil", "hello")
    net.ask("soil", "gw", "hello")
    return net.log


DAY = recorded()


@FEW
@given(st.lists(st.tuples(st.binary(max_size=700), st.sampled_from(["gw", "x"])), max_size=20))
def test_arbitrary_bytes(datagrams):
    net = trio()
    soil = net.nodes["soil"]
    files = dict(soil.store._flash.files)
    for data, source in datagrams:
        net.inject(source, "soil", data)
        net.send("soil", soil.tick(net.now_ms))
    bounded(soil)
    assert soil.store._flash.files == files


def mutated(data, edits):
    """The datagram with some bytes replaced, put in or taken out."""
    data = bytearray(data)
    for place, kind, byte in edits:
        at = place % (len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] = byte
        elif kind == 1:
            data.insert(at, byte)
        else:
            del data[at : at + 1 + byte % 8]
    return bytes(data)


EDITS = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 2), st.integers(0, 255)), max_size=4)


@FEW
@given(st.lists(st.tuples(st.integers(0, 300), EDITS), min_size=1, max_size=30))
def test_altered_datagrams_of_an_old_recording(picks):
    net = trio()
    for pick, edits in picks:
        source, target, data = DAY[pick % len(DAY)]
        net.inject(source, target, mutated(data, edits))
    for node in net.nodes.values():
        bounded(node)
        assert node.authority.epoch == 1 and len(node.sessions) == 0


@FEW
@given(st.lists(st.tuples(st.integers(0, 60), EDITS), min_size=1, max_size=12), st.integers(0, 9))
def test_altered_datagrams_of_the_same_run(picks, quiet):
    # alive: keys and tokens fit; what is altered or repeated is refused all the same
    net = trio()
    picks = list(picks)
    count = [0]

    def change(source, target, data):
        count[0] += 1
        if count[0] <= quiet or not picks or picks[0][0] % 3:
            if picks and count[0] > quiet:
                picks[0] = (picks[0][0] // 3, picks[0][1])
            return [data]
        return [mutated(data, picks.pop(0)[1]), data]

    net.change = change
    answers = [net.call("gw", "soil", "temp"), net.call("guest", "soil", "hello")]
    answers.append(net.call("gw", "soil", "big", coap.POST, b"x" * 700))
    answers.append(net.call("soil", "gw", "hello"))
    net.run(600000)
    for node in net.nodes.values():
        bounded(node)
    assert [len(found) for found in answers] == [1] * 4


NAMES = st.sampled_from(["gw", "soil", "guest"])
PATHS = st.sampled_from(["temp", "big", "hello", "led", "writ/policy", "writ/beacon", "writ"])
ACTIONS = st.one_of(
    st.tuples(st.just("call"), NAMES, NAMES, PATHS, st.integers(1, 7), st.booleans()),
    st.tuples(st.just("lose"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([0, 10, 3000, 20000, 70000, 300000])),
    st.tuples(st.just("forget"), NAMES),
    st.tuples(st.just("restart"), NAMES),
    st.tuples(st.just("law"), NAMES, st.booleans()),
    st.tuples(st.just("notify"), NAMES),
    st.tuples(st.just("replay"), st.integers(0, 1000), st.booleans()),
    st.tuples(st.just("flood"), NAMES, st.integers(0, 59)),
    st.tuples(st.just("capsule"), NAMES, st.booleans()),
    st.tuples(st.just("resolve"), NAMES, NAMES),
)


def act(net, action, answers, lose):
    """Carry out one action on the net."""
    kind = action[0]
    node = net.nodes.get(action[1]) if isinstance(action[1], str) else None
    if kind == "call" and action[1] != action[2]:
        _, source, target, path, method, observe = action
        body = b"x" * 600 if method > 1 else b""
        wish = True if observe and method == coap.GET else None
        answers.append((wish, net.call(source, target, path, method, body, observe=wish)))
    elif kind == "lose":
        lose[0] += action[1]
    elif kind == "wait":
        net.run(action[1])
    elif kind == "forget":
        for session in list(node.sessions):
            node.sessions.drop(session)
    elif kind == "restart":
        net.nodes[action[1]] = start(action[1], node.store._flash)
        serve(net.nodes[action[1]])
        answers[:] = []
    elif kind == "law":
        if node.authority.epoch == 1:
            node.authority.receive(LAW_2 if action[2] else STEP_2, net.now_ms)
    elif kind == "notify":
        for path in ("temp", "big"):
            net.send(action[1], node.notify(path, net.now_ms))
    elif kind == "replay" and net.log:
        source, target, data = net.log[action[1] % len(net.log)]
        if target in net.nodes:
            net.inject(source if action[2] else "x", target, remid(data, action[1] + 30000))
    elif kind == "flood":
        net.inject(f"x{action[2]}", action[1], FIRST_MESSAGES[action[2]])
    elif kind == "capsule":
        net.inject("x", action[1], capsule_post(LAW_2 if action[2] else STEP_2, len(net.log)))
    elif kind == "resolve" and action[1] != action[2]:
        node.tick(net.now_ms)
        out = resolve(node, action[2], action[2], lambda member, address: None)
        net.send(action[1], out)


@FEW
@given(st.lists(ACTIONS, min_size=1, max_size=25))
def test_any_sequence_of_node_operations(actions):
    net = trio()
    lose = [0]

    def change(source, target, data):
        if lose[0]:
            lose[0] -= 1
            return []
        return [data]

    net.change = change
    answers = []
    epochs = {}
    for action in actions:
        act(net, action, answers, lose)
        for name, node in net.nodes.items():
            bounded(node)
            assert node.authority.epoch >= epochs.get(name, 0)
            epochs[name] = node.authority.epoch
    lose[0] = 0
    net.run(2000000)
    for wish, found in answers:
        assert len(found) == 1 or (wish and found), found
    for node in net.nodes.values():
        bounded(node)
        assert node.client.handshakes == {} and node.handshaker._started == []
