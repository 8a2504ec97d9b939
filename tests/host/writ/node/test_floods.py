"""Floods: expensive operations have rate limits, and tables have sizes."""

import pytest
from node_hostile import FIRST_MESSAGES, Work, capsule_post, message_1, only_rejections, remid
from node_rig import GATEWAY, SENSOR, code, datagram, field, make, policy, serve

from writ import crypto
from writ.authority import capsule
from writ.errors import EchoRequired, RateLimited
from writ.limits import (
    DEDUP_MAX,
    ECHO_LIFETIME_MS,
    HANDSHAKE_BURST,
    HANDSHAKE_REFILL_MS,
    HANDSHAKES_MAX,
    OBSERVERS_MAX,
    REQUESTS_MAX,
    SESSIONS_MAX,
    SIGNATURE_BURST,
    TRANSFERS_MAX,
)
from writ.wire import coap
from writ.wire.blockwise import block_encode

# --- floods ---------------------------------------------------------------------------------------


def test_a_flood_of_first_messages_is_rate_limited():
    for addresses in (1, 60):
        net, _ = field()
        soil = net.nodes["soil"]
        start_ms = net.now_ms
        with Work() as work:
            for number, data in enumerate(FIRST_MESSAGES):
                net.now_ms += 100
                net.inject(f"x{number % addresses}", "soil", data)
            spent_ms = net.now_ms - start_ms
            allowed = HANDSHAKE_BURST + spent_ms // HANDSHAKE_REFILL_MS
            assert work.generate <= allowed and work.ecdh <= 2 * allowed
        assert soil.counters["EchoRequired"] > 40
        # strangers that cannot receive at their address get the free handshakes only
        assert work.generate <= 2 + spent_ms // HANDSHAKE_REFILL_MS


