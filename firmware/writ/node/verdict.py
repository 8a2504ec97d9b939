"""Whether a host peer's answer is what a delegate has asked for.

No peer is trusted: the capsule in an answer must be certified, and say what was asked for. A part
of delegate.py, loaded when an answer has come.
"""

from .. import crypto
from ..authority import capsule as capsules
from ..authority.capsule import AMENDMENT, BEACON, Member
from ..authority.policy import Policy
from ..errors import (
    AlreadyKnown,
    BadSignature,
    EpochGap,
    PeerFailed,
    Rejection,
    RolledBack,
    StalePeer,
    WrongAnswer,
    WrongPrevious,
)
from ..limits import PENDING_MAX
from ..wire import coap
from .call import Answer
from .operation import ADMIT, ASK_ACTION, FETCH, NEWEST, RENEW, REVOKE_ME


def judge(asking, operation, address, answer, is_late):
    """End the operation or continue it, as an answer of the peer at `address` says.

    is_late: whether the next peer was asked meanwhile. Raises the `Rejection` for which the
    delegate backs off from that peer.
    """
    node = asking.node
    code = answer.code
    if answer.is_success() and code != coap.VALID:
        return _accept(asking, operation, address, answer, is_late)
    is_refusal = code == coap.FORBIDDEN or (code == coap.NOT_FOUND and operation.kind < RENEW)
    if not (is_refusal or code == coap.VALID or code == coap.UNAVAILABLE):
        raise PeerFailed()
    session = node.sessions.by_peer(answer.peer.node_id)
    if session and session.seen_epoch < node.authority.epoch:
        # its refusal follows from a policy that is no longer in force
        raise StalePeer()
    operation.code = code
    operation.text = answer.payload
    if is_refusal:
        operation.refusers.append(address)
    elif not is_late:
        asking.pause(operation)
        operation.pending_count += 1
        if code == coap.VALID and operation.pending_count % PENDING_MAX:
            operation.next_peer = address


def _accept(asking, operation, address, answer, is_late):
    authority = asking.node.authority
    now_ms = asking.node.now_ms
    kind = operation.kind
    found = capsules.parse(answer.payload)
    raw = found.raw
    rejection = None
    if not _is_asked(asking.node, operation, found):
        raise WrongAnswer()
    try:
        if kind == ASK_ACTION:
            # it is for another node, and not applied here
            if not crypto.ed25519_verify(
                authority.group_key, found.signing_input(), found.signature
            ):
                raise BadSignature()
        else:
            authority.receive(raw, now_ms, answer.peer.node_id)
    except AlreadyKnown:
        pass
    except Rejection as error:
        if kind == NEWEST and isinstance(error, RolledBack):
            raise StalePeer() from None
        if kind == FETCH:
            # it is the requested capsule, even if it is refused here
            rejection = error
        elif not isinstance(error, (RolledBack, EpochGap, WrongPrevious)):
            raise
    # a newer capsule may be here already, and counts
    if kind == RENEW:
        raw = authority.me.raw
    elif kind == ADMIT:
        raw = authority.peer_by(x=operation.want[1][0]).raw
    elif kind == REVOKE_ME and authority.me.node_id not in authority.policy.revoked:
        # not verified yet: a valid one shows that this node is behind, and it pulls the rest
        if not is_late:
            asking.pause(operation)
        return
    elif kind == NEWEST and not authority.is_fresh(now_ms):
        # valid and too old; another peer may have a newer one
        operation.refusers.append(address)
        return
    asking.standing.pop(address, None)
    asking.finish(operation, Answer(answer.code, raw, answer.peer, rejection=rejection))


def _is_asked(node, operation, found):
    # whether the capsule says what was asked for; nothing of it is verified yet
    kind = operation.kind
    want = operation.want
    me = node.authority.me
    if kind == NEWEST:
        return found.kind == BEACON
    if kind == FETCH:
        return found.digest().startswith(want)
    if kind == ASK_ACTION:
        action = capsules.Action(found)
        facts = (action.target, action.method, action.path, action.digest)
        return facts == want and action.expires > node.authority.now_s(node.now_ms)
    if kind == REVOKE_ME:
        if found.kind == AMENDMENT:
            return me.node_id in found.body[3:]
        return me.node_id in Policy(found.claims).revoked
    member = Member(found)
    if kind == ADMIT:
        return (member.name, (member.x, member.y_is_odd)) == want
    # a renewal: the same facts, the same roles or fewer, and a later expiry; after a succession
    # the same capsule content with a new signature
    facts = (member.x, member.y_is_odd, member.name, member.address)
    return (
        facts == (want.x, want.y_is_odd, want.name, want.address)
        and not member.roles & ~want.roles
        and (member.expires > want.expires or want.key_epoch != node.authority.key_epoch)
    )
