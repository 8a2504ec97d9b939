"""Edits of policy.toml by a revocation: the rest of the file keeps its meaning."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ_host.policy.edit import add_revoked
from writ_host.policy.template import template

ENTRY = ("00112233445566ff", 'pump1: "stolen"\n[roles]')


@pytest.mark.parametrize(
    "before",
    [
        "revoked = []\n[roles]\na = 'x'\n",
        "revoked = ['t1']\n",
        'revoked = ["t1",]  # two\n',
        'revoked = [\n  "t1", # not ], here\n  "#2"\n]\n[roles]\n',
        'revoked = [ # all\n]\n[[rule]]\nfrom = "a]"\n',
        "[roles]\na = 'x'\n",
        "",
        template("farm"),
    ],
)
def test_one_entry_is_added_and_nothing_else_changes(before: str) -> None:
    after = add_revoked(before, [ENTRY])
    assert after is not None
    old, new = tomllib.loads(before), tomllib.loads(after)
    assert new.pop("revoked") == [*old.pop("revoked", []), ENTRY[0]]
    assert new == old
    # adding the same entry again changes nothing
    assert tomllib.loads(add_revoked(after, [ENTRY]) or "") == tomllib.loads(after)


@pytest.mark.parametrize("before", ["revoked = 3\n", "revoked = [", "x = ", '"revoked" = ["a"]\n'])
def test_unusual_notations_are_not_edited(before: str) -> None:
    assert add_revoked(before, [ENTRY]) is None


@given(st.text(alphabet="revokd=[]\"'#,\n ab", max_size=60))
def test_an_edited_text_is_always_valid(before: str) -> None:
    after = add_revoked(before, [ENTRY])
    if after is not None:
        assert tomllib.loads(after)["revoked"][-1] == ENTRY[0]
