"""The error for a call that ended without an answer: which node refused what, and what to do."""

from collections.abc import Container

from writ.errors import (
    BadSignature,
    EchoRequired,
    Expired,
    KnownBad,
    NotMember,
    PeerFailed,
    Rejection,
    Revoked,
    TimedOut,
    UsageError,
)

from ..errors import Asleep, HostError, NotReachable, RefusedByNode, UnknownNode
from ..humanize import duration
from ..refusals import advice_for, peer_rejection, rejection_text
from ..target import Target
from . import asleep
from .behind import WAIT_S, WAIT_S_MAX, NotPassedOn, gateway_of, is_behind
from .folder import NodeFolder

# A node refuses a membership for these. After a clean-up or a succession one side may be behind.
OF_CAPSULES = (BadSignature, Expired, KnownBad, NotMember)
_CODES = tuple(kind.code for kind in OF_CAPSULES)

_WHY = {
    NotMember: "the policy there voids it, or the group key in force there did not certify it",
    BadSignature: "the group key known there did not sign it",
    KnownBad: "the group key known there did not sign it",
}


def where(target: Target | None, address: str) -> str:
    """The name, if any, and the address of a call's node."""
    return f"{target.name} at {address}" if target and target.name else address


def is_of_capsules(error: Exception) -> bool:
    """Whether one of the two nodes has refused the capsule of the other."""
    return isinstance(error, OF_CAPSULES) or (
        isinstance(error, RefusedByNode) and error.code in _CODES
    )


def to_error(
    rejection: Rejection,
    own: str,
    target: Target | None,
    address: str,
    silent: Container[str] = (),
) -> Exception:
    """The error for a rejection that ended a call of the node `own`. silent: as `no_answer`."""
    peer = where(target, address)
    if isinstance(rejection, TimedOut):
        return no_answer(target, address, silent)
    if isinstance(rejection, PeerFailed):
        found = peer_rejection(rejection)
        if isinstance(rejection, NotPassedOn):
            return _not_passed(rejection, found, target.name if target else None)
        if found is None:
            return HostError(f"{peer} refused the handshake", "See its log, or its writ status.")
        if isinstance(found, OF_CAPSULES):
            return _refused(found, peer, own, _bring(own, True))
        message = f"{peer} refused: {rejection_text(found)}"
        return RefusedByNode(message, advice_for(found), type(found).__name__, found.code)
    if isinstance(rejection, EchoRequired | UsageError):
        return HostError(f"{peer} is busy", "Wait a few seconds and try again.")
    return rejection


def explained(error: Exception, own: str, target: Target | None, address: str) -> Exception:
    """The error, or for a rejection of the peer's capsule on this side one that says so."""
    if not isinstance(error, OF_CAPSULES):
        return error
    name = target.name if target and target.name else None
    advice = _bring(name or "NAME", False)
    if isinstance(error, BadSignature | KnownBad):
        advice = f"If {own} has missed a succession: writ member deliver {own} --out DIR. {advice}"
    return _refused(error, own, where(target, address), advice)


def no_answer(target: Target | None, address: str, silent: Container[str]) -> NotReachable:
    """The error for a call whose time is over. silent: the gateways that have sent nothing."""
    if not is_behind(address):
        return NotReachable(f"no answer from {where(target, address)}")
    gateway, name = gateway_of(address), target.name if target else None
    if gateway in silent:
        return NotReachable(
            f"the gateway {gateway} of {name or 'the node'} does not answer",
            "Check that the gateway runs (writ node run), its address, and the network between.",
        )
    return NotReachable(
        _unheard(name, gateway),
        f"If it sleeps, wait for its next window: --timeout {WAIT_S_MAX:.0f}. {_RELAYS}",
    )


_RELAYS = "Else examine the relays between: writ status of each."


def _unheard(name: str | None, gateway: str) -> str:
    return f"no answer from {name or 'the node'} behind the gateway {gateway}"


