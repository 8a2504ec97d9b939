"""The outputs of ceremonies: messages and results for the daemon, views for operators."""

from dataclasses import dataclass, field

from ... import codec
from ...keys.roster import Seat
from .gossip import CeremonySend

_REASON_BYTES_MAX = 200
# The states of founding.py and resharing.py as operators read them.
_STATE_TEXTS = {
    "new": "started",
    "approve": "waiting for approval by the dealers and the new governors",
    "deal": "re-sharing, waiting for deals",
    "round1": "generating the key, waiting for round 1",
    "compare": "waiting for all operators to compare and approve the fingerprint",
    "round2": "exchanging key shares",
    "confirm": "waiting for all to confirm their shares",
    "genesis": "signing the first capsules",
}


def state_text(state: str) -> str:
    """A ceremony's state as text."""
    return _STATE_TEXTS.get(state, state)


@dataclass(frozen=True)
class CeremonyEvent:
    """An event for the log and the operator; never with a secret."""

    name: str
    text: str
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ScopeFounded:
    """The scope is founded: this daemon's seat, and the first certified capsules.

    ceremony: its id (32 B), as in a view. Returned once in each process, so again after a restart.
    """

    seat: Seat
    genesis: list[bytes]
    ceremony: bytes = b""


@dataclass(frozen=True)
class SeatReady:
    """A seat that a policy can put in force by its `digest` (8 B).

    genesis: the new charter's capsule in a succession, which the new group key names as well;
    ceremony: its id (32 B), as in a view. Returned once in each process, so again after a restart.
    """

    digest: bytes
    seat: Seat
    genesis: list[bytes] = field(default_factory=list)
    ceremony: bytes = b""


@dataclass(frozen=True)
class SendInvitation:
    """Send the invitation `data` to the daemon at `address` ("host:port"), which has no peers."""

    address: str
    data: bytes


CeremonyOutput = CeremonySend | CeremonyEvent | ScopeFounded | SeatReady | SendInvitation


@dataclass(frozen=True)
class CeremonyView:
    """A ceremony as operators see it. governors: (name, last file published) each.

    needs_decision: whether it waits for this governor's operator; seat_id: the committee's digest
    (8 B) or group key (32 B) by which a policy or a succession puts the new seats in force, b""
    before the end and for a first founding.
    """

    id: bytes
    title: str
    lines: list[str]
    fingerprint: str
    state: str
    waiting_for: tuple[str, ...]
    needs_decision: bool = False
    problem: str = ""
    governors: tuple[tuple[str, str], ...] = ()
    seat_id: bytes = b""


@dataclass(frozen=True)
class Decision:
    """An operator's decision. A yes approves one fingerprint and no other."""

    yes: bool
    reason: str
    fingerprint: str
    time_s: int

    def to_bytes(self) -> bytes:
        """The encoding for the daemon's own files."""
        return codec.dump([self.yes, self.reason, self.fingerprint, self.time_s])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Decision":
        """Raises `Malformed`."""
        yes, reason, fingerprint, time_s = codec.a_list(codec.load(data), 4)
        return cls(
            yes is True,
            codec.a_text(reason, _REASON_BYTES_MAX) if reason else "",
            codec.a_text(fingerprint, 80) if fingerprint else "",
            codec.an_int(time_s, 0, 0xFFFFFFFFFF),
        )
