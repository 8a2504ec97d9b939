"""From a member's signed statement to a proposal, and to the answer that the member is given.

All but admissions are the same whichever governor drafts them, so that a device which asks several
governors gets one capsule.
"""

from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import ACTION, AMENDMENT, MEMBER
from writ.authority.policy import check_amendment
from writ.errors import Rejection
from writ.wire import coap

from ... import codec
from ...errors import HostError
from ..proposals.judge import ACTION_S, RENEWAL_S_MAX
from ..proposals.proposal import CERTIFIED, OPEN, Proposal
from ..proposals.statement import ADMIT, RENEW, REVOKE, Statement
from .context import Context
from .pool import ProposalPool

# Who was renewed so recently is given that capsule again: the answer may have been lost.
RENEWED_LATELY_S = 86400
TEXT_BYTES_MAX = 200
ADDRESS_MAX = 65534
UNAVAILABLE = 5 << 5 | 3


def answer(context: Context, proposing: ProposalPool, raw: bytes) -> tuple[int, bytes]:
    """(CoAP code, body): 2.04 and the capsule, 2.03 while it waits, 4.03 and why not."""
    try:
        statement = Statement.parse(raw)
        member = _member(context, statement.node_id)
        statement.check_signature(member.x, member.y_is_odd)
        known = _done_already(context, statement, member)
        if known is not None:
            return (coap.CHANGED, known) if known else (coap.VALID, b"")
        made = _known(proposing, raw) or _draft(context, statement, member)
        proposing.propose(made)
        return _told(proposing.table.get(made.id) or made)
    except Rejection as rejection:
        context.increment(type(rejection).__name__)
        return coap.FORBIDDEN, f"{rejection.code} {type(rejection).__name__}".encode()
    except HostError as error:
        return coap.FORBIDDEN, str(error).encode()[:TEXT_BYTES_MAX]


def _member(context: Context, node_id: bytes) -> Any:
    member = context.ledger.member(node_id)
    if member is None:
        raise HostError("only members may ask")
    return member


def _free_address(context: Context) -> int:
    """A short address that only this governor proposes: no two admit two nodes with one."""
    following = context.ledger.highest_address() + 1
    address = following + (context.me - following) % context.count
    if address > ADDRESS_MAX:
        raise HostError("all short addresses are in use", "Found another scope.")
    return int(address)


def _told(proposal: Proposal) -> tuple[int, bytes]:
    if proposal.state == CERTIFIED:
        # of an amendment and the whole policy, the one that any node can use
        return coap.CHANGED, proposal.capsules[-1]
    if proposal.state == OPEN:
        return coap.VALID, b""
    reason = proposal.reason or "the governors refused it"
    return coap.FORBIDDEN, reason.encode()[:TEXT_BYTES_MAX]


def _done_already(context: Context, statement: Statement, member: Any) -> bytes | None:
    """The capsule, b"" where it comes without being asked for, None where it must be drafted."""
    latest = statement.issued + RENEWAL_S_MAX
    if statement.op == RENEW and member.expires > latest - RENEWED_LATELY_S:
        known = context.ledger.known(statement.node_id)
        # signed by a key of the past: after a succession all are certified anew as they are
        return b"" if known is None or known.is_outdated else bytes(member.raw)
    policy = context.chain.policy
    if statement.op == ADMIT:
        return _admitted(context, statement)
    if statement.op == REVOKE and policy is not None and statement.node_id in policy.revoked:
        return context.ledger.policy_capsule()
    return None


def _admitted(context: Context, statement: Statement) -> bytes | None:
    """The capsule of whom a statement would admit, where it is a member already, by that name."""
    request, policy = statement.request, context.chain.policy
    known = context.ledger.known(capsules.node_id(request.x))
    if known is None or known.is_outdated:
        return None
    found: Any = known.member
    gone = found.expires <= context.clock_s() or (policy and found.node_id in policy.revoked)
    is_same = (found.name, found.y_is_odd) == (request.name, request.y_is_odd)
    return bytes(found.raw) if is_same and not gone else None


def _known(proposing: ProposalPool, raw: bytes) -> Proposal | None:
    """The open proposal that another governor, or we, made of this statement."""
    evidence = codec.dump([raw])
    return next((one for one in proposing.table if one.evidence == evidence), None)


def _draft(context: Context, statement: Statement, member: Any) -> Proposal:
    evidence = [statement.raw]
    if statement.op == RENEW:
        expires = statement.issued + RENEWAL_S_MAX
        payloads = [_member_payload(member.name, member, member.address, member.roles, expires)]
        title = f"renew {member.name}"
    elif statement.op == REVOKE:
        payloads = _revocation(context, statement.node_id)
        reason = f": {statement.asked[0]}" if statement.asked[0] else ""
        title = f"{member.name} revokes itself{reason}"
        evidence = [statement.raw, b""]
    elif statement.op == ADMIT:
        request = statement.request
        address = _free_address(context)
        expires = context.clock_s() + RENEWAL_S_MAX
        payloads = [_member_payload(request.name, request, address, 0, expires)]
        title = f"{member.name} asks to admit {request.name}"
    else:
        target, method, path, digest = statement.asked
        body = [target, method, path, digest, statement.nonce]
        payloads = [capsules.build(ACTION, body, exp=statement.issued + ACTION_S)]
        title = f"{member.name} asks for an action"
    proposed = codec.dump(evidence)
    return Proposal(tuple(payloads), title, proposed, context.me, context.clock_s())


def _member_payload(name: str, key: Any, address: int, roles: int, expires: int) -> bytes:
    pair = key.x, key.y_is_odd
    made: bytes = capsules.build(MEMBER, [address, roles], sub=name, exp=expires, key=pair)
    return made


def _revocation(context: Context, node_id: bytes) -> list[bytes]:
    chain = context.chain
    policy = chain.policy
    if policy is None:
        raise HostError("there is no policy yet")
    body = check_amendment([AMENDMENT, chain.epoch + 1, chain.head, node_id])
    amended = policy.amended(body)
    return [capsules.build(AMENDMENT, body[1:]), amended.payload()]
