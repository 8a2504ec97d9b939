"""The mesh of one node: frames and datagrams in, frames and datagrams out. Sans-IO.

inbox.py checks received frames, outbox.py decides what is sent when; here is where messages come
from and where they go.

A datagram's address is "mesh:1a2b" for the member with this short address, "join:1a2b" for a
neighbour in the join class: a node without link key, or one that such a node asks. The agent hands
datagrams to the node and frames to the links.
"""

from ..compat import const, random_bytes, unload
from ..errors import (
    BadMessage,
    NoRoute,
    NotRouted,
    Rejection,
    UnknownOrigin,
)
from ..limits import (
    HOPS_MAX,
    PARENTS_MAX,
    ROUTES_KEPT_MAX,
)
from .compress import compress
from .frame import DOWN, JOIN_CLASS, LOCAL, UP
from .inbox import Inbox
from .join import Join
from .neighbour import Neighbours
from .outbox import Outbox, patience_ms
from .permit import GOVERNANCE, Permit, class_of
from .routing import HELLO, Routing
from .transfer import STRANGERS
from .way import read_way, write_way

# How often a message that waits for a member capsule is tried again
_RELEASE_MS = const(500)
# A stranger that asks hears of this node within
_SOLICITED_MS = const(4000)
# A message in fragments is forgotten after so many times the patience for a receipt
_LONGEST_ARRIVAL = const(80)


def _number(digits):
    # of an address, which another node may have told
    try:
        return int(digits, 16)
    except ValueError:
        raise NoRoute() from None


