"""Policies with rules of all kinds, for the tests of differences and amendments."""

from typing import Any

from hypothesis import strategies as st

from writ.authority.capsule import POLICY, build, parse_claims
from writ.authority.policy import Policy

HEAD = bytes(6)
NODE = bytes.fromhex("00112233445566aa")
OTHER = bytes.fromhex("00112233445566bb")
NAMES = ["gateway", "sensor", "pump"]
# the diff itself samples patterns with "~" and "t/~"
PATTERNS = ("*", "t", "t/*", "t/u", "t/u/*", "t/u/v", "tt", "~", "t/~", "t//*")


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
    """Two lists of rules; most of them share some rules."""
    old = draw(RULES)
    new = [rule for rule in old if draw(st.booleans())]
    return old, new + [rule for rule in draw(RULES) if rule not in new]
