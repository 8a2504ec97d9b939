"""The judge: may this governor sign a proposal, what does it mean, how many operators must approve?

Pure except for reads of the ledger, and the same for every governor. A Byzantine governor may
propose anything with any evidence. So the judge trusts only the payloads themselves, the ledger,
and what the device concerned has signed.

    evidence = b"" / bstr .cbor [+ bstr]     ; one item a payload, in order; an empty item: none
               ; for a member: its statement (statement.py), or the membership request of its key
               ; for an amendment: the statement of the member that revokes itself
               ; for a succession: the charter of the new governors
               ; for an action: the statement of the member that requests it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    KIND_NAMES,
    MEMBER,
    POLICY,
    SUCCESSION,
    Beacon,
    Capsule,
    Charter,
)
from writ.authority.policy import decide
from writ.errors import Rejection
from writ.limits import CAPSULE_BYTES_MAX, GOVERNORS_MAX

from ... import codec
from ...consensus.value import BATCH_MAX, body_of
from ...errors import Malformed
from ...humanize import duration, utc_minute
from ...keys.frost import is_valid
from ...node.action import ACTION_S
from ...policy.approvals import Approvals
from ...policy.text import approvals_of
from ...refusals import rejection_text
from ...scope.admission import MembershipRequest, is_request, read_request
from ...scope.validation import TIME_JUMP_AGE_S_MAX, KnownMember, Validation, is_time_jump
from .command import Command, bytes_text
from .messages import EVIDENCE_BYTES_MAX
from .origin import STATEMENT_WAIT_MAX_S, age_problem
from .scopeview import ScopeView
from .statement import ACT, ADMIT, RENEW, REVOKE, Statement

# The longest membership without an operator's approval, from the statement or from now on.
RENEWAL_S_MAX = 365 * 86400
# A change of governors needs two operators at least, if there are two governors.
GOVERNORS_OPERATORS = 2
TITLE_CHARS_MAX = 80


@dataclass(frozen=True)
class Verdict:
    """The judgement of one governor on a proposal.

    reason: why this governor must not sign it, whatever operators approve; None if it may;
    operators: how many must approve (0: none); title: one line of text; validation: what the
    payloads mean; kind: a capsule's, or "several"; malformed: the name of the rejection of a
    payload or of evidence that no honest governor proposes, "" for none; commands: what its
    actions do; needs_own_operator: whether each governor that signs also needs its own operator.
    """

    reason: str | None
    operators: int
    title: str
    validation: Validation
    kind: str
    malformed: str = ""
    commands: tuple[Command, ...] = ()
    needs_own_operator: bool = False

    @property
    def lines(self) -> list[str]:
        """What the proposal means, for operators."""
        return self.validation.lines


def judge(payloads: Sequence[bytes], evidence: bytes, view: ScopeView) -> Verdict:
    """Judge a proposal. No content of it raises; an error of the ledger does."""
    case = _Case(view)
    problems = case.validation.problems
    malformed = ""
    try:
        case.judge(payloads, evidence)
    except _Unjudged as error:
        problems.append(str(error))
    except (Malformed, Rejection) as error:
        # after another problem it may be that this governor is behind
        malformed = "" if problems else type(error).__name__
        problems.append(rejection_text(error) if isinstance(error, Rejection) else str(error))
    return Verdict(
        "; ".join(problems) or None,
        GOVERNORS_MAX if problems else case.operators,
        "; ".join(case.titles)[:TITLE_CHARS_MAX] or "unreadable payloads",
        case.validation,
        case.kinds.pop() if len(case.kinds) == 1 else "several",
        malformed,
        tuple(case.commands),
        case.is_time_jump,
    )


def refusal(reason: str, view: ScopeView) -> Verdict:
    """The verdict on a proposal that this governor cannot judge."""
    return Verdict(reason, GOVERNORS_MAX, "unreadable payloads", _Case(view).validation, "several")


class _Unjudged(Exception):
    """A problem after which the rest of a proposal means nothing."""


class _Case:
    """One proposal while it is judged."""

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
            view.committees,
            self.governors,
            view.signed_until,
        )
        policy: Any = view.policy
        self.policy = policy
        # under rules that this version cannot read, all operators together may set other rules
        unknown = Approvals(operators=self.governors)
        self.approvals = (approvals_of(policy) or unknown) if policy else Approvals()
        self.operators = 0  # how many must approve
        self.is_time_jump = False
        self.titles: list[str] = []
        self.kinds: set[str] = set()
        self.commands: list[Command] = []

    def judge(self, payloads: Sequence[bytes], evidence: bytes) -> None:
        kinds = [body_of(payload)[0] for payload in payloads]
        parsed = [capsules.parse(capsules.assemble(one, bytes(64))) for one in payloads]
        listed = _evidence(evidence, len(parsed))
        if kinds in ([POLICY], [AMENDMENT, POLICY]):
            self._policy(parsed, listed)
        elif kinds == [SUCCESSION]:
            self._succession(parsed[0], listed[0])
        elif 0 < len(kinds) <= BATCH_MAX and set(kinds) <= {MEMBER, BEACON, ACTION}:
            judges: dict[int, Callable[[Capsule, bytes], int]] = {
                MEMBER: self._member,
                BEACON: self._beacon,
                ACTION: self._action,
            }
            for capsule, one in zip(parsed, listed, strict=True):
                self.kinds.add(KIND_NAMES[capsule.kind])
                self.operators = max(self.operators, judges[capsule.kind](capsule, one))
        else:
            raise Malformed("capsules of these kinds are not certified, or not together")

    def _check_time(self, time_s: int) -> None:
        """Require the operator of each governor that signs, if the certified time jumps."""
        newest_s = self.view.certified_s
        self.is_time_jump |= is_time_jump(time_s, newest_s)
        if not self.is_time_jump:
            return
        threshold = self.view.threshold or int(self.view.charter.threshold)
        self.operators = max(self.operators, threshold)
        self.validation.add_line(
            f"its time is {duration(time_s - newest_s)} after the newest certified time, and"
            " devices never go back: each governor that signs it needs the approval of its own"
            " operator, who compares it with another clock"
        )

    # --- ordered kinds ----------------------------------------------------------------------------

    def _policy(self, parsed: list[Capsule], evidence: list[bytes]) -> None:
        self.kinds.add("policy")
        self.operators = self.approvals.operators_for("policy")
        old = self.policy
        if any(evidence):
            # before `amendment` below, in whose state the signer is no member any more
            self.titles.append(self._own_revocation(parsed, evidence))
            self.operators = 0
        if len(parsed) == 2:
            self.validation.amendment(parsed[0])
        new: Any = self.validation.whole_policy(parsed[-1])
        if old is not None and old.epoch < self.view.epoch and _same_rules(old, new):
            # the first policy after a succession repeats what operators have approved before
            self.operators = 0
        elif new.committee != (old.committee if old else None):
            self._require_two_operators()
            self.titles.append("other governors")
        self._check_time(int(new.issued))
        if not self.titles:
            self.titles.append(f"policy of epoch {new.epoch}")

    def _require_two_operators(self) -> None:
        self.operators = max(self.operators, min(GOVERNORS_OPERATORS, self.governors))

    def _own_revocation(self, parsed: list[Capsule], evidence: list[bytes]) -> str:
        """Check that a member revokes itself and nothing else; the title."""
        if len(parsed) != 2 or evidence[1]:
            raise Malformed("a whole policy takes no evidence")
        statement = self._statement(evidence[0], REVOKE)
        name = str(self._signer(statement).name)
        if parsed[0].body[3:] != [statement.node_id]:
            self.validation.add_problem(f"{name} requested its own revocation, and nothing else")
        self._check_origin(statement, name)
        if statement.arguments[0]:
            self.validation.add_line(f"{name} says: {statement.arguments[0]}")
        return f"{name} revokes itself"

    def _succession(self, capsule: Capsule, evidence: bytes) -> None:
        self.kinds.add("succession")
        self.operators = self.approvals.operators_for("succession")
        self._require_two_operators()
        if not evidence:
            raise Malformed("a succession needs the charter of the new governors as evidence")
        charter = capsules.parse(evidence)
        # the shape first: the key is a value of the sender
        new: Any = Charter(charter)
        if not is_valid(new.group_key, charter.signing_input(), charter.signature):
            raise Malformed("the evidence of a succession must be a charter signed by its own key")
        found: Any = self.validation.succession(capsule, charter)
        if new.name != self.view.charter.name:
            self.validation.add_problem(f"the new charter is for another scope, {new.name}")
        old = self.view.charter.governors
        staying = sum(key in old for key in new.governors)
        self.validation.add_line(
            f"{staying} of the {len(new.governors)} new governors are in the charter now in force"
        )
        self._check_time(int(found.issued))
        if found.group_key not in self.view.committees:
            self.validation.add_problem("this governor took no part in making the new group key")
        self.titles.append(f"succession to another group key in epoch {found.epoch}")

    # --- kinds without an order -------------------------------------------------------------------

    def _member(self, capsule: Capsule, evidence: bytes) -> int:
        known = self.view.ledger.known(capsules.node_id(capsules.Member(capsule).x))
        member: Any = self.validation.member(capsule)
        if known is None:
            return self._admission(member, evidence)
        old: Any = known.member
        renewal = not member.roles & ~old.roles
        operators = self.approvals.operators_for("member", member.roles, renewal)
        self.titles.append(f"renew {member.name} until {utc_minute(member.expires)}")
        if not evidence:
            # operators approved the succession that outdated it, so a copy needs no approval
            same = known.is_of_former_key and capsules.parse(old.raw).payload == capsule.payload
            is_copy = same or _is_refreshed(old, member)
            return 0 if is_copy and self.validation.is_living(old) else max(1, operators)
        if is_request(evidence):
            self._check_request(read_request(evidence), member)
            return max(1, operators)
        statement = Statement.parse(evidence)
        if statement.op == ADMIT:
            operators = max(1, operators)
            self._check_voucher(statement, member, operators)
            return operators
        return self._renewal(member, known, self._statement(evidence, RENEW), operators)

    def _renewal(
        self, member: Any, known: KnownMember, statement: Statement, operators: int
    ) -> int:
        old: Any = known.member
        statement.check_signature(old.x, old.y_is_odd)
        if (old.name, old.address, old.roles) != (member.name, member.address, member.roles):
            self.validation.add_problem(f"{old.name} requested its renewal without any change")
        latest = statement.issued + RENEWAL_S_MAX
        if old.expires >= latest:
            self.validation.add_problem(f"{old.name}: this statement was answered before")
        is_usual = self.validation.is_living(old) and member.expires <= latest
        if not is_usual or member.not_before > self.view.clock_s:
            operators = max(1, operators)
        self._check_origin(statement, old.name, operators)
        return operators

    def _admission(self, member: Any, evidence: bytes) -> int:
        operators = self.approvals.operators_for("member", member.roles, False)
        self.titles.append(f"admit {member.name}")
        latest = self.view.clock_s + RENEWAL_S_MAX + self.validation.clock_skew_max_s
        if not evidence:
            self.validation.add_problem(
                f"{member.name}: no membership request proves possession of its key"
            )
            return operators
        if is_request(evidence):
            request = read_request(evidence)
            self._check_request(request, member)
        else:
            statement = Statement.parse(evidence)
            request = self._check_voucher(statement, member, operators)
            latest = statement.issued + RENEWAL_S_MAX
        # an operator must see what is unusual
        if member.expires > latest or member.not_before > self.view.clock_s:
            return max(1, operators)
        return operators if request.name == member.name else max(1, operators)

    def _check_request(self, request: MembershipRequest, member: Any) -> None:
        if (request.x, request.y_is_odd) != (member.x, member.y_is_odd):
            self.validation.add_problem(f"{member.name}: its membership request is for another key")
        if request.name != member.name:
            self.validation.add_line(f"its membership request has the name {request.name}")

    def _check_voucher(
        self, statement: Statement, member: Any, operators: int
    ) -> MembershipRequest:
        """Check that a member asks to admit this node; the node's own request."""
        if statement.op != ADMIT:
            raise Malformed("the statement requests something else")
        by: Any = self._signer(statement)
        self._check_origin(statement, by.name, operators, member.node_id)
        voucher = statement.voucher
        shown = f"; the node showed it {bytes_text(voucher)}" if voucher else ""
        self.validation.add_line(f"{by.name} requests the admission{shown}")
        self._check_request(statement.request, member)
        return statement.request

    def _beacon(self, capsule: Capsule, evidence: bytes) -> int:
        is_jump = is_time_jump(Beacon(capsule).time, self.view.certified_s)
        beacon: Any = self.validation.beacon(capsule, TIME_JUMP_AGE_S_MAX if is_jump else 0)
        newest = self.view.ledger.beacon()
        if newest is not None and beacon.time <= Beacon(capsules.parse(newest)).time:
            self.validation.add_problem("a newer beacon is certified already")
        if evidence:
            raise Malformed("a beacon takes no evidence")
        self.titles.append(f"beacon of epoch {beacon.epoch}, {utc_minute(beacon.time)}")
        self._check_time(int(beacon.time))
        return max(self.operators, self.approvals.operators_for("beacon"))

    def _action(self, capsule: Capsule, evidence: bytes) -> int:
        action: Any = self.validation.action(capsule)
        if not evidence:
            # no operator can approve a command of which only a digest is known
            raise Malformed("an action needs the statement of its requester, with the payload")
        statement = self._statement(evidence, ACT)
        by: Any = self._signer(statement)
        target, method, path, payload = statement.command
        command = Command(self.validation.name_of(target), method, path, payload, str(by.name))
        self.titles.append(f"action: {command.request_text}")
        self.validation.add_line(
            f"payload: {command.payload_text} ({len(payload)} bytes)", f"{by.name} requests it"
        )
        asked = (target, method, path, crypto.sha256(payload))
        if asked != (action.target, action.method, action.path, action.digest):
            self.validation.add_problem(f"{by.name} requested another action")
        else:
            self.commands.append(command)
        if action.nonce != statement.nonce:
            self.validation.add_problem(
                "its nonce is not the statement's: it could be executed twice"
            )
        if action.expires != statement.issued + ACTION_S:
            # an action that ends later could outlive the nonce in its target's memory
            self.validation.add_problem(
                "it does not end an hour after the statement: it could be executed twice"
            )
        self._check_origin(statement, by.name)
        self._check_rules(by, action)
        return self.approvals.operators_for("action")

    def _check_rules(self, by: Any, action: Any) -> None:
        target: Any = self.validation.member_of(action.target)
        if target is None or self.policy is None:
            return
        roles = self.policy.roles_of(by), self.policy.roles_of(target)
        asked = (*roles, action.method, action.path, True, True)
        if decide(self.policy, *asked)[0] is not None:
            self.validation.add_problem(
                f"no rule allows {by.name} this action, with or without the quorum"
            )

    # --- statements -------------------------------------------------------------------------------

    def _statement(self, raw: bytes, op: int) -> Statement:
        statement = Statement.parse(raw)
        if statement.op != op:
            raise Malformed("the statement requests something else")
        return statement

    def _signer(self, statement: Statement) -> Any:
        member: Any = self.validation.member_of(statement.node_id)
        if member is None:
            raise _Unjudged(
                f"the signer of the statement, {statement.node_id.hex()}, is no valid member"
            )
        statement.check_signature(member.x, member.y_is_odd)
        return member

    def _check_origin(
        self, statement: Statement, name: str, operators: int = 0, *subjects: bytes
    ) -> None:
        """Check that the statement is of this scope and still of use.

        operators: how many must approve what it asks for; subjects: other nodes that it concerns.
        """
        view, add_problem = self.view, self.validation.add_problem
        if statement.scope != view.charter.scope:
            add_problem(f"the statement of {name} is for another scope")
        if statement.epoch > view.epoch:
            add_problem(f"the statement of {name} names an epoch that is not in force here")
        # signed before its signer was revoked, perhaps by a thief; people have restored it since
        if statement.epoch < max(map(view.void_before, (statement.node_id, *subjects))):
            add_problem(f"the statement of {name} is from before a restoration, and void")
        skew_max_s, waiting_s = self.validation.clock_skew_max_s, 0
        if operators:
            waiting_s = STATEMENT_WAIT_MAX_S
        if problem := age_problem(statement, name, view.clock_s, skew_max_s, waiting_s):
            add_problem(problem)


def _same_rules(old: Any, new: Any) -> bool:
    """Whether two policies differ only in epoch and predecessor."""
    bodies = [capsules.parse_claims(one.payload())[capsules.WRIT][3:] for one in (old, new)]
    return bodies[0] == bodies[1] and old.issued == new.issued


def _is_refreshed(old: Any, new: Any) -> bool:
    """Whether a capsule differs from the present one only in its epoch.

    It ends a second later, by which devices recognise the newer one. Before a policy voids the
    capsules of earlier epochs, all living members get such a copy.
    """
    facts = [(one.name, one.address, one.roles, one.not_before) for one in (old, new)]
    return bool(facts[0] == facts[1] and new.expires == old.expires + 1 and new.epoch > old.epoch)


def _evidence(data: bytes, count: int) -> list[bytes]:
    if not data:
        return [b""] * count
    listed = codec.a_list(codec.load(data, EVIDENCE_BYTES_MAX), count)
    return [codec.some_bytes(one, size_max=CAPSULE_BYTES_MAX) for one in listed]
