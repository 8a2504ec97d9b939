"""Floods of handshakes at the peer transport: computation, answers and addresses are bounded."""

import os

import pytest
from peering_rig import KEYS, PRIVATES, Net, address

from writ.wire.edhoc import Initiator, Responder
from writ_host.governor.peering import (
    frames,
    handshake,
    transport,
)


def message_1_of_a_stranger():
    return frames.encode(
        7,
        2,
        os.urandom(8),
        handshake.REQUEST_OPTIONS,
        b"\xf5" + Initiator(PRIVATES[3], os.urandom(4)).message_1(),
    )


@pytest.mark.parametrize("returns_echo", [False, True])
def test_a_flood_of_handshakes_does_not_block_a_peer(returns_echo, monkeypatch):
    computed = []
    original = Responder.message_2

    def message_2(self, *args):
        computed.append(self)
        return original(self, *args)

    monkeypatch.setattr(Responder, "message_2", message_2)
    net = Net(2)
    first = message_1_of_a_stranger()
    message = frames.parse(first)
    seconds, each = 4, 250
    for step in range(seconds * 10):
        for number in range(each):
            source = f"6.6.{step}.{number}:6"
            if returns_echo:
                echo = net.ends[0]._responder.echo(source, net.now_ms)
                options = [*handshake.REQUEST_OPTIONS, (252, echo)]
                body = message.payload[:-1] + os.urandom(1)
                first = frames.encode(7, 2, message.token, options, body)
            net.arrive(0, first, source)
        assert len(net.ends[0]._replies) <= 2 * transport.REPLIES_MAX
        if step == 0:
            net.send(1, 0, b"through the flood")
        net.run(100)
    assert net.got(0) == [b"through the flood"] and net.is_joined(0, 1)
    strangers = 4 * handshake.UNKNOWN_BURST + seconds * 4000 // handshake.UNKNOWN_REFILL_MS
    assert 2 <= len(computed) <= strangers + 4
    assert len(net.ends[0]._responder.pending) <= handshake.UNKNOWN_PENDING_MAX
    assert returns_echo == ("RateLimited" in net.ends[0].counters)


def test_an_echo_is_valid_for_one_address_and_a_limited_time():
    end = Net(2).ends[0]
    message = frames.parse(message_1_of_a_stranger())

    def answer(echo, source, now_ms):
        more = [] if echo is None else [(252, echo)]
        options = [*handshake.REQUEST_OPTIONS, *more]
        datagram = frames.encode(7, 2, message.token, options, message.payload)
        end.receive(datagram, source, now_ms)
        found = [data for to, data in end.flush(now_ms) if to == source]
        return frames.parse(found[0])

    echo = answer(None, "6.6.6.6:6", 0).option(252)
    for source, now_ms, code in [
        ("6.6.6.7:6", 0, 0x81),
        ("6.6.6.6:7", 0, 0x81),
        ("6.6.6.6:6", handshake.ECHO_MS, 0x44),
        ("6.6.6.6:6", 2 * handshake.ECHO_MS, 0x81),
    ]:
        assert answer(echo, source, now_ms).code == code
    assert answer(bytes(8), "6.6.6.6:6", 0).code == 0x81
    # no amplification: before the address is verified, answers are short
    assert len(answer(None, "6.6.6.6:6", 0).payload) == 0


def test_a_repeated_handshake_is_computed_once(monkeypatch):
    computed = []
    original = Responder.message_2
    monkeypatch.setattr(
        Responder, "message_2", lambda self, *args: computed.append(1) or original(self, *args)
    )
    end = Net(2).ends[0]
    message = frames.parse(message_1_of_a_stranger())
    options = [*handshake.REQUEST_OPTIONS, (252, end._responder.echo(address(1), 0))]
    for _ in range(100):
        end.receive(frames.encode(7, 2, b"", options, message.payload), address(1), 0)
    answers = {frames.parse(raw).payload for _, raw in end._replies}
    assert len(computed) == len(answers) == 1 and end.counters == {}


def test_each_message_of_a_handshake_has_all_its_tries():
    mine, peer = (handshake.Credential(key) for key in KEYS[:2])
    outgoing = handshake.OutgoingHandshake(PRIVATES[0], mine, peer, b"abcd", address(1))
    for echo in (b"", b"1", b"2"):
        assert not echo or outgoing.take_echo(echo)
        for _ in handshake.RETRY_MS:
            assert outgoing.datagram(1, 0)
        assert outgoing.datagram(1, 0) is None


def begun_handshake(net):
    """A handshake of governor 1 with governor 0; message_3 is not delivered yet."""
    outgoing = handshake.OutgoingHandshake(
        PRIVATES[1],
        handshake.Credential(KEYS[1]),
        handshake.Credential(KEYS[0]),
        b"abcd",
        address(0),
    )
    end = net.ends[0]
    while outgoing.context is None:
        end.receive(outgoing.datagram(1, net.now_ms), address(1), net.now_ms)
        for _, datagram in end.flush(net.now_ms):
            message = frames.parse(datagram)
            if message.token == outgoing.token and message.payload:
                outgoing.take_message_2(message.payload)
            elif message.token == outgoing.token:
                outgoing.take_echo(message.options[0][1])
    return outgoing


