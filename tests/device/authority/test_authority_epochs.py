"""Policies and amendments: epochs only grow, forks are seen, two capsules make one state.

G is the charter, P3 a whole policy of epoch 3, A4 an amendment to epoch 4.
"""

import signer
from authority_rig import RULE, Counter, Rig, members_raw, payload_head, policy_raw

from writ.errors import (
    AlreadyKnown,
    BadShape,
    BadSignature,
    EpochGap,
    Forked,
    RolledBack,
    TooLarge,
    Truncated,
    WrongPrevious,
)
from writ.limits import AMENDMENTS_MAX, RECORD_BYTES_MAX

HEAD = b"\xab" * 6
NODES = [bytes((i,)) * 8 for i in range(70)]


def amendment_raw(epoch, previous, *ops):
    """A certified amendment."""
    return signer.certify(signer.amendment_payload(epoch, previous, *ops))


def revoke(rig, i):
    """Bring in the next amendment, which revokes NODES[i]; returns it."""
    raw = amendment_raw(rig.authority.epoch + 1, rig.authority.head, NODES[i])
    rig.receive(raw)
    return raw


def whole(rig):
    """The certified whole policy of the state in force."""
    return signer.certify(rig.authority.policy.payload())


def test_g_p1_p2_follow_each_other():
    rig = Rig()
    assert rig.authority.epoch == 0 and rig.authority.head is None
    rig.refuses(WrongPrevious, policy_raw(1, HEAD))
    one = policy_raw(1, signer.charter_head())
    rig.receive(one)
    assert rig.authority.epoch == 1 and rig.authority.head == payload_head(one)
    rig.refuses(AlreadyKnown, one)
    rig.refuses(WrongPrevious, policy_raw(2, signer.charter_head()))
    rig.receive(policy_raw(2, rig.authority.head))
    assert rig.authority.epoch == 2 and rig.authority.policy.previous == payload_head(one)
    rig.refuses(RolledBack, one)


def test_a_node_offline_from_epoch_3_to_47_accepts_p47_directly():
    rig = Rig()
    rig.with_policy(3)
    latest = policy_raw(47, HEAD, revoked=NODES[1:3])
    rig.receive(latest)
    assert rig.authority.epoch == 47 and rig.authority.policy.revoked == NODES[1:3]
    for epoch in (1, 3, 4, 46):
        rig.refuses(RolledBack, policy_raw(epoch, HEAD))
    rig.boot()
    assert rig.authority.epoch == 47
    rig.refuses(RolledBack, policy_raw(46, HEAD))
    rig.refuses(AlreadyKnown, latest)


def test_a_second_p3_is_a_fork():
    # G -> P3 and G -> P3'
    rig = Rig()
    rig.with_policy(3)
    rig.refuses(Forked, policy_raw(3, signer.charter_head(), rules=[]))
    rig.refuses(Forked, policy_raw(3, HEAD))
    rig.boot()
    rig.refuses(Forked, policy_raw(3, signer.charter_head(), rules=[]))


def test_amendments_need_the_epoch_and_the_head_before_them():
    rig = Rig()
    rig.refuses(EpochGap, amendment_raw(1, signer.charter_head(), NODES[1]))
    p1 = rig.with_policy()
    rig.refuses(EpochGap, amendment_raw(3, p1, NODES[1]))
    rig.refuses(WrongPrevious, amendment_raw(2, HEAD, NODES[1]))
    rig.refuses(WrongPrevious, amendment_raw(2, signer.charter_head(), NODES[1]))
    rig.refuses(RolledBack, amendment_raw(1, p1, NODES[1]))
    rig.refuses(RolledBack, amendment_raw(0, p1, NODES[1]))
    a2 = revoke(rig, 1)
    assert rig.authority.epoch == 2 and rig.authority.policy.revoked == [NODES[1]]
    rig.refuses(AlreadyKnown, a2)
    rig.refuses(EpochGap, amendment_raw(4, rig.authority.head, NODES[2]))
    rig.refuses(RolledBack, amendment_raw(1, signer.charter_head(), NODES[2]))


def test_an_amendment_that_does_not_fit_the_state_changes_nothing():
    rig = Rig()
    head = rig.with_policy(revoked=NODES[:64])
    for ops in (
        [NODES[1]],
        [[0, NODES[65]]],
        [NODES[65]],
        [[2, RULE]],
        [[3, [1, 1, "other", 1]]],
        [[0, NODES[0]], NODES[65], NODES[66]],
    ):
        rig.refuses(BadShape, amendment_raw(2, head, *ops))
    # and the state can still be amended
    rig.receive(amendment_raw(2, head, [0, NODES[0]], NODES[65]))
    assert rig.authority.epoch == 2


def test_a_forged_amendment_does_not_make_the_node_compute_the_state():
    rig = Rig()
    head = rig.with_policy()
    calls = []
    apply = rig.authority._apply_amendment
    rig.authority._apply_amendment = lambda *given: calls.append(given) or apply(*given)
    raw = amendment_raw(2, head, NODES[1])
    rig.refuses(BadSignature, signer.forge(raw))
    assert not calls
    rig.receive(raw)
    assert len(calls) == 1


