"""The error for a call that ended without an answer: which node refused what, and what to do."""

from collections.abc import Sequence

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
from .behind import WAIT_S, WAIT_S_MAX, PassedOn

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


def to_error(rejection: Rejection, own: str, target: Target | None, address: str) -> Exception:
    """The error for a rejection that ended a call of the node `own`."""
    peer = where(target, address)
    if isinstance(rejection, TimedOut):
        return NotReachable(f"no answer from {peer}")
    if isinstance(rejection, PeerFailed):
        found = peer_rejection(rejection)
        if isinstance(rejection, PassedOn):
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


def no_address(name: str, gateways: Sequence[str], add: str, path: str) -> UnknownNode:
    """The error for a member without a known address. add: how to set it, as an order."""
    asked = f" (asked {', '.join(gateways)})" if gateways else ""
    # the gateway of a mesh hears of its nodes when they join
    advice = "a node behind a mesh is found once it has joined: try again. Or " if gateways else ""
    advice += f"{add}; or call coap://HOST:PORT/{path}."
    return UnknownNode(f"no address is known for {name}{asked}", f"{advice[0].upper()}{advice[1:]}")


def _not_passed(error: PassedOn, found: Rejection | None, name: str | None) -> Exception:
    """The error for a request that a gateway has not passed on, or without a response."""
    to = f"to {name}" if name else "on"
    if found is None:
        advice = "See its log. Only writ node run and writ bridge run pass requests on."
        return HostError(f"the gateway {error.via} does not pass requests {to}", advice)
    if isinstance(found, TimedOut):
        message = f"no answer from {name or 'the node'} behind the gateway {error.via}"
        if sleep := asleep.parse(str(found)):
            return Asleep(f"{message}: it {sleep.describe()}", _wait_for(sleep))
        return NotReachable(
            message,
            "The gateway has not heard from it that it sleeps. If it does, try again after its next"
            " report. Else examine the relays between: writ status of each.",
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
