"""Memberships that name an epoch before the policy's `void_before` are void."""

import signer
from authority_rig import OWN_X, PEER_X, Rig, members_raw
from harness import raises

from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import Member
from writ.authority.policy import OP_SET, PARAM_VOID_BEFORE, Policy
from writ.errors import BadShape, NotMember

HEAD = b"\xab" * 6


def member(epoch, **changes):
    return Member(capsule.parse(members_raw(epoch=epoch, **changes)))


def state(params, epoch=3):
    return Policy(capsule.parse_claims(signer.policy_payload(epoch, HEAD, params=params)))


def test_the_epoch_of_a_member_has_one_encoding():
    assert member(0).epoch == 0
    assert member(7).epoch == 7
    for body in ([1, 0, 0], [1, 0, -1], [1, 0, "1"], [1, 0, None], [1, 0, 1 << 32], [1, 0, 1, 1]):
        payload = capsule.build(
            capsule.MEMBER, body, sub="pump-1", exp=signer.EXPIRES, key=(PEER_X, False)
        )
        raises(BadShape, Member, capsule.parse(capsule.assemble(payload, bytes(64))))


def test_the_parameter_names_no_later_epoch_than_the_policy():
    assert state({}).void_before == 0
    assert state({PARAM_VOID_BEFORE: 3}).void_before == 3
    for value in (0, 4, -1, "3", b"3", [3], None):
        raises(BadShape, state, {PARAM_VOID_BEFORE: value})


def test_an_amendment_sets_it():
    before = state({})
    body = [capsule.AMENDMENT, 4, before.head(), [OP_SET, PARAM_VOID_BEFORE, 4]]
    after = amend(before, check_amendment(body))
    assert after.void_before == 4
    later = check_amendment(body[:3] + [[OP_SET, PARAM_VOID_BEFORE, 5]])
    raises(BadShape, amend, before, later)


def test_a_void_member_is_refused_until_it_has_a_newer_capsule():
    rig = Rig()
    rig.with_policy()
    rig.receive(members_raw(OWN_X, name="own", epoch=1))
    old = member(1)
    rig.receive(old.raw)
    rig.authority.authorise(old, 1, "temp", 0)
    rig.with_policy(2, params={PARAM_VOID_BEFORE: 2})
    raises(NotMember, rig.authority.authorise, old, 1, "temp", 0)
    # capsules are open to it, as they are after a change of the group key
    rig.authority.check_member(old, 0, True)
    # the old capsule, or one that names no epoch, is not accepted again
    rig.authority.forget()
    rig.refuses(NotMember, old.raw)
    rig.refuses(NotMember, members_raw(exp=signer.EXPIRES + 1))
    renewed = member(2, exp=signer.EXPIRES + 1)
    rig.receive(renewed.raw)
    rig.authority.authorise(renewed, 1, "temp", 0)
    # its own membership is void, too, and a restart does not change that
    rig.boot()
    assert rig.authority.is_outdated(rig.authority.me)
    raises(NotMember, rig.authority.check_member, old, 0)
