"""The judge on memberships that a policy voids, and on the policy that voids them."""

from judge_rig import DAY, NOW, SENSOR, Scope, member, node_of, raw, renewal, says, whole

from writ_host.governor.proposals.statement import RENEW

EXP = NOW + 30 * DAY


def cleaned(scope: Scope) -> None:
    """Revoke soil2, renew soil1, and void what is older."""
    scope.revoke("soil2")
    scope.ledger.capsules.add([raw(member("soil1", 1, exp=EXP + 1, epoch=2))])
    payload = whole(scope, epoch=3, void_before=2)
    assert scope.allows(payload) == 2
    scope.advance(payload)


def test_a_copy_that_names_the_present_epoch_needs_no_operator(scope: Scope) -> None:
    scope.revoke("soil2")
    assert scope.allows(member("soil1", 1, exp=EXP + 1, epoch=2)) == 0
    # anything else does
    for changed in (
        member("soil1", 1, exp=EXP + 2, epoch=2),
        member("soil1", 1, exp=EXP + 1),
        member("soil1", 1, 0, exp=EXP + 1, epoch=2),
        member("soil1", 9, exp=EXP + 1, epoch=2),
    ):
        assert scope.allows(changed) == 1
    assert "revokes" in scope.refuses(member("soil2", 2, exp=EXP + 1, epoch=2))
    # a governor may be an epoch behind, and no membership names a time to come
    assert scope.allows(member("soil1", 1, exp=EXP + 1, epoch=3)) == 0
    assert "to come" in scope.refuses(member("soil1", 1, exp=EXP + 1, epoch=4))


def test_an_operator_sees_who_leaves_the_list_and_why(scope: Scope) -> None:
    scope.revoke("soil2")
    found = scope.judge(whole(scope, epoch=3, void_before=2))
    lines = "\n".join(found.lines)
    assert "void: memberships from before epoch 2" in lines
    assert f"expired or void, listed no longer: soil2 ({node_of('soil2').hex()})" in lines
    assert "restored" not in lines
    # without the bound the same list restores it
    assert "restored: soil2" in "\n".join(scope.judge(whole(scope, epoch=3)).lines)


def test_the_bound_neither_goes_back_nor_reaches_what_is_in_force(scope: Scope) -> None:
    cleaned(scope)
    assert "valid again" in scope.refuses(whole(scope, epoch=4))
    assert "valid again" in scope.refuses(whole(scope, epoch=4, void_before=1))
    assert scope.allows(whole(scope, epoch=4, void_before=3)) == 2
    assert "is in force" in scope.refuses(whole(scope, epoch=4, void_before=4))


def test_a_void_member_is_renewed_by_operators_only(scope: Scope) -> None:
    cleaned(scope)
    assert scope.allows(renewal("soil1", epoch=3), evidence=[says("soil1", RENEW)]) == 0
    asked = [says("soil2", RENEW)]
    assert scope.allows(renewal("soil2", 2, epoch=3), evidence=asked) == 1
    found = scope.judge(renewal("soil2", 2, epoch=3), evidence=asked)
    assert "its capsule is void" in "\n".join(found.lines)
    assert scope.allows(member("soil2", 2, exp=EXP + 1, epoch=3)) == 1
    for old in (renewal("soil1"), renewal("soil1", epoch=1), renewal("soil2", 2, roles=SENSOR)):
        assert "voids" in scope.refuses(old)
