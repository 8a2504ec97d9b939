"""What goes into the consensus core, and what comes out: the whole of its contact with the world.

The order of effects binds: a `Write` is durable before any later `Send` leaves, and a `Decide` or
`Certified` is durable before anything after it. Who stops in the middle loses the rest, no more.
"""

from dataclasses import dataclass

from .value import Value


@dataclass(frozen=True)
class Received:
    """A message, and which governor's authenticated session brought it."""

    sender: int
    data: bytes


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Propose:
    """Somebody wants `value` to be the next epoch.

    sender: the governor whose proposal it is, as the caller was told and tells the others itself;
    None for this one, which then tells them.
    """

    value: Value
    sender: int | None = None


@dataclass(frozen=True)
class Certify:
    """This governor wants signatures for `payloads` of unordered kinds."""

    payloads: tuple[bytes, ...]


Event = Received | Tick | Propose | Certify


@dataclass(frozen=True)
class Write:
    """Replace the promise record, durably (hardstate.py says what it holds)."""

    record: bytes


@dataclass(frozen=True)
class Send:
    """Send `data` to one governor, or to all others (None). It may be lost.

    has_time: nobody waits for it, so that what others wait for may go first.
    """

    to: int | None
    data: bytes
    has_time: bool = False


@dataclass(frozen=True)
class Decide:
    """The value of epoch `height`, with the group's signature (64 B) for each payload."""

    height: int
    value: Value
    signatures: tuple[bytes, ...]


@dataclass(frozen=True)
class Certified:
    """What `Certify` asked for, with the group's signature (64 B) for each payload."""

    payloads: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


@dataclass(frozen=True)
class Refused:
    """A certification that can no longer succeed; reasons by governor."""

    payloads: tuple[bytes, ...]
    reasons: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class SetTimer:
    """Give a `Tick` at this time, instead of the one asked for before."""

    at_ms: int


@dataclass(frozen=True)
class Accuse:
    """A governor caught at what no honest one does; `proof` are its own signed messages."""

    identifier: int
    what: str
    proof: tuple[bytes, ...]


Effect = Write | Send | Decide | Certified | Refused | SetTimer | Accuse
