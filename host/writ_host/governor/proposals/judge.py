"""Is this proposal one to sign, what does it say, and how many people must agree to it?

Pure but for reads of the ledger, and the same for each governor. A governor that lies may propose
anything and put any evidence beside it: nothing is believed that is not in the payloads themselves,
in the ledger, or signed by the device concerned.

    evidence = b"" / bstr .cbor [+ bstr]     ; one for each payload, in order; empty: none
               ; a member: its statement (statement.py), or the request for membership of its key
               ; an amendment: the statement of whoever revokes itself
               ; a succession: the charter of the governors that follow
               ; an action: the statement of whoever asks for it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from writ.authority import capsule as capsules
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    CHARTER,
    KIND_NAMES,
    MEMBER,
    POLICY,
    SUCCESSION,
    Beacon,
    Capsule,
    Charter,
)
from writ.authority.policy import Policy, decide
from writ.errors import Rejection
from writ.limits import CAPSULE_BYTES_MAX, GOVERNORS_MAX

from ... import codec
from ...consensus.value import BATCH_MAX, body_of
from ...errors import HostError, Malformed
from ...humanize import utc_minute
from ...keys.frost import is_valid
from ...policy.approvals import Approvals
from ...policy.text import approvals_of
from ...refusals import rejection_text
from ...scope.admission import MembershipRequest, is_request, read_request
from ...scope.validation import KnownMember, Registry, Validation
from .statement import ACT, ADMIT, RENEW, REVOKE, Statement

# Without a person nobody is a member for longer: after the statement that asks for it, or from now.
RENEWAL_S_MAX = 365 * 86400
# Nor is anything done without a person for a statement that is older, and no action for one.
STATEMENT_AGE_MAX_S = 86400
# How long an action may be used, counted from the time of the statement that asks for it.
ACTION_S = 3600
# Changes of who governs want two people, wherever there are two governors.
GOVERNORS_OPERATORS = 2
EVIDENCE_BYTES_MAX = 32 * 800
TITLE_CHARS_MAX = 80


class Ledger(Registry, Protocol):
    """What the judge reads of the ledger."""

    def beacon(self) -> bytes | None:
        """The newest beacon."""


@dataclass(frozen=True)
class ScopeView:
    """Where a governor is.

    charter: of the scope; epoch, head (6 B): in force; clock_s: its own, Unix seconds; seats: what
    ceremonies that it followed have made, digests of committees (8 B) and new group keys (32 B);
    governors: how many there are, 0 for as many as the charter says.
    """

    charter: Charter
    policy: Policy | None
    epoch: int
    head: bytes
    clock_s: int
    ledger: Ledger
    seats: frozenset[bytes] = frozenset()
    governors: int = 0


@dataclass(frozen=True)
class Verdict:
    """reason: why not, whoever approves it; operators: how many people must say yes (0: none).

    title, validation: what it means; kind: a capsule's, or "several".
    """

    reason: str | None
    operators: int
    title: str
    validation: Validation
    kind: str

    @property
    def lines(self) -> list[str]:
        """What it means, for people."""
        return self.validation.lines


def judge(payloads: Sequence[bytes], evidence: bytes, view: ScopeView) -> Verdict:
    """What this governor makes of a proposal. Never raises for what somebody else wrote."""
    case = _Case(view)
    try:
        case.judge(payloads, evidence)
    except Rejection as error:
        case.validation.add_problem(rejection_text(error))
    except HostError as error:
        case.validation.add_problem(str(error))
    problems = case.validation.problems
    return Verdict(
        "; ".join(problems) or None,
        GOVERNORS_MAX if problems else case.operators,
        "; ".join(case.titles)[:TITLE_CHARS_MAX] or "nothing that can be read",
        case.validation,
        case.kinds.pop() if len(case.kinds) == 1 else "several",
    )


class _Case:
    # one proposal while it is judged
    def __init__(self, view: ScopeView) -> None:
        self.view = view
        self.governors = view.governors or len(view.charter.governors)
        self.validation = Validation(
            view.ledger,
            view.policy,
            view.epoch,
            view.head,
            view.clock_s,
            view.charter.clock_skew_max_s,
            view.seats,
            self.governors,
        )
        policy: Any = view.policy
        self.policy = policy
        # rules that this version cannot read: everybody must agree, and can put others in force
        unknown = Approvals(operators=self.governors)
        self.approvals = (approvals_of(policy) or unknown) if policy else Approvals()
        self.operators = 0
        self.titles: list[str] = []
        self.kinds: set[str] = set()

    def judge(self, payloads: Sequence[bytes], evidence: bytes) -> None:
        kinds = [body_of(payload)[0] for payload in payloads]
        parsed = [capsules.parse(capsules.assemble(one, bytes(64))) for one in payloads]
        beside = _evidence(evidence, len(parsed))
        if kinds in ([POLICY], [AMENDMENT, POLICY]):
            self._policy(parsed, beside)
        elif kinds == [SUCCESSION]:
            self._succession(parsed[0], beside[0])
        elif 0 < len(kinds) <= BATCH_MAX and set(kinds) <= {MEMBER, BEACON, ACTION}:
            judges: dict[int, Callable[[Capsule, bytes], int]] = {
                MEMBER: self._member,
                BEACON: self._beacon,
                ACTION: self._action,
            }
            for capsule, one in zip(parsed, beside, strict=True):
                self.kinds.add(KIND_NAMES[capsule.kind])
                self.operators = max(self.operators, judges[capsule.kind](capsule, one))
        else:
            raise Malformed("these capsules are not certified together, or not at all")

    # --- ordered kinds ----------------------------------------------------------------------------

    def _policy(self, parsed: list[Capsule], beside: list[bytes]) -> None:
        self.kinds.add("policy")
        self.operators = self.approvals.operators_for("policy")
        old = self.policy
        if any(beside):
            # while it is a member still
            self.titles.append(self._own_revocation(parsed, beside))
            self.operators = 0
        if len(parsed) == 2:
            self.validation.amendment(parsed[0])
        new: Any = self.validation.whole_policy(parsed[-1])
        if old is not None and old.epoch < self.view.epoch and _same_rules(old, new):
            # after a succession: what people have agreed to, under the new key
            self.operators = 0
        elif new.committee != (old.committee if old else None):
            self._wants_two()
            self.titles.append("other governors")
        if not self.titles:
            self.titles.append(f"policy of epoch {new.epoch}")

    def _wants_two(self) -> None:
        self.operators = max(self.operators, min(GOVERNORS_OPERATORS, self.governors))

    def _own_revocation(self, parsed: list[Capsule], beside: list[bytes]) -> str:
        """Whoever was opened may take itself out, and nothing else with it."""
        if len(parsed) != 2 or beside[1]:
            raise Malformed("evidence for a whole policy is none")
        statement = self._said(beside[0], REVOKE)
        name = str(self._signer(statement).name)
        if parsed[0].body[3:] != [statement.node_id]:
            self.validation.add_problem(f"{name} asked to be revoked itself, and for nothing else")
        self._check_age(statement, name)
        if statement.asked[0]:
            self.validation.add_line(f"{name} says: {statement.asked[0]}")
        return f"{name} revokes itself"

    def _succession(self, capsule: Capsule, beside: bytes) -> None:
        self.kinds.add("succession")
        self.operators = self.approvals.operators_for("succession")
        self._wants_two()
        if not beside:
            raise Malformed("a succession wants the charter of the governors that follow beside it")
        charter = capsules.parse(beside)
        if charter.kind != CHARTER or not is_valid(
            bytes(charter.body[4]), charter.signing_input(), charter.signature
        ):
            raise Malformed("what is beside the succession is no charter that its own key signed")
        new: Any = Charter(charter)
        found: Any = self.validation.succession(capsule, charter)
        if new.name != self.view.charter.name:
            self.validation.add_problem(f"the charter beside the succession is one of {new.name}")
        old = self.view.charter.governors
        staying = sum(key in old for key in new.governors)
        self.validation.add_line(
            f"of the {len(new.governors)} governors then, {staying} are in the charter now in force"
        )
        if found.group_key not in self.view.seats:
            self.validation.add_problem("it puts a group key in force that we have not seen made")
        self.titles.append(f"succession to another group key in epoch {found.epoch}")

    # --- kinds without an order -------------------------------------------------------------------

    def _member(self, capsule: Capsule, beside: bytes) -> int:
        known = self.view.ledger.known(capsules.node_id(capsules.Member(capsule).x))
        member: Any = self.validation.member(capsule)
        if known is None:
            return self._admission(member, beside)
        old: Any = known.member
        renewal = not member.roles & ~old.roles
        operators = self.approvals.operators_for("member", member.roles, renewal)
        self.titles.append(f"renew {member.name} until {utc_minute(member.expires)}")
        if not beside:
            # the succession that made it invalid is what people have agreed to
            same = known.is_outdated and capsules.parse(old.raw).payload == capsule.payload
            return 0 if same and self.validation.is_living(old) else max(1, operators)
        if is_request(beside):
            self._check_request(read_request(beside), member)
            return max(1, operators)
        statement = Statement.parse(beside)
        if statement.op == ADMIT:
            self._vouched(statement, member)
            return max(1, operators)
        return self._renewal(member, known, self._said(beside, RENEW), operators)

    def _renewal(
        self, member: Any, known: KnownMember, statement: Statement, operators: int
    ) -> int:
        old: Any = known.member
        statement.check_signature(old.x, old.y_is_odd)
        if (old.name, old.address, old.roles) != (member.name, member.address, member.roles):
            self.validation.add_problem(
                f"{old.name} asked to be renewed as it is, and for nothing else"
            )
        latest = statement.issued + RENEWAL_S_MAX
        if old.expires >= latest:
            self.validation.add_problem(f"{old.name}: this statement was answered long ago")
        if self.validation.is_living(old) and operators == 0 and member.expires <= latest:
            self._check_age(statement, old.name)
            return 0 if member.not_before <= self.view.clock_s else 1
        return max(1, operators)

    def _admission(self, member: Any, beside: bytes) -> int:
        operators = self.approvals.operators_for("member", member.roles, False)
        self.titles.append(f"admit {member.name}")
        if not beside:
            self.validation.add_problem(
                f"{member.name}: no request of this key, so nobody has shown it"
            )
            return operators
        if is_request(beside):
            request = read_request(beside)
            self._check_request(request, member)
        else:
            request = self._vouched(Statement.parse(beside), member)
        # what is unusual is for a person to see
        latest = self.view.clock_s + RENEWAL_S_MAX + self.validation.clock_skew_max_s
        if member.expires > latest or member.not_before > self.view.clock_s:
            return max(1, operators)
        return operators if request.name == member.name else max(1, operators)

    def _check_request(self, request: MembershipRequest, member: Any) -> None:
        if (request.x, request.y_is_odd) != (member.x, member.y_is_odd):
            self.validation.add_problem(
                f"{member.name}: the request beside it is one of another key"
            )
        if request.name != member.name:
            self.validation.add_line(f"it asked to be called {request.name}")

    def _vouched(self, statement: Statement, member: Any) -> MembershipRequest:
        if statement.op != ADMIT:
            raise Malformed("the statement beside it asks for something else")
        by: Any = self._signer(statement)
        voucher = statement.voucher
        shown = f", which showed it {voucher.hex()}" if voucher else ""
        self.validation.add_line(f"{by.name} asks to admit it{shown}")
        self._check_request(statement.request, member)
        return statement.request

    def _beacon(self, capsule: Capsule, beside: bytes) -> int:
        beacon: Any = self.validation.beacon(capsule)
        newest = self.view.ledger.beacon()
        if newest is not None and beacon.time <= Beacon(capsules.parse(newest)).time:
            self.validation.add_problem("a newer beacon is certified already")
        if beside:
            raise Malformed("a beacon needs no evidence")
        self.titles.append(f"beacon of epoch {beacon.epoch}")
        return self.approvals.operators_for("beacon")

    def _action(self, capsule: Capsule, beside: bytes) -> int:
        action: Any = self.validation.action(capsule)
        self.titles.append(f"action: {action.path} on {self.validation.name_of(action.target)}")
        operators = self.approvals.operators_for("action")
        if not beside:
            return max(1, operators)
        statement = self._said(beside, ACT)
        by: Any = self._signer(statement)
        self.validation.add_line(f"{by.name} asks for it")
        asked = (action.target, action.method, action.path, action.digest)
        if statement.asked != asked:
            self.validation.add_problem(f"{by.name} asked for another action")
        if action.nonce != statement.nonce:
            self.validation.add_problem(
                "the nonce is not the statement's: it could be executed twice"
            )
        if action.expires != statement.issued + ACTION_S:
            # one that ends later outlives what its target remembers of the nonce
            self.validation.add_problem(
                "not good for an hour from then: it could be executed twice"
            )
        self._check_age(statement, by.name)
        self._check_rules(by, action)
        return operators

    def _check_rules(self, by: Any, action: Any) -> None:
        target: Any = self.validation.member_of(action.target)
        if target is None or self.policy is None:
            return
        roles = self.policy.roles_of(by), self.policy.roles_of(target)
        asked = (*roles, action.method, action.path, True, True)
        if decide(self.policy, *asked)[0] is not None:
            self.validation.add_problem(
                f"no rule lets {by.name} do that, with an action or without"
            )

    # --- statements -------------------------------------------------------------------------------

    def _said(self, raw: bytes, op: int) -> Statement:
        statement = Statement.parse(raw)
        if statement.op != op:
            raise Malformed("the statement beside it asks for something else")
        return statement

    def _signer(self, statement: Statement) -> Any:
        member: Any = self.validation.member_of(statement.node_id)
        if member is None:
            raise Malformed(f"a statement of {statement.node_id.hex()}, which is no living member")
        statement.check_signature(member.x, member.y_is_odd)
        return member

    def _check_age(self, statement: Statement, name: str) -> None:
        age_s = self.view.clock_s - statement.issued
        if not -self.validation.clock_skew_max_s <= age_s <= STATEMENT_AGE_MAX_S:
            self.validation.add_problem(
                f"{name} asked for it on {utc_minute(statement.issued)}: too far from our clock"
            )


def _same_rules(old: Any, new: Any) -> bool:
    """Whether two policies differ in nothing but epoch and what they follow."""
    bodies = [capsules.parse_claims(one.payload())[capsules.WRIT][3:] for one in (old, new)]
    return bodies[0] == bodies[1] and old.issued == new.issued


def _evidence(data: bytes, count: int) -> list[bytes]:
    if not data:
        return [b""] * count
    listed = codec.a_list(codec.load(data, EVIDENCE_BYTES_MAX), count)
    return [codec.some_bytes(one, size_max=CAPSULE_BYTES_MAX) for one in listed]
