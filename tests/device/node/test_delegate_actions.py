"""A device asks for an action, hands it to its target and makes the request."""

import signer
from delegate_rig import ME, PENDING, SOON, Rig, given, member_raw
from harness import raises

from writ import crypto
from writ.authority import capsule
from writ.errors import BadShape, TimedOut, UsageError
from writ.node.call import Answer
from writ.wire import coap

TARGET = b"sluice-1"
NOW_S = signer.FOUNDED + 1


def action_raw(
    target=TARGET, method=coap.PUT, path="gate", payload=b"open", exp=NOW_S + 60, nonce=b"n" * 8
):
    """A certified action."""
    body = [target, method, path, crypto.sha256(payload), nonce]
    return signer.certify(capsule.build(capsule.ACTION, body, exp=exp))


def asked(rig, done):
    rig.delegate.ask_action(TARGET, coap.PUT, "gate", b"open", done)


def test_an_action_is_asked_for():
    done = []
    raw = action_raw()
    rig = Rig(a=[PENDING, given(raw)])
    before = rig.authority.me.raw
    asked(rig, done.append)
    rig.run(2)
    body = rig.claims()[-65537]
    # the payload itself: operators approve what they can read
    assert body[:8] == [19, ME, signer.scope(), 1, TARGET, coap.PUT, "gate", b"open"]
    assert len(body) == 9 and len(body[8]) == 8
    assert done[0].payload == raw and done[0].rejection is None and rig.counters == {}
    # it is for another node and is not applied here
    assert rig.authority.me.raw == before and rig.authority.peers == {}


def test_another_action_is_no_answer():
    truth = action_raw()
    for name, lie in (
        ("WrongAnswer", action_raw(target=ME)),
        ("WrongAnswer", action_raw(method=coap.POST)),
        ("WrongAnswer", action_raw(path="gate2")),
        ("WrongAnswer", action_raw(payload=b"shut")),
        ("WrongAnswer", action_raw(exp=NOW_S - 1)),
        ("BadSignature", signer.forge(truth)),
        ("BadSignature", signer.certify(capsule.parse(truth).payload, signer.OTHER_SEED)),
        ("BadShape", member_raw(b"x" * 32, "other", 7)),
    ):
        done = []
        rig = Rig("a", "b")
        rig.peers["a"] = given(lie)
        rig.peers["b"] = given(truth)
        asked(rig, done.append)
        rig.run()
        assert rig.counters == {name: 1}, (name, rig.counters)
        assert rig.addresses() == ["a", "b"] and done[0].payload == truth


def test_it_is_handed_over_and_used():
    done = []
    raw = action_raw()
    rig = Rig("a")
    for target in ("host:1", "sluice"):
        rig.calls.clear()
        rig.peers[target] = (coap.CHANGED, b"")
        rig.peers["at " + TARGET.hex()] = (coap.CHANGED, b"done")
        rig.delegate.act(target, coap.PUT, "gate", b"open", raw, done.append)
        rig.run(1)
        first, second = rig.calls
        assert first == (target, coap.POST, "writ", raw, ())
        assert second == ("at " + TARGET.hex(), coap.PUT, "gate", b"open", ())
        assert done.pop().payload == b"done"
    # with an address only the target may answer; with a name the name decides
    assert rig.wanted == [TARGET, TARGET, None, TARGET]
    assert rig.names == ["sluice"]


def test_an_action_that_is_refused_is_not_followed_by_the_request():
    done = []
    rig = Rig("a")
    for found in ((coap.FORBIDDEN, b"no"), BadShape()):
        rig.calls.clear()
        rig.peers["host:1"] = found
        rig.delegate.act("host:1", coap.PUT, "gate", b"open", action_raw(), done.append)
        rig.run(1)
        assert len(rig.calls) == 1
    assert [answer.code for answer in done] == [coap.FORBIDDEN, 0]
    assert isinstance(done[0], Answer)
    # and nothing is sent for bytes that are no action
    raises(BadShape, rig.delegate.act, "host:1", coap.PUT, "gate", b"", member_raw(exp=SOON))
    rig.run(1)
    assert len(rig.calls) == 1


def test_a_target_by_its_name():
    rig = Rig(a=PENDING)
    x = b"x" * 32
    wish = ("sluice", coap.PUT, "gate", b"open", None)
    raises(UsageError, rig.delegate.ask_action, *wish)
    rig.take(member_raw(x, "sluice", 9))
    rig.delegate.ask_action(*wish)
    rig.run()
    assert rig.claims()[-65537][4:7] == [capsule.node_id(x), coap.PUT, "gate"]


def test_the_same_command_at_the_same_time_is_another_action():
    # a restart sets the clock back to the newest beacon: the second run got ActionSpent
    statements = []
    for _ in range(2):
        rig = Rig(a=PENDING)
        asked(rig, None)
        rig.run()
        statements.append(rig.claims())
    assert statements[0][6] == statements[1][6] == signer.FOUNDED
    assert statements[0] != statements[1]


def test_a_payload_that_no_operator_would_read_is_not_asked_for():
    rig = Rig(a=PENDING)
    raises(UsageError, rig.delegate.ask_action, TARGET, coap.PUT, "gate", bytes(513), None)
    rig.delegate.ask_action(TARGET, coap.PUT, "x" * 48, bytes(512), None)
    rig.run()
    # `claims` checks the length of the statement
    assert rig.claims()[-65537][7] == bytes(512)


def test_an_action_is_awaited_for_as_long_as_it_counts():
    done = []
    rig = Rig(a=PENDING)
    asked(rig, done.append)
    rig.now_ms += 3590000
    rig.run(1)
    assert not done
    rig.now_ms += 20000
    rig.run(1)
    # "pending" was the last word: it was taken for a success, and b"" for the action
    assert isinstance(done[0].rejection, TimedOut) and not done[0].is_success()