def test_a_flood_with_echo_is_rate_limited_and_an_honest_peer_gets_through():
    net, _ = field()
    soil = net.nodes["soil"]
    echo = None
    honest = None
    start_ms = net.now_ms
    with Work() as work:
        for number in range(400):
            net.now_ms += 100
            data = FIRST_MESSAGES[number % 60] if echo is None else message_1(number, echo)
            for _, reply in net.inject("x", "soil", remid(data, number)):
                echo = coap.decode(reply).option(coap.ECHO) or echo
            net.queue.clear()
            if number % 40 == 39 and honest is None:
                answers = net.call("gw", "soil", "temp")
                net.run()
                if answers and code(answers[0]) == "2.05":
                    honest = net.now_ms
        spent_ms = net.now_ms - start_ms
    assert soil.counters["RateLimited"] > 100
    assert honest is not None and honest - start_ms < 20000
    # both sides of the honest handshakes are in it
    assert work.ecdh <= 6 * (HANDSHAKE_BURST + spent_ms // HANDSHAKE_REFILL_MS)


def test_half_open_handshakes_do_not_shut_others_out():
    net, _ = field()
    for number in range(HANDSHAKES_MAX):
        net.inject(f"x{number}", "soil", FIRST_MESSAGES[number])
    net.queue.clear()
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    assert len(net.nodes["soil"].handshaker.pending) <= HANDSHAKES_MAX


def test_a_flood_of_forged_capsules_is_rate_limited_and_repeats_cost_nothing():
    net, _ = field()
    soil = net.nodes["soil"]
    payload = capsule.parse(policy(2, policy())).payload
    with Work() as work:
        for number in range(200):
            net.now_ms += 10
            raw = capsule.assemble(payload, crypto.sha512(bytes((number,))))
            net.inject("x", "soil", capsule_post(raw, number))
        assert work.verify <= SIGNATURE_BURST + 2
        raw = capsule.assemble(payload, crypto.sha512(b"last"))
        net.now_ms += 60000
        for number in range(20):
            net.inject("x", "soil", capsule_post(raw, 300 + number))
        assert work.verify <= SIGNATURE_BURST + 3
        # each one from another address: the common limit
        for number in range(400):
            raw = capsule.assemble(payload, crypto.sha512(b"n" + number.to_bytes(2, "big")))
            net.inject(f"y{number}", "soil", capsule_post(raw, 400 + number))
        assert work.verify <= 6 * SIGNATURE_BURST + 3
    assert soil.authority.epoch == 1
    only_rejections(soil)
    # a valid capsule is accepted a little later
    net.now_ms += 5000
    net.inject("x", "soil", capsule_post(policy(2, policy()), 1000))
    assert soil.authority.epoch == 2


def test_uploads_of_strangers_do_not_block_those_of_members():
    net, calls = field()
    net.ask("gw", "soil", "hello")
    for number in range(20):
        options = ((coap.URI_PATH, b"writ"), (coap.BLOCK1, b"\x08"))
        net.inject(
            f"x{number}", "soil", datagram(coap.CON, coap.POST, bytes(16), number, b"", options)
        )
    net.queue.clear()
    assert code(net.ask("gw", "soil", "big", coap.POST, b"x" * 1000)) == "2.04"
    assert calls[-1][2] == b"x" * 1000


# --- tables ---------------------------------------------------------------------------------------


def test_forged_first_blocks_do_not_keep_a_carrier_of_capsules_out():
    net, _ = field()
    soil = net.nodes["soil"]
    news = policy(2, policy(), revoked=tuple(bytes([i]) * 8 for i in range(8)))

    def post(source, number, more, payload):
        net.now_ms += 10
        options = ((coap.URI_PATH, b"writ"), (coap.BLOCK1, block_encode(number, more, 0)))
        data = datagram(coap.CON, coap.POST, payload, net.now_ms & 0xFFFF, b"\x05", options)
        ((_, reply),) = soil.receive(data, source, net.now_ms)
        return coap.decode(reply).code

    for number in range(2 * TRANSFERS_MAX):
        assert post(f"stranger{number}", 0, True, bytes(16)) == coap.CONTINUE
    last = (len(news) - 1) // 16
    for number in range(last):
        assert post("carrier", number, True, news[16 * number :][:16]) == coap.CONTINUE
        post("forged", 0, True, bytes(16))
    assert post("carrier", last, False, news[16 * last :]) >> 5 == 2
    assert soil.authority.epoch == 2


def test_sessions_are_limited_and_the_least_recently_used_is_dropped():
    net, _ = field()
    soil = net.nodes["soil"]
    for number in range(SESSIONS_MAX + 3):
        name = f"gw{number}"
        net.nodes[name] = make(name, 20 + number, GATEWAY)
        net.now_ms += 30000
        assert code(net.ask(name, "soil", "temp")) == "2.05"
        if "gw" in net.nodes:
            net.ask("gw", "soil", "temp")
            assert soil.sessions.by_peer(net.nodes["gw"].authority.me.node_id)
    assert len(soil.sessions) == SESSIONS_MAX
    # a peer whose session was dropped makes a new one
    assert code(net.ask("gw0", "soil", "temp")) == "2.05"


def test_one_member_holds_at_most_two_sessions():
    net, _ = field()
    for _ in range(5):
        net.now_ms += 30000
        for session in list(net.nodes["gw"].sessions):
            net.nodes["gw"].sessions.drop(session)
        net.ask("gw", "soil", "temp")
    assert len(net.nodes["soil"].sessions) == 2


def test_observers_are_limited_and_those_of_closed_sessions_are_dropped():
    net, _ = field()
    soil = net.nodes["soil"]
    for number in range(OBSERVERS_MAX + 2):
        name = f"gw{number}"
        net.nodes[name] = make(name, 20 + number, GATEWAY)
        net.now_ms += 30000
        answer = net.ask(name, "soil", "temp", observe=True)
        assert code(answer) == "2.05"
        assert (answer.observe is not None) == (number < OBSERVERS_MAX)
    assert len(soil.server.observers.entries) == OBSERVERS_MAX
    for session in list(soil.sessions):
        soil.sessions.drop(session)
    net.now_ms += 60000
    assert net.ask("gw5", "soil", "temp", observe=True).observe is not None
    assert len(soil.server.observers.entries) <= OBSERVERS_MAX


def test_the_paths_of_the_node_cannot_be_observed():
    net, _ = field()
    for path in ("writ/policy", ".well-known/core"):
        net.ask("gw", "soil", path, observe=True)
    assert net.nodes["soil"].server.observers.entries == []


def test_a_notification_for_a_closed_session_changes_no_other_record():
    net, _ = field()
    soil = net.nodes["soil"]
    net.call("gw", "soil", "temp", observe=True)
    net.run()
    session = next(iter(soil.sessions))
    soil.sessions.drop(session)
    net.now_ms += 60000
    net.nodes["gw2"] = make("gw2", 20, GATEWAY)
    net.ask("gw2", "soil", "temp")
    before = dict(soil.store._flash.files)
    session.context.sequence = session.context.limit
    assert soil.notify("temp", net.now_ms) == []
    assert soil.store._flash.files == before


def test_calls_keep_to_their_limit_and_each_is_concluded_once():
    net, _ = field()
    net.ask("gw", "soil", "temp")
    net.change = lambda source, target, data: []
    answers = [net.call("gw", "soil", "temp") for _ in range(REQUESTS_MAX + 5)]
    assert [len(found) for found in answers] == [0] * REQUESTS_MAX + [1] * 5
    assert code(answers[-1][0]) == "TableFull"
    net.run(2000000)
    assert [len(found) for found in answers] == [1] * len(answers)
    # the same for calls that wait for a handshake
    net, _ = field()
    answers = [net.call("gw", "soil", "temp") for _ in range(REQUESTS_MAX + 5)]
    net.run(600000)
    assert [len(found) for found in answers] == [1] * len(answers)
    assert sum(code(found[0]) == "2.05" for found in answers) == REQUESTS_MAX


def test_members_at_one_address_are_told_apart():
    net, _ = field(other=make("other", 9, SENSOR))
    other = net.nodes["other"].authority.me
    one = net.call("gw", "soil", "hello")
    two = net.call("gw", "soil", "hello", wanted=other.node_id)
    three = net.call("gw", "soil", "hello")
    net.run()
    assert [code(found[0]) for found in (one, two, three)] == ["2.05", "NotMember", "2.05"]


def test_a_silent_observer_does_not_block_calls():
    net, _ = field(other=make("other", 9, SENSOR))
    soil = net.nodes["soil"]
    serve(net.nodes["other"])
    net.call("gw", "soil", "temp", observe=True)
    net.run()
    assert code(net.ask("soil", "other", "hello")) == "2.05"
    del net.nodes["gw"]
    for _ in range(300):
        net.send("soil", soil.notify("temp", net.now_ms))
        net.run(100)
    assert code(net.ask("soil", "other", "hello")) == "2.05"
    # and after a while it is noticed
    for _ in range(100):
        net.send("soil", soil.notify("temp", net.now_ms))
        net.run(2000)
    assert soil.server.observers.entries == []
    assert soil.next_ms(net.now_ms) is None


def test_an_offline_gateway_does_not_block_calls_to_others():
    net, _ = field(other=make("other", 9, SENSOR))
    gw = net.nodes["gw"]
    serve(net.nodes["other"])
    assert code(net.ask("gw", "soil", "hello")) == "2.05"
    assert code(net.ask("gw", "other", "hello")) == "2.05"
    del net.nodes["soil"]
    for _ in range(40):
        net.send("gw", gw.sync.ask_beacon("soil"))
        net.run(30000)
        assert code(net.ask("gw", "other", "hello")) == "2.05"


# --- duplicates -----------------------------------------------------------------------------------


def asked_once(method, path, payload=b""):
    """(net, calls, datagram): a session, and a member's request that was handled."""
    net, calls = field()
    net.ask("gw", "soil", "hello")
    net.call("gw", "soil", path, method, payload)
    data = net.log[-1][2]
    net.run()
    return net, calls, data


def test_a_spoofed_datagram_does_not_swallow_a_members_request():
    net, calls = field()
    net.ask("gw", "soil", "hello")
    answers = net.call("gw", "soil", "temp", coap.POST, b"on")
    ((_, _, data),) = net.queue
    start = 4 + (data[0] & 15)
    altered = data[:-1] + bytes((data[-1] ^ 1,))
    for forged in (
        data[:start],  # with its id and token, and no session
        remid(datagram(coap.CON, coap.GET, b"", 0, b"\x09"), int.from_bytes(data[2:4], "big")),
        remid(message_1(1), int.from_bytes(data[2:4], "big")),
        altered,
    ):
        # its answers are lost: the member asks on
        net.nodes["soil"].receive(forged, "gw", net.now_ms)
    net.run()
    assert [code(answer) for answer in answers] == ["2.04"]
    assert calls[-1] == ("temp", coap.POST, b"on")


def test_strangers_do_not_evict_the_answer_to_a_member():
    net, calls, data = asked_once(coap.POST, "temp", b"on")
    soil = net.nodes["soil"]
    first = soil.receive(data, "gw", net.now_ms)
    assert len(first) == 1 and len(calls) == 2
    for number in range(3 * DEDUP_MAX):
        kind = (coap.CON, coap.NON)[number & 1]
        options = ((coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"core"))
        plain = datagram(kind, coap.GET, b"", number, b"", options)
        protected = datagram(kind, coap.POST, bytes(20), number, b"", ((coap.OSCORE, data[7:10]),))
        unasked = datagram(kind, coap.CONTENT, b"", number, b"\x7f")
        for forged in (plain, protected, unasked):
            soil.receive(forged, (f"x{number}", "gw")[number % 2], net.now_ms)
    assert soil.receive(data, "gw", net.now_ms) == first
    assert len(calls) == 2 and "Replayed" not in soil.counters


@pytest.mark.parametrize("is_alone", [True, False])
def test_strangers_do_not_evict_the_answer_to_message_3(is_alone):
    net, _ = field()
    soil = net.nodes["soil"]
    if is_alone:
        # as stock peers may send it (RFC 9528, appendix A.2)
        initiator, message_1 = net.nodes["gw"].handshaker.start(False)
        options = ((coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"edhoc"))

        def edhoc(raw, mid):
            return datagram(coap.CON, coap.POST, raw, mid, b"\x01", options)

        ((_, reply),) = net.inject("gw", "soil", edhoc(b"\xf5" + message_1, 1))
        message_2 = coap.decode(reply).payload
        _, message_3, _ = net.nodes["gw"].handshaker.answer_2(
            initiator, message_2, True, "soil", net.now_ms
        )
        data = edhoc(initiator.c_r + message_3, 2)
    else:
        net.call("gw", "soil", "temp", coap.POST, b"on")
        while not net.nodes["gw"].sessions:
            source, target, data = net.queue.pop(0)
            net.inject(source, target, data)
        ((_, _, data),) = net.queue
    net.queue.clear()
    first = soil.receive(data, "gw", net.now_ms)
    assert len(first) == 1 and coap.decode(first[0][1]).code == coap.CHANGED
    for number in range(3 * DEDUP_MAX):
        for source in (f"x{number}", "gw"):
            soil.receive(datagram(coap.CON, coap.GET, b"", number + 9), source, net.now_ms)
    assert soil.receive(data, "gw", net.now_ms) == first
    assert len(soil.sessions) == 1 and "OutOfOrder" not in soil.counters


def test_a_spoofed_answer_does_not_cancel_an_observation():
    net, _ = field()
    soil = net.nodes["soil"]
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    for _ in range(9):
        out = soil.notify("temp", net.now_ms)
        mid = int.from_bytes(out[0][1][2:4], "big")
        # the gateway gets a forged message with the id of the notification first
        net.inject("soil", "gw", datagram(coap.CON, coap.CONTENT, b"", mid, b"\x99"))
        net.queue.clear()
        net.send("soil", out)
        net.run()
    assert len(answers) == 10 and len(soil.server.observers.entries) == 1


def test_a_handshake_is_refused_for_one_hmac(monkeypatch):
    net, _ = field()
    handshaker = net.nodes["soil"].handshaker
    for number in range(4):
        net.inject(f"x{number}", "soil", FIRST_MESSAGES[number])
    computed = []
    hmac = crypto.hmac_sha256
    monkeypatch.setattr(crypto, "hmac_sha256", lambda *a: computed.append(a) or hmac(*a))
    limit = handshaker._limit
    start_ms = 10 * ECHO_LIFETIME_MS

    def refused(echo, now_ms, tokens=1):
        del computed[:]
        limit.tokens, limit._refilled_ms = tokens, now_ms
        try:
            handshaker.limit("y", echo, now_ms)
        except (EchoRequired, RateLimited) as rejection:
            assert len(computed) == 1
            return rejection
        return None

    echo = refused(None, start_ms).echo
    assert len(echo) == 8
    for wrong in (b"", b"x", bytes(8), echo[:7], echo[:1] + bytes(7), bytes((echo[0] - 1,)) * 8):
        assert isinstance(refused(wrong, start_ms), EchoRequired), wrong
    # good in its period and the next one
    assert isinstance(refused(echo, start_ms, tokens=0), RateLimited)
    assert refused(echo, start_ms) is None
    assert refused(echo, start_ms + ECHO_LIFETIME_MS) is None
    assert refused(echo, start_ms + 2 * ECHO_LIFETIME_MS).echo != echo
