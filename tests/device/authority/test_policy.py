"""Policy: default deny, and one shape for each state."""

import signer
from harness import raises

from writ.authority import capsule, policy
from writ.authority.capsule import IAT, POLICY, WRIT
from writ.authority.policy import FRESH, QUORUM, Policy, decide
from writ.errors import BadShape, NeedsAction, NotAllowed, NotFresh
from writ.limits import REVOKED_MAX, ROLES_MAX, ROUTES_MAX, RULES_MAX

HEAD = b"\xab" * 6
NODES = [bytes((i,)) * 8 for i in range(80)]
RULE = [2, 4, "temp", 1]
ROUTE = [1, 2, 4, 7, 3, 10, 5]
GET = 1
POST = 2
PUT = 3
IPATCH = 7


def state(rules=(), routes=(), revoked=(), params=None, epoch=3):
    """The Policy of these parts, by way of its capsule's payload."""
    payload = signer.policy_payload(epoch, HEAD, rules, routes, revoked, params)
    return Policy(capsule.parse_claims(payload))


def refused(index, value):
    """Assert that a policy with this value in its body is none."""
    body = [POLICY, 3, HEAD, [RULE], [ROUTE], [NODES[1]], {1: ["any"]}]
    Policy({IAT: 5, WRIT: list(body)})
    body[index] = value
    raises(BadShape, Policy, {IAT: 5, WRIT: body})


# --- decisions ------------------------------------------------------------------------------------


def test_default_deny():
    empty = state()
    for method in range(9):
        assert decide(empty, policy.ROLES_MASK, policy.ROLES_MASK, method, "temp") == (
            NotAllowed,
            -1,
        )


def test_both_masks_must_meet():
    rules = state([[0b0110, 0b1000, "temp", 1]])
    for subject, own, allowed in (
        (0b0010, 0b1000, True),
        (0b0100, 0b1001, True),
        (0b0110, 0b1111, True),
        (0b1001, 0b1000, False),
        (0b0010, 0b0111, False),
        (0b1000, 0b0110, False),  # the rule read backwards
        (0, 0b1000, False),
        (0b0010, 0, False),
        (1, 1, False),
    ):
        reason, number = decide(rules, subject, own, GET, "temp")
        assert (reason is None) == allowed, (subject, own)
        assert number == (0 if allowed else -1)


def test_each_method_bit_is_its_own():
    for allowed in range(1, 8):
        rules = state([[1, 1, "temp", 1 << (allowed - 1)]])
        # 0 and 8.. are no methods; 0x45 is a response, 255 the largest code
        for method in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 0x45, 255):
            reason, _ = decide(rules, 1, 1, method, "temp")
            assert (reason is None) == (method == allowed), (allowed, method)
    everything = state([[1, 1, "*", 127]])
    assert decide(everything, 1, 1, IPATCH, "temp")[0] is None
    for method in (0, 8, 0x45, 255):
        assert decide(everything, 1, 1, method, "temp")[0] is NotAllowed


def test_path_patterns():
    for pattern, covered, others in (
        ("temp", ("temp",), ("", "tem", "temp/", "temp/a", "Temp", "temperature", "a/temp")),
        ("pump/*", ("pump/", "pump/a", "pump/a/b"), ("pump", "pumps/a", "", "/pump/a", "a/pump/b")),
        ("a/b/*", ("a/b/c",), ("a/b", "a/bc", "a/c")),
        ("*", ("", "a", "a/b", "*"), ()),
        ("\xe9/*", ("\xe9/a",), ("e/a",)),
    ):
        rules = state([[1, 1, pattern, 1]])
        for path in covered:
            assert decide(rules, 1, 1, GET, path) == (None, 0), (pattern, path)
        for path in others:
            assert decide(rules, 1, 1, GET, path) == (NotAllowed, -1), (pattern, path)


def test_flags_and_the_reason_given():
    rules = state(
        [
            [1, 1, "fresh", 1, FRESH],
            [1, 1, "quorum", 1, QUORUM],
            [1, 1, "both", 1, FRESH | QUORUM],
        ]
    )
    for path, is_fresh, has_action, expected in (
        ("fresh", False, False, (NotFresh, 0)),
        ("fresh", False, True, (NotFresh, 0)),
        ("fresh", True, False, (None, 0)),
        ("quorum", False, False, (NeedsAction, 1)),
        ("quorum", True, False, (NeedsAction, 1)),
        ("quorum", False, True, (None, 1)),
        ("both", False, False, (NotFresh, 2)),
        ("both", False, True, (NotFresh, 2)),
        ("both", True, False, (NeedsAction, 2)),
        ("both", True, True, (None, 2)),
        ("other", True, True, (NotAllowed, -1)),
    ):
        assert decide(rules, 1, 1, GET, path, is_fresh, has_action) == expected
    # neither is given unless the caller says so
    assert decide(rules, 1, 1, GET, "fresh") == (NotFresh, 0)
    assert decide(rules, 1, 1, GET, "quorum") == (NeedsAction, 1)


def test_a_later_rule_may_allow_what_an_earlier_one_does_not():
    rules = state([[1, 1, "temp", 1, FRESH], [2, 1, "temp", 1], [1, 1, "temp", 2]])
    assert decide(rules, 1, 1, GET, "temp") == (NotFresh, 0)
    assert decide(rules, 3, 1, GET, "temp") == (None, 1)
    assert decide(rules, 1, 1, POST, "temp") == (None, 2)
    assert decide(rules, 1, 1, PUT, "temp") == (NotAllowed, -1)


