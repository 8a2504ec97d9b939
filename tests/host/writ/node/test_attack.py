"""Hostile datagrams: forged, repeated, altered and truncated ones."""

import pytest
from node_hostile import Work, only_rejections, remid, trace
from node_rig import code, datagram, field, serve, start

from writ.wire import coap

pytestmark = pytest.mark.slow

# --- replay ---------------------------------------------------------------------------------------


def test_a_datagram_that_comes_again_is_answered_again_and_not_handled_again():
    net, calls = field()
    net.ask("gw", "soil", "temp")
    for source, data in trace(net, "soil"):
        net.inject(source, "soil", data)
    assert len(calls) == 1 and net.nodes["soil"].counters == {}


def test_a_captured_request_is_replayed_by_name_from_any_address():
    net, calls = field()
    net.ask("gw", "soil", "temp")
    net.ask("gw", "soil", "temp", coap.POST, b"on")
    request = trace(net, "soil")[-1][1]
    for number, source in enumerate(("gw", "else", "gw")):
        (reply,) = net.inject(source, "soil", remid(request, 40000 + number))
        assert coap.decode(reply[1]).payload == b"61 Replayed"
    assert len(calls) == 2
    assert net.nodes["soil"].counters == {"Replayed": 3}
    # and the session's address is not the attacker's
    assert next(iter(net.nodes["soil"].sessions)).address == "gw"
    assert code(net.ask("gw", "soil", "temp")) == "2.05"


@pytest.mark.parametrize("method", [coap.GET, coap.POST])
def test_a_node_overtaken_by_its_own_copy_begins_a_new_session(method):
    net, calls = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    net.ask("gw", "soil", "temp")
    (session,) = gw.sessions
    before = session.context.sequence
    for _ in range(50):
        net.ask("gw", "soil", "temp")
    session.context.sequence = before
    del calls[:]
    answer = net.ask("gw", "soil", "temp", method, b"on")
    # the caller decides whether to repeat a request that may have been executed
    assert code(answer) == ("2.05" if method == coap.GET else "PeerFailed")
    assert len(calls) == (method == coap.GET)
    assert code(net.ask("gw", "soil", "temp", method, b"on")) in ("2.05", "2.04")
    assert soil.counters == {"Replayed": 1} and session not in list(gw.sessions)


def test_a_forged_replay_refusal_costs_a_handshake_at_most():
    net, calls = field()
    net.ask("gw", "soil", "temp")
    net.call("gw", "soil", "temp")
    _, _, data = net.log[-1]
    asked = coap.decode(data)
    net.queue.clear()
    forged = coap.Message(coap.ACK, coap.UNAUTHORIZED, asked.mid, asked.token, b"61 Replayed")
    del net.log[:]
    net.inject("soil", "gw", forged.encode())
    net.run(1000)
    assert len(calls) == 2 and len(net.log) == 4
    assert code(net.ask("gw", "soil", "temp")) == "2.05"


def test_a_captured_handshake_opens_no_session():
    net, calls = field()
    net.ask("gw", "soil", "temp")
    messages = trace(net, "soil")
    soil = net.nodes["soil"]
    for number, (_, data) in enumerate(messages):
        net.inject("else", "soil", remid(data, 50000 + number))
    assert len(soil.sessions) == 1 and len(calls) == 1
    # the first message begins a handshake, the second cannot end it
    assert soil.counters == {"OutOfOrder": 1}


def test_after_a_restart_an_old_request_is_asked_for_an_echo():
    net, calls = field()
    soil = net.nodes["soil"]
    net.ask("gw", "soil", "temp")
    for _ in range(3):
        net.ask("gw", "soil", "temp", coap.POST, b"on")
    recorded = [data for _, data in trace(net, "soil")[-3:]]
    old = recorded[-1]
    net.nodes["soil"] = soil = start("soil", soil.store._flash)
    calls = serve(soil)
    del net.log[:]
    pivs = set()
    for number, data in enumerate(recorded):
        (reply,) = net.inject("gw", "soil", remid(data, 50000 + number))
        # each answer has a number of its own: the request's nonce may have been used before
        pivs.add(coap.decode(reply[1]).option(coap.OSCORE))
    assert len(pivs) == 3 and calls == []
    assert soil.counters == {"EchoRequired": 3}
    net.queue.clear()
    # the true peer returns it, without a handshake
    del net.log[:]
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"off")) == "2.04"
    assert calls == [("temp", coap.POST, b"off")]
    assert len(net.log) == 4
    request = trace(net, "soil")[-1][1]
    (reply,) = net.inject("gw", "soil", remid(request, 50009))
    assert coap.decode(reply[1]).payload == b"61 Replayed"
    (reply,) = net.inject("gw", "soil", remid(old, 50010))
    assert coap.decode(reply[1]).payload == b"61 Replayed"


