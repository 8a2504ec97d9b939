"""The state that the parts of a governor's core share, and the outputs that a call collects."""

from collections.abc import Callable
from dataclasses import dataclass, field

from writ.authority import capsule as capsules

from ... import codec
from ...keys.identity import Identity
from ...keys.roster import Seat
from ...refusals import REPORT_PAUSE_MS
from ..ledger.capsules import read_capsule
from ..ledger.ledger import Ledger
from ..proposals.scopeview import ScopeView
from .chain import ChainState


@dataclass(frozen=True)
class Outgoing:
    """A message to send to one governor, or to all others (None).

    is_early: it depends on no uncommitted write, so it may leave before the commit;
    is_deferrable: no governor waits for it, so urgent messages may go first.
    """

    to: int | None
    data: bytes
    is_early: bool = False
    is_deferrable: bool = False


@dataclass(frozen=True)
class LogEvent:
    """An event for the operator's log; never a secret, never a payload."""

    name: str
    text: str
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NewCapsule:
    """A certified capsule that is new to this governor, for its scope node."""

    raw: bytes


@dataclass(frozen=True)
class Reseat:
    """Another committee is in force now, and this core has ended.

    seat_id: the digest (8 B) of that committee or, after a succession, the new group key (32 B).
    The caller continues with its seat of this id. A process without one no longer governs.
    """

    seat_id: bytes


# The ledger's key for how long (s, 8 B) this governor has waited for the others' reservations while
# it ran: empty before its seat is in force, absent when it waits no longer.
NEW_WAITED = "new-here"

Output = Outgoing | LogEvent | NewCapsule | Reseat


@dataclass
class CoreContext:
    """The shared state of one core.

    clock_s: Unix seconds; now_ms: the time of the call that is being handled; is_seated: whether
    the committee of this seat is in force; next_seats: what ceremonies have made and is not in
    force yet, committee digests (8 B) and group keys (32 B); outputs: in the order in which the
    caller must handle them; send_now(messages): set by the caller, sends messages before the
    current call returns; on_defect(error, source, message): set by the caller, logs what no
    message should raise, which is raised where it is not set.
    """

    identity: Identity
    seat: Seat
    ledger: Ledger
    clock_s: Callable[[], int]
    chain: ChainState
    now_ms: int = 0
    is_seated: bool = False
    next_seats: frozenset[bytes] = frozenset()
    outputs: list[Output] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    send_now: Callable[[list[Outgoing]], None] | None = None
    on_defect: Callable[[Exception, str, bytes], None] | None = None
    # by governor: when a malformed message of it was logged last
    _reported_ms: dict[int, int] = field(default_factory=dict)

    @property
    def me(self) -> int:
        """This governor's number."""
        return self.seat.key.identifier

    @property
    def count(self) -> int:
        """The number of governors."""
        return len(self.seat.roster.governors)

    def name(self, number: int) -> str:
        """The name of a governor."""
        return self.seat.roster.name(number)

    def view(self) -> ScopeView:
        """The state against which the judge checks proposals."""
        return ScopeView(
            charter=self.chain.charter,
            policy=self.chain.policy,
            epoch=self.chain.epoch,
            head=self.chain.head,
            clock_s=self.clock_s(),
            ledger=self.ledger.capsules,
            committees=self.next_seats,
            governors=self.count,
            void_before=self.ledger.restorations.void_before,
            threshold=self.seat.public.threshold,
            signed_until=self._signed_until,
        )

    @property
    def is_new(self) -> bool:
        """Whether it lacks the others' reservations; a founder of the group key never does."""
        return self.ledger.meta(NEW_WAITED) is not None and self.chain.committee is not None

    def _signed_until(self, node_id: bytes) -> int | None:
        return None if self.is_new else self.ledger.reservations.signed_until(node_id)

    def newest_beacon(self) -> tuple[int, int]:
        """(time, epoch) of the newest beacon; (0, 0) before the first."""
        raw = self.ledger.capsules.beacon()
        if raw is None:
            return 0, 0
        beacon = capsules.Beacon(read_capsule(raw))
        return int(beacon.time), int(beacon.epoch)

    def send(self, to: int | None, *items: object) -> None:
        """Send a message of the core (messages.py)."""
        self.send_encoded(to, codec.dump(list(items)))

    def send_encoded(self, to: int | None, data: bytes, is_deferrable: bool = False) -> None:
        """Send a message that is encoded already."""
        self.outputs.append(Outgoing(to, data, not self.ledger.is_dirty, is_deferrable))

    def flush_early(self) -> None:
        """Send the early messages now, before this governor writes and computes on."""
        early = [one for one in self.outputs if isinstance(one, Outgoing) and one.is_early]
        if early and self.send_now is not None:
            self.outputs = [one for one in self.outputs if one not in early]
            self.send_now(early)

    def emit(self, name: str, text: str, **facts: object) -> None:
        """Emit an event for the operator's log."""
        self.outputs.append(LogEvent(name, text, facts))

    def record(self, name: str, text: str, **facts: object) -> None:
        """Emit an event and keep it durably in the ledger's log."""
        self.ledger.log(name, text, **facts)
        self.emit(name, text, **facts)

    def increment(self, counter: str) -> None:
        """Add one to the counter of this name."""
        self.counters[counter] = self.counters.get(counter, 0) + 1

    def report_rejection(self, sender: int, rejection: str) -> None:
        """Count a message that no honest governor sends, and name its sender in the log."""
        self.increment(rejection)
        last_ms = self._reported_ms.get(sender)
        if not 1 <= sender <= self.count:
            return
        if last_ms is None or self.now_ms - last_ms >= REPORT_PAUSE_MS:
            self._reported_ms[sender] = self.now_ms
            name = self.name(sender)
            text = f"{name} sent a message that no honest governor sends: {rejection}"
            self.emit("malformed", text, governor=name, rejection=rejection)

    def drain(self) -> list[Output]:
        """Return the collected outputs and clear them."""
        outputs, self.outputs = self.outputs, []
        return outputs
