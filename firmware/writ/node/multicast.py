"""Answers to requests that come to a group of all CoAP nodes (RFC 7252, section 8).

1. A non-confirmable GET of /.well-known/core is answered where a link passes its filter. Nothing
   else is answered: no asker needs an error from each node at once (section 8.1).
2. The answer leaves after a random leisure, so that those of all nodes do not meet (section 8.2).
3. A rate limit applies to each asker and to all: forged requests must not make this node send much
   to the address that they name (section 11.3). An answer is about twice as long as its request.

A part of agent.py in a file of its own, for nodes with "discoverable" in config.json. Sans-IO.
"""

from .. import crypto
from ..authority.ratelimit import RateLimiter
from ..compat import const
from ..errors import RateLimited, Rejection
from ..limits import GROUP_ANSWER_BURST, GROUP_ANSWER_REFILL_MS, GROUP_ANSWERS_MAX
from ..wire import coap
from ..wire.coap import Message
from .context import CORE
from .discovery import links

# DEFAULT_LEISURE (RFC 7252, section 4.8)
_LEISURE_MS = const(5000)
_KNOWN_OPTIONS = (coap.URI_HOST, coap.URI_PORT, coap.URI_PATH, coap.URI_QUERY, coap.ACCEPT)
_NON_REQUEST = const(5)  # the version and the type in a datagram's first byte


class MulticastServer:
    """Answers for one `Node`. Its agent calls `receive` first, for each datagram."""

    def __init__(self, node):
        self._node = node
        self._limiter = RateLimiter(GROUP_ANSWER_BURST, GROUP_ANSWER_REFILL_MS)
        self._waiting = []  # (time in ms, address, request, response)

    def receive(self, datagram, source, link, now_ms):
        """Whether this datagram came to a group; its answer waits for `tick`.

        link.is_group: absent where the link cannot tell, as on MicroPython. Then each
        non-confirmable request without OSCORE is taken for one.
        """
        is_group = getattr(link, "is_group", None)
        if is_group is None:
            is_group = datagram[:1] and datagram[0] >> 4 == _NON_REQUEST and coap.is_plain(datagram)
        if is_group:
            try:
                self._take(coap.decode(datagram), source, now_ms)
            except Rejection as rejection:
                self._node.count(rejection)
        return bool(is_group)

    def _take(self, request, source, now_ms):
        if request.type != coap.NON or request.code != coap.GET:
            return
        coap.check_critical(request.options, _KNOWN_OPTIONS)
        if request.path() != CORE:
            return
        response = Message(coap.NON, coap.CONTENT)
        response.add(coap.CONTENT_FORMAT, 40)
        response.payload = links(self._node.server, None, request.query())
        if not response.payload:
            return
        waiting = self._waiting
        if [one for one in waiting if one[1] == source and one[2].token == request.token]:
            # a repetition, or the same request through a second interface
            return
        is_full = len(waiting) >= GROUP_ANSWERS_MAX
        if is_full or not self._limiter.take(source.rpartition(":")[0], now_ms):
            raise RateLimited()
        leisure_ms = _LEISURE_MS * int.from_bytes(crypto.random_bytes(2), "big") >> 16
        waiting.append((now_ms + leisure_ms, source, request, response))

    def tick(self, now_ms):
        """[(address, datagram)] of the answers that are due."""
        out = []
        for one in self._waiting[:]:
            due_ms, source, request, response = one
            if due_ms <= now_ms:
                self._waiting.remove(one)
                out += self._node.exchanges.answer(request, response, source, now_ms)
        return out

    def next_ms(self, now_ms):
        """Milliseconds until an answer is due, or None for never."""
        if not self._waiting:
            return None
        return max(0, min([one[0] for one in self._waiting]) - now_ms)
