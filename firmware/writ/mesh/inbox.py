"""Received frames: the checks in their order, the cheap ones first.

Version and scope tag, class, receiver, neighbour, MIC, counter; then the policy: link, hops, roles.
A frame that fails costs a counter, and no place in a table and no line of a log. One that is not
authentic costs no airtime either. An authentic one gets a receipt even where the policy refuses it:
it would only be sent again.
"""

from ..authority.ratelimit import TokenBucket
from ..compat import const
from ..errors import (
    BadFrame,
    BadMic,
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
    MISSING_MAX,
    NEIGHBOURS_MAX,
    PARKED_MAX,
    RECEIPTS_MAX,
)
from .compress import expand
from .fragment import Reassembly, end_of
from .frame import (
    ACK,
    BROADCAST,
    CONTROL,
    DATA,
    FRAGMENT,
    JOIN_CLASS,
    LOCAL,
    UP,
    decode,
    has_receipt,
)
from .neighbour import ANSWER, GREET, NONCE_BYTES, PROOF
from .permit import GOVERNANCE
from .routing import HELLO, HELLO_BYTES, NO_RANK, PART, POLL, WANT

_CONTROL_HEAD = const(3)
_GREET_AGAIN_MS = const(600000)
_DOUBT_AGAIN_MS = const(600000)
# A message waits so long for a member capsule, which is asked for again and again
_PARKED_MS = const(30000)


