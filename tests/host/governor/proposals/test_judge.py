"""The judge on policies, successions, beacons and actions: most proposals here are malicious."""

import pytest
import signer
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_rig import (
    DAY,
    GATEWAY,
    NOW,
    OPEN,
    SKEW,
    TEXT,
    Heirs,
    Scope,
    action,
    asks,
    member,
    node_of,
    raw,
    renewal,
    request,
    says,
    whole,
)

from writ import cbor, crypto
from writ.authority import capsule
from writ.authority.capsule import AMENDMENT, POLICY
from writ.authority.policy import OP_GRANT, OP_SET
from writ.limits import GOVERNORS_MAX
from writ_host import codec
from writ_host.governor.proposals.judge import judge
from writ_host.governor.proposals.origin import STATEMENT_AGE_MAX_S
from writ_host.governor.proposals.statement import RENEW, REVOKE
from writ_host.node.action import ACTION_S
from writ_host.policy.source import PolicyFile

# --- policies -------------------------------------------------------------------------------------


def test_the_next_policy_needs_the_operators_of_the_policy_in_force(scope: Scope) -> None:
    assert scope.allows(whole(scope)) == 2
    assert scope.allows(*scope.change(node_of("soil1"))) == 2
    # a policy that asks fewer operators needs as many as before
    assert scope.allows(whole(scope, OPEN)) == 2
    assert scope.judge(whole(scope)).kind == "policy"


def test_the_meaning_of_a_policy_is_derived_from_its_payloads(scope: Scope) -> None:
    found = scope.judge(*scope.change(node_of("soil1"), [OP_GRANT, node_of("soil2"), GATEWAY]))
    assert f"  revoked: soil1 ({node_of('soil1').hex()})" in found.lines
    assert f"  granted: soil2 ({node_of('soil2').hex()}) gains gateway" in found.lines
    found = scope.judge(whole(scope, OPEN))
    assert any("approvals: anything else: no operator (was: 2 operators)" in x for x in found.lines)


def test_a_policy_with_a_wrong_epoch_or_predecessor_is_refused(scope: Scope) -> None:
    assert "is for epoch 1, but epoch 1 is in force" in scope.refuses(whole(scope, epoch=1))
    assert "is for epoch 3, but the newest epoch here is 1" in scope.refuses(whole(scope, epoch=3))
    wrong = whole(scope, previous_head=b"forked")
    assert "does not follow" in scope.refuses(wrong)
    for place, value in ((1, 1), (1, 3), (2, b"forked")):
        body = [AMENDMENT, 2, scope.view.head, node_of("soil1")]
        body[place] = value
        payload = capsule.build(AMENDMENT, body[1:])
        assert scope.refuses(payload, scope.change(node_of("soil1"))[1])


def test_an_amendment_and_a_policy_that_differ_are_refused(scope: Scope) -> None:
    amendment, _ = scope.change(node_of("soil1"))
    _, other = scope.change(node_of("soil2"))
    assert "different states" in scope.refuses(amendment, other)
    assert "different states" in scope.refuses(amendment, whole(scope))


def test_payloads_that_are_not_certified_together_are_refused(scope: Scope) -> None:
    amendment, policy = scope.change(node_of("soil1"))
    for payloads in (
        [amendment],
        [policy, amendment],
        [policy, policy],
        [amendment, amendment],
        [amendment, policy, policy],
        [policy, member("new", 9)],
        [member("soil1", 1, exp=NOW + 40 * DAY), policy],
        [],
        [capsule.parse(signer.charter()).payload],
        [capsule.build(capsule.RELEASE, [2, scope.view.head], iat=NOW)],
        [capsule.build(capsule.GRANT, [bytes(32), 1], iat=NOW)],
        [cbor.encode({1: 2})],
        [b"rubbish"],
        [b""],
    ):
        assert scope.refuses(*payloads)


def test_a_policy_issued_in_the_future_or_before_the_last_is_refused(scope: Scope) -> None:
    assert scope.allows(whole(scope, issued=NOW + SKEW)) == 2
    assert "this clock says" in scope.refuses(whole(scope, issued=NOW + SKEW + 1))
    # proposed days ago, approved only now
    assert scope.allows(whole(scope, issued=scope.policy.issued)) == 2
    older = whole(scope, issued=scope.policy.issued - 1)
    assert "issued before the one in force" in scope.refuses(older)


def test_a_policy_that_renumbers_roles_is_refused(scope: Scope) -> None:
    assert scope.allows(whole(scope, TEXT.replace("[[rule]]", 'new = ""\n[[rule]]', 1))) == 2
    swapped = TEXT.replace('gateway = ""\nsensor = ""', 'sensor = ""\ngateway = ""')
    assert "role numbers change" in scope.refuses(whole(scope, swapped))
    fewer = TEXT.replace('sluice = ""', 'gate = ""').replace('"sluice"', '"gate"')
    assert "role numbers change" in scope.refuses(whole(scope, fewer))


