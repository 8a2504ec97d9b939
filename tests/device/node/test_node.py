"""A whole node on a device's heap: handshake, request, alteration, replay and restart."""

import gc

import vectors_node
from node_peer import Call, load

from writ.wire import coap


def test_contact():
    files = {}
    node = load(files)
    call = Call(node, vectors_node.GATEWAY)
    call.start()
    answer, _ = call.request(coap.GET)
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")
    assert answer.option_uint(coap.EPOCH) == 1
    first = call.payload
    answer, _ = call.request(coap.POST, b"on")
    assert answer.code == coap.CHANGED
    data = call.payload
    assert len(data) <= 28

    # each byte altered, the end cut off, and all of it again
    for at in range(4, len(data)):
        head = data[:2] + bytes((1, at)) + data[4:at]
        for altered in (head, head + bytes((data[at] ^ 4,)) + data[at + 1 :]):
            for _, reply in node.receive(altered, "g", 1000):
                assert coap.decode(reply).code >> 5 == 4
        gc.collect()
    data = data[:2] + b"\x07\x07" + data[4:]
    ((_, reply),) = node.receive(data, "x", 1000)
    assert coap.decode(reply).payload == b"61 Replayed"
    node.receive(first[:2] + b"\x07\x08" + first[4:], "g", 1000)
    assert node.counters["OutOfOrder"] == 1 and len(node.sessions) == 1

    # after a restart the old request is refused, and the peer proves the freshness of a new one
    node = call.node = None
    gc.collect()
    node = call.node = load(files)
    node.receive(data, "g", 1000)
    assert node.counters == {"EchoRequired": 1}
    answer, _ = call.request(coap.GET)
    assert answer.code == coap.UNAUTHORIZED
    answer, _ = call.request(coap.GET, b"", answer.option(coap.ECHO))
    assert answer.payload == b"21.5" and len(node.sessions) == 1
