"""Operations at host peers that are honest, slow or offline."""

import signer
from delegate_rig import KEY, LATER, ME, NO_QUORUM, PENDING, SOON, Rig, given, member_raw
from harness import raises
from succession_rig import NEW, by_new, succession_raw

from writ import compat, crypto
from writ.authority import capsule
from writ.errors import (
    NotMember,
    PeerFailed,
    Rejection,
    RolledBack,
    TableFull,
    TimedOut,
    TooLarge,
    UsageError,
)
from writ.node.call import Answer
from writ.node.delegate import Delegate
from writ.node.statement import member_request
from writ.wire import coap


def refused(text=b"no"):
    return coap.FORBIDDEN, text


def test_renewed():
    done = []
    rig = Rig(a=[PENDING, PENDING, given(member_raw())])
    rig.now_ms = 50000
    rig.delegate.renew(done.append)
    rig.run()
    # at once, then after 2 s, then after 4 s
    assert len(rig.calls) == 1 and not done
    rig.run(2)
    assert len(rig.calls) == 2
    rig.run(3)
    assert len(rig.calls) == 2
    rig.run(1)
    assert len(rig.calls) == 3
    (answer,) = done
    assert answer.rejection is None and answer.payload == member_raw()
    assert rig.authority.me.expires == LATER and rig.counters == {}
    # the same statement each time, with the time of its signature
    assert len({call[3] for call in rig.calls}) == 1
    assert {call[:3] for call in rig.calls} == {("a", coap.POST, "writ/propose")}
    assert rig.claims() == {6: signer.FOUNDED + 49, -65537: [16, ME, signer.scope(), 1]}
    rig.run(100)
    assert len(rig.calls) == 3 and len(done) == 1


def test_a_node_that_is_behind_asks_for_the_time_first():
    # governors refuse a statement that is two days old
    done = []
    beacon = signer.certify(signer.beacon_payload(1, Rig().authority.head, signer.FOUNDED + 200000))
    rig = Rig(a=[given(beacon), given(member_raw())])
    rig.now_ms += 4000 * 1000
    rig.delegate.renew(done.append)
    rig.run()
    assert [call[2] for call in rig.calls] == ["writ/beacon", "writ/propose"]
    assert rig.claims(1)[6] == signer.FOUNDED + 200000 and done[0].payload == member_raw()
    # if no peer has a beacon, it states its request anyway
    rig = Rig(a=[(coap.NOT_FOUND, b""), given(member_raw())], b=(coap.NOT_FOUND, b""))
    rig.now_ms += 4000 * 1000
    rig.delegate.renew(done.append)
    rig.run()
    assert done[1].payload == member_raw() and len(rig.calls) == 3


def test_fewer_roles_are_a_renewal():
    done = []
    rig = Rig(a=given(member_raw(roles=0)))
    rig.delegate.renew(done.append)
    rig.run()
    assert done[0].rejection is None and rig.authority.me.roles == 0


def test_certified_anew_as_it_was_after_a_succession():
    done = []
    again = by_new(member_raw(exp=SOON))
    rig = Rig(a=[given(again)])
    rig.take(succession_raw(2, rig.authority.head))
    rig.take(signer.certify(signer.beacon_payload(2, rig.authority.head, signer.FOUNDED + 9), NEW))
    rig.delegate.renew(done.append)
    rig.run()
    assert done[0].rejection is None and done[0].payload == again
    assert rig.authority.me.raw == again and rig.counters == {}
    # a capsule by the key in force must have a later expiry
    rig.delegate.renew(done.append, 5)
    rig.run(6)
    assert done[1].rejection is not None and rig.counters["WrongAnswer"] == 1


def test_a_renewal_that_arrived_otherwise_ends_the_operation():
    for newer in (member_raw(), member_raw(exp=LATER + 1)):
        done = []
        rig = Rig(a=given(member_raw()))
        rig.delegate.renew(done.append)
        rig.take(newer)
        rig.run()
        assert done[0].rejection is None and done[0].payload == newer