def keepalives(net, context):
    """The datagrams of governor 0 that this session decrypts: [(address, payload)]."""
    opened = []
    for to, datagram in net.ends[0].flush(net.now_ms):
        message = frames.parse(datagram)
        if message.options[0][0] == 9:
            opened.append((to, context.unprotect_request(message)[0].payload))
    return opened


def test_another_address_cannot_end_a_handshake():
    net = Net(2)
    outgoing = begun_handshake(net)
    message_3 = outgoing.datagram(1, 0)
    # a whole and a truncated message_3 from another address
    for tail in (b"", bytes(20)):
        net.arrive(0, message_3[: -len(tail) or None], "6.6.6.6:6")
    assert net.ends[0].counters == {"OutOfOrder": 2} and not net.ends[0]._sessions
    net.arrive(0, message_3, address(1))
    assert keepalives(net, outgoing.context) == [(address(1), b"")]


def test_a_lost_confirmation_is_repeated_within_the_rate_limit():
    net = Net(2)
    outgoing = begun_handshake(net)
    message_3 = outgoing.datagram(1, 0)
    for _ in range(3):
        net.arrive(0, message_3, address(1))
        assert keepalives(net, outgoing.context) == [(address(1), b"")]
    # a replay from another address is answered to the peer; another message_3 is not answered
    net.arrive(0, message_3, "6.6.6.6:6")
    assert keepalives(net, outgoing.context) == [(address(1), b"")]
    net.arrive(0, message_3 + b"x", address(1))
    assert keepalives(net, outgoing.context) == []
    for _ in range(100):
        net.arrive(0, message_3, address(1))
    assert len(keepalives(net, outgoing.context)) < handshake.KNOWN_BURST
    assert net.ends[0].counters["RateLimited"] > 90
    # after a datagram in the session no confirmation is repeated
    net.now_ms += 10_000
    net.arrive(0, frames.seal(outgoing.context, 1, frames.KEEPALIVE), address(1))
    net.arrive(0, message_3, address(1))
    assert keepalives(net, outgoing.context) == []


def test_an_exchange_of_ever_new_echoes_ends():
    net = Net(2)
    end = net.ends[0]
    sent = 0
    datagrams = [datagram for _, datagram in end.flush(0)]
    while datagrams:
        sent += len(datagrams)
        message = frames.parse(datagrams[0])
        answer = frames.encode(1, 0x81, message.token, [(252, os.urandom(8))], b"")
        end.receive(answer, address(1), 0)
        datagrams = [datagram for _, datagram in end.flush(0)]
    assert 2 < sent < 12


def test_answers_to_unknown_addresses_are_bounded_and_leave_room_for_peers():
    net = Net(2)
    end = net.ends[0]
    for number in range(1000):
        end.receive(message_1_of_a_stranger(), f"6.6.6.6:{number + 1}", 0)
    end.receive(message_1_of_a_stranger(), address(1), 0)
    answers = end.flush(0)
    assert len(answers) <= transport.REPLIES_MAX + 2
    assert any(to == address(1) and frames.parse(raw).code == 0x81 for to, raw in answers)


def test_unknown_addresses_do_not_use_up_the_rate_of_pinned_ones():
    """Unknown addresses have reached their rate limit; a pinned address has its own."""
    net = Net(2)
    end = net.ends[0]

    def code(source):
        message = frames.parse(message_1_of_a_stranger())
        echo = end._responder.echo(source, 0)
        options = [*handshake.REQUEST_OPTIONS, (252, echo)]
        datagram = frames.encode(7, 2, message.token, options, message.payload)
        end.receive(datagram, source, 0)
        return [frames.parse(data).code for to, data in end._replies if to == source][:1]

    codes = [code(f"6.6.6.{number}:6") for number in range(100)]
    assert codes.count([0x44]) == 4 * handshake.UNKNOWN_BURST
    assert code(address(1)) == [0x44]


def test_a_flood_from_a_peers_address_blocks_it_for_a_limited_time():
    """The attacker sends from a pinned peer's address and receives the answers."""
    net = Net(2)
    end = net.ends[0]
    for number in range(1000):
        message = frames.parse(message_1_of_a_stranger())
        echo = end._responder.echo(address(1), net.now_ms)
        options = [*handshake.REQUEST_OPTIONS, (252, echo)]
        datagram = frames.encode(number, 2, message.token, options, message.payload)
        end.receive(datagram, address(1), net.now_ms)
    assert len(end._responder.pending) <= handshake.KNOWN_PENDING_MAX
    assert end.counters["RateLimited"] > 900
    net.run(5000)
    assert net.is_joined(0, 1)
