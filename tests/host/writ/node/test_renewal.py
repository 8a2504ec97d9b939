"""Renewed nodes and their peers: sessions that began with the old capsules go on working."""

import itertools

import pytest
import signer
from fakeflash import MemoryFlash
from node_rig import (
    EXPIRES,
    GATEWAY,
    GUEST,
    SENSOR,
    Net,
    code,
    make,
    member,
    node_id,
    policy,
    serve,
    start,
)

from writ.errors import RateLimited, StoreFailed
from writ.limits import PAUSE_MS, PAUSE_MS_MAX
from writ.wire import coap

# The first membership of both nodes ends 600 s after the founding; the clocks pass it
SOON = signer.FOUNDED + 600
LATER_MS = 700000


def field(gw_exp=SOON, soil_exp=SOON, gw_roles=GATEWAY):
    """(net, calls): a gateway and a sensor with an open session."""
    soil = make("soil", 2, SENSOR, exp=soil_exp)
    calls = serve(soil)
    net = Net(gw=make("gw", 1, gw_roles, exp=gw_exp), soil=soil)
    net.ask("gw", "soil", "hello")
    return net, calls


def pass_the_end(net):
    """Let the clocks pass the end of the first membership."""
    net.run(LATER_MS)
    assert net.nodes["gw"].authority.now_s(net.now_ms) > SOON


def renew(net, name, number, roles, exp=EXPIRES):
    """Give a node its next capsule, as governors do."""
    net.nodes[name].authority.receive(member(name, number, roles, exp), net.now_ms)


def handshakes(net):
    """How often message_1 was sent so far."""
    found = [coap.decode(data) for _, _, data in net.log]
    begun = [one for one in found if one.payload[:1] == b"\xf5"]
    return len([one for one in begun if one.option(coap.OSCORE) is None])


def test_a_renewed_client_is_served_after_its_first_capsule_has_ended() -> None:
    net, calls = field(soil_exp=EXPIRES)
    renew(net, "gw", 1, GATEWAY)
    pass_the_end(net)
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"1")) == "2.04"
    # in the same session, and carried out once
    assert handshakes(net) == 1
    assert [call[2] for call in calls if call[1] == coap.POST] == [b"1"]
    assert net.nodes["soil"].counters == {"Expired": 1}
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    assert net.nodes["soil"].counters == {"Expired": 1}


def test_a_renewed_server_is_called_after_its_first_capsule_has_ended() -> None:
    net, _ = field(gw_exp=EXPIRES)
    renew(net, "soil", 2, SENSOR)
    pass_the_end(net)
    assert code(net.ask("gw", "soil", "temp", wanted=node_id("soil"))) == "2.05"
    # one handshake, by value at once
    assert handshakes(net) == 2
    assert net.nodes["gw"].authority.peer(node_id("soil")).expires == EXPIRES


def test_both_ends_of_a_session_are_renewed() -> None:
    for restarts in (False, True):
        net, _ = field()
        renew(net, "gw", 1, GATEWAY)
        renew(net, "soil", 2, SENSOR)
        pass_the_end(net)
        if restarts:
            # sessions come back from flash with the old capsules in them
            for name in ("gw", "soil"):
                files = net.nodes[name].store._flash.files
                net.nodes[name] = start(name, MemoryFlash(files))
                net.nodes[name].authority.now_s(net.now_ms - LATER_MS)
            serve(net.nodes["soil"])
        assert code(net.ask("gw", "soil", "temp", ms=300000)) == "2.05"
        assert code(net.ask("soil", "gw", "writ/beacon", ms=300000)) == "4.04"


def test_an_observation_outlives_the_first_capsules() -> None:
    for gw_exp, soil_exp in ((SOON, EXPIRES), (EXPIRES, SOON), (SOON, SOON)):
        net, _ = field(gw_exp, soil_exp)
        answers = net.call("gw", "soil", "hello", observe=True)
        net.run()
        if gw_exp == SOON:
            renew(net, "gw", 1, GATEWAY)
        if soil_exp == SOON:
            renew(net, "soil", 2, SENSOR)
        pass_the_end(net)
        for _ in range(2):
            net.send("soil", net.nodes["soil"].notify("hello", net.now_ms))
            net.run(1000)
        assert {code(answer) for answer in answers} == {"2.05"}
        assert len(answers) >= 3 and answers[-1].observe is not None


