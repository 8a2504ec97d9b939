"""Parameters 3 and 4 of a policy are for governors; devices keep them unchanged."""

import signer
from harness import raises

from writ import cbor
from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.policy import OP_GRANT, OP_SET, PARAM_APPROVALS, PARAM_COMMITTEE, Policy
from writ.errors import BadShape

HEAD = b"\xab" * 6
APPROVALS = [2, [4, 0, 0, 0], [1, 1, 4, 0]]
COMMITTEE = b"12345678"


def state(params):
    return Policy(capsule.parse_claims(signer.policy_payload(3, HEAD, params=params)))


def amended(policy, *ops):
    """The state after these operations, through the wire."""
    body = cbor.decode(cbor.encode([3, policy.epoch + 1, policy.head()] + list(ops)))
    return amend(policy, check_amendment(body))


def test_the_parameters_are_kept_unchanged():
    policy = state({PARAM_APPROVALS: APPROVALS, PARAM_COMMITTEE: COMMITTEE, 1: ["gate"]})
    assert (policy.approvals, policy.committee) == (APPROVALS, COMMITTEE)
    payload = signer.policy_payload(
        3, HEAD, params={1: ["gate"], PARAM_COMMITTEE: COMMITTEE, PARAM_APPROVALS: APPROVALS}
    )
    assert policy.payload() == payload
    policy = state({})
    assert policy.approvals is None and policy.committee is None


def test_an_amendment_sets_them_replaces_them_and_takes_them_away():
    first = state({1: ["gate"]})
    policy = amended(first, [OP_SET, PARAM_APPROVALS, APPROVALS])
    assert policy.approvals == APPROVALS and first.approvals is None
    policy = amended(
        policy,
        [OP_SET, PARAM_COMMITTEE, COMMITTEE],
        [OP_SET, PARAM_APPROVALS, [0]],
        [OP_GRANT, b"n" * 8, 2],
    )
    assert (policy.approvals, policy.committee) == ([0], COMMITTEE)
    assert policy.role_names == ["gate"] and policy.grants == {b"n" * 8: 2}
    # the whole policy of that epoch is the same state
    whole = signer.policy_payload(
        5,
        policy.previous,
        params={1: ["gate"], 2: {b"n" * 8: 2}, 3: [0], 4: COMMITTEE},
    )
    assert policy.payload() == whole
    policy = amended(policy, [OP_SET, PARAM_APPROVALS, None], [OP_SET, PARAM_COMMITTEE, None])
    assert policy.approvals is None and policy.committee is None
    assert policy.payload() == signer.policy_payload(
        6, policy.previous, params={1: ["gate"], 2: {b"n" * 8: 2}}
    )


def test_other_forms_are_refused_in_a_policy_and_in_an_amendment():
    policy = state({})
    for key, value in (
        (PARAM_APPROVALS, []),
        (PARAM_APPROVALS, {1: 2}),
        (PARAM_APPROVALS, 1),
        (PARAM_APPROVALS, b"12345678"),
        (PARAM_COMMITTEE, b""),
        (PARAM_COMMITTEE, b"1234567"),
        (PARAM_COMMITTEE, b"123456789"),
        (PARAM_COMMITTEE, "12345678"),
        (PARAM_COMMITTEE, 7),
    ):
        raises(BadShape, state, {key: value})
        raises(BadShape, amended, policy, [OP_SET, key, value])
    for params in ({PARAM_APPROVALS: None}, {0: 1}, {6: 1}, {"3": APPROVALS}, {2: {}}, {1: []}):
        raises(BadShape, state, params)
