"""How a new epoch travels between nodes, and the limits of a peer that lies about it."""

import signer
from node_rig import (
    GATEWAY,
    RULES,
    SENSOR,
    Net,
    amendment,
    code,
    field,
    head_of,
    make,
    node_id,
    policy,
    serve,
)

from writ import cbor
from writ.authority import capsule
from writ.authority.amendment import amend
from writ.authority.policy import Policy
from writ.node import sync
from writ.wire import coap

LAW_2 = policy(2, policy(), RULES[1:])
HOUR_MS = 3600000


def requests_for(net, path):
    """Counts what `Request`s a node serves below "writ": {path: count} by wrapping `Sync.serve`."""
    counts = {}
    for node in net.nodes.values():
        inner = node.sync.serve

        def serve_counted(request, now_ms, inner=inner):
            counts[request.path] = counts.get(request.path, 0) + 1
            return inner(request, now_ms)

        node.sync.serve = serve_counted
    return counts


def amended(law, *ops):
    """(amendment, head after it) on top of a raw policy or of a `Policy`."""
    if isinstance(law, bytes):
        law = Policy(capsule.parse(law).claims)
    raw = amendment(law.epoch + 1, law.head(), *ops)
    after = amend(law, capsule.parse(raw).body)
    return raw, after


def test_requests_and_answers_carry_the_epoch_in_an_option():
    for ahead, behind in (("gw", "soil"), ("soil", "gw")):
        net, _ = field()
        net.ask("gw", "soil", "hello")
        net.nodes[ahead].authority.receive(LAW_2, net.now_ms)
        net.ask("gw", "soil", "hello")
        assert net.nodes[behind].authority.epoch == 2


def test_both_ead_fields_carry_the_epoch():
    for ahead, behind in (("gw", "soil"), ("soil", "gw")):
        net, _ = field()
        net.nodes[ahead].authority.receive(LAW_2, net.now_ms)
        net.ask("gw", "soil", "hello")
        assert net.nodes[behind].authority.epoch == 2


def test_a_node_one_epoch_behind_pulls_the_amendment():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    raw, after = amended(policy(), node_id("other"))
    gw.authority.receive(raw, 0)
    net.ask("gw", "soil", "hello")
    assert soil.authority.head == after.head()
    # the amendment itself came: soil can hand it on
    assert soil.authority.capsule_for(1) == raw


def test_a_node_far_behind_pulls_the_whole_policy():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    law = LAW_2
    for epoch in range(3, 9):
        law = policy(epoch, law, RULES[1:])
    gw.authority.receive(law, 0)
    counts = requests_for(net, "writ/policy")
    net.ask("gw", "soil", "hello")
    assert soil.authority.epoch == 8
    assert counts["writ/policy"] == 1


def test_whole_policy_and_the_amendments_after_it_follow_one_another():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    law = policy(5, LAW_2)
    gw.authority.receive(law, 0)
    raw, after = amended(law, node_id("other"))
    gw.authority.receive(raw, 0)
    raw, after = amended(after, node_id("more"))
    gw.authority.receive(raw, 0)
    net.ask("gw", "soil", "hello")
    assert (soil.authority.epoch, soil.authority.head) == (7, after.head())


def test_an_amendment_that_does_not_fit_is_replaced_by_the_whole_policy():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    # a peer that hands out an amendment on another epoch 1 than ours, and then the whole policy
    strange = amendment(2, b"foreig", node_id("other"))
    law = policy(3, LAW_2)
    gw.authority.receive(law, 0)
    gw.authority.capsule_for = lambda epoch: strange if epoch else law
    net.ask("gw", "soil", "hello")
    assert soil.authority.epoch == 3
    assert soil.counters == {"WrongPrevious": 1}


def lie(node, epoch, answer):
    """Make a node claim an epoch and answer requests for it with `answer` or not at all."""
    node.authority.epoch = epoch
    node.authority.capsule_for = lambda asked: answer


def test_a_peer_that_claims_a_false_epoch_is_rarely_asked():
    old = policy()
    member = signer.certify(signer.member_payload(b"m" * 32, "m", 77))
    forged = signer.forge(policy(9, LAW_2))
    garbage = b"\xff" * 200
    for answer in (None, garbage, old, forged, member, policy(1, LAW_2)):
        net, _ = field()
        gw, soil = net.nodes["gw"], net.nodes["soil"]
        net.ask("gw", "soil", "hello")
        before = dict(soil.store._flash.files)
        lie(gw, 0xFFFFFFFF, answer)
        counts = requests_for(net, "writ/policy")
        start_ms = net.now_ms
        for _ in range(40):
            assert code(net.ask("gw", "soil", "hello")) == "2.05"
        assert soil.authority.epoch == 1 and soil.authority.head == head_of(policy())
        assert counts["writ/policy"] <= 2 + (net.now_ms - start_ms) // 15000, answer
        after = dict(soil.store._flash.files)
        assert {name: after[name] for name in before if name[0] != "s"} == {
            name: before[name] for name in before if name[0] != "s"
        }


