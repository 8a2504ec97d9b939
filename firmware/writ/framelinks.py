"""A node on links without IP: serial lines and LoRa ("links" in config.json), by the mesh.

A part of agent.py that is loaded where a node has such links. It hands frames and datagrams over
between links, mesh and node, and makes the requests by which a node gets into the mesh and stays in
it: for charter and own capsule, the link key, the capsules of origins, and newer epochs.
"""

import select

from . import crypto
from .authority.capsule import node_id
from .compat import const, unload
from .errors import NotRouted, Rejection
from .limits import DATAGRAMS_A_STEP, PAUSE_MS, PAUSE_MS_MAX
from .mesh.frame import JOIN_CLASS
from .mesh.linkkey import KEY_BYTES, LinkKeys
from .mesh.mesh import Mesh
from .mesh.permit import GOVERNANCE
from .mesh.routing import NO_RANK
from .node.call import Call
from .node.context import PREFIX
from .wire import coap
from .wire.blockwise import Download
from .wire.coap import Message

# How often a node asks the gateway for its beacon, which also shows the gateway its way and name
_BEACON_MS = const(3600000)
# When a frame is tried again that a link has not taken
_BUSY_MS = const(20)
# The first time-out of a CoAP message, in times that a message and its answer may take without any
# loss. It takes the place of ACK_TIMEOUT (RFC 7252, section 4.8: 2 s)
_ROUND_TRIPS = const(4)


class _Plain:
    # a request without a session, for a capsule that proves itself

    def __init__(self, node, query, done):
        self._node = node
        self._query = query
        self._done = done  # called with whether the capsule was received
        # a charter is longer than a block
        self._download = Download()

    def send(self, address, now_ms):
        message = Message(coap.CON, coap.GET)
        message.add_path(PREFIX)
        message.add(coap.URI_QUERY, self._query)
        if self._download.block2 is not None:
            message.add(coap.BLOCK2, self._download.block2)
        return self._node.client.submit(message, address, self, now_ms)

    def answered(self, message, address, now_ms):
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
        self._done(is_received)
        return []

    def failed(self, rejection, now_ms):
        self._done(False)
        return []


