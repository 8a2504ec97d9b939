"""Amendments make byte for byte the state of the whole policy capsule."""

import signer
from harness import raises

from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import WRIT
from writ.authority.policy import (
    FRESH,
    OP_ADD_RULE,
    OP_GRANT,
    OP_REMOVE_RULE,
    OP_RESTORE,
    OP_SET,
    Policy,
)
from writ.errors import BadShape, TooLarge, UnknownKind
from writ.limits import AMENDMENT_OPS_MAX, CAPSULE_BYTES_MAX, REVOKED_MAX, ROLES_MAX, RULES_MAX

HEAD = b"\xab" * 6
NODES = [bytes((i,)) * 8 for i in range(80)]
RULE = [2, 4, "temp", 1]
ROUTE = [1, 2, 4, 7, 3, 10, 5]


def state(rules=(), routes=(), revoked=(), params=None, epoch=3):
    """The Policy of these parts, by way of its capsule's payload."""
    payload = signer.policy_payload(epoch, HEAD, rules, routes, revoked, params)
    return Policy(capsule.parse_claims(payload))


def amended(before, *ops):
    """The state after a checked amendment of `before` with these operations."""
    payload = signer.amendment_payload(before.epoch + 1, before.head(), *ops)
    return amend(before, check_amendment(capsule.parse_claims(payload)[WRIT]))


def same(before, after, rules, revoked, params):
    """Assert that `after` is byte for byte the whole policy with these parts."""
    whole = signer.policy_payload(
        before.epoch + 1, before.head(), rules, [ROUTE], revoked, params, before.issued
    )
    assert after.payload() == whole and after.head() == capsule.head(whole)
    assert Policy(capsule.parse_claims(whole)).payload() == whole


def test_each_operation_makes_the_state_of_the_whole_capsule():
    other = [1, 1, "other", 2, FRESH]
    names = ["gateway", "sensor"]
    before = state([RULE, other], [ROUTE], [NODES[5]], {1: names, 2: {NODES[7]: 6}})
    payload = before.payload()
    grants = {NODES[7]: 6}
    new = [4, 4, "new/*", 127]
    rules = [RULE, other]
    params = {1: names, 2: grants}
    revoked = [NODES[5]]
    for ops, rules_after, revoked_after, params_after in (
        ([NODES[3]], rules, [NODES[3], NODES[5]], params),
        ([NODES[9]], rules, [NODES[5], NODES[9]], params),
        ([[OP_RESTORE, NODES[5]]], rules, [], params),
        ([[OP_GRANT, NODES[7], 8]], rules, revoked, {1: names, 2: {NODES[7]: 8}}),
        ([[OP_GRANT, NODES[7], 0]], rules, revoked, {1: names}),
        ([[OP_GRANT, NODES[1], 1]], rules, revoked, {1: names, 2: {NODES[7]: 6, NODES[1]: 1}}),
        ([[OP_ADD_RULE, new]], [RULE, other, new], revoked, params),
        ([[OP_REMOVE_RULE, RULE]], [other], revoked, params),
        ([[OP_REMOVE_RULE, RULE], [OP_ADD_RULE, RULE]], [other, RULE], revoked, params),
        (
            [NODES[6], [OP_RESTORE, NODES[5]], [OP_GRANT, NODES[7], 0], [OP_REMOVE_RULE, other]],
            [RULE],
            [NODES[6]],
            {1: names},
        ),
        ([[OP_RESTORE, NODES[5]], NODES[5]], rules, revoked, params),
    ):
        same(before, amended(before, *ops), rules_after, revoked_after, params_after)
        # and the previous state is unchanged
        assert before.payload() == payload


def test_a_chain_of_amendments_is_the_whole_policy():
    now = state([RULE], [ROUTE])
    for i in range(1, 6):
        before = now
        now = amended(now, NODES[i], [OP_ADD_RULE, [1, 1, "p%d" % i, 1]])
        assert now.epoch == before.epoch + 1 and now.previous == before.head()
    rules = [RULE] + [[1, 1, "p%d" % i, 1] for i in range(1, 6)]
    same(before, now, rules, NODES[1:6], {})