def test_the_record_of_peers_that_claim_epochs_is_bounded(monkeypatch):
    monkeypatch.setattr(sync, "CLAIMANTS_MAX", 2)
    soil = make("soil", 2, SENSOR)
    serve(soil)
    liars = {f"liar{number}": make(f"liar{number}", number, GATEWAY) for number in range(3, 8)}
    net = Net(soil=soil, **liars)
    counts = requests_for(net, "writ/policy")
    for name, liar in liars.items():
        lie(liar, 1000, None)
        net.ask(name, "soil", "hello")
        net.run(5000)
        assert len(soil.sync._next_pull_ms) <= 2
    # each was asked: a full record stops no pull
    assert counts["writ/policy"] == len(liars)


def test_a_new_handshake_does_not_reset_the_pull_limit():
    net, _ = field()
    gw = net.nodes["gw"]
    lie(gw, 1000, None)
    counts = requests_for(net, "writ/policy")
    start_ms = net.now_ms
    for _ in range(5):
        for session in list(gw.sessions):
            gw.sessions.drop(session)
        net.ask("gw", "soil", "hello")
    assert net.now_ms - start_ms < 15000
    assert counts["writ/policy"] == 1


def test_a_slow_liar_does_not_block_pulls_from_others():
    soil = make("soil", 2, SENSOR)
    serve(soil)
    net = Net(gw=make("gw", 1, GATEWAY), soil=soil, liar=make("liar", 3, GATEWAY))
    lie(net.nodes["liar"], 1000, None)
    # it acknowledges the request and never answers
    inner = net.nodes["liar"].sync.serve

    def stall(source, target, data):
        message = coap.decode(data)
        if source == "liar" and message.type == coap.ACK and message.code >> 5 == 2 and stalls[0]:
            return [coap.Message(coap.ACK, coap.EMPTY, message.mid).encode()]
        return [data]

    stalls = [0]
    assert inner
    net.ask("liar", "soil", "hello", ms=100)
    net.change = stall
    net.now_ms += 20000
    stalls[0] = 1
    net.call("liar", "soil", "hello")
    net.run(6000)
    net.nodes["gw"].authority.receive(LAW_2, net.now_ms)
    for _ in range(2):
        net.call("liar", "soil", "hello")
        net.call("gw", "soil", "hello")
        net.run(8000)
    assert soil.authority.epoch == 2


def test_only_one_of_several_peers_with_the_same_epoch_is_asked():
    soil = make("soil", 2, SENSOR)
    serve(soil)
    net = Net(soil=soil)
    for i in range(4):
        name = f"gw{i}"
        net.nodes[name] = make(name, 10 + i, GATEWAY)
        net.ask(name, "soil", "hello")
        net.nodes[name].authority.receive(LAW_2, 0)
    counts = requests_for(net, "writ/policy")
    for i in range(4):
        net.call(f"gw{i}", "soil", "hello")
    net.run()
    assert soil.authority.epoch == 2
    assert counts["writ/policy"] == 1


def test_the_next_pull_begins_after_the_last_one_failed():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    net.ask("gw", "soil", "hello")
    gw.authority.receive(LAW_2, net.now_ms)
    lost = [1]
    net.change = lambda source, target, data: [] if lost[0] and source == "soil" else [data]
    answers = net.call("gw", "soil", "hello")
    net.run(400000)
    assert code(answers[0]) == "TimedOut"
    lost[0] = 0
    net.ask("gw", "soil", "hello", ms=1000)
    assert soil.authority.epoch == 2


def test_an_absurd_epoch_is_ignored():
    net, _ = field()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    net.ask("gw", "soil", "hello")
    lie(gw, 1 << 2000, None)
    counts = requests_for(net, "writ/policy")
    net.ask("gw", "soil", "hello")
    assert "writ/policy" not in counts
    assert soil.server.status(net.now_ms)["epoch"] == 1


def test_the_status_of_a_node_says_how_old_its_policy_and_its_beacon_are():
    net, _ = field()
    soil = net.nodes["soil"]
    law = policy(2, policy(), [*RULES, [2, 4, "writ/status", 1]])
    soil.authority.receive(law, 0)
    status = cbor.decode(net.ask("gw", "soil", "writ/status").payload)
    assert status["epoch"] == 2 and status["policy"] == signer.FOUNDED
    assert status["beacon"] is None and status["beacon_age_s"] is None
