"""Operations at host peers that are Byzantine or stale."""

import signer
from delegate_rig import LATER, ME, PENDING, SOON, Rig, given, member_raw
from harness import raises

from writ import crypto
from writ.authority import capsule
from writ.errors import NotFresh, RateLimited, TimedOut, UnknownKind
from writ.node.statement import member_request
from writ.wire import coap

OTHER = b"x" * 32


def beacon_raw(epoch, head, after_s):
    return signer.certify(signer.beacon_payload(epoch, head, signer.FOUNDED + after_s))


def tried(name, lie, rig, begin, truth):
    """One operation whose first peer is wrong: the device backs off and asks the second one."""
    done = []
    rig.peers["a"] = given(lie)
    rig.peers["b"] = given(truth)
    begin(done.append)
    rig.run()
    assert rig.counters == {name: 1}, rig.counters
    assert rig.addresses() == ["a", "b"] and len(done) == 1
    assert done[0].payload == truth and done[0].rejection is None
    # next time the liar is asked last
    rig.calls.clear()
    rig.delegate.fetch(bytes(16), None)
    rig.run()
    assert rig.addresses()[0] == "b"


def test_wrong_capsules_for_a_renewal():
    for name, lie in (
        ("BadSignature", signer.forge(member_raw())),
        ("BadSignature", member_raw(seed=signer.OTHER_SEED)),
        # all of them are certified, and none is what was asked for
        ("WrongAnswer", member_raw(OTHER, "s", 2)),
        ("WrongAnswer", member_raw(OTHER, "other", 7)),
        ("WrongAnswer", member_raw(name="t")),
        ("WrongAnswer", member_raw(address=3)),
        ("WrongAnswer", member_raw(roles=4 | 8)),
        ("WrongAnswer", member_raw(roles=8)),
        ("WrongAnswer", member_raw(exp=SOON)),
        ("WrongAnswer", member_raw(exp=SOON - 1)),
        ("NotYetValid", member_raw(nbf=LATER - 1)),
        ("BadShape", signer.charter()),
        ("BadShape", beacon_raw(1, bytes(6), 9)),
        ("TooLarge", bytes(1281)),
        ("Truncated", b"\x84"),
        ("Truncated", b""),
        ("BadShape", b"\xf6"),
    ):
        rig = Rig("a", "b")
        peers = len(rig.authority.peers)
        tried(name, lie, rig, rig.delegate.renew, member_raw())
        # none was applied
        assert rig.authority.me.raw == member_raw() and len(rig.authority.peers) == peers


def test_a_valid_capsule_that_was_not_asked_for():
    rig = Rig("a", "b")
    other = member_raw(OTHER, "other", 7)
    beacon = beacon_raw(1, rig.authority.head, 9)
    for true in (other, beacon, rig.policy):
        rig = Rig("a", "b")
        rig.peers["a"] = rig.peers["b"] = given(true)
        done = []
        rig.delegate.renew(done.append, 60)
        rig.run(60)
        assert type(done[0].rejection) is TimedOut
        assert rig.authority.peers == {} and rig.authority.beacon.time == signer.FOUNDED
        assert rig.authority.me.expires == SOON and not rig.counters.get("BadSignature")
        # each was asked once, and its back-off is longer than this took
        assert rig.addresses() == ["a", "b"]


def test_a_wrong_answer_sets_back_longer_than_a_timeout():
    rig = Rig("a", "b")
    rig.peers["a"] = given(signer.forge(member_raw()))
    rig.peers["b"] = TimedOut()
    rig.delegate.renew(None, 3000)
    rig.run(3000)
    addresses = rig.addresses()
    assert addresses.count("a") * 2 <= addresses.count("b")
    assert addresses.count("a") >= 2 and addresses.count("b") <= 12


def test_a_right_answer_clears_the_strikes():
    forged = given(signer.forge(member_raw()))
    rig = Rig(a=[forged, given(member_raw()), forged, given(member_raw(exp=LATER + 1))])
    for expires in (LATER, LATER + 1):
        rig.delegate.renew()
        # the back-off from it is as long again
        rig.run(63)
        assert rig.authority.me.expires < expires
        rig.run(1)
        assert rig.authority.me.expires == expires
        rig.run(100)


def test_pending_and_late_answers_are_not_wrong_answers():
    rig = Rig(a=[PENDING] * 3 + [given(member_raw())])
    rig.delegate.renew()
    rig.run(20)
    assert rig.counters == {} and rig.authority.me.expires == LATER


def test_wrong_capsules_for_an_admission():
    private = crypto.sha256(b"new")
    key = crypto.p256_public(private)
    request = member_request(private, "new")

    def raw(name="new", x=key[0], odd=key[1], seed=signer.GROUP_SEED):
        return signer.certify(signer.member_payload(x, name, 9, 8, LATER, odd=odd), seed)

    for name, lie in (
        ("WrongAnswer", raw(name="old")),
        ("WrongAnswer", raw(x=OTHER)),
        ("WrongAnswer", raw(odd=not key[1])),
        ("WrongAnswer", member_raw()),
        ("BadSignature", raw(seed=signer.OTHER_SEED)),
        ("Expired", signer.certify(signer.member_payload(key[0], "new", 9, 8, 5, odd=key[1]))),
    ):
        rig = Rig("a", "b")
        tried(name, lie, rig, lambda done, rig=rig: rig.delegate.admit(request, b"", done), raw())