def test_an_old_notification_is_refused_however_late_it_arrives():
    net, _ = field()
    soil = net.nodes["soil"]
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    old = [data for source, target, data in net.log if target == "gw"][-1]
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    assert len(answers) == 3
    for wait_ms in (0, 1000, 200000):
        net.now_ms += wait_ms
        net.inject("soil", "gw", remid(old, 60000 + wait_ms // 1000))
    net.run()
    assert len(answers) == 3
    assert net.nodes["gw"].counters == {"Replayed": 3}


def test_an_observation_goes_on_in_a_new_session():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    for _ in range(5):
        net.send("soil", soil.notify("temp", net.now_ms))
        net.run()
    again = net.call("gw", "soil", "hello", observe=True)
    net.run()
    for session in list(soil.sessions):
        soil.sessions.drop(session)
    assert soil.notify("temp", net.now_ms) == []
    # a new registration shows it, with the first number of a new session
    for session in list(gw.sessions):
        gw.sessions.drop(session)
    more = net.call("gw", "soil", "temp", observe=True)
    net.run()
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    assert len(answers) == 6 and len(again) == 1 and len(more) == 2


# --- alteration -----------------------------------------------------------------------------------


def _flips():
    # (number of the message, byte): of a handshake, with the request that its third message brings
    net, _ = field()
    net.ask("gw", "soil", "temp")
    return [(number, at) for number, sent in enumerate(net.log) for at in range(len(sent[2]))]


def _header(data):
    # how many bytes of a datagram are CoAP's own, which nothing protects
    message = coap.decode(data)
    if message.option(coap.OSCORE) is not None:
        return 4 + len(message.token)
    return len(data) - len(message.payload)


@pytest.mark.parametrize("bit", [1, 0x80])
def test_no_altered_byte_of_a_handshake_or_request_is_accepted(bit):
    for number, at in _flips():
        net, calls = field()
        sent = []

        def change(source, target, data, number=number, at=at, sent=sent):
            sent.append(data)
            if len(sent) == number + 1 and at < len(data):
                return [data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]]
            return [data]

        net.change = change
        answers = net.call("gw", "soil", "temp", coap.POST, b"on")
        net.run()
        harmless = at < _header(sent[number])
        if calls and number < 3:
            assert harmless and calls == [("temp", coap.POST, b"on")], (number, at)
        for node in net.nodes.values():
            only_rejections(node)
            assert node.authority.epoch == 1
        if not harmless and at < len(sent[number]):
            # refused by name, at one side at least
            assert sum(sum(node.counters.values()) for node in net.nodes.values()), (number, at)
        for answer in answers:
            assert answer.rejection or answer.payload == b"21.5"


def test_each_altered_byte_of_a_request_in_a_session_is_refused():
    net, calls = field()
    net.ask("gw", "soil", "temp")
    del net.log[:]
    net.change = lambda source, target, data: []
    net.call("gw", "soil", "temp", coap.POST, b"on")
    (_, data) = trace(net, "soil")[0]
    soil = net.nodes["soil"]
    del calls[:]
    for at in range(4, len(data)):
        for bit in (1, 0x10, 0x80):
            altered = data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]
            net.inject("gw", "soil", altered)
            if calls:
                # an attacker can choose the token, which is no secret
                assert at == 4
                del calls[:]
                for session in soil.sessions:
                    session.context.window = session.context.window[0], 0
            altered = data[:at]
            net.inject("gw", "soil", altered)
            assert calls == []
    only_rejections(soil)


