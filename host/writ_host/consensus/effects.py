"""The events and effects of the consensus core: all of its contact with the world.

The order of effects binds. A `Write` is durable before any later `Send` leaves; a `Decide` or
`Cosigned` is durable before anything after it. A process that stops in between loses the rest, and
nothing else.
"""

from dataclasses import dataclass

from .value import Value


@dataclass(frozen=True)
class Received:
    """A message, and the governor whose authenticated session brought it."""

    sender: int
    data: bytes


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Propose:
    """A governor submits `value` for the next epoch.

    sender: that governor, if the caller distributes the value to all governors itself; None for
    this governor, whose replica then submits the value to the others.
    """

    value: Value
    sender: int | None = None


@dataclass(frozen=True)
class Cosign:
    """This governor requests the group's signatures for `payloads` of unordered kinds."""

    payloads: tuple[bytes, ...]


Event = Received | Tick | Propose | Cosign


@dataclass(frozen=True)
class Write:
    """Replace the record of the hard state, durably (hardstate.py says what it holds)."""

    record: bytes


@dataclass(frozen=True)
class Send:
    """Send `data` to one governor, or to all others (None). It may be lost.

    deferrable: no governor waits for it, so urgent messages may go first.
    """

    to: int | None
    data: bytes
    deferrable: bool = False


@dataclass(frozen=True)
class Decide:
    """The value of epoch `height`, with the group's signature (64 B) for each payload."""

    height: int
    value: Value
    signatures: tuple[bytes, ...]


@dataclass(frozen=True)
class Cosigned:
    """The group's signature (64 B) for each payload of a `Cosign`."""

    payloads: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


# What the asker of signatures may do about an objection: nothing, or send the proposal again.
OTHER_OBJECTION, UNKNOWN_PROPOSAL = 0, 1


@dataclass(frozen=True)
class Objection:
    """Why a governor does not sign. text: for operators; code: for other governors."""

    text: str
    code: int = OTHER_OBJECTION


@dataclass(frozen=True)
class CosigningFailed:
    """A `Cosign` that can no longer succeed; objections by governor."""

    payloads: tuple[bytes, ...]
    objections: tuple[tuple[int, Objection], ...]


@dataclass(frozen=True)
class SetTimer:
    """Give a `Tick` at this time, instead of at the time of an earlier `SetTimer`."""

    at_ms: int


@dataclass(frozen=True)
class Accuse:
    """A governor did what no honest one does; `proof` is its own signed messages."""

    identifier: int
    what: str
    proof: tuple[bytes, ...]


@dataclass(frozen=True)
class Reject:
    """A message of governor `sender` that no honest one sends; rejection: its name."""

    sender: int
    rejection: str


Effect = Write | Send | Decide | Cosigned | CosigningFailed | SetTimer | Accuse | Reject
