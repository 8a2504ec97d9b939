"""Attacks and accidents found by review, each named after what went wrong."""

import signer
from node_hostile import capsule_post, remid, trace
from node_rig import (
    EXPIRES,
    GATEWAY,
    GUEST,
    SENSOR,
    amendment,
    code,
    field,
    head_of,
    make,
    member,
    node_id,
    policy,
    private,
    serve,
    start,
)

from writ import crypto
from writ.authority import capsule
from writ.wire import coap

RULES = ([1, 7, "*", 127],)


def close(net):
    """Drop all sessions of all nodes."""
    for node in net.nodes.values():
        for session in list(node.sessions):
            node.sessions.drop(session)
    net.now_ms += 60000


# --- the caller's side ----------------------------------------------------------------------------


def test_the_answer_of_a_revoked_member_counts_nothing_on_paths_that_only_look_like_our_own():
    law = policy(rules=RULES)
    net, _ = field()
    gw, soil = (make("gw", 1, GATEWAY, law), make("soil", 2, SENSOR, law))
    net.nodes.update(gw=gw, soil=soil)

    @soil.resource("writing/temp")
    def temp(request):
        return b"false"

    assert code(net.ask("gw", "soil", "writing/temp")) == "2.05"
    revoked = amendment(2, head_of(law), node_id("soil"))
    gw.authority.receive(revoked, net.now_ms)
    for path in ("writing/temp", "writ/status"):
        assert code(net.ask("gw", "soil", path)) == "Revoked", path
    # a capsule needs no trust in its bearer
    net, _ = field()
    net.ask("gw", "soil", "temp")
    gw = net.nodes["gw"]
    gw.authority.receive(amendment(2, head_of(policy()), node_id("soil")), net.now_ms)
    assert code(net.ask("gw", "soil", "writ/charter")) == "2.05"


def test_a_session_that_the_peer_never_got_is_not_kept_for_the_next_order():
    net, calls = field()
    net.change = lambda source, target, data: (
        [] if coap.decode(data).option(coap.EDHOC) is not None else [data]
    )
    assert code(net.ask("gw", "soil", "temp", ms=400000)) == "TimedOut"
    net.change = None
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"on")) == "2.04"
    assert len(calls) == 1


# --- renewed, demoted and replaced members --------------------------------------------------------


def renewed(name, number, roles):
    """The capsule that follows the one of `make`."""
    return member(name, number, roles, EXPIRES + 1000)


def test_a_renewed_member_is_reached_by_peers_with_its_old_capsule():
    for by in ("gw", "soil"):
        net, _ = field()
        gw, soil = net.nodes["gw"], net.nodes["soil"]
        serve(gw)
        net.ask("gw", "soil", "temp")
        close(net)
        # only its subject has it
        if by == "gw":
            gw.authority.receive(renewed("gw", 1, GATEWAY), net.now_ms)
        else:
            soil.authority.receive(renewed("soil", 2, SENSOR), net.now_ms)
        answer = net.ask("gw", "soil", "hello", wanted=node_id("soil"))
        assert code(answer) == "2.05", by


def test_a_member_with_its_old_capsule_gets_in_where_the_new_one_is_known():
    for by in ("gw", "soil"):
        for wanted in (None, node_id("soil")):
            net, _ = field()
            gw, soil = net.nodes["gw"], net.nodes["soil"]
            net.ask("gw", "soil", "temp")
            close(net)
            if by == "gw":
                soil.authority.receive(renewed("gw", 1, GATEWAY), net.now_ms)
            else:
                gw.authority.receive(renewed("soil", 2, SENSOR), net.now_ms)
            answer = net.ask("gw", "soil", "hello", wanted=wanted)
            assert code(answer) == "2.05", (by, wanted)


