"""Messages on their way to neighbours, and the queue in which they wait.

A neighbour acknowledges each message: a whole one by the counter of its frame, one in fragments by
a bitmap (fragment.py). One message at a time is under way to each neighbour.
"""

from ..compat import const, random_bytes
from ..errors import TableFull, TooLarge, UsageError
from ..limits import FRAME_TRIES_HEARD_MAX, FRAME_TRIES_MAX, TRANSFERS_MESH_MAX
from .fragment import Sender
from .frame import DATA, FRAGMENT, JOIN_CLASS

# All nodes in the join class are one source: 0 is no node's address
STRANGERS = 0
# So are all members on IP whose requests a gateway passes on: 65535 is no node's address either
REQUESTERS = 65535

# A message in fragments ends after so many times the patience for one receipt
_LONGEST_SENDING = const(64)


class Whole:
    """A message that fits one frame, or a greeting. `Sender` of fragment.py has the same methods.

    counter: of its frame, which is sent again as it is; None before the first time; is_repeated:
    whether the last frame was sent because no receipt had come; patience_ms: the time for one.
    """

    # values of an instance only once they differ: most messages are sent once
    _due_ms = None  # None: not sent yet
    _wait_ms = 0  # for the receipt of the last transmission
    _tries = 0
    _limit = FRAME_TRIES_MAX
    counter = None
    is_done = False
    is_failed = False
    is_repeated = False

    def __init__(self, message, patience_ms):
        self._message = message
        self._patience_ms = patience_ms

    def next_frame(self, now_ms):
        """The payload to send now, or None. Sets `is_failed` when it gives up."""
        if self.is_done or self.is_failed or (self._due_ms is not None and now_ms < self._due_ms):
            return None
        if self._tries >= self._limit:
            self.is_failed = True
            return None
        if self._tries:
            self.is_repeated = True
        # twice as long each time, and up to half as long again, so that two nodes part
        wait_ms = self._patience_ms << self._tries
        self._wait_ms = wait_ms + (wait_ms * random_bytes(1)[0] >> 9)
        self._tries += 1
        self.left(now_ms)
        return self._message

    def goes_on(self, active_ms):
        """Whether to send it once more after `is_failed`: the receiver was heard at `active_ms`,
        after the last transmission. Then `next_frame` does.
        """
        if self._tries >= FRAME_TRIES_HEARD_MAX or active_ms < self._due_ms - self._wait_ms:
            return False
        self._limit = self._tries + 1
        self.is_failed = False
        return True

    def left(self, now_ms):
        """Begin the time for the receipt: the frame has left, or is leaving."""
        self._due_ms = now_ms + self._wait_ms

    def acknowledged(self, payload, now_ms):
        """Take a receipt: the low 16 bits of the counter of the frame."""
        if self.counter is not None and payload == (self.counter & 65535).to_bytes(2, "big"):
            self.is_done = True

    def next_ms(self, now_ms):
        """Milliseconds until `next_frame` has something to do."""
        return 0 if self._due_ms is None else max(0, self._due_ms - now_ms)


class Transfer:
    """One message to one neighbour.

    link: number of the link; receiver: short address, or the handle of a node that joins; head:
    (route class, shape, hops, far end) of its frames; priority: 0..7, of its route; message: bytes,
    None for a greeting alone; source: the neighbour that it came from, None for this node; parts: a
    `Whole` or a `Sender`; greeting: a `Whole` that is sent first where the neighbour is not in the
    table, or None; is_begun: whether a frame of it was sent; data: the frame of a whole
    message once it was sent; receipt: bytes in front of the message in that frame; failures:
    parents that have not acknowledged it.
    """

    def __init__(self, link, receiver, head, priority, message, source, parts):
        self.link = link
        self.receiver = receiver
        self.head = head
        self.is_join = head[0] == JOIN_CLASS
        self.priority = priority
        self.message = message
        self.source = source
        self.parts = parts
        self.greeting = None
        self.is_greeting = message is None
        self.kind = DATA if isinstance(parts, Whole) else FRAGMENT
        self.is_begun = False
        self.data = None
        self.receipt = b""
        self.failures = 0


class Transfers:
    """The queue of one node, at most limits.TRANSFERS_MESH_MAX; a quarter of it for each source.

    What waits for a neighbour that does not answer makes room for messages to others.
    """

    def __init__(self):
        self._all = []
        self._number = random_bytes(1)[0]

    def __iter__(self):
        return iter(self._all)

    def __len__(self):
        return len(self._all)

    def make_room(self, receiver, source):
        """The transfer that has ended for a new one to this neighbour, or None if there is a place.

        Raises `TableFull`.
        """
        table = [one for one in self._all if one.source == source]
        if len(table) < TRANSFERS_MESH_MAX >> (0 if source is None else 2):
            table = self._all
            if len(table) < TRANSFERS_MESH_MAX:
                return None
        for one in reversed(table):
            # a begun message stays: by its end the neighbour is known to be gone
            if one.is_begun or one.receiver == receiver:
                continue
            first = self.to(one.link, one.receiver, one.is_join)
            if first.parts.is_repeated or (first.greeting and first.greeting.is_repeated):
                self.end(one)
                return one
        raise TableFull()

    def add(self, link, receiver, head, priority, message, source, room, patience_ms):
        """Queue a message, or a greeting for the message None; its `Transfer`. room: bytes of a
        frame's payload. `make_room` is called before.

        Raises `TooLarge` for a message that no fragments carry.
        """
        if message is None or len(message) <= room:
            parts = Whole(message, patience_ms)
        else:
            self._number = (self._number + 1) & 63
            try:
                parts = Sender(
                    self._number, message, room, patience_ms, _LONGEST_SENDING * patience_ms
                )
            except UsageError:
                # with the list of relays in front it has grown too long on its way
                raise TooLarge() from None
        added = Transfer(link, receiver, head, priority, message, source, parts)
        self.insert(added)
        return added

    def insert(self, transfer):
        """Put a transfer at its place in the queue."""
        # urgent ones first, but none before a message whose first frame is on its way
        at = len(self._all)
        priority = transfer.priority
        while at and self._all[at - 1].priority < priority and not self._all[at - 1].is_begun:
            at -= 1
        self._all.insert(at, transfer)

    def active(self, link):
        """The transfers of a link that may send now: the first one to each neighbour."""
        first = []
        for one in self._all:
            if one.link == link and self.to(link, one.receiver, one.is_join) is one:
                first.append(one)
        return first

    def to(self, link, receiver, is_join=False):
        """The transfer under way to a neighbour, or None. A node in the join class may call itself
        by a neighbour's address: it is another one.
        """
        for one in self._all:
            if one.link == link and one.receiver == receiver and one.is_join == is_join:
                return one
        return None

    def end(self, transfer):
        """Forget a transfer, complete or not."""
        self._all.remove(transfer)
