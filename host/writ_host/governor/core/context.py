"""What the parts of a governor share: who it is, where the chain stands, and what is to be said."""

from collections.abc import Callable
from dataclasses import dataclass, field

from writ.authority import capsule as capsules

from ... import codec
from ...keys.identity import Identity
from ...keys.roster import Seat
from ..ledger.capsules import read_capsule
from ..ledger.ledger import Ledger
from ..proposals.judge import View
from .chain import ChainState


@dataclass(frozen=True)
class Send:
    """To one governor, or to all others (None).

    early: nothing unwritten came before it; has_time: nobody waits for it.
    """

    to: int | None
    data: bytes
    early: bool = False
    has_time: bool = False


@dataclass(frozen=True)
class Event:
    """Something that an operator may want to know; never a secret, never a payload."""

    name: str
    text: str
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NewCapsule:
    """Certified, and news to this governor: for its scope node."""

    raw: bytes


@dataclass(frozen=True)
class Reseat:
    """Other governors are in force from now on: this core is done.

    The caller goes on with the seat that has this digest (8 B) or, after a succession, this group
    key (32 B); without it this process governs no more.
    """

    name: bytes


Out = Send | Event | NewCapsule | Reseat


@dataclass
class Context:
    """clock_s: Unix seconds; now_ms: of the call that is being handled; outs: in their order.

    hurry(sends): whoever runs this governor may send some at once, before the call is done.
    """

    identity: Identity
    seat: Seat
    ledger: Ledger
    clock_s: Callable[[], int]
    chain: ChainState
    now_ms: int = 0
    next_seats: frozenset[bytes] = frozenset()
    outs: list[Out] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    hurry: Callable[[list[Send]], None] | None = None

    @property
    def me(self) -> int:
        """This governor's number."""
        return self.seat.key.identifier

    @property
    def count(self) -> int:
        """How many governors there are."""
        return len(self.seat.roster.governors)

    def name(self, number: int) -> str:
        """A governor's name."""
        return self.seat.roster.name(number)

    def view(self) -> View:
        """What proposals are judged by."""
        return View(
            charter=self.chain.charter,
            policy=self.chain.policy,
            epoch=self.chain.epoch,
            head=self.chain.head,
            clock_s=self.clock_s(),
            ledger=self.ledger,
            seats=self.next_seats,
            governors=self.count,
        )

    def newest_beacon(self) -> tuple[int, int]:
        """(time, epoch) of the newest beacon, (0, 0) before the first."""
        raw = self.ledger.beacon()
        if raw is None:
            return 0, 0
        beacon = capsules.Beacon(read_capsule(raw))
        return int(beacon.time), int(beacon.epoch)

    def send(self, to: int | None, *items: object) -> None:
        """A message of the core (messages.py)."""
        self.say(to, codec.dump(list(items)))

    def say(self, to: int | None, data: bytes, has_time: bool = False) -> None:
        """A message that is encoded already."""
        self.outs.append(Send(to, data, not self.ledger.is_dirty, has_time))

    def let_go(self) -> None:
        """Have sent what waits for nothing, before this governor writes and works on."""
        early = [out for out in self.outs if isinstance(out, Send) and out.early]
        if early and self.hurry is not None:
            self.outs = [out for out in self.outs if out not in early]
            self.hurry(early)

    def tell(self, name: str, text: str, **facts: object) -> None:
        """An event, for whoever watches."""
        self.outs.append(Event(name, text, facts))

    def record(self, name: str, text: str, **facts: object) -> None:
        """An event that is also in the ledger's log, durably."""
        self.ledger.log(name, text, **facts)
        self.tell(name, text, **facts)

    def tally(self, name: str) -> None:
        """Count something by its name."""
        self.counters[name] = self.counters.get(name, 0) + 1

    def flush(self) -> list[Out]:
        """What is to be said and done, once."""
        outs, self.outs = self.outs, []
        return outs
