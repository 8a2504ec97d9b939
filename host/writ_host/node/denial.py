"""Why a node said no, in words that say what to change."""

from writ.authority.policy import ROLE_MEMBER
from writ.errors import NeedsAction, NoPolicy, NotAllowed, NotFresh, NotMember, Rejection, Revoked
from writ.wire import coap
from writ.wire.coap import METHOD_NAMES

from ..errors import RefusedByNode
from ..policy.text import explain, role_text
from ..refusals import advice_for, meaning
from ..target import Target
from .client import NodeClient, Reply

_JUDGED = (NotAllowed, NotFresh, NeedsAction)

# Answers that are no rejections: what they say, and what to do
_PLAIN = {
    coap.NOT_FOUND: ("has no {path}", "writ get {node}/.well-known/core lists what it has."),
    coap.METHOD_NOT_ALLOWED: ("knows no {method} of {path}", "Try another method."),
    coap.INTERNAL: ("failed in its own code for {path}", "Look at what that node logs."),
    coap.TOO_LARGE: ("finds that too large", "Send less at one time."),
}


def refusal(client: NodeClient, target: Target, reply: Reply, method: int) -> RefusedByNode:
    """The error for a reply that is not a success."""
    peer = reply.peer.name
    reason = reply.reason
    if reason:
        because = _because(client, reply, reason, method, target)
        at = f"; {peer} is at epoch {reply.epoch}" if reply.epoch else ""
        message = f"{peer} refused: {reason.__name__} ({reason.code}): {because}{at}"
        return RefusedByNode(message, advice_for(reason), reason.__name__, reason.code)
    said, advice = _PLAIN.get(reply.code, ("answered {code} {text}", "See writ status {node}."))
    facts = {
        "path": target.path,
        "method": METHOD_NAMES[method],
        "node": peer,
        "code": coap.code_text(reply.code),
        "text": reply.payload.decode("utf-8", "replace"),
    }
    said = f"{peer} {said.format_map(facts)}"
    return RefusedByNode(said, advice.format_map(facts), None, None)


def _because(
    client: NodeClient, reply: Reply, reason: type[Rejection], method: int, target: Target
) -> str:
    authority = client.node.authority
    policy = authority.policy
    asked = f"{METHOD_NAMES[method]} {target.path}"
    if reason is Revoked:
        return f"{client.node.name} is revoked"
    if reason is NotMember:
        return f"{client.node.name} is no member there"
    if reason is NoPolicy or not policy:
        return meaning(reason).lower()
    own = policy.roles_of(authority.me)
    named = own & ~ROLE_MEMBER
    who = f"role {role_text(policy, named, 'and')}" if named else "members without a role"
    if reason not in _JUDGED:
        return f"{meaning(reason).lower()} ({asked} for {who})"
    if reply.epoch in (0, policy.epoch):
        words = explain(policy, own, policy.roles_of(reply.peer), method, target.path)
        if words.startswith(f"denied ({reason.__name__}): "):
            return words.split(": ", 1)[1]
    if reason is NotAllowed:
        return f"no rule allows {asked} for {who}"
    return f"{meaning(reason).lower()} ({asked})"
