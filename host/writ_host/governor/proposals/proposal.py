"""What is proposed, and which operators agreed: the table that every governor keeps for itself."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from writ.authority.capsule import AMENDMENT, POLICY, SUCCESSION

from ... import codec
from ...consensus.value import Value, body_of, check_unordered
from .approval import Approval
from .judge import Verdict
from .messages import EVIDENCE_BYTES_MAX, ID_BYTES, TITLE_BYTES_MAX

OPEN, CERTIFIED, REFUSED, STALE = "open", "certified", "refused", "stale"
# All that a field of a thousand devices renews at once, and room for people's own.
OPEN_MAX = 2048
# Of one governor that is not us: a liar fills its own part only.
OPEN_EACH_MAX = 1024
# Of those that people must look at: a list that is longer nobody reads.
PEOPLE_EACH_MAX = 32
# What is done with is remembered, so that who asked again is told.
DONE_MAX = 2048
# What nobody certified in so long is given up.
LIFETIME_S = 14 * 86400
CREATED_MAX = 0xFFFFFFFF
# A reason against signing: the message may have been lost.
UNKNOWN_PROPOSAL = "a proposal that was not told here"


def proposal_id(payloads: Sequence[bytes]) -> bytes:
    """The name of a proposal, 16 bytes: of what would be signed, and of nothing else."""
    text = codec.dump(["writ-proposal", list(payloads)])
    return hashlib.sha256(text).digest()[:ID_BYTES]


@dataclass
class Proposal:
    """Payloads that somebody wants certified. Raises `Malformed` for what can not be.

    evidence: what devices signed of it (judge.py); proposer: the governor that took it, as the
    teller says, from whom we have it (0: from our own disk);
    created_s: when, by its clock; verdict: our own judgement of it, None where it must be judged
    anew; capsules: what it became; is_saved: in the ledger.
    """

    payloads: tuple[bytes, ...]
    title: str
    evidence: bytes
    proposer: int
    created_s: int
    state: str = OPEN
    reason: str = ""
    approvals: dict[int, Approval] = field(default_factory=dict)
    verdict: Verdict | None = None
    capsules: list[bytes] = field(default_factory=list)
    since_ms: int = 0
    judged_ms: int = 0
    teller: int = 0
    is_saved: bool = False

    def __post_init__(self) -> None:
        codec.a_text(self.title, TITLE_BYTES_MAX)
        codec.some_bytes(self.evidence, size_max=EVIDENCE_BYTES_MAX)
        self.is_ordered = bool(self.payloads) and is_ordered(self.payloads[0])
        if self.is_ordered:
            self.value = Value(self.payloads)
        else:
            check_unordered(self.payloads)
        self.id = proposal_id(self.payloads)

    @property
    def yes(self) -> int:
        """How many operators agreed."""
        return sum(1 for approval in self.approvals.values() if approval.yes)

    @property
    def no(self) -> int:
        """How many operators denied it."""
        return len(self.approvals) - self.yes

    def to_item(self) -> list[object]:
        """As others are told."""
        return [list(self.payloads), self.title, self.evidence, self.created_s]

    @classmethod
    def from_item(cls, item: object, proposer: int) -> "Proposal":
        """Raises `Malformed`."""
        listed, title, evidence, created_s = codec.a_list(item, 4)
        payloads = tuple(codec.some_bytes(one) for one in codec.a_list(listed, size_max=32))
        return cls(
            payloads,
            codec.a_text(title, TITLE_BYTES_MAX),
            codec.some_bytes(evidence, size_max=EVIDENCE_BYTES_MAX),
            proposer,
            codec.an_int(created_s, 0, CREATED_MAX),
        )


def is_ordered(payload: bytes) -> bool:
    """Whether epochs order payloads like this one. Raises `Malformed`."""
    return body_of(payload)[0] in (POLICY, AMENDMENT, SUCCESSION)


class ProposalTable:
    """All that are open, and the newest of those that are done with."""

    def __init__(self) -> None:
        self._open: dict[bytes, Proposal] = {}
        self._done: dict[bytes, Proposal] = {}
        self._by_payload: dict[bytes, list[Proposal]] = {}

    def __iter__(self) -> Iterator[Proposal]:
        """Those that are open, oldest first."""
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def get(self, id: bytes) -> Proposal | None:
        """The proposal with this id, whatever became of it."""
        return self._open.get(id) or self._done.get(id)

    def find(self, start: str) -> list[Proposal]:
        """Those whose id, in hex, begins so, whatever became of them."""
        known = [*self._open.values(), *self._done.values()]
        return [one for one in known if one.id.hex().startswith(start)]

    def of_payload(self, payload: bytes) -> list[Proposal]:
        """The open proposals that would have this payload signed."""
        return list(self._by_payload.get(payload, ()))

    def has_room(self, proposer: int, teller: int, for_people: bool) -> bool:
        """Whether one more of this governor is kept; for_people: operators must agree to it.

        What a governor has proposed itself, and what it passes on, are counted apart: a liar that
        tells one governor of much takes no room from that one's own.
        """
        if len(self._open) >= OPEN_MAX:
            return False
        place = teller, teller == proposer
        mine = [
            one for one in self._open.values() if (one.teller, one.teller == one.proposer) == place
        ]
        if not for_people:
            return len(mine) < OPEN_EACH_MAX
        return sum(1 for one in mine if one.verdict and one.verdict.operators) < PEOPLE_EACH_MAX

    def add(self, proposal: Proposal) -> None:
        """Keep an open proposal."""
        self._open[proposal.id] = proposal
        for payload in proposal.payloads:
            self._by_payload.setdefault(payload, []).append(proposal)

    @property
    def done(self) -> list[Proposal]:
        """The newest that are done with, oldest first."""
        return list(self._done.values())

    def add_done(self, proposal: Proposal) -> None:
        """Keep one that is done with."""
        self._done[proposal.id] = proposal
        while len(self._done) > DONE_MAX:
            del self._done[next(iter(self._done))]

    def close(self, proposal: Proposal, state: str, reason: str = "") -> None:
        """It is done with."""
        proposal.state, proposal.reason = state, reason
        if self._open.pop(proposal.id, None) is None:
            return
        for payload in proposal.payloads:
            kept = [one for one in self.of_payload(payload) if one is not proposal]
            self._by_payload[payload] = kept
            if not kept:
                del self._by_payload[payload]
        self.add_done(proposal)
