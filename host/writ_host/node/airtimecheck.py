"""Whether frames of a node wait for the duty cycle of a link, for its log."""

from typing import Any

from ..humanize import duration

# Of the limit: with less than that in use a link counts as free again
_FREE = 0.9


class AirtimeCheck:
    """outbox: the `Outbox` of the node's mesh."""

    def __init__(self, outbox: Any) -> None:
        self._outbox = outbox
        self._used_up: set[int] = set()  # numbers of the links

    def tick(self, now_ms: int) -> list[tuple[int, bool, str]]:
        """What is new since the last call: [(number of the link, whether it is used up, text)]."""
        news = []
        for number, budget in enumerate(self._outbox.budgets):
            wait_ms = self._wait_ms(number, now_ms)
            used_us = budget.used_us(now_ms)
            spent = f"{used_us / 1e6:.1f} s of {budget.limit_us / 1e6:.1f} s in the last hour"
            if wait_ms and number not in self._used_up:
                self._used_up.add(number)
                wait = duration(-(-wait_ms // 1000))
                text = f"link {number}: airtime used up ({spent}); next frame in about {wait}"
                news.append((number, True, text))
            elif not wait_ms and number in self._used_up and used_us < _FREE * budget.limit_us:
                self._used_up.remove(number)
                news.append((number, False, f"link {number}: airtime is free again ({spent})"))
        return news

    def _wait_ms(self, number: int, now_ms: int) -> int:
        # of the next frame; one that can never leave is dropped
        queue = self._outbox._queues[number]
        return self._outbox._wait_ms(number, queue[0][2], now_ms) or 0 if queue else 0
