"""The difference between two policies states exactly what changes, no more and no less."""

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_rig import NODE, OTHER, pairs, policy

from writ.authority.policy import METHODS, Policy, decide
from writ_host.policy.diff import ALWAYS, NEVER, AccessChange, diff

PATHS = ("", "t", "t/", "t/u", "t/u/", "t/u/v", "t/u/w", "t/w", "tt", "~", "~~", "t/~", "t/~~")
PATHS += ("t//", "t//x", "x")


def verdict(state: Policy, subject: int, target: int, method: int, path: str) -> int:
    asked = (1 | subject, 1 | target, method, path)
    return sum(
        1 << case
        for case in range(4)
        if decide(state, *asked, bool(case & 1), bool(case & 2))[0] is None
    )


@pytest.mark.slow
@settings(max_examples=120)
@given(pairs())
def test_diff_is_exactly_what_decide_changes(rules: tuple[list[Any], list[Any]]) -> None:
    old, new = policy(rules[0]), policy(rules[1])
    found = diff(old, new)
    changes = {*found.allowed, *found.forbidden}
    for subject in range(5):
        for target in range(5):
            for method in range(1, 8):
                check_one(old, new, changes, subject, target, method)
    assert bool(found) == bool(changes)


def check_one(
    old: Policy, new: Policy, changes: set[AccessChange], subject: int, target: int, method: int
) -> None:
    of_method = [change for change in changes if change.methods >> method - 1 & 1]
    for path in PATHS:
        states = [verdict(s, 1 << subject, 1 << target, method, path) for s in (old, new)]
        said = [
            change
            for change in of_method
            if change.covers(path)
            and {subject, 0} & {*change.subjects}
            and {target, 0} & {*change.objects}
        ]
        for change in said:
            # a change for exactly these roles states the true verdicts
            if subject in change.subjects and target in change.objects:
                assert [change.before, change.after] == states, change
        if states[0] != states[1]:
            # and every true change is stated, for these roles or for any member
            assert any([change.before, change.after] == states for change in said)


@settings(max_examples=60)
@given(pairs(), st.integers(0, 15), st.integers(0, 15), st.integers(1, 7), st.sampled_from(PATHS))
def test_every_gain_of_a_member_with_several_roles_is_stated(
    rules: tuple[list[Any], list[Any]], subject: int, target: int, method: int, path: str
) -> None:
    old, new = policy(rules[0]), policy(rules[1])
    before, after = (verdict(state, subject, target, method, path) for state in (old, new))
    found = diff(old, new)
    for gained, changes in ((after & ~before, found.allowed), (before & ~after, found.forbidden)):
        said = 0
        for change in changes:
            about = (1 | subject) & mask(change.subjects) and (1 | target) & mask(change.objects)
            if about and change.methods >> method - 1 & 1 and change.covers(path):
                said |= change.before ^ change.after
        assert not gained & ~said


def mask(roles: tuple[int, ...]) -> int:
    return sum(1 << role for role in roles)


# --- text ---------------------------------------------------------------------------------------


def lines(old: list[Any], new: list[Any]) -> list[str]:
    return diff(policy(old), policy(new)).lines()


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        ([], [[2, 12, "temp", 5]], ["allowed: gateway may GET, PUT temp on sensor or pump"]),
        ([[2, 4, "t", 1]], [], ["forbidden: gateway may no longer GET t on sensor"]),
        ([], [[1, 1, "t", 1], [2, 4, "t", 1]], ["allowed: any may GET t on any"]),
        (
            [[2, 4, "t", 1]],
            [[2, 4, "t", 1, 1]],
            ["forbidden: gateway may GET t on sensor only with a fresh beacon (was: always)"],
        ),
        (
            [[2, 4, "t", 1, 3]],
            [[2, 4, "t", 1]],
            [
                "allowed: gateway may GET t on sensor"
                " (was: with a fresh beacon and a certified action)"
            ],
        ),
        (
            [[2, 4, "*", 1]],
            [[2, 4, "t/*", 1]],
            ["forbidden: gateway may no longer GET * (except t/*) on sensor"],
        ),
        (
            [[2, 4, "t/*", 1]],
            [[2, 4, "*", 1]],
            ["allowed: gateway may GET * (except t/*) on sensor"],
        ),
        # no change: a narrower rule beside the wide one, another order
        ([[2, 4, "t", 1], [2, 4, "*", 3]], [[2, 4, "*", 2], [2, 4, "*", 1]], None),
        ([[2, 6, "t", 1]], [[2, 4, "t", 1], [2, 2, "t", 1]], None),
        ([[1, 1, "t", 1], [2, 4, "t", 1, 1]], [[1, 1, "t", 1]], None),
    ],
)
def test_sentences(old: list[Any], new: list[Any], sentences: list[str] | None) -> None:
    if sentences is None:
        assert not diff(policy(old), policy(new))
        assert lines(old, new) == ["no change in what is allowed"]
    else:
        assert lines(old, new) == ["newly " + line for line in sentences]


