"""The judge on admissions and renewals of members: most proposals here are malicious."""

import signer
from judge_rig import (
    DAY,
    GATEWAY,
    NOW,
    SENSOR,
    SKEW,
    SLUICE,
    YEAR,
    Scope,
    member,
    node_of,
    private,
    raw,
    renewal,
    request,
    says,
)

from writ import cbor, crypto
from writ.authority import capsule
from writ.authority.capsule import SUCCESSION
from writ_host import codec
from writ_host.governor.proposals.judge import RENEWAL_S_MAX, judge
from writ_host.governor.proposals.origin import STATEMENT_AGE_MAX_S
from writ_host.governor.proposals.statement import ADMIT, RENEW
from writ_host.scope.lifetime import MEMBERSHIP_S_MAX

# --- renewals -------------------------------------------------------------------------------------


def test_a_device_is_renewed_by_its_own_statement(scope: Scope) -> None:
    asked = [says("soil1", RENEW)]
    assert scope.allows(renewal(), evidence=asked) == 0
    assert scope.judge(renewal(), evidence=asked).title.startswith("renew soil1 until")
    # without its statement one operator must approve
    assert scope.allows(renewal()) == 1
    assert scope.allows(renewal(), evidence=[request("soil1")]) == 1
    assert "is for another key" in scope.refuses(renewal(), evidence=[request("soil1", "soil2")])
    # the approval rules may ask for operators besides
    sluice = renewal("sluice1", 4, roles=SLUICE)
    assert scope.allows(sluice, evidence=[says("sluice1", RENEW)]) == 2


def test_a_renewal_by_statement_changes_nothing_else(scope: Scope) -> None:
    asked = [says("soil1", RENEW)]
    for payload in (
        renewal(roles=SENSOR | GATEWAY),
        renewal(roles=GATEWAY),
        renewal(roles=0),  # fewer roles are a change too
        renewal("soil9", key="soil1"),
        renewal(address=9),
        renewal(flip=True),  # a key that the device does not have, with its node id
        renewal("soil2", 2),
        member("soil9", 9),
    ):
        assert scope.refuses(payload, evidence=asked)
    assert "not the key" in scope.refuses(renewal(flip=True))


def test_operators_may_change_the_name_address_and_roles_of_a_member(scope: Scope) -> None:
    assert scope.allows(renewal(roles=0)) == 1
    assert scope.allows(renewal(roles=SENSOR | GATEWAY)) == 2
    assert scope.allows(renewal("soil9", key="soil1")) == 1
    found = scope.judge(renewal("soil9", 9, roles=GATEWAY, key="soil1"))
    for line in ("called soil1", "at address 1", "with roles sensor"):
        assert f"until now {line}" in found.lines


def test_a_statement_renews_only_once(scope: Scope) -> None:
    asked = says("soil1", RENEW)
    assert scope.allows(renewal(), evidence=[asked]) == 0
    scope.ledger.capsules.add([raw(renewal())])
    # neither for the same time nor for longer
    assert "is valid until" in scope.refuses(renewal(), evidence=[asked])
    for more_s in (1, DAY, 10 * YEAR):
        longer = renewal(exp=NOW - 5 + RENEWAL_S_MAX + more_s)
        assert "was answered before" in scope.refuses(longer, evidence=[asked])
    later = NOW + 300 * DAY
    longer = renewal(exp=later + RENEWAL_S_MAX)
    assert scope.refuses(longer, evidence=[asked], clock_s=later)
    new = says("soil1", RENEW, issued=later)
    assert scope.allows(longer, evidence=[new], clock_s=later) == 0


def test_a_renewal_without_an_operator_is_limited_in_time(scope: Scope) -> None:
    asked = [says("soil1", RENEW)]
    assert scope.allows(renewal(exp=NOW - 5 + RENEWAL_S_MAX + 1), evidence=asked) == 1
    assert scope.allows(renewal(exp=NOW + MEMBERSHIP_S_MAX), evidence=asked) == 1
    # valid only later: until then the device would be no member
    assert scope.allows(renewal(nbf=NOW + 1), evidence=asked) == 1
    assert scope.allows(renewal(nbf=NOW), evidence=asked) == 0


