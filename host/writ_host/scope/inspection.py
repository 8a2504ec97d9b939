"""Inspection of a capsule or a request for membership: its fields, its signature, its problems.

Only the form and the signature are checked; whether a node would accept a capsule in its present
state is the authority's decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from writ import cbor, crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import check_amendment
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    CHARTER,
    ES256,
    KIND_NAMES,
    MEMBER,
    POLICY,
    SUCCESSION,
)
from writ.authority.policy import Policy
from writ.errors import BadSignature, Rejection

from ..refusals import rejection_text
from .admission import is_request, read_request
from .capsulefields import CapsuleFields
from .cbordump import Part, diagnostic, take_apart
from .folder import ScopeFolder
from .records import is_signed

# The design's size goals in bytes; that of an amendment is for the revocation of one node.
SIZE_GOALS = {"member": 150, "amendment": 100, "beacon": 96, "policy": 400}
# Kinds that a successor names by their head; an amendment's head is that of its whole policy.
_WITH_HEAD = (CHARTER, POLICY, SUCCESSION)


@dataclass(frozen=True)
class Inspection:
    """The result for one capsule. kind: its name, "request" or "unknown"; head: of its state.

    signature: "valid", "invalid", "unchecked" or "none", explained by signature_text; problem: why
    every node would refuse it, None if its form is right; problem_at: the byte, where known.
    """

    kind: str
    size: int
    parts: tuple[Part, ...]
    diagnostic: str
    digest: bytes
    head: bytes | None
    scope: bytes | None
    signature: str
    signature_text: str
    goal: int | None
    problem: str | None
    problem_at: int | None


def inspect_capsule(raw: bytes, folder: ScopeFolder | None = None) -> Inspection:
    """Inspect any bytes. folder: the scope whose group key should have signed. Never raises."""
    asks = is_request(raw)
    parts, broken = take_apart(raw, CapsuleFields(folder).envelope(asks))
    problem, capsule = None, None
    try:
        if asks:
            read_request(raw)
        else:
            capsule = capsules.parse(raw)
            _check_body(capsule)
    except Rejection as error:
        problem = rejection_text(error)
    kind = "request" if asks else KIND_NAMES[capsule.kind] if capsule else _guess_kind(parts)
    signature, signature_text = _check_signature(raw, capsule, asks, folder)
    has_head = capsule is not None and capsule.kind in _WITH_HEAD
    flawed = next((part.offset for part in parts if part.flaw), None)
    return Inspection(
        kind,
        len(raw),
        tuple(parts),
        _to_diagnostic(raw),
        capsule.digest() if capsule else capsules.digest(raw),
        capsules.head(capsule.payload) if capsule and has_head else None,
        capsules.scope_id(capsule.payload) if capsule and capsule.kind == CHARTER else None,
        signature,
        signature_text,
        _size_goal(capsule),
        f"{problem}; {broken}" if problem and broken else problem,
        broken.offset if broken else flawed,
    )


def _check_body(capsule: capsules.Capsule) -> None:
    # the next check of a node after `parse`: the form of the body
    if capsule.kind == CHARTER:
        capsules.Charter(capsule)
    elif capsule.kind == MEMBER:
        capsules.Member(capsule)
    elif capsule.kind == POLICY:
        Policy(capsule.claims)
    elif capsule.kind == AMENDMENT:
        check_amendment(capsule.body)
    elif capsule.kind == BEACON:
        capsules.Beacon(capsule)
    elif capsule.kind == SUCCESSION:
        capsules.Succession(capsule)
    elif capsule.kind == ACTION:
        capsules.Action(capsule)


def _guess_kind(parts: Sequence[Part]) -> str:
    # the readable part of a damaged capsule may still name it
    found = (part.meaning.removeprefix("kind: ") for part in parts if part.depth >= 3)
    return next((word for word in found if word in KIND_NAMES), "unknown")


def _size_goal(capsule: capsules.Capsule | None) -> int | None:
    if capsule is None:
        return None
    if capsule.kind == AMENDMENT and not (
        len(capsule.body) == 4 and isinstance(capsule.body[3], bytes)
    ):
        return None
    return SIZE_GOALS.get(KIND_NAMES[capsule.kind])


def _check_signature(
    raw: bytes, capsule: capsules.Capsule | None, asks: bool, folder: ScopeFolder | None
) -> tuple[str, str]:
    if asks:
        try:
            read_request(raw)
        except BadSignature:
            return "invalid", "not by the key in the request (ES256)"
        except Rejection:
            return "none", "cannot be checked: the request is damaged"
        return "valid", "by the key in the request (ES256), which proves its possession"
    if capsule is None:
        return "none", "cannot be checked: the capsule is damaged or incomplete"
    if capsule.alg == ES256:
        return "unchecked", "by a member (ES256); the check needs that member's capsule"
    if capsule.kind == CHARTER:
        try:
            key, owner = capsules.Charter(capsule).group_key, "the group key in the charter"
        except Rejection:
            return "none", "cannot be checked: the charter is damaged"
    elif folder is not None:
        return _check_in_scope(capsule, folder)
    else:
        return "unchecked", "give --scope to check it against a scope's group key"
    if crypto.ed25519_verify(key, capsule.signing_input(), capsule.signature):
        return "valid", f"by {owner} (Ed25519)"
    return "invalid", f"not by {owner} (Ed25519): altered, or of another scope"


def _check_in_scope(capsule: capsules.Capsule, folder: ScopeFolder) -> tuple[str, str]:
    name = folder.charter.name
    if is_signed(capsule, folder.group_key):
        return "valid", f"by the group key of {name} (Ed25519)"
    if folder.is_certified(capsule.raw):
        return "valid", f"by a former group key of {name} (Ed25519), which a succession replaced"
    return "invalid", f"not by a group key of {name} (Ed25519): altered, or of another scope"


def _to_diagnostic(raw: bytes) -> str:
    try:
        outer = cbor.decode(raw)
        if isinstance(outer, list) and len(outer) == 4 and isinstance(outer[2], bytes):
            inner = diagnostic(cbor.decode(outer[2]))
            shown = [diagnostic(item) for item in outer]
            return f"[<<{diagnostic(cbor.decode(outer[0]))}>>, {shown[1]}, <<{inner}>>, {shown[3]}]"
        return diagnostic(outer)
    except (Rejection, TypeError):
        return ""
