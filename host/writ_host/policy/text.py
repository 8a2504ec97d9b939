"""A policy in words: what a rule says, and why a request is allowed or denied.

Rules are counted from 1 in words, from 0 by `writ.policy.decide`.
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
    """The roles of a mask: "gateway or sensor"; "nobody" for an empty one."""
    return listing((role_name(policy, bit) for bit in bits(mask)), last) or "nobody"


def method_text(mask: int) -> str:
    """The methods of a mask: "GET, PUT"."""
    return ", ".join(name for bit, name in METHODS.items() if mask & bit)


def link_text(mask: int) -> str:
    """The kinds of link of a mask: "udp, lora"."""
    return ", ".join(LINKS[b] if b < len(LINKS) else f"link {b}" for b in bits(mask)) or "no link"


def flags_of(rule: list[Any]) -> int:
    """The flags of a rule on the wire, where none is the shorter form."""
    return rule[4] if len(rule) == 5 else 0


def rule_text(policy: Policy, number: int) -> str:
    """Rule `number` (from 0): "gateway may GET pump/* on pump with a fresh beacon"."""
    rule = policy.rules[number]
    words = (
        f"{role_text(policy, rule[0])} may {method_text(rule[3])} {rule[2]}"
        f" on {role_text(policy, rule[1])}"
    )
    return f"{words} {_CONDITIONS[flags_of(rule)]}".rstrip()


def route_text(policy: Policy, route: list[int]) -> str:
    """A route without its class: "from sensor, relayed by gateway, over udp, 3 hops, ..."."""
    _, send, relay, links, hops, airtime, priority = route
    return (
        f"from {role_text(policy, send)}, relayed by {role_text(policy, relay)},"
        f" over {link_text(links)}, {hops} hops, {airtime / 10:g} % airtime, priority {priority}"
    )


def approvals_of(policy: Policy) -> Approvals | None:
    """The approval rules of a policy, None where they are in no form that we know."""
    try:
        return Approvals.from_wire(policy.approvals)
    except Malformed:
        return None


def approval_rule_text(policy: Policy, rule: ApprovalRule) -> str:
    """What an approval rule is about: "renewing who is sensor or pump, and no more"."""
    if rule.kind != "member":
        return f"{_ARTICLES.get(rule.kind, 'a')} {rule.kind}"
    doing = "renewing" if rule.renew else "admitting or renewing"
    return f"{doing} who is {role_text(policy, rule.roles)}, and no more"


def operator_text(operators: int) -> str:
    """ "nobody is asked", "1 operator", "2 operators"."""
    if operators == 0:
        return "nobody is asked"
    return "1 operator" if operators == 1 else f"{operators} operators"


def approval_rows(policy: Policy) -> list[tuple[str, str]]:
    """What is to be certified, and how many must agree; the first line that fits counts."""
    approvals = approvals_of(policy)
    if approvals is None:
        return [("anything", "unknown: rules of a newer version")]
    rows = [
        (approval_rule_text(policy, rule), operator_text(rule.operators))
        for rule in approvals.rules
    ]
    return [*rows, ("all else", operator_text(approvals.operators))]


def explain(
    policy: Policy,
    subject_roles: int,
    own_roles: int,
    method: int,
    path: str,
    is_fresh: bool = False,
    has_action: bool = False,
) -> str:
    """Why a request is allowed or denied, by the same `decide` that devices run.

    Roles are masks as `Policy.roles_of` gives them; method: CoAP code 1..7.
    """
    subject_roles |= ROLE_MEMBER
    own_roles |= ROLE_MEMBER
    reason, number = decide(policy, subject_roles, own_roles, method, path, is_fresh, has_action)
    if reason is None:
        return f"allowed by rule {number + 1}: {rule_text(policy, number)}"
    if reason is not NotAllowed:
        words = rule_text(policy, number)
        return f"denied ({reason.__name__}): {_WHY[reason]}; rule {number + 1}: {words}"
    asked = (
        f"no rule lets {_own_words(policy, subject_roles)} {method_text(1 << method - 1)} {path}"
        f" on {_own_words(policy, own_roles)}"
    )
    return (
        f"denied (NotAllowed): {asked}{_near_miss(policy, subject_roles, own_roles, method, path)}"
    )


def _own_words(policy: Policy, mask: int) -> str:
    # everybody is a member: worth a word only of who is nothing else
    named = mask & ~ROLE_MEMBER
    return role_text(policy, named, "and") if named else "a member without roles"


def _near_miss(policy: Policy, subject_roles: int, own_roles: int, method: int, path: str) -> str:
    for number, rule in enumerate(policy.rules):
        misses = []
        if not rule[0] & subject_roles:
            misses.append(f"is for requests of {role_text(policy, rule[0])}")
        if not rule[1] & own_roles:
            misses.append(f"is for {role_text(policy, rule[1])}")
        if not rule[3] >> method - 1 & 1:
            misses.append(f"allows only {method_text(rule[3])}")
        if not path_matches(rule[2], path):
            misses.append(f"covers {rule[2]}")
        if len(misses) == 1:
            return f"; rule {number + 1} comes near, but {misses[0]}"
    return ""


@dataclass(frozen=True)
class Description:
    """A policy as rows of a table, every cell a word or a few.

    rules: number, from, methods, resource, to, condition. routes: class, send, relay, links,
    hops, airtime, priority. grants: node, roles. approvals: what for, how many operators.
    committee: of governors that are not the charter's, hex.
    """

    title: str
    roles: tuple[str, ...]
    rules: tuple[tuple[str, ...], ...]
    routes: tuple[tuple[str, ...], ...]
    revoked: tuple[str, ...]
    grants: tuple[tuple[str, str], ...]
    approvals: tuple[tuple[str, str], ...]
    committee: str | None


def decompile(policy: Policy, names: Mapping[bytes, str] | None = None) -> Description:
    """What a policy capsule holds, in words; `names`: {node id: name} of known members."""
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
    )


def node_text(node: bytes, names: Mapping[bytes, str] | None = None) -> str:
    """A node by its name and id, or by its id alone."""
    name = (names or {}).get(node)
    return f"{name} ({node.hex()})" if name else node.hex()