def test_approval_rules_that_too_few_governors_could_meet_are_refused(scope: Scope) -> None:
    # with four governors, no later proposal could get five approvals
    locked = TEXT.replace("operators = 2", "operators = 5")
    assert "only 4 governors" in scope.refuses(whole(scope, locked))
    assert scope.allows(whole(scope, locked), governors=5) == 2
    assert scope.refuses(whole(scope, TEXT), governors=1)


def test_unreadable_approval_rules_are_refused(scope: Scope) -> None:
    payloads = scope.change([OP_SET, 3, [1, [99, 0, 0, 0]]])
    assert "cannot read its approval rules" in scope.refuses(*payloads)


def test_under_unreadable_approval_rules_every_operator_must_approve(scope: Scope) -> None:
    scope.advance(scope.change([OP_SET, 3, [1, [99, 0, 0, 0]]])[1])
    assert scope.allows(whole(scope, epoch=3)) == 4
    assert scope.allows(signer.beacon_payload(2, scope.view.head, NOW)) == 4


def test_an_unknown_committee_is_refused(scope: Scope) -> None:
    payloads = scope.change([OP_SET, 4, b"shares 2"])
    assert "whose re-sharing is unknown here" in scope.refuses(*payloads)
    assert scope.refuses(whole(scope, committee=b"shares 2"), committees=frozenset({b"shares 3"}))
    committees = frozenset({b"shares 2"})
    assert scope.allows(*payloads, committees=committees) == 2
    found = scope.judge(*payloads, committees=committees)
    assert any(b"shares 2".hex() in line for line in found.lines)
    # a later policy without the committee does not put it out of force
    scope.advance(payloads[1])
    assert scope.refuses(whole(scope, epoch=3, committee=None), committees=committees)
    assert scope.allows(whole(scope, epoch=3, committee=b"shares 2")) == 2


def test_a_change_of_governors_needs_two_operators(open_scope: Scope) -> None:
    scope = open_scope
    assert scope.allows(whole(scope, OPEN)) == 0
    payloads, committees = scope.change([OP_SET, 4, b"shares 2"]), frozenset({b"shares 2"})
    assert scope.allows(*payloads, committees=committees) == 2
    assert scope.allows(*payloads, committees=committees, governors=1) == 1
    heirs = Heirs(scope)
    asked = {"evidence": [heirs.charter], "committees": frozenset({heirs.key})}
    assert scope.allows(heirs.succession(), **asked) == 2


def test_before_the_first_policy_one_operator_approves(scope: Scope) -> None:
    first = PolicyFile.parse(TEXT).compile(1, scope.charter.head, NOW)
    start = {"policy": None, "epoch": 0, "head": scope.charter.head}
    assert scope.allows(first, **start) == 1
    assert any("gateway may PUT gate" in x for x in scope.judge(first, **start).lines)
    amendment = capsule.build(AMENDMENT, [1, scope.charter.head, node_of("soil1")])
    assert scope.refuses(amendment, first, **start) == "there is no policy to amend"
    beacon = signer.beacon_payload(0, scope.charter.head, NOW)
    assert scope.allows(beacon, **start) == 1


def test_a_policy_that_no_device_could_hold_is_refused(scope: Scope) -> None:
    body = [2, scope.view.head, [[1, 1, "x", 1]] * 2, [], [], {}]
    assert scope.refuses(cbor.encode({6: NOW, -65537: [POLICY, *body]}))
    large = [[1, 1, f"{i:02}".ljust(48, "x"), 1] for i in range(32)]
    body = [2, scope.view.head, large, [], [], {}]
    assert scope.refuses(cbor.encode({6: NOW, -65537: [POLICY, *body]}))


# --- revocation by the member itself --------------------------------------------------------------


def test_a_device_revokes_itself_without_an_operator(scope: Scope) -> None:
    payloads = scope.change(node_of("soil1"))
    evidence = [says("soil1", REVOKE, "opened"), b""]
    assert scope.allows(*payloads, evidence=evidence) == 0
    found = scope.judge(*payloads, evidence=evidence)
    assert found.title == "soil1 revokes itself" and "soil1 says: opened" in found.lines


