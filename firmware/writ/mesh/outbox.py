"""What a node sends on its frame links: in which order, how often, and within which airtime.

Receipts and greetings go first, then messages by the priority of their route. Every frame is
charged to the airtime of its link (budget.py), whatever it carries.
"""

from ..compat import const
from ..errors import ClassAirtime, DutyCycle, NeighbourAirtime, TableFull
from ..limits import JOIN_AIRTIME_PERMILLE, URGENT_MAX
from .budget import Budget
from .frame import (
    ACK,
    BROADCAST,
    CONTROL,
    DATA,
    FRAGMENT,
    HEADER_BYTES,
    HEADER_BYTES_JOIN,
    HEADER_BYTES_ROUTED,
    JOIN_CLASS,
    LOCAL,
    encode,
)
from .neighbour import GREET
from .permit import GOVERNANCE
from .routing import HELLO_BYTES
from .transfer import STRANGERS, Transfers, Whole

# What a receiver may take to turn round, to wait for the channel and to answer, beside the airtime
_TURNAROUND_MS = const(250)


def patience_ms(link):
    """How long a receipt may take on a link, from the end of the frame on."""
    return _TURNAROUND_MS + link.airtime_us(link.mtu) // 500


class Outbox:
    """authority: `Authority`; keys: `LinkKeys`; neighbours: `Neighbours`; links: the frame links;
    failed: called with (transfer, now_ms) for a message that no receipt came for; count: takes a
    `Rejection`.

    address: the own short address, 0 before this node is a member; now_ms: the present time. The
    mesh sets both. budgets: the `Budget` of each link; mailbox: the `Mailbox` of a node with
    sleeping children, or None.
    """

    def __init__(self, authority, keys, neighbours, links, failed, count):
        self._authority = authority
        self._keys = keys
        self._neighbours = neighbours
        self._links = links
        self._failed = failed
        self._count = count
        self.transfers = Transfers()
        self.address = 0
        self.now_ms = 0
        self.mailbox = None
        # of each link: short frames, and behind them a frame of a message, with its parts:
        # (source as charged or None, route class, frame, parts or None). A short frame that was not
        # first yet, or waits for the duty cycle, is (head, kind, receiver, payload): a message may
        # take a receipt with it. The payload of a HELLO is a function, as `send_hello` has it
        self._queues = [[] for _ in links]
        # of each link: the parts of a message whose frame it sends now, or None
        self._leaving = [None] * len(links)
        # of each link: the airtime of the frame that `outgoing` gave last, and `patience_ms`
        self._airtime_us = [0] * len(links)
        self._patience_ms = [patience_ms(link) for link in links]
        self.budgets = [Budget(link.duty_cycle_permille) for link in links]
        self._take_policy()

    # --- frames -----------------------------------------------------------------------------------

    def encode(self, head, kind, receiver, payload):
        """(counter, bytes) of a new frame. head: (route class, shape, hops, far end); in the join
        class the own name stands in the place of the far end.
        """
        counter = self._keys.next_counter()
        if kind == CONTROL:
            # its receiver may not know the high bits
            payload = payload[:1] + (counter >> 16).to_bytes(2, "big") + payload[1:]
        epoch = self._authority.epoch
        own = self.address
        key = self._keys.sending(self.now_ms)
        if head[0] == JOIN_CLASS:
            key = None
            own = head[3]
        tag = self._authority.scope[0]
        return counter, encode(tag, key, head, kind, (own, receiver), counter, payload, epoch)

    def send_first(self, link, route_class, kind, receiver, payload, own=None, is_solicited=False):
        """Queue a short frame before all messages. It is dropped if URGENT_MAX of a link wait: a
        flood.

        own: the own name in the join class; is_solicited: whether a stranger has asked for it: then
        the airtime of strangers pays for it.
        """
        queue = self._queues[link]
        at = len(queue)
        if at and queue[-1][3]:
            # before a frame of a message that the link has not taken yet
            at -= 1
        if at >= URGENT_MAX:
            return
        frame = (route_class, LOCAL, 0, own), kind, receiver, payload
        if is_solicited or route_class == JOIN_CLASS:
            receiver, route_class = STRANGERS, JOIN_CLASS
        elif receiver == BROADCAST:
            # of this node, for all: no neighbour has asked for it
            receiver = None
        queue.insert(at, (receiver, route_class, frame, None))

    def send_hello(self, link, hello, is_solicited):
        """Queue a HELLO. hello: called with the link when the duty cycle allows the frame; returns
        the payload. One HELLO waits: an own one takes the place of another, a solicited one is left
        out.
        """
        queue = self._queues[link]
        for entry in queue:
            if isinstance(entry[2], tuple) and callable(entry[2][3]):
                if is_solicited:
                    return
                queue.remove(entry)
                break
        self.send_first(link, GOVERNANCE, CONTROL, BROADCAST, hello, is_solicited=is_solicited)

    def acknowledge(self, link, frame, receipt=None):
        """Send a receipt for a frame: its counter, or the bitmap of its message."""
        if receipt is None:
            receipt = frame.counter.to_bytes(2, "big")
        self.send_first(link, frame.route_class, ACK, frame.transmitter, receipt, frame.receiver)

    def acknowledged(self, link, frame, now_ms):
        """Take the receipt of a neighbour, from the front of a message too. Whether it completes
        a message. Raises `BadMessage`.
        """
        receipt = frame.payload
        if frame.kind == DATA:
            frame.payload = receipt[frame.hops :]
            receipt = receipt[: frame.hops]
            frame.hops = 0
        is_join = frame.route_class == JOIN_CLASS
        transfer = self.transfers.to(link, frame.transmitter, is_join)
        if transfer is None:
            return False
        transfer.parts.acknowledged(receipt, now_ms)
        if transfer.parts.is_done:
            self.transfers.end(transfer)
            return True
        return False

    def queue(self, link, receiver, head, priority, message, source=None, failures=0):
        """Queue a message for a neighbour. source: the neighbour that it came from, or None;
        failures: how many parents have not acknowledged it.

        That for a sleeping child waits in the mailbox. One that is under way to this neighbour in
        the same class is not queued again: CoAP repeats what waits for airtime. Raises
        `TableFull`, `TooLarge` and `MailboxFull`.
        """
        for one in self.transfers:
            # not that of a stranger with this address
            if (one.link, one.receiver, one.head, one.message) == (link, receiver, head, message):
                return
        mailbox = self.mailbox
        if not (mailbox and mailbox.keep(receiver, head, priority, message, source)):
            self.start(link, receiver, head, priority, message, source, failures)

    def start(self, link, receiver, head, priority, message, source=None, failures=0):
        """As `queue`, for a neighbour that listens now."""
        if head[0] == JOIN_CLASS:
            header = HEADER_BYTES_JOIN
        else:
            header = HEADER_BYTES if head[1] == LOCAL else HEADER_BYTES_ROUTED
        room = self._links[link].mtu - header
        gone = self.transfers.make_room(receiver, source)
        if gone and not (self.mailbox and self.mailbox.take_back(gone, self.now_ms)):
            self._count(TableFull())
        self.transfers.add(
            link, receiver, head, priority, message, source, room, self._patience_ms[link]
        ).failures = failures

    # --- what goes out ----------------------------------------------------------------------------

    def outgoing(self, link, now_ms):
        """The next frame (bytes) for link number `link`, or None; `sent` says that it was taken.

        Raises a `Rejection` for a frame that is dropped: `ClassAirtime`, `NeighbourAirtime`, or
        `DutyCycle` for one that takes more than the duty cycle allows in an hour.
        """
        if self._authority.policy is not self._policy:
            self._take_policy()
        queue = self._queues[link]
        if not queue:
            self._fill(queue, link, now_ms)
        elif isinstance(queue[0][2], tuple):
            if self._wait_ms(link, queue[0][2], now_ms):
                # it is made when it can leave: a HELLO would tell what was true an hour ago
                return None
            queue.insert(0, self._encode_first(link, queue.pop(0), now_ms))
        if not queue:
            return None
        source, route_class, data, _ = queue[0]
        self._airtime_us[link] = airtime_us = self._links[link].airtime_us(len(data))
        try:
            self.budgets[link].check(now_ms, airtime_us, route_class, source)
        except DutyCycle:
            if self.budgets[link].wait_ms(now_ms, airtime_us) is None:
                # it would block the link for good
                queue.pop(0)
                raise
            return None
        except (ClassAirtime, NeighbourAirtime):
            queue.pop(0)
            raise
        return data

    def _take_policy(self):
        self._policy = policy = self._authority.policy
        classes = [(JOIN_CLASS, JOIN_AIRTIME_PERMILLE)]
        if policy:
            classes += [(route[0], route[5]) for route in policy.routes]
        for budget in self.budgets:
            budget.set_classes(classes)

    def sent(self, link, now_ms):
        """Note that the link has taken the frame of `outgoing`."""
        source, route_class, _, parts = self._queues[link].pop(0)
        self.budgets[link].charge(now_ms, self._airtime_us[link], route_class, source)
        self._leaving[link] = parts
        self.leaving(link, True, now_ms)

    def leaving(self, link, is_sending, now_ms):
        """Begin the time for the receipt of the last frame anew; is_sending: the link has it still.

        A modem may wait for the channel, and a slow line for what is before the frame.
        """
        parts = self._leaving[link]
        if parts:
            parts.left(now_ms)
            if not is_sending:
                self._leaving[link] = None

    def _wait_ms(self, link, frame, now_ms):
        # until the duty cycle allows a frame, in bytes or not yet; None: never
        size = len(frame)
        if isinstance(frame, tuple):
            # in the join class without MIC, control frames with the high bits of the counter
            size = HEADER_BYTES_JOIN if frame[0][0] == JOIN_CLASS else HEADER_BYTES
            size += 2 if frame[1] == CONTROL else 0
            size += 1 + HELLO_BYTES if callable(frame[3]) else len(frame[3])
        return self.budgets[link].wait_ms(now_ms, self._links[link].airtime_us(size))

    def _encode_first(self, link, entry, now_ms):
        # the entry of a short frame with its bytes, or that of a message which takes the receipt
        source, route_class, (head, kind, receiver, payload), _ = entry
        if callable(payload):
            payload = payload(link)
        transfer = self._carrier(link, head, receiver, payload) if kind == ACK else None
        if transfer is None:
            return source, route_class, self.encode(head, kind, receiver, payload)[1], None
        transfer.receipt = payload
        parts = transfer.parts
        return transfer.source, transfer.head[0], self._next_of(transfer, parts, now_ms), parts

    def _carrier(self, link, head, receiver, payload):
        # the message to the same neighbour that begins now, or None
        is_join = head[0] == JOIN_CLASS
        transfer = self.transfers.to(link, receiver, is_join)
        if transfer is None or transfer.kind != DATA or transfer.data or transfer.is_greeting:
            return None
        if transfer.head[1] != LOCAL or self._parts(transfer) is not transfer.parts:
            return None
        room = self._links[link].mtu - (HEADER_BYTES_JOIN if is_join else HEADER_BYTES)
        return transfer if len(transfer.message) + len(payload) <= room else None

    def _fill(self, queue, link, now_ms):
        for transfer in self.transfers.active(link):
            parts = self._parts(transfer)
            data = self._next_of(transfer, parts, now_ms)
            if data:
                queue.append((transfer.source, transfer.head[0], data, parts))
                return

    def _next_of(self, transfer, parts, now_ms):
        if transfer.is_greeting and parts is transfer.parts:
            self.transfers.end(transfer)
            return None
        payload = parts.next_frame(now_ms)
        if parts.is_failed and self._is_there(transfer, parts):
            payload = parts.next_frame(now_ms)
        if parts.is_failed:
            self.transfers.end(transfer)
            self._failed(transfer, now_ms)
        if not payload:
            return None
        receiver = transfer.receiver
        if parts is transfer.greeting:
            nonce = self._neighbours.nonce(transfer.link, receiver, now_ms)
            head = GOVERNANCE, LOCAL, 0, None
            return self.encode(head, CONTROL, receiver, bytes((GREET,)) + nonce)[1]
        transfer.is_begun = True
        if parts.is_repeated and transfer.head[0] != JOIN_CLASS:
            self._neighbours.find(transfer.link, receiver).count_delivery(False)
        if transfer.kind == FRAGMENT:
            return self.encode(transfer.head, FRAGMENT, receiver, payload)[1]
        if transfer.data is None or transfer.kind == CONTROL:
            # a message is sent again as it is, so that its receiver knows it
            head = transfer.head
            receipt = transfer.receipt
            if receipt:
                head = head[0], LOCAL, len(receipt), head[3]
            parts.counter, transfer.data = self.encode(
                head, transfer.kind, receiver, receipt + payload
            )
        return transfer.data

    def _is_there(self, transfer, parts):
        # whether a receiver that acknowledges nothing was heard: it is in a crowd, and tried again
        neighbour = self._neighbours.find(transfer.link, transfer.receiver)
        if transfer.is_join or neighbour is None or not isinstance(parts, Whole):
            return False
        return parts.goes_on(neighbour.active_ms)

    def _parts(self, transfer):
        # what is sent now: a neighbour that is not in the table would not know that our frames are
        # fresh, nor we that its receipts are
        if transfer.head[0] == JOIN_CLASS:
            return transfer.parts
        neighbour = self._neighbours.find(transfer.link, transfer.receiver)
        if neighbour and neighbour.is_mutual:
            return transfer.parts
        if transfer.greeting is None:
            transfer.greeting = Whole(b"greeting", self._patience_ms[transfer.link])
        return transfer.greeting

    def next_ms(self, now_ms):
        """Milliseconds until `outgoing` has something new, or None for never."""
        times = []
        for link in range(len(self._links)):
            queue = self._queues[link]
            if queue:
                # what can never leave is dropped
                times.append(self._wait_ms(link, queue[0][2], now_ms) or 0)
            else:
                for transfer in self.transfers.active(link):
                    times.append(self._parts(transfer).next_ms(now_ms))
        return min(times) if times else None
