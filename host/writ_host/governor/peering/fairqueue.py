"""Whose message is handled next: one that floods takes its own turns, and nobody else's.

Fair by the time that messages took (start-time fair queueing, Goyal et al. 1996), since what one
costs is not seen from outside: a signature of a device is a hundred times a status. While nobody
else waits, one peer may have all of it.
"""

from collections import deque

# Of one peer: 1,000 proposals at once and all batches that may be under way, twice (cosign.py). Of
# twelve peers 24 MB.
WAITING_BYTES_MAX = 2 << 20
# What a message costs besides its bytes.
MESSAGE_BYTES_MIN = 128


class FairQueue:
    """Messages that wait, by peer (node key, 33 B). full: of whom no more is to be taken now."""

    def __init__(self) -> None:
        self.full: set[bytes] = set()
        self._waiting: dict[bytes, deque[bytes]] = {}
        self._bytes: dict[bytes, int] = {}
        self._used_s: dict[bytes, float] = {}
        self._now_s = 0.0  # what the peer whose turn it was had used by then

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        """How many messages wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, peer: bytes, message: bytes) -> None:
        """One more. Whoever was silent has saved nothing."""
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
            # in between, so that not each message makes room for the next one
            self.full.discard(peer)

    def next(self) -> tuple[bytes, bytes] | None:
        """(peer, message) of whoever had the least time so far, None when nothing waits."""
        if not self._waiting:
            return None
        peer = min(self._waiting, key=lambda one: self._used_s[one])
        self._now_s = self._used_s[peer]
        message = self._waiting[peer].popleft()
        self._count(peer, -MESSAGE_BYTES_MIN - len(message))
        if not self._waiting[peer]:
            del self._waiting[peer], self._bytes[peer]
        return peer, message

    def took(self, peer: bytes, seconds: float) -> None:
        """What the message of this peer cost; to be said before the next one."""
        if self._waiting:
            self._used_s[peer] += seconds
        else:
            # all begin anew
            self._used_s.clear()
            self._now_s = 0.0
