"""Time, freshness and decisions of a node without a clock."""

import signer
from authority_rig import DAY_S, OWN_X, PEER_X, Rig, beacon_raw, members_raw, policy_raw
from harness import raises

from writ.authority import capsule
from writ.authority.policy import FRESH, QUORUM
from writ.errors import (
    AlreadyKnown,
    Expired,
    Forked,
    NeedsAction,
    NoPolicy,
    NotAllowed,
    NotFresh,
    NotYetValid,
    Revoked,
    RolledBack,
)

HEAD = b"\xab" * 6
GET = 1
PUT = 3
RULES = [[1, 1, "temp", 1], [2, 1, "run", 4, FRESH], [1, 1, "flood", 4, QUORUM]]


def ready(**changes):
    """A Rig with charter, policy of epoch 1 with RULES, its own and a peer's membership."""
    rig = Rig(**changes)
    rig.with_policy(rules=RULES)
    rig.receive(members_raw(OWN_X, name="me"))
    rig.receive(members_raw(PEER_X, roles=2))
    return rig


def peer(rig):
    """The verified Member of the other node."""
    return rig.authority.peer(capsule.node_id(PEER_X))


def judge(rig, method, path):
    """Authority.authorise for the peer, now."""
    return rig.authority.authorise(peer(rig), method, path, rig.now_ms)


def test_a_beacon_tells_the_time_and_ticks_go_on_from_there():
    rig = ready()
    assert rig.authority.now_s(0) == signer.FOUNDED
    rig.now_ms = 5000
    assert rig.authority.now_s(5999) == signer.FOUNDED + 5
    rig.receive(beacon_raw(1, rig.authority.head, 60))
    assert rig.authority.now_s(5000) == signer.FOUNDED + 60
    assert rig.authority.now_s(5000 + 90500) == signer.FOUNDED + 150
    assert rig.authority.beacon_age_s(5000 + 90500) == 90


def test_a_delayed_beacon_never_sets_the_clock_back():
    rig = ready()
    rig.receive(beacon_raw(1, rig.authority.head, 60))
    rig.now_ms = 1000000
    rig.receive(beacon_raw(1, rig.authority.head, 61))
    assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + 1060
    # its age counts from its own time, not from its arrival
    assert rig.authority.beacon_age_s(rig.now_ms) == 999


def test_time_only_grows_whatever_comes_in():
    rig = ready()
    last = rig.authority.now_s(0)
    head = rig.authority.head
    for step_ms, after_s in ((10, 5), (999, 6), (60000, 7), (1, 500), (1500, 501), (0, 502)):
        rig.now_ms += step_ms
        now_s = rig.authority.now_s(rig.now_ms)
        assert now_s >= last
        rig.receive(beacon_raw(1, head, after_s))
        last = rig.authority.now_s(rig.now_ms)
        assert last >= now_s and last >= signer.FOUNDED + after_s
    # a policy's time counts as well, and an older one does no harm
    rig.receive(policy_raw(2, head, iat=signer.FOUNDED + DAY_S))
    assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + DAY_S
    rig.receive(policy_raw(3, rig.authority.head, iat=signer.FOUNDED))
    assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + DAY_S
    rig.boot()
    assert rig.authority.now_s(rig.now_ms) >= signer.FOUNDED + 502


def test_replayed_and_older_beacons_are_refused_across_a_restart_too():
    rig = ready()
    head = rig.authority.head
    old = beacon_raw(1, head, 60)
    same_time = beacon_raw(2, HEAD, 120)
    rig.receive(old)
    new = beacon_raw(1, head, 120)
    rig.receive(new)
    for _ in range(2):
        rig.refuses(AlreadyKnown, new)
        rig.refuses(RolledBack, old)
        rig.refuses(RolledBack, same_time)
        rig.refuses(RolledBack, beacon_raw(0, head, 180))
        rig.refuses(Forked, beacon_raw(1, HEAD, 180))
        rig.boot()
        assert rig.authority.now_s(0) == signer.FOUNDED + 120


def test_a_beacon_may_tell_of_an_epoch_that_is_still_to_come():
    rig = ready()
    rig.receive(beacon_raw(9, HEAD, 60))
    assert rig.authority.beacon.epoch == 9 and rig.authority.epoch == 1
    rig.receive(policy_raw(9, HEAD))
    assert rig.authority.epoch == 9


def test_a_beacon_before_the_first_policy_names_the_charter():
    rig = Rig()
    rig.refuses(Forked, beacon_raw(0, HEAD, 60))
    rig.receive(beacon_raw(0, signer.charter_head(), 60))
    assert rig.authority.now_s(0) == signer.FOUNDED + 60


