"""A whole node on a device's heap: an action is handed over, used up, and spent after a restart."""

import signer
import vectors_node
from node_peer import Call, load

from writ import crypto
from writ.authority import capsule
from writ.compat import tidy
from writ.wire import coap

NODE = capsule.node_id(capsule.Member(capsule.parse(vectors_node.SENSOR)).x)
HEAD = capsule.head(capsule.parse(vectors_node.POLICY).payload)
# POST requires an action, GET does not
LAW = signer.certify(signer.policy_payload(2, HEAD, [[2, 4, "t", 1], [2, 4, "t", 2, 2]]))
BODY = [NODE, coap.POST, "t", crypto.sha256(b"on"), b"nonce  1"]
ACTION = signer.certify(capsule.build(capsule.ACTION, BODY, exp=signer.FOUNDED + 600))
tidy()


def hand(call, raw):
    """The node's answer to this capsule, handed over without a session."""
    message = coap.Message(coap.CON, coap.POST, payload=raw)
    message.add_path("writ")
    (answer,) = call.send(message)
    return answer.code, answer.payload


def test_once():
    files = {}
    node = load(files)
    node.authority.receive(LAW, 0)
    call = Call(node, vectors_node.GATEWAY)
    call.start(2)
    answer, _ = call.request(coap.POST, b"on")
    assert (answer.code, answer.payload) == (coap.FORBIDDEN, b"42 NeedsAction")
    assert node.authority.actions is None
    assert hand(call, ACTION) == (coap.CHANGED, b"")
    assert hand(call, ACTION) == (coap.VALID, b"")
    answer, _ = call.request(coap.GET)
    assert answer.code == coap.CONTENT
    answer, _ = call.request(coap.POST, b"off")
    assert answer.payload == b"42 NeedsAction"
    answer, _ = call.request(coap.POST, b"on")
    assert answer.code == coap.CHANGED and answer.payload == b"21.5"
    answer, _ = call.request(coap.POST, b"on")
    assert answer.payload == b"42 NeedsAction"
    assert hand(call, ACTION) == (coap.FORBIDDEN, b"37 ActionSpent")
    node = call.node = None
    tidy()
    node = call.node = load(files)
    assert hand(call, ACTION) == (coap.FORBIDDEN, b"37 ActionSpent")
