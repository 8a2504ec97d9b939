"""Approval rules: in policy.toml, on the wire, as text, in diffs and in amendments."""

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, POLICY, build, parse_claims
from writ.authority.policy import OP_SET, Policy
from writ.errors import Rejection
from writ_host import codec
from writ_host.errors import Malformed
from writ_host.policy.amendment import amendment_for, successor
from writ_host.policy.approvals import APPROVAL_RULES_MAX, KINDS, ApprovalRule, Approvals
from writ_host.policy.diff import diff
from writ_host.policy.source import PolicyFile
from writ_host.policy.strict_toml import PolicyError
from writ_host.policy.template import template
from writ_host.policy.text import decompile
from writ_host.scope.change import policy_change

HEAD = bytes(6)
ROLES = '[roles]\nsensor = ""\npump = ""\n'
RULES = (
    ROLES
    + """
[approvals]
operators = 2
[[approvals.rule]]
kind = "beacon"
operators = 0
[[approvals.rule]]
kind = "member"
roles = ["sensor", "pump"]
renew = true
operators = 0
[[approvals.rule]]
kind = "member"
roles = "sensor"
operators = 1
"""
)
WIRE = [2, [4, 0, 0, 0], [1, 0, 6, 1], [1, 1, 2, 0]]


def policy(text: str, **changes: Any) -> Policy:
    return PolicyFile.parse(text).policy(1, HEAD, 7, **changes)


# --- on the wire ----------------------------------------------------------------------------------


def test_approval_rules_are_part_of_the_policy() -> None:
    file = PolicyFile.parse(RULES)
    state = policy(RULES)
    assert state.approvals == WIRE and state.committee is None
    assert Approvals.from_wire(state.approvals) == file.approvals
    # a device parses the policy that was compiled
    assert Policy(parse_claims(state.payload())).payload() == state.payload()
    assert len(state.payload()) - len(policy(ROLES).payload()) == 18


def test_the_default_rule_takes_no_bytes() -> None:
    for text in (ROLES, ROLES + "[approvals]\noperators = 1\n"):
        assert policy(text).approvals is None
    assert Approvals.from_wire(None) == Approvals() and Approvals().to_wire() is None
    assert policy(ROLES + "[approvals]\noperators = 0\n").approvals == [0]


def test_the_template_asks_no_operator_for_a_beacon() -> None:
    state = policy(template("farm"))
    assert Approvals.from_wire(state.approvals).operators_for("beacon") == 0


rules = st.builds(
    ApprovalRule,
    st.none(),
    st.sampled_from([name for name in KINDS if name != "member"]),
    st.integers(0, 13),
    st.just(0),
    st.just(False),
) | st.builds(
    ApprovalRule,
    st.none(),
    st.just("member"),
    st.integers(0, 13),
    st.integers(1, 2**30 - 1),
    st.booleans(),
)


@given(st.lists(rules, max_size=APPROVAL_RULES_MAX), st.integers(0, 13))
def test_approval_rules_round_trip(listed: list[ApprovalRule], operators: int) -> None:
    found = Approvals(tuple(listed), operators)
    encoded = found.to_wire()
    assert Approvals.from_wire(encoded) == found
    if encoded is not None:
        assert Approvals.from_wire(codec.load(codec.dump(encoded))) == found


@pytest.mark.parametrize(
    "item",
    [
        [1],  # the default is encoded by absence only
        [],
        {},
        b"",
        [14],
        [-1],
        [True],
        [1, [4, 0, 0]],
        [1, [4, 0, 0, 0, 0]],
        [1, [0, 0, 0, 0]],  # a charter is made by a ceremony
        [1, [3, 0, 0, 0]],  # an amendment counts as a policy
        [1, [8, 0, 0, 0]],
        [1, [True, 0, 2, 0]],
        [1, [4, 14, 0, 0]],
        [1, [4, 0, 2, 0]],  # roles are for members
        [1, [4, 0, 0, 1]],
        [1, [1, 0, 0, 0]],
        [1, [1, 0, 2**30, 0]],
        [1, [1, 0, 2, 2]],
        [1, [1, 0, 2, False]],
        [1, *[[4, 0, 0, 0]] * (APPROVAL_RULES_MAX + 1)],
    ],
)
def test_approval_rules_of_wrong_form_are_refused(item: object) -> None:
    with pytest.raises(Malformed):
        Approvals.from_wire(item)


def test_too_many_rules_are_refused_with_their_line() -> None:
    rule = '[[approvals.rule]]\nkind = "beacon"\noperators = 0\n'
    PolicyFile.parse(rule * APPROVAL_RULES_MAX)
    with pytest.raises(PolicyError, match=r"policy.toml:\d+: 17 approval rules"):
        PolicyFile.parse(rule * (APPROVAL_RULES_MAX + 1))


# --- as text --------------------------------------------------------------------------------------


def test_policy_show_lists_how_many_operators_must_approve() -> None:
    found = decompile(policy(RULES, committee=bytes(range(8))))
    assert found.approvals == (
        ("a beacon", "no operator"),
        ("renewing a member with only the roles sensor or pump", "no operator"),
        ("admitting or renewing a member with only the roles sensor", "1 operator"),
        ("anything else", "2 operators"),
    )
    assert found.committee == "0001020304050607"
    assert decompile(policy(ROLES)).approvals == (("anything else", "1 operator"),)