def test_fresh_rules_deny_when_the_beacon_is_older_than_the_charter_allows():
    rig = ready(beacon_age_max_s=100)
    raises(NotFresh, judge, rig, PUT, "run")
    rig.receive(beacon_raw(1, rig.authority.head, 60))
    assert judge(rig, PUT, "run") == 1
    rig.now_ms = 100999
    assert judge(rig, PUT, "run") == 1
    rig.now_ms = 101000
    raises(NotFresh, judge, rig, PUT, "run")
    # all other rules work offline without a limit
    rig.now_ms = 500 * DAY_S * 1000
    assert judge(rig, GET, "temp") == 0


def test_after_a_restart_a_beacon_from_flash_has_no_age():
    rig = ready(beacon_age_max_s=100)
    raw = beacon_raw(1, rig.authority.head, 60)
    rig.receive(raw)
    assert judge(rig, PUT, "run") == 1
    rig.boot()
    rig.receive(members_raw(PEER_X, roles=2))
    assert rig.authority.beacon.raw == raw
    assert rig.authority.beacon_age_s(0) is None and not rig.authority.is_fresh(0)
    raises(NotFresh, judge, rig, PUT, "run")
    # to receive it again proves nothing: it may be a recording
    rig.refuses(AlreadyKnown, raw)
    raises(NotFresh, judge, rig, PUT, "run")
    assert judge(rig, GET, "temp") == 0
    rig.receive(beacon_raw(1, rig.authority.head, 61))
    assert judge(rig, PUT, "run") == 1


def test_members_expire_by_the_time_that_it_is_at_least():
    rig = ready()
    short = members_raw(b"s" * 32, name="s", address=7, exp=signer.FOUNDED + 100)
    late = members_raw(b"l" * 32, name="l", address=8, nbf=signer.FOUNDED + 100)
    rig.refuses(NotYetValid, late)
    rig.receive(short)
    member = rig.authority.peer_by(name="s")
    rig.now_ms = 99999
    rig.authority.check_member(member, rig.now_ms)
    assert rig.authority.authorise(member, GET, "temp", rig.now_ms) == 0
    rig.now_ms = 100000
    raises(Expired, rig.authority.check_member, member, rig.now_ms)
    raises(Expired, rig.authority.authorise, member, GET, "temp", rig.now_ms)
    rig.receive(late)
    rig.refuses(Expired, members_raw(b"t" * 32, name="t", address=9, exp=signer.FOUNDED + 100))
    # the end is exclusive, the beginning inclusive
    rig.refuses(Expired, members_raw(b"t" * 32, name="t", exp=signer.FOUNDED + 99))


def test_each_request_is_judged_by_the_policy_in_force_now():
    rig = ready()
    rig.receive(beacon_raw(1, rig.authority.head, 60))
    member = peer(rig)
    assert judge(rig, GET, "temp") == 0 and judge(rig, PUT, "run") == 1
    raises(NeedsAction, judge, rig, PUT, "flood")
    raises(NotAllowed, judge, rig, PUT, "temp")
    raises(NotAllowed, judge, rig, 0, "temp")
    raises(NotAllowed, judge, rig, 0x45, "temp")
    # the policy changes: the next request is refused, with the same Member in hand
    rig.receive(policy_raw(2, rig.authority.head, rules=[]))
    raises(NotAllowed, judge, rig, GET, "temp")
    raises(NotAllowed, judge, rig, PUT, "run")
    amend = signer.amendment_payload
    rig.receive(signer.certify(amend(3, rig.authority.head, [2, [64, 1, "x", 1]])))
    raises(NotAllowed, judge, rig, GET, "x")
    rig.receive(signer.certify(amend(4, rig.authority.head, [1, member.node_id, 64])))
    assert judge(rig, GET, "x") == 0
    rig.receive(signer.certify(amend(5, rig.authority.head, member.node_id)))
    raises(Revoked, judge, rig, GET, "x")
    raises(Revoked, rig.authority.check_member, member, rig.now_ms)
    rig.refuses(Revoked, members_raw(PEER_X, exp=signer.EXPIRES + 1))
    rig.receive(signer.certify(amend(6, rig.authority.head, [0, member.node_id])))
    assert judge(rig, GET, "x") == 0


def test_without_a_policy_or_a_membership_everything_is_denied():
    rig = Rig()
    rig.receive(members_raw(PEER_X))
    rig.receive(members_raw(OWN_X, name="me"))
    raises(NoPolicy, judge, rig, GET, "temp")
    rig = Rig()
    rig.with_policy()
    rig.receive(members_raw(PEER_X))
    raises(NoPolicy, judge, rig, GET, "temp")


def test_a_restart_remembers_when_the_policy_was_issued():
    # there is no beacon: the policy is the newest certified time on flash
    rig = Rig()
    head = rig.authority.charter.head
    rig.receive(policy_raw(1, head, RULES, iat=signer.FOUNDED + DAY_S))
    assert rig.authority.now_s(0) == signer.FOUNDED + DAY_S
    rig.boot()
    assert rig.authority.beacon is None
    assert rig.authority.now_s(0) == signer.FOUNDED + DAY_S
