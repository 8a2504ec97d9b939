"""Shared parts of the tests with hostile datagrams: counters of expensive work, and datagrams."""

from node_rig import datagram

from writ import crypto
from writ.errors import Rejection
from writ.wire import coap, edhoc


class Work:
    """A context manager that counts the calls of expensive operations."""

    def __enter__(self):
        self.ecdh = self.generate = self.verify = 0
        self._saved = crypto.p256_ecdh, crypto.p256_generate, crypto.ed25519_verify
        crypto.p256_ecdh = self._ecdh
        crypto.p256_generate = self._generate
        crypto.ed25519_verify = self._verify
        return self

    def _ecdh(self, *arguments):
        self.ecdh += 1
        return self._saved[0](*arguments)

    def _generate(self, *arguments):
        self.generate += 1
        return self._saved[1](*arguments)

    def _verify(self, *arguments):
        self.verify += 1
        return self._saved[2](*arguments)

    def __exit__(self, *_):
        crypto.p256_ecdh, crypto.p256_generate, crypto.ed25519_verify = self._saved


def names_of_rejections():
    found = {"EchoRequired"}
    todo = [Rejection]
    while todo:
        kind = todo.pop()
        found.add(kind.__name__)
        todo += kind.__subclasses__()
    return found


def only_rejections(node):
    """Assert that a node counted only rejections, and no internal error."""
    assert set(node.counters) <= names_of_rejections(), node.counters


def trace(net, target):
    """The datagrams sent to `target` so far: [(source, datagram)]."""
    return [(source, data) for source, to, data in net.log if to == target]


def remid(data, mid):
    """The datagram with another message id."""
    return data[:2] + mid.to_bytes(2, "big") + data[4:]


def message_1(number, echo=None):
    """A message_1 of EDHOC with an ephemeral key of its own."""
    key = crypto.sha256(b"flood" + bytes((number & 255, number >> 8)))
    initiator = edhoc.Initiator(key, bytes((number % 24,)), ephemeral=key)
    payload = b"\xf5" + initiator.message_1()
    options = [(coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"edhoc")]
    if echo:
        options.append((coap.ECHO, echo))
    return datagram(coap.CON, coap.POST, payload, number & 0xFFFF, b"\x01", options)


FIRST_MESSAGES = [message_1(number) for number in range(60)]


def capsule_post(raw, mid):
    return datagram(coap.NON, coap.POST, raw, mid, b"", ((coap.URI_PATH, b"writ"),))