def test_roles_are_those_of_the_capsule_the_grants_and_bit_0():
    raw = capsule.assemble(signer.member_payload(b"x" * 32, roles=0b100), bytes(64))
    member = capsule.Member(capsule.parse(raw))
    assert state().roles_of(member) == 0b101
    granted = state(params={2: {member.node_id: 0b1000, NODES[1]: 0b10000}})
    assert granted.roles_of(member) == 0b1101


# --- shape ----------------------------------------------------------------------------------------


def test_a_state_is_its_payload():
    payload = signer.policy_payload(
        9, HEAD, [RULE, [1, 1, "*", 127, 3]], [ROUTE], NODES[1:4], {1: ["a", "b"], 2: {NODES[1]: 1}}
    )
    found = Policy(capsule.parse_claims(payload))
    assert found.payload() == payload and found.head() == capsule.head(payload)
    assert (found.epoch, found.previous, found.issued) == (9, HEAD, signer.FOUNDED)
    assert found.rules[1][2] == "*" and found.routes == [ROUTE] and found.revoked == NODES[1:4]
    assert found.role_names == ["a", "b"] and found.grants == {NODES[1]: 1}


def test_scalars_of_a_policy():
    for value in (None, 0, -1, True, "3", b"3", 1 << 32, [3]):
        refused(1, value)
    for value in (None, 3, "abcdef", HEAD[:5], HEAD + b"\x00", [HEAD]):
        refused(2, value)
    raises(BadShape, Policy, {IAT: 5, WRIT: [POLICY, 3, HEAD, [], [], []]})
    raises(BadShape, Policy, {IAT: 5, WRIT: [POLICY, 3, HEAD, [], [], [], {}, 0]})
    raises(BadShape, Policy, {IAT: 5, WRIT: [capsule.BEACON, 3, HEAD, [], [], [], {}]})


def test_rules_of_a_policy():
    for value in (None, {}, "rule", b"rule", 5, RULE, [None], [[]], [{}], ["temp"], [b"temp"]):
        refused(3, value)
    masks = (None, 0, -1, True, "1", b"\x01", 1 << ROLES_MAX, [1], {})
    for at in (0, 1):
        for value in masks:
            refused(3, [RULE[:at] + [value] + RULE[at + 1 :]])
    paths = (None, 1, True, b"temp", "", "a" * 49, "\xe9" * 25, "*a", "a*", "**", "a/**", "*/*")
    for path in paths + ("pump/*/on", "pump*", [], {}):
        refused(3, [[2, 4, path, 1]])
    for value in (None, 0, -1, True, "1", 128, 1 << 40, []):
        refused(3, [[2, 4, "temp", value]])
    for value in (None, 0, -1, True, "1", 4, []):
        refused(3, [[2, 4, "temp", 1, value]])
    refused(3, [RULE[:3]])
    refused(3, [RULE + [1, 1]])
    refused(3, [[1, 1, "p%d" % i, 1] for i in range(RULES_MAX + 1)])
    assert len(state([[1, 1, "p%d" % i, 1] for i in range(RULES_MAX)]).rules) == RULES_MAX
    for path in ("a" * 48, "\xe9" * 24, "*", "a/*", "/*"):
        assert state([[2, 4, path, 1]]).rules[0][2] == path


def test_a_rule_is_listed_once():
    refused(3, [RULE, [1, 1, "a", 1], list(RULE)])
    assert state([RULE, RULE + [1]]).rules


def test_routes_of_a_policy():
    for value in (None, {}, 5, ROUTE, [None], [[]], ["1234567"], [ROUTE[:6]], [ROUTE + [1]]):
        refused(4, value)
    for at, most in enumerate((15, (1 << ROLES_MAX) - 1, (1 << ROLES_MAX) - 1, 255, 15, 1000, 7)):
        for value in (None, -1, True, "1", b"\x01", most + 1, []):
            refused(4, [ROUTE[:at] + [value] + ROUTE[at + 1 :]])
        assert state(routes=[ROUTE[:at] + [most] + ROUTE[at + 1 :]])
    refused(4, [[0, 1, 1, 1, i // 8, 1, i & 7] for i in range(ROUTES_MAX + 1)])


def test_revoked_of_a_policy_are_sorted_and_unique():
    for value in (
        None,
        {},
        5,
        NODES[1],
        [None],
        [5],
        ["nodenode"],
        [NODES[1][:7]],
        [NODES[1] + b"\x01"],
        [NODES[2], NODES[1]],
        [NODES[1], NODES[1]],
        [NODES[1], 5],
        NODES[: REVOKED_MAX + 1],
    ):
        refused(5, value)
    assert len(state(revoked=NODES[:REVOKED_MAX]).revoked) == REVOKED_MAX


def test_parameters_of_a_policy():
    for value in (
        None,
        [],
        5,
        {3: 1},
        {"1": []},
        {b"1": []},
        {1: []},
        {2: {}},
        {1: None},
        {1: {}},
        {1: "names"},
        {1: [1]},
        {1: [""]},
        {1: ["A"]},
        {1: ["a", "a"]},
        {1: ["a", []]},
        {1: ["n%d" % i for i in range(ROLES_MAX)]},
        {2: None},
        {2: []},
        {2: {NODES[1]: 0}},
        {2: {NODES[1]: None}},
        {2: {NODES[1]: True}},
        {2: {NODES[1]: 1 << ROLES_MAX}},
        {2: {NODES[1][:7]: 1}},
        {2: {"nodenode": 1}},
        {2: {5: 1}},
        {2: {5: 1, "a": 1, b"b": 1}},
        {2: dict([(node, 1) for node in NODES[: REVOKED_MAX + 1]])},
        {1: ["a"], 3: 0},
    ):
        refused(6, value)