def test_new_roles_reach_a_peer_over_an_open_session() -> None:
    net, _ = field(EXPIRES, EXPIRES, gw_roles=GUEST)
    assert code(net.ask("gw", "soil", "temp")) == "4.03"
    renew(net, "gw", 1, GATEWAY, EXPIRES + 1)
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    assert handshakes(net) == 1


def restart(net, name):
    """Start a node anew on its flash: it does not know which of its capsules its peers have."""
    net.nodes[name] = start(name, MemoryFlash(net.nodes[name].store._flash.files))


def handed_over(net):
    """Whether a datagram was as long as a capsule."""
    return any(len(data) > len(member("gw", 1, GUEST)) for _, _, data in net.log)


def test_a_refusal_that_the_own_policy_confirms_costs_one_exchange() -> None:
    net, _ = field(EXPIRES, EXPIRES, gw_roles=GUEST)
    # the newest capsule changes nothing: the rules give these roles no such right at any node
    renew(net, "gw", 1, GUEST, EXPIRES + 1)
    for restarts in (False, True):
        if restarts:
            restart(net, "gw")
            net.ask("gw", "soil", "hello")
        del net.log[:]
        answer = net.ask("gw", "soil", "temp")
        assert code(answer) == "4.03" and answer.payload == b"40 NotAllowed"
        assert len(net.log) == 2


def test_a_refusal_by_a_peer_with_new_roles_is_answered_with_the_capsule() -> None:
    # by the roles that this node knows of the peer no rule fits; the peer may have new ones, too
    net, _ = field(EXPIRES, EXPIRES, gw_roles=GUEST)
    renew(net, "gw", 1, GATEWAY, EXPIRES + 1)
    net.nodes["gw"].sessions.by_peer(node_id("soil")).peer.roles = GUEST
    assert code(net.ask("gw", "soil", "temp")) == "2.05"


def test_a_refusal_by_another_policy_is_answered_with_the_capsule_once() -> None:
    net, _ = field(EXPIRES, EXPIRES, gw_roles=GUEST)
    # the new role gets its right by a policy that this node does not have yet
    rules = [[SENSOR, SENSOR, "temp", 1], [1, 1, "hello", 1]]
    net.nodes["soil"].authority.receive(policy(2, policy(), rules), net.now_ms)
    renew(net, "gw", 1, SENSOR, EXPIRES + 1)
    assert code(net.ask("gw", "soil", "temp")) == "2.05"


def test_a_refusal_of_a_path_without_rules_is_answered_with_the_capsule_once() -> None:
    net, _ = field(EXPIRES, EXPIRES, gw_roles=GUEST)
    renew(net, "gw", 1, GUEST, EXPIRES + 1)
    del net.log[:]
    # nodes judge paths of `writ` by more than the rules
    assert code(net.ask("gw", "soil", "writ/status")) == "4.03"
    assert handed_over(net)
    # a hand-over counts, and the next refusal costs one exchange
    del net.log[:]
    assert code(net.ask("gw", "soil", "writ/status")) == "4.03"
    assert len(net.log) == 2


def test_an_expired_member_may_hand_over_its_capsule_and_no_more() -> None:
    net, _ = field(soil_exp=EXPIRES)
    pass_the_end(net)
    assert code(net.ask("gw", "soil", "writ", coap.POST, member("gw", 1, GATEWAY))) == "2.04"
    net, _ = field(soil_exp=EXPIRES)
    pass_the_end(net)
    for path in ("temp", "writ/beacon", "writ/policy", "writ/member", ".well-known/core"):
        answer = net.ask("gw", "soil", path)
        assert answer.payload.startswith(b"27 Expired "), path


def test_an_expired_peer_that_was_not_renewed_ends_the_call() -> None:
    net, _ = field(gw_exp=EXPIRES)
    pass_the_end(net)
    assert code(net.ask("gw", "soil", "temp", wanted=node_id("soil"))) == "Expired"


