"""What a capsule, or a request for membership, says: each field, its signature, what is wrong.

Judges nothing but the signature; whether a capsule would be taken is the authority's business.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from writ import cbor, crypto
from writ.authority import capsule as capsules
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
from writ.authority.policy import METHODS, Policy, check_amendment
from writ.errors import BadSignature, Rejection

from ..policy.text import bits
from ..refusals import rejection_text
from .admission import is_request, read_request
from .cbordump import Field, Part, diagnostic, take_apart
from .folder import ScopeFolder

# Bytes, as the design wants them; an amendment's is for the revocation of one node.
GOALS = {"member": 150, "amendment": 100, "beacon": 96, "policy": 400}
# What a successor names as previous; an amendment's state is that of the policy beside it.
_WITH_HEAD = (CHARTER, POLICY, SUCCESSION)


@dataclass(frozen=True)
class Inspection:
    """All there is to say. kind: its name, "request" or "unknown"; head: of its state.

    signature: "valid", "invalid", "unchecked" or "none"; problem: why no node would take it, in
    words, at byte `problem_at` where that is known.
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
    """Explain `raw`; `folder`: the scope whose group key should have signed it. Never raises."""
    asks = is_request(raw)
    parts, broken = take_apart(raw, _envelope(_Names(folder), asks))
    problem, capsule = None, None
    try:
        if asks:
            read_request(raw)
        else:
            capsule = capsules.parse(raw)
            _check_body(capsule)
    except Rejection as error:
        problem = rejection_text(error)
    kind = "request" if asks else KIND_NAMES[capsule.kind] if capsule else _guess(parts)
    state, words = _signature(raw, capsule, asks, folder)
    has_head = capsule is not None and capsule.kind in _WITH_HEAD
    flawed = next((part.offset for part in parts if part.flaw), None)
    return Inspection(
        kind,
        len(raw),
        tuple(parts),
        _whole(raw),
        capsule.digest() if capsule else capsules.digest(raw),
        capsules.head(capsule.payload) if capsule and has_head else None,
        capsules.scope_id(capsule.payload) if capsule and capsule.kind == CHARTER else None,
        state,
        words,
        _goal(capsule),
        f"{problem}; {broken}" if problem and broken else problem,
        broken.offset if broken else flawed,
    )


def _check_body(capsule: capsules.Capsule) -> None:
    # what a node does next after `parse`: the body's own shape
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


def _guess(parts: Sequence[Part]) -> str:
    # of a damaged one the part that can be read may still say it
    found = (part.meaning.removeprefix("kind: ") for part in parts if part.depth >= 3)
    return next((word for word in found if word in KIND_NAMES), "unknown")


def _goal(capsule: capsules.Capsule | None) -> int | None:
    if capsule is None:
        return None
    if capsule.kind == AMENDMENT and not (
        len(capsule.body) == 4 and isinstance(capsule.body[3], bytes)
    ):
        return None
    return GOALS.get(KIND_NAMES[capsule.kind])


def _signature(
    raw: bytes, capsule: capsules.Capsule | None, asks: bool, folder: ScopeFolder | None
) -> tuple[str, str]:
    if asks:
        try:
            read_request(raw)
        except BadSignature:
            return "invalid", "the key that it names did not sign it (ES256)"
        except Rejection:
            return "none", "cannot be checked: the request is damaged"
        return "valid", "signed by the key that it names (ES256): it possesses that key"
    if capsule is None:
        return "none", "cannot be checked: this is no whole capsule"
    if capsule.alg == ES256:
        return "unchecked", "a member's (ES256), whose capsule it would take to check it"
    if capsule.kind == CHARTER:
        try:
            key, whose = capsules.Charter(capsule).group_key, "the group key that it names itself"
        except Rejection:
            return "none", "cannot be checked: the charter is damaged"
    elif folder is not None:
        key, whose = folder.charter.group_key, f"the group key of {folder.charter.name}"
    else:
        return "unchecked", "give --scope to check it against a scope's group key"
    if crypto.ed25519_verify(key, capsule.signing_input(), capsule.signature):
        return "valid", f"by {whose} (Ed25519)"
    return "invalid", f"not by {whose} (Ed25519): altered, or another scope's"


