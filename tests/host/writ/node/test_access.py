"""Refusals and their names; each message is judged by the policy in force at its moment."""

import signer
from node_rig import (
    EXPIRES,
    GATEWAY,
    GUEST,
    RULES,
    SENSOR,
    Net,
    amendment,
    code,
    datagram,
    field,
    head_of,
    make,
    node_id,
    policy,
    serve,
)

from writ.wire import coap


def test_a_stranger_without_a_session_is_refused_on_every_path_and_method():
    net, calls = field()
    soil = net.nodes["soil"]
    mid = 0
    for path in ("temp", "hello", "nothing", "writ/policy", "writ/status", "writ/member"):
        for method in range(1, 8):
            message = coap.Message(coap.CON, method, mid, b"t")
            message.add_path(path)
            mid += 1
            answer = coap.decode(soil.receive(message.encode(), "x", net.now_ms)[0][1])
            assert answer.code == coap.UNAUTHORIZED, path
            assert answer.payload == b"43 NotMember"
    assert calls == []
    assert soil.counters == {"NotMember": mid}


def test_a_member_without_the_role_is_refused_by_name():
    net, calls = field(guest=make("guest", 3, GUEST))
    answer = net.ask("guest", "soil", "temp")
    assert (code(answer), answer.payload) == ("4.03", b"40 NotAllowed")
    assert code(net.ask("guest", "soil", "hello")) == "2.05"
    assert calls == [("hello", coap.GET, b"")]
    assert net.nodes["soil"].counters == {"NotAllowed": 1}


def test_what_no_rule_names_is_denied_for_each_method():
    net, calls = field()
    for method in range(1, 8):
        for path in ("temp", "led"):
            answer = net.ask("gw", "soil", path, method)
            allowed = path == "temp" and method in (coap.GET, coap.POST)
            if allowed:
                assert code(answer) == ("2.05" if method == coap.GET else "2.04")
            else:
                assert (code(answer), answer.payload) == ("4.03", b"40 NotAllowed")
    assert len(calls) == 2


def test_a_node_without_a_policy_denies_everything():
    soil = make("soil", 2, SENSOR, False)
    calls = serve(soil)
    net = Net(gw=make("gw", 1, GATEWAY, False), soil=soil)
    answer = net.ask("gw", "soil", "hello")
    assert (code(answer), answer.payload) == ("4.03", b"44 NoPolicy")
    assert calls == []


def test_the_policy_changes_between_two_requests_of_one_session():
    net, _ = field()
    soil = net.nodes["soil"]
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    soil.authority.receive(policy(2, policy(), RULES[1:]), net.now_ms)
    answer = net.ask("gw", "soil", "temp")
    assert (code(answer), answer.payload) == ("4.03", b"40 NotAllowed")
    assert len(soil.sessions) == 1


def test_the_policy_changes_between_two_notifications():
    net, _ = field()
    soil = net.nodes["soil"]
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    assert [code(answer) for answer in answers] == ["2.05", "2.05"]
    soil.authority.receive(policy(2, policy(), RULES[1:]), net.now_ms)
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    assert (code(answers[2]), answers[2].payload) == ("4.03", b"40 NotAllowed")
    assert answers[2].observe is None
    assert soil.notify("temp", net.now_ms) == [] and soil.server.observers.entries == []


def _at(net, source, number, action):
    # do `action` before the datagram with this number from `source` arrives
    count = [0]

    def change(origin, target, data):
        if origin == source:
            count[0] += 1
            if count[0] == number:
                action()
        return [data]

    net.change = change


def test_the_policy_changes_in_the_middle_of_a_download():
    net, _ = field()
    soil = net.nodes["soil"]
    net.ask("gw", "soil", "hello")
    law = policy(2, policy(), RULES[2:])
    _at(net, "gw", 2, lambda: soil.authority.receive(law, net.now_ms))
    answer = net.ask("gw", "soil", "big")
    assert (code(answer), answer.payload) == ("4.03", b"40 NotAllowed")


