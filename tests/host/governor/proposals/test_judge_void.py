"""The judge on memberships that a policy voids, and on the policy that voids them."""

from judge_rig import (
    DAY,
    NOW,
    SENSOR,
    SKEW,
    YEAR,
    Scope,
    member,
    node_of,
    raw,
    renewal,
    says,
    whole,
)

from writ.authority.policy import OP_RESTORE
from writ_host.governor.proposals.statement import RENEW
from writ_host.humanize import utc_minute

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
    # an epoch to come may be that of a revocation; a governor that is behind syncs first
    assert "newest epoch here is 2: sync first" in scope.refuses(
        member("soil1", 1, exp=EXP + 1, epoch=3)
    )


def test_an_operator_sees_who_leaves_the_list_and_why(scope: Scope) -> None:
    scope.revoke("soil2")
    found = scope.judge(whole(scope, epoch=3, void_before=2))
    lines = "\n".join(found.lines)
    assert "void: memberships from before epoch 2" in lines
    assert f"expired or void, listed no longer: soil2 ({node_of('soil2').hex()})" in lines
    assert "restored" not in lines
    # without the bound the same list would restore it
    found = scope.judge(whole(scope, epoch=3))
    assert "restored: soil2" in "\n".join(found.lines)
    assert found.reason is not None and "To make room: writ policy clean" in found.reason
    # an amendment says that it does
    found = scope.judge(*scope.change([OP_RESTORE, node_of("soil2")]))
    assert found.reason is None and "restored: soil2" in "\n".join(found.lines)


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


# --- ids that leave the list because they have expired --------------------------------------------


def test_an_expired_id_leaves_the_list_by_both_clocks(scope: Scope) -> None:
    """By a slow clock the node could be renewed, as it is not revoked any more."""
    scope.revoke("soil2")
    for issued, clock_s in ((EXP, EXP), (EXP + 9, EXP + 9), (EXP, EXP + SKEW)):
        payload = whole(scope, epoch=3, issued=issued)
        assert scope.judge(payload, clock_s=clock_s).reason is None
    for issued, clock_s in ((EXP - 1, EXP + 9), (EXP + 9, EXP - 1), (EXP + SKEW, EXP - 1)):
        reason = scope.refuses(whole(scope, epoch=3, issued=issued), clock_s=clock_s)
        assert f"soil2 ({node_of('soil2').hex()})" in reason and utc_minute(EXP) in reason


def test_what_this_governor_signed_counts_like_what_is_certified(scope: Scope) -> None:
    scope.revoke("soil2")
    payload = whole(scope, epoch=3, issued=EXP + DAY)

    def judged(signed_s: int | None, payload: bytes = payload) -> str:
        signed = {node_of("soil2"): signed_s}
        found = scope.judge(payload, clock_s=EXP + DAY, signed_until=signed.get)
        return found.reason or ""

    assert judged(0) == judged(EXP + DAY) == ""
    assert f"valid until {utc_minute(EXP + DAY + 1)}" in judged(EXP + DAY + 1)
    assert "does not know yet" in judged(None)
    # a clean-up voids all of it
    for signed_s in (0, EXP + YEAR, None):
        assert judged(signed_s, whole(scope, epoch=3, issued=EXP + DAY, void_before=2)) == ""


def test_an_unknown_id_leaves_the_list_in_a_clean_up_only(scope: Scope) -> None:
    scope.advance(scope.change(b"stranger")[1])
    assert "no membership of it is known here" in scope.refuses(whole(scope, epoch=3))
    assert scope.allows(whole(scope, epoch=3, void_before=2)) == 2


def test_an_id_of_a_membership_that_a_clean_up_spares_stays(scope: Scope) -> None:
    """Honest governors sign no such membership; if it exists nevertheless, its id stays."""
    scope.ledger.capsules.add([raw(member("soil2", 2, exp=EXP + 1, epoch=2))])
    scope.revoke("soil2")
    assert "leaves out soil2" in scope.refuses(whole(scope, epoch=3, void_before=2))
    others = whole(scope, epoch=3, void_before=2, revoked_ids=[node_of("soil2")])
    assert scope.allows(others) == 2