def test_exchanged_conditions_both_allow_and_forbid() -> None:
    found = diff(policy([[2, 4, "t", 1, 1]]), policy([[2, 4, "t", 1, 2]]))
    assert found.allowed == found.forbidden and len(found.allowed) == 1
    assert (found.allowed[0].before, found.allowed[0].after) == (0b1010, 0b1100)


def test_all_other_differences_are_stated() -> None:
    route = [1, 4, 2, 3, 3, 10, 2]
    old = policy([], routes=[route, [2, 1, 0, 1, 0, 5, 0]], revoked=[NODE], grants={OTHER: 4})
    faster = [*route[:5], 20, 2]
    new = policy(
        [],
        routes=[faster],
        revoked=[OTHER],
        grants={OTHER: 8},
        names=["gateway", "pump", "sensor", "light"],
    )
    found = diff(old, new, {NODE: "hub"})
    assert found.restored == (f"hub ({NODE.hex()})",)
    assert found.revoked == (OTHER.hex(),)
    assert found.grants == (f"{OTHER.hex()} gains sensor", f"{OTHER.hex()} loses sensor")
    # members keep the number of a role that moved: the most dangerous mistake of all
    assert found.roles[:2] == (
        "role 2 is renamed from sensor to pump; its members keep role 2",
        "role 3 is renamed from pump to sensor; its members keep role 3",
    )
    assert found.roles[2] == "role 4 is new: light"
    assert len(found.routes) == 2
    assert found.routes[0].startswith("class 1: from pump,") and "2 % airtime" in found.routes[0]
    assert found.routes[1].startswith("class 2: no route (was: from any, relayed by no role")
    assert len(found.lines()) == 9


def test_the_largest_policies_are_compared_in_time() -> None:
    # 30 roles and 32 rules, all different: a person waits for the answer
    old, new = (
        policy(
            [[2 << i % 29, 2 << i % 23, f"{start}{i}/*", 127, 1 + i % 3] for i in range(32)],
            names=[f"r{i}" for i in range(29)],
        )
        for start in "ab"
    )
    found = diff(old, new)
    assert len(found.allowed) == len(found.forbidden) == 32
    assert {change.before for change in found.allowed} == {NEVER}


def test_verdicts_are_the_four_circumstances() -> None:
    expected = {0: ALWAYS, 1: 0b1010, 2: 0b1100, 3: 0b1000}
    for flags, value in expected.items():
        new = policy([[2, 4, "t", 1, flags] if flags else [2, 4, "t", 1]])
        (change,) = diff(policy(), new).allowed
        assert (change.before, change.after) == (NEVER, value)
        assert change.methods == 1 and METHODS[change.methods] == "GET"


ORDER = r"""
from writ.authority.capsule import POLICY, build, parse_claims
from writ.authority.policy import Policy
from writ_host.policy.diff import diff

def policy(rules):
    return Policy(parse_claims(build(POLICY, [1, bytes(6), rules, [], [], {}], iat=7)))

rules = [[2, 4, "a/*", 1], [2, 4, "a/b", 2, 1], [2, 4, "a/b", 4, 2], [2, 4, "a/b", 8, 3]]
print(*diff(policy([[2, 4, "a/b", 16]]), policy([*rules, [4, 2, "*", 3, 1]])).lines(), sep="\n")
"""


def test_the_order_of_lines_is_the_same_in_every_process() -> None:
    found = set()
    for seed in ("0", "1", "2", "3", "4", "5"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.check_output([sys.executable, "-c", ORDER], env=env))
    assert len(found) == 1