def test_a_statement_that_is_too_old_or_too_new_is_refused(scope: Scope) -> None:
    for issued in (NOW - STATEMENT_AGE_MAX_S - 1, NOW + SKEW + 1):
        asked = [says("soil1", RENEW, issued=issued)]
        payload = renewal(exp=issued + RENEWAL_S_MAX)
        assert "too far from our clock" in scope.refuses(payload, evidence=asked)


def test_a_statement_signed_by_another_member_is_refused(scope: Scope) -> None:
    mine = says("soil1", RENEW)
    assert scope.refuses(renewal(), evidence=[says("soil2", RENEW)])
    # signed by soil2, in the name of soil1
    theirs = cbor.decode(says("soil2", RENEW))
    claims = cbor.encode({6: NOW - 5, -65537: [RENEW, node_of("soil1"), signer.scope(), 1]})
    signature = crypto.es256_sign(private("soil2"), capsule.signing_input(claims, capsule.ES256))
    forged = capsule.assemble(claims, signature, capsule.ES256)
    assert "BadSignature" in scope.refuses(renewal(), evidence=[forged])
    for place in range(0, len(mine), 7):
        bent = bytearray(mine)
        bent[place] ^= 1
        assert scope.refuses(renewal(), evidence=[bytes(bent)])
    assert theirs[0] == cbor.decode(mine)[0]


def test_malformed_evidence_is_refused(scope: Scope) -> None:
    asked = says("soil1", RENEW)
    for evidence in ([], [asked, asked], [asked, b""], [b"", b""]):
        assert scope.refuses(renewal(), evidence=evidence)
    for evidence in (codec.dump(asked), codec.dump({0: asked}), codec.dump([1]), b"\xff", b"\x80"):
        assert judge([renewal()], evidence, scope.view).reason
    assert judge([renewal()], codec.dump([b""]), scope.view).reason is None
    large = codec.dump([bytes(20000), bytes(20000)])
    assert judge([renewal(), renewal("soil2", 2)], large, scope.view).reason


def test_a_revoked_or_expired_member_does_not_renew_itself(scope: Scope) -> None:
    # an operator may renew an expired member; its statement alone does not
    back = renewal("gone", 5)
    assert scope.allows(back, evidence=[says("gone", RENEW)]) == 1
    assert scope.allows(back) == 1
    scope.revoke("soil1")
    for evidence in (None, [says("soil1", RENEW)], [request("soil1")]):
        assert "revokes this node" in scope.refuses(renewal(), evidence=evidence)


def test_a_renewal_must_extend_the_membership(scope: Scope) -> None:
    assert "is valid until" in scope.refuses(renewal(exp=NOW + 30 * DAY))
    assert "is valid until" in scope.refuses(renewal(exp=NOW + DAY))
    assert "has already expired" in scope.refuses(renewal("gone", 5, exp=NOW))


def test_after_a_succession_members_are_certified_again_as_they_were(scope: Scope) -> None:
    body = [2, scope.view.head, bytes(32), bytes(32)]
    scope.ledger.capsules.add([raw(capsule.build(SUCCESSION, body, iat=NOW))])
    same = member("soil1", 1)
    assert scope.allows(same) == 0
    for other in (renewal(), member("soil1", 1, SENSOR | GATEWAY), member("soil1", 9)):
        assert scope.allows(other) >= 1
    assert scope.refuses(member("soil1", 1, exp=NOW + DAY))
    assert scope.refuses(member("gone", 5, exp=NOW - 1))
    scope.ledger.capsules.add([bytes(capsule.assemble(same, b"n" * 64))])
    assert scope.refuses(same)
    scope.revoke("soil2")
    assert scope.refuses(member("soil2", 2))


# --- admissions -----------------------------------------------------------------------------------


def test_an_admission_needs_the_membership_request_of_the_node(scope: Scope) -> None:
    new = member("soil3", 9)
    assert scope.allows(new, evidence=[request("soil3")]) == 1
    assert scope.allows(member("gw2", 9, GATEWAY), evidence=[request("gw2")]) == 2
    assert "proves possession" in scope.refuses(new)
    for evidence in (request("soil3", "another"), says("soil3", RENEW), says("soil1", RENEW), b"x"):
        assert scope.refuses(new, evidence=[evidence])
    assert scope.judge(new, evidence=[request("soil3")]).title == "admit soil3"


