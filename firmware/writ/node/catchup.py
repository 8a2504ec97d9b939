"""How a node that missed a succession or its own newest capsule catches up, without a session.

Without the group key in force it can verify no capsule of its peers. They refuse its own capsule
if that has expired, if the policy voids it, or if a former key has certified it. The node sends
plain requests for capsules: each succession after its epoch, then its own newest member capsule.
A part of client.py, loaded when that happens; the commands of a host use it too.
"""

from ..authority.capsule import node_id
from ..compat import unload
from ..errors import Rejection
from ..wire import coap
from ..wire.coap import Message
from .context import PREFIX


class CatchUp:
    """Asks the node at `address` for the missing capsules; then retries the calls.

    calls: may be empty, if the node only wants its own newest capsule; rejection: the result of the
    calls if no newer capsule was found; is_done: whether the last answer has come or is lost.
    """

    def __init__(self, context, address, calls, rejection):
        self._context = context
        self._address = address
        self._calls = calls
        self.is_done = False
        self._rejection = rejection
        self._start = self._state()
        self._queries = []  # queries sent already

    def _state(self):
        authority = self._context.authority
        return authority.key_epoch, authority.me

    def begin(self, now_ms):
        """Send the first request, for a succession. [(address, datagram)]."""
        return self.failed(None, now_ms)

    def _ask(self, query, now_ms):
        self._queries.append(query)
        message = Message(coap.CON, coap.GET)
        message.add_path(PREFIX)
        message.add(coap.URI_QUERY, query)
        return self._context.client.submit(message, self._address, self, now_ms)

    def answered(self, message, address, now_ms):
        """Take a capsule, and ask for the next one."""
        context = self._context
        context.exchanges.end(address, message.token)
        if message.code == coap.CONTENT:
            try:
                context.authority.receive(message.payload, now_ms, self._address)
            except Rejection as error:
                context.count(error)
        return self.failed(None, now_ms)

    def failed(self, rejection, now_ms):
        """Go on without this answer."""
        context = self._context
        authority = context.authority
        # the next key, if this brought one; then the own capsule, which the last one certified
        following = "e=%d" % authority.epoch
        if following not in self._queries:
            return self._ask(following, now_ms)
        own = "i=" + node_id(authority.own_x).hex()
        me = authority.me
        is_wanted = me is None or not self._calls or authority.is_past(me, now_ms)
        if is_wanted and own not in self._queries:
            return self._ask(own, now_ms)
        unload("node.catchup")
        self.is_done = True
        out = []
        for call in self._calls:
            if self._state() != self._start:
                out += context.client.retry(call, self._rejection, now_ms)
            else:
                context.client.finish(call, rejection=self._rejection)
        return out