def test_operations_that_change_nothing_are_refused():
    before = state([RULE], [], [NODES[5]])
    for op in (
        NODES[5],
        [OP_RESTORE, NODES[4]],
        [OP_ADD_RULE, RULE],
        [OP_REMOVE_RULE, [2, 4, "temp", 1, FRESH]],
        [OP_REMOVE_RULE, [2, 4, "temp", 2]],
    ):
        raises(BadShape, amended, before, op)
    raises(BadShape, amended, before, NODES[4], NODES[4])


def test_malformed_amendments():
    good = [capsule.AMENDMENT, 4, HEAD, NODES[1]]
    assert check_amendment(good) is good
    for body in (
        good[:3],
        [4] + good[1:],
        good + [NODES[i] for i in range(2, AMENDMENT_OPS_MAX + 2)],
    ):
        raises(BadShape, check_amendment, body)
    for epoch in (None, -1, True, "4", 1 << 32, [4]):
        raises(BadShape, check_amendment, [3, epoch] + good[2:])
    for head in (None, 5, "abcdef", HEAD[:5], HEAD + b"\x00", [HEAD]):
        raises(BadShape, check_amendment, [3, 4, head, NODES[1]])
    for op in (
        None,
        5,
        True,
        "nodenode",
        {},
        b"",
        NODES[1][:7],
        NODES[1] + b"\x00",
        [],
        [OP_RESTORE],
        [None, NODES[1]],
        [True, NODES[1]],
        [-1, NODES[1]],
        ["0", NODES[1]],
        [NODES[1], NODES[1]],
        [OP_RESTORE, None],
        [OP_RESTORE, []],
        [OP_RESTORE, NODES[1][:7]],
        [OP_RESTORE, NODES[1], 1],
        [OP_GRANT, NODES[1]],
        [OP_GRANT, NODES[1], None],
        [OP_GRANT, NODES[1], True],
        [OP_GRANT, NODES[1], -1],
        [OP_GRANT, NODES[1], 1 << ROLES_MAX],
        [OP_GRANT, NODES[1], 1, 1],
        [OP_GRANT, [], 1],
        [OP_GRANT, {}, 1],
        [OP_ADD_RULE, None],
        [OP_ADD_RULE, NODES[1]],
        [OP_ADD_RULE, []],
        [OP_ADD_RULE, RULE, 1],
        [OP_ADD_RULE, [2, 4, "temp", 0]],
        [OP_REMOVE_RULE, [2, 4, "te*mp", 1]],
        [OP_REMOVE_RULE, {}],
        [OP_SET, 4],
        [OP_SET, 2, {}],
        [OP_SET, 6, b"12345678"],
        [OP_SET, True, b"12345678"],
        [OP_SET, 4, b"12345678", 1],
    ):
        raises(BadShape, check_amendment, [3, 4, HEAD, op])
    raises(UnknownKind, check_amendment, [3, 4, HEAD, [5, NODES[1]]])
    raises(UnknownKind, check_amendment, [3, 4, HEAD, [255, NODES[1], 1]])


def test_amendments_keep_the_limits_of_a_policy():
    full = state([[1, 1, "p%d" % i, 1] for i in range(RULES_MAX)], [], NODES[:REVOKED_MAX])
    raises(BadShape, amended, full, [OP_ADD_RULE, RULE])
    raises(BadShape, amended, full, NODES[70])
    # room is made and used in one amendment
    now = amended(full, [OP_RESTORE, NODES[0]], NODES[70], [OP_REMOVE_RULE, [1, 1, "p0", 1]])
    assert len(now.revoked) == REVOKED_MAX and NODES[70] in now.revoked


def test_no_state_outgrows_its_capsule():
    now = state([[1, 1, "%02d" % i + "p" * 40, 127] for i in range(20)])
    for i in range(RULES_MAX - 20):
        rule = [1, 1, "%02d" % i + "a" * 46, 127]
        size = len(capsule.assemble(now.payload(), bytes(64)))
        # list head, masks, path with its head, methods
        if size + 1 + 2 + 50 + 2 > CAPSULE_BYTES_MAX:
            raises(TooLarge, amended, now, [OP_ADD_RULE, rule])
            return
        now = amended(now, [OP_ADD_RULE, rule])
    raise AssertionError("the capsule was never full")
