"""What comes out of a ceremony: what is to be sent and done, and what people see and say."""

from dataclasses import dataclass, field

from ... import codec
from ...keys.roster import Seat
from .gossip import CSend

_REASON_BYTES_MAX = 200
# States of founding.py and handover.py, as people read them.
_WORDS = {
    "new": "begun",
    "approve": "whoever deals or comes approves it",
    "deal": "new shares are dealt",
    "round1": "each governor makes its part of the key",
    "compare": "all operators compare the fingerprint and approve it",
    "round2": "the governors give each other their shares",
    "confirm": "all confirm their shares",
    "genesis": "the first capsules are signed",
}


def in_words(state: str) -> str:
    """A ceremony's state, for people."""
    return _WORDS.get(state, state)


@dataclass(frozen=True)
class CEvent:
    """Something that an operator may want to know; never a secret."""

    name: str
    text: str
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CSeat:
    """A scope is founded: this daemon's seat, and the capsules that were certified first.

    ceremony: its id (32 B), as in a view.
    Said once in the life of a process, so again after a restart.
    """

    seat: Seat
    genesis: list[bytes]
    ceremony: bytes = b""


@dataclass(frozen=True)
class CNext:
    """A seat that takes its place when a policy names its `digest` (8 B).

    Of a succession also the new charter, as a capsule; then the group key names the seat as well.
    ceremony: its id (32 B), as in a view.
    Said once in the life of a process, so again after a restart.
    """

    digest: bytes
    seat: Seat
    genesis: list[bytes] = field(default_factory=list)
    ceremony: bytes = b""


@dataclass(frozen=True)
class CInvite:
    """Bring `data` to the daemon at `address` ("host:port"), as an invitation: it knows nobody."""

    address: str
    data: bytes


COut = CSend | CEvent | CSeat | CNext | CInvite


@dataclass(frozen=True)
class CeremonyView:
    """A ceremony, for people. asks: whether this governor's operator is awaited.

    names: what a policy, or a succession, names to put in force what came of it: a committee's
    digest (8 B) or a group key (32 B); b"" before it is done, and for a first founding.
    """

    id: bytes
    title: str
    lines: list[str]
    fingerprint: str
    state: str
    waiting_for: tuple[str, ...]
    asks: bool = False
    problem: str = ""
    governors: tuple[tuple[str, str], ...] = ()
    names: bytes = b""


@dataclass(frozen=True)
class Decision:
    """What the operator said. A yes is for one fingerprint and no other."""

    yes: bool
    reason: str
    fingerprint: str
    time_s: int

    def to_bytes(self) -> bytes:
        """For the daemon's own files."""
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