def _whole(raw: bytes) -> str:
    try:
        outer = cbor.decode(raw)
        if isinstance(outer, list) and len(outer) == 4 and isinstance(outer[2], bytes):
            inner = diagnostic(cbor.decode(outer[2]))
            shown = [diagnostic(item) for item in outer]
            return f"[<<{diagnostic(cbor.decode(outer[0]))}>>, {shown[1]}, <<{inner}>>, {shown[3]}]"
        return diagnostic(outer)
    except (Rejection, TypeError):
        return ""


# --- what the fields mean -------------------------------------------------------------------------


class _Names:
    """Names of roles and members, as far as the folder knows them."""

    def __init__(self, folder: ScopeFolder | None) -> None:
        policy = folder.policy if folder else None
        self.roles: Sequence[str] = policy.role_names if policy else ()
        self.nodes: Mapping[bytes, str] = folder.members.names() if folder else {}

    def mask(self, value: Any) -> str:
        if type(value) is not int or value < 0:
            return ""
        found = []
        for bit in bits(value):
            known = 0 < bit <= len(self.roles)
            found.append("any" if bit == 0 else self.roles[bit - 1] if known else f"role {bit}")
        return ", ".join(found) or "none"

    def node(self, value: Any) -> str:
        return self.nodes.get(value, "") if isinstance(value, bytes) else ""


def _moment(value: Any) -> str:
    if type(value) is not int or not 0 <= value <= capsules.TIME_MAX:
        return ""
    return f"{datetime.datetime.fromtimestamp(value, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _methods(value: Any) -> str:
    if type(value) is not int:
        return ""
    return ", ".join(name for bit, name in METHODS.items() if value & bit)


def _method(value: Any) -> str:
    return METHODS.get(1 << value >> 1, "") if type(value) is int and 0 < value < 8 else ""


def _flags(value: Any) -> str:
    words = {1: "fresh beacon", 2: "certified action", 3: "fresh beacon and certified action"}
    return words.get(value, "") if type(value) is int else ""


def _kind(value: Any) -> str:
    return KIND_NAMES[value] if type(value) is int and 0 <= value < len(KIND_NAMES) else "unknown"


def _alg(value: Any) -> str:
    return {-8: "EdDSA", -7: "ES256"}.get(value, "unknown") if type(value) is int else ""


def _seconds(value: Any) -> str:
    return f"{value} s" if type(value) is int else ""


_KIND = Field("kind", show=_kind)
_EPOCH = Field("epoch")
_PREVIOUS = Field("head of the state before (first 6 bytes of SHA-256 over its payload)")
_COSE_KEY = Field(
    "public key (COSE_Key)",
    keys={
        1: Field("key type", show=lambda v: "EC2" if v == 2 else "not EC2"),
        -1: Field("curve", show=lambda v: "P-256" if v == 1 else "not P-256"),
        -2: Field(
            "x coordinate; node id",
            show=lambda v: capsules.node_id(v).hex() if isinstance(v, bytes) else "",
        ),
        -3: Field("sign bit of y"),
    },
)


def _rule(names: _Names) -> Field:
    return Field(
        "rule",
        items=(
            Field("from", show=names.mask),
            Field("to", show=names.mask),
            Field("path"),
            Field("methods", show=_methods),
            Field("only with", show=_flags),
        ),
    )


def _route(names: _Names) -> Field:
    return Field(
        "route",
        items=(
            Field("class"),
            Field("may send", show=names.mask),
            Field("may relay", show=names.mask),
            Field("links (bit mask)"),
            Field("hops"),
            Field("airtime, per mille"),
            Field("priority"),
        ),
    )


