"""The way to a gateway: HELLO frames, the best few parents, and when to speak (Trickle, RFC 6206).

1. A gateway has rank 0, a node that of its parent plus 1, one without parent NO_RANK.
2. A parent has a lower rank than its child. A node that has lost its last parent says so, and takes
   a new one on a link only `_PAUSE_MS` after the HELLO that said so has left there: its neighbours
   know by then. A loop that lost frames have made ends by the next HELLO in it that is heard. One
   of two nodes is found by its traffic, too: who gets a message to forward from its own parent
   gives that parent up. Hops end what still runs in circles.
3. The cost of a way is the airtime of a frame of `PROBE_BYTES` along it, in ms, divided by the
   share of receipts that came: what is lost must be sent again. Another parent is taken where that
   saves a quarter.
4. A parent that acknowledges none of the tries of a message (transfer.py) is given up, and the mesh
   sends the message on by the next one.
"""

from ..compat import const, random_bytes
from ..limits import HOPS_MAX, NEIGHBOURS_MAX, PARENTS_MAX

NO_RANK = 255
# The kind of a HELLO among control frames (neighbour.py has the others), and its content
HELLO = 3
HELLO_BYTES = 8
# That of a child that listens now (poll.py), and its content
POLL = 4
POLL_BYTES = 5
# Those by which a capsule is asked for and broadcast (spread.py)
WANT = 5
PART = 6
_COST_MAX = const(65535)
# The frame whose airtime is the cost of a link
PROBE_BYTES = 50

# Trickle: the first interval, how often it doubles, and how many HELLOs that serve as well make the
# own one needless
_INTERVAL_MS = const(4000)
_DOUBLINGS = const(8)
_REDUNDANCY = const(2)
# A node takes no new parent for so long after it has told the loss of its last one
_PAUSE_MS = const(10000)
# And gives up a parent for a loop at most so often
_LOOP_MS = const(600000)


class Trickle:
    """The timer of RFC 6206, section 4.2. It speaks at most once an interval."""

    def __init__(self, interval_ms=_INTERVAL_MS, doublings=_DOUBLINGS, redundancy=_REDUNDANCY):
        self._first_ms = interval_ms
        self._last_ms = interval_ms << doublings
        self._redundancy = redundancy
        self._length_ms = 0
        self._end_ms = None  # None: not begun
        self._due_ms = None  # None: the message of this interval was sent, or left out
        self._heard = 0

    def _begin(self, length_ms, now_ms):
        self._length_ms = length_ms
        self._end_ms = now_ms + length_ms
        half = length_ms >> 1
        self._due_ms = now_ms + half + half * int.from_bytes(random_bytes(2), "big") // 65536
        self._heard = 0

    def hear(self):
        """Count a message of another node that says the same."""
        self._heard += 1

    def reset(self, now_ms):
        """Something has changed: begin with the shortest interval."""
        if self._length_ms > self._first_ms or self._due_ms is None:
            self._begin(self._first_ms, now_ms)

    def hasten(self, now_ms, doublings):
        """Speak soon, whatever others say: in the second half of the first interval doubled so
        often. The next interval is as long as it would have been.
        """
        half = self._first_ms << doublings >> 1
        if self._length_ms > half << 1:
            share = int.from_bytes(random_bytes(2), "big")
            self._end_ms = self._due_ms = now_ms + half + half * share // 65536
            self._heard = -NEIGHBOURS_MAX

    def is_due(self, now_ms):
        """Whether to speak now. Call it at the time of `next_ms`."""
        if self._end_ms is None:
            self._begin(self._first_ms, now_ms)
        speaks = self._due_ms is not None and now_ms >= self._due_ms
        if speaks:
            self._due_ms = None
            speaks = self._heard < self._redundancy
        if now_ms >= self._end_ms:
            self._begin(min(2 * self._length_ms, self._last_ms), now_ms)
        return speaks

    def next_ms(self, now_ms):
        """Milliseconds until `is_due` has something to do."""
        if self._end_ms is None:
            return 0
        return max(0, (self._end_ms if self._due_ms is None else self._due_ms) - now_ms)