def test_amendments_and_whole_policies_make_the_same_chain():
    one = Rig()
    two = Rig()
    one.with_policy()
    two.with_policy()
    for i in range(1, 4):
        revoke(one, i)
        two.receive(whole(one))
        assert one.authority.head == two.authority.head
        assert one.authority.policy.payload() == two.authority.policy.payload()
    # one more amendment fits both
    raw = amendment_raw(5, one.authority.head, [1, NODES[9], 6])
    one.receive(raw)
    two.receive(raw)
    assert one.authority.head == two.authority.head


def test_a_whole_policy_replaces_its_amendments():
    rig = Rig()
    rig.with_policy()
    revoke(rig, 1)
    revoke(rig, 2)
    state = rig.authority.policy.payload()
    assert rig.authority.capsule_for(0) != whole(rig)
    raw = whole(rig)
    rig.receive(raw)
    assert rig.authority.policy.payload() == state and rig.authority.epoch == 3
    assert rig.authority.capsule_for(0) == raw
    assert rig.authority.capsule_for(2) == raw and rig.authority.capsule_for(3) is None
    rig.refuses(AlreadyKnown, raw)
    rig.boot()
    assert rig.authority.policy.payload() == state
    rig.refuses(AlreadyKnown, raw)


def test_the_chain_continues_beyond_the_kept_amendments():
    rig = Rig()
    first = policy_raw(1, signer.charter_head())
    rig.receive(first)
    chain = [first]
    for i in range(1, AMENDMENTS_MAX + 5):
        chain.append(revoke(rig, i))
        authority = rig.authority
        payload, head = authority.policy.payload(), authority.head
        assert authority.epoch == i + 1 and authority.policy.revoked == NODES[1 : i + 1]
        kept = chain[1:][-AMENDMENTS_MAX:]
        base = first if i <= AMENDMENTS_MAX else None
        for _ in range(2):
            for epoch in range(i + 3):
                found = rig.authority.capsule_for(epoch)
                if epoch > i:
                    # nothing is newer
                    assert found is None
                elif epoch and chain[epoch] in kept:
                    assert found == chain[epoch], (i, epoch)
                else:
                    assert found == base, (i, epoch)
            rig.boot()
            assert rig.authority.policy.payload() == payload and rig.authority.head == head
        rig.refuses(AlreadyKnown, chain[i])
    # a node that starts with the charter reaches the newest state by the capsules of the others
    other = Rig()
    for raw in chain:
        other.receive(raw)
    assert other.authority.head == rig.authority.head
    # and the whole policy heals the chain that was cut short
    raw = whole(rig)
    rig.receive(raw)
    assert rig.authority.capsule_for(0) == raw


def test_large_amendments_outgrow_no_record():
    # AMENDMENTS_MAX amendments of 10 rules each do not fit in one record with the policy
    rig = Rig()
    rig.with_policy(rules=[])
    last = []
    for i in range(AMENDMENTS_MAX + 2):
        rules = [[1, 1, "%02d" % (i * 10 + k) + "p" * 46, 127] for k in range(10)]
        for ops in ([[3, rule] for rule in last], [[2, rule] for rule in rules]):
            if ops:
                rig.receive(amendment_raw(rig.authority.epoch + 1, rig.authority.head, *ops))
        last = rules
        for name in rig.flash.files:
            # a header and a checksum frame a record
            assert len(rig.flash.files[name]) <= RECORD_BYTES_MAX + 15
        epoch, head = rig.authority.epoch, rig.authority.head
        rig.boot()
        assert rig.authority.epoch == epoch and rig.authority.head == head
        # the capsule of the epoch in force is always kept
        assert rig.authority.capsule_for(epoch - 1)


def test_no_amendment_makes_a_state_that_no_capsule_could_hold():
    rig = Rig()
    rig.with_policy(rules=[[1, 1, "%02d" % i + "p" * 46, 1] for i in range(21)])
    ops = [[2, [1, 1, "%02d" % i + "q" * 46, 1]] for i in range(4)]
    rig.refuses(TooLarge, amendment_raw(2, rig.authority.head, *ops))


def test_after_each_refusal_the_right_capsule_is_accepted():
    rig = Rig()
    p1 = rig.with_policy()
    good = amendment_raw(2, p1, NODES[1])
    with Counter() as counter:
        rig.refuses(EpochGap, amendment_raw(3, p1, NODES[1]), "n")
        rig.refuses(WrongPrevious, amendment_raw(2, HEAD, NODES[1]), "n")
        rig.refuses(Forked, policy_raw(1, HEAD), "n")
        rig.refuses(WrongPrevious, policy_raw(2, HEAD), "n")
        rig.refuses(Truncated, good[:-1], "n")
        assert counter.count == 0
    rig.receive(good, "n")
    assert rig.authority.epoch == 2


def test_a_restart_keeps_every_kind():
    rig = Rig()
    p1 = rig.with_policy()
    rig.receive(members_raw(b"o" * 32, name="me"))
    rig.receive(signer.certify(signer.beacon_payload(1, p1, signer.FOUNDED + 9)))
    before = rig.state()
    rig.boot()
    # all but the beacon's age, which a node cannot know after a restart
    assert rig.state()[:-1] == before[:-1] and rig.state()[-1] is None
