"""Succession: a new group key, certified by the previous one, for nodes at every epoch."""

import signer
from action_rig import action_raw
from authority_rig import (
    OWN_X,
    PEER_X,
    RULE,
    Rig,
    beacon_raw,
    members_raw,
    payload_head,
    policy_raw,
)
from harness import raises
from succession_rig import DIGEST, NEW, THIRD, by_new, succession_raw

from writ import cbor
from writ.authority import capsule
from writ.authority.capsule import Succession
from writ.errors import (
    AlreadyKnown,
    BadShape,
    BadSignature,
    Forked,
    NeedsAction,
    NoScope,
    NotMember,
    RolledBack,
    WrongPrevious,
)
from writ.limits import SUCCESSIONS_MAX

HEAD = b"\xab" * 6
MONTH = 30 * 86400
YEAR = 365 * 86400


def ready():
    """A Rig at epoch 1, with itself and a peer as members, and a beacon."""
    rig = Rig()
    rig.with_policy(rules=[RULE])
    rig.receive(members_raw(OWN_X, name="me"))
    rig.receive(members_raw())
    rig.receive(beacon_raw(1, rig.authority.head, 60))
    return rig


def test_a_new_key_takes_over():
    rig = ready()
    founding = rig.authority.scope
    rules = rig.authority.policy.rules
    raw = succession_raw(2, rig.authority.head, iat=signer.FOUNDED + 600)
    rig.receive(raw)
    for _ in range(2):
        authority = rig.authority
        assert authority.epoch == 2 and authority.head == payload_head(raw)
        assert authority.group_key == signer.public_key(NEW) and authority.key_epoch == 2
        # the scope and the content of the policy stay
        assert authority.scope == founding and authority.policy.rules == rules
        assert authority.now_s(rig.now_ms) == signer.FOUNDED + 600
        # its own name and key too, and no other member
        assert authority.me.name == "me" and authority.peers == {}
        assert authority.me.key_epoch == 0
        rig.refuses(AlreadyKnown, raw)
        rig.boot()
    # the next policy and what hangs on it is certified by the new key, and follows the succession
    policy = policy_raw(3, payload_head(raw), [RULE])
    rig.refuses(BadSignature, policy)
    rig.refuses(WrongPrevious, by_new(policy_raw(3, HEAD)))
    rig.receive(by_new(policy))
    assert rig.authority.epoch == 3 and rig.authority.head == payload_head(policy)
    rig.boot()
    assert rig.authority.epoch == 3 and rig.authority.group_key == signer.public_key(NEW)
    amendment = signer.amendment_payload(4, rig.authority.head, b"12345678")
    rig.refuses(BadSignature, signer.certify(amendment))
    rig.receive(signer.certify(amendment, NEW))
    assert rig.authority.epoch == 4
    rig.refuses(RolledBack, raw)


def test_an_amendment_may_follow_it_at_once():
    rig = ready()
    raw = succession_raw(2, rig.authority.head)
    rig.receive(raw)
    payload = signer.amendment_payload(3, payload_head(raw), b"12345678")
    rig.refuses(BadSignature, signer.certify(payload))
    rig.receive(signer.certify(payload, NEW))
    rig.boot()
    assert rig.authority.epoch == 3 and rig.authority.policy.revoked == [b"12345678"]
    assert rig.authority.policy.previous == payload_head(raw)
    # a node at the epoch of the policy needs the succession first
    assert rig.authority.capsule_for(1) == raw
    assert rig.authority.capsule_for(2) == signer.certify(payload, NEW)