def test_after_a_timeout_the_next_peer_is_asked():
    done = []
    rig = Rig(a=None, b=given(member_raw()))
    rig.delegate.renew(done.append)
    rig.run(9)
    assert rig.addresses() == ["a"] and not done
    rig.run(1)
    assert rig.addresses() == ["a", "b"] and done[0].payload == member_raw()
    assert rig.counters == {"TimedOut": 1} and rig.calls[0][3] == rig.calls[1][3]
    # the next operation begins with the peer that answers
    rig.peers["b"] = given(member_raw(exp=LATER + 1))
    rig.delegate.renew(done.append)
    rig.run()
    assert rig.addresses() == ["a", "b", "b"] and len(done) == 2


def test_a_late_answer_counts():
    done = []
    rig = Rig(a=None, b=PENDING)
    rig.delegate.renew(done.append)
    rig.run(11)
    assert rig.addresses() == ["a", "b"]
    rig.answer(rig.silent[0], "a", given(member_raw()))
    rig.turn()
    assert done[0].payload == member_raw() and rig.authority.me.expires == LATER
    rig.run(100)
    assert rig.addresses() == ["a", "b"] and len(done) == 1
    # and an answer after the end of the operation changes nothing
    rig.peers["b"] = None
    rig.silent.clear()
    rig.delegate.renew(done.append, 15)
    rig.run(30)
    assert len(done) == 2 and len(rig.silent) == 2
    for on_answer in rig.silent:
        rig.answer(on_answer, "b", given(member_raw(exp=LATER + 9)))
    rig.turn()
    assert len(done) == 2 and rig.authority.me.expires == LATER


def test_all_peers_are_offline():
    done = []
    rig = Rig(a=None, b=None)
    rig.delegate.renew(done.append)
    rig.run(620)
    assert type(done[0].rejection) is TimedOut and done[0].code == 0 and len(done) == 1
    # a peer that has not answered yet is not asked again
    assert rig.addresses() == ["a", "b"]
    # a peer whose call has ended is asked again, more and more rarely
    rig = Rig(a=TimedOut(), b=PeerFailed())
    rig.delegate.renew(done.append)
    rig.run(620)
    assert 8 <= len(rig.calls) <= 14 and rig.counters["PeerFailed"] >= 4
    assert type(done[1].rejection) is TimedOut
    # and their strikes do not end a new operation
    rig.peers["a"] = given(member_raw())
    rig.delegate.renew(done.append)
    rig.run(10)
    assert done[2].payload == member_raw()


def test_no_hosts_at_all():
    done = []
    rig = Rig()
    rig.config = {}
    rig.delegate = type(rig.delegate)(rig, rig.kept)
    rig.delegate.renew(done.append, 5)
    rig.run(10)
    assert type(done[0].rejection) is TimedOut and rig.calls == []


def test_gateways_are_asked_where_no_governors_are_named():
    rig = Rig(g=given(member_raw()))
    rig.config = {"gateways": ["g"]}
    rig.delegate = type(rig.delegate)(rig, rig.kept)
    rig.delegate.renew()
    rig.run()
    assert rig.authority.me.expires == LATER


def test_refused_when_all_peers_refuse():
    done = []
    rig = Rig(a=refused(b"a"), b=None, c=refused(b"c"))
    rig.delegate.renew(done.append)
    rig.run(11)
    assert rig.addresses() == ["a", "b", "c"]
    assert (done[0].code, done[0].payload, done[0].rejection) == (coap.FORBIDDEN, b"c", None)
    assert rig.counters == {"TimedOut": 1}


def test_one_refusal_is_not_the_result():
    done = []
    rig = Rig(a=refused(), b=[PENDING, given(member_raw())])
    rig.delegate.renew(done.append)
    rig.run(3)
    assert rig.addresses() == ["a", "b", "b"] and done[0].payload == member_raw()


