"""A node as the client of a renewed peer, and as a renewed client, on a device's heap."""

import vectors_node
from node_peer import Call, load
from vectors_renewed import CLEANED, ENDING, RENEWED, SENSOR

from writ import cbor, crypto
from writ.authority import capsule
from writ.compat import tidy
from writ.errors import Expired, NotMember
from writ.limits import DEDUP_MAX, PAUSE_MS
from writ.wire import coap, edhoc
from writ.wire.oscore import Context

# of the EAD items of Writ
_LABEL = 65000
# After the end of ENDING
_END_MS = 601000


PEER = capsule.node_id(capsule.Member(capsule.parse(ENDING)).x)


class Server:
    """The peer that the node calls. raw: its capsule, with which it answers the handshake."""

    def __init__(self, node, raw):
        self.node = node
        self.raw = raw

    def receive(self, data, now_ms):
        """The requests that the node sends for this datagram of the peer."""
        tidy()
        out = self.node.receive(data.encode(), "g", now_ms)
        return [coap.decode(data) for _, data in out]

    def hear(self, message, own, now_ms):
        """Answer message_1, which must ask for a capsule by value. The node's next messages."""
        responder = edhoc.Responder(crypto.sha256(b"g"), b"", (_LABEL,))
        responder.read_1(message.payload[1:])
        responder.c_r = bytes((responder.c_i[0] ^ 1,))
        ((_, _, hint),) = responder.ead_1
        assert hint[4:] == b"\x01"
        ead = [(_LABEL, False, cbor.encode(self.node.authority.epoch) + bytes(6))]
        raw = responder.message_2(("kcwt", None), self.raw, ead)
        found = self.receive(
            coap.Message(coap.ACK, coap.CHANGED, message.mid, message.token, raw), now_ms
        )
        if found:
            (message,) = found
            _, end = cbor.decode_item(message.payload)
            responder.read_3(message.payload[:end])
            responder.verify_3(own, capsule.Member(capsule.parse(own)).x)
            secret, salt = responder.oscore()
            self.context = Context(secret, salt, responder.c_i, responder.c_r)
            message.payload = message.payload[end:]
        return found

    def answer(self, message, code, payload, now_ms):
        """Answer a protected request. (the request, the requests that the node sends then)."""
        request, binding, _ = self.context.unprotect_request(message)
        reply = coap.Message(coap.ACK, code, message.mid, message.token, payload)
        found = self.receive(self.context.protect_response(reply, binding), now_ms)
        return request, found + [coap.decode(data) for _, data in self.node.tick(now_ms)]


def call(node, answers, now_ms):
    """The node's first message of a call to the peer."""
    node.tick(now_ms)
    out = node.request(coap.GET, "t", b"", "g", PEER, on_answer=answers.append)
    ((_, data),) = out
    return coap.decode(data)


def test_a_peer_whose_known_capsule_is_past_shows_its_new_one():
    for known, own, now_ms, rejection in (
        (ENDING, vectors_node.SENSOR, _END_MS, Expired),
        (vectors_node.GATEWAY, SENSOR, 2000, NotMember),
    ):
        for raw in (RENEWED, known):
            node = load({})
            node.authority.receive(known, 0)
            if now_ms != _END_MS:
                node.authority.receive(CLEANED, 0)
                node.authority.receive(SENSOR, 0)
            answers = []
            server = Server(node, raw)
            found = server.hear(call(node, answers, now_ms), own, now_ms)
            if raw is known:
                (answer,) = answers
                assert isinstance(answer.rejection, rejection), answer.rejection
                assert found == [] and len(node.sessions) == 0
            else:
                server.answer(found[0], coap.CONTENT, b"19", now_ms)
                assert [answer.payload for answer in answers] == [b"19"]
                assert node.authority.peer(PEER).raw == RENEWED
            node = server = None
            tidy()


def test_a_refused_hand_over_is_repeated():
    node = load({})
    answers = []
    server = Server(node, RENEWED)
    (message,) = server.hear(call(node, answers, 2000), vectors_node.SENSOR, 2000)
    server.answer(message, coap.CONTENT, b"19", 2000)
    node.authority.receive(SENSOR, 2000)
    now_ms = 2000
    expired = b"27 Expired 1700000601 beacon"
    for code, payload, last in (
        (coap.TOO_MANY, b"32 RateLimited", coap.FORBIDDEN),
        (coap.CHANGED, b"", coap.CONTENT),
    ):
        now_ms += PAUSE_MS
        message = call(node, answers, now_ms)
        _, (message,) = server.answer(message, coap.FORBIDDEN, expired, now_ms)
        request, (message,) = server.answer(message, code, payload, now_ms)
        assert request.code == coap.POST and request.payload == SENSOR
        request, found = server.answer(message, last, expired, now_ms)
        assert request.path() == "t" and found == []
        assert answers[-1].code == last
    # the peer has it now: a refusal is a refusal
    message = call(node, answers, now_ms + PAUSE_MS)
    _, found = server.answer(message, coap.FORBIDDEN, expired, now_ms + PAUSE_MS)
    assert found == [] and answers[-1].code == coap.FORBIDDEN


def test_strangers_do_not_displace_the_answer_to_message_3():
    node = load({})
    peer = Call(node, vectors_node.GATEWAY)
    peer.start()
    message = coap.Message(coap.CON, coap.POST, 100)
    message.add_path(".well-known/edhoc")
    message.payload = peer.context.sender_id + peer.message_3
    data = message.encode()
    first = node.receive(data, "g", 1000)
    assert coap.decode(first[0][1]).code == coap.CHANGED
    for number in range(DEDUP_MAX + 1):
        plain = coap.Message(coap.CON, coap.GET, number)
        node.receive(plain.encode(), "x", 1000)
    assert node.receive(data, "g", 1000) == first
    assert len(node.sessions) == 1 and "OutOfOrder" not in node.counters
