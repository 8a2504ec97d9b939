"""When each resource is read: by a period, or by observing it (RFC 7641).

A few calls are under way at one time, so that nodes that are offline, each of which keeps a call
open for more than a minute, hold up none of the others for long.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from writ.authority.capsule import Member
from writ.errors import (
    ClassAirtime,
    DutyCycle,
    NeighbourAirtime,
    NotRouted,
    RateLimited,
    TableFull,
)
from writ.limits import REQUESTS_MAX
from writ.wire import coap

from .members import Members, Outcome
from .settings import Reading

# Reads that wait for an answer at one time, and those of one node: its other resources are not
# asked for while it does not answer.
AT_ONCE = max(2, REQUESTS_MAX // 4)
# An observation occupies one of the node's requests for as long as it lasts: other resources are
# read by their period.
OBSERVED_MAX = REQUESTS_MAX // 2
# A read without an answer is repeated after this time, then after twice as long each time, up to
# its period; and after as long as it took, so that a mesh has half of the time for others.
RETRY_MS = 10_000
_DOUBLINGS_MAX = 20
# Refusals that a repetition within the period would only prolong, beside those of the node itself.
_NO_SOONER = {
    one.__name__
    for one in (ClassAirtime, DutyCycle, NeighbourAirtime, NotRouted, RateLimited, TableFull)
}
# Notifications of one resource in this time are one reading, the newest: a node that notifies in a
# loop must not displace the readings of others.
NOTIFY_MS = 1_000


@dataclass
class _Task:
    """The state of one reading. due_ms: when it is read again, None while it is observed.

    begun_ms: when the last read began; failures: reads without an answer since the last one.
    """

    reading: Reading
    due_ms: int | None = 0
    begun_ms: int = 0
    failures: int = 0
    is_under_way: bool = False
    is_observed: bool = False  # or it was asked for with the read under way
    noted_ms: int = -NOTIFY_MS  # of the last notification that was passed on
    waiting: tuple[Member, bytes, int] | None = None  # the newest one within NOTIFY_MS


# Called with each value: the reading, who answered, the payload, Unix time in milliseconds.
OnValue = Callable[[Reading, Member, bytes, int], None]
# Called with each failed read.
OnProblem = Callable[[Reading, Outcome], None]


class Reader:
    """Reads the resources of a bridge. Call `tick` often; now_ms only grows.

    unix_ms: the time that readings carry. has_read: whether each resource had an outcome.
    """

    def __init__(
        self,
        members: Members,
        readings: Iterable[Reading],
        on_value: OnValue,
        on_problem: OnProblem,
        unix_ms: Callable[[], int],
    ) -> None:
        self._members = members
        self._on_value, self._on_problem, self._unix_ms = on_value, on_problem, unix_ms
        self._tasks = [_Task(one) for one in readings]
        self._now_ms = 0
        self._unread = {one.reading.name for one in self._tasks}

    @property
    def has_read(self) -> bool:
        """Whether each resource had an outcome."""
        return not self._unread

    @property
    def unread(self) -> list[str]:
        """NODE/RESOURCE of those without an outcome."""
        return sorted(self._unread)

    def refresh(self, node: str, resource: str) -> None:
        """Read a resource soon, if it is one of the readings: it may have changed."""
        for task in self._tasks:
            if (task.reading.node, task.reading.resource) == (node, resource):
                task.due_ms = task.due_ms and min(task.due_ms, self._now_ms)

    def tick(self, now_ms: int) -> None:
        """Begin the reads that are due, as many as may be under way."""
        self._now_ms = now_ms
        busy = {task.reading.node for task in self._tasks if task.is_under_way}
        for task in self._tasks:
            if task.waiting and now_ms - task.noted_ms >= NOTIFY_MS:
                self._note(task, *task.waiting)
            if task.due_ms is None or task.due_ms > now_ms or task.is_under_way:
                continue
            if len(busy) >= AT_ONCE or task.reading.node in busy:
                continue
            busy.add(task.reading.node)
            self._begin(task)

    def _begin(self, task: _Task) -> None:
        task.is_under_way = True
        task.begun_ms = self._now_ms
        reading = task.reading
        observed = sum(one.is_observed for one in self._tasks)
        observe = True if reading.observe and observed < OBSERVED_MAX else None
        task.is_observed = bool(observe)
        self._members.call(
            reading.node,
            coap.GET,
            reading.resource,
            b"",
            lambda outcome: self._ended(task, outcome),
            observe,
        )

    def _ended(self, task: _Task, outcome: Outcome) -> None:
        task.is_under_way = False
        task.is_observed = outcome.observed
        self._unread.discard(task.reading.name)
        if outcome.problem or outcome.member is None:
            # an observation has ended with it, too
            task.due_ms = self._now_ms + self._pause_ms(task, outcome)
            self._on_problem(task.reading, outcome)
            return
        task.failures = 0
        task.due_ms = None if outcome.observed else self._now_ms + 1000 * task.reading.every_s
        found = outcome.member, outcome.payload, self._unix_ms()
        if self._now_ms - task.noted_ms < NOTIFY_MS:
            task.waiting = found
        else:
            self._note(task, *found)

    def _pause_ms(self, task: _Task, outcome: Outcome) -> int:
        """How long to wait after a failed read."""
        period_ms = max(1000 * task.reading.every_s, RETRY_MS)
        # a request to a node that sleeps waits for it: more of them would only fill the mailbox
        if outcome.is_reached or outcome.is_asleep or outcome.problem in _NO_SOONER:
            return period_ms
        pause_ms = max(RETRY_MS << task.failures, self._now_ms - task.begun_ms)
        task.failures = min(task.failures + 1, _DOUBLINGS_MAX)
        return min(pause_ms, period_ms)

    def _note(self, task: _Task, member: Member, payload: bytes, time_ms: int) -> None:
        task.waiting, task.noted_ms = None, self._now_ms
        self._on_value(task.reading, member, payload, time_ms)
