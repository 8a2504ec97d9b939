"""Delegation: a member's signed statement becomes a proposal, and then the member's answer.

Every governor drafts the same payloads from a statement, so a device that asks several governors
gets one capsule. Only admissions differ, by the short address.
"""

from typing import Any

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import ACTION, AMENDMENT, MEMBER
from writ.authority.policy import METHODS
from writ.errors import Rejection, WrongScope
from writ.wire import coap

from ... import codec
from ...errors import HostError
from ...node.action import ACTION_S
from ...scope.members import ADDRESS_MAX
from ...scope.revocation import is_void, member_body
from ..ledger.database import LEDGER_ERRORS
from ..proposals.judge import RENEWAL_S_MAX
from ..proposals.origin import age_problem
from ..proposals.proposal import CERTIFIED, OPEN, Proposal
from ..proposals.statement import ADMIT, RENEW, REVOKE, Statement
from .context import CoreContext
from .pool import ProposalPool

# A member renewed this recently gets the same capsule again: the answer may have been lost.
RENEWED_LATELY_S = 86400
TEXT_BYTES_MAX = 200


def answer(context: CoreContext, pool: ProposalPool, raw: bytes) -> tuple[int, bytes]:
    """Answer a statement: (CoAP code, body).

    2.04 with the capsule, 2.03 while the proposal is open, 4.03 with the reason for a refusal.
    """
    try:
        statement = Statement.parse(raw)
        member = _member(context, statement.node_id)
        statement.check_signature(member.x, member.y_is_odd)
        _check(context, statement, member.name)
        known = _known_result(context, statement, member)
        if known is not None:
            return (coap.CHANGED, known) if known else (coap.VALID, b"")
        made = _known_proposal(pool, statement) or _draft(context, statement, member)
        pool.propose(made)
        return _result(pool.proposals.get(made.id) or made)
    except Rejection as rejection:
        context.increment(type(rejection).__name__)
        return coap.FORBIDDEN, f"{rejection.code} {type(rejection).__name__}".encode()
    except LEDGER_ERRORS:
        raise
    except HostError as error:
        return coap.FORBIDDEN, str(error).encode()[:TEXT_BYTES_MAX]


def _member(context: CoreContext, node_id: bytes) -> Any:
    member = context.ledger.capsules.member(node_id)
    if member is None:
        raise HostError("only members may ask")
    return member


def _check(context: CoreContext, statement: Statement, name: str) -> None:
    charter = context.chain.charter
    if statement.scope != charter.scope:
        raise WrongScope()
    if problem := age_problem(statement, name, context.clock_s(), charter.clock_skew_max_s):
        raise HostError(problem)


def _free_address(context: CoreContext) -> int:
    """A free short address that only this governor proposes: no two nodes are admitted with it."""
    following = context.ledger.reservations.highest_address() + 1
    address = following + (context.me - following) % context.count
    if address > ADDRESS_MAX:
        raise HostError("all short addresses are in use", "Found another scope.")
    return int(address)


def _result(proposal: Proposal) -> tuple[int, bytes]:
    if proposal.state == CERTIFIED:
        # of an amendment and its whole policy, the policy: every node can use it
        return coap.CHANGED, proposal.capsules[-1]
    if proposal.state == OPEN:
        return coap.VALID, b""
    reason = proposal.reason or "the governors refused it"
    return coap.FORBIDDEN, reason.encode()[:TEXT_BYTES_MAX]


def _known_result(context: CoreContext, statement: Statement, member: Any) -> bytes | None:
    """The capsule if it is certified already; None if it must be drafted.

    b"" for a renewal that needs no proposal: after a succession the governors certify every member
    again.
    """
    latest = statement.issued + RENEWAL_S_MAX
    policy = context.chain.policy
    is_new = member.expires > latest - RENEWED_LATELY_S and not is_void(policy, member)
    if statement.op == RENEW and is_new:
        known = context.ledger.capsules.known(statement.node_id)
        # a capsule signed by an older key is of no use to the member
        return b"" if known is None or known.is_of_former_key else bytes(member.raw)
    if statement.op == ADMIT:
        return _admitted(context, statement)
    if statement.op == REVOKE and policy is not None and statement.node_id in policy.revoked:
        return context.ledger.capsules.policy()
    return None


def _admitted(context: CoreContext, statement: Statement) -> bytes | None:
    """The capsule of a node that is a member by the requested name already, else None."""
    request, policy = statement.request, context.chain.policy
    known = context.ledger.capsules.known(capsules.node_id(request.x))
    if known is None or known.is_of_former_key:
        return None
    found: Any = known.member
    is_gone = found.expires <= context.clock_s() or (
        policy and (found.node_id in policy.revoked or is_void(policy, found))
    )
    is_same = (found.name, found.y_is_odd) == (request.name, request.y_is_odd)
    return bytes(found.raw) if is_same and not is_gone else None


def _known_proposal(pool: ProposalPool, statement: Statement) -> Proposal | None:
    """The open proposal that any governor made from this statement, None if there is none.

    The payload decides: its signer can sign it in several ways.
    """
    # the search is fast; one that finds the bytes within other evidence is read
    found = (one for one in pool.proposals if statement.payload in one.evidence)
    return next((one for one in found if _is_made_of(one, statement)), None)


def _is_made_of(proposal: Proposal, statement: Statement) -> bool:
    try:
        first = codec.a_list(codec.load(proposal.evidence))[0]
        return Statement.parse(codec.some_bytes(first)).payload == statement.payload
    except (HostError, Rejection, IndexError):
        return False


def _draft(context: CoreContext, statement: Statement, member: Any) -> Proposal:
    evidence = [statement.raw]
    if statement.op == RENEW:
        expires = statement.issued + RENEWAL_S_MAX
        body = member_body(member.address, member.roles, context.chain.epoch)
        payloads = [_member_payload(member.name, member, body, expires)]
        title = f"renew {member.name}"
    elif statement.op == REVOKE:
        payloads = _revocation(context, statement.node_id)
        reason = f": {statement.arguments[0]}" if statement.arguments[0] else ""
        title = f"{member.name} revokes itself{reason}"
        evidence = [statement.raw, b""]
    elif statement.op == ADMIT:
        request = statement.request
        address = _free_address(context)
        expires = statement.issued + RENEWAL_S_MAX
        body = member_body(address, 0, context.chain.epoch)
        payloads = [_member_payload(request.name, request, body, expires)]
        title = f"{member.name} asks to admit {request.name}"
    else:
        target, method, path, payload = statement.command
        action = [target, method, path, crypto.sha256(payload), statement.nonce]
        payloads = [capsules.build(ACTION, action, exp=statement.issued + ACTION_S)]
        known = context.ledger.capsules.member(target)
        name = known.name if known else target.hex()
        title = f"{member.name} asks for an action: {METHODS[1 << method - 1]} {path} on {name}"
    encoded = codec.dump(evidence)
    return Proposal(tuple(payloads), title, encoded, context.me, context.clock_s())


def _member_payload(name: str, key: Any, body: list[int], expires: int) -> bytes:
    pair = key.x, key.y_is_odd
    made: bytes = capsules.build(MEMBER, body, sub=name, exp=expires, key=pair)
    return made


def _revocation(context: CoreContext, node_id: bytes) -> list[bytes]:
    chain = context.chain
    policy = chain.policy
    if policy is None:
        raise HostError("there is no policy yet")
    body = check_amendment([AMENDMENT, chain.epoch + 1, chain.head, node_id])
    following = amend(policy, body)
    return [capsules.build(AMENDMENT, body[1:]), following.payload()]
