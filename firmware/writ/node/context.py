"""What the parts of a node share: its state, its counters and the addresses of members.

`Server`, `Client` and `Sync` take a `NodeContext` and reach each other through it. A `Node` is a
context together with these three parts. Sans-IO.
"""

from collections import OrderedDict

from .. import crypto
from ..authority.authority import Authority
from ..errors import StoreDamaged
from ..limits import ADDRESSES_MAX, INTRODUCED_MAX
from ..wire import coap
from ..wire.exchange import Exchanges
from .handshake import Handshaker
from .session import Sessions

EDHOC_PATH = ".well-known/edhoc"
CORE = ".well-known/core"
FORMAT_EDHOC = 64  # application/edhoc+cbor-seq (RFC 9668, section 8)
# The resources by which capsules move between nodes are at this path and below it
PREFIX = "writ"


class NodeContext:
    """The shared state of one node. store, private, name, scope: as in `Node`.

    `now_ms` is always that of the last call into the node.
    """

    def __init__(self, store, private, name, scope):
        self.store = store
        self.private = private
        self.name = name
        self.now_ms = 0
        self.counters = {}  # name of a rejection -> how often
        x, _ = crypto.p256_public(private)
        self.authority = Authority(store, x, scope)
        if self.authority.is_member_lost:
            self.count(StoreDamaged())
        self.sessions = Sessions(store, self.authority)
        self.handshaker = Handshaker(self.authority, self.sessions, private)
        self.exchanges = Exchanges()
        self.link_keys = None  # `linkkey.LinkKeys` of a node with frame links
        # of a gateway on a host: takes (member, report of its neighbours, now_ms); returns what the
        # member is told of spreading (bytes)
        self.on_neighbours = None
        # of a node with frame links: takes a plain request whose capsule is not here
        self.on_missing = None
        self.mesh_report = None  # of a node with frame links: now_ms -> what writ/status says of it
        # short address of a member that sleeps -> seconds, at most; who has told it last is last
        self.sleepers = OrderedDict()
        self.addresses = {}  # node id -> address of the member's last authentic message
        self.introduced = {}  # node id -> the own `Member` that this node has
        self._deferred = []  # (function, arguments, tries) of `later`

    def join(self, client, sync):
        """Set the parts that the other parts use: the node's `Client` and `Sync`."""
        self.client = client
        self.sync = sync

    def later(self, function, *args):
        """Call `function(*args, now_ms)` in the next tick and send what it returns.

        A few times if the heap is full.
        """
        self._deferred.append((function, args, 0))

    def is_idle(self):
        """Whether no message waits for an answer, and nothing is put off."""
        return not self._deferred and self.exchanges.is_idle()

    def tell(self, on_answer, answer, now_ms=None):
        """Call an app's function with an `Answer`: again in the next tick if the heap is full."""
        try:
            on_answer(answer)
        except MemoryError:
            if now_ms is not None:
                raise
            self.later(self.tell, on_answer, answer)
        except Exception as error:  # noqa: BLE001
            # the boundary to the caller's code, as for a resource: the node goes on
            self.count(error)
        return []

    def count(self, rejection):
        """Count a rejection by its name."""
        name = type(rejection).__name__
        self.counters[name] = self.counters.get(name, 0) + 1

    def address_of(self, node_id):
        """The address of this member's last authentic message, or None."""
        return self.addresses.get(node_id)

    def mark_seen(self, session, address):
        """Note an authentic message from `address`: the session follows its peer there."""
        session.is_proven = True
        node_id = self.renewed_peer(session).node_id
        # the handle of a node that joins a mesh (mesh/join.py) is soon another one
        is_handle = address[:5] == "join:"
        # a gateway has passed it on: only its answer finds the way back to this member
        is_passed = address[:5] == "mesh:" and int(address[5:9], 16) != session.peer.address
        if is_passed:
            session.address = None
        elif not (is_handle and session.address):
            session.address = address
        if session.shown:
            # the peer has our capsule: our kid is enough until we are renewed
            if len(self.introduced) >= INTRODUCED_MAX and node_id not in self.introduced:
                self.introduced.clear()
            self.introduced[node_id] = session.shown
        if is_handle or is_passed:
            return
        if node_id not in self.addresses and len(self.addresses) >= ADDRESSES_MAX:
            # there are more addresses than sessions, so one member has no session
            for known in list(self.addresses):
                if self.sessions.by_peer(known) is None:
                    del self.addresses[known]
                    break
        self.addresses[node_id] = address

    def renewed_peer(self, session):
        """The session's peer as its newest capsule says: it may be renewed or have other roles."""
        newest = self.authority.peer(session.peer.node_id)
        if newest and newest.raw != session.peer.raw:
            session.peer = newest
            # the peers are not on flash, but in the records of sessions
            session.context.reserve(session.context.limit)
        return session.peer

    def notice(self, session, epoch, now_ms):
        """Note the epoch that a peer has; a newer one is pulled. [(address, datagram)]."""
        return self.sync.notice(session, epoch, now_ms)

    def notice_option(self, session, inner, now_ms):
        """`notice` for the epoch option of an authentic message, if it has one."""
        epoch = inner.option_uint(coap.EPOCH)
        return [] if epoch is None else self.notice(session, epoch, now_ms)