class FrameLinks:
    """The mesh of an agent and its requests. node: the agent; links: its frame links, at least one.

    is_gateway: whether this node makes the link key, and others reach hosts by it. Addresses are
    those of mesh/mesh.py.
    """

    def __init__(self, node, links, is_gateway=False):
        self.node = node
        self._is_gateway = is_gateway
        self.links = links
        self.keys = node.link_keys = LinkKeys(node.store)
        self.mesh = Mesh(node.authority, self.keys, links, node.count, is_gateway)
        node.mesh_report = self._report
        node.exchanges.timeout_of = self._timeout_ms
        self._inbox = []  # [(datagram, address)] that `wait` has not given yet
        # of each kind at most one request is under way
        self._is_fetching = False  # a capsule of another member
        self._fetch_ms = 0  # when the next one may be fetched
        self._is_asking = False
        self._ask_ms = 0  # when the next one may be made
        self._pause_ms = PAUSE_MS
        self._beacon_ms = 0  # when the gateway is asked for its beacon
        self._gateway = 0  # the one that was asked
        self._key_ms = 0  # when a gateway may make a link key: the flash may have failed
        self._is_busy = False  # whether a link did not take a frame in the last step

    def _timeout_ms(self, address):
        # of the first transmission of a CoAP message; None for an address of another link
        if not self.is_own(address):
            return None
        return _ROUND_TRIPS * self.mesh.patience_ms()

    def _report(self, now_ms):
        from .mesh.report import report

        unload("mesh.report")
        return report(self.mesh, now_ms)

    def is_own(self, address):
        """Whether an address is of the mesh: "mesh:1a2b" or "join:1a2b"."""
        return address[:5] in ("mesh:", "join:")

    def send(self, address, data):
        """Queue a datagram for such an address."""
        self.mesh.send(address, data, self.node.now_ms)

    def wait(self, other, wait_ms, clock):
        """(datagram, address) of a frame link or of `other`, a UDP link; None after `wait_ms`."""
        if not self._inbox:
            if wait_ms:
                poll = select.poll()
                for handle in other.sockets + [link.handle for link in self.links]:
                    if handle is not None:
                        poll.register(handle, select.POLLIN)
                poll.poll(wait_ms)
            self._inbox = self.poll(clock.now_ms())
        return self._inbox.pop(0) if self._inbox else other.receive(0)

    def receive(self, datagram, source, link, now_ms):
        """False: no datagram is the mesh's own (as other parts of an agent answer)."""
        return False

    def poll(self, now_ms):
        """[(datagram, address)] that the links have for the node."""
        found = [(data, address) for address, data in self.mesh.release(now_ms)]
        for number in range(len(self.links)):
            for _ in range(DATAGRAMS_A_STEP):
                got = self.links[number].receive(now_ms)
                if got is None:
                    break
                for address, data in self.mesh.receive(number, got[0], got[1], now_ms):
                    found.append((data, address))
        return found

    def tick(self, now_ms):
        """Send what is due on the links. [(address, datagram)] of requests to send."""
        mesh = self.mesh
        # the last datagram may have made this node a member: the mesh follows first
        mesh.tick(now_ms)
        out = self._requests(now_ms)
        self._is_busy = False
        for number in range(len(self.links)):
            link = self.links[number]
            mesh.leaving(number, link.is_sending(now_ms), now_ms)
            for _ in range(DATAGRAMS_A_STEP):
                data = mesh.outgoing(number, now_ms)
                if data is None:
                    break
                if not link.send(data, now_ms):
                    self._is_busy = True
                    break
                mesh.sent(number, now_ms)
        return out

    def next_ms(self, now_ms):
        """Milliseconds until `receive` or `tick` has something to do."""
        mesh_ms = self.mesh.next_ms(now_ms)
        if self._is_busy and mesh_ms is not None:
            # a link sends another frame, or its port is closed
            mesh_ms = max(mesh_ms, _BUSY_MS)
        times = [mesh_ms, PAUSE_MS_MAX]
        times += [link.next_ms(now_ms) for link in self.links]
        if not self._is_asking:
            has_request = self._next_request(now_ms) is not None
            times.append(max(0, self._ask_ms - now_ms) if has_request else self._beacon_in(now_ms))
        if self.mesh.missing and not self._is_fetching:
            times.append(max(0, self._fetch_ms - now_ms))
        return min([one for one in times if one is not None])

    # --- requests of the mesh ---------------------------------------------------------------------

    def _requests(self, now_ms):
        authority = self.node.authority
        if self._is_gateway and authority.me and self.keys.is_stale(authority.policy):
            self._make_key(now_ms)
        out = self._fetch(now_ms)
        if self._is_asking or now_ms < self._ask_ms:
            return out
        request = self._next_request(now_ms)
        if request is None:
            return out
        address, query, path = request
        if address is None:
            # no neighbour was heard yet
            try:
                self.mesh.join.solicit()
            except Rejection as rejection:
                # the flash has no number for the frame
                self.node.count(rejection)
            self._wait(False)
            return out
        self._is_asking = True
        try:
            return out + self._ask(address, query, path, now_ms)
        except MemoryError:
            # nothing was sent
            self._is_asking = False
            raise

    def _make_key(self, now_ms):
        if now_ms < self._key_ms:
            return
        self._key_ms = now_ms + PAUSE_MS
        authority = self.node.authority
        # of gateways that do this at one time, the larger key wins
        key = crypto.random_bytes(KEY_BYTES)
        try:
            self.keys.offer(authority.policy, authority.epoch, key, now_ms)
        except Rejection as rejection:
            self.node.count(rejection)

    def _ask(self, address, query, path, now_ms):
        if query:
            return _Plain(self.node, query, self._done).send(address, now_ms)
        function = self._got_key if path == "/link" else self._got_beacon
        # over the open session with that neighbour, whatever address it had
        member = self.node.authority.peer_by(address=int(address[5:], 16))
        wanted = member.node_id if member else None
        session = wanted and self.node.sessions.by_peer(wanted)
        if session:
            session.address = address
        call = Call(address, wanted, coap.GET, PREFIX + path, (), b"", None, function)
        return self.node.client.call(call, now_ms)

    def _fetch(self, now_ms):
        # ask for the next missing capsule, beside the other requests: those may wait for it
        missing = self.mesh.missing
        if not missing or self._is_fetching or now_ms < self._fetch_ms:
            return []
        address, origin = missing[0]
        self._is_fetching = True
        plain = _Plain(self.node, "a=%04x" % origin, self._fetched)
        try:
            return plain.send("mesh:%04x" % address, now_ms)
        except MemoryError:
            self._is_fetching = False
            raise

    def _fetched(self, is_received):
        self._is_fetching = False
        self.mesh.missing.pop(0)
        self._fetch_ms = self.node.now_ms + (0 if is_received else PAUSE_MS)

    def _beacon_in(self, now_ms):
        # ms until the gateway is asked for its beacon; None for a node without one
        gateway = self.mesh.routing and self.mesh.routing.gateway
        if self._is_gateway or not gateway:
            return None
        return max(0, self._beacon_ms - now_ms) if gateway == self._gateway else 0

    def _next_request(self, now_ms):
        # (address, query of a plain request or None, path of a protected one or None); the address
        # is None as long as no neighbour was heard; None if nothing is to be asked
        node = self.node
        authority = node.authority
        mesh = self.mesh
        for address in () if mesh.join.is_needed() else mesh.newer:
            # before all else: a stranger can make this node doubt its link key again and again
            return "mesh:%04x" % address, None, "/beacon"
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
        if self._beacon_in(now_ms) == 0:
            return "mesh:%04x" % mesh.routing.gateway, None, "/beacon"
        return None

    def _done(self, is_success):
        # end the request under way; the next one waits longer after each failure
        self._is_asking = False
        if not is_success and self.mesh.join.candidates:
            self.mesh.join.try_next()
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
                self._check_giver(answer.peer)
                is_new = self.keys.receive(answer.payload, authority, self.node.now_ms)
                # also where it is the one that is here already
                self.mesh.join.is_stale = False
            except Rejection as rejection:
                self.node.count(rejection)
        self._done(is_new)

    def _check_giver(self, peer):
        # a member that the policy lets neither forward nor answer newcomers may not hand over keys
        policy = self.node.authority.policy
        roles = policy.roles_of(peer) if policy and peer else 0
        for route in policy.routes if policy else ():
            if route[0] in (GOVERNANCE, JOIN_CLASS) and route[2] & roles:
                return
        raise NotRouted()

    def _got_beacon(self, answer):
        # what the handshake and the answer have told of the peer's epoch is pulled by sync.py
        self.mesh.newer.clear()
        if answer.code:
            self._gateway = self.mesh.routing.gateway
            self._beacon_ms = self.node.now_ms + _BEACON_MS
        self._done(answer.code != 0)


