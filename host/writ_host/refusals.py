"""Rejections in an operator's words: what each means, and what to do about it."""

from writ import errors
from writ.errors import Rejection
from writ.wire import edhoc_codec

_BY_CODE: dict[int, type[Rejection]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Rejection)
}

_ADVICE: dict[str, str] = {
    "AlreadyKnown": "Nothing to do.",
    "BadMac": "Another node answers at that address: check the address and the name.",
    "BadSignature": "The group key did not sign this: it was altered, or is another scope's.",
    "EpochGap": "Hand over the whole policy of the newest epoch instead of the amendment.",
    "Expired": "Admit it again: writ member admit with a new expiry.",
    "Forked": "Stop: two policies are certified for one epoch. Speak with the governors.",
    "NeedsAction": "This is not for one person: the governors must certify an action.",
    "NoPolicy": "The node has no policy yet: hand it charter, policy and its member capsule.",
    "NoScope": "The node has no charter yet: hand it charter, policy and its member capsule.",
    "NotAllowed": "Change the policy (writ policy diff, then writ policy certify), or the roles.",
    "NotFresh": "The node wants a newer beacon: writ scope beacon.",
    "NotMember": "Ask for membership first: writ member request.",
    "NotOurs": "This is the member capsule of another node.",
    "RateLimited": "The node rations such work: wait a few seconds and try again.",
    "Replayed": "The message was seen before; nothing to do.",
    "Revoked": "The policy revokes this node: see writ policy show.",
    "RolledBack": "Something newer is in force already.",
    "StoreDamaged": "Restore the folder from a backup, or make a new key and be admitted again.",
    "TableFull": "Too many calls at one time: try again.",
    "TimedOut": "Check that the node runs, its address, and what lies between.",
    "UnknownContext": "The node lost its session with this one: try again.",
    "UnknownCredential": "Neither side has the other's member capsule: ask a gateway of both.",
    "WrongScope": "Check --scope and --node: this belongs to another scope.",
}


def kind_of(code: int) -> type[Rejection] | None:
    """The rejection with this stable code, or None."""
    return _BY_CODE.get(code)


def parse_reason(payload: bytes) -> type[Rejection] | None:
    """The rejection that a refusal names (b"40 NotAllowed", or an EDHOC error message), or None."""
    number, _, name = payload.decode("utf-8", "replace").partition(" ")
    if not number.isascii() or not number.isdigit():
        return _edhoc_reason(payload)
    kind = kind_of(int(number))
    return kind if kind and kind.__name__ == name else None


def _edhoc_reason(payload: bytes) -> type[Rejection] | None:
    try:
        code, info = edhoc_codec.parse_error(payload)
    except Rejection:
        return None
    if code == 3:
        return errors.UnknownCredential
    return next((kind for kind in _BY_CODE.values() if kind.__name__ == info), None)


def meaning(kind: type[BaseException]) -> str:
    """What a rejection means: the first line of its definition, without the full stop."""
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")


def rejection_text(error: BaseException) -> str:
    """`BadSignature (29): the signature does not verify`, with what the error itself says."""
    kind = type(error)
    text = meaning(kind)
    said = f" ({error})" if str(error) else ""
    return f"{kind.__name__} ({getattr(kind, 'code', 0)}): {text[:1].lower()}{text[1:]}{said}"


def advice_for(error: BaseException | type[BaseException]) -> str:
    """What to do about a rejection."""
    kind = error if isinstance(error, type) else type(error)
    return _ADVICE.get(kind.__name__, "Whoever sent this should check what they sent.")
