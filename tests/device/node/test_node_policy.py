"""A whole node on a device's heap: strangers, roles, and a policy that changes in a session."""

import vectors_node
from node_peer import Call, load

from writ.authority import capsule
from writ.wire import coap


def test_policy_of_the_moment():
    node = load({})
    call = Call(node, vectors_node.GATEWAY)
    # the epoch in the handshake is newer: the node pulls it in the new session
    call.start(2)
    answer, found = call.request(coap.GET)
    assert answer.code == coap.CONTENT and len(found) == 1
    asked, binding, _ = call.context.unprotect_request(found[0])
    assert asked.path() == "writ/policy" and asked.query() == ["e=1"]
    answer = coap.Message(coap.ACK, coap.CONTENT, asked.mid, asked.token, vectors_node.REVOKING)
    node.receive(call.context.protect_response(answer, binding).encode(), "g", 1000)
    assert node.authority.epoch == 2
    assert node.authority.head == capsule.head(capsule.parse(vectors_node.REVOKING).payload)
    # the policy revokes the peer that has brought it
    answer, _ = call.request(coap.GET)
    assert (answer.code, answer.payload) == (coap.FORBIDDEN, b"30 Revoked")


def test_refused():
    node = load({})
    call = Call(node, vectors_node.GUEST)
    message = coap.Message(coap.CON, coap.GET)
    message.add_path("t")
    (answer,) = call.send(message)
    assert answer.code == coap.UNAUTHORIZED
    call.start()
    answer, _ = call.request(coap.GET)
    assert (answer.code, answer.payload) == (coap.FORBIDDEN, b"40 NotAllowed")
    assert node.counters == {"NotMember": 1, "NotAllowed": 1}