def test_capsules_by_the_old_key_are_no_longer_valid():
    rig = ready()
    head = payload_head(succession_raw(2, rig.authority.head))
    peer = rig.authority.peer(capsule.node_id(PEER_X))
    rig.receive(action_raw())
    rig.receive(succession_raw(2, rig.authority.head))
    later = signer.EXPIRES + 1
    for raw in (
        members_raw(exp=later),
        members_raw(OWN_X, name="me", exp=later),
        beacon_raw(2, head, 600),
        policy_raw(3, head),
        action_raw(nonce=9),
    ):
        rig.refuses(BadSignature, raw)
        if capsule.parse(raw).kind != capsule.POLICY:
            rig.receive(by_new(raw))
    # nor does an action that waited
    assert rig.authority.actions.find(3, "gate", 0).nonce == (9).to_bytes(8, "big")
    # in an open session the peer has its old capsule: it may exchange capsules only
    raises(NotMember, rig.authority.check_member, peer, 0)
    raises(NotMember, rig.authority.authorise, peer, 1, "temp", 0)
    rig.authority.check_member(peer, 0, True)
    renewed = rig.authority.peer(capsule.node_id(PEER_X))
    assert rig.authority.authorise(renewed, 1, "temp", 0) == 0


def test_freshness_needs_a_beacon_by_the_new_key():
    rig = ready()
    assert rig.authority.is_fresh(0)
    raw = succession_raw(2, rig.authority.head)
    rig.receive(raw)
    assert not rig.authority.is_fresh(0)
    # and the clock stays
    assert rig.authority.now_s(0) == signer.FOUNDED + 60
    rig.receive(by_new(beacon_raw(2, payload_head(raw), 120)))
    assert rig.authority.is_fresh(0)


def test_it_takes_back_the_time_of_a_wrong_clock():
    for is_restarted in (False, True):
        rig = ready()
        head = rig.authority.head
        wrong = beacon_raw(1, head, 20 * YEAR)
        rig.receive(wrong)
        if is_restarted:
            rig.boot()
        assert rig.authority.now_s(rig.now_ms) >= signer.FOUNDED + 20 * YEAR
        raw = succession_raw(2, head, iat=signer.FOUNDED + 600)
        rig.receive(raw)
        for _ in range(2):
            assert rig.authority.beacon is None
            assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + 600
            # a recorded copy does not bring it back
            rig.refuses(RolledBack, wrong)
            rig.refuses(BadSignature, beacon_raw(2, payload_head(raw), 20 * YEAR))
            rig.boot()
        # members are valid by the right time, and so is the next beacon
        rig.receive(by_new(members_raw(OWN_X, name="me")))
        rig.receive(by_new(beacon_raw(2, payload_head(raw), 700)))
        assert rig.authority.is_fresh(rig.now_ms)
        rig.boot()
        assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + 700


def test_it_takes_back_no_other_time():
    # a beacon of while the succession waited for its certification, a month at most
    rig = ready()
    head = rig.authority.head
    rig.receive(beacon_raw(1, head, MONTH + 600))
    raw = succession_raw(2, head, iat=signer.FOUNDED + 600)
    rig.receive(raw)
    rig.boot()
    assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + MONTH + 600
    # one of the new key, however much later
    rig.receive(by_new(beacon_raw(2, payload_head(raw), YEAR)))
    rig.boot()
    assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + YEAR
    # the time of the policy, which stays in force
    rig = ready()
    policy = policy_raw(2, rig.authority.head, [RULE], iat=signer.FOUNDED + YEAR)
    rig.receive(policy)
    rig.receive(beacon_raw(2, payload_head(policy), 20 * YEAR))
    rig.receive(succession_raw(3, rig.authority.head))
    for _ in range(2):
        assert rig.authority.now_s(rig.now_ms) == signer.FOUNDED + YEAR
        rig.boot()


def test_a_capsule_by_the_new_key_is_accepted_after_the_succession():
    rig = ready()
    raw = by_new(members_raw(OWN_X, name="me", exp=signer.EXPIRES + 1))
    rig.refuses(BadSignature, raw)
    rig.receive(succession_raw(2, rig.authority.head))
    rig.receive(raw)
    assert rig.authority.me.expires == signer.EXPIRES + 1
    for _ in range(2):
        assert rig.authority.me.key_epoch == 2
        # from now on the later one counts, as ever
        rig.refuses(RolledBack, by_new(members_raw(OWN_X, name="me")))
        rig.boot()