class BothLinks:
    """The UDP link and the frame links of an agent as one link.

    frames: the `FrameLinks`; other: the UDP link, which has all else that is asked of this one.
    """

    def __init__(self, frames, other, clock):
        self._frames = frames
        self._other = other
        self._clock = clock

    def __getattr__(self, name):
        return getattr(self._other, name)

    def receive(self, timeout_ms):
        """(datagram, address) or None."""
        return self._frames.wait(self._other, timeout_ms, self._clock)

    def send(self, address, data):
        """Send one datagram, or queue it for the mesh."""
        if self._frames.is_own(address):
            self._frames.send(address, data)
        else:
            self._other.send(address, data)

    def close(self):
        """Close all links."""
        self._other.close()
        for link in self._frames.links:
            link.close()


def start(node, parts):
    """The link of an agent whose config.json has "links": `BothLinks`. Raises `UsageError`.

    parts: what takes part in each tick of the agent; the `FrameLinks` is added, and is
    `node.frames`.
    """
    links = []
    for entry in node.config["links"]:
        # loaded for nodes with such links only
        from .link.links import open_link

        links.append(open_link(entry))
    node.frames = FrameLinks(node, links, node.config.get("mesh_gateway", False))
    parts.append(node.frames)
    return BothLinks(node.frames, node.link, node.clock)
