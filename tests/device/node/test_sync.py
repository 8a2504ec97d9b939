"""Pulls on a device's heap: after a fork, from peers that have nothing, and of beacons."""

import sys

import signer
import vectors_node
from node_peer import Call, load

from writ.authority import capsule
from writ.compat import tidy
from writ.wire import coap

CHARTER_HEAD = capsule.head(capsule.parse(vectors_node.CHARTER).payload)
RULE = [2, 4, "t", 1]
# another policy of epoch 1, which must not exist, and the policy of epoch 3, whatever was before
FORKED = signer.certify(signer.policy_payload(1, CHARTER_HEAD, [RULE, [2, 4, "u", 1]]))
WHOLE = signer.certify(signer.policy_payload(3, bytes(6), [RULE]))
HEAD = capsule.head(capsule.parse(vectors_node.POLICY).payload)
BEACON = signer.certify(signer.beacon_payload(1, HEAD, signer.FOUNDED + 60))
FOUNDED = signer.FOUNDED
# its code would fill the heap
del sys.modules["signer"]
del signer
tidy()


class Peer(Call):
    """A member that claims epochs, and answers what the node asks it."""

    def __init__(self):
        Call.__init__(self, load({}), vectors_node.GATEWAY)

    def claim(self, epoch):
        """A request with this epoch; the requests of the node that follow it."""
        message = coap.Message(coap.CON, coap.GET)
        message.add_path("t")
        message.add(coap.EPOCH, epoch)
        message, _ = self.context.protect_request(message)
        return self.asked([item for item in self.send(message) if item.type == coap.CON])

    def asked(self, messages):
        """[(path and query, message, binding)]."""
        found = []
        for message in messages:
            inner, binding, _ = self.context.unprotect_request(message)
            found.append(("?".join([inner.path()] + inner.query()), message, binding))
        return found

    def answer(self, asked, code, payload=b""):
        """Answer a request of the node; what the node asks then."""
        _, message, binding = asked
        answer = coap.Message(coap.ACK, code, message.mid, message.token, payload)
        answer = self.context.protect_response(answer, binding)
        out = self.node.receive(answer.encode(), "g", self.now_ms)
        out += self.node.tick(self.now_ms)
        messages = [coap.decode(data) for _, data in out]
        return self.asked([item for item in messages if item.type == coap.CON])


def opened():
    """A peer with a session in epoch 1."""
    peer = Peer()
    peer.start()
    peer.request(coap.GET)
    return peer


def test_after_a_fork_the_whole_policy_is_asked_for():
    peer = opened()
    (asked,) = peer.claim(3)
    assert asked[0] == "writ/policy?e=1"
    (asked,) = peer.answer(asked, coap.CONTENT, FORKED)
    # what follows the key in force: no amendment that does not fit
    assert asked[0] == "writ/policy" and peer.node.counters["Forked"] == 1
    assert peer.node.authority.epoch == 1
    (asked,) = peer.answer(asked, coap.CONTENT, WHOLE)
    assert peer.node.authority.epoch == 3 and asked[0] == "writ/beacon"


def test_a_fork_in_the_whole_policy_ends_the_pull():
    peer = opened()
    (asked,) = peer.claim(3)
    (asked,) = peer.answer(asked, coap.CONTENT, FORKED)
    assert peer.answer(asked, coap.CONTENT, FORKED) == []
    assert peer.node.counters["Forked"] == 2 and peer.node.authority.epoch == 1


def test_a_peer_that_has_nothing_is_asked_ever_more_seldom():
    peer = opened()
    waits = []
    for _ in range(5):
        since_ms = peer.now_ms
        asked = peer.claim(9)
        while not asked:
            peer.now_ms += 1000
            asked = peer.claim(9)
        waits.append(peer.now_ms - since_ms)
        assert peer.answer(asked[0], coap.NOT_FOUND) == []
    assert waits == [0, 15000, 30000, 60000, 120000]


def test_a_beacon_is_asked_for_once_at_a_time():
    peer = opened()
    node = peer.node
    out = node.sync.ask_beacon("g")
    assert len(out) == 1 and node.sync.ask_beacon("g") == []
    (asked,) = peer.asked([coap.decode(data) for _, data in out])
    assert asked[0] == "writ/beacon" and peer.answer(asked, coap.CONTENT, BEACON) == []
    assert node.authority.beacon.time == FOUNDED + 60
    assert len(node.sync.ask_beacon("g")) == 1