def said(before: str, after: str) -> list[str]:
    old = policy(before)
    return list(diff(old, PolicyFile.parse(after).policy(2, old.head(), 7)).approvals)


def test_a_diff_lists_changed_approval_rules() -> None:
    assert said(RULES, RULES) == []
    assert said(RULES, RULES.replace("operators = 2", "operators = 3")) == [
        "anything else: 3 operators (was: 2 operators)"
    ]
    assert said(RULES, RULES.replace('"beacon"\noperators = 0', '"beacon"\noperators = 1')) == [
        "a beacon: 1 operator (was: no operator)"
    ]
    action = RULES + '[[approvals.rule]]\nkind = "action"\noperators = 2\n'
    assert said(RULES, action) == ["an action: 2 operators (was: no rule of its own)"]
    assert said(action, RULES) == ["an action: no rule of its own now (was: 2 operators)"]
    assert said(ROLES, RULES)[-1] == "anything else: 2 operators (was: 1 operator)"


def test_a_diff_shows_another_order_of_rules() -> None:
    head, *parts = RULES.split("[[approvals.rule]]")
    swapped = "[[approvals.rule]]".join([head, *reversed(parts)])
    assert said(RULES, swapped) == [
        "the order of the rules changes; the first rule that applies decides"
    ]


@given(
    *(st.builds(Approvals, st.lists(rules, max_size=3).map(tuple), st.integers(0, 2)),) * 2,
)
def test_a_diff_shows_every_change_of_approval_rules(before: Approvals, after: Approvals) -> None:
    def state(approvals: Approvals) -> Policy:
        encoded = approvals.to_wire()
        params = {3: encoded} if encoded else {}
        return Policy(parse_claims(build(POLICY, [1, HEAD, [], [], [], params], iat=7)))

    found = diff(state(before), state(after)).approvals
    if any(
        before.operators_for(kind, roles, renewal) != after.operators_for(kind, roles, renewal)
        for kind in KINDS
        for roles in {0, *(rule.roles for rule in (*before.rules, *after.rules))}
        for renewal in (False, True)
    ):
        assert found


# --- amendments -----------------------------------------------------------------------------------


def test_a_change_of_approval_rules_is_an_amendment() -> None:
    # with many rules the whole policy is far longer than the amendment
    paths = json.dumps([f"path-{i:02}" for i in range(20)])
    rule = f'[[rule]]\nfrom="sensor"\nto="pump"\nresource={paths}\nmethods="GET"\n'
    texts = [ROLES + rule, RULES + rule, ROLES + rule, RULES + rule]
    state = PolicyFile.parse(texts[0]).policy(1, HEAD, 7)
    for before, after in pairwise(texts):
        new, ops = successor(PolicyFile.parse(after), state, 99)
        wanted = PolicyFile.parse(after).approvals.to_wire()
        assert ops == [[OP_SET, 3, wanted]] and before != after
        assert new.approvals == wanted and new.issued == 7
        payload = build(AMENDMENT, [new.epoch, new.previous, *ops])
        body = check_amendment(parse_claims(payload)[-65537])
        assert amend(state, body).payload() == new.payload()
        state = new


def test_every_change_keeps_the_committee() -> None:
    rule = '[[rule]]\nfrom="sensor"\nto="pump"\nresource="x"\nmethods="GET"\n'
    old = policy(RULES, committee=b"shares 2")
    for text in (RULES, ROLES, RULES + rule, RULES.replace("pump", "motor")):
        new, _ = successor(PolicyFile.parse(text), old, 9)
        assert new.committee == b"shares 2"
    node = bytes(8)
    assert amend(old, [AMENDMENT, 2, old.head(), node]).committee == b"shares 2"


def test_another_committee_is_an_amendment_and_a_line_of_the_diff() -> None:
    paths = json.dumps([f"path-{i:02}" for i in range(20)])
    text = RULES + f'[[rule]]\nfrom="sensor"\nto="pump"\nresource={paths}\nmethods="GET"\n'
    old = policy(text)
    new = PolicyFile.parse(text).policy(2, old.head(), 7, committee=b"shares 2")
    assert amendment_for(old, new) == [[OP_SET, 4, b"shares 2"]]
    (line,) = diff(old, new).lines()
    assert line.startswith("governors: ") and b"shares 2".hex() in line
    assert "the charter's" in line


def test_after_a_succession_the_next_policy_follows_its_head() -> None:
    old = policy(RULES)
    at = (5, b"succes")
    new, ops = successor(PolicyFile.parse(RULES), old, 9, [bytes(8)], None, at)
    assert (new.epoch, new.previous, ops) == (6, b"succes", [bytes(8)])
    assert amendment_for(old, new) is None


def test_devices_refuse_parameters_of_another_shape() -> None:
    for params in ({3: []}, {3: 1}, {3: None}, {4: b"short"}, {4: None}, {5: 2}, {6: 1}):
        with pytest.raises(Rejection):
            Policy(parse_claims(build(POLICY, [1, HEAD, [], [], [], params], iat=7)))


def test_a_policy_that_asks_more_operators_than_governors_is_refused() -> None:
    charter = SimpleNamespace(governors=[bytes(32)] * 3)
    folder: Any = SimpleNamespace(policy=None, charter=charter)
    with pytest.raises(PolicyError, match="13 operators, but only 3 governors"):
        policy_change(folder, PolicyFile.parse("[approvals]\noperators = 13\n"))
