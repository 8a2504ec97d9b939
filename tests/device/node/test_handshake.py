"""The responder of handshakes on a device's heap: what ends one, and what costs nothing."""

import vectors_node
from node_peer import Call, load

from writ import compat
from writ.limits import HANDSHAKE_BURST, HANDSHAKE_TIMEOUT_MS
from writ.wire import coap, edhoc, edhoc_codec


def message_1(node, source="x", mid=1, echo=None, hint=b""):
    """The node's answer to a first message."""
    initiator = edhoc.Initiator(bytes(31) + b"\x01", b"\x07", ephemeral=bytes(31) + b"\x02")
    message = coap.Message(coap.CON, coap.POST, mid)
    message.add_path(".well-known/edhoc")
    if echo:
        message.add(coap.ECHO, echo)
    ead = [(65000, False, hint)] if hint else ()
    message.payload = b"\xf5" + initiator.message_1(ead)
    compat.tidy()
    ((_, data),) = node.receive(message.encode(), source, 1000)
    return coap.decode(data)


def test_message_3_after_the_time_out_is_too_late():
    for late_ms, code in ((0, coap.CONTENT), (1, coap.BAD_REQUEST)):
        node = load({})
        call = Call(node, vectors_node.GATEWAY)
        call.start()
        assert len(node.handshaker.pending) == 1
        call.now_ms += HANDSHAKE_TIMEOUT_MS + late_ms
        answer, _ = call.request(coap.GET)
        assert answer.code == code
        assert len(node.sessions) == 1 - late_ms
        assert node.handshaker.pending == {}
    assert edhoc_codec.parse_error(answer.payload)[1] == "OutOfOrder"
    assert node.counters == {"OutOfOrder": 1}


def test_message_3_counts_once_and_from_one_address():
    node = load({})
    call = Call(node, vectors_node.GATEWAY)
    call.start()
    good = call.message_3
    receive = node.receive
    # another address guesses the id: the handshake goes on
    node.receive = lambda data, source, now_ms: receive(data, "other", now_ms)
    answer, _ = call.request(coap.GET)
    assert answer.code == coap.BAD_REQUEST and len(node.handshaker.pending) == 1
    node.receive = receive
    # one byte altered: there is one try only
    for message_3 in (good[:-1] + bytes((good[-1] ^ 1,)), good):
        call.message_3 = message_3
        answer, _ = call.request(coap.GET)
        assert answer.code == coap.BAD_REQUEST and len(node.sessions) == 0
        assert node.handshaker.pending == {}
    assert node.counters == {"OutOfOrder": 2, "DecryptionFailed": 1}


def test_a_busy_node_asks_for_an_echo_and_then_for_patience():
    node = load({})
    for number in range(HANDSHAKE_BURST - 2):
        assert message_1(node, "x", number).code == coap.CHANGED
    answer = message_1(node, "y", 10)
    assert answer.code == coap.UNAUTHORIZED
    echo = answer.option(coap.ECHO)
    assert len(echo) == 8 and message_1(node, "z", 11, echo).code == coap.UNAUTHORIZED
    assert message_1(node, "y", 12, echo).code == coap.CHANGED
    assert message_1(node, "y", 13, echo).code == coap.CHANGED
    assert message_1(node, "y", 14, echo).code == coap.TOO_MANY
    assert node.counters == {"EchoRequired": 2, "RateLimited": 1}


def test_another_scope_is_refused_before_anything_is_computed():
    node = load({})
    answer = message_1(node, hint=b"\x01\x02\x03\x04")
    assert answer.code == coap.BAD_REQUEST
    assert edhoc_codec.parse_error(answer.payload)[1] == "WrongScope"
    assert node.handshaker.pending == {} and node.counters == {"WrongScope": 1}