def test_a_forged_answer_does_not_end_the_call():
    for forged in (
        datagram(coap.CON, coap.CONTENT, b"99.9", 7),
        datagram(coap.NON, coap.CONTENT, b"99.9", 7),
        datagram(coap.NON, coap.CHANGED, b"", 7),
        datagram(coap.NON, coap.CONTENT, b"x" * 20, 7, options=((coap.OSCORE, b""),)),
        datagram(coap.NON, coap.CONTENT, b"x" * 20, 7, options=((coap.OSCORE, b"\x01\x05"),)),
        datagram(coap.NON, coap.CONTENT, b"x", 7, options=((coap.OSCORE, b"\xff"),)),
    ):
        net, _ = field()
        gw = net.nodes["gw"]
        net.ask("gw", "soil", "temp")
        del net.log[:]
        answers = net.call("gw", "soil", "temp")
        token = coap.decode(net.log[0][2]).token
        net.inject("soil", "gw", forged[:4] + token + forged[5:])
        assert answers == []
        net.run()
        assert [code(answer) for answer in answers] == ["2.05"]
        assert sum(gw.counters.values()) == 1 and len(gw.sessions) == 1


def test_a_spoofed_refusal_costs_at_most_one_handshake():
    for reason in (coap.UNAUTHORIZED, coap.BAD_REQUEST):
        net, calls = field()
        net.ask("gw", "soil", "temp")
        del net.log[:]
        net.change = lambda source, target, data: [] if target == "soil" else [data]
        answers = net.call("gw", "soil", "temp")
        token = coap.decode(net.log[0][2]).token
        net.change = None
        with Work() as work:
            net.inject("soil", "gw", datagram(coap.NON, reason, b"", 7, token))
            net.run(1000)
            assert code(answers[0]) == "2.05"
            assert work.generate == 2
        assert len(calls) == 2


def refused_by_a_stranger(source, target, data):
    """A change of the net: plain refusals replace the protected answers of soil."""
    message = coap.decode(data)
    if source == "soil" and message.option(coap.OSCORE) is not None:
        return [datagram(coap.ACK, coap.UNAUTHORIZED, b"", message.mid, message.token)]
    return [data]


def test_a_spoofed_refusal_does_not_repeat_a_command():
    # the true answer is lost and replaced by a refusal: only the caller can decide
    for proven in (True, False):
        net, calls = field()
        net.ask("gw", "soil", "temp")
        if not proven:
            for session in list(net.nodes["gw"].sessions):
                net.nodes["gw"].sessions.drop(session)
        del calls[:]

        net.change = refused_by_a_stranger
        answer = net.ask("gw", "soil", "temp", coap.POST, b"dose")
        assert code(answer) == "PeerFailed"
        assert calls == [("temp", coap.POST, b"dose")]
        net.change = None
        assert code(net.ask("gw", "soil", "temp", coap.POST, b"dose")) == "2.04"


def test_a_command_with_a_long_answer_is_executed_once():
    net, calls = field()
    net.nodes["soil"].server.resources["temp"].function = lambda request: (
        calls.append(1) or b"x" * 700
    )
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"on")) == "5.00"
    assert calls == [1] and net.nodes["soil"].counters == {"TooLarge": 1, "ResourceFailed": 1}
    assert len(net.ask("gw", "soil", "temp").payload) == 700


def test_refusals_without_end_end_the_call():
    net, _ = field()
    net.ask("gw", "soil", "temp")

    net.change = refused_by_a_stranger
    answer = net.ask("gw", "soil", "temp", ms=400000)
    assert answer.rejection is not None


def test_a_demand_for_echo_without_end_ends_the_call():
    net, _ = field()

    def change(source, target, data):
        message = coap.decode(data)
        if source == "soil":
            echo = ((coap.ECHO, b"again"),)
            return [datagram(coap.ACK, coap.UNAUTHORIZED, b"", message.mid, message.token, echo)]
        return [data]

    net.change = change
    answers = net.call("gw", "soil", "temp")
    for _ in range(60):
        if not net.queue:
            break
        source, target, data = net.queue.pop(0)
        net.inject(source, target, data)
    assert len(answers) == 1 and not net.queue


def test_a_guessed_connection_id_does_not_end_another_handshake():
    net, _ = field()
    count = [0]

    def change(source, target, data):
        count[0] += 1
        if count[0] == 3:
            # before the true message_3: one for each id, from elsewhere
            for first in [*range(24), *range(32, 56)]:
                options = ((coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"edhoc"))
                junk = bytes((first,)) + b"\x52" + bytes(18)
                net.inject("else", "soil", datagram(coap.CON, coap.POST, junk, first, b"", options))
        return [data]

    net.change = change
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
