"""A diff says exactly what differs; an amendment leads exactly to where it says."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from writ.authority.capsule import AMENDMENT, POLICY, build, parse_claims
from writ.authority.policy import METHODS, Policy, check_amendment, decide
from writ.errors import Rejection
from writ_host.policy.diff import ALWAYS, NEVER, Change, amendment_for, diff, successor
from writ_host.policy.source import PolicyFile

HEAD = bytes(6)
NODE = bytes.fromhex("00112233445566aa")
OTHER = bytes.fromhex("00112233445566bb")
NAMES = ["gateway", "sensor", "pump"]
# "~" and "t/~" are what the diff itself tries patterns with
PATTERNS = ("*", "t", "t/*", "t/u", "t/u/*", "t/u/v", "tt", "~", "t/~", "t//*")
PATHS = ("", "t", "t/", "t/u", "t/u/", "t/u/v", "t/u/w", "t/w", "tt", "~", "~~", "t/~", "t/~~")
PATHS += ("t//", "t//x", "x")


def policy(
    rules: list[Any] | None = None,
    after: Policy | None = None,
    routes: list[Any] | None = None,
    revoked: list[bytes] | None = None,
    names: list[str] | None = None,
    grants: dict[bytes, int] | None = None,
    issued: int = 7,
) -> Policy:
    params: dict[int, Any] = {1: NAMES if names is None else names}
    if grants:
        params[2] = grants
    epoch, head = (after.epoch + 1, after.head()) if after else (1, HEAD)
    body = [epoch, head, rules or [], routes or [], sorted(revoked or []), params]
    return Policy(parse_claims(build(POLICY, body, iat=issued)))


def verdict(state: Policy, subject: int, target: int, method: int, path: str) -> int:
    asked = (1 | subject, 1 | target, method, path)
    return sum(
        1 << case
        for case in range(4)
        if decide(state, *asked, bool(case & 1), bool(case & 2))[0] is None
    )


ROWS = st.tuples(
    st.integers(1, 15),
    st.integers(1, 15),
    st.sampled_from(PATTERNS),
    st.integers(1, 127),
    st.integers(0, 3),
).map(lambda row: list(row[:4]) if row[4] == 0 else list(row))
RULES = st.lists(ROWS, max_size=5, unique_by=str)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Two lists of rules that mostly have some in common."""
    old = draw(RULES)
    new = [rule for rule in old if draw(st.booleans())]
    return old, new + [rule for rule in draw(RULES) if rule not in new]


@settings(max_examples=120, deadline=None)
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
    old: Policy, new: Policy, changes: set[Change], subject: int, target: int, method: int
) -> None:
    mine = [change for change in changes if change.methods >> method - 1 & 1]
    for path in PATHS:
        states = [verdict(s, 1 << subject, 1 << target, method, path) for s in (old, new)]
        said = [
            change
            for change in mine
            if change.covers(path)
            and {subject, 0} & {*change.subjects}
            and {target, 0} & {*change.objects}
        ]
        for change in said:
            # what is said of these very roles is true
            if subject in change.subjects and target in change.objects:
                assert [change.before, change.after] == states, change
        if states[0] != states[1]:
            # and what is true is said, of these roles or of any member
            assert any([change.before, change.after] == states for change in said)


@settings(max_examples=60, deadline=None)
@given(pairs(), st.integers(0, 15), st.integers(0, 15), st.integers(1, 7), st.sampled_from(PATHS))
def test_members_of_several_roles_gain_nothing_unsaid(
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


# --- words --------------------------------------------------------------------------------------


def lines(old: list[Any], new: list[Any]) -> list[str]:
    return diff(policy(old), policy(new)).lines()


@pytest.mark.parametrize(
    ("old", "new", "words"),
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
            ["forbidden: gateway may no longer GET * (but for t/*) on sensor"],
        ),
        (
            [[2, 4, "t/*", 1]],
            [[2, 4, "*", 1]],
            ["allowed: gateway may GET * (but for t/*) on sensor"],
        ),
        # the same in other words: a narrower rule beside the wide one, another order
        ([[2, 4, "t", 1], [2, 4, "*", 3]], [[2, 4, "*", 2], [2, 4, "*", 1]], None),
        ([[2, 6, "t", 1]], [[2, 4, "t", 1], [2, 2, "t", 1]], None),
        ([[1, 1, "t", 1], [2, 4, "t", 1, 1]], [[1, 1, "t", 1]], None),
    ],
)
def test_words(old: list[Any], new: list[Any], words: list[str] | None) -> None:
    if words is None:
        assert not diff(policy(old), policy(new))
        assert lines(old, new) == ["nothing changes in what is allowed"]
    else:
        assert lines(old, new) == ["newly " + line for line in words]


def test_exchanged_conditions_both_allow_and_forbid() -> None:
    found = diff(policy([[2, 4, "t", 1, 1]]), policy([[2, 4, "t", 1, 2]]))
    assert found.allowed == found.forbidden and len(found.allowed) == 1
    assert (found.allowed[0].before, found.allowed[0].after) == (0b1010, 0b1100)


def test_everything_else_is_said_too() -> None:
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
    # a role that moved takes its members along: the most dangerous slip of all
    assert found.roles[:2] == (
        "role 2 was sensor and is now pump: its members keep the number",
        "role 3 was pump and is now sensor: its members keep the number",
    )
    assert found.roles[2] == "role 4 is new: light"
    assert len(found.routes) == 2
    assert found.routes[0].startswith("class 1: from pump,") and "2 % airtime" in found.routes[0]
    assert found.routes[1].startswith("class 2: none any more (was: from any, relayed by nobody")
    assert len(found.lines()) == 9


