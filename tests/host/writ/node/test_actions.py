"""Rules marked quorum and fresh between whole nodes: one action allows one execution."""

import pytest
import signer
from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash
from node_rig import (
    GATEWAY,
    GUEST,
    SENSOR,
    Net,
    code,
    head_of,
    make,
    member,
    node_id,
    policy,
    serve,
    start,
)

from writ import crypto
from writ.authority import capsule
from writ.authority.policy import FRESH, QUORUM
from writ.limits import ACTIONS_SPENT_MAX
from writ.wire import coap

RULES = (
    [2, 4, "temp", 1],
    [2, 4, "temp", 2, QUORUM],
    [2, 4, "big", 2, QUORUM | FRESH],
    [2, 4, "hello", 1, FRESH],
    [8, 4, "big", 2],
    [2, 4, "nothing", 7, QUORUM],
)
LAW = policy(1, None, RULES)
EXP = signer.FOUNDED + 3600


def action(path="temp", payload=b"1", nonce=1, method=coap.POST, target="soil", exp=EXP, seed=None):
    """A certified action (bytes)."""
    body = [node_id(target), method, path, crypto.sha256(payload), nonce.to_bytes(8, "big")]
    payload = capsule.build(capsule.ACTION, body, exp=exp)
    return signer.certify(payload, seed or signer.GROUP_SEED)


def beacon(epoch, law, after_s):
    """A certified beacon (bytes)."""
    return signer.certify(signer.beacon_payload(epoch, head_of(law), signer.FOUNDED + after_s))


def sensor(flash=None):
    """A sensor under LAW, and the list of executed commands."""
    soil = make("soil", 2, SENSOR, LAW, flash=flash)
    return soil, serve(soil)


def field(**more):
    """(net, calls): a gateway, and a sensor that requires actions."""
    soil, calls = sensor()
    return Net(gw=make("gw", 1, GATEWAY, LAW), soil=soil, **more), calls


def hand(net, raw, source="gw"):
    """The sensor's answer to a capsule that is handed over."""
    answer = net.ask(source, "soil", "writ", coap.POST, raw)
    return code(answer), answer.payload


def post(net, path="temp", payload=b"1", source="gw"):
    answer = net.ask(source, "soil", path, coap.POST, payload)
    return code(answer), answer.payload


NEEDED = ("4.03", b"42 NeedsAction")


def test_an_action_is_needed_used_up_and_spent():
    net, calls = field()
    assert post(net) == NEEDED
    assert hand(net, action()) == ("2.04", b"")
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    for path, payload in (("temp", b"2"), ("temp", b""), ("nothing", b"1")):
        assert post(net, path, payload) == NEEDED
    assert [call[1] for call in calls] == [coap.GET]
    assert post(net) == ("2.04", b"21.5")
    assert post(net) == NEEDED and hand(net, action()) == ("4.03", b"37 ActionSpent")
    assert calls[1:] == [("temp", coap.POST, b"1")]


def test_refusals_have_names():
    net, calls = field()
    for raw, name in (
        (action(target="gw"), b"36 WrongTarget"),
        (action(exp=signer.FOUNDED), b"27 Expired"),
        (signer.forge(action()), b"29 BadSignature"),
        (signer.forge(action()), b"34 KnownBad"),
        (action(seed=signer.OTHER_SEED), b"29 BadSignature"),
    ):
        assert hand(net, raw)[1] == name
        net.run(4000)
        net.now_ms += 4000
    assert post(net) == NEEDED and not calls
    for nonce in range(ACTIONS_SPENT_MAX):
        assert hand(net, action(nonce=nonce))[0] == "2.04"
        assert post(net) == ("2.04", b"21.5")
        net.now_ms += 4000
    hand(net, action(nonce=99))
    assert post(net) == ("5.03", b"83 TableFull") and len(calls) == ACTIONS_SPENT_MAX


