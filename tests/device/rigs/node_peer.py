"""A minimal peer of a node: two whole nodes do not fit into 160 kB.

Tests of several nodes are in tests/host/writ/node/. The names here are names of the firmware,
since MicroPython's table of names doubles with a few more.
"""

from writ.compat import save_heap, tidy

# as the agent does, before the large pieces come
save_heap()

import vectors_node  # noqa: E402

from writ import cbor, crypto  # noqa: E402
from writ.authority import capsule  # noqa: E402
from writ.authority.store import Store  # noqa: E402
from writ.node.node import Node  # noqa: E402
from writ.wire import coap, edhoc  # noqa: E402
from writ.wire.oscore import Context  # noqa: E402

_SCOPE = capsule.scope_id(capsule.parse(vectors_node.CHARTER).payload)
_LABEL = 65000


class Flash:
    """What FileFlash does, in a dict."""

    def __init__(self, files):
        self.read = files.get
        self.write = files.__setitem__


def load(files):
    """The node "s", a sensor (role 4), on what its flash holds; provisioned where that is empty."""
    empty = not files
    node = Node(Store(Flash(files)), crypto.sha256(b"s"), "s", _SCOPE)
    if empty:
        for raw in (vectors_node.CHARTER, vectors_node.SENSOR, vectors_node.POLICY):
            tidy()
            node.authority.receive(raw, 0)

    @node.resource("t", methods=("GET", "POST"))
    def serve(request):
        return b"21.5"

    return node


class Call:
    """A member with this capsule, and a context after `start`. payload: what it sent last; source:
    the address that it sends from.
    """

    source = "g"

    def __init__(self, node, raw):
        self.node = node
        self.raw = raw
        self.mid = 0
        self.now_ms = 1000
        self.message_3 = b""
        self.payload = None

    def send(self, message):
        """The `Message`s that the node sends for this one."""
        self.mid += 1
        message.mid = self.mid
        self.payload = message.encode()
        tidy()
        return [
            coap.decode(data)
            for _, data in self.node.receive(self.payload, self.source, self.now_ms)
        ]

    def start(self, epoch=1):
        """A handshake by value; message_3 goes with the next request."""
        initiator = edhoc.Initiator(crypto.sha256(b"g"), b"\x05", (_LABEL,))
        message = coap.Message(coap.CON, coap.POST)
        message.add_path(".well-known/edhoc")
        hint = _SCOPE[:4] + b"\x01"
        message.payload = b"\xf5" + initiator.message_1([(_LABEL, False, hint)])
        (message,) = self.send(message)
        tidy()
        _, raw = initiator.read_2(message.payload)
        initiator.verify_2(raw, capsule.Member(capsule.parse(raw)).x)
        ead = [(_LABEL, False, cbor.encode(epoch) + bytes(6))]
        self.message_3 = initiator.message_3(("kcwt", None), self.raw, ead)
        secret, salt = initiator.oscore()
        self.context = Context(secret, salt, initiator.c_r, initiator.c_i)

    def request(self, method, payload=b"", echo=None):
        """(answer, requests that the node sent beside) to a request for "t"."""
        message = coap.Message(coap.CON, method, payload=payload)
        message.add_path("t")
        if echo:
            message.add(coap.ECHO, echo)
        message, binding = self.context.protect_request(message)
        if self.message_3:
            message.add(coap.EDHOC)
            message.payload = self.message_3 + message.payload
            self.message_3 = b""
        found = self.send(message)
        (message,) = [item for item in found if item.type == coap.ACK]
        found.remove(message)
        if message.option(coap.OSCORE) is not None:
            message, _ = self.context.unprotect_response(message, binding)
        return message, found
