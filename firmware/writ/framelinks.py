"""A node on links without IP: serial lines and LoRa ("links" in config.json), by the mesh.

A part of agent.py that is loaded where a node has such links. It hands frames and datagrams over
between links, mesh and node, and makes the requests by which a node gets into the mesh and stays in
it: for charter and own capsule, the link key, the capsules of origins, and newer epochs.
"""

from . import crypto
from .authority.capsule import node_id
from .compat import const
from .errors import Rejection
from .limits import DATAGRAMS_A_STEP, PAUSE_MS, PAUSE_MS_MAX
from .mesh.linkkey import KEY_BYTES, LinkKeys
from .mesh.mesh import Mesh
from .mesh.routing import NO_RANK
from .node.call import Call
from .node.context import PREFIX
from .wire import coap
from .wire.blockwise import Download
from .wire.coap import Message

# The first time-out of a CoAP message on a way of so many receipts (RFC 7252, section 4.2: 2 s)
_RECEIPTS = const(4)


class _Plain:
    # a request without a session, for a capsule that proves itself

    def __init__(self, owner, query):
        self._owner = owner
        self._query = query
        # a charter is longer than a block
        self._download = Download()

    def send(self, address, now_ms):
        message = Message(coap.CON, coap.GET)
        message.add_path(PREFIX)
        message.add(coap.URI_QUERY, self._query)
        if self._download.block2 is not None:
            message.add(coap.BLOCK2, self._download.block2)
        return self._owner.node.client.submit(message, address, self, now_ms)

    def answered(self, message, address, now_ms):
        node = self._owner.node
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
        self._owner.done(is_received)
        return []

    def failed(self, rejection, now_ms):
        self._owner.done(False)
        return []


class FrameLinks:
    """node: the agent's core; links: the opened frame links.

    is_gateway: whether this node makes the link key, and others reach hosts by it.
    """

    def __init__(self, node, links, is_gateway=False):
        self.node = node
        self._is_gateway = is_gateway
        self.links = links
        self.keys = node.link_keys = LinkKeys(node.store)
        self.mesh = Mesh(node.authority, self.keys, links, node.count, is_gateway)
        node.exchanges.timeout_of = self._timeout_ms
        # at most one request is under way
        self._is_asking = False
        self._ask_ms = 0  # when the next one may be made
        self._pause_ms = PAUSE_MS

    def _timeout_ms(self, address):
        # of the first transmission of a CoAP message; None for an address of another link
        if address[:5] not in ("mesh:", "join:"):
            return None
        return _RECEIPTS * self.mesh.patience_ms()

    def send(self, address, data):
        """Queue a datagram for "mesh:1a2b" or "join:1a2b"."""
        self.mesh.send(address, data, self.node.now_ms)

    def receive(self, now_ms):
        """[(address, datagram)] that the links have for the node."""
        found = []
        for number in range(len(self.links)):
            for _ in range(DATAGRAMS_A_STEP):
                got = self.links[number].receive(now_ms)
                if got is None:
                    break
                found += self.mesh.receive(number, got[0], got[1], now_ms)
        return found

    def tick(self, now_ms):
        """Send what is due on the links. [(address, datagram)] of requests to send."""
        mesh = self.mesh
        out = self._requests(now_ms)
        mesh.tick(now_ms)
        for number in range(len(self.links)):
            for _ in range(DATAGRAMS_A_STEP):
                data = mesh.outgoing(number, now_ms)
                if data is None or not self.links[number].send(data, now_ms):
                    break
                mesh.sent(number, now_ms)
        return out

    def next_ms(self, now_ms):
        """Milliseconds until `receive` or `tick` has something to do."""
        times = [self.mesh.next_ms(now_ms), PAUSE_MS_MAX]
        times += [link.next_ms(now_ms) for link in self.links]
        if not self._is_asking:
            times.append(max(0, self._ask_ms - now_ms) if self._question() else None)
        return min([one for one in times if one is not None])

    # --- requests of the mesh ---------------------------------------------------------------------

    def _requests(self, now_ms):
        authority = self.node.authority
        if self._is_gateway and authority.me and self.keys.is_stale(authority.policy):
            # of gateways that do this at one time, the larger key wins
            key = crypto.random_bytes(KEY_BYTES)
            self.keys.offer(authority.policy, authority.epoch, key, now_ms)
        if self._is_asking or now_ms < self._ask_ms:
            return []
        question = self._question()
        if question is None:
            return []
        address, query, path = question
        if address is None:
            # no neighbour was heard yet
            self.mesh.join.solicit()
            self._wait(False)
            return []
        self._is_asking = True
        if query:
            return _Plain(self, query).send(address, now_ms)
        function = self._got_key if path == "/link" else self._got_beacon
        # over the open session with that neighbour, whatever address it had
        member = authority.peer_by(address=int(address[5:], 16))
        wanted = member.node_id if member else None
        session = wanted and self.node.sessions.by_peer(wanted)
        if session:
            session.address = address
        call = Call(address, wanted, coap.GET, PREFIX + path, (), b"", None, function)
        return self.node.client.call(call, now_ms)

    def _question(self):
        # (address or None, query of a plain request or None, path of a protected one or None)
        node = self.node
        authority = node.authority
        mesh = self.mesh
        if mesh.join.is_joining():
            if not mesh.join.candidates:
                return None, None, None
            address = "join:%04x" % mesh.join.candidates[0][1]
            if authority.charter is None:
                return address, "c=", None
            if authority.me is None:
                return address, "i=" + node_id(authority.own_x).hex(), None
            return address, None, "/link"
        if self.keys.is_stale(authority.policy) and mesh.routing.parents:
            return "mesh:%04x" % mesh.routing.parents[0].address, None, "/link"
        if mesh.routing.rank == NO_RANK:
            # a neighbour may hear it, and say HELLO
            return None, None, None
        for address, origin in mesh.missing:
            return "mesh:%04x" % address, "a=%04x" % origin, None
        for address in mesh.newer:
            return "mesh:%04x" % address, None, "/beacon"
        return None

    def done(self, is_success):
        """End the request under way; the next one waits longer after each failure."""
        self._is_asking = False
        mesh = self.mesh
        if mesh.join.is_joining():
            if not is_success:
                mesh.join.try_next()
        elif mesh.missing:
            mesh.missing.pop(0)
        self._wait(is_success)

    def _wait(self, is_success):
        if is_success:
            self._pause_ms = PAUSE_MS
            self._ask_ms = 0
            return
        # half of the pause, and up to as much again, so that nodes part
        pause_ms = self._pause_ms
        self._pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)
        wait_ms = (pause_ms >> 1) + (pause_ms * crypto.random_bytes(1)[0] >> 8)
        self._ask_ms = self.node.now_ms + wait_ms

    def _got_key(self, answer):
        is_new = False
        if answer.code == coap.CONTENT:
            try:
                authority = self.node.authority
                is_new = self.keys.receive(answer.payload, authority, self.node.now_ms)
                # also where it is the one that is here already
                self.mesh.join.is_stale = False
            except Rejection as rejection:
                self.node.count(rejection)
        self.done(is_new)

    def _got_beacon(self, answer):
        # what the handshake and the answer have told of the peer's epoch is pulled by sync.py
        self.mesh.newer.clear()
        self.done(answer.code != 0)