class Mesh:
    """authority: `Authority`; keys: `LinkKeys`; links: the frame links; count: takes a `Rejection`;
    is_gateway: whether other nodes reach hosts by this one; is_leaf: whether it forwards nothing,
    as a node that sleeps.

    missing: [(address of a neighbour, short address)]: member capsules to ask that neighbour for;
    newer: {short address: epoch's low 8 bits} of neighbours to pull a newer epoch from; routes:
    {short address: [short addresses of the relays to it]} of a gateway; is_spreader: whether the
    gateway counts on this node to send a new epoch on, None where it has not said so.
    """

    def __init__(self, authority, keys, links, count, is_gateway=False, is_leaf=False):
        self.authority = authority
        self.keys = keys
        self.links = links
        self.permit = Permit(authority)
        self.neighbours = Neighbours()
        self.outbox = Outbox(authority, keys, self.neighbours, links, self._failed, count)
        self.missing = []
        self.newer = {}
        self.routes = {}
        self._recent = []  # its short addresses, least recently learned or used first
        self.routing = None  # once this node is a member
        self._is_gateway = is_gateway
        self.is_leaf = is_leaf
        self.is_spreader = None
        self._solicited_ms = None  # when to say HELLO because a stranger has asked
        self.count = count
        longest_ms = _LONGEST_ARRIVAL * max([patience_ms(link) for link in links])
        self.inbox = Inbox(self, longest_ms)
        self.join = Join(self, longest_ms)
        self._spread = None  # loaded while epochs differ
        self._epoch = authority.epoch  # the one that neighbours were told of
        self._prepare(0)

    def receive(self, link, data, snr, now_ms):
        """[(address, datagram)] for the node from a frame (bytes) of link number `link`.

        snr: in dB, or None.
        """
        # the last datagram may have made it a member
        self._prepare(now_ms)
        return self.inbox.receive(link, data, snr, now_ms)

    def release(self, now_ms):
        """[(address, datagram)] of messages whose capsules are here by now."""
        self._prepare(now_ms)
        return self.inbox.release(now_ms)

    # --- messages ---------------------------------------------------------------------------------

    def arrived(self, route, neighbour, frame, message, now_ms):
        """[(address, message)] of a complete message for this node; else it is forwarded.

        Raises a `Rejection`.
        """
        if frame.shape == LOCAL:
            return [("mesh:%04x" % frame.transmitter, message)]
        me = self.authority.me.address
        if frame.shape == UP:
            return self._arrived_up(route, neighbour, frame, message, now_ms)
        way, message = read_way(message)
        if not way:
            raise BadMessage()
        gateway = way.pop(0)
        self._check_way(route, gateway, frame.transmitter, now_ms)
        if frame.far == me:
            return [("mesh:%04x" % gateway, message)]
        receiver = self._neighbour(way[0] if way else frame.far)
        self._forward(route, frame, receiver, write_way([gateway] + way[1:]) + message, now_ms)
        return []

    def _check_way(self, route, gateway, transmitter, now_ms):
        # a source route begins at a node that others may take for a parent, and that may send in
        # this class; who has sent the frame is that node, or may forward
        roles = self.permit.roles
        sender = roles(gateway, now_ms)
        if not sender & route[1] or not sender & self.permit.route(GOVERNANCE)[2]:
            raise NotRouted()
        if transmitter != gateway and not roles(transmitter, now_ms) & route[2]:
            raise NotRouted()

    def _arrived_up(self, route, neighbour, frame, message, now_ms):
        way = []
        # governance messages collect the way, by which a gateway answers
        is_recorded = frame.route_class == GOVERNANCE
        if is_recorded:
            way, message = read_way(message)
        if self.routing.rank == 0:
            if is_recorded:
                way.reverse()
                self.learn(frame.far, way)
            mailbox = self.outbox.mailbox
            if mailbox and frame.far in self.routes:
                mailbox.moved(frame.far, now_ms)
            return [("mesh:%04x" % frame.far, message)]
        if neighbour in self.routing.parents[:1]:
            self.routing.looped(neighbour, now_ms)
        parent = self._parent()
        if is_recorded:
            message = write_way(way + [self.authority.me.address]) + message
        self._forward(route, frame, parent, message, now_ms)
        return []

    def learn(self, address, way):
        """Keep a way (short addresses of the relays) to a short address, or none: way is None.

        At most limits.ROUTES_KEPT_MAX; the one that was least recently learned or used goes first.
        """
        recent = self._recent
        if address in self.routes:
            recent.remove(address)
            del self.routes[address]
        if way is None:
            return
        if len(recent) >= ROUTES_KEPT_MAX:
            del self.routes[recent.pop(0)]
        recent.append(address)
        self.routes[address] = way

    def missed(self, request):
        """Take note that a neighbour has asked in vain for the member capsule of an origin.

        The capsule has left the cache here: the next message of the origin makes this node ask for
        it, too. request: a plain one, `GET writ` with "a=" and the short address in hex.
        """
        if request.address[:5] == "mesh:":
            for item in request.query:
                if item[:2] == "a=":
                    try:
                        self.permit.forget(_number(item[2:]))
                    except NoRoute:
                        # no address
                        pass

    def mark(self):
        """A number that differs after a change of the parent, or of those that take its frames."""
        parents = self.routing.parents
        mark = parents[0].address << 13 if parents else 0
        for one in self.neighbours:
            if one.is_mutual:
                mark ^= 3 * one.address + one.link
        return mark

    def _forward(self, route, frame, neighbour, message, now_ms):
        if not frame.hops or self.is_leaf:
            raise NotRouted()
        self.permit.check_own(route, False, self.links[neighbour.link].kind, now_ms)
        head = frame.route_class, frame.shape, frame.hops - 1, frame.far
        source = frame.transmitter
        self.outbox.queue(neighbour.link, neighbour.address, head, route[6], message, source)

    def _parent(self):
        if not self.routing.parents:
            raise NoRoute()
        return self.routing.parents[0]

    def _neighbour(self, address):
        # the entry of this neighbour on the link with the best delivery
        found = None
        for one in self.neighbours:
            if one.address == address:
                rating = one.is_mutual, one.delivered
                if found is None or rating > (found.is_mutual, found.delivered):
                    found = one
        if found is None:
            raise NoRoute()
        return found

    def send(self, address, datagram, now_ms, source=None):
        """Queue a datagram for "mesh:1a2b" or "join:1a2b". It is lost where there is no way.

        source: REQUESTERS of transfer.py for one that a gateway passes on, None for an own one.
        """
        kind, _, end = address.partition(":")
        try:
            target = _number(end)
            message = compress(datagram)
            self._prepare(now_ms)
            if kind == "join":
                link, own = self.join.way_to(target)
                head = JOIN_CLASS, LOCAL, 0, own
                self.outbox.queue(link, target, head, 0, message, STRANGERS)
            elif self.join.is_needed():
                raise NoRoute()
            else:
                self.start(target, class_of(datagram), message, now_ms, source)
        except Rejection as rejection:
            self.count(rejection)

    def start(self, target, route_class, message, now_ms, source=None):
        """Queue a compressed message (bytes) of this node to a short address.

        Raises what `way_to` and `Outbox.queue` raise.
        """
        neighbour, head, priority, message = self.way_to(target, route_class, message, now_ms)
        self.outbox.queue(neighbour.link, neighbour.address, head, priority, message, source)

    def way_to(self, target, route_class, message, now_ms):
        """(`Neighbour`, head of the frames, priority, message) by which a message of this node goes
        to a short address.

        Raises `NoRoute`, or the rejection for which the policy does not let this node send it.
        """
        route = self.permit.route(route_class)
        me = self.authority.me.address
        neighbours = [one.address for one in self.neighbours if one.is_mutual]
        if self.outbox.mailbox:
            # a child was heard here last, whatever way it had before
            neighbours += self.outbox.mailbox.children
        shape = LOCAL
        far = None
        receiver = target
        if target not in neighbours and target in self.routes:
            shape = DOWN
            far = target
            way = self.routes[target]
            self.learn(target, way)
            receiver = way[0] if way else target
            message = write_way([me] + way[1:]) + message
        elif target not in neighbours and target == self.routing.gateway:
            shape = UP
            far = me
            receiver = self._parent().address
            if route_class == GOVERNANCE:
                message = write_way([]) + message
        neighbour = self._neighbour(receiver)
        self.permit.check_own(route, True, self.links[neighbour.link].kind, now_ms)
        head = route_class, shape, 0 if shape == LOCAL else route[4], far
        return neighbour, head, route[6], message

    def _may_relay(self, neighbour, now_ms):
        # whether the policy lets this neighbour be a parent; None while its capsule is not here
        try:
            route = self.permit.route(GOVERNANCE)
            return self.permit.roles(neighbour.address, now_ms) & route[2] != 0
        except UnknownOrigin:
            if neighbour.is_mutual:
                self.inbox.request_capsule(neighbour.address, neighbour.address)
            return None
        except Rejection:
            return False

    def _failed(self, transfer, now_ms):
        # a message without receipt: the neighbour is gone, or has forgotten this node
        mailbox = self.outbox.mailbox
        if mailbox and mailbox.take_back(transfer, now_ms):
            # or it is asleep
            return
        self.count(NoRoute())
        if transfer.is_join:
            self.join.drop(transfer.link, transfer.receiver)
            return
        neighbour = self.neighbours.find(transfer.link, transfer.receiver)
        if neighbour is None:
            return
        # it is greeted again. Its counter is kept: a recording of it is no new neighbour
        neighbour.is_mutual = False
        self.routing.lost(neighbour, now_ms)
        failures = transfer.failures + 1
        if transfer.head[1] == UP and self.routing.parents and failures < PARENTS_MAX:
            # by the next parent, which may be on another link
            parent = self.routing.parents[0]
            route = self.permit.route(transfer.head[0])
            is_own = transfer.source is None
            self.permit.check_own(route, is_own, self.links[parent.link].kind, now_ms)
            self.outbox.queue(
                parent.link,
                parent.address,
                transfer.head,
                transfer.priority,
                transfer.message,
                transfer.source,
                failures,
            )

    def patience_ms(self):
        """How long a message to a gateway and its answer may take, at most, without any loss."""
        hops = 1
        if self.routing and self.routing.rank < HOPS_MAX:
            hops = max(hops, self.routing.rank)
        return hops * max([patience_ms(link) for link in self.links])

    # --- time -------------------------------------------------------------------------------------

    def _prepare(self, now_ms):
        # follow the own membership and link key
        me = self.authority.me
        if self.routing is None and me:
            gateway = me.address if self._is_gateway else None
            self.routing = Routing(
                self.links, self.neighbours, self._may_relay, gateway, self.is_leaf
            )
        self.outbox.now_ms = now_ms
        if me:
            self.outbox.address = self.routing.address = me.address

    def tick(self, now_ms):
        """Do what is due: HELLOs, greetings of coming parents."""
        self._prepare(now_ms)
        if self.join.is_needed():
            return
        try:
            self._tick(now_ms)
        except Rejection as rejection:
            self.count(rejection)

    def _tick(self, now_ms):
        if self.outbox.mailbox:
            self.outbox.mailbox.tick(now_ms)
        routing = self.routing
        if self._spread or self._epoch != self.authority.epoch:
            self._tick_spread(now_ms)
        routing.choose(now_ms)
        is_due = not self.is_leaf and routing.trickle.is_due(now_ms)
        is_solicited = self._solicited_ms is not None and now_ms >= self._solicited_ms
        if is_due or is_solicited:
            self._solicited_ms = None
            route = self.permit.route(GOVERNANCE)
            hello = self._own_hello if is_due else self._hello
            for link in range(len(self.links)):
                kind = self.links[link].kind
                if route[3] >> kind & 1:
                    self.permit.check_own(route, True, kind, now_ms)
                    self.outbox.send_hello(link, hello, not is_due)
        # last: the queue may be full
        candidate = routing.candidate
        if candidate and not self.outbox.transfers.to(candidate.link, candidate.address):
            head = GOVERNANCE, LOCAL, 0, None
            self.outbox.queue(candidate.link, candidate.address, head, 0, None)

    def _hello(self, link):
        return bytes((HELLO,)) + self.routing.hello()

    def _own_hello(self, link):
        self.routing.note_hello(link, self.outbox.now_ms)
        return self._hello(link)

    def load_spread(self):
        """The `Spread` of this node: made when epochs differ, and forgotten up to an hour later."""
        if self._spread is None:
            from .spread import Spread

            self._spread = Spread(self, self._epoch)
        return self._spread

    def _tick_spread(self, now_ms):
        spread = self.load_spread()
        self._epoch = self.authority.epoch
        if spread.is_idle(now_ms):
            self._spread = None
            unload("mesh.coverage")
            unload("mesh.spread")
            return
        spread.tick(now_ms)

    def solicited(self, now_ms):
        """Say HELLO soon, for a node without a key. A stranger may ask: it is one HELLO, out of the
        airtime of strangers, and no new beginning of Trickle.
        """
        if self._solicited_ms is None and not self.is_leaf:
            wait_ms = _SOLICITED_MS * int.from_bytes(random_bytes(2), "big") >> 16
            self._solicited_ms = now_ms + wait_ms

    def outgoing(self, link, now_ms):
        """The next frame (bytes) for link number `link`, or None; `sent` says that it was taken."""
        self.outbox.now_ms = now_ms
        try:
            return self.outbox.outgoing(link, now_ms)
        except Rejection as rejection:
            self.count(rejection)
            return None

    def sent(self, link, now_ms):
        """Note that the link has taken the frame of `outgoing`."""
        self.outbox.sent(link, now_ms)

    def leaving(self, link, is_sending, now_ms):
        """Note whether the link still sends the last frame that it has taken: see `Outbox`."""
        self.outbox.leaving(link, is_sending, now_ms)

    def next_ms(self, now_ms):
        """Milliseconds until `tick` or `outgoing` has something to do, or None for never."""
        times = [self.outbox.next_ms(now_ms), _RELEASE_MS if self.inbox.parked else None]
        if self.routing and not self.join.is_needed():
            times.append(self.routing.next_ms(now_ms))
            if self.outbox.mailbox:
                times.append(self.outbox.mailbox.next_ms(now_ms))
            if self._epoch != self.authority.epoch:
                return 0
            if self._spread:
                times.append(self._spread.next_ms(now_ms))
            if self._solicited_ms is not None:
                times.append(max(0, self._solicited_ms - now_ms))
        times = [one for one in times if one is not None]
        return min(times) if times else None
