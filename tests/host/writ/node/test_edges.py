"""Odd input, faulty callbacks and a failing flash do not stop a node."""

import signer
from node_hostile import capsule_post, only_rejections, trace
from node_rig import GUEST, SENSOR, Net, code, datagram, field, make, policy

from writ import crypto
from writ.errors import WritError
from writ.limits import DEDUP_MAX
from writ.wire import coap, edhoc


def test_an_odd_query_is_answered():
    net, _ = field()
    for path in ("writ/policy", "writ/member", ".well-known/core", "writ/beacon"):
        for item in ("e=\u00b2", "e=", "e=99999999999", "n=\u00e4", "n=", "=", "rt=*", "x"):
            assert code(net.ask("gw", "soil", path, query=[item]))[0] in "24"
    only_rejections(net.nodes["soil"])


def test_a_wrong_result_of_a_resource_is_an_internal_error():
    net, _ = field()
    soil = net.nodes["soil"]
    for wrong in (21.5, 7, [1], (1,), (coap.CONTENT, "text"), (coap.CONTENT, 3), ("a", b""), {}):
        soil.server.resources["temp"].function = lambda request, wrong=wrong: wrong
        answer = net.ask("gw", "soil", "temp")
        assert code(answer) in ("5.00", "2.05"), wrong


def test_discovery_names_the_handshake():
    net, _ = field()
    options = ((coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"core"))
    (reply,) = net.inject("x", "soil", datagram(coap.CON, coap.GET, b"", 1, b"", options))
    assert b'</.well-known/edhoc>;rt="core.edhoc"' in coap.decode(reply[1]).payload


def test_a_caller_whose_answer_function_fails_does_not_stop_the_node():
    net, _ = field()
    gw = net.nodes["gw"]

    def fail(answer):
        raise ValueError(answer.payload)

    net.send("gw", gw.tick(net.now_ms))
    net.send("gw", gw.request(coap.GET, "temp", address="soil", on_answer=fail))
    net.run()
    assert gw.counters == {"ValueError": 1}


def test_a_full_flash_refuses_by_name_and_changes_nothing():
    net, _ = field(guest=make("guest", 3, GUEST))
    soil = net.nodes["soil"]

    def fail(name, data):
        raise OSError(28)

    soil.store._flash.write = fail
    assert net.ask("guest", "soil", "hello").rejection is not None
    assert len(soil.sessions) == 0
    net.inject("x", "soil", capsule_post(policy(2, policy()), 1))
    assert soil.authority.epoch == 1
    only_rejections(soil)
    del soil.store._flash.write
    net.now_ms += 60000
    assert code(net.ask("guest", "soil", "hello")) == "2.05"


def test_a_long_request_of_our_own_is_refused_to_the_caller():
    net, _ = field()
    answers = net.call("gw", "soil", "temp", query=["x" * 250] * 3)
    try:
        net.run()
    except WritError as error:
        raise AssertionError("escaped") from error
    assert len(answers) == 1 and answers[0].rejection is not None


def test_deduplication_forgets_and_the_replay_window_does_not():
    net, calls = field()
    net.ask("gw", "soil", "temp", coap.POST, b"on")
    request = trace(net, "soil")[-1][1]
    for number in range(DEDUP_MAX + 1):
        net.inject("x", "soil", datagram(coap.NON, coap.GET, b"", number))
    (reply,) = net.inject("gw", "soil", request)
    assert coap.decode(reply[1]).payload != b"" and len(calls) == 1


def test_nodes_of_other_scopes_are_named_as_such():
    net = Net(soil=make("soil", 2, SENSOR))
    key = crypto.sha256(b"stranger")
    initiator = edhoc.Initiator(key, b"\x01", (65000,))
    payload = b"\xf5" + initiator.message_1([(65000, False, b"else")])
    options = ((coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"edhoc"))
    net.inject("x", "soil", datagram(coap.CON, coap.POST, payload, 1, b"", options))
    assert net.nodes["soil"].counters == {"WrongScope": 1}
    assert signer.scope() == net.nodes["soil"].authority.scope