def test_names_and_addresses_of_valid_members_are_taken(scope: Scope) -> None:
    evidence = [request("soil1", "new")]
    found = scope.refuses(member("soil1", 9, key="new"), evidence=evidence)
    assert found == f"another member has the name soil1: {node_of('soil1').hex()}"
    found = scope.refuses(member("new", 2), evidence=[request("new")])
    assert found == "address 2 belongs to soil2"
    # those of expired and revoked members are free
    assert scope.allows(member("gone", 5, key="new"), evidence=evidence) == 1
    scope.revoke("soil2")
    assert scope.allows(member("soil2", 2, key="new"), evidence=evidence) == 1


def test_two_members_of_one_proposal_must_not_collide(scope: Scope) -> None:
    one, two = member("a", 8), member("b", 9)
    asked = [request("a"), request("b")]
    assert scope.allows(one, two, evidence=asked) == 1
    assert scope.judge(one, two, evidence=asked).title == "admit a; admit b"
    assert scope.refuses(one, member("b", 8), evidence=asked)
    assert scope.refuses(one, member("a", 9, key="b"), evidence=[asked[0], request("a", "b")])
    assert "twice" in scope.refuses(one, member("c", 9, key="a"), evidence=[asked[0]] * 2)
    assert scope.refuses(one, one, evidence=[asked[0]] * 2)
    assert scope.refuses(one, two, evidence=asked[::-1])


def test_an_unusual_admission_needs_an_operator(open_scope: Scope) -> None:
    scope, asked = open_scope, [request("soil3")]
    longest = NOW + RENEWAL_S_MAX + SKEW
    assert scope.allows(member("soil3", 9, exp=longest), evidence=asked) == 0
    assert scope.allows(member("soil3", 9, exp=longest + 1), evidence=asked) == 1
    assert scope.allows(member("soil3", 9, nbf=NOW + 1), evidence=asked) == 1
    assert scope.allows(member("hub", 9, key="soil3"), evidence=asked) == 1
    assert scope.allows(renewal()) == 1
    assert scope.refuses(member("soil3", 9))


def test_a_member_requests_the_admission_of_a_neighbour(scope: Scope) -> None:
    new = member("soil3", 9)
    asked = [says("gw1", ADMIT, request("soil3"), b"code 17")]
    found = scope.judge(new, evidence=asked)
    assert (found.reason, found.operators) == (None, 1)
    assert 'gw1 requests the admission; the node showed it "code 17"' in found.lines
    # a voucher of no text is shown in hex, and sends nothing to the terminal
    raw = [says("gw1", ADMIT, request("soil3"), b"\x1b[2J\xff")]
    (line,) = [one for one in scope.judge(new, evidence=raw).lines if "showed it" in one]
    assert line.endswith("showed it h'1b5b324aff'")
    for other in (
        says("gone", ADMIT, request("soil3"), b""),  # an expired member's
        says("stranger", ADMIT, request("soil3"), b""),
        says("gw1", ADMIT, request("soil4"), b""),
        says("gw1", ADMIT, request("soil3", "another"), b""),
        asked[0][:-1] + bytes([asked[0][-1] ^ 1]),
    ):
        assert scope.refuses(new, evidence=[other])
    # with a neighbour's statement a renewal needs an operator
    assert scope.allows(renewal(), evidence=[says("gw1", ADMIT, request("soil1"), b"")]) == 1


def test_a_batch_needs_the_operators_of_its_most_demanding_item(scope: Scope) -> None:
    payloads = [renewal(), renewal("soil2", 2), member("gw2", 9, GATEWAY)]
    evidence = [says("soil1", RENEW), says("soil2", RENEW), request("gw2")]
    assert scope.allows(*payloads[:2], evidence=evidence[:2]) == 0
    assert scope.allows(*payloads, evidence=evidence) == 2
    evidence[1] = says("soil1", RENEW)
    assert scope.refuses(*payloads, evidence=evidence)
    many = [member(f"n{i}", 100 + i) for i in range(33)]
    asked = [request(f"n{i}") for i in range(33)]
    assert scope.allows(*many[:32], evidence=asked[:32]) == 1
    assert scope.refuses(*many, evidence=asked)