def no_address(name: str, folder: NodeFolder, add: str, path: str) -> UnknownNode:
    """The error for a member without a known address. add: how to set it, as an order."""
    gateways = folder.gateways
    text = f"no address is known for {name}"
    add = f"{add}; or call coap://HOST:PORT/{path}."
    if gateways and all(one in folder.node.tunnels.silent for one in gateways):
        silent = f"{text}: {', '.join(gateways)} {_DOES_NOT[len(gateways) > 1]} answer"
        return UnknownNode(silent, f"Check that the gateway runs (writ node run). Or {add}")
    if gateways:
        text += f" (asked {', '.join(gateways)})"
    if not _has_mesh(folder):
        return UnknownNode(text, f"{add[0].upper()}{add[1:]}")
    sessions = [folder.node.sessions.by_address(one) for one in gateways]
    known = next((one.peer.name for one in sessions if one), "GATEWAY")
    # the gateway of a mesh hears of its nodes when they join
    return UnknownNode(
        text,
        "It has not joined the mesh yet, or the gateway has not heard of it yet: writ status"
        f" {known} shows the nodes that are heard. If it has an IP address: {add}",
    )


_DOES_NOT = ("does not", "do not")


def _has_mesh(folder: NodeFolder) -> bool:
    """Whether the node has links without IP, or the policy in force has routes for them."""
    policy = folder.node.authority.policy
    return bool(folder.config.get("links") or (policy and policy.routes))


def _not_passed(error: NotPassedOn, found: Rejection | None, name: str | None) -> Exception:
    """The error for a request that a gateway has not passed on, or without a response."""
    to = f"to {name}" if name else "on"
    if found is None:
        advice = "See its log. Only writ node run and writ bridge run pass requests on."
        return HostError(f"the gateway {error.via} does not pass requests {to}", advice)
    if isinstance(found, TimedOut):
        message = _unheard(name, error.via)
        if sleep := asleep.parse(str(found)):
            return Asleep(f"{message}: it {sleep.describe()}", _wait_for(sleep))
        return NotReachable(
            message,
            "The gateway has not heard from it that it sleeps. If it does, try again after its next"
            f" report. {_RELAYS}",
        )
    message = f"the gateway {error.via} passes nothing {to}: {rejection_text(found)}"
    return RefusedByNode(message, advice_for(found), type(found).__name__, found.code)


def _wait_for(sleep: asleep.Sleep) -> str:
    """How to reach a node that sleeps."""
    kept = " The request waits at its parent: a command may still be carried out."
    whole_s = sleep.sleep_s + WAIT_S
    if whole_s <= WAIT_S_MAX:
        return f"To wait for its next window: --timeout {whole_s:.0f}.{kept}"
    when = "when it is about to wake"
    if sleep.heard_s is not None and sleep.heard_s <= sleep.sleep_s:
        when = f"shortly before {duration(sleep.sleep_s - sleep.heard_s)} are over"
    longest = f"{WAIT_S_MAX:.0f}"
    return f"A call waits {longest} s at most: call it {when}, --timeout {longest}.{kept}"


def _refused(why: Rejection, judge: str, holder: str, advice: str) -> RefusedByNode:
    kind = type(why)
    because = _WHY.get(kind) or rejection_text(why).split(": ", 1)[1]
    message = f"{judge} refused the capsule of {holder}: {kind.__name__} ({why.code}): {because}"
    return RefusedByNode(message, advice, kind.__name__, why.code)


def _bring(name: str, is_own: bool) -> str:
    out = " --out DIR" if is_own else ""
    return f"To bring {name} its newest capsule: writ member deliver {name}{out}"


def revoked_here(name: str, own: str, epoch: int) -> RefusedByNode:
    """The error for a peer that the policy of this node revokes."""
    return RefusedByNode(
        f"Revoked ({Revoked.code}): {name} is revoked by the policy of epoch {epoch}, which {own}"
        " has",
        f"To restore it: writ member restore {name}",
        Revoked.__name__,
        Revoked.code,
    )
