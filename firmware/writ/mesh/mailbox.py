"""Mailboxes: what a parent keeps for children that sleep, until they say that they listen (POLL).

1. A child whose POLL was taken is asleep unless its window is open. Each authentic frame of it
   opens the window for the time that its last POLL has named; a POLL to which the parent answers
   that nothing waits closes it at once.
2. A message for a child that is asleep waits here: it has no timer and no failed tries.
3. One message at a time is handed to the outbox, and no long one in the second half of a window,
   since the child may sleep before its end. A child prolongs its window with each frame that it
   hears, so the parent counts the airtime of the whole message.
4. A message that is under way when the window closes is taken back, and begins anew in the next.
5. A child that was silent for WINDOWS_MISSED_MAX sleeps is a lost neighbour, with its messages.
6. A child whose message comes to a gateway by a relay has another parent now: it is no neighbour
   any more, and the gateway's messages follow it by that way.
"""

from ..compat import const
from ..errors import BadFrame, MailboxFull, NoRoute, Rejection, TableFull, UnknownOrigin
from ..limits import (
    MAILBOX_BYTES_MAX,
    MAILBOX_MESSAGES_MAX,
    SLEEP_S_MAX,
    SLEEPERS_MAX,
    WINDOWS_MISSED_MAX,
)
from .frame import BROADCAST, HEADER_BYTES_ROUTED
from .routing import POLL_BYTES

# A window is in tenths of a second
_TENTH_MS = const(100)
# What a receipt can say
_COUNT_LAST = const(255)


class _Child:
    # link: of its last POLL; window_ms, sleep_ms: as that one says; until_ms: end of its window;
    # heard_ms: when it was heard last; waiting: [(head, priority, message, source)]

    def __init__(self):
        self.link = 0
        self.window_ms = 0
        self.sleep_ms = 0
        self.until_ms = 0
        self.heard_ms = 0
        self.waiting = []


def _size(child):
    # bytes of the messages that wait for it
    return sum([len(one[2]) for one in child.waiting])


