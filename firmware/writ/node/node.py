"""A node: datagrams and time in, datagrams out. Joins server, client and sync. Sans-IO.

For each request the order is: message layer, session, freshness, then the policy in force at this
moment, then the resource. Addresses are strings ("192.0.2.7:5683"); the links give them meaning.
"""

from ..compat import unload
from ..errors import Rejection, TimedOut, TooLarge, UsageError
from ..limits import DATAGRAM_BYTES_MAX, TRIES_MAX
from ..wire import coap
from .call import Call
from .client import Client
from .context import PREFIX, NodeContext
from .server import Resource, Server, refusal
from .sync import Sync


class Node(NodeContext):
    """One node. store: `store.Store`; private: its P-256 key, 32 bytes; name: its own name.

    scope: the 8-byte scope id to trust, until the charter is on flash; None for a node that is
    not provisioned.
    """

    def __init__(self, store, private, name="node", scope=None):
        NodeContext.__init__(self, store, private, name, scope)
        self.join(Client(self), Sync(self))
        self.server = Server(self)

    # --- for the author of an app -------------------------------------------------------------

    def resource(self, path, methods=("GET",), period_s=None):
        """Decorator: serve `path` by a function of a `Request`.

        The function returns bytes or str (2.05 for GET, 2.04 otherwise) or (code, bytes), at most
        one block (limits.BLOCK_SZX) unless the method is GET or FETCH. period_s: the period of
        notifications to observers. The policy decides who may call it.
        """
        codes = [coap.METHOD_NAMES.index(name) for name in methods]
        if path == PREFIX or path.startswith(PREFIX + "/") or path.startswith(".well-known"):
            raise UsageError("that path is the node's own")

        def register(function):
            period_ms = None if period_s is None else int(period_s * 1000)
            self.server.resources[path] = Resource(function, codes, period_ms)
            return function

        return register

    def request(
        self,
        method,
        path,
        payload=b"",
        address=None,
        wanted=None,
        query=(),
        observe=None,
        on_answer=None,
    ):
        """[(address, datagram)] that begin a call to another node; its answer goes to `on_answer`.

        wanted: the node id that must answer (no other node's answer is accepted), or None for any
        member at `address`. Raises `UsageError` if neither is known.
        """
        if address is None:
            address = self.address_of(wanted)
            if address is None:
                raise UsageError("no address known for this node")
        call = Call(address, wanted, method, path, query, payload, observe, on_answer)
        return self.client.call(call, self.now_ms)

    def stop_observing(self, address, token):
        """Forget an observation; its next notification is answered with a reset."""
        self.exchanges.end(address, token)

    def notify(self, path, now_ms):
        """Send the present value of `path` to its observers. [(address, datagram)]."""
        self.now_ms = now_ms
        return self.server.notify(path, now_ms)

    # --- datagrams and time -------------------------------------------------------------------

    def receive(self, datagram, source, now_ms):
        """Handle one datagram from `source`; returns [(address, datagram)] to send."""
        self.now_ms = now_ms
        if len(datagram) > DATAGRAM_BYTES_MAX:
            return self._too_large(datagram, source)
        exchanges = self.exchanges
        message = handler = None
        try:
            message = coap.decode(datagram)
            verdict, out = exchanges.receive(message, source, now_ms, datagram)
            if verdict != "new":
                return out
            if message.is_request():
                return out + self.server.serve(message, source, now_ms)
            handler = exchanges.match(message, source)
            if handler is None:
                handler = self._moved(message, source)
            if handler is None:
                return out + exchanges.reset(message, source)
            out += exchanges.acknowledge(message, source)
            return out + handler.answered(message, source, now_ms)
        except Rejection as rejection:
            # malformed from the first byte: no answer is the cheapest one
            self.count(rejection)
            return []
        except MemoryError:
            # no answer: the sender repeats the message, which is then a new one
            if message:
                exchanges.forget(message)
            if handler and exchanges.match(message, source) is None:
                # its answer will not be repeated, and the caller must not wait for ever
                self.later(handler.failed, TimedOut())
            raise

    def _moved(self, message, source):
        # the handler of an observation whose server has another address now, or None
        for key in self.exchanges.pending:
            if key[1] == message.token:
                from .moved import follow

                unload("node.moved")
                return follow(self.exchanges, message, source)
        return None

    def forget_strangers(self, and_handshakes=True):
        """Forget what strangers left: handshakes, uploads and answers. Whether there was any."""
        handshakes, found = self.handshaker.pending, False
        for table in (handshakes, self.server.stranger_uploads.transfers, self.exchanges.seen[0]):
            if and_handshakes or table is not handshakes:
                found = found or len(table) > 0
                table.clear()
        return found

    def make_room(self, error):
        """After a MemoryError of the node's own work: free what strangers have, or a session."""
        self.count(error)
        if not self.forget_strangers():
            self.sessions.give_way()

    def _too_large(self, datagram, source):
        # a request is answered from its first bytes, so that a stock client tries smaller blocks
        rejection = TooLarge()
        self.count(rejection)
        start = 4 + (datagram[0] & 15)
        if datagram[0] >> 4 != 4 or start > 12 or not 0 < datagram[1] < 32:
            return []
        answer = refusal(rejection)
        if not coap.is_plain(datagram):
            # outside OSCORE it would speak of outer blocks (RFC 8613, section 4.1.3.4.2)
            answer.options = []
        answer.mid = datagram[2] << 8 | datagram[3]
        answer.token = datagram[4:start]
        return [(source, answer.encode())]

    def tick(self, now_ms):
        """Do what is due: retransmissions, notifications, pulls. Returns [(address, datagram)]."""
        self.now_ms = now_ms
        self.authority.now_s(now_ms)
        out, failed = self.exchanges.tick(now_ms)
        try:
            while failed:
                address, token, handler = failed[0]
                if handler is None:
                    self.server.observers.cancel(address, token)
                else:
                    out += handler.failed(TimedOut(), now_ms)
                del failed[0]
        except MemoryError:
            # the callers of the others are told in the next tick
            self.exchanges.failed += failed[1:]
            raise
        for _ in range(len(self._deferred)):
            function, args, tries = self._deferred.pop(0)
            try:
                out += function(*args, now_ms)
            except MemoryError:
                # with more room it is called again; what never fits must not end every session
                if tries < TRIES_MAX:
                    self._deferred.append((function, args, tries + 1))
                raise
        self.handshaker.tick(now_ms)
        return out + self.server.tick(now_ms)

    def next_ms(self, now_ms):
        """Milliseconds until `tick` has something to do, or None for never."""
        if self._deferred:
            return 0
        wait_ms = self.exchanges.next_ms(now_ms)
        due_ms = self.server.due_ms()
        if due_ms is not None:
            due_ms = max(0, due_ms - now_ms)
            wait_ms = due_ms if wait_ms is None else min(wait_ms, due_ms)
        return wait_ms