def test_a_statement_revokes_only_its_signer_and_nothing_else(scope: Scope) -> None:
    opened = says("soil1", REVOKE, "opened")
    for ops in (
        [node_of("soil2")],
        [node_of("soil1"), node_of("soil2")],
        [node_of("soil1"), [OP_GRANT, node_of("soil2"), GATEWAY]],
        [[OP_GRANT, node_of("soil1"), GATEWAY]],
        [[OP_SET, 3, [0]]],
    ):
        assert scope.refuses(*scope.change(*ops), evidence=[opened, b""])
    payloads = scope.change(node_of("soil1"))
    for evidence in (
        [says("soil2", REVOKE, "opened"), b""],  # another member's
        [says("soil1", RENEW), b""],  # another kind of statement
        [opened, opened],
        [b"", opened],
        [opened],
        [request("soil1"), b""],
        [opened[:-1] + bytes([opened[-1] ^ 1]), b""],
        [says("soil1", REVOKE, "", issued=NOW - STATEMENT_AGE_MAX_S - 1), b""],
        [says("soil1", REVOKE, "", issued=NOW + SKEW + 1), b""],
    ):
        assert scope.refuses(*payloads, evidence=evidence)
    # a whole policy takes no statement as evidence
    assert scope.refuses(payloads[1], evidence=[opened])


def test_a_stranger_and_an_expired_member_revoke_nothing(scope: Scope) -> None:
    payloads = scope.change(node_of("stranger"))
    assert scope.refuses(*payloads, evidence=[says("stranger", REVOKE, ""), b""])
    payloads = scope.change(node_of("gone"))
    assert scope.refuses(*payloads, evidence=[says("gone", REVOKE, ""), b""])


# --- succession -----------------------------------------------------------------------------------


def test_a_succession_needs_two_operators_and_the_new_charter(scope: Scope) -> None:
    heirs = Heirs(scope)
    committees = frozenset({heirs.key})
    assert scope.allows(heirs.succession(), evidence=[heirs.charter], committees=committees) == 2
    found = scope.judge(heirs.succession(), evidence=[heirs.charter], committees=committees)
    assert found.kind == "succession"
    assert any("4 of the 4 new governors are in the charter" in line for line in found.lines)


def test_an_invalid_succession_is_refused(scope: Scope) -> None:
    heirs = Heirs(scope)
    committees = frozenset({heirs.key})
    other = Heirs(scope, "field")
    for payload, evidence in (
        (heirs.succession(), None),
        (heirs.succession(), [b""]),
        (heirs.succession(), [signer.charter()]),
        (heirs.succession(), [signer.certify(heirs.payload)]),  # signed by the old key only
        (heirs.succession(), [signer.forge(heirs.charter)]),
        (heirs.succession(), [says("gw1", RENEW)]),
        (other.succession(), [other.charter]),  # another scope's
        (heirs.succession(epoch=1), [heirs.charter]),
        (heirs.succession(epoch=3), [heirs.charter]),
        (heirs.succession(previous=b"forked"), [heirs.charter]),
        (heirs.succession(digest=bytes(32)), [heirs.charter]),
        (heirs.succession(key=bytes(32)), [heirs.charter]),
        (heirs.succession(iat=NOW + SKEW + 1), [heirs.charter]),
    ):
        assert scope.refuses(payload, evidence=evidence, committees=committees)
    # a key from no ceremony of this governor
    assert "took no part in making" in scope.refuses(heirs.succession(), evidence=[heirs.charter])
    assert scope.refuses(
        heirs.succession(), whole(scope), evidence=[heirs.charter, b""], committees=committees
    )


# --- beacons --------------------------------------------------------------------------------------


def test_a_beacon_must_have_this_governors_time_and_state(scope: Scope) -> None:
    head = scope.view.head
    assert scope.allows(signer.beacon_payload(1, head, NOW)) == 0
    for off in (-SKEW, SKEW):
        assert scope.allows(signer.beacon_payload(1, head, NOW + off)) == 0
    for payload in (
        signer.beacon_payload(1, head, NOW + SKEW + 1),
        signer.beacon_payload(1, head, NOW - SKEW - 1),
        signer.beacon_payload(2, head, NOW),
        signer.beacon_payload(0, head, NOW),
        signer.beacon_payload(1, b"forked", NOW),
    ):
        assert scope.refuses(payload)
    scope.ledger.capsules.add([raw(signer.beacon_payload(1, head, NOW))])
    assert "newer beacon" in scope.refuses(signer.beacon_payload(1, head, NOW))
    assert scope.allows(signer.beacon_payload(1, head, NOW + 1)) == 0
    assert scope.refuses(signer.beacon_payload(1, head, NOW + 1), evidence=[says("soil1", RENEW)])


# --- actions --------------------------------------------------------------------------------------


def test_an_action_must_match_the_statement_of_its_requester(scope: Scope) -> None:
    asked = asks()
    payload = action(nonce=asked.nonce)
    assert scope.allows(payload, evidence=[asked.raw]) == 2
    found = scope.judge(payload, evidence=[asked.raw])
    assert "gw1 requests it" in found.lines and "PUT gate on sluice1" in found.lines[0]
    assert 'payload: "open" (4 bytes)' in found.lines