class Mailbox:
    """The mailboxes of one node. mesh: its `Mesh`; children: {short address: _Child}."""

    def __init__(self, mesh):
        self._mesh = mesh
        self.children = {}

    def polled(self, link, frame, content, now_ms):
        """How many messages (0 to 255) follow the POLL of an authentic `frame` of this child.

        content: window in tenths of a second (2 bytes), sleep after it in seconds (3 bytes); a
        sleep of 0 ends the mailbox, its messages follow at once. Raises `BadFrame`; `TableFull` for
        another child than SLEEPERS_MAX: it gets no receipt, and takes another parent; and what
        `Permit.roles` raises for a new child.
        """
        if len(content) != POLL_BYTES or frame.receiver == BROADCAST:
            raise BadFrame()
        window_ms = _TENTH_MS * (content[0] << 8 | content[1])
        sleep_s = int.from_bytes(content[2:], "big")
        if not window_ms or sleep_s > SLEEP_S_MAX:
            raise BadFrame()
        children = self.children
        address = frame.transmitter
        child = children.get(address)
        if not sleep_s:
            return self._wake(address, child)
        if child is None:
            if len(children) >= SLEEPERS_MAX:
                raise TableFull()
            # an address that no member has takes no place; a member polls again
            self._mesh.permit.roles(address, now_ms)
            child = children[address] = _Child()
        child.link = link
        child.window_ms = window_ms
        child.sleep_ms = 1000 * sleep_s
        child.heard_ms = now_ms
        count = len(child.waiting) + len(self._under_way(address))
        child.until_ms = now_ms + window_ms if count else now_ms
        return min(count, _COUNT_LAST)

    def _wake(self, address, child):
        # it sleeps no more: all its messages go to the outbox
        waiting = child.waiting if child else ()
        self.children.pop(address, None)
        for head, priority, message, source in waiting:
            try:
                self._mesh.outbox.start(child.link, address, head, priority, message, source)
            except Rejection as rejection:
                self._mesh.count(rejection)
        return min(len(waiting), _COUNT_LAST)

    def heard(self, address, now_ms):
        """Note an authentic frame of a neighbour: it listens for the time of its window."""
        child = self.children.get(address)
        if child:
            child.heard_ms = now_ms
            child.until_ms = max(child.until_ms, now_ms + child.window_ms)

    def keep(self, address, head, priority, message, source):
        """Whether a message for this neighbour waits here. Raises `MailboxFull`.

        A message that waits already is not kept twice: senders repeat what is not answered.
        """
        child = self.children.get(address)
        if child is None or message is None:
            return False
        entry = head, priority, message, source
        waiting = child.waiting
        if entry in waiting:
            return True
        # by how many bytes this message exceeds the half of one child, or the limit of all
        size = sum([_size(other) for other in self.children.values()])
        excess = max(_size(child) - (MAILBOX_BYTES_MAX >> 1), size - MAILBOX_BYTES_MAX)
        excess += len(message)
        if len(waiting) >= MAILBOX_MESSAGES_MAX or excess > 0:
            last = waiting[-1] if waiting else None
            if last is None or last[1] >= priority or excess > len(last[2]):
                raise MailboxFull()
            waiting.pop()
            self._mesh.count(MailboxFull())
        at = len(waiting)
        while at and waiting[at - 1][1] < priority:
            at -= 1
        waiting.insert(at, entry)
        return True

    def take_back(self, transfer, now_ms):
        """Whether an unacknowledged transfer is a child's: then it waits for the next window."""
        child = None if transfer.is_join else self.children.get(transfer.receiver)
        if child is None:
            return False
        child.until_ms = min(child.until_ms, now_ms)
        if transfer.message is not None:
            child.waiting.insert(
                0, (transfer.head, transfer.priority, transfer.message, transfer.source)
            )
        return True

    def tick(self, now_ms):
        """Hand over what children listen for, and forget children that are lost."""
        for address in list(self.children):
            child = self.children[address]
            if now_ms >= self._lost_ms(child):
                for _ in self._lose(address):
                    self._mesh.count(NoRoute())
            elif now_ms >= child.until_ms:
                for transfer in self._under_way(address):
                    self._mesh.outbox.transfers.end(transfer)
                    self.take_back(transfer, now_ms)
            elif child.waiting and not self._under_way(address):
                self._hand_over(address, child, now_ms)

    def _under_way(self, address):
        found = []
        for one in self._mesh.outbox.transfers:
            if one.receiver == address and not one.is_join and one.message is not None:
                found.append(one)
        return found

    def _hand_over(self, address, child, now_ms):
        head, priority, message, source = child.waiting[0]
        if now_ms + self._need_ms(child, message) > child.until_ms:
            return
        try:
            self._mesh.permit.roles(address, now_ms)
        except UnknownOrigin:
            # it may be revoked; the child itself has its capsule
            self._mesh.inbox.request_capsule(address, address)
            return
        except Rejection as rejection:
            # revoked, or expired
            self._mesh.count(rejection)
            del self.children[address]
            return
        try:
            self._mesh.outbox.start(child.link, address, head, priority, message, source)
        except TableFull:
            # later in this window
            return
        except Rejection as rejection:
            self._mesh.count(rejection)
        child.waiting.pop(0)
        child.until_ms = now_ms + child.window_ms + self._airtime_ms(child, message)

    def _airtime_ms(self, child, message):
        # of all frames of a message, headers included, at most
        link = self._mesh.links[child.link]
        count = len(message) // (link.mtu >> 1) + 1
        return count * link.airtime_us(link.mtu) // 1000

    def _need_ms(self, child, message):
        # what must be left of the window to begin a message
        link = self._mesh.links[child.link]
        if len(message) + HEADER_BYTES_ROUTED > link.mtu:
            return child.window_ms >> 1
        return link.airtime_us(len(message) + HEADER_BYTES_ROUTED) // 1000

    def _lost_ms(self, child):
        return child.heard_ms + WINDOWS_MISSED_MAX * (child.sleep_ms + child.window_ms)

    def _lose(self, address):
        # the messages of a child that is gone, as in `_Child.waiting`
        child = self.children.pop(address)
        for transfer in self._under_way(address):
            self._mesh.outbox.transfers.end(transfer)
            child.waiting.append((transfer.head, 0, transfer.message, transfer.source))
        neighbour = self._mesh.neighbours.find(child.link, address)
        if neighbour:
            # it is greeted again before the next message
            neighbour.is_mutual = False
        return child.waiting

    def moved(self, address, now_ms):
        """Note that a message of this node has come by a relay: a child has another parent now."""
        for head, _, message, source in self._lose(address) if address in self.children else ():
            try:
                if source is not None:
                    raise NoRoute()
                self._mesh.start(address, head[0], message, now_ms)
            except Rejection as rejection:
                self._mesh.count(rejection)

    def next_ms(self, now_ms):
        """Milliseconds until `tick` has something to do, or None for never."""
        times = []
        for address, child in self.children.items():
            times.append(self._lost_ms(child) - now_ms)
            if now_ms < child.until_ms:
                times.append(child.until_ms - now_ms)
                if child.waiting and not self._under_way(address):
                    # or `tick` waits for the next window
                    need_ms = self._need_ms(child, child.waiting[0][2])
                    times.append(0 if now_ms + need_ms <= child.until_ms else need_ms)
        return max(0, min(times)) if times else None


def polled(mesh, link, frame, content, now_ms):
    """Answer the POLL of a child: the receipt says how many messages follow.

    The `Mailbox` of the node is made for the first one. Raises as `Mailbox.polled`.
    """
    outbox = mesh.outbox
    if outbox.mailbox is None:
        outbox.mailbox = Mailbox(mesh)
    count = outbox.mailbox.polled(link, frame, content, now_ms)
    outbox.acknowledge(link, frame, frame.counter.to_bytes(2, "big") + bytes((count,)))
