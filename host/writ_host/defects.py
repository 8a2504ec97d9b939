"""Defects: exceptions that no message should raise, logged with the bytes that raised them.

A program that serves others drops such a message and goes on: one message of a liar must not end
it. What is logged is enough to repeat the defect.
"""

import traceback
from collections.abc import Callable
from typing import Protocol

# One place in the code is logged once in this time, so that a sender cannot fill the disk.
REPEAT_MS = 3_600_000
# Places that are remembered: the oldest is forgotten first.
PLACES_MAX = 64


class Emit(Protocol):
    """Writes an event to the log."""

    def __call__(self, event: str, text: str, **facts: object) -> None: ...


class Defects:
    """The defects of one process. count: how many messages were dropped because of one."""

    def __init__(self, emit: Emit, now_ms: Callable[[], int]) -> None:
        self.count = 0
        self._emit = emit
        self._now_ms = now_ms
        self._reported_ms: dict[str, int] = {}  # by place: when it was logged last

    def report(self, error: Exception, source: str, data: bytes) -> None:
        """Count a defect, and log it with the message `data` from `source`."""
        self.count += 1
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
        place = f"{type(error).__name__} at {places[-1] if places else 'an unknown place'}"
        now_ms, last_ms = self._now_ms(), self._reported_ms.pop(place, None)
        if last_ms is not None and now_ms - last_ms < REPEAT_MS:
            self._reported_ms[place] = last_ms
            return
        if len(self._reported_ms) >= PLACES_MAX:
            del self._reported_ms[next(iter(self._reported_ms))]
        self._reported_ms[place] = now_ms
        self._emit(
            "defect",
            f"bug in writ: {place}; the message of {source} that raised it was dropped",
            error=repr(error)[:200],
            trace=places,
            source=source,
            message=data.hex(),
        )
