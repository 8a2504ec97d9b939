"""The mesh of one node: frames and datagrams in, frames and datagrams out. Sans-IO.

Received frames are checked in this order, the cheap checks first: version and scope tag, class,
receiver, neighbour, MIC, counter; then the policy: link, hops, roles. What fails costs a counter
and nothing else: no airtime, no table, no line of a log.

A datagram's address is "mesh:1a2b" for the member with this short address, "join:1a2b" for a
neighbour in the join class: a node without link key, or one that such a node asks. The agent hands
datagrams to the node and frames to the links.
"""

from ..authority.ratelimit import TokenBucket
from ..compat import const
from ..errors import (
    BadFrame,
    BadMessage,
    BadMic,
    NoRoute,
    NotRouted,
    RateLimited,
    Rejection,
    Replayed,
    UnknownNeighbour,
    UnknownOrigin,
)
from ..limits import (
    DOUBTS_MAX,
    GREETING_BURST,
    GREETING_REFILL_MS,
    HOPS_MAX,
    MISSING_MAX,
    RECEIPTS_MAX,
    ROUTES_KEPT_MAX,
)
from .compress import compress, expand
from .fragment import Reassembly, end_of
from .frame import ACK, BROADCAST, CONTROL, DATA, DOWN, FRAGMENT, JOIN_CLASS, LOCAL, UP, decode
from .join import Join
from .neighbour import ANSWER, GREET, NONCE_BYTES, PROOF, Neighbours
from .outbox import Outbox, patience_ms
from .permit import GOVERNANCE, Permit, class_of
from .routing import HELLO_BYTES, NO_RANK, Routing
from .way import read_way, write_way

HELLO = 3
_CONTROL_HEAD = const(3)
# A message in fragments is forgotten after so many times the patience for a receipt
_LONGEST = const(80)


