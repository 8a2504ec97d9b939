"""Refusals in a log: counted, one line a reason and minute.

A flood, or forty members whose memberships have expired, must not fill a disk. The first refusal
of a reason is reported at once; those of the next minute are counted, and reported as one line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_MS = 60_000
# Senders that one line names.
NAMED_MAX = 3

# Writes an event: its name, its text, its facts.
Report = Callable[..., None]


@dataclass
class _Window:
    """The refusals of one reason in one minute, after the first one."""

    end_ms: int
    count: int = 0
    senders: dict[str, None] = field(default_factory=dict)  # in their order, without repetitions


class RefusalLog:
    """report(event, text, **facts): writes an event to the log; noun: what is counted."""

    def __init__(self, report: Report, noun: str = "refusal") -> None:
        self._report, self._noun = report, noun
        self._windows: dict[str, _Window] = {}  # by reason; a node has a fixed number of reasons

    def add(
        self, event: str, reason: str, sender: str, text: str, now_ms: int, **facts: object
    ) -> None:
        """Report a refusal, or count it if its reason was reported within the last minute."""
        self.tick(now_ms)
        window = self._windows.get(reason)
        if window is None:
            self._windows[reason] = _Window(now_ms + WINDOW_MS)
            self._report(event, text, **facts, reason=reason)
            return
        window.count += 1
        if len(window.senders) <= NAMED_MAX:
            window.senders[sender] = None

    def tick(self, now_ms: int) -> None:
        """Report the counts of the minutes that have ended."""
        for reason, window in list(self._windows.items()):
            if now_ms < window.end_ms:
                continue
            if not window.count:
                del self._windows[reason]
                continue
            self._windows[reason] = _Window(now_ms + WINDOW_MS)
            senders = [one for one in window.senders if one][:NAMED_MAX]
            more = " and others" if len(window.senders) > NAMED_MAX else ""
            whose = f" from {', '.join(senders)}{more}" if senders else ""
            noun = self._noun if window.count == 1 else f"{self._noun}s"
            self._report(
                "refusals",
                f"{window.count} more {noun} by {reason} in the last minute{whose}",
                reason=reason,
                count=window.count,
            )

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has a count to report, None for never."""
        ends = [one.end_ms for one in self._windows.values() if one.count]
        return max(0, min(ends) - now_ms) if ends else None
