"""The approval rules of a policy: how many operators must approve a capsule before it is certified.

The rules are part of the policy, so that all governors apply the same ones:

    approvals = [ operators, * [ kind, operators, roles, renew: 0 / 1 ] ]   ; policy parameter 3

`kind` is a capsule's; `roles` is a mask, 0 for all kinds but members. The default, one operator and
no rule, is expressed by the absence of the parameter.
"""

from dataclasses import dataclass, field

from writ.authority.capsule import (
    ACTION,
    BEACON,
    KIND_NAMES,
    MEMBER,
    POLICY,
    RELEASE,
    ROLES_MASK,
    SUCCESSION,
)
from writ.authority.policy import ROLE_MEMBER
from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import Malformed

# The subjects of rules. An amendment counts as a policy; charters are made in ceremonies.
KINDS = {KIND_NAMES[kind]: kind for kind in (MEMBER, POLICY, BEACON, ACTION, RELEASE, SUCCESSION)}
# Each operator is a person at one governor.
OPERATORS_MAX = GOVERNORS_MAX
# About 6 bytes each in every policy capsule.
APPROVAL_RULES_MAX = 16
_DEFAULT_OPERATORS = 1


@dataclass(frozen=True)
class ApprovalRule:
    """How many operators must approve a capsule of `kind`; 0: the governors certify it alone.

    line: in policy.toml; roles: mask, for members: the rule covers capsules with no other roles;
    renew: the rule covers only renewals.
    """

    line: int | None = field(compare=False)
    kind: str
    operators: int
    roles: int
    renew: bool


@dataclass(frozen=True)
class Approvals:
    """The approval rules, and the number of operators for a capsule that no rule covers."""

    rules: tuple[ApprovalRule, ...] = ()
    operators: int = _DEFAULT_OPERATORS

    def operators_for(self, kind: str, roles: int = 0, renewal: bool = False) -> int:
        """The number of operators who must approve; the first rule that covers it decides.

        kind: one of KINDS; roles: the mask in a member capsule; renewal: whether the capsule is for
        the key of a present member and adds no role.
        """
        for rule in self.rules:
            covered = kind != "member" or not roles & ~(rule.roles | ROLE_MEMBER)
            if rule.kind == kind and covered and (renewal or not rule.renew):
                return rule.operators
        return self.operators

    @property
    def most(self) -> int:
        """The largest number of operators that any capsule needs."""
        return max([self.operators, *(rule.operators for rule in self.rules)])

    def to_wire(self) -> list[object] | None:
        """The policy parameter; None for the default."""
        listed: list[object] = [
            [KINDS[rule.kind], rule.operators, rule.roles, int(rule.renew)] for rule in self.rules
        ]
        if not listed and self.operators == _DEFAULT_OPERATORS:
            return None
        return [self.operators, *listed]

    @classmethod
    def from_wire(cls, item: object) -> "Approvals":
        """The rules in a policy parameter, None for the default. Raises `Malformed`."""
        if item is None:
            return cls()
        operators, *listed = codec.a_list(item, size_max=1 + APPROVAL_RULES_MAX) or [None]
        found = cls(
            tuple(_rule_from_wire(one) for one in listed),
            codec.an_int(operators, 0, OPERATORS_MAX),
        )
        if found.to_wire() != item:
            raise Malformed("approval rules that are not in their canonical form")
        return found


def _rule_from_wire(item: object) -> ApprovalRule:
    kind, operators, roles, renew = codec.a_list(item, 4)
    name = next((name for name, number in KINDS.items() if number == kind), None)
    if name is None or type(kind) is not int:
        raise Malformed("an approval rule for a kind that cannot have one")
    mask = codec.an_int(roles, 1, ROLES_MASK) if name == "member" else codec.an_int(roles, 0, 0)
    renewal = codec.an_int(renew, 0, 1 if name == "member" else 0)
    return ApprovalRule(None, name, codec.an_int(operators, 0, OPERATORS_MAX), mask, bool(renewal))