def _operation(names: _Names) -> Field:
    node = Field("node id", show=names.node)

    def choose(code: Any) -> Field:
        op = Field("operation")
        if code == 0 and type(code) is int:
            return Field("restore a node", items=(op, node))
        if code == 1:
            granted = Field("all its extra roles", show=names.mask)
            return Field("grant roles", items=(op, node, granted))
        if code in (2, 3):
            words = "add a rule" if code == 2 else "remove a rule"
            return Field(words, items=(op, _rule(names)))
        if code == 4:
            key = Field("parameter: 3 who must agree, 4 the committee")
            value = _approvals(names, "its value")
            return Field("set a parameter of the policy", items=(op, key, value))
        return Field("unknown operation")

    # a bare node id is a revocation, the commonest operation
    return Field("revoke", items=(Field("operation"),), choose=choose, show=_words_of_id(names))


def _approvals(names: _Names, meaning: str) -> Field:
    rule = Field(
        "approval rule",
        items=(
            Field("for", show=_kind),
            Field("operators"),
            Field("with these roles and no others", show=names.mask),
            Field("only who is a member already", show=lambda v: "yes" if v == 1 else "no"),
        ),
    )
    return Field(meaning, items=(Field("operators where no rule fits"),), each=rule)


def _words_of_id(names: _Names) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        if isinstance(value, bytes):
            return f"node {names.node(value) or value.hex()}"
        return ""

    return show


def _bodies(names: _Names) -> dict[int, Field]:
    revoked = Field("revoked node", show=names.node)
    params = {
        1: Field("names of roles 1, 2, ...", each=Field("role")),
        2: Field("extra roles of nodes", each=Field("roles", show=names.mask)),
        3: _approvals(names, "who must agree"),
        4: Field("committee: governors and shares in force, where not the charter's"),
    }
    return {
        CHARTER: Field(
            "charter",
            items=(
                _KIND,
                Field("name"),
                Field("threshold: so many governors certify"),
                Field("governors", each=Field("governor's Ed25519 key")),
                Field("group key (Ed25519)"),
                Field(
                    "parameters",
                    keys={
                        1: Field("a beacon is fresh for", show=_seconds),
                        2: Field("clocks may differ by", show=_seconds),
                    },
                ),
            ),
        ),
        MEMBER: Field("member", items=(_KIND, Field("address"), Field("roles", show=names.mask))),
        POLICY: Field(
            "policy",
            items=(
                _KIND,
                _EPOCH,
                _PREVIOUS,
                Field("rules", each=_rule(names)),
                Field("routes", each=_route(names)),
                Field("revoked", each=revoked),
                Field("parameters", keys=params),
            ),
        ),
        AMENDMENT: Field("amendment", items=(_KIND, _EPOCH, _PREVIOUS), each=_operation(names)),
        BEACON: Field("beacon", items=(_KIND, _EPOCH, Field("head of the policy in force"))),
        SUCCESSION: Field(
            "succession",
            items=(
                _KIND,
                _EPOCH,
                _PREVIOUS,
                Field("new charter (SHA-256 over its payload)"),
                Field("new group key (Ed25519)"),
            ),
        ),
        ACTION: Field(
            "action",
            items=(
                _KIND,
                Field("target's node id", show=names.node),
                Field("method", show=_method),
                Field("path"),
                Field("payload (SHA-256)"),
                Field("nonce: executed once"),
            ),
        ),
    }


def _envelope(names: _Names, asks: bool) -> Field:
    bodies = _bodies(names)
    body = Field(
        "writ",
        items=(_KIND,),
        choose=lambda kind: bodies.get(kind, Field("of a kind that nodes do not apply yet")),
    )
    claims = Field(
        "CWT claims (RFC 8392)",
        keys={
            2: Field("sub: name"),
            4: Field("exp: expires", show=_moment),
            5: Field("nbf: not before", show=_moment),
            6: Field("iat: issued", show=_moment),
            8: Field("cnf: confirmation key (RFC 8747)", keys={1: _COSE_KEY}),
            -65537: body,
        },
    )
    return Field(
        "request for membership (no capsule)" if asks else "COSE_Sign1 (RFC 9052), untagged",
        items=(
            Field("protected header", inside=Field(keys={1: Field("algorithm", show=_alg)})),
            Field("unprotected header: no signature covers it", keys={4: Field("hint of a scope")}),
            Field("payload", inside=claims),
            Field("signature"),
        ),
    )