def test_revocations_of_other_nodes():
    head = Rig().authority.head
    truth = signer.certify(signer.amendment_payload(2, head, ME))
    rule = [1, 1, "t", 3]
    for name, lie in (
        ("WrongAnswer", signer.certify(signer.amendment_payload(2, head, bytes(8)))),
        ("WrongAnswer", signer.certify(signer.amendment_payload(2, head, [1, ME, 0]))),
        ("WrongAnswer", signer.certify(signer.policy_payload(2, head, [rule]))),
        ("BadSignature", signer.forge(truth)),
        ("BadShape", member_raw()),
    ):
        rig = Rig("a", "b")
        tried(name, lie, rig, lambda done, rig=rig: rig.delegate.revoke_me("", done), truth)


def test_a_forged_revocation_of_the_past_is_no_success():
    # its epoch is in force already, so it is refused before its signature is checked
    rig = Rig("a", "b")
    rig.peers["b"] = None
    forged = signer.forge(signer.certify(signer.amendment_payload(1, signer.charter_head(), ME)))
    rig.peers["a"] = given(forged)
    done = []
    rig.delegate.revoke_me("lost", done.append, 100)
    rig.run(100)
    assert type(done[0].rejection) is TimedOut and rig.authority.policy.revoked == []
    assert "b" in rig.addresses()


def test_a_fetched_capsule_with_another_digest():
    truth = member_raw(OTHER, "other", 7)
    digest = crypto.sha256(truth)
    for lie in (member_raw(OTHER, "other", 8), signer.forge(truth)):
        rig = Rig("a", "b")
        tried(
            "WrongAnswer", lie, rig, lambda done, rig=rig: rig.delegate.fetch(digest, done), truth
        )
        assert rig.authority.peer_by(address=7) and not rig.authority.peer_by(address=8)
    # the whole digest is compared, not only the part in the query
    rig = Rig("a")
    rig.peers["a"] = given(truth)
    done = []
    rig.delegate.fetch(digest[:16] + bytes(16), done.append, 5)
    rig.run(6)
    assert type(done[0].rejection) is TimedOut and rig.counters == {"WrongAnswer": 1}


def test_stale_peers_refuse_in_vain():
    done = []
    rig = Rig("a", "b")
    rig.peers["a"] = (coap.FORBIDDEN, b"43 NotMember")
    rig.peers["b"] = given(member_raw())
    rig.sessions.by_peer(b"a").seen_epoch = 0
    rig.delegate.renew(done.append)
    rig.run()
    assert rig.counters == {"StalePeer": 1} and done[0].payload == member_raw()
    # its capsule counts all the same if it verifies
    rig = Rig("a")
    rig.peers["a"] = given(member_raw())
    rig.sessions.by_peer(b"a").seen_epoch = 0
    rig.delegate.renew(done.append)
    rig.run()
    assert rig.counters == {} and done[1].payload == member_raw()


def test_newest_beacon():
    done = []
    rig = Rig("a", "b", "c")
    head = rig.authority.head
    old, now, new = [beacon_raw(1, head, after_s) for after_s in (1000, 2000, 9000)]
    rig.take(now)
    rig.now_ms += 4000 * 1000  # this node's beacon is too old by now
    rig.peers.update({"a": given(old), "b": given(now), "c": given(new)})
    rig.delegate.beacon(done.append)
    rig.run()
    assert [call[1:3] for call in rig.calls] == [(coap.GET, "writ/beacon")] * 3
    assert rig.addresses() == ["a", "b", "c"] and rig.counters == {"StalePeer": 1}
    assert done[0].payload == new and rig.authority.is_fresh(rig.now_ms)
    # a young beacon needs no second answer
    rig.calls.clear()
    rig.delegate.beacon(done.append)
    rig.peers["b"] = given(new)
    rig.run()
    assert len(rig.calls) == 1 and done[1].payload == new


def test_no_peer_has_a_newer_beacon():
    done = []
    rig = Rig("a", "b")
    now = beacon_raw(1, rig.authority.head, 2000)
    rig.take(now)
    rig.now_ms += 4000 * 1000
    rig.peers.update({"a": given(now), "b": (coap.NOT_FOUND, b"")})
    rig.delegate.beacon(done.append)
    rig.run()
    assert type(done[0].rejection) is NotFresh and rig.addresses() == ["a", "b"]
    assert rig.counters == {}


def test_wrong_capsules_for_a_beacon():
    rig = Rig("a", "b")
    head = rig.authority.head
    truth = beacon_raw(1, head, 60)
    for name, lie in (
        ("WrongAnswer", member_raw(OTHER, "other", 7)),
        ("BadSignature", signer.forge(truth)),
        ("Forked", beacon_raw(1, bytes(6), 70)),
    ):
        rig = Rig("a", "b")
        tried(name, lie, rig, rig.delegate.beacon, truth)


def test_the_own_rate_limit_is_not_the_peers_fault():
    rig = Rig("a")
    rig.peers["a"] = given(member_raw())
    verify = rig.authority.receive

    def busy(*args):
        raise RateLimited()

    rig.authority.receive = busy
    done = []
    rig.delegate.renew(done.append)
    rig.run(1)
    assert rig.counters == {} and not done
    rig.authority.receive = verify
    rig.run(1)
    assert done[0].payload == member_raw()


def test_statements_are_no_capsules():
    # a statement must not be accepted as a capsule of the governors
    rig = Rig("a")
    rig.peers["a"] = None
    rig.delegate.renew()
    rig.run()
    raises(UnknownKind, capsule.parse, rig.calls[0][3])
