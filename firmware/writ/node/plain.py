"""A plain request for a capsule, which proves itself: a node in a mesh makes it without a session.

Loaded by framelinks.py for each request.
"""

from ..compat import const
from ..errors import Rejection
from ..wire import coap
from ..wire.blockwise import Download
from ..wire.coap import Message
from .context import PREFIX

# One for the capsule of a member is given up after so many first time-outs of CoAP, which are three
# transmissions: the neighbour may be made up, and the capsules of others wait
_LONGEST = const(8)


class PlainRequest:
    """One request. node: the `Node`; query: of `GET writ` (docs/wire.md); done: called with whether
    a capsule was received.
    """

    def __init__(self, node, query, done):
        self._node = node
        self._query = query
        self._done = done
        # a charter is longer than a block
        self._download = Download()

    def send(self, address, now_ms):
        """Send it, or ask for the next block. [(address, datagram)]."""
        message = Message(coap.CON, coap.GET)
        message.add_path(PREFIX)
        message.add(coap.URI_QUERY, self._query)
        if self._download.block2 is not None:
            message.add(coap.BLOCK2, self._download.block2)
        out = self._node.client.submit(message, address, self, now_ms)
        exchanges = self._node.exchanges
        entry = exchanges.pending.get((address, message.token))
        if entry and self._query[:2] == "a=":
            entry[1] = min(entry[1], now_ms + _LONGEST * exchanges.timeout_of(address))
        return out

    def answered(self, message, address, now_ms):
        """Take a capsule or a block of it."""
        node = self._node
        node.exchanges.end(address, message.token)
        is_received = False
        try:
            if message.code == coap.CONTENT:
                body = self._download.feed(message)
                if body is None:
                    return self.send(address, now_ms)
                node.authority.receive(body, now_ms, address)
                is_received = True
        except Rejection as rejection:
            node.count(rejection)
        except MemoryError:
            self._done(False)
            raise
        self._done(is_received)
        return []

    def failed(self, rejection, now_ms):
        """Go on without an answer."""
        self._done(False)
        return []
