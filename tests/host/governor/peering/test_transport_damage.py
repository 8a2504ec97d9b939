"""Malformed and damaged datagrams at the peer transport raise nothing and deliver nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peering_rig import KEYS, Net, address, numbered

from writ_host.governor.peering import (
    frames,
)


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
