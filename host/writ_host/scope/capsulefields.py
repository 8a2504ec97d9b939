"""The meaning of every field in a capsule (docs/wire.md), for `take_apart` in cbordump.py.

Role numbers and node ids are shown with their names if the scope's folder is known.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    CHARTER,
    KIND_NAMES,
    MEMBER,
    POLICY,
    SUCCESSION,
)
from writ.authority.policy import METHODS, OP_ADD_RULE, OP_GRANT, OP_REMOVE_RULE, OP_RESTORE, OP_SET

from ..policy.text import bits
from .cbordump import Field
from .folder import ScopeFolder


def _time(value: Any) -> str:
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
    texts = {1: "fresh beacon", 2: "certified action", 3: "fresh beacon and certified action"}
    return texts.get(value, "") if type(value) is int else ""


def _kind(value: Any) -> str:
    return KIND_NAMES[value] if type(value) is int and 0 <= value < len(KIND_NAMES) else "unknown"


def _alg(value: Any) -> str:
    return {-8: "EdDSA", -7: "ES256"}.get(value, "unknown") if type(value) is int else ""


def _seconds(value: Any) -> str:
    return f"{value} s" if type(value) is int else ""


_KIND = Field("kind", show=_kind)
_UNKNOWN_KIND = Field("of a kind that nodes do not apply yet")
_EPOCH = Field("epoch")
_PREVIOUS = Field("head of the previous state (first 6 bytes of SHA-256 over its payload)")
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
_CHARTER = Field(
    "charter",
    items=(
        _KIND,
        Field("name"),
        Field("threshold: number of governors that certify"),
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
)
_BEACON = Field("beacon", items=(_KIND, _EPOCH, Field("head of the policy in force")))
_SUCCESSION = Field(
    "succession",
    items=(
        _KIND,
        _EPOCH,
        _PREVIOUS,
        Field("new charter (SHA-256 over its payload)"),
        Field("new group key (Ed25519)"),
    ),
)


class CapsuleFields:
    """The fields of all kinds of capsules. folder: the scope whose names are shown, if known."""

    def __init__(self, folder: ScopeFolder | None) -> None:
        policy = folder.policy if folder else None
        self._role_names: Sequence[str] = policy.role_names if policy else ()
        self._node_names: Mapping[bytes, str] = folder.members.names() if folder else {}

    def envelope(self, is_request: bool) -> Field:
        """The COSE structure around a capsule's claims, or around a request for membership."""
        bodies = self._bodies()
        body = Field(
            "writ",
            items=(_KIND,),
            choose=lambda kind: (type(kind) is int and bodies.get(kind)) or _UNKNOWN_KIND,
        )
        claims = Field(
            "CWT claims (RFC 8392)",
            keys={
                2: Field("sub: name"),
                4: Field("exp: expires", show=_time),
                5: Field("nbf: not before", show=_time),
                6: Field("iat: issued", show=_time),
                8: Field("cnf: confirmation key (RFC 8747)", keys={1: _COSE_KEY}),
                -65537: body,
            },
        )
        unprotected = Field("unprotected header: not signed", keys={4: Field("hint of a scope")})
        return Field(
            "request for membership" if is_request else "COSE_Sign1 (RFC 9052), untagged",
            items=(
                Field("protected header", inside=Field(keys={1: Field("algorithm", show=_alg)})),
                unprotected,
                Field("payload", inside=claims),
                Field("signature"),
            ),
        )

    def _bodies(self) -> dict[int, Field]:
        return {
            CHARTER: _CHARTER,
            MEMBER: Field("member", items=self._member()),
            POLICY: self._policy(),
            AMENDMENT: Field("amendment", items=(_KIND, _EPOCH, _PREVIOUS), each=self._operation()),
            BEACON: _BEACON,
            SUCCESSION: _SUCCESSION,
            ACTION: self._action(),
        }

    def _member(self) -> tuple[Field, ...]:
        epoch = Field("epoch in force when it was drafted")
        return _KIND, Field("address"), self._role_mask("roles"), epoch

    def _policy(self) -> Field:
        params = {
            1: Field("names of roles 1, 2, ...", each=Field("role")),
            2: Field("extra roles of nodes", each=self._role_mask("roles")),
            3: self._approvals("approvals needed"),
            4: Field("committee in force, unless it is the charter's (digest)"),
            5: Field("memberships from before this epoch are void"),
        }
        return Field(
            "policy",
            items=(
                _KIND,
                _EPOCH,
                _PREVIOUS,
                Field("rules", each=self._rule()),
                Field("routes", each=self._route()),
                Field("revoked", each=Field("revoked node", show=self._node_name)),
                Field("parameters", keys=params),
            ),
        )

    def _action(self) -> Field:
        return Field(
            "action",
            items=(
                _KIND,
                Field("node id of the target", show=self._node_name),
                Field("method", show=_method),
                Field("path"),
                Field("payload (SHA-256)"),
                Field("nonce: executed once"),
            ),
        )

    def _rule(self) -> Field:
        return Field(
            "rule",
            items=(
                self._role_mask("from"),
                self._role_mask("to"),
                Field("path"),
                Field("methods", show=_methods),
                Field("condition", show=_flags),
            ),
        )

    def _route(self) -> Field:
        return Field(
            "route",
            items=(
                Field("class"),
                self._role_mask("may send"),
                self._role_mask("may relay"),
                Field("links (bit mask)"),
                Field("hops"),
                Field("airtime, per mille"),
                Field("priority"),
            ),
        )

    def _operation(self) -> Field:
        node = Field("node id", show=self._node_name)
        op = Field("operation")

        def choose(code: Any) -> Field:
            if type(code) is not int:
                return Field("unknown operation")
            if code == OP_RESTORE:
                return Field("restore a node", items=(op, node))
            if code == OP_GRANT:
                return Field("grant roles", items=(op, node, self._role_mask("all extra roles")))
            if code == OP_ADD_RULE:
                return Field("add a rule", items=(op, self._rule()))
            if code == OP_REMOVE_RULE:
                return Field("remove a rule", items=(op, self._rule()))
            if code == OP_SET:
                key = Field("parameter: 3 approvals, 4 committee, 5 void before")
                value = self._approvals("its value")
                return Field("set a parameter of the policy", items=(op, key, value))
            return Field("unknown operation")

        # a bare node id is a revocation, the most frequent operation
        return Field("revoke", items=(op,), choose=choose, show=self._revoked_node)

    def _approvals(self, meaning: str) -> Field:
        rule = Field(
            "approval rule",
            items=(
                Field("for", show=_kind),
                Field("operators"),
                self._role_mask("with these roles and no others"),
                Field("renewals only", show=lambda v: "yes" if v == 1 else "no"),
            ),
        )
        return Field(meaning, items=(Field("operators where no rule applies"),), each=rule)

    def _role_mask(self, meaning: str) -> Field:
        return Field(meaning, show=self._roles)

    def _roles(self, value: Any) -> str:
        if type(value) is not int or value < 0:
            return ""
        names = ["any", *self._role_names]
        found = [names[bit] if bit < len(names) else f"role {bit}" for bit in bits(value)]
        return ", ".join(found) or "none"

    def _node_name(self, value: Any) -> str:
        return self._node_names.get(value, "") if isinstance(value, bytes) else ""

    def _revoked_node(self, value: Any) -> str:
        return f"node {self._node_name(value) or value.hex()}" if isinstance(value, bytes) else ""
