"""Requests that a gateway has passed on from IP, and requests that are answered later."""

import vectors_node
from node_peer import Call, load

from writ.authority import capsule
from writ.wire import coap


def member():
    """The capsule of the peer."""
    return capsule.Member(capsule.parse(vectors_node.GATEWAY))


def test_a_member_behind_a_gateway_leaves_no_address():
    peer = member()
    node = load({})
    call = Call(node, vectors_node.GATEWAY)
    call.source = "mesh:%04x" % (peer.address + 1)
    call.start()
    answer, _ = call.request(coap.GET)
    assert answer.payload == b"21.5"
    session = node.sessions.by_peer(peer.node_id)
    # its gateway would not know the session
    assert session.address is None and node.address_of(peer.node_id) is None
    assert node.sessions.by_address(call.source) is None
    # it comes near, and goes
    call.source = "mesh:%04x" % peer.address
    call.request(coap.GET)
    assert node.address_of(peer.node_id) == session.address == call.source
    call.source = "mesh:%04x" % (peer.address + 1)
    call.request(coap.GET)
    assert session.address is None


def test_a_node_without_a_proxy_passes_nothing_on():
    node = load({})
    call = Call(node, vectors_node.GATEWAY)
    call.start()
    call.request(coap.GET)
    message = coap.Message(coap.CON, coap.POST, payload=b"x")
    message.add_path("writ/mesh")
    sealed, binding = call.context.protect_request(message)
    (found,) = call.send(sealed)
    inner, _ = call.context.unprotect_response(found, binding)
    assert (inner.code, inner.payload) == (coap.FORBIDDEN, b"40 NotAllowed")


def test_a_proxy_answers_in_a_separate_response():
    node = load({})
    call = Call(node, vectors_node.GATEWAY)
    call.start()
    call.request(coap.GET)
    kept = []

    def proxy(session, message, request, binding, now_ms):
        kept.append((message.payload, message.token, request.query, session.peer.name))
        return None if message.payload == b"later" else coap.Message(coap.ACK, coap.CHANGED)

    node.server.proxy = proxy
    for payload, code in ((b"later", coap.EMPTY), (b"now", coap.CHANGED)):
        message = coap.Message(coap.CON, coap.POST, token=b"\x07", payload=payload)
        message.add_path("writ/mesh")
        message.add(coap.URI_QUERY, "to=0003")
        sealed, binding = call.context.protect_request(message)
        (found,) = call.send(sealed)
        assert (found.type, found.mid) == (coap.ACK, call.mid)
        if code == coap.EMPTY:
            assert found.code == code
        else:
            assert call.context.unprotect_response(found, binding)[0].code == code
        # a duplicate gets the same, and is not passed on again
        found.mid = call.mid
        ((_, data),) = node.receive(call.payload, "g", 1000)
        assert data[:4] == found.encode()[:4]
    name = member().name
    assert kept == [
        (b"later", b"\x07", ["to=0003"], name),
        (b"now", b"\x07", ["to=0003"], name),
    ]
    # other methods and paths are not the proxy's
    message = coap.Message(coap.CON, coap.GET)
    message.add_path("writ/mesh")
    call.send(call.context.protect_request(message)[0])
    assert len(kept) == 2
