"""The fair queue: it decides which peer's message is handled next.

Start-time fair queueing (Goyal et al. 1996) by the CPU time that messages took, since the cost of a
message is not visible in advance: a device's signature costs a hundred times a status. A peer that
floods delays its own messages only. While no other peer has messages, one may use all the time.
"""

from collections import deque

# Of one peer: 1,000 proposals at once and all batches that may be under way, twice (cosign.py). Of
# twelve peers 24 MB.
WAITING_BYTES_MAX = 2 << 20
# The cost of a message besides its bytes.
MESSAGE_BYTES_MIN = 128


class FairQueue:
    """Messages by peer (node key, 33 B). full: the peers of which no more may be added now."""

    def __init__(self) -> None:
        self.full: set[bytes] = set()
        self._waiting: dict[bytes, deque[bytes]] = {}
        self._bytes: dict[bytes, int] = {}
        self._used_s: dict[bytes, float] = {}  # virtual time: CPU seconds charged to each peer
        self._now_s = 0.0  # virtual time of the message that was taken last

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        """The number of messages."""
        return sum(map(len, self._waiting.values()))

    def add(self, peer: bytes, message: bytes) -> None:
        """Add one message to the peer's queue; a quiet peer earns no credit."""
        if peer not in self._waiting:
            self._waiting[peer] = deque()
            self._used_s[peer] = max(self._now_s, self._used_s.get(peer, 0.0))
        self._waiting[peer].append(message)
        self._count(peer, MESSAGE_BYTES_MIN + len(message))

    def _count(self, peer: bytes, size: int) -> None:
        self._bytes[peer] = self._bytes.get(peer, 0) + size
        if self._bytes[peer] >= WAITING_BYTES_MAX:
            self.full.add(peer)
        elif self._bytes[peer] <= WAITING_BYTES_MAX // 2:
            # the gap keeps a peer from switching between full and free with each message
            self.full.discard(peer)

    def next(self) -> tuple[bytes, bytes] | None:
        """(peer, message) of the peer that has used the least time; None if the queue is empty."""
        if not self._waiting:
            return None
        peer = min(self._waiting, key=lambda one: self._used_s[one])
        self._now_s = self._used_s[peer]
        message = self._waiting[peer].popleft()
        self._count(peer, -MESSAGE_BYTES_MIN - len(message))
        if not self._waiting[peer]:
            del self._waiting[peer], self._bytes[peer]
        return peer, message

    def charge(self, peer: bytes, seconds: float) -> None:
        """Charge the time of the peer's message to it. Call this before the next `next`."""
        if self._waiting:
            self._used_s[peer] += seconds
        else:
            # an empty queue: all peers begin anew
            self._used_s.clear()
            self._now_s = 0.0