def test_a_pending_answer_is_repeated_until_the_quorum():
    done = []
    rig = Rig(a=[NO_QUORUM, NO_QUORUM, given(member_raw())], b=NO_QUORUM)
    rig.delegate.renew(done.append)
    rig.run(30)
    assert rig.addresses() == ["a", "b", "a", "b", "a"] and done[0].payload == member_raw()
    assert rig.counters == {}
    rig = Rig(a=NO_QUORUM)
    rig.delegate.renew(done.append, 60)
    rig.run(60)
    # the result has the text of the last answer
    assert type(done[1].rejection) is TimedOut and done[1].code == coap.UNAVAILABLE
    assert len(rig.calls) == 5


def test_after_four_pending_answers_the_next_peer_is_asked():
    done = []
    rig = Rig(a=PENDING, b=given(member_raw()))
    rig.delegate.renew(done.append)
    rig.run(40)
    assert rig.addresses() == ["a"] * 4 + ["b"] and done[0].payload == member_raw()


def test_not_a_host_peer():
    done = []
    rig = Rig(a=(coap.NOT_FOUND, b""), b=given(member_raw()))
    rig.delegate.renew(done.append)
    rig.run()
    assert done[0].payload == member_raw() and rig.counters == {"PeerFailed": 1}


def test_the_module_is_unloaded_and_loaded_again():
    # the next delegate and the previous one share the operations and the standings
    rig = Rig(a=None, b=[PENDING])
    kept = rig.kept
    first = Delegate(rig, kept)
    answers = []
    first.renew(answers.append)
    second = Delegate(rig, kept)
    rig.delegate = second
    rig.run(11)
    assert rig.addresses()[:2] == ["a", "b"] and "a" in kept[0] and len(kept[1]) == 1
    rig.silent[0](Answer(coap.CHANGED, member_raw(), capsule.Member(capsule.parse(member_raw()))))
    rig.turn()
    assert kept[1] == [] and answers[0].payload == member_raw()
    # a module that is loaded anew is the same one
    compat.unload("node.delegate")
    from writ.node.delegate import Delegate as Again

    third = Again(rig, kept)
    first.revoke_me("lost")
    assert len(kept[1]) == 1 and third._asking.standing is kept[0]


def test_one_operation_of_each_kind():
    done = []
    rig = Rig(a=None)
    rig.delegate.renew()
    rig.delegate.renew(done.append)
    assert type(done[0].rejection) is TableFull
    rig.delegate.revoke_me("lost")
    rig.delegate.fetch(bytes(32), None)
    rig.delegate.ask_action(bytes(8), coap.PUT, "sluice", b"open", None)
    rig.delegate.beacon(done.append)
    assert type(done[1].rejection) is TableFull
    rig.run()
    assert len(rig.calls) == 4


def test_an_exception_of_the_caller_is_counted():
    def fail(answer):
        raise ValueError

    rig = Rig(a=given(member_raw()))
    rig.delegate.renew(fail)
    rig.run(1)
    assert rig.counters == {"ValueError": 1}
    rig.delegate.beacon()
    assert len(rig.kept[1]) == 1


def test_admit():
    done = []
    private = crypto.sha256(b"new")
    x, odd = crypto.p256_public(private)
    request = member_request(private, "new")
    payload = signer.member_payload(x, "new", 9, 8, LATER, odd=odd)
    rig = Rig(a=[PENDING, given(signer.certify(payload))])
    rig.delegate.admit(request, b"seen", done.append)
    rig.run(2)
    assert rig.claims()[-65537] == [18, ME, signer.scope(), 1, request, b"seen"]
    member = rig.authority.peer_by(name="new")
    assert done[0].payload == member.raw and member.x == x
    # the request is checked before a statement is made
    for wrong in (b"", b"\x84", request[:-1], signer.charter(), b"\x84\x40\xa0\x41\xa0\x40"):
        raises(Rejection, rig.delegate.admit, wrong)
    raises(TooLarge, rig.delegate.admit, bytes(257))
    raises(UsageError, rig.delegate.admit, request, bytes(65))
    raises(UsageError, rig.delegate.revoke_me, "x" * 41)
    rig.run()
    assert len(rig.calls) == 2


