"""Policies as text: what a rule says, and why a request is allowed or denied.

Texts number the rules from 1; `writ.authority.policy.decide` numbers them from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from writ.authority.policy import FRESH, METHODS, QUORUM, ROLE_MEMBER, Policy, decide, path_matches
from writ.errors import NeedsAction, NotAllowed, NotFresh

from ..errors import Malformed
from .approvals import ApprovalRule, Approvals
from .strict_toml import listing

ANY = "any"
# Bit n of a route's links mask is the n-th name.
LINKS = ("udp", "serial", "lora", "espnow", "mqtt")

_CONDITIONS = {
    0: "",
    FRESH: "with a fresh beacon",
    QUORUM: "with a certified action",
    FRESH | QUORUM: "with a fresh beacon and a certified action",
}
_ARTICLES = {"action": "an"}
_WHY = {
    NotFresh: "the newest beacon is too old",
    NeedsAction: "this needs a certified action",
}


def bits(mask: int) -> list[int]:
    """The numbers of the bits set in `mask`, lowest first."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def role_name(policy: Policy, bit: int) -> str:
    """The name of a role bit; "any" is bit 0, and one without a name is "role 7"."""
    if bit == 0:
        return ANY
    return str(policy.role_names[bit - 1]) if bit <= len(policy.role_names) else f"role {bit}"


def role_text(policy: Policy, mask: int, last: str = "or") -> str:
    """The roles of a mask: "gateway or sensor"; "no role" for an empty one."""
    return listing((role_name(policy, bit) for bit in bits(mask)), last) or "no role"


def method_text(mask: int) -> str:
    """The methods of a mask: "GET, PUT"."""
    return ", ".join(name for bit, name in METHODS.items() if mask & bit)


def link_text(mask: int) -> str:
    """The kinds of link of a mask: "udp, lora"."""
    return ", ".join(LINKS[b] if b < len(LINKS) else f"link {b}" for b in bits(mask)) or "no link"


def flags_of(rule: list[Any]) -> int:
    """The flags of a rule in wire form, which leaves them out when there are none."""
    return rule[4] if len(rule) == 5 else 0


def rule_text(policy: Policy, number: int) -> str:
    """Rule `number` (from 0): "gateway may GET pump/* on pump with a fresh beacon"."""
    rule = policy.rules[number]
    text = (
        f"{role_text(policy, rule[0])} may {method_text(rule[3])} {rule[2]}"
        f" on {role_text(policy, rule[1])}"
    )
    return f"{text} {_CONDITIONS[flags_of(rule)]}".rstrip()


def route_text(policy: Policy, route: list[int]) -> str:
    """A route without its class: "from sensor, relayed by gateway, over udp, 3 hops, ..."."""
    _, send, relay, links, hops, airtime, priority = route
    return (
        f"from {role_text(policy, send)}, relayed by {role_text(policy, relay)},"
        f" over {link_text(links)}, {hops} hops, {airtime / 10:g} % airtime, priority {priority}"
    )


def approvals_of(policy: Policy) -> Approvals | None:
    """The approval rules of a policy; None if this version cannot read them."""
    try:
        return Approvals.from_wire(policy.approvals)
    except Malformed:
        return None


def approval_rule_text(policy: Policy, rule: ApprovalRule) -> str:
    """The subject of an approval rule: "renewing a member with only the roles sensor or pump"."""
    if rule.kind != "member":
        return f"{_ARTICLES.get(rule.kind, 'a')} {rule.kind}"
    doing = "renewing" if rule.renew else "admitting or renewing"
    return f"{doing} a member with only the roles {role_text(policy, rule.roles)}"


def operator_text(operators: int) -> str:
    """ "no operator", "1 operator", "2 operators"."""
    if operators == 0:
        return "no operator"
    return "1 operator" if operators == 1 else f"{operators} operators"


def approval_rows(policy: Policy) -> list[tuple[str, str]]:
    """[(subject, operators)]: how many must agree to certify it; the first match decides."""
    approvals = approvals_of(policy)
    if approvals is None:
        return [("anything", "unknown: the rules are of a newer version")]
    rows = [
        (approval_rule_text(policy, rule), operator_text(rule.operators))
        for rule in approvals.rules
    ]
    return [*rows, ("anything else", operator_text(approvals.operators))]


