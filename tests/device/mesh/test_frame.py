"""The header of frames: its bytes, its limits, and what is refused."""

from harness import raises

from writ.errors import BadFrame, Rejection, WrongScope
from writ.mesh.frame import (
    ACK,
    CONTROL,
    DATA,
    DOWN,
    FRAGMENT,
    HEADER_BYTES,
    HEADER_BYTES_JOIN,
    HEADER_BYTES_ROUTED,
    JOIN_CLASS,
    LOCAL,
    UP,
    Frame,
    decode,
    mic,
)

KEY = bytes(range(16))
TAG = 0xA5


def test_the_bytes_of_each_shape():
    # by hand, from the table at the top of frame.py; the MIC by its definition
    local = Frame(1, DATA, 0x0102, 0x0304, 0x0A0B0C0D, b"hi", 0x105)
    raw = local.encode(TAG, KEY)
    assert raw[:-4] == bytes.fromhex("11a505000102030" + "40c0d") + b"hi"
    assert raw[-4:] == mic(KEY, 0x0A0B, raw[:-4]) and len(raw) == HEADER_BYTES + 2
    up = Frame(2, FRAGMENT, 0x0102, 0x0304, 7, b"hi", 255, UP, 3, 0x0506)
    raw = up.encode(TAG, KEY)
    assert raw[:-4] == bytes.fromhex("12a5ff53010203040506" + "0007") + b"hi"
    assert len(raw) == HEADER_BYTES_ROUTED + 2
    down = Frame(3, ACK, 0x0102, 0x0304, 7, b"", 0, DOWN, 15, 0x0506)
    assert down.encode(TAG, KEY)[:-4] == bytes.fromhex("13a500af0102030405060007")
    join = Frame(JOIN_CLASS, CONTROL, 0x0102, 0xFFFF, 7, b"x")
    assert join.encode(TAG, None) == bytes.fromhex("1fa500300102ffff0007") + b"x"
    assert HEADER_BYTES_JOIN == 10 and HEADER_BYTES_ROUTED <= 16


def test_what_is_encoded_is_decoded():
    for route_class in (0, 1, 14):
        for kind in (DATA, FRAGMENT, ACK, CONTROL):
            for shape, far in ((LOCAL, None), (UP, 9), (DOWN, 65534)):
                frame = Frame(route_class, kind, 1, 65534, 0x12345678, b"p", 200, shape, 15, far)
                found = decode(frame.encode(TAG, KEY), TAG)
                for name in ("route_class", "kind", "transmitter", "receiver", "payload", "epoch"):
                    assert getattr(found, name) == getattr(frame, name), name
                assert (found.shape, found.hops, found.far) == (shape, 15, far)
                assert found.counter == 0x5678
                assert found.is_authentic(KEY, 0x1234)
                assert not found.is_authentic(KEY, 0x1235)
                assert not found.is_authentic(bytes(16), 0x1234)


def test_each_changed_bit_breaks_the_mic():
    raw = Frame(1, DATA, 1, 2, 77, b"payload", 3, UP, 4, 5).encode(TAG, KEY)
    for at in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[at >> 3] ^= 1 << (at & 7)
        try:
            found = decode(bytes(changed), TAG)
        except Rejection:
            continue
        # without a MIC a frame is of the join class, which is not believed
        assert found.route_class == JOIN_CLASS or not found.is_authentic(KEY, 0)


def test_what_is_no_frame():
    good = Frame(1, DATA, 1, 2, 77, b"", 3).encode(TAG, KEY)
    assert decode(good, TAG).payload == b""
    for size in range(len(good)):
        raises(BadFrame, decode, good[:size], TAG)
    raises(WrongScope, decode, good, TAG ^ 1)
    # another version, the shape 3; no transmitter, BROADCAST as transmitter, no receiver
    for at, value in ((0, 0x21), (3, 0xC0)):
        raises(BadFrame, decode, good[:at] + bytes((value,)) + good[at + 1 :], TAG)
    for at, pair in ((4, b"\0\0"), (4, b"\xff\xff"), (6, b"\0\0")):
        raises(BadFrame, decode, good[:at] + pair + good[at + 2 :], TAG)
    # a join frame is not forwarded, and has no far end. One with a message may have a receipt
    join = Frame(JOIN_CLASS, DATA, 1, 2, 77, b"").encode(TAG, None)
    assert decode(join, TAG).far is None
    for value in (0x11, 0x21, 0x31, 0x40, 0x80):
        raises(BadFrame, decode, join[:3] + bytes((value,)) + join[4:] + bytes(6), TAG)