def test_revoke_me():
    done = []
    rig = Rig()
    amendment = signer.certify(signer.amendment_payload(2, rig.authority.head, ME))
    rig.config["governors"] = ["a"]
    rig.delegate = type(rig.delegate)(rig, rig.kept)
    rig.peers["a"] = given(amendment)
    rig.delegate.revoke_me("opened", done.append)
    rig.run()
    assert rig.claims()[-65537] == [17, ME, signer.scope(), 1, "opened"]
    assert done[0].payload == amendment and rig.authority.policy.revoked == [ME]


def test_a_peer_that_has_applied_the_revocation_refuses():
    # the peer enforces the revocation already and refuses the revoked node
    done = []
    rig = Rig(a=[PENDING, refused(b"30 Revoked")])
    rig.delegate.revoke_me("lost", done.append)
    rig.run(3)
    assert (done[0].code, done[0].payload) == (coap.FORBIDDEN, b"30 Revoked")


def test_a_later_revocation_waits_for_the_missing_epochs():
    done = []
    rig = Rig(a=None)
    head = rig.authority.head
    first = signer.certify(signer.amendment_payload(2, head, bytes(8)))
    rig.delegate.revoke_me("lost", done.append)
    rig.run()
    after = Rig()
    after.take(first)
    second = signer.certify(signer.amendment_payload(3, after.authority.head, ME))
    rig.peers["a"] = given(second)
    rig.answer(rig.silent[0], "a", given(second))
    rig.run(1)
    # valid, but this node is behind: it pulls the missing epochs, as with any traffic
    assert not done and rig.counters == {}
    rig.take(first)
    rig.run(4)
    assert done[0].payload == second and ME in rig.authority.policy.revoked


def test_fetch():
    done = []
    raw = member_raw(b"x" * 32, "other", 7)
    digest = crypto.sha256(raw)
    rig = Rig(a=(coap.NOT_FOUND, b""), b=(coap.CONTENT, raw))
    rig.delegate.fetch(digest, done.append)
    rig.run()
    assert rig.calls[1][1:] == (coap.GET, "writ/capsule", b"", ("d=" + digest[:16].hex(),))
    assert done[0].payload == raw and done[0].rejection is None
    assert rig.authority.peer_by(name="other") and rig.counters == {}
    # the requested capsule, which this node refuses
    old = member_raw(exp=SOON - 1)
    rig.peers["a"] = (coap.CONTENT, old)
    rig.peers["b"] = (coap.NOT_FOUND, b"")
    rig.delegate.fetch(crypto.sha256(old)[:16], done.append)
    rig.run()
    assert done[1].payload == old and type(done[1].rejection) is RolledBack
    # no peer has it
    rig.delegate.fetch(bytes(16), done.append)
    rig.peers["a"] = (coap.NOT_FOUND, b"")
    rig.run()
    assert done[2].code == coap.NOT_FOUND and rig.counters == {}


def test_a_node_without_membership_makes_no_statement():
    rig = Rig(a=None)
    rig.authority.me = None
    raises(NotMember, rig.delegate.renew)
    raises(NotMember, rig.delegate.ask_action, bytes(8), 3, "t", b"", None)
    rig.run()
    assert rig.calls == []


def test_capsules_in_hand():
    # the capsules of the rig are what the tests assume
    assert capsule.Member(capsule.parse(member_raw())).node_id == ME
    assert capsule.Member(capsule.parse(member_raw())).x == KEY[0]
