"""The books of one node beside the channel: what its budget holds, and what was on air.

A budget counts an hour in buckets of a minute (writ/mesh/budget.py): it holds what was charged in
the last 60 to 62 minutes. A frame is charged when the link takes it, and is on air up to a minute
later.

1. The books hold all that was on air in the last hour: else a node could leave the duty cycle.
2. The books hold no more than the link has taken in the last 62 minutes.
3. What the link has taken was on air, or waits for the channel, or was dropped, because the channel
   was never free. Dropped frames are charged, too: a modem does not always tell.
"""

from collections import deque

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
_WINDOW_US = HOUR_US + 2 * MINUTE_US


class WrongBooks(AssertionError):
    """The budget of a node and the channel differ by more than the rules allow."""


class Books:
    """The books of one link of a node, from one start on. Times and airtimes are microseconds."""

    def __init__(self) -> None:
        self._taken: deque[tuple[int, int]] = deque()
        self._sent: deque[tuple[int, int]] = deque()
        self.taken_us = self.sent_us = self.dropped_us = 0

    def take(self, now_us: int, airtime_us: int) -> None:
        """The link takes a frame."""
        self._taken.append((now_us, airtime_us))
        self.taken_us += airtime_us

    def send(self, now_us: int, airtime_us: int) -> None:
        """A frame goes on air."""
        self._sent.append((now_us, airtime_us))
        self.sent_us += airtime_us

    def drop(self, airtime_us: int) -> None:
        """The link gives up a frame that it has taken."""
        self.dropped_us += airtime_us

    def check(self, now_us: int, used_us: int, waiting_us: int = 0) -> None:
        """Raise `WrongBooks` by the rules above. used_us: what the budget holds; waiting_us: of a
        frame that the link has taken, and that is not on air yet.
        """
        on_air_us = _within(self._sent, now_us - HOUR_US)
        if used_us < on_air_us:
            raise WrongBooks(f"{on_air_us} us on air in an hour, and {used_us} us in the books")
        taken_us = _within(self._taken, now_us - _WINDOW_US)
        if used_us > taken_us:
            raise WrongBooks(f"{used_us} us in the books, and the link has taken {taken_us} us")
        if self.taken_us != self.sent_us + self.dropped_us + waiting_us:
            raise WrongBooks(
                f"taken {self.taken_us} us, on air {self.sent_us} us, dropped {self.dropped_us} us"
            )


def _within(frames: deque[tuple[int, int]], begin_us: int) -> int:
    # the airtime of frames since then; earlier ones are forgotten
    while frames and frames[0][0] <= begin_us:
        frames.popleft()
    return sum(airtime_us for _, airtime_us in frames)
