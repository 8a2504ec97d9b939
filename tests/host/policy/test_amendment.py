"""An amendment leads exactly to the policy that it was made for."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from policy_rig import HEAD, NODE, OTHER, ROWS, pairs, policy

from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, build
from writ.authority.policy import Policy
from writ.errors import Rejection
from writ_host.policy.amendment import amendment_for, successor
from writ_host.policy.source import PolicyFile

# so long that an amendment is always shorter than the whole policy
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
    return amend(old, check_amendment([AMENDMENT, old.epoch + 1, old.head(), *ops]))


@pytest.mark.slow
@settings(max_examples=120)
@given(OPS)
def test_an_amendment_is_found_for_every_change_that_one_can_make(ops: list[Any]) -> None:
    old = policy(LONG, revoked=[NODE], grants={NODE: 2})
    try:
        new = follow(old, ops)
    except Rejection:
        assume(False)
    found = amendment_for(old, new)
    same = (new.rules, new.revoked, new.grants) == (old.rules, old.revoked, old.grants)
    if same:
        # an amendment without operations is not allowed
        assert found is None
    else:
        assert found is not None and len(found) <= len(ops)
        assert follow(old, found).payload() == new.payload()


@settings(max_examples=60)
@given(pairs(), st.sets(st.sampled_from([NODE, OTHER])), st.booleans())
def test_a_found_amendment_is_never_wrong(
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


def test_a_rule_inserted_between_moves_the_later_ones() -> None:
    old = policy(LONG)
    new = policy([*LONG[:14], [2, 4, "t", 1], *LONG[14:]], old)
    assert amendment_for(old, new) == [
        [3, LONG[14]],
        [3, LONG[15]],
        [2, [2, 4, "t", 1]],
        [2, LONG[14]],
        [2, LONG[15]],
    ]


def test_changes_that_no_amendment_can_make() -> None:
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


def test_no_amendment_is_longer_than_the_policy() -> None:
    old = policy([[2, 4, f"t{i}", 1] for i in range(6)])
    assert amendment_for(old, policy([[2, 4, "u", 1]], old)) is None


def test_successor_prefers_an_amendment() -> None:
    text = (
        '[roles]\na = ""\n[[rule]]\nfrom = "a"\nto = "any"\n'
        'resource = ["temp", "humidity", "pressure"]\nmethods = ["GET"]\n'
    )
    file = PolicyFile.parse(text)
    old = file.policy(3, HEAD, 1000)
    state, ops = successor(file, old, 2000, [NODE])
    assert ops == [NODE]
    # the same state as the whole policy gives
    assert state.payload() == follow(old, ops).payload()
    assert (state.epoch, state.previous, state.issued) == (4, old.head(), 1000)
    wider = PolicyFile.parse(text.replace('a = ""', 'a = ""\nb = ""'))
    state, ops = successor(wider, old, 2000, [NODE])
    assert ops is None
    assert (state.epoch, state.previous, state.issued) == (4, old.head(), 2000)
    assert state.revoked == [NODE] and state.role_names == ["a", "b"]
