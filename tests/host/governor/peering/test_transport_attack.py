"""Attacks on the peer transport: strangers, impostors, replays, floods, damaged datagrams."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peering_rig import KEYS, PRIVATES, Net, address, numbered

from writ.errors import UsageError
from writ.wire.edhoc import Initiator, Responder
from writ_host.governor.peering import (
    frames,
    handshake,
    transport,
)
from writ_host.governor.peering.transport import PeerTransport

# Authentication


def test_a_peer_removed_is_cut_off_at_once():
    net = Net(3).run(100)
    net.send(0, 1, b"never sent")
    net.ends[0].set_peers({KEYS[2]: address(2)})
    net.taped.clear()
    for _ in range(10):
        net.send(1, 0, b"let me in")
        net.run(2000)
    assert net.inbox[0] == net.inbox[1] == []
    assert {to for to, datagram, source in net.taped if source == address(0)} == {address(1)}
    assert net.ends[0].counters["UnknownContext"] and net.ends[0].counters["UnknownCredential"]
    assert KEYS[1] not in net.ends[0].last_seen and KEYS[1] not in net.ends[0].stats
    with pytest.raises(UsageError):
        net.send(0, 1, b"gone")
    net.send(2, 0, b"still here")
    net.run(50)
    assert net.got(0) == [b"still here"]


def test_a_stranger_gets_no_session():
    net = Net(2)
    net.ends[0].set_peers({})
    net.send(1, 0, b"hello")
    net.run(60_000)
    assert net.inbox[0] == [] and not net.ends[0]._sessions
    assert set(net.ends[0].counters) <= {"UnknownCredential", "RateLimited", "OutOfOrder"}


def test_a_key_other_than_the_pinned_one_gets_no_session():
    net = Net(2)
    net.ends[1] = PeerTransport(PRIVATES[2])
    net.ends[1].set_peers({KEYS[0]: address(0)})
    net.run(60_000)
    assert not net.ends[0]._sessions and not net.ends[0].last_seen
    # as initiator it has an unknown credential, as responder another key than the pinned one
    assert net.ends[0].counters["NotMember"] and net.ends[0].counters["UnknownCredential"]


def test_a_kid_without_its_private_key_is_rejected():
    for private, refusal in ((PRIVATES[2], "BadMac"), (PRIVATES[1], None)):
        net = Net(2)
        claimed = handshake.Credential(KEYS[1])
        mine = handshake.Credential(KEYS[0])
        outgoing = handshake.OutgoingHandshake(private, claimed, mine, b"abcd", address(1))
        end = net.ends[0]
        for _ in range(3):
            end.receive(outgoing.datagram(1, 0), address(1), 0)
            for _, datagram in end.flush(0):
                message = frames.parse(datagram)
                if message.token != outgoing.token:
                    continue
                if message.payload:
                    outgoing.take_message_2(message.payload)
                else:
                    outgoing.take_echo(message.options[0][1])
        assert list(end.counters) == ([refusal] if refusal else [])
        assert len(end._sessions) == (0 if refusal else 1)


def test_reflected_datagrams_open_no_session():
    net = Net(2)
    end = net.ends[0]
    for _ in range(10):
        for _, datagram in end.flush(net.now_ms):
            end.receive(datagram, address(1), net.now_ms)
        net.now_ms += 300
    assert not end._sessions and end.counters["NotMember"]


def test_invalid_and_duplicate_peer_keys_are_refused():
    end = PeerTransport(PRIVATES[0])
    negative = bytes((5 - KEYS[1][0],)) + KEYS[1][1:]
    for keys in (
        [KEYS[0]],
        [KEYS[1], negative],
        [KEYS[1][1:]],
        [b"\2" + b"\xff" * 32],
        [b"\4" + KEYS[1][1:]],
    ):
        with pytest.raises(UsageError):
            end.set_peers(dict.fromkeys(keys, "a:1"))
    assert end.stats == {} and end.next_ms(0) is None and end.flush(0) == []


def test_replayed_datagrams_change_nothing():
    net = Net(2, seed=5, delay_ms=(1, 30))
    for number in range(30):
        for i in (0, 1):
            net.send(i, 1 - i, numbered(i, number))
        net.run(20)
    net.run(200)
    sessions = [set(end._sessions) for end in net.ends]
    inboxes = [list(inbox) for inbox in net.inbox]
    replays = list(net.taped)
    for _ in range(3):
        net.random.shuffle(replays)
        for to, datagram, source in replays:
            net.arrive(net.addresses.index(to), datagram, source)
            net.arrive(net.addresses.index(to), datagram, "6.6.6.6:6")
    assert net.inbox == inboxes
    assert [set(end._sessions) for end in net.ends] == sessions
    assert all(end.counters["Replayed"] for end in net.ends)
    net.run(100)
    net.send(0, 1, b"goes on")
    net.run(50)
    assert net.got(1)[-1] == b"goes on" and net.is_joined(0, 1)


# Floods and damaged datagrams


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


def test_incomplete_messages_of_a_peer_are_bounded():
    net = Net(2).run(100)
    peer = net.ends[1]._peers[KEYS[0]]
    context = net.ends[0]._peers[KEYS[1]].current.context
    rng = net.random

    def give(options, payload):
        net.arrive(1, frames.seal(context, 1, (options, payload)), address(0))

    for _ in range(500):
        block = (rng.randrange(64) << 4 | 8 | 6).to_bytes(2, "big").lstrip(b"\0")
        give([(19, block), (292, rng.randbytes(4))], bytes(1024))
        assert len(peer.reassembly) <= frames.ASSEMBLIES_MAX
    assert net.inbox[1] == []
    # a complete message still arrives
    net.send(0, 1, bytes(60_000))
    net.run(100)
    assert net.got(1) == [bytes(60_000)]


def part(number, more, payload, tag=b"aaaa", szx=6):
    value = (number << 4 | more << 3 | szx).to_bytes(3, "big").lstrip(b"\0")
    return [(19, value), (292, tag)], payload


FULL = bytes(1024)
BAD_PARTS = {
    "BadMessage": [
        [([], b"\x40")],  # an empty message
        [part(0, 1, FULL[1:])],
        [part(1, 0, b"")],
        [part(0, 0, b"alone")],
    ],
    "BadShape": [[([], b"\x01")], [([], b"\x41a\x81\x41b")]],
    "Truncated": [[([], b"\x42a")]],
    "NotCanonical": [[([], b"\x58\x01a")]],
    "TooLarge": [[part(64, 0, b"x")], [part(1000, 1, FULL)]],
    "BadOption": [
        [([(19, b"\x0e")], FULL)],
        [([(292, b"aaaa")], FULL)],
        [([(11, b"path")], b"\x41a")],
        [part(0, 1, FULL[:512], szx=5)],
        [part(0, 1, FULL, tag=b"aaa")],
        [([(19, b"\x00\x0e"), (292, b"aaaa")], FULL)],
    ],
    "BlockMismatch": [
        [part(0, 1, FULL), part(0, 1, bytes(1023) + b"x")],
        [part(1, 0, b"x"), part(2, 0, b"x")],
        [part(5, 1, FULL), part(1, 0, b"x")],
        [part(1, 0, b"x"), part(5, 1, FULL)],
    ],
}


@pytest.mark.parametrize(
    ("name", "parts"), [(name, parts) for name, cases in BAD_PARTS.items() for parts in cases]
)
def test_malformed_messages_of_a_peer_are_rejected(name, parts):
    net = Net(2).run(100)
    context = net.ends[0]._peers[KEYS[1]].current.context
    for one in parts:
        net.arrive(1, frames.seal(context, 1, one), address(0))
    assert net.ends[1].counters == {name: 1} and net.inbox[1] == []


def tape():
    """A network after a run, with all its datagrams."""
    net = Net(2, seed=9, delay_ms=(1, 5))
    for number in range(10):
        for i in (0, 1):
            net.send(i, 1 - i, numbered(i, number) * (1 + number % 3 * 300))
        net.run(30)
    return net


TAPE = tape()


@given(st.data())
@settings(max_examples=600)
def test_damaged_datagrams_neither_raise_nor_deliver(data):
    to, datagram, source = data.draw(st.sampled_from(TAPE.taped))
    raw = bytearray(datagram)
    how = data.draw(st.sampled_from(["cut", "flip", "grow", "insert"]))
    position = data.draw(st.integers(0, len(raw) - 1))
    if how == "cut":
        raw = raw[:position]
    elif how == "flip":
        raw[position] ^= data.draw(st.integers(1, 255))
    elif how == "grow":
        raw += data.draw(st.binary(min_size=1, max_size=1300))
    else:
        raw[position:position] = data.draw(st.binary(min_size=1, max_size=20))
    for net in (TAPE, Net(2)):
        # with and without a session of the sender, from its address and from another one
        for where in (source, "6.6.6.6:6"):
            end = net.ends[net.addresses.index(to)]
            assert end.receive(bytes(raw), where, net.now_ms) == []
        end.flush(net.now_ms)
        net.now_ms += 1


@given(st.binary(max_size=100))
@settings(max_examples=300)
def test_random_bytes_are_rejected_without_an_error(raw):
    for head in (b"", b"\x50\x02\x00\x00", b"\x58\x44\x00\x00" + bytes(8), b"\x50\x02\0\0\x98\x09"):
        assert TAPE.ends[0].receive(head + raw, address(1), TAPE.now_ms) == []


@given(st.integers(0, 2**32))
@settings(max_examples=200)
def test_damaged_handshakes_only_delay_the_session(seed):
    """The first datagrams may be altered; after that the peers establish a session."""
    net = Net(2, seed)
    for _ in range(net.random.randint(1, 8)):
        for i in (0, 1):
            for to, datagram in net.ends[i].flush(net.now_ms):
                raw = bytearray(datagram)
                if net.random.random() < 0.3:
                    raw[net.random.randrange(len(raw))] ^= net.random.randint(1, 255)
                net.arrive(net.addresses.index(to), bytes(raw), net.addresses[i])
        net.now_ms += 1
    net.run(30_000)
    for i in (0, 1):
        net.send(i, 1 - i, b"hello")
    net.run(12_000)
    for i in (0, 1):
        net.send(i, 1 - i, b"hello again")
    net.run(100)
    assert b"hello again" in net.got(0) and b"hello again" in net.got(1)
    assert net.is_joined(0, 1)