def test_an_old_capsule_brings_no_roles_back():
    net, _ = field()
    soil = net.nodes["soil"]
    soil.authority.receive(renewed("gw", 1, GUEST), net.now_ms)
    answer = net.ask("gw", "soil", "temp")
    assert answer.payload == b"40 NotAllowed"


def test_an_observer_that_lost_its_role_gets_no_notification():
    net, _ = field()
    soil = net.nodes["soil"]
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    soil.authority.receive(renewed("gw", 1, GUEST), net.now_ms)
    net.send("soil", soil.notify("temp", net.now_ms))
    net.run()
    assert answers[-1].payload == b"40 NotAllowed" and soil.server.observers.entries == []


def test_a_node_with_a_new_key_is_not_mistaken_for_its_revoked_predecessor():
    net, _ = field()
    gw = net.nodes["gw"]
    net.ask("gw", "soil", "temp")
    close(net)
    law = policy(2, policy(), revoked=(node_id("soil"),))
    gw.authority.receive(law, net.now_ms)
    fresh = make("soil", 2, SENSOR, law)
    x, odd = crypto.p256_public(private("soil, again"))
    raw = signer.certify(signer.member_payload(x, "soil", 2, SENSOR, odd=odd))
    fresh.store.save("member", raw)
    fresh.__init__(fresh.store, private("soil, again"), "soil", signer.scope())
    net.nodes["soil"] = fresh
    serve(fresh)
    assert code(net.ask("gw", "soil", "hello")) == "2.05"
    assert gw.authority.peer_by(name="soil").x == x
    assert gw.authority.peer_by(address=2).x == x
    close(net)
    # by kid, from either side
    assert code(net.ask("gw", "soil", "hello", wanted=capsule.node_id(x))) == "2.05"


# --- strangers ------------------------------------------------------------------------------------


def test_a_flood_of_forged_capsules_does_not_block_a_revocation():
    net, _ = field(guest=make("guest", 3, GUEST))
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    net.ask("gw", "soil", "temp")
    payload = capsule.parse(policy(2, policy())).payload
    number = 0

    def flood(count):
        nonlocal number
        for _ in range(count):
            number += 1
            raw = capsule.assemble(payload, crypto.sha512(number.to_bytes(2, "big")))
            net.inject(f"x{number}", "soil", capsule_post(raw, number))

    flood(100)
    # nor first contacts
    net.queue.clear()
    assert code(net.ask("guest", "soil", "hello")) == "2.05"
    flood(20)
    law = amendment(2, head_of(policy()), node_id("guest"))
    gw.authority.receive(law, net.now_ms)
    net.ask("gw", "soil", "temp")
    assert soil.authority.epoch == 2


def test_a_replayed_request_burns_no_numbers_after_a_restart():
    net, _ = field()
    soil = net.nodes["soil"]
    net.ask("gw", "soil", "temp")
    net.ask("gw", "soil", "temp")
    old = trace(net, "soil")[-1][1]
    net.nodes["soil"] = soil = start("soil", soil.store._flash)
    serve(soil)
    (session,) = soil.sessions
    before = session.context.sequence
    for mid in range(100):
        net.inject("gw", "soil", remid(old, mid))
    net.queue.clear()
    assert session.context.sequence == before + 1
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"on")) == "2.04"


def test_a_fork_by_amendments_is_refused_as_forked():
    net, _ = field()
    soil = net.nodes["soil"]
    one = amendment(2, head_of(policy()), node_id("one"))
    other = amendment(2, head_of(policy()), node_id("other"))
    again = capsule.parse(one)
    again = capsule.assemble(again.payload, bytes(64))
    codes = []
    for number, raw in enumerate((one, one, again, other)):
        (reply,) = net.inject("x", "soil", capsule_post(raw, number))
        codes.append(coap.code_text(coap.decode(reply[1]).code))
    # the same payload with another signature is the same amendment
    assert codes == ["2.04", "2.03", "2.03", "4.00"]
    assert soil.counters == {"Forked": 1}
