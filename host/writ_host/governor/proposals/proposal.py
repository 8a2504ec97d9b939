"""Proposals: payloads that a governor wants certified, and the index that each governor keeps."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from writ.authority.capsule import AMENDMENT, POLICY, SUCCESSION, TIME_MAX

from ... import codec
from ...consensus.effects import UNKNOWN_PROPOSAL, Objection
from ...consensus.value import Value, body_of, check_unordered
from .approval import Approval
from .judge import Verdict
from .messages import EVIDENCE_BYTES_MAX, ID_BYTES, TITLE_BYTES_MAX
from .origin import STATEMENT_WAIT_MAX_S

OPEN, CERTIFIED, REFUSED, STALE = "open", "certified", "refused", "stale"
# A field of a thousand devices renews all its memberships at once; operators' proposals also fit.
OPEN_MAX = 2048
# From one other governor: a Byzantine one fills only its own part.
OPEN_EACH_MAX = 1024
# From one governor, of those that operators must approve: they could not read a longer list.
FOR_OPERATORS_EACH_MAX = 32
# Closed proposals in memory, for requesters that ask again.
CLOSED_MAX = 2048
# A proposal that is not certified in this time becomes stale.
LIFETIME_S = STATEMENT_WAIT_MAX_S
# The proposal may have been lost on its way here.
UNKNOWN = Objection("this governor has not received the proposal", UNKNOWN_PROPOSAL)


def proposal_id(payloads: Sequence[bytes]) -> bytes:
    """The id of a proposal, 16 bytes: it depends on the payloads, and on nothing else."""
    text = codec.dump(["writ-proposal", list(payloads)])
    return hashlib.sha256(text).digest()[:ID_BYTES]


@dataclass
class Proposal:
    """Payloads that a governor wants certified. Raises `Malformed` for what cannot be certified.

    evidence: what devices have signed (judge.py); proposer: the governor that made it, as `source`
    says; created_s: when, by the proposer's clock; state: OPEN, CERTIFIED, REFUSED or STALE;
    reason: why it is in that state, or why it is not certified yet; approvals: by governor;
    verdict: our own judgement, None if it must be judged again; judged_ms: when it was judged;
    capsules: the certified capsules; since_ms: when it was added here; source: the governor that
    sent it to us, 0 for our own disk; is_saved: whether the ledger holds it.
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
    source: int = 0
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
        """The number of operators that approved it."""
        return sum(1 for approval in self.approvals.values() if approval.yes)

    @property
    def no(self) -> int:
        """The number of operators that denied it."""
        return len(self.approvals) - self.yes

    @property
    def answered(self) -> int:
        """The governors whose operators answered: a bit mask of their numbers."""
        return sum(1 << number for number in self.approvals)

    def to_item(self) -> list[object]:
        """The items of a message: [payloads, title, evidence, created]."""
        return [list(self.payloads), self.title, self.evidence, self.created_s]

    @classmethod
    def from_item(cls, item: object, proposer: int) -> "Proposal":
        """Read the items of a message. Raises `Malformed`."""
        listed, title, evidence, created_s = codec.a_list(item, 4)
        payloads = tuple(codec.some_bytes(one) for one in codec.a_list(listed, size_max=32))
        return cls(
            payloads,
            codec.a_text(title, TITLE_BYTES_MAX),
            codec.some_bytes(evidence, size_max=EVIDENCE_BYTES_MAX),
            proposer,
            codec.an_int(created_s, 0, TIME_MAX),
        )


def is_ordered(payload: bytes) -> bool:
    """Whether epochs order payloads of this kind. Raises `Malformed`."""
    return body_of(payload)[0] in (POLICY, AMENDMENT, SUCCESSION)


@dataclass(frozen=True)
class ProposalView:
    """A proposal as operators see it.

    verdict: this governor's judgement; reason: why it is not signed (yet), "" without an objection;
    operators: how many must approve; approvals: (governor, yes, reason, time) each; commands: of
    its actions, for JSON.
    """

    id: bytes
    title: str
    kind: str
    verdict: Verdict
    reason: str
    operators: int
    approvals: list[tuple[str, bool, str, int]]
    state: str
    proposer: str
    created_s: int
    capsules: list[bytes]
    commands: list[dict[str, object]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What the proposal means, for operators."""
        return self.verdict.lines


class ProposalIndex:
    """All open proposals, and the newest closed ones."""

    def __init__(self) -> None:
        self._open: dict[bytes, Proposal] = {}
        self._closed: dict[bytes, Proposal] = {}
        self._by_payload: dict[bytes, list[Proposal]] = {}

    def __iter__(self) -> Iterator[Proposal]:
        """The open proposals, oldest first."""
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def get(self, id: bytes) -> Proposal | None:
        """The proposal with this id, open or closed."""
        return self._open.get(id) or self._closed.get(id)

    def of_payload(self, payload: bytes) -> list[Proposal]:
        """The open proposals that contain this payload."""
        return list(self._by_payload.get(payload, ()))

    def has_room(self, proposer: int, source: int, needs_operators: bool) -> bool:
        """Whether one more proposal fits; needs_operators: operators must approve it.

        A governor's own proposals and those that it passes on are counted apart. So a Byzantine
        governor that sends many to another one takes no room from that one's own.
        """
        if len(self._open) >= OPEN_MAX:
            return False
        place = source, source == proposer
        same = [
            one for one in self._open.values() if (one.source, one.source == one.proposer) == place
        ]
        if not needs_operators:
            return len(same) < OPEN_EACH_MAX
        for_operators = [one for one in same if one.verdict and one.verdict.operators]
        return len(for_operators) < FOR_OPERATORS_EACH_MAX

    def add(self, proposal: Proposal) -> None:
        """Add an open proposal."""
        self._open[proposal.id] = proposal
        for payload in proposal.payloads:
            self._by_payload.setdefault(payload, []).append(proposal)

    @property
    def closed(self) -> list[Proposal]:
        """The newest closed proposals, oldest first."""
        return list(self._closed.values())

    def add_closed(self, proposal: Proposal) -> None:
        """Add a closed proposal."""
        self._closed[proposal.id] = proposal
        while len(self._closed) > CLOSED_MAX:
            del self._closed[next(iter(self._closed))]

    def close(self, proposal: Proposal, state: str, reason: str = "") -> None:
        """Close a proposal as CERTIFIED, REFUSED or STALE."""
        proposal.state, proposal.reason = state, reason
        if self._open.pop(proposal.id, None) is None:
            return
        for payload in proposal.payloads:
            kept = [one for one in self.of_payload(payload) if one is not proposal]
            self._by_payload[payload] = kept
            if not kept:
                del self._by_payload[payload]
        self.add_closed(proposal)
