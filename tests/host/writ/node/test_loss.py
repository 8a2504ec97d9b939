"""Lost, doubled and reordered datagrams: each call ends once, and no request is executed twice."""

import random

import pytest
from node_rig import Net, code, field, make, serve

from writ.wire import coap


def lossy(net, seed, loss=0.3, double=0.1, late=0.1):
    """Let the net lose, double and delay datagrams; the seed replays it."""
    chance = random.Random(seed)
    held = []

    def change(source, target, data):
        arrive = []
        if chance.random() >= loss:
            arrive.append(data)
        if chance.random() < double:
            arrive.append(data)
        if arrive and chance.random() < late:
            held.append((source, target, arrive.pop()))
        elif held and chance.random() < 0.5:
            net.queue.append(held.pop())
        return arrive

    net.change = change


def drop_at(net, numbers):
    """Lose the datagrams with these numbers, counted from 1."""
    count = [0]

    def change(source, target, data):
        count[0] += 1
        return [] if count[0] in numbers else [data]

    net.change = change


def test_each_lost_message_of_a_handshake_is_sent_again():
    # message_1, message_2, message_3 with the request, the answer; then pairs of them
    for numbers in ((1,), (2,), (3,), (4,), (1, 2), (2, 4), (3, 4), (1, 3, 5, 7), (2, 4, 6)):
        net, calls = field()
        drop_at(net, numbers)
        answer = net.ask("gw", "soil", "temp", coap.POST, b"on", ms=120000)
        assert code(answer) == "2.04", numbers
        assert len(calls) == 1
        for node in net.nodes.values():
            assert len(node.sessions) == 1 and node.counters == {}


def test_with_a_third_of_all_datagrams_lost_each_call_ends_once():
    good = total = 0
    for seed in range(25):
        net, calls = field()
        lossy(net, seed)
        answers = []
        for number in range(6):
            answers.append(net.call("gw", "soil", "temp", coap.POST, b"%d" % number))
            net.run(20000)
        answers.append(net.call("gw", "soil", "big"))
        answers.append(net.call("gw", "soil", "big", coap.POST, b"x" * 900))
        net.run(600000)
        assert [len(found) for found in answers] == [1] * 8, seed
        total += 8
        good += sum(found[0].is_success() for found in answers)
        done = [payload for path, method, payload in calls if path == "temp"]
        assert len(done) == len(set(done)), (seed, done)
        for found, number in zip(answers[:6], range(6), strict=True):
            assert not found[0].is_success() or b"%d" % number in done
    assert good > total * 0.5, (good, total)


def test_both_sides_begin_a_handshake_at_once():
    for order in range(4):
        net, _ = field()
        serve(net.nodes["gw"])
        one = net.call("gw", "soil", "hello")
        two = net.call("soil", "gw", "hello")
        if order & 1:
            net.queue.reverse()
        net.run()
        assert code(one[0]) == code(two[0]) == "2.05"
        if order & 2:
            for node in net.nodes.values():
                for session in list(node.sessions)[:1]:
                    node.sessions.drop(session)
        for _ in range(3):
            assert code(net.ask("gw", "soil", "hello")) == "2.05"
            assert code(net.ask("soil", "gw", "hello")) == "2.05"
        for node in net.nodes.values():
            assert node.counters.get("TimedOut") is None


def test_both_sides_begin_a_handshake_with_loss():
    for seed in range(20):
        net, _ = field()
        serve(net.nodes["gw"])
        lossy(net, seed)
        answers = [net.call("gw", "soil", "hello"), net.call("soil", "gw", "hello")]
        net.run(600000)
        assert [len(found) for found in answers] == [1, 1], seed
        net.change = None
        for source, target in (("gw", "soil"), ("soil", "gw")):
            net.now_ms += 60000
            assert code(net.ask(source, target, "hello", ms=60000)) == "2.05", seed


