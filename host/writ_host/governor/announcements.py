"""What a governor's core has to announce: events for the log, capsules for the scope node."""

from collections.abc import Callable, Sequence

from writ.authority.capsule import AMENDMENT, KIND_NAMES

from ..defects import Emit
from .core.context import LogEvent, NewCapsule
from .core.core import Core
from .ledger.capsules import read_capsule
from .metrics import Metrics
from .proposals.proposal import CERTIFIED, OPEN

News = LogEvent | NewCapsule


class Announcements:
    """The news of one governor, kept until its messages have left.

    enqueue(raw): takes a capsule for the scope node; certified: capsules since the start, by kind.
    """

    def __init__(
        self,
        metrics: Metrics,
        emit: Emit,
        enqueue: Callable[[bytes], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.certified: dict[str, int] = {}
        self._metrics, self._emit = metrics, emit
        self._enqueue, self._now_ms = enqueue, now_ms
        self._news: list[News] = []
        self._proposed_ms: dict[bytes, int] = {}  # since when, by the proposal's id

    def add(self, one: News) -> None:
        """Keep one event or capsule until `take`."""
        self._news.append(one)

    def add_proposal(self, id: bytes, now_ms: int) -> None:
        """Measure the time until this proposal, made now, is certified."""
        self._proposed_ms[id] = now_ms

    def take(self) -> list[News]:
        """The events and capsules since the last call. Their messages have left."""
        news, self._news = self._news, []
        return news

    def announce(self, news: Sequence[News], core: Core | None) -> None:
        """Log the events, and hand the capsules to the scope node."""
        for one in news:
            if isinstance(one, LogEvent):
                self._emit(one.name, one.text, **one.facts)
                continue
            kind = KIND_NAMES[read_capsule(one.raw).kind]
            self.certified[kind] = self.certified.get(kind, 0) + 1
            # the policy that comes with an amendment contains it
            if kind != KIND_NAMES[AMENDMENT]:
                self._enqueue(one.raw)
        if self._proposed_ms and news and core is not None:
            self._observe_decisions(core)

    def _observe_decisions(self, core: Core) -> None:
        now_ms = self._now_ms()
        for id, since_ms in list(self._proposed_ms.items()):
            proposal = core.pool.proposals.get(id)
            if proposal is None or proposal.state != OPEN:
                del self._proposed_ms[id]
                if proposal is not None and proposal.state == CERTIFIED:
                    self._metrics.observe_decision((now_ms - since_ms) / 1000)
