"""The meaning of each rejection, and advice for the operator."""

import re

from writ import errors
from writ.errors import Rejection
from writ.wire import edhoc_codec

from .errors import HostError
from .humanize import utc_minute

# Malformed messages of one governor are logged at most this often; the counters have all of them.
REPORT_PAUSE_MS = 60000

_BY_CODE: dict[int, type[Rejection]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Rejection)
}

_ADVICE: dict[str, str] = {
    "AlreadyKnown": "Nothing to do.",
    "BadMac": "Another node answers at this address: check the address and the name.",
    "BadSignature": "The group key did not sign this: it was altered, or belongs to another scope.",
    "ClassAirtime": "Wait, or give the class more airtime: airtime of the route in the policy.",
    "DutyCycle": "Wait: the link has used its airtime of an hour. docs/limits.md, Radio.",
    "EpochGap": "Deliver the whole policy of the newest epoch instead of the amendment.",
    "Expired": "If that time is right, renew the member: writ member admit with a later --expires."
    " If it is wrong, see docs/limits.md, Time.",
    "Forked": "Stop: two policies are certified for one epoch. Contact the governors.",
    "NeedsAction": "The rule requires a certified action: writ act NODE/PATH VALUE asks for one.",
    "NoPolicy": "The node has no policy yet: deliver charter, policy and its member capsule.",
    "NoScope": "The node has no charter yet: deliver charter, policy and its member capsule.",
    "NoRoute": "The gateway has not heard of the node since its start, or a relay is gone: wait for"
    " its next message, at most an hour. Or a relay between has no role in `relay` of the route of"
    " class 1 (writ policy check), or is down.",
    "NotAllowed": "Change the policy (writ policy diff, then writ policy certify) or the roles.",
    "NotFound": "writ get NODE/.well-known/core lists the resources of a node.",
    "NotFresh": "The node needs a newer beacon: writ scope beacon.",
    "NotMember": "A member needs its newest capsule: writ member deliver NAME. Another node needs a"
    " membership first: writ member request.",
    "NotRouted": "No route of the policy lets this member send such frames: add its role to `send`"
    " (docs/mesh.md).",
    "NotOurs": "Use this node's own member capsule: this one belongs to another node.",
    "NeighbourAirtime": "Wait: the frames of a neighbour have used its share of the airtime.",
    "RateLimited": "The node limits the rate of such requests: wait a few seconds and try again.",
    "Replayed": "Nothing to do: the message was received before.",
    "ResourceFailed": "See the log of that node: the code of the resource has failed.",
    "Revoked": "To restore the node: writ member restore NAME. writ policy show lists the revoked.",
    "RolledBack": "Nothing to do: a newer capsule is in force.",
    "StoreDamaged": "Restore the folder from a backup without its sessions (s*), or make a new key"
    " and request membership.",
    "TableFull": "Too many calls at once: try again.",
    "TimedOut": "Check that the node runs, its address, and the network between.",
    "UnknownContext": "The node has lost this session: try again.",
    "UnknownCredential": "A node lacks the other's member capsule: use a gateway that both know.",
    "WrongMethod": "Try another method.",
    "WrongScope": "Check --scope and --node: the capsule belongs to another scope.",
}


def kind_of(code: int) -> type[Rejection] | None:
    """The rejection with this code; None if unknown."""
    return _BY_CODE.get(code)


def kind_named(name: str) -> type[Rejection]:
    """The rejection with this name; `Rejection` if there is none."""
    return next((kind for kind in _BY_CODE.values() if kind.__name__ == name), Rejection)


def parse_reason(payload: bytes) -> type[Rejection] | None:
    """The rejection in a refusal (b"40 NotAllowed", or an EDHOC error message); None if unknown."""
    number, _, name = payload.decode("utf-8", "replace").partition(" ")
    if not number.isascii() or not number.isdigit():
        return _edhoc_reason(payload)
    kind = kind_of(int(number))
    return kind if kind and kind.__name__ == name.split(" ")[0] else None


def parse_rejection(payload: bytes) -> Rejection | None:
    """The rejection in a refusal, with what it says about time or sleep; None if unknown."""
    kind = parse_reason(payload)
    if kind is None:
        return None
    words = payload.decode("utf-8", "replace").partition(kind.__name__)[2].strip()
    return kind(words) if kind in (errors.Expired, errors.TimedOut) and words else kind()


def _edhoc_reason(payload: bytes) -> type[Rejection] | None:
    try:
        code, info = edhoc_codec.parse_error(payload)
    except Rejection:
        return None
    if code == 3:
        return errors.UnknownCredential
    name = str(info).split(" ")[0]
    return next((kind for kind in _BY_CODE.values() if kind.__name__ == name), None)


def meaning(kind: type[BaseException]) -> str:
    """The meaning of a rejection: the first line of its docstring, without the full stop."""
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")


def peer_rejection(error: BaseException) -> Rejection | None:
    """The rejection that a peer reported to end a handshake or a request; None if unknown."""
    if not isinstance(error, errors.PeerFailed):
        return None
    _, info = getattr(error, "error", None) or (0, None)
    named = next((kind for kind in _BY_CODE.values() if kind.__name__ == info), None)
    return named() if named else parse_rejection(bytes(getattr(error, "text", b"")))


def rejection_text(error: BaseException) -> str:
    """`BadSignature (29): the signature does not verify`, and the error's own message."""
    if reported := peer_rejection(error):
        return f"the peer refused: {rejection_text(reported)}"
    kind = type(error)
    text = meaning(kind)
    message = f" ({_time_text(error) or error})" if str(error) else ""
    return f"{kind.__name__} ({getattr(kind, 'code', 0)}): {text[:1].lower()}{text[1:]}{message}"


def _time_text(error: BaseException) -> str:
    found = re.fullmatch(r"(\d{1,10}) (charter|policy|beacon)", str(error))
    if not isinstance(error, errors.Expired) or not found:
        return ""
    moment = utc_minute(int(found[1]))
    return f"it takes the time for {moment} or later, from the newest {found[2]}"


def problem_text(error: Exception) -> str:
    """What happened and what to do next, in one line for a log."""
    if isinstance(error, HostError):
        return f"{error}. {error.advice}"
    return f"{rejection_text(error)}. {advice_for(error)}"


def advice_for(error: BaseException | type[BaseException]) -> str:
    """The advice for a rejection."""
    kind = error if isinstance(error, type) else type(peer_rejection(error) or error)
    return _ADVICE.get(kind.__name__, "Report it to the sender: the message is malformed.")