def explain(
    policy: Policy,
    subject_roles: int,
    own_roles: int,
    method: int,
    path: str,
    is_fresh: bool = False,
    has_action: bool = False,
) -> str:
    """Why a request is allowed or denied, by the same `decide` as on devices.

    Roles are masks as `Policy.roles_of` gives them; method: CoAP code 1..7.
    """
    subject_roles |= ROLE_MEMBER
    own_roles |= ROLE_MEMBER
    reason, number = decide(policy, subject_roles, own_roles, method, path, is_fresh, has_action)
    if reason is None:
        return f"allowed by rule {number + 1}: {rule_text(policy, number)}"
    if reason is not NotAllowed:
        rule = rule_text(policy, number)
        return f"denied ({reason.__name__}): {_WHY[reason]}; rule {number + 1}: {rule}"
    lacking = (
        f"no rule lets {_subject_text(policy, subject_roles)} {method_text(1 << method - 1)} {path}"
        f" on {_subject_text(policy, own_roles)}"
    )
    hint = _near_miss(policy, subject_roles, own_roles, method, path)
    return f"denied (NotAllowed): {lacking}{hint}"


def _subject_text(policy: Policy, mask: int) -> str:
    # every member has the role "any", so it is named only if there is no other
    named = mask & ~ROLE_MEMBER
    return role_text(policy, named, "and") if named else "a member without roles"


def _near_miss(policy: Policy, subject_roles: int, own_roles: int, method: int, path: str) -> str:
    for number, rule in enumerate(policy.rules):
        misses = []
        if not rule[0] & subject_roles:
            misses.append(f"it is for requests from {role_text(policy, rule[0])}")
        if not rule[1] & own_roles:
            misses.append(f"it is for requests to {role_text(policy, rule[1])}")
        if not rule[3] >> method - 1 & 1:
            misses.append(f"it allows only {method_text(rule[3])}")
        if not path_matches(rule[2], path):
            misses.append(f"it covers {rule[2]}")
        if len(misses) == 1:
            return f"; rule {number + 1} almost applies, but {misses[0]}"
    return ""


@dataclass(frozen=True)
class Description:
    """A policy as rows of tables.

    rules: number, from, methods, resource, to, condition. routes: class, send, relay, links,
    hops, airtime, priority. grants: node, roles. approvals: subject, number of operators.
    committee: its digest in hex, None for the charter's governors; void_before: an epoch, or None.
    """

    title: str
    roles: tuple[str, ...]
    rules: tuple[tuple[str, ...], ...]
    routes: tuple[tuple[str, ...], ...]
    revoked: tuple[str, ...]
    grants: tuple[tuple[str, str], ...]
    approvals: tuple[tuple[str, str], ...]
    committee: str | None
    void_before: int | None = None


def decompile(policy: Policy, names: Mapping[bytes, str] | None = None) -> Description:
    """A policy as rows of text; `names`: {node id: name} of known members."""
    rules = [
        (
            str(number),
            role_text(policy, rule[0]),
            method_text(rule[3]),
            rule[2],
            role_text(policy, rule[1]),
            _CONDITIONS[flags_of(rule)],
        )
        for number, rule in enumerate(policy.rules, 1)
    ]
    routes = [
        (
            str(number),
            role_text(policy, send),
            role_text(policy, relay),
            link_text(links),
            str(hops),
            f"{airtime / 10:g} %",
            str(priority),
        )
        for number, send, relay, links, hops, airtime, priority in policy.routes
    ]
    return Description(
        f"epoch {policy.epoch}, head {policy.head().hex()}, {len(policy.payload())} bytes",
        tuple(policy.role_names),
        tuple(rules),
        tuple(routes),
        tuple(node_text(node, names) for node in policy.revoked),
        tuple(
            (node_text(node, names), role_text(policy, policy.grants[node], "and"))
            for node in sorted(policy.grants)
        ),
        tuple(approval_rows(policy)),
        policy.committee.hex() if policy.committee else None,
        policy.void_before or None,
    )


def node_text(node: bytes, names: Mapping[bytes, str] | None = None) -> str:
    """A node by its name and id, or by its id alone."""
    name = (names or {}).get(node)
    return f"{name} ({node.hex()})" if name else node.hex()