def test_the_largest_policies_are_compared_in_time() -> None:
    # 30 roles, 32 rules each, all of them different: a person waits for the answer
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


# --- amendments ---------------------------------------------------------------------------------

# so many bytes that a whole policy is always the longer way
LONG = [[2, 4, f"{i}".ljust(48, "x"), 1] for i in range(16)]

OPS = st.lists(
    st.one_of(
        st.sampled_from([NODE, OTHER, [0, NODE], [0, OTHER], [1, NODE, 6], [1, OTHER, 8]]),
        st.sampled_from([[1, NODE, 0], [3, LONG[0]], [3, LONG[7]], [3, LONG[15]], [2, LONG[7]]]),
        ROWS.map(lambda row: [2, row]),
    ),
    min_size=1,
    max_size=6,
)


def follow(old: Policy, ops: list[Any]) -> Policy:
    return old.amended(check_amendment([AMENDMENT, old.epoch + 1, old.head(), *ops]))


@settings(max_examples=120, deadline=None)
@given(OPS)
def test_finds_an_amendment_wherever_one_led(ops: list[Any]) -> None:
    old = policy(LONG, revoked=[NODE], grants={NODE: 2})
    try:
        new = follow(old, ops)
    except Rejection:
        assume(False)
    found = amendment_for(old, new)
    same = (new.rules, new.revoked, new.grants) == (old.rules, old.revoked, old.grants)
    if same:
        # an amendment says something, or is none
        assert found is None
    else:
        assert found is not None and len(found) <= len(ops)
        assert follow(old, found).payload() == new.payload()


@settings(max_examples=60, deadline=None)
@given(pairs(), st.sets(st.sampled_from([NODE, OTHER])), st.booleans())
def test_never_finds_a_wrong_amendment(
    rules: tuple[list[Any], list[Any]], revoked: set[bytes], granted: bool
) -> None:
    old = policy(rules[0], revoked=[NODE])
    new = policy(rules[1], old, revoked=list(revoked), grants={OTHER: 4} if granted else None)
    ops = amendment_for(old, new)
    if ops is not None:
        assert follow(old, ops).payload() == new.payload()
        amendment = build(AMENDMENT, [new.epoch, new.previous, *ops])
        assert len(amendment) < len(new.payload())


def test_one_revocation_is_one_operation() -> None:
    old = policy(LONG[:2])
    assert amendment_for(old, policy(LONG[:2], old, revoked=[NODE])) == [NODE]


def test_a_rule_put_between_takes_the_later_ones_along() -> None:
    old = policy(LONG)
    new = policy([*LONG[:14], [2, 4, "t", 1], *LONG[14:]], old)
    assert amendment_for(old, new) == [
        [3, LONG[14]],
        [3, LONG[15]],
        [2, [2, 4, "t", 1]],
        [2, LONG[14]],
        [2, LONG[15]],
    ]


def test_what_no_amendment_can() -> None:
    old = policy(LONG)
    good = {"rules": LONG, "after": old, "revoked": [NODE]}
    assert amendment_for(old, policy(**good)) == [NODE]
    for change in (
        {"issued": 8},
        {"names": ["gateway", "sensor"]},
        {"routes": [[1, 4, 2, 3, 3, 10, 2]]},
        {"revoked": []},
        {"after": None},
        {"after": policy(**good)},
        {"after": policy(LONG, issued=8)},
        # more operations than an amendment holds
        {"rules": LONG[::-1]},
        {"rules": [], "revoked": [i.to_bytes(8, "big") for i in range(17)]},
    ):
        assert amendment_for(old, policy(**(good | change))) is None, change


def test_no_amendment_longer_than_the_policy() -> None:
    old = policy([[2, 4, f"t{i}", 1] for i in range(6)])
    assert amendment_for(old, policy([[2, 4, "u", 1]], old)) is None


def test_successor_amends_if_it_can() -> None:
    text = (
        '[roles]\na = ""\n[[rule]]\nfrom = "a"\nto = "any"\n'
        'resource = ["temp", "humidity", "pressure"]\nmethods = ["GET"]\n'
    )
    file = PolicyFile.parse(text)
    old = file.policy(3, HEAD, 1000)
    state, ops = successor(file, old, 2000, [NODE])
    assert ops == [NODE]
    # the same state for whoever takes the whole policy
    assert state.payload() == follow(old, ops).payload()
    assert (state.epoch, state.previous, state.issued) == (4, old.head(), 1000)
    wider = PolicyFile.parse(text.replace('a = ""', 'a = ""\nb = ""'))
    state, ops = successor(wider, old, 2000, [NODE])
    assert ops is None
    assert (state.epoch, state.previous, state.issued) == (4, old.head(), 2000)
    assert state.revoked == [NODE] and state.role_names == ["a", "b"]


def test_verdicts_are_the_four_circumstances() -> None:
    expected = {0: ALWAYS, 1: 0b1010, 2: 0b1100, 3: 0b1000}
    for flags, value in expected.items():
        new = policy([[2, 4, "t", 1, flags] if flags else [2, 4, "t", 1]])
        (change,) = diff(policy(), new).allowed
        assert (change.before, change.after) == (NEVER, value)
        assert change.methods == 1 and METHODS[change.methods] == "GET"
