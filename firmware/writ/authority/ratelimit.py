"""Rations: how many expensive operations a stranger may cause. Token buckets, pure."""

from ..limits import NEIGHBOURS_MAX


class Bucket:
    """At most `burst` at once, one more each `refill_ms`."""

    def __init__(self, burst, refill_ms):
        self._burst = burst
        self._refill_ms = refill_ms
        self.left = burst
        self._since_ms = None

    def refill(self, now_ms):
        """Add what the time since the last refill is worth."""
        if self._since_ms is None:
            self._since_ms = now_ms
        count = (now_ms - self._since_ms) // self._refill_ms
        if count > 0:
            self.left = min(self._burst, self.left + count)
            self._since_ms = now_ms

    def take(self, now_ms):
        """Whether one more is allowed now; takes it if so."""
        self.refill(now_ms)
        if self.left <= 0:
            return False
        self.left -= 1
        return True


class Rations:
    """A bucket for each neighbour; the least recently used gives way (limits.NEIGHBOURS_MAX)."""

    def __init__(self, burst, refill_ms):
        self._burst = burst
        self._refill_ms = refill_ms
        self._buckets = []  # [neighbour, Bucket], least recently used first
        # those who change their address share this one: the ration of all together
        self._all = Bucket(4 * burst, refill_ms // 4)

    def take(self, neighbour, now_ms):
        """Whether `neighbour` may cause one more operation now; takes it if so."""
        for i in range(len(self._buckets)):
            if self._buckets[i][0] == neighbour:
                entry = self._buckets.pop(i)
                break
        else:
            entry = [neighbour, Bucket(self._burst, self._refill_ms)]
            if len(self._buckets) >= NEIGHBOURS_MAX:
                self._buckets.pop(0)
        self._buckets.append(entry)
        return entry[1].take(now_ms) and self._all.take(now_ms)
