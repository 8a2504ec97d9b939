"""Peer transports in one process, with links that lose, duplicate and reorder datagrams."""

import heapq
import itertools
import random

from writ import crypto
from writ_host.governor.peering import frames
from writ_host.governor.peering.transport import PeerTransport
from writ_host.keys.identity import node_key

PRIVATES = sorted(
    (crypto.sha256(bytes([i])) for i in range(4)), key=lambda private: node_key(private)[1:]
)
KEYS = [node_key(private) for private in PRIVATES]


def address(i):
    return f"10.0.0.{i + 1}:7000"


class Net:
    """Governors 0, 1, ... (with rising keys) and seeded links between them.

    inbox[i]: [(sender, message)]; taped: [(to, datagram, source)] of all datagrams sent.
    """

    def __init__(self, count, seed=0, loss=0.0, twice=0.0, delay_ms=(1, 1)):
        self.random = random.Random(seed)
        self.loss, self.twice, self.delay_ms = loss, twice, delay_ms
        self.now_ms = 0
        self.cut = set()  # addresses without a link
        self.taped = []
        self.inbox = [[] for _ in range(count)]
        self.addresses = [address(i) for i in range(count)]
        self.ends = []
        self._air = []
        self._spins = 0
        self._order = itertools.count()
        for i in range(count):
            self.ends.append(None)
            self.start(i)

    def start(self, i):
        """(Re)start a governor without any state of before."""
        self.ends[i] = PeerTransport(PRIVATES[i])
        others = {KEYS[j]: self.addresses[j] for j in range(len(self.inbox)) if j != i}
        self.ends[i].set_peers(others)

    def put(self, to, datagram, source):
        """Deliver a datagram after the link's delay."""
        due_ms = self.now_ms + self.random.randint(*self.delay_ms)
        heapq.heappush(self._air, (due_ms, next(self._order), to, datagram, source))

    def _flush(self, i):
        end, source = self.ends[i], self.addresses[i]
        for to, datagram in end.flush(self.now_ms):
            assert len(datagram) <= frames.DATAGRAM_BYTES_MAX
            self.taped.append((to, datagram, source))
            if self.cut & {to, source} or self.random.random() < self.loss:
                continue
            self.put(to, datagram, source)
            if self.random.random() < self.twice:
                self.put(to, datagram, source)
        return end.next_ms(self.now_ms)

    def run(self, ms):
        end_ms = self.now_ms + ms
        while True:
            waits = [self._flush(i) for i in range(len(self.ends))]
            times = [self.now_ms + wait for wait in waits if wait is not None]
            times += [item[0] for item in self._air[:1]]
            due_ms = min([*times, end_ms])
            # a transport that waits as long as `next_ms` says never spins
            self._spins = self._spins + 1 if due_ms == self.now_ms else 0
            assert self._spins < 3
            if due_ms >= end_ms:
                self.now_ms = end_ms
                return self
            self.now_ms = due_ms
            while self._air and self._air[0][0] <= self.now_ms:
                _, _, to, datagram, source = heapq.heappop(self._air)
                if to in self.addresses:
                    self.arrive(self.addresses.index(to), datagram, source)

    def arrive(self, i, datagram, source):
        for key, message in self.ends[i].receive(datagram, source, self.now_ms):
            self.inbox[i].append((KEYS.index(key), message))

    def send(self, i, j, message):
        self.ends[i].send(KEYS[j], message)

    def is_joined(self, i, j):
        """Whether both send in the same session."""
        here, there = (self.ends[a]._peers[KEYS[b]].current for a, b in ((i, j), (j, i)))
        if here is None or there is None:
            return False
        mine, theirs = here.context, there.context
        return (mine.sender_id, mine.recipient_id) == (theirs.recipient_id, theirs.sender_id)

    def got(self, i):
        return [message for _, message in self.inbox[i]]


def numbered(i, number):
    return b"%d:%d" % (i, number)