class Routing:
    """Rank, parents and HELLO of one node. links: the frame links; neighbours: `Neighbours`;
    may_relay: (neighbour, now_ms) -> whether the policy lets it forward, None if that is not known
    yet; gateway: the own short address if this node is a gateway, or None; is_leaf: whether it is
    no parent and sends no HELLO, as a node that sleeps.

    rank: 0..15 or NO_RANK; gateway: the short address of the gateway that the first parent leads
    to, 0 for none; parents: [Neighbour], the best one first, at most limits.PARENTS_MAX;
    candidate: a `Neighbour` that must be greeted before it can be a parent, or None.
    """

    def __init__(self, links, neighbours, may_relay, gateway=None, is_leaf=False):
        self._probe_ms = [link.airtime_us(PROBE_BYTES) // 1000 for link in links]
        self._neighbours = neighbours
        self._may_relay = may_relay
        self._is_gateway = gateway is not None
        self.is_leaf = is_leaf
        self.gateway = gateway or 0
        self.address = None  # the own short address, which the mesh sets
        self.rank = 0 if self._is_gateway else NO_RANK
        self.cost = 0
        self.parents = []
        self.candidate = None
        self.trickle = Trickle()
        # of each link: when the loss of the last parent was told there, None for not yet
        self._loss_said_ms = [-_PAUSE_MS for _ in links]
        self._looped_ms = None  # when a parent was given up for a loop

    def hello(self):
        """The content of a HELLO: rank, cost, gateway, flags (0), first parent or 0 (2 bytes)."""
        cost = self.cost.to_bytes(2, "big")
        parent = self.parents[0].address if self.parents else 0
        parts = bytes((self.rank,)), cost, self.gateway.to_bytes(2, "big"), b"\0"
        return b"".join(parts) + parent.to_bytes(2, "big")

    def heard(self, neighbour, content, is_same_epoch, now_ms):
        """Take the HELLO of a neighbour: HELLO_BYTES, or more in later versions."""
        neighbour.rank = content[0]
        neighbour.cost = content[1] << 8 | content[2]
        neighbour.gateway = content[3] << 8 | content[4]
        neighbour.parent = content[6] << 8 | content[7]
        before = self.rank
        self.choose(now_ms)
        if self.rank != before or (neighbour.rank == NO_RANK and self.rank != NO_RANK):
            # the neighbour lacks a way, or this node has a better one to offer
            self.trickle.reset(now_ms)
        elif is_same_epoch and neighbour.rank == self.rank and None not in self._loss_said_ms:
            # those who hear this neighbour hardly need the HELLO of this node
            self.trickle.hear()

    def _total(self, neighbour):
        # the cost of the way by this neighbour, ms
        airtime_ms = self._probe_ms[neighbour.link]
        return neighbour.cost + 1 + airtime_ms * 256 // max(neighbour.delivered, 16)

    def _saves(self, one, parent):
        # whether the way by `one` is worth a change of the parent
        return 4 * self._total(one) <= 3 * self._total(parent)

    def choose(self, now_ms):
        """Choose the parents anew: after a HELLO, a greeting or a loss."""
        if self._is_gateway:
            return
        limit = min(self.rank, HOPS_MAX)
        mutual = []
        strange = []
        nearer = []
        for one in self._neighbours:
            said_ms = self._loss_said_ms[one.link]
            if one.rank >= limit or said_ms is None or now_ms - said_ms < _PAUSE_MS:
                continue
            if one.parent != self.address:
                nearer.append(one)
        if len(nearer) > 1:
            nearer.sort(key=self._total)
        for one in nearer:
            may_relay = self._may_relay(one, now_ms)
            if may_relay is not False:
                if not one.is_mutual:
                    strange.append(one)
                elif may_relay:
                    mutual.append(one)
        present = self.parents[0] if self.parents else None
        if present in mutual and present is not mutual[0]:
            if not self._saves(mutual[0], present):
                mutual.remove(present)
                mutual.insert(0, present)
        self.parents = mutual[:PARENTS_MAX]
        self.candidate = None
        if strange:
            # a greeting is four frames: it must give one more parent, or a first one that is taken
            if len(mutual) < PARENTS_MAX or self._saves(strange[0], mutual[0]):
                self.candidate = strange[0]
        if self.parents:
            best = self.parents[0]
            self.rank = best.rank + 1
            self.cost = min(self._total(best), _COST_MAX)
            self.gateway = best.gateway
        elif present:
            self.rank = NO_RANK
            self.cost = 0
            self.gateway = 0
            if not self.is_leaf:
                # no loop leads by a leaf
                self._loss_said_ms = [None for _ in self._loss_said_ms]
            self.trickle.reset(now_ms)

    def note_hello(self, link, now_ms):
        """Note that a HELLO leaves on a link: it tells the loss of the last parent."""
        if self._loss_said_ms[link] is None:
            self._loss_said_ms[link] = now_ms

    def lost(self, neighbour, now_ms):
        """Give up a neighbour that acknowledges nothing."""
        neighbour.rank = NO_RANK
        self.choose(now_ms)

    def looped(self, parent, now_ms):
        """Give up a parent that has sent a message back: a loop.

        Any member can send that message in the name of the parent, so it counts once in a while;
        else the hops end a message in a loop.
        """
        if self._looped_ms is None or now_ms - self._looped_ms >= _LOOP_MS:
            self._looped_ms = now_ms
            self.lost(parent, now_ms)

    def next_ms(self, now_ms):
        """Milliseconds until a HELLO or a choice is due, or None for never."""
        if self.is_leaf:
            return None
        wait_ms = self.trickle.next_ms(now_ms)
        for said_ms in self._loss_said_ms:
            if said_ms is not None and said_ms + _PAUSE_MS > now_ms:
                wait_ms = min(wait_ms, said_ms + _PAUSE_MS - now_ms)
        return wait_ms
