"""A node whose membership ended while it was off asks its gateway for the new one, on a device."""

import signer
import vectors_node
from node_peer import Flash, load
from vectors_renewed import CLEANED, SENSOR

from writ import crypto
from writ.agent import Node
from writ.authority import capsule
from writ.authority.store import Store
from writ.compat import tidy
from writ.wire import coap

HEAD = capsule.head(capsule.parse(vectors_node.POLICY).payload)
# after the end of vectors_node.SENSOR, and before that of SENSOR
END = signer.certify(signer.beacon_payload(1, HEAD, signer.EXPIRES))
OWN_ID = capsule.node_id(crypto.p256_public(crypto.sha256(b"s"))[0])


class Link:
    """Datagrams to the node, and what it has sent."""

    def __init__(self):
        self.waiting = []
        self.sent = []

    def receive(self, timeout_ms):
        """The next datagram and its source, or None."""
        return self.waiting.pop(0) if self.waiting else None

    def send(self, address, data):
        """Keep what the node sends."""
        self.sent.append((address, coap.decode(data)))


class Clock:
    """A clock that is set."""

    now = 1000

    def now_ms(self):
        """The milliseconds of the clock."""
        return self.now


def restarted(news):
    """The node "s" after it has received `news` and was switched off; its gateway is at "g"."""
    files = {}
    node = load(files)
    Store(Flash(files)).save("key", crypto.sha256(b"s"))
    node.authority.receive(news, 0)
    node = None
    tidy()
    node = Node(Store(Flash(files)), {"name": "s", "gateways": ["g"], "renew_days": 0})
    node.link = Link()
    node.clock = Clock()
    return node


def step(node):
    """What the node asks its gateway in this step: [(path and query, message)]."""
    tidy()
    node.step(0)
    found = node.link.sent
    node.link.sent = []
    assert all(address == "g" for address, _ in found)
    return [("?".join([message.path()] + message.query()), message) for _, message in found]


def answer(node, message, code, payload=b""):
    """Let the gateway answer a request of the node."""
    raw = coap.Message(coap.ACK, code, message.mid, message.token, payload).encode()
    node.link.waiting.append((raw, "g"))


def test_the_newest_capsule_comes_from_the_gateway():
    for news, epoch in ((CLEANED, 2), (END, 1)):
        node = restarted(news)
        ((asked, message),) = step(node)
        assert asked == "writ?e=%d" % epoch, asked
        answer(node, message, coap.NOT_FOUND)
        ((asked, message),) = step(node)
        assert asked == "writ?i=" + OWN_ID.hex(), asked
        answer(node, message, coap.CONTENT, SENSOR)
        # with the new capsule it greets the gateway at once
        ((asked, message),) = step(node)
        assert asked == ".well-known/edhoc", asked
        assert node.authority.me.raw == SENSOR
        node = None
        tidy()


def test_without_a_newer_capsule_the_gateway_is_asked_again_later():
    node = restarted(CLEANED)
    ((_, message),) = step(node)
    answer(node, message, coap.NOT_FOUND)
    ((_, message),) = step(node)
    answer(node, message, coap.NOT_FOUND)
    assert step(node) == []
    node.clock.now += 29000
    assert step(node) == []
    node.clock.now += 1000
    ((asked, _),) = step(node)
    assert asked == "writ?e=2"
