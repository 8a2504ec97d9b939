"""The join class: one hop between a node without link key and a neighbour that the policy allows.

Its frames have no MIC, so nothing that they say is believed: they carry plain CoAP, handshakes and
protected requests, which prove themselves. All strangers together share one rate limit and the
airtime of class 15; they have tables of their own. A node that joins calls itself by a random
handle. It knows the addresses of neighbours from HELLO frames that it cannot check.
"""

from ..authority.ratelimit import TokenBucket
from ..compat import random_bytes
from ..errors import BadFrame, NoRoute, RateLimited
from ..limits import (
    CANDIDATES_MAX,
    JOIN_FRAMES_BURST,
    JOIN_FRAMES_REFILL_MS,
    JOIN_REASSEMBLIES_MAX,
    JOINERS_MAX,
)
from .fragment import Reassembly
from .frame import ACK, BROADCAST, CONTROL, DATA, JOIN_CLASS, has_receipt

# The only control frame of the join class
SOLICIT = 0


def new_handle():
    """A random handle, 1..65534."""
    return int.from_bytes(random_bytes(4), "big") % 65534 + 1


class Join:
    """Both ends of the join class for one node. mesh: its `Mesh`; longest_ms: after which a message
    in fragments is forgotten.

    candidates: [(number of the link, address)] of neighbours that were heard, to try in this order;
    is_stale: whether neighbours seem to have another link key; end_ms: when the own handle ends, at
    a node that has joined.
    """

    def __init__(self, mesh, longest_ms):
        self._mesh = mesh
        self.handle = new_handle()
        self.is_stale = False
        self.end_ms = 0
        self.candidates = []
        # handle of a node that joins, or address of a candidate -> (link, own name towards it)
        self._links = {}
        self._recent = []
        self._reassembly = Reassembly(longest_ms, JOIN_REASSEMBLIES_MAX)
        self._limit = TokenBucket(JOIN_FRAMES_BURST, JOIN_FRAMES_REFILL_MS)

    def is_needed(self):
        """Whether this node has no membership or no link key: it can use no other class."""
        return self._mesh.authority.me is None or self._mesh.keys.key is None

    def is_joining(self):
        """Whether it asks for a link key in the join class: it has none, or not that of others."""
        return self.is_stale or self.is_needed()

    def receive(self, link, frame, now_ms):
        """[(address, message)] of a join frame. Raises a `Rejection`."""
        mesh = self._mesh
        if frame.receiver == self.handle:
            # the handle is no secret: it serves only as long as this node asks, or waits for an
            # answer to what it asked then
            if not self.is_joining() and now_ms >= self.end_ms:
                return []
        else:
            if self.is_needed():
                return []
            if frame.receiver not in (mesh.authority.me.address, BROADCAST):
                return []
            mesh.permit.check_own(
                mesh.permit.route(JOIN_CLASS), False, mesh.links[link].kind, now_ms
            )
            if not self._limit.take(now_ms):
                raise RateLimited()
        address = "join:%04x" % frame.transmitter
        if has_receipt(frame):
            mesh.outbox.acknowledged(link, frame, now_ms)
        if frame.kind == ACK:
            return []
        if frame.kind == CONTROL and not self.is_needed():
            # its sender looks for neighbours
            mesh.solicited(now_ms)
            return []
        if frame.kind == CONTROL or frame.receiver == BROADCAST:
            raise BadFrame()
        self._remember(frame.transmitter, link, frame.receiver)
        if frame.kind == DATA:
            mesh.outbox.acknowledge(link, frame)
            return [(address, frame.payload)]
        source = link, frame.transmitter
        message, receipt = self._reassembly.receive(source, frame.payload, now_ms)
        if receipt:
            mesh.outbox.acknowledge(link, frame, receipt)
        return [] if message is None else [(address, message)]

    def _remember(self, address, link, own):
        if address in self._links:
            self._recent.remove(address)
        elif len(self._recent) >= JOINERS_MAX:
            del self._links[self._recent.pop(0)]
        self._recent.append(address)
        self._links[address] = link, own

    def way_to(self, address):
        """(link on which this handle or candidate was heard, own name). Raises `NoRoute`."""
        way = self._links.get(address)
        if way is None:
            raise NoRoute()
        return way

    def overhear(self, link, frame):
        """Note the transmitter of a frame that cannot be checked without link key.

        It may be made up: it displaces no other candidate.
        """
        entry = link, frame.transmitter
        if entry not in self.candidates:
            if len(self.candidates) >= CANDIDATES_MAX:
                return []
            self.candidates.append(entry)
        self._remember(frame.transmitter, link, self.handle)
        return []

    def try_next(self):
        """Put the first candidate last: it has not helped. From a full table it goes."""
        first = self.candidates.pop(0)
        if len(self.candidates) < CANDIDATES_MAX - 1:
            self.candidates.append(first)

    def drop(self, link, address):
        """Forget a candidate, or a handle, that has acknowledged nothing. A handle gets no frame
        until it is heard again: repetitions of a request to it cost no airtime.
        """
        if (link, address) in self.candidates:
            # it may not have heard this node yet, and answer a repetition
            self.candidates.remove((link, address))
        elif address in self._links and self._links[address][0] == link:
            self._recent.remove(address)
            del self._links[address]

    def solicit(self):
        """Ask those that hear it for a HELLO."""
        outbox = self._mesh.outbox
        for link in range(len(self._mesh.links)):
            outbox.send_first(link, JOIN_CLASS, CONTROL, BROADCAST, bytes((SOLICIT,)), self.handle)
