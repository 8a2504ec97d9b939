"""The error for a request that a node refused: its reason, and what to change."""

from writ.authority.policy import ROLE_MEMBER
from writ.errors import (
    Expired,
    NeedsAction,
    NoPolicy,
    NotAllowed,
    NotFound,
    NotFresh,
    NotMember,
    Rejection,
    ResourceFailed,
    Revoked,
    WrongMethod,
)
from writ.wire import coap
from writ.wire.coap import METHOD_NAMES

from ..errors import RefusedByNode
from ..policy.text import explain, role_text
from ..refusals import advice_for, meaning, parse_rejection, rejection_text
from ..target import Target
from .client import NodeClient, Reply

_JUDGED = (NotAllowed, NotFresh, NeedsAction)
_OF_RESOURCES = (NotFound, WrongMethod, ResourceFailed)

# What the node's program or a stock peer has refused, by the code of CoAP: message and advice.
_PLAIN = {
    coap.NOT_FOUND: (
        "has no resource {path}",
        "writ get {node}/.well-known/core lists its resources.",
    ),
    coap.METHOD_NOT_ALLOWED: ("does not support {method} of {path}", "Try another method."),
    coap.INTERNAL: ("failed in the code of {path}", "See the log of that node."),
    coap.TOO_LARGE: ("refused the payload as too large", "Send fewer bytes at once."),
}


def refusal(client: NodeClient, target: Target, reply: Reply, method: int) -> RefusedByNode:
    """The error for a reply whose code is not a success."""
    peer = reply.peer.name
    reason = reply.reason
    if reason and reason not in _OF_RESOURCES:
        because = _because(client, reply, reason, method, target)
        at = _epochs(client, reply)
        message = f"{peer} refused: {reason.__name__} ({reason.code}): {because}{at}"
        advice = _advice(client, reply, reason)
        return RefusedByNode(message, advice, reason.__name__, reason.code)
    message, advice = _PLAIN.get(reply.code, ("answered {code} {text}", "See writ status {node}."))
    facts = {
        "path": target.path,
        "method": METHOD_NAMES[method],
        "node": peer,
        "code": coap.code_text(reply.code),
        "text": reply.payload.decode("utf-8", "replace"),
    }
    message = f"{peer} {message.format_map(facts)}"
    name, code = (reason.__name__, reason.code) if reason else (None, None)
    return RefusedByNode(message, advice.format_map(facts), name, code)


def _epochs(client: NodeClient, reply: Reply) -> str:
    """The epoch of the peer, and that of this node where it is another one."""
    own = client.node.authority.epoch
    if not reply.epoch:
        return ""
    text = f"; {reply.peer.name} is at epoch {reply.epoch}"
    return text if own == reply.epoch else f"{text}, {client.node.name} at epoch {own}"


def _advice(client: NodeClient, reply: Reply, reason: type[Rejection]) -> str:
    """What to do about a refusal, by whose policy is the older one."""
    authority, peer = client.node.authority, reply.peer.name
    if reply.epoch and reply.epoch < authority.epoch:
        return f"{peer} has an older policy. To bring it up to date: writ member deliver {peer}"
    if reason is NotMember:
        own = client.node.name
        return f"To bring {own} its newest capsule: writ member deliver {own} --out DIR"
    if reason is not Revoked:
        return advice_for(reason)
    if not client.is_revoked and reply.epoch == authority.epoch:
        return "The policy of that epoch does not revoke this node: run the command again."
    return f"To restore it: writ member restore {client.node.name}"


def _because(
    client: NodeClient, reply: Reply, reason: type[Rejection], method: int, target: Target
) -> str:
    authority = client.node.authority
    policy = authority.policy
    request = f"{METHOD_NAMES[method]} {target.path}"
    if reason is Expired:
        found = parse_rejection(bytes(reply.payload)) or Expired()
        return rejection_text(found).split(": ", 1)[1]
    if reason is Revoked:
        epoch = f" of epoch {reply.epoch}" if reply.epoch else ""
        return f"the policy{epoch} there revokes {client.node.name}"
    if reason is NotMember:
        return f"the capsule of {client.node.name} is void there, or of a former group key"
    if reason is NoPolicy or not policy:
        return meaning(reason).lower()
    own = policy.roles_of(authority.me)
    named = own & ~ROLE_MEMBER
    who = f"role {role_text(policy, named, 'and')}" if named else "members without a role"
    if reason not in _JUDGED:
        return f"{meaning(reason).lower()} ({request} for {who})"
    if reply.epoch in (0, policy.epoch):
        text = explain(policy, own, policy.roles_of(reply.peer), method, target.path)
        if text.startswith(f"denied ({reason.__name__}): "):
            return text.split(": ", 1)[1]
    if reason is NotAllowed:
        return f"no rule allows {request} for {who}"
    return f"{meaning(reason).lower()} ({request})"
