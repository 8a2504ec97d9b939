"""The clock of a simulation: callbacks in order of their time.

One class serves virtual and real time. In virtual time `run` jumps from event to event. In real
time a loop calls `advance` with the time that has passed (loop.py). A callback sees in `now_us` the
time for which it was scheduled, however late it runs, so the outcomes are the same.

Times are integers in microseconds since the start. Callbacks of one time run in the order in which
they were scheduled.
"""

import heapq
from collections.abc import Callable
from typing import Any

# [time_us, number, callback or None when cancelled, arguments]
Entry = list[Any]


class Timeline:
    """Scheduled callbacks, and the time of the one that runs."""

    def __init__(self) -> None:
        self.now_us = 0
        self.events = 0  # callbacks that have run
        self._heap: list[Entry] = []
        self._number = 0

    def at(self, time_us: int, callback: Callable[..., object], *arguments: Any) -> Entry:
        """Schedule `callback(*arguments)`. A time in the past counts as now.

        Returns the entry, for `cancel`.
        """
        self._number += 1
        entry: Entry = [max(time_us, self.now_us), self._number, callback, arguments]
        heapq.heappush(self._heap, entry)
        return entry

    def after(self, delay_us: int, callback: Callable[..., object], *arguments: Any) -> Entry:
        """Schedule `callback(*arguments)` for `delay_us` from now."""
        return self.at(self.now_us + delay_us, callback, *arguments)

    @staticmethod
    def cancel(entry: Entry | None) -> None:
        """Cancel an entry. One that has run, or None, is ignored."""
        if entry is not None:
            entry[2] = None

    def next_us(self) -> int | None:
        """The time of the next event, or None if nothing is scheduled."""
        while self._heap and self._heap[0][2] is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def advance(self, to_us: int) -> None:
        """Run what is due until `to_us`, inclusive, and set the time to it."""
        heap = self._heap
        while heap and heap[0][0] <= to_us:
            time_us, _, callback, arguments = heapq.heappop(heap)
            if callback is not None:
                self.now_us = time_us
                self.events += 1
                callback(*arguments)
        self.now_us = max(self.now_us, to_us)

    def run(self) -> None:
        """Run until nothing is scheduled."""
        while (time_us := self.next_us()) is not None:
            self.advance(time_us)