def test_the_policy_changes_in_the_middle_of_an_upload():
    net, calls = field()
    soil = net.nodes["soil"]
    net.ask("gw", "soil", "hello")
    del calls[:]
    law = policy(2, policy(), RULES[2:])
    _at(net, "gw", 2, lambda: soil.authority.receive(law, net.now_ms))
    answer = net.ask("gw", "soil", "big", coap.POST, b"x" * 1000)
    assert (code(answer), answer.payload) == ("4.03", b"40 NotAllowed")
    assert calls == []


def test_no_block_is_kept_for_a_member_without_permission():
    net, _ = field(guest=make("guest", 3, GUEST))
    count = [0]

    def change(source, target, data):
        count[0] += source == "guest"
        return [data]

    net.ask("guest", "soil", "hello")
    net.change = change
    assert code(net.ask("guest", "soil", "big", coap.POST, b"x" * 1000)) == "4.03"
    # refused at the first block, and no block is kept
    assert count[0] == 1


def test_a_revoked_member_is_refused_in_its_old_session_and_in_a_new_handshake():
    net, calls = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    soil.authority.receive(amendment(2, head_of(policy()), node_id("gw")), net.now_ms)
    answer = net.ask("gw", "soil", "temp")
    assert (code(answer), answer.payload) == ("4.03", b"30 Revoked")
    # it may not even fetch or list anything
    for path in ("writ/policy", "writ/beacon", ".well-known/core"):
        assert net.ask("gw", "soil", path).payload == b"30 Revoked"
    for session in list(gw.sessions):
        gw.sessions.drop(session)
    answer = net.ask("gw", "soil", "temp")
    assert code(answer) == "PeerFailed" and b"Revoked" in answer.rejection.text
    assert len(calls) == 1
    # as responder: soil will not talk to it either
    for session in list(soil.sessions):
        soil.sessions.drop(session)
    assert code(net.ask("soil", "gw", "hello")) == "Revoked"


def test_a_revoked_member_gets_no_notification():
    net, _ = field()
    soil = net.nodes["soil"]
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    soil.authority.receive(amendment(2, head_of(policy()), node_id("gw")), net.now_ms)
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    assert answers[1].payload == b"30 Revoked" and soil.server.observers.entries == []


def test_an_expired_member_is_refused_by_name():
    net, calls = field()
    late = make("late", 3, GATEWAY, exp=signer.FOUNDED + 1000)
    net.nodes["late"] = late
    assert code(net.ask("late", "soil", "temp")) == "2.05"
    soil = net.nodes["soil"]
    beacon = signer.certify(signer.beacon_payload(1, head_of(policy()), signer.FOUNDED + 1001))
    soil.authority.receive(beacon, net.now_ms)
    answer = net.ask("late", "soil", "temp")
    assert (code(answer), answer.payload) == (
        "4.03",
        b"27 Expired %d beacon" % (signer.FOUNDED + 1001),
    )
    for session in list(late.sessions):
        late.sessions.drop(session)
    assert b"Expired" in net.ask("late", "soil", "temp").rejection.text
    assert len(calls) == 1 and EXPIRES > signer.FOUNDED


def test_a_member_of_another_scope_is_refused():
    net, calls = field()
    mallory = make("mallory", 9, GATEWAY)
    raw = mallory.authority.me.raw
    mallory.authority.me.raw = signer.certify(signer.capsule.parse(raw).payload, signer.OTHER_SEED)
    net.nodes["mallory"] = mallory
    answer = net.ask("mallory", "soil", "hello")
    assert code(answer) == "PeerFailed" and b"BadSignature" in answer.rejection.text
    assert calls == [] and len(net.nodes["soil"].sessions) == 0
    again = net.ask("mallory", "soil", "hello")
    assert b"KnownBad" in again.rejection.text


def test_a_plain_datagram_never_reaches_a_resource():
    net, calls = field()
    for kind in (coap.CON, coap.NON):
        data = datagram(kind, coap.GET, b"", kind, options=((coap.URI_PATH, b"temp"),))
        answer = coap.decode(net.inject("gw", "soil", data)[0][1])
        assert answer.code == coap.UNAUTHORIZED
    assert calls == []