class Mesh:
    """authority: `Authority`; keys: `LinkKeys`; links: the frame links; count: takes a `Rejection`;
    is_gateway: whether other nodes reach hosts by this one.

    missing: [(address of a neighbour, short address)]: member capsules to ask that neighbour for;
    newer: {short address: epoch's low 8 bits} of neighbours whose epoch is newer; routes: {short
    address: [short addresses of the relays to it]} of a gateway.
    """

    def __init__(self, authority, keys, links, count, is_gateway=False):
        self.authority = authority
        self.keys = keys
        self.links = links
        self.permit = Permit(authority)
        self.neighbours = Neighbours()
        self.outbox = Outbox(authority, keys, self.neighbours, links, self._failed)
        self._doubts = 0  # frames of neighbours in a row whose MIC was another one
        self.missing = []
        self.newer = {}
        self.routes = {}
        self.routing = None  # once this node is a member
        self._is_gateway = is_gateway
        self._count = count
        self._greetings = TokenBucket(GREETING_BURST, GREETING_REFILL_MS)
        longest_ms = _LONGEST * max([patience_ms(link) for link in links])
        self._reassembly = Reassembly(longest_ms)
        self.join = self.outbox.join = Join(self, longest_ms)
        self._prepare(0)

    # --- received frames --------------------------------------------------------------------------

    def receive(self, link, data, snr, now_ms):
        """[(address, datagram)] for the node from a frame (bytes) of link number `link`.

        snr: in dB, or None.
        """
        frame = None
        self.outbox.now_ms = now_ms
        try:
            frame = decode(data, self.authority.scope[0])
            if frame.route_class == JOIN_CLASS:
                found = self.join.receive(link, frame, now_ms)
            elif self.join.is_needed():
                found = self.join.overhear(link, frame)
            else:
                found = self._receive(link, frame, snr, now_ms)
            return [(address, expand(message)) for address, message in found]
        except UnknownOrigin as rejection:
            self._miss(frame.transmitter, rejection.address)
            self._count(rejection)
        except Rejection as rejection:
            self._count(rejection)
        return []

    def _receive(self, link, frame, snr, now_ms):
        me = self.authority.me.address
        address = frame.transmitter
        if frame.receiver not in (me, BROADCAST) or address == me:
            return []
        route = self.permit.route(frame.route_class)
        neighbour = self.neighbours.find(link, address)
        counter = self._counter(frame, neighbour)
        if not self.keys.is_authentic(frame, counter >> 16, now_ms):
            self._doubt_key(link, frame, neighbour)
            raise BadMic()
        self._doubts = 0
        if frame.kind == CONTROL:
            self._control(route, link, frame, counter, neighbour, snr, now_ms)
            return []
        if frame.kind == DATA and counter == neighbour.last_data:
            # our receipt was lost
            neighbour.receipts += 1
            if neighbour.receipts > RECEIPTS_MAX:
                raise Replayed()
            self.outbox.acknowledge(link, frame)
            return []
        self._heard(neighbour, frame, counter, snr, now_ms)
        if frame.kind == ACK:
            neighbour.is_mutual = True
            if self.outbox.acknowledged(link, frame, now_ms):
                neighbour.count_delivery(True)
            return []
        if frame.kind == FRAGMENT:
            return self._take_fragment(route, link, neighbour, frame, now_ms)
        # a receipt is for the frame: what the policy refuses would only be sent again
        neighbour.last_data = counter
        neighbour.receipts = 0
        self.outbox.acknowledge(link, frame)
        self._check(route, link, frame, now_ms)
        return self._arrived(route, neighbour, frame, frame.payload, now_ms)

    def _take_fragment(self, route, link, neighbour, frame, now_ms):
        source = link, frame.transmitter
        try:
            self._check(route, link, frame, now_ms)
        except Rejection:
            self.outbox.acknowledge(link, frame, end_of(frame.payload))
            raise
        message, receipt = self._reassembly.receive(source, frame.payload, now_ms)
        if receipt:
            self.outbox.acknowledge(link, frame, receipt)
        return [] if message is None else self._arrived(route, neighbour, frame, message, now_ms)

    def _doubt_key(self, link, frame, neighbour):
        # others may have another key: it is asked for in the join class, beside all that goes on.
        # A neighbour of an earlier epoch is the one that has to ask
        if 0 < (self.authority.epoch - frame.epoch) & 255 < 128:
            return
        self._doubts += neighbour is not None
        if self._doubts >= DOUBTS_MAX or self.routing.rank == NO_RANK:
            self.join.overhear(link, frame)
            self.join.is_stale = True

    def _counter(self, frame, neighbour):
        # the 32-bit counter of a frame, by what its transmitter says or has sent before
        if frame.kind == CONTROL:
            payload = frame.payload
            if len(payload) < _CONTROL_HEAD:
                raise BadFrame()
            return payload[1] << 24 | payload[2] << 16 | frame.counter
        if neighbour is None or not neighbour.proofs:
            raise UnknownNeighbour()
        return neighbour.full(frame.counter)

    def _heard(self, neighbour, frame, counter, snr, now_ms):
        # an authentic frame: raise `Replayed`, or note what it tells
        neighbour.check(counter)
        neighbour.accept(counter)
        self.neighbours.heard(neighbour, snr, now_ms)
        neighbour.epoch = frame.epoch
        if 0 < (frame.epoch - self.authority.epoch) & 255 < 128:
            self.newer[neighbour.address] = frame.epoch

    def _check(self, route, link, frame, now_ms):
        # raise unless the policy allows this frame to come here
        if frame.shape == LOCAL:
            origin = frame.transmitter
        else:
            origin = frame.far if frame.shape == UP else None
        try:
            self.permit.check(route, frame, origin, self.links[link].kind, now_ms)
        except UnknownOrigin as rejection:
            # the capsule has to come somehow: from a neighbour, in the class of governance
            if frame.shape != LOCAL or frame.route_class != GOVERNANCE:
                raise
            self._miss(frame.transmitter, rejection.address)

    def _miss(self, neighbour, address):
        # ask this neighbour for a member's capsule: its own one, or one that it had to check, too
        entry = neighbour, address
        if entry not in self.missing and len(self.missing) < MISSING_MAX:
            self.missing.append(entry)

    def _control(self, route, link, frame, counter, neighbour, snr, now_ms):
        kind = frame.payload[0]
        content = frame.payload[_CONTROL_HEAD:]
        if kind <= PROOF:
            self._greeted(link, frame, kind, content, counter, snr, now_ms)
            return
        if kind != HELLO or len(content) < HELLO_BYTES:
            raise BadFrame()
        self._check(route, link, frame, now_ms)
        # its sender may be a recording: a parent is greeted first
        neighbour = neighbour or self.neighbours.add(link, frame.transmitter)
        self._heard(neighbour, frame, counter, snr, now_ms)
        self.join.is_stale = self.join.is_stale and content[0] == NO_RANK
        is_same_epoch = frame.epoch == self.authority.epoch & 255
        self.routing.heard(neighbour, content, is_same_epoch, now_ms)

    # --- greetings --------------------------------------------------------------------------------

    def _greeted(self, link, frame, kind, content, counter, snr, now_ms):
        address = frame.transmitter
        table = self.neighbours
        count = 2 if kind == ANSWER else 1
        if len(content) != count * NONCE_BYTES or frame.receiver == BROADCAST:
            raise BadFrame()
        if kind == GREET:
            if not self._greetings.take(now_ms):
                raise RateLimited()
            answer = content + table.nonce(link, address, now_ms)
            self.outbox.hurry(link, GOVERNANCE, CONTROL, address, bytes((ANSWER,)) + answer)
            return
        if not table.is_returned(link, address, content[:NONCE_BYTES], now_ms):
            raise Replayed()
        neighbour = table.add(link, address)
        neighbour.restart(counter)
        table.heard(neighbour, snr, now_ms)
        if kind == ANSWER:
            proof = bytes((PROOF,)) + content[NONCE_BYTES:]
            self.outbox.hurry(link, GOVERNANCE, CONTROL, address, proof)
        else:
            neighbour.is_mutual = True
            self.outbox.acknowledge(link, frame)

    # --- messages ---------------------------------------------------------------------------------

    def _arrived(self, route, neighbour, frame, message, now_ms):
        # [(address, message)] of a message that is complete: for this node, or to forward
        if frame.shape == LOCAL:
            return [("mesh:%04x" % frame.transmitter, message)]
        me = self.authority.me.address
        if frame.shape == UP:
            return self._arrived_up(route, neighbour, frame, message, now_ms)
        way, message = read_way(message)
        if not way:
            raise BadMessage()
        gateway = way.pop(0)
        if not self.permit.roles(gateway, now_ms) & route[1]:
            raise NotRouted()
        if frame.far == me:
            return [("mesh:%04x" % gateway, message)]
        receiver = self._neighbour(way[0] if way else frame.far)
        self._forward(route, frame, receiver, write_way([gateway] + way[1:]) + message, now_ms)
        return []

    def _arrived_up(self, route, neighbour, frame, message, now_ms):
        way = []
        # governance messages collect the way, by which a gateway answers
        is_recorded = frame.route_class == GOVERNANCE
        if is_recorded:
            way, message = read_way(message)
        if self.routing.rank == 0:
            if is_recorded:
                way.reverse()
                self._learn(frame.far, way)
            return [("mesh:%04x" % frame.far, message)]
        if neighbour in self.routing.parents[:1]:
            # a loop
            self.routing.lost(neighbour, now_ms)
        parent = self._parent()
        if is_recorded:
            message = write_way(way + [self.authority.me.address]) + message
        self._forward(route, frame, parent, message, now_ms)
        return []

    def _learn(self, address, way):
        if address not in self.routes and len(self.routes) >= ROUTES_KEPT_MAX:
            self.routes.popitem()
        self.routes[address] = way

    def _forward(self, route, frame, neighbour, message, now_ms):
        if not frame.hops:
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
            if one.address == address and (found is None or one.delivered > found.delivered):
                found = one
        if found is None:
            raise NoRoute()
        return found

    def send(self, address, datagram, now_ms):
        """Queue a datagram for "mesh:1a2b" or "join:1a2b". It is lost where there is no way."""
        kind, _, end = address.partition(":")
        try:
            target = int(end, 16)
            message = compress(datagram)
            self._prepare(now_ms)
            if kind == "join":
                head = JOIN_CLASS, LOCAL, 0, None
                self.outbox.queue(self.join.link_to(target), target, head, 0, message)
            elif self.join.is_needed():
                raise NoRoute()
            else:
                self._send(target, class_of(datagram), message, now_ms)
        except Rejection as rejection:
            self._count(rejection)

    def _send(self, target, route_class, message, now_ms):
        route = self.permit.route(route_class)
        me = self.authority.me.address
        neighbours = [one.address for one in self.neighbours if one.is_mutual]
        shape = LOCAL
        far = None
        receiver = target
        if target not in neighbours and target in self.routes:
            shape = DOWN
            far = target
            way = self.routes[target]
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
        self.outbox.queue(neighbour.link, receiver, head, route[6], message)

    def _may_relay(self, neighbour, now_ms):
        # whether the policy lets this neighbour be a parent; None while its capsule is not here
        try:
            route = self.permit.route(GOVERNANCE)
            return self.permit.roles(neighbour.address, now_ms) & route[2] != 0
        except UnknownOrigin:
            if neighbour.is_mutual:
                self._miss(neighbour.address, neighbour.address)
            return None
        except Rejection:
            return False

    def _failed(self, transfer, now_ms):
        # a message without receipt: the neighbour is gone, or has forgotten this node
        self._count(NoRoute())
        neighbour = self.neighbours.find(transfer.link, transfer.receiver)
        if neighbour is None or transfer.head[0] == JOIN_CLASS:
            return
        self.neighbours.drop(neighbour)
        self.routing.lost(neighbour, now_ms)
        if transfer.head[1] == UP and self.routing.parents:
            parent = self.routing.parents[0]
            self.outbox.queue(
                parent.link,
                parent.address,
                transfer.head,
                transfer.priority,
                transfer.message,
                transfer.source,
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
            self.routing = Routing(self.links, self.neighbours, self._may_relay, gateway)
        self.outbox.now_ms = now_ms
        self.outbox.address = me.address if me else 0

    def tick(self, now_ms):
        """Do what is due: HELLOs, greetings of coming parents."""
        self._prepare(now_ms)
        if self.join.is_needed():
            return
        try:
            self._tick(now_ms)
        except Rejection as rejection:
            self._count(rejection)

    def _tick(self, now_ms):
        routing = self.routing
        routing.choose(now_ms)
        candidate = routing.candidate
        if candidate and not self.outbox.transfers.to(candidate.link, candidate.address):
            head = GOVERNANCE, LOCAL, 0, None
            self.outbox.queue(candidate.link, candidate.address, head, 0, None)
        if routing.trickle.is_due(now_ms):
            route = self.permit.route(GOVERNANCE)
            for link in range(len(self.links)):
                self.permit.check_own(route, True, self.links[link].kind, now_ms)
                hello = bytes((HELLO,)) + routing.hello()
                self.outbox.hurry(link, GOVERNANCE, CONTROL, BROADCAST, hello)

    def outgoing(self, link, now_ms):
        """The next frame (bytes) for link number `link`, or None; `sent` says that it was taken."""
        self.outbox.now_ms = now_ms
        try:
            return self.outbox.outgoing(link, now_ms)
        except Rejection as rejection:
            self._count(rejection)
            return None

    def sent(self, link, now_ms):
        """Note that the link has taken the frame of `outgoing`."""
        self.outbox.sent(link, now_ms)

    def next_ms(self, now_ms):
        """Milliseconds until `tick` or `outgoing` has something to do, or None for never."""
        times = [self.outbox.next_ms(now_ms)]
        if self.routing and not self.join.is_needed():
            times.append(self.routing.next_ms(now_ms))
        times = [one for one in times if one is not None]
        return min(times) if times else None