def test_an_action_whose_payload_no_operator_can_see_is_refused(scope: Scope) -> None:
    """Operators approved a digest."""
    assert "with the payload" in scope.refuses(action())
    assert "with the payload" in scope.refuses(action(), evidence=[b""])


def test_an_action_for_a_non_member_or_for_too_long_is_refused(scope: Scope) -> None:
    for target in ("stranger", "gone"):
        asked = asks(target=node_of(target))
        payload = action(target, nonce=asked.nonce)
        assert "is not a valid member" in scope.refuses(payload, evidence=[asked.raw])
    asked = asks()
    for exp in (NOW + DAY + 1, NOW, NOW - 1):
        payload = action(nonce=asked.nonce, exp=exp)
        assert "for longer than a day" in scope.refuses(payload, evidence=[asked.raw])
    for changes in ({"method": 0}, {"method": 8}, {"path": ""}, {"nonce": b"short"}):
        payload = action(**{"nonce": asked.nonce, **changes})
        assert "BadShape" in scope.refuses(payload, evidence=[asked.raw])
    scope.revoke("sluice1")
    payload = action(nonce=asked.nonce)
    assert "is not a valid member" in scope.refuses(payload, evidence=[asked.raw])


def test_an_action_that_differs_from_its_statement_is_refused(scope: Scope) -> None:
    asked = asks()
    for changes in (
        {"target": node_of("soil1")},
        {"method": 2},
        {"path": "gate/2"},
        {"digest": bytes(32)},
        {"nonce": bytes(8)},  # another nonce would be another execution
        # a device forgets the nonce when the first action ends
        {"exp": NOW + ACTION_S + 1},
        {"exp": NOW + ACTION_S - 1},
    ):
        payload = action(**{"nonce": asked.nonce, **changes})
        assert scope.refuses(payload, evidence=[asked.raw])
    payload = action(nonce=asked.nonce)
    for other in (
        says("gw1", RENEW),
        asks("gone").raw,
        asks("stranger").raw,
        request("gw1"),
    ):
        assert scope.refuses(payload, evidence=[other])
    for issued in (NOW - STATEMENT_AGE_MAX_S - 1, NOW + SKEW + 1):
        asked = asks(issued=issued)
        payload = action(nonce=asked.nonce, exp=issued + ACTION_S)
        assert "too far from our clock" in scope.refuses(payload, evidence=[asked.raw])


def test_an_action_that_no_rule_allows_is_refused(open_scope: Scope) -> None:
    scope, asked = open_scope, asks()
    assert scope.allows(action(nonce=asked.nonce), evidence=[asked.raw]) == 0
    for statement in (asks("soil1"), asks(path="other"), asks(target=node_of("soil1"))):
        target, method, path, asked_payload = statement.command
        digest, nonce = bytes(crypto.sha256(asked_payload)), statement.nonce
        payload = action(target=target, method=method, path=path, digest=digest, nonce=nonce)
        assert "no rule allows" in scope.refuses(payload, evidence=[statement.raw])


# --- arbitrary changes ----------------------------------------------------------------------------

bits = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**32),
    st.binary(max_size=9),
    st.text(max_size=5),
    st.lists(st.integers(0, 9), max_size=3),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    found = Scope(tmp_path_factory.mktemp("shared") / "ledger.db")
    yield found
    found.ledger.close()


@pytest.mark.slow
@settings(max_examples=150)
@given(data=st.data())
def test_no_altered_proposal_raises_an_error(shared: Scope, data: st.DataObject) -> None:
    scope = shared
    asked = asks()
    templates = [
        [*scope.change(node_of("soil1"))],
        [whole(scope)],
        [renewal(), renewal("soil2", 2)],
        [action(nonce=asked.nonce)],
        [Heirs(scope).succession()],
        [signer.beacon_payload(1, scope.view.head, NOW)],
    ]
    payloads = list(data.draw(st.sampled_from(templates)))
    place = data.draw(st.integers(0, len(payloads) - 1))
    claims = cbor.decode(payloads[place])
    body = claims[-65537]
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(bits)
    if data.draw(st.booleans()):
        claims[data.draw(st.sampled_from([2, 4, 5, 6, 8, 9]))] = data.draw(bits)
    payloads[place] = cbor.encode(claims)
    evidence = data.draw(
        st.sampled_from([b"", codec.dump([asked.raw]), codec.dump([b"x"]), b"\x81\x00"])
        | st.binary(max_size=30)
    )
    found = judge(payloads, evidence, scope.view)
    assert found.title and (found.reason is None or found.operators == GOVERNORS_MAX)