def test_a_rule_that_needs_none_uses_up_none():
    net, calls = field(guest=make("guest", 3, GUEST, LAW))
    hand(net, action("big", b"x" * 700))
    assert post(net, "big", b"x" * 700, "guest")[0] == "2.04"
    assert post(net, "big", b"x" * 700, "guest")[0] == "2.04"
    assert net.nodes["soil"].authority.actions.find(coap.POST, "big", 0) and len(calls) == 2


def test_an_upload_in_blocks_is_the_payload_of_the_action():
    net, calls = field()
    net.nodes["soil"].authority.receive(beacon(1, LAW, 60), net.now_ms)
    body = bytes(range(250)) * 4
    assert post(net, "big", body) == NEEDED
    # not even the first block is kept where no action waits
    assert not calls
    hand(net, action("big", body))
    # another payload with the same beginning is detected at its end
    assert post(net, "big", body[:-1] + b"!") == NEEDED and not calls
    assert post(net, "big", body) == ("2.04", b"taken")
    assert calls == [("big", coap.POST, body)]
    assert post(net, "big", body) == NEEDED and len(calls) == 1


def test_quorum_and_fresh_require_both():
    net, calls = field()
    assert post(net, "big", b"1") == ("4.03", b"41 NotFresh")
    hand(net, action("big", b"1"))
    assert post(net, "big", b"1") == ("4.03", b"41 NotFresh")
    soil = net.nodes["soil"]
    soil.authority.receive(beacon(1, LAW, 60), net.now_ms)
    assert post(net, "big", b"1") == ("2.04", b"taken")
    assert post(net, "big", b"1") == NEEDED and len(calls) == 1


def test_a_fresh_rule_does_not_hide_a_quorum_rule():
    law = policy(1, None, ([2, 4, "temp", 2, QUORUM], [2, 4, "*", 2, FRESH]))
    soil = make("soil", 2, SENSOR, law)
    calls = serve(soil)
    net = Net(gw=make("gw", 1, GATEWAY, law), soil=soil)
    assert post(net) == ("4.03", b"41 NotFresh")
    hand(net, action())
    assert post(net) == ("2.04", b"21.5") and len(calls) == 1


def test_an_action_allows_one_request_and_no_observation():
    net, _ = field()
    soil = net.nodes["soil"]
    soil.resource("nothing")(lambda request: b"%d" % request.has_action)
    hand(net, action("nothing", b"", method=coap.GET))
    hand(net, action("nothing", b"", 2, method=coap.GET))
    answers = net.call("gw", "soil", "nothing", observe=True)
    net.run()
    assert answers[0].payload == b"1"
    net.send("soil", soil.notify("nothing", net.now_ms))
    net.run()
    # a notification does not take the action that waits
    assert answers[1].payload == NEEDED[1]
    assert soil.authority.actions.find(coap.GET, "nothing", 0)


def test_a_repeated_datagram_does_nothing_twice():
    net, calls = field()
    net.ask("gw", "soil", "temp")
    hand(net, action())
    hand(net, action(nonce=2))
    net.change = lambda source, target, data: [data, data, data]
    assert post(net) == ("2.04", b"21.5")
    assert [call for call in calls if call[1] == coap.POST] == [("temp", coap.POST, b"1")]


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_policy_in_force_decides_about_a_waiting_action(order):
    net, calls = field()
    if order == "after":
        hand(net, action())
    law = policy(2, LAW, [[2, 4, "temp", 1]])
    net.nodes["soil"].authority.receive(law, net.now_ms)
    if order == "before":
        hand(net, action())
    assert post(net) == ("4.03", b"40 NotAllowed") and not calls


