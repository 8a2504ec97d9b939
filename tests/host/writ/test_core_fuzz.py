"""Hypothesis against the core's parsers: any bytes at all give a value or a Rejection."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ import cbor
from writ.authority import amendment, capsule, policy
from writ.authority.capsule import (
    AMENDMENT,
    BEACON,
    CHARTER,
    CNF,
    EXP,
    IAT,
    MEMBER,
    NBF,
    POLICY,
    SUB,
    WRIT,
)
from writ.errors import Rejection
from writ.limits import HEAD_BYTES
from writ.wire import oscore

pytestmark = pytest.mark.slow

SIGNATURE = bytes(64)
X = bytes(range(32))
HEAD = b"\xab" * HEAD_BYTES

integers = st.integers(-(1 << 64), (1 << 64) - 1)
scalars = st.none() | st.booleans() | integers | st.binary(max_size=40) | st.text(max_size=30)
keys = st.integers(-70000, 70000) | st.binary(max_size=9) | st.text(max_size=9)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
# what a capsule's fields are nearly: the edges of ranges, sizes and types
edges = [0, 1, 2, 3, 5, 127, 128, 255, 65534, 65535, 1 << 30, (1 << 32) - 1, 1 << 32, -1]
shapes = [X, HEAD, b"n" * 8, [], {}, [X], [0, b"n" * 8], [1, b"", 0], [1, 1, 1, 1, 1, 1, 1]]
nearly = st.sampled_from(
    [
        *edges,
        *shapes,
        *(True, False, None, "", "a", "temp", "pump/*", "*", "a*b", b""),
        *([1, 1, "temp", 1], [1, 1, "temp", 1, 1]),
        *({1: 2, -1: 1, -2: X, -3: True}, {1: {1: 2, -1: 1, -2: X, -3: True}}),
    ]
)
bodies = nearly | st.lists(nearly | values, max_size=8)

VALID: dict[int, dict[int, Any]] = {
    CHARTER: {IAT: 1, WRIT: [CHARTER, "farm", 1, [X], X, {1: 60, 2: 60}]},
    MEMBER: {
        SUB: "pump",
        EXP: 9,
        NBF: 1,
        CNF: {1: {1: 2, -1: 1, -2: X, -3: True}},
        WRIT: [MEMBER, 1, 2],
    },
    POLICY: {
        IAT: 1,
        WRIT: [
            POLICY,
            3,
            HEAD,
            [[1, 1, "temp", 1], [2, 1, "*", 127, 3]],
            [[1, 1, 1, 1, 1, 1, 1]],
            [b"n" * 8],
            {1: ["sensor"], 2: {b"m" * 8: 4}, 5: 2},
        ],
    },
    AMENDMENT: {WRIT: [AMENDMENT, 4, HEAD, b"o" * 8, [1, b"p" * 8, 6]]},
    BEACON: {IAT: 5, WRIT: [BEACON, 3, HEAD]},
}
VIEWS: dict[int, Callable[[Any], Any]] = {
    CHARTER: capsule.Charter,
    MEMBER: capsule.Member,
    POLICY: lambda parsed: policy.Policy(parsed.claims),
    AMENDMENT: lambda parsed: amendment.check_amendment(parsed.body),
    BEACON: capsule.Beacon,
}


def look(raw: bytes) -> None:
    """Parse a capsule and make every view of it; nothing but Rejections may come out."""
    try:
        parsed = capsule.parse(raw)
    except Rejection:
        return
    assert capsule.parse(parsed.raw).claims == parsed.claims
    for view in VIEWS.values():
        try:
            made = view(parsed)
        except Rejection:
            continue
        if isinstance(made, policy.Policy):
            assert made.payload() == parsed.payload
            for method in (0, 1, 7, 69, 255):
                policy.decide(made, 1, 1, method, "temp")


def same(one: Any, two: Any) -> bool:
    """Equality that tells True from 1."""
    if type(one) is not type(two):
        return False
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        # an insertion order is no part of a map's value
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return bool(one == two)


@given(values)
def test_cbor_round_trip_and_agreement_with_cbor2(value: Any) -> None:
    encoded = cbor.encode(value)
    # cbor2's "canonical" sorts keys by length first (RFC 7049); a map of one key has no order
    if not has_map_of_two(value):
        assert cbor2.dumps(value, canonical=True) == encoded
    assert same(cbor2.loads(encoded), value)
    assert same(cbor.decode(encoded), value)
    assert same(cbor.decode_item(b"\x00" + encoded, 1)[0], value)


def has_map_of_two(value: Any) -> bool:
    """Whether there is a map of two keys or more anywhere inside."""
    if isinstance(value, list):
        return any(map(has_map_of_two, value))
    if isinstance(value, dict):
        return len(value) > 1 or any(map(has_map_of_two, value.values()))
    return False


@given(st.dictionaries(st.integers(-24, 23) | st.text(min_size=1, max_size=1), st.none()))
def test_maps_agree_with_cbor2_where_both_orders_are_one(value: Any) -> None:
    # keys of one type and one length each sort alike bytewise and by length first
    for kind in (int, str):
        part = {key: item for key, item in value.items() if isinstance(key, kind)}
        lengths = {len(cbor.encode(key)) for key in part}
        if len(lengths) < 2:
            assert cbor2.dumps(part, canonical=True) == cbor.encode(part)


@given(st.binary(max_size=60))
def test_any_bytes_decode_to_their_own_encoding_or_are_rejected(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except Rejection:
        return
    assert cbor.encode(value) == data
    assert same(cbor2.loads(data), value)


@given(values, st.data())
def test_changed_bytes_of_valid_cbor_are_no_second_encoding(value: Any, data: Any) -> None:
    encoded = bytearray(cbor.encode(value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = data.draw(st.integers(0, 255))
    try:
        found = cbor.decode(bytes(encoded))
    except Rejection:
        return
    assert cbor.encode(found) == encoded


@given(st.binary(max_size=200))
def test_any_bytes_are_a_capsule_or_rejected(data: bytes) -> None:
    look(data)


@given(values)
def test_any_value_is_a_capsule_or_rejected(value: Any) -> None:
    look(cbor.encode(value))


@given(st.sampled_from([b"\xa1\x01\x27", b"\xa1\x01\x26"]), st.dictionaries(keys, values), bodies)
def test_any_claims_are_rejected_or_shaped(protected: bytes, claims: Any, body: Any) -> None:
    claims = {**claims, WRIT: body}
    look(cbor.encode([protected, {}, cbor.encode(claims), SIGNATURE]))


@pytest.mark.parametrize("kind", sorted(VALID))
@settings(max_examples=300)
@given(data=st.data())
def test_nearly_valid_claims_are_rejected_or_shaped(kind: int, data: Any) -> None:
    claims = dict(VALID[kind])
    VIEWS[kind](capsule.parse(capsule.assemble(cbor.encode(claims), SIGNATURE)))
    body = list(claims[WRIT])
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            body[data.draw(st.integers(1, len(body) - 1))] = data.draw(nearly | bodies | values)
        else:
            claims[data.draw(st.sampled_from(sorted(VALID[kind])) | keys)] = data.draw(
                nearly | values
            )
    claims[WRIT] = body
    look(capsule.assemble(cbor.encode(claims), SIGNATURE))


@given(nearly | values | st.lists(nearly, max_size=4) | st.dictionaries(keys, nearly, max_size=5))
def test_any_confirmation_key_is_one_or_rejected(cnf: Any) -> None:
    for candidate in (cnf, {1: cnf}):
        try:
            x, odd = capsule.confirmation_key(candidate)
        except Rejection:
            continue
        assert len(x) == 32 and (odd is True or odd is False)


roles = st.integers(1, policy.ROLES_MASK)
names = st.from_regex("[a-z][a-z0-9_.-]{0,23}", fullmatch=True)
nodes = st.binary(min_size=8, max_size=8)
paths = st.text("abc/", min_size=1, max_size=20) | st.sampled_from(["*", "pump/*", "a/b/*"])
rules = st.builds(
    lambda rule, flags: rule + ([flags] if flags else []),
    st.tuples(roles, roles, paths, st.integers(1, 127)).map(list),
    st.integers(0, 3),
)
policies = st.builds(
    lambda epoch, rules, revoked, names, grants, void: {
        IAT: 1,
        WRIT: [
            POLICY,
            epoch,
            HEAD,
            rules,
            [],
            sorted(revoked),
            {
                **({1: names} if names else {}),
                **({2: grants} if grants else {}),
                **({5: min(void, epoch)} if void else {}),
            },
        ],
    },
    st.integers(1, 1 << 31),
    st.lists(rules, max_size=6, unique_by=repr),
    st.sets(nodes, max_size=6),
    st.lists(names, max_size=5, unique=True),
    st.dictionaries(nodes, roles, max_size=4),
    st.integers(0, 1 << 31),
)


@given(policies)
def test_a_policy_round_trips(claims: Any) -> None:
    payload = cbor.encode(claims)
    state = policy.Policy(capsule.parse_claims(payload))
    assert state.payload() == payload
    assert policy.Policy(capsule.parse_claims(state.payload())).head() == state.head()


ops = (
    nodes
    | st.tuples(st.just(0), nodes).map(list)
    | st.tuples(st.just(1), nodes, roles | st.just(0)).map(list)
    | st.tuples(st.sampled_from([2, 3]), rules).map(list)
    | st.tuples(st.just(4), st.just(5), st.none() | st.integers(1, 1 << 31)).map(list)
)


@given(policies, st.lists(ops, min_size=1, max_size=5), st.data())
def test_any_amendment_makes_a_state_that_a_capsule_holds(
    claims: Any, operations: list[Any], data: Any
) -> None:
    before = policy.Policy(capsule.parse_claims(cbor.encode(claims)))
    payload = before.payload()
    # half of the operations are about what is there
    present = [[0, node] for node in before.revoked] + [[3, rule] for rule in before.rules]
    if present:
        operations = [*operations, data.draw(st.sampled_from(present))]
    body = amendment.check_amendment([AMENDMENT, before.epoch + 1, before.head(), *operations])
    try:
        after = amendment.amend(before, body)
    except Rejection:
        after = before
    else:
        assert after.epoch == before.epoch + 1 and after.previous == before.head()
        raw = capsule.assemble(after.payload(), SIGNATURE)
        assert policy.Policy(capsule.parse(raw).claims).payload() == after.payload()
    assert before.payload() == payload


@given(policies, roles, roles, st.integers(0, 255), paths)
def test_decide_allows_only_what_a_rule_says(
    claims: Any, subject: int, own: int, method: int, path: str
) -> None:
    state = policy.Policy(capsule.parse_claims(cbor.encode(claims)))
    reason, number = policy.decide(state, subject, own, method, path)
    if reason is None:
        rule = state.rules[number]
        assert rule[0] & subject and rule[1] & own and 1 <= method <= 7
        assert rule[3] >> (method - 1) & 1 and len(rule) == 4
        assert rule[2] == path or (rule[2][-1] == "*" and path.startswith(rule[2][:-1]))
    else:
        assert issubclass(reason, Rejection)


@given(st.binary(max_size=24))
def test_any_oscore_option_has_one_meaning_or_none(value: bytes) -> None:
    try:
        kid, piv, kid_context = oscore.decode_option(value)
    except Rejection:
        return
    assert oscore.encode_option(kid, piv, kid_context) == value