class Inbox:
    """mesh: the `Mesh`; longest_ms: after which a message in fragments is forgotten."""

    def __init__(self, mesh, longest_ms):
        self._mesh = mesh
        self._authority = mesh.authority
        self._keys = mesh.keys
        self._permit = mesh.permit
        self._neighbours = mesh.neighbours
        self._outbox = mesh.outbox
        self._doubts = 0  # frames of neighbours in a row whose MIC was another one
        self._doubt_ms = 0  # when a node with a rank may doubt its key again
        self.parked = []  # (link, neighbour, frame, message, since ms) that wait for a capsule
        self._greets = {}  # (link, address) -> (largest counter of a GREET, when it was answered)
        self._greetings = TokenBucket(GREETING_BURST, GREETING_REFILL_MS)
        self._reassembly = Reassembly(longest_ms)

    def receive(self, link, data, snr, now_ms):
        """[(address, datagram)] for the node from a frame (bytes) of link number `link`.

        snr: in dB, or None.
        """
        frame = None
        try:
            frame = decode(data, self._authority.scope[0])
            if frame.route_class == JOIN_CLASS:
                found = self._mesh.join.receive(link, frame, now_ms)
            elif self._mesh.join.is_needed():
                found = self._mesh.join.overhear(link, frame)
            else:
                found = self._receive(link, frame, snr, now_ms)
            return [(address, expand(message)) for address, message in found]
        except UnknownOrigin as rejection:
            self.request_capsule(frame.transmitter, rejection.address)
            self._mesh.count(rejection)
        except Rejection as rejection:
            self._mesh.count(rejection)
        return []

    def _receive(self, link, frame, snr, now_ms):
        me = self._authority.me.address
        address = frame.transmitter
        if address == me:
            return []
        neighbour = self._neighbours.find(link, address)
        if frame.receiver not in (me, BROADCAST):
            if neighbour:
                neighbour.active_ms = now_ms
            return []
        route = self._permit.route(frame.route_class)
        counter = self._counter(frame, neighbour)
        if not self._keys.is_authentic(frame, counter >> 16, now_ms):
            self._doubt_key(link, frame, neighbour, now_ms)
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
            self._outbox.acknowledge(link, frame)
            return []
        self._heard(neighbour, frame, counter, snr, now_ms)
        if has_receipt(frame):
            neighbour.is_mutual = True
            if self._outbox.acknowledged(link, frame, now_ms):
                neighbour.count_delivery(True)
        if frame.kind == ACK:
            return []
        if frame.kind == FRAGMENT:
            return self._take_fragment(route, link, neighbour, frame, now_ms)
        # a receipt is for the frame: what the policy refuses would only be sent again
        neighbour.last_data = counter
        neighbour.receipts = 0
        self._outbox.acknowledge(link, frame)
        return self._admit(route, link, neighbour, frame, frame.payload, now_ms)

    def _take_fragment(self, route, link, neighbour, frame, now_ms):
        source = link, frame.transmitter
        try:
            self._check(route, link, frame, now_ms)
        except UnknownOrigin:
            # its capsule may be here when the message is complete
            pass
        except Rejection:
            self._outbox.acknowledge(link, frame, end_of(frame.payload))
            raise
        message, receipt = self._reassembly.receive(source, frame.payload, now_ms)
        if receipt:
            self._outbox.acknowledge(link, frame, receipt)
        if message is None:
            return []
        return self._admit(route, link, neighbour, frame, message, now_ms)

    def _admit(self, route, link, neighbour, frame, message, now_ms, since_ms=None):
        # [(address, message)] of a complete message that the policy allows. One that waits for a
        # capsule is kept for some seconds
        try:
            self._check(route, link, frame, now_ms)
            return self._mesh.arrived(route, neighbour, frame, message, now_ms)
        except UnknownOrigin:
            since_ms = now_ms if since_ms is None else since_ms
            if len(self.parked) < PARKED_MAX and now_ms - since_ms < _PARKED_MS:
                self.parked.append((link, neighbour, frame, message, since_ms))
            raise

    def release(self, now_ms):
        """[(address, datagram)] of messages whose capsules are here by now."""
        parked, self.parked = self.parked, []
        out = []
        for link, neighbour, frame, message, since_ms in parked:
            try:
                # by the policy in force now
                route = self._permit.route(frame.route_class)
                for address, found in self._admit(
                    route, link, neighbour, frame, message, now_ms, since_ms
                ):
                    out.append((address, expand(found)))
            except UnknownOrigin as rejection:
                self.request_capsule(frame.transmitter, rejection.address)
            except Rejection as rejection:
                self._mesh.count(rejection)
        return out

    def _doubt_key(self, link, frame, neighbour, now_ms):
        # others may have another key: it is asked for in the join class, beside all that goes on
        rank = self._mesh.routing.rank
        # a neighbour of an earlier epoch is the one that has to ask. To a node that has slept for
        # 128 epochs or more, later ones look earlier: but it has no parent
        if rank != NO_RANK and 0 < (self._authority.epoch - frame.epoch) & 255 < 128:
            return
        # strangers can send such frames. So a node with a rank doubts once in ten minutes, and asks
        # neighbours only, but for a gateway: two that have started apart may hear each other alone
        if rank != NO_RANK and (now_ms < self._doubt_ms or (rank and neighbour is None)):
            return
        self._doubts += 1
        if self._doubts >= DOUBTS_MAX or rank in (0, NO_RANK):
            self._doubts = 0
            self._doubt_ms = now_ms + _DOUBT_AGAIN_MS
            self._mesh.join.overhear(link, frame)
            self._mesh.join.is_stale = True

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
        self._neighbours.heard(neighbour, snr, now_ms)
        if self._outbox.mailbox:
            self._outbox.mailbox.heard(neighbour.address, now_ms)
        neighbour.epoch = frame.epoch
        is_news = frame.epoch != self._authority.epoch & 255
        if is_news or (frame.kind == CONTROL and frame.payload[0] >= WANT):
            self._mesh.load_spread().heard(neighbour, frame, now_ms)

    def _check(self, route, link, frame, now_ms):
        # raise unless the policy allows this frame to come here
        if frame.shape == LOCAL:
            origin = frame.transmitter
        else:
            origin = frame.far if frame.shape == UP else None
        try:
            self._permit.check(route, frame, origin, self._mesh.links[link].kind, now_ms)
        except UnknownOrigin as rejection:
            # the capsule has to come somehow: from a neighbour, in the class of governance
            if frame.shape != LOCAL or frame.route_class != GOVERNANCE:
                raise
            self.request_capsule(frame.transmitter, rejection.address)

    def request_capsule(self, neighbour, address):
        """Ask a neighbour for the member capsule of `address`; both are short addresses.

        It is the neighbour's own one, or one that the neighbour had to check, too.
        """
        missing = self._mesh.missing
        # origins may be made up, and so may neighbours: half of the table is for others
        is_own = neighbour == address
        share = [one for one in missing if one[0] == neighbour or (is_own and one[0] == one[1])]
        is_full = len(missing) >= MISSING_MAX or len(share) >= MISSING_MAX // 2
        if (neighbour, address) not in missing and not is_full:
            missing.append((neighbour, address))

    def end_request(self):
        """Forget the first request for a capsule. Requests for the capsules of neighbours and those
        for the capsules of other origins take turns: a member can make up many neighbours.
        """
        missing = self._mesh.missing
        if missing:
            last = missing.pop(0)
            for one in missing:
                if (one[0] == one[1]) != (last[0] == last[1]):
                    missing.remove(one)
                    missing.insert(0, one)
                    return

    def _control(self, route, link, frame, counter, neighbour, snr, now_ms):
        kind = frame.payload[0]
        content = frame.payload[_CONTROL_HEAD:]
        if kind <= PROOF:
            self._greeted(link, frame, kind, content, counter, snr, now_ms)
            return
        if kind == POLL:
            if neighbour is None or not neighbour.proofs:
                raise UnknownNeighbour()
            self._check(route, link, frame, now_ms)
            self._heard(neighbour, frame, counter, snr, now_ms)
            # loaded for nodes with children that sleep
            from .mailbox import polled

            polled(self._mesh, link, frame, content, now_ms)
            return
        if kind not in (HELLO, WANT, PART) or (kind == HELLO and len(content) < HELLO_BYTES):
            raise BadFrame()
        try:
            self._permit.check(route, frame, frame.transmitter, self._mesh.links[link].kind, now_ms)
        except UnknownOrigin:
            # a capsule proves itself, and a hundred neighbours need not ask for that of its bearer.
            # That of a coming parent is asked for (`Mesh._may_relay`), that of a child when the
            # child sends a message
            pass
        # its sender may be a recording: a parent is greeted first
        neighbour = neighbour or self._neighbours.add(link, frame.transmitter)
        self._heard(neighbour, frame, counter, snr, now_ms)
        if kind != HELLO:
            return
        self._mesh.join.is_stale = self._mesh.join.is_stale and content[0] == NO_RANK
        is_same_epoch = frame.epoch == self._authority.epoch & 255
        self._mesh.routing.heard(neighbour, content, is_same_epoch, now_ms)

    # --- greetings --------------------------------------------------------------------------------

    def _check_greet(self, link, address, counter, now_ms):
        # a GREET may be a recording, and each answer costs airtime. A counter that is not new gets
        # one in ten minutes: a device in the place of another one begins with small counters
        neighbour = self._neighbours.find(link, address)
        last, last_ms = self._greets.get((link, address), (-1, 0))
        if neighbour and neighbour.proofs and neighbour.counter > last:
            last, last_ms = neighbour.counter, neighbour.heard_ms
        if counter <= last and now_ms - last_ms < _GREET_AGAIN_MS:
            raise Replayed()
        if (link, address) not in self._greets and len(self._greets) >= NEIGHBOURS_MAX:
            del self._greets[min(self._greets, key=lambda other: self._greets[other][1])]
        self._greets[(link, address)] = max(counter, last), now_ms

    def _greeted(self, link, frame, kind, content, counter, snr, now_ms):
        address = frame.transmitter
        table = self._neighbours
        count = 2 if kind == ANSWER else 1
        if len(content) != count * NONCE_BYTES or frame.receiver == BROADCAST:
            raise BadFrame()
        if kind == GREET:
            self._check_greet(link, address, counter, now_ms)
            if not self._greetings.take(now_ms):
                raise RateLimited()
            answer = content + table.nonce(link, address, now_ms)
            self._outbox.send_first(link, GOVERNANCE, CONTROL, address, bytes((ANSWER,)) + answer)
            return
        if not table.is_returned(link, address, content[:NONCE_BYTES], now_ms):
            raise Replayed()
        neighbour = table.add(link, address)
        neighbour.restart(counter, now_ms)
        table.heard(neighbour, snr, now_ms)
        if kind == ANSWER:
            proof = bytes((PROOF,)) + content[NONCE_BYTES:]
            self._outbox.send_first(link, GOVERNANCE, CONTROL, address, proof)
        else:
            neighbour.is_mutual = True
            self._outbox.acknowledge(link, frame)