def test_at_most_once_wherever_power_fails():
    """The power fails in each write of the hand-over and the execution, at some of its bytes."""
    number = 0
    for at in range(4):
        for byte in (0, 5, 30, None):
            number += 1
            soil, calls = sensor()
            torn = TornFlash(dict(soil.store._flash.files), at, byte, TAILS[number % 4])
            soil = start("soil", torn)
            calls = serve(soil)
            net = Net(gw=make("gw", 1, GATEWAY, LAW), soil=soil)
            done = 0
            for _ in range(3):
                try:
                    net.call("gw", "soil", "writ", coap.POST, action())
                    net.run()
                    net.call("gw", "soil", "temp", coap.POST, b"1")
                    net.run(300000)
                except PowerCut:
                    pass
                done += len([call for call in calls if call[1] == coap.POST])
                net.queue.clear()
                net.nodes["soil"] = start("soil", MemoryFlash(torn.files))
                calls = serve(net.nodes["soil"])
                net.run(300000)
            assert done <= 1, (at, byte)
            # write 3 is the second slot of the record: the action is spent
            assert done == 1 or byte is None or at == 3, (at, byte)
    assert number == 16


# --- fresh ----------------------------------------------------------------------------------------


def fresh(net):
    return code(net.ask("gw", "soil", "hello", ms=40000))


def test_fresh_end_to_end():
    net, _ = field()
    soil = net.nodes["soil"]
    assert fresh(net) == "4.03"
    assert hand(net, beacon(1, LAW, 60)) == ("2.04", b"")
    assert fresh(net) == "2.05"
    # the charter says 3600 s
    net.now_ms += 3500000
    assert fresh(net) == "2.05"
    net.now_ms += 100000
    assert fresh(net) == "4.03" and soil.counters["NotFresh"] == 2
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    hand(net, beacon(1, LAW, 4000))
    assert fresh(net) == "2.05"


def test_fresh_over_a_restart():
    flash = MemoryFlash()
    soil, _ = sensor(flash)
    net = Net(gw=make("gw", 1, GATEWAY, LAW), soil=soil)
    hand(net, beacon(1, LAW, 60))
    assert fresh(net) == "2.05"
    # it cannot know how long it was off: the beacon on flash is not fresh
    net.nodes["soil"] = start("soil", flash)
    serve(net.nodes["soil"])
    assert fresh(net) == "4.03"
    assert hand(net, beacon(1, LAW, 60))[0] == "2.03"
    assert fresh(net) == "4.03"
    assert hand(net, beacon(1, LAW, 59))[1] == b"23 RolledBack"
    assert hand(net, beacon(1, LAW, 61)) == ("2.04", b"")
    assert fresh(net) == "2.05"


# --- succession in an open session ----------------------------------------------------------------


def test_after_a_succession_an_open_session_carries_capsules_only():
    net, _ = field()
    soil, gateway = net.nodes["soil"], net.nodes["gw"]
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    body = [2, soil.authority.head, bytes(32), signer.public_key(signer.OTHER_SEED)]
    payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED)
    soil.authority.receive(signer.certify(payload), net.now_ms)
    # the gateway does not know of it yet; the answer has the epoch, and it pulls in the session
    answer = net.ask("gw", "soil", "temp", ms=60000)
    assert (code(answer), answer.payload) == ("4.01", b"43 NotMember")
    for node in (soil, gateway):
        assert node.authority.epoch == 2
        assert node.authority.group_key == signer.public_key(signer.OTHER_SEED)
    assert len(gateway.sessions) == len(soil.sessions) == 1
    # the capsules by the new key come through it, and then all requests work again
    for name, number, roles in (("gw", 1, GATEWAY), ("soil", 2, SENSOR)):
        old = capsule.parse(member(name, number, roles, signer.EXPIRES + 1)).payload
        raw = signer.certify(old, signer.OTHER_SEED)
        gateway.authority.receive(raw, net.now_ms)
        assert code(net.ask("gw", "soil", "writ", coap.POST, raw)) == "2.04"
    for restart in (False, True):
        if restart:
            net.nodes["soil"] = start("soil", soil.store._flash)
            serve(net.nodes["soil"])
        assert code(net.ask("gw", "soil", "temp", ms=60000)) == "2.05"