def test_the_same_membership_is_certified_anew():
    rig = ready()
    rig.receive(succession_raw(2, rig.authority.head))
    rig.refuses(AlreadyKnown, rig.authority.me.raw)
    for x, name in ((OWN_X, "me"), (PEER_X, "pump-1")):
        rig.receive(by_new(members_raw(x, name=name)))
    assert rig.authority.me.key_epoch == 2
    assert [member.key_epoch for member in rig.authority.peers.values()] == [2]


def test_members_from_flash_count_if_the_key_in_force_certified_them():
    rig = ready()
    peer = rig.authority.peer(capsule.node_id(PEER_X))
    rig.receive(succession_raw(2, rig.authority.head))
    rig.receive(by_new(members_raw(exp=signer.EXPIRES + 1)))
    new = rig.authority.peer(capsule.node_id(PEER_X))
    # as a session does it at the start
    for raw, counts in ((peer.raw, False), (new.raw, True)):
        rig.boot()
        member = capsule.Member(capsule.parse(raw))
        rig.authority.remember(member)
        assert (rig.authority.peer(member.node_id) is member) == counts
        if not counts:
            raises(NotMember, rig.authority.check_member, member, 0)
        else:
            rig.authority.check_member(member, 0)


def test_wrong_successions_are_refused_by_name():
    rig = ready()
    head = rig.authority.head
    rig.refuses(BadSignature, succession_raw(2, head, by=NEW))
    rig.refuses(BadSignature, signer.forge(succession_raw(2, head)))
    rig.refuses(WrongPrevious, succession_raw(2, HEAD))
    rig.refuses(Forked, succession_raw(1, signer.charter_head()))
    rig.with_policy(5)
    rig.refuses(RolledBack, succession_raw(4, head))
    rig.refuses(Forked, succession_raw(5, head))
    raw = succession_raw(6, rig.authority.head)
    rig.receive(raw)
    rig.refuses(Forked, succession_raw(6, rig.authority.head))
    rig.refuses(Forked, policy_raw(6, rig.authority.head))
    rig.refuses(Forked, by_new(beacon_raw(6, HEAD, 600)))
    # certified again by other governors of the same group: the same capsule
    rig.refuses(AlreadyKnown, signer.forge(raw))
    raises(NoScope, Rig(charter=False).receive, raw)


def test_shapes():
    for body in (
        [0, HEAD, DIGEST, DIGEST],
        [True, HEAD, DIGEST, DIGEST],
        [1, HEAD[:5], DIGEST, DIGEST],
        [1, HEAD, DIGEST[:31], DIGEST],
        [1, HEAD, DIGEST, DIGEST + b"1"],
        [1, HEAD, DIGEST],
        [1, HEAD, DIGEST, DIGEST, 1],
    ):
        raw = capsule.assemble(capsule.build(capsule.SUCCESSION, body, iat=1), bytes(64))
        raises(BadShape, Succession, capsule.parse(raw))
    raises(BadShape, capsule.build, capsule.SUCCESSION, [1, HEAD, DIGEST, DIGEST])