def test_the_first_contact_with_a_renewed_peer_is_by_value() -> None:
    # the session is gone, and the cached capsule has ended
    net, _ = field(gw_exp=EXPIRES)
    renew(net, "soil", 2, SENSOR)
    pass_the_end(net)
    for session in list(net.nodes["gw"].sessions):
        net.nodes["gw"].sessions.drop(session)
    assert code(net.ask("gw", "soil", "temp", wanted=node_id("soil"))) == "2.05"


# --- a hand-over that fails -----------------------------------------------------------------------


def hinder(net, monkeypatch, how):
    """Let the next hand-over of a capsule to the sensor fail; a function that ends this."""
    authority = net.nodes["soil"].authority
    if how == "loss":
        sent = []

        def lose(source, target, data):
            # the refused request arrives; what follows does not
            sent.append(data)
            return [] if len(sent) > 2 else [data]

        net.change = lose
        return lambda: setattr(net, "change", None)
    receive = authority.receive

    def refuse(raw, *arguments):
        raise {"limit": RateLimited, "flash": StoreFailed}[how]()

    monkeypatch.setattr(authority, "receive", refuse)
    return lambda: monkeypatch.setattr(authority, "receive", receive)


@pytest.mark.parametrize("how", ["limit", "flash", "loss"])
def test_a_hand_over_that_failed_is_repeated_in_the_session(monkeypatch, how) -> None:
    net, calls = field(soil_exp=EXPIRES)
    renew(net, "gw", 1, GATEWAY)
    pass_the_end(net)
    relieve = hinder(net, monkeypatch, how)
    answer = net.ask("gw", "soil", "temp", coap.POST, b"1", ms=400000)
    assert code(answer) == ("TimedOut" if how == "loss" else "4.03")
    assert [call for call in calls if call[1] == coap.POST] == []
    relieve()
    net.now_ms += PAUSE_MS
    assert code(net.ask("gw", "soil", "temp", coap.POST, b"2")) == "2.04"
    # in the same session, and carried out once
    assert handshakes(net) == 1
    assert [call[2] for call in calls if call[1] == coap.POST] == [b"2"]
    # it is shown now
    net.log.clear()
    assert code(net.ask("gw", "soil", "temp")) == "2.05" and len(net.log) == 2


def test_a_hand_over_refused_for_the_rate_limit_of_the_peer_is_repeated() -> None:
    net, _ = field(soil_exp=EXPIRES)
    renew(net, "gw", 1, GATEWAY)
    pass_the_end(net)
    limiter = net.nodes["soil"].authority._member_limiter
    while limiter.take(node_id("gw"), net.now_ms):
        pass
    assert net.ask("gw", "soil", "temp").payload.startswith(b"27 Expired ")
    assert net.nodes["soil"].counters["RateLimited"] == 1
    net.now_ms += PAUSE_MS
    assert code(net.ask("gw", "soil", "temp")) == "2.05"


def test_hand_overs_that_fail_become_rare(monkeypatch) -> None:
    net, _ = field(soil_exp=EXPIRES)
    renew(net, "gw", 1, GATEWAY)
    pass_the_end(net)
    hinder(net, monkeypatch, "limit")
    times = []
    start_ms = net.now_ms
    while net.now_ms < start_ms + 10 * PAUSE_MS_MAX:
        before = net.nodes["soil"].counters.get("RateLimited", 0)
        assert code(net.ask("gw", "soil", "temp")) == "4.03"
        if net.nodes["soil"].counters.get("RateLimited", 0) > before:
            times.append(net.now_ms)
        net.now_ms += 500
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[0] < 2 * PAUSE_MS and pauses == sorted(pauses)
    assert PAUSE_MS_MAX <= pauses[-1] < PAUSE_MS_MAX + 1000 and len(times) < 17


def test_a_node_that_is_renewed_during_a_handshake_shows_its_new_capsule() -> None:
    # the peer has got the old one in message_2
    net = Net(gw=make("gw", 1, GATEWAY), soil=make("soil", 2, SENSOR, exp=SOON))
    serve(net.nodes["soil"])
    serve(net.nodes["gw"])
    net.call("gw", "soil", "hello")
    while not net.nodes["soil"].handshaker.pending:
        source, target, data = net.queue.pop(0)
        net.inject(source, target, data)
    renew(net, "soil", 2, SENSOR)
    net.run()
    pass_the_end(net)
    assert code(net.ask("soil", "gw", "hello")) == "2.05"