def test_a_call_to_an_empty_address_times_out():
    net, _ = field()
    net.run()
    answer = net.ask("gw", "nowhere", "temp", ms=400000)
    assert code(answer) == "TimedOut"
    assert net.nodes["gw"].next_ms(net.now_ms) is None


def test_an_answer_function_may_call_again():
    net, _ = field(other=make("other", 9, 4))
    gw = net.nodes["gw"]
    serve(net.nodes["other"])
    found = []

    def again(answer):
        found.append(code(answer))
        if len(found) < 12:
            target = ("soil", "nowhere", "other")[len(found) % 3]
            out = gw.request(coap.GET, "temp", address=target, on_answer=again)
            net.send("gw", out)

    net.send("gw", gw.request(coap.GET, "temp", address="nowhere", on_answer=again))
    net.run(3000000)
    assert len(found) == 12
    assert found.count("2.05") == 7 and found.count("TimedOut") == 5, found


def test_an_observation_of_a_large_body_goes_on():
    net, _ = field()
    soil = net.nodes["soil"]
    answers = net.call("gw", "soil", "big", observe=True)
    net.run()
    for _ in range(3):
        net.send("soil", soil.notify("big", net.now_ms))
        net.run(1000)
    assert [len(answer.payload) for answer in answers] == [800] * 4
    assert all(answer.observe is not None for answer in answers)
    assert len(soil.server.observers.entries) == 1


def close_at_the_third_datagram(net, side):
    """Let the node `side` lose its sessions when the third datagram from now on is on its way."""
    count = [0]

    def change(source, target, data):
        count[0] += 1
        if count[0] == 3:
            for session in list(net.nodes[side].sessions):
                net.nodes[side].sessions.drop(session)
        return [data]

    net.change = change


def test_a_session_that_closes_in_the_middle_of_a_download_is_made_anew():
    for side in ("gw", "soil"):
        net, _ = field()
        net.ask("gw", "soil", "hello")
        close_at_the_third_datagram(net, side)
        answer = net.ask("gw", "soil", "big")
        assert code(answer) == "2.05" and len(answer.payload) == 800


def test_a_session_that_closes_in_the_middle_of_an_upload_is_made_anew():
    for side in ("gw", "soil"):
        net, calls = field()
        net.ask("gw", "soil", "hello")
        close_at_the_third_datagram(net, side)
        answer = net.ask("gw", "soil", "big", coap.POST, b"x" * 1000)
        assert code(answer) == "2.04" and calls[-1][2] == b"x" * 1000


def test_a_post_whose_answer_comes_in_blocks_is_executed_once():
    net, calls = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    calls.clear()
    # like a stock server, which answers a POST in blocks
    soil.server._find = lambda request, _: (
        calls.append(request.method) or (coap.CHANGED, bytes(800))
    )
    answers = net.call("gw", "soil", "temp", coap.POST, b"on")
    for session in list(gw.sessions):
        # displaced by others, before the answer arrives
        gw.sessions.drop(session)
    net.run(1000)
    assert calls == [coap.POST]
    assert [code(answer) for answer in answers] == ["UnknownContext"]


def test_the_net_of_the_tests_loses_what_it_should():
    net = Net()
    lossy(net, 1)
    for number in range(1000):
        net.send("a", [("b", bytes((number & 255,)))])
    assert 600 < len(net.queue) < 900


def test_a_call_without_memory_for_message_1_holds_up_no_later_call():
    net, calls = field()
    client = net.nodes["gw"]
    plain = client.exchanges.send

    def full(*arguments):
        client.exchanges.send = plain
        raise MemoryError

    client.exchanges.send = full
    with pytest.raises(MemoryError):
        net.call("gw", "soil", "temp", coap.POST, b"on")
    assert client.client.handshakes == {}
    # the second call waited for the handshake of the first one, for ever
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"on", ms=1000)) == "2.04"
    assert len(calls) == 1
