"""Rate limits: how many expensive operations a stranger may cause. Token buckets, pure."""

from ..limits import RATE_LIMIT_SOURCES_MAX


class TokenBucket:
    """At most `burst` operations at once, and one more each `refill_ms`."""

    def __init__(self, burst, refill_ms):
        self._burst = burst
        self._refill_ms = refill_ms
        self.tokens = burst
        self._refilled_ms = None

    def refill(self, now_ms):
        """Add the tokens for the time since the last refill."""
        if self._refilled_ms is None:
            self._refilled_ms = now_ms
        count = (now_ms - self._refilled_ms) // self._refill_ms
        if count > 0:
            self.tokens = min(self._burst, self.tokens + count)
            self._refilled_ms = now_ms

    def take(self, now_ms):
        """Whether one more operation is allowed now; takes a token if so."""
        self.refill(now_ms)
        if self.tokens <= 0:
            return False
        self.tokens -= 1
        return True


class RateLimiter:
    """One bucket for each source, and one for all sources together.

    The least recently used source's bucket is dropped first (limits.RATE_LIMIT_SOURCES_MAX).
    """

    def __init__(self, burst, refill_ms):
        self._burst = burst
        self._refill_ms = refill_ms
        self._buckets = []  # [source, TokenBucket], least recently used first
        # a sender that changes its address for each message is limited by this bucket
        self._all = TokenBucket(4 * burst, refill_ms // 4)

    def take(self, source, now_ms):
        """Whether `source` may cause one more operation now; takes a token if so."""
        for i in range(len(self._buckets)):
            if self._buckets[i][0] == source:
                entry = self._buckets.pop(i)
                break
        else:
            entry = [source, TokenBucket(self._burst, self._refill_ms)]
            if len(self._buckets) >= RATE_LIMIT_SOURCES_MAX:
                self._buckets.pop(0)
        self._buckets.append(entry)
        return entry[1].take(now_ms) and self._all.take(now_ms)