def test_a_node_that_was_offline_gets_the_last_policy_by_the_old_key_and_then_the_succession():
    rig = ready()
    old = policy_raw(1, signer.charter_head(), [RULE])
    newer = policy_raw(4, HEAD, [RULE], revoked=[b"12345678"])
    rig.receive(newer)
    raw = succession_raw(5, rig.authority.head)
    rig.receive(raw)
    sleeper = Rig()
    sleeper.receive(old)
    for wanted in (newer, raw):
        found = rig.authority.capsule_for(sleeper.authority.epoch)
        assert found == wanted
        sleeper.receive(found)
    assert sleeper.authority.policy.revoked == [b"12345678"]
    assert rig.authority.capsule_for(5) is None
    # once there is a policy by the new key, the succession comes first
    last = by_new(policy_raw(6, payload_head(raw), [RULE]))
    rig.receive(last)
    sleeper = Rig()
    sleeper.receive(old)
    for wanted in (raw, last):
        found = rig.authority.capsule_for(sleeper.authority.epoch)
        assert found == wanted
        sleeper.receive(found)
    assert sleeper.authority.epoch == 6 and sleeper.authority.policy.revoked == []


def test_a_chain_is_followed_in_its_order_only():
    rig = ready()
    first = succession_raw(2, rig.authority.head)
    rig.receive(first)
    rig.receive(by_new(policy_raw(3, payload_head(first), [RULE])))
    second = succession_raw(4, rig.authority.head, THIRD, NEW)
    rig.receive(second)
    last = by_new(policy_raw(5, payload_head(second), [RULE]), THIRD)
    rig.receive(last)
    sleeper = ready()
    # each one is certified by the previous key, so none can be left out
    sleeper.refuses(BadSignature, second)
    sleeper.refuses(BadSignature, last)
    for wanted in (first, second, last):
        found = rig.authority.capsule_for(sleeper.authority.epoch)
        assert found == wanted
        sleeper.receive(found)
    assert sleeper.authority.epoch == 5
    assert sleeper.authority.group_key == signer.public_key(THIRD)
    sleeper.boot()
    assert sleeper.authority.group_key == signer.public_key(THIRD)
    # and a node that has followed can serve others
    assert [sleeper.authority.capsule_for(epoch) for epoch in (1, 2, 3, 4, 5)] == [
        first,
        second,
        second,
        last,
        None,
    ]


def test_the_chain_of_successions_is_limited():
    rig = ready()
    head = rig.authority.head
    keys = [signer.GROUP_SEED, NEW, THIRD]
    raws = []
    for i in range(SUCCESSIONS_MAX + 1):
        raws.append(succession_raw(2 + i, head, keys[(i + 1) % 3], keys[i % 3]))
        rig.receive(raws[-1])
        head = payload_head(raws[-1])
    assert len(rig.flash.files["keys.a"]) < 2560
    rig.boot()
    assert rig.authority.epoch == SUCCESSIONS_MAX + 2
    assert rig.authority.capsule_for(2) == raws[1]


def test_capsules_are_found_by_their_digest():
    rig = ready()
    raw = succession_raw(2, rig.authority.head)
    rig.receive(raw)
    amendment = signer.certify(signer.amendment_payload(3, payload_head(raw), b"12345678"), NEW)
    rig.receive(amendment)
    renewed = by_new(members_raw(exp=signer.EXPIRES + 1))
    rig.receive(renewed)
    authority = rig.authority
    held = [signer.charter(), raw, amendment, renewed, authority.me.raw, authority.beacon.raw]
    held.append(cbor.decode(rig.flash.files["policy.b"][7:-8])[1])
    for one in held:
        assert authority.capsule_by_digest(capsule.digest(one)[:16]) == one
    for other in (bytes(16), capsule.digest(members_raw())[:16]):
        assert authority.capsule_by_digest(other) is None
    # 16 bytes and no fewer, which the digest of any would begin with
    for start in (b"", capsule.digest(raw)[:8], capsule.digest(raw)):
        assert authority.capsule_by_digest(start) is None
    assert Rig(charter=False).authority.capsule_by_digest(bytes(16)) is None
    raises(NeedsAction, not_an_action, rig)


def not_an_action(rig):
    # an action is for one node and is not served to others
    raw = by_new(action_raw())
    rig.receive(raw)
    if rig.authority.capsule_by_digest(capsule.digest(raw)[:16]) is None:
        raise NeedsAction()
