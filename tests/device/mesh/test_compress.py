"""Header compression: each rule in both directions, and what no rule knows."""

import compress_rig
from harness import raises

from writ.errors import BadMessage, Rejection, TooLarge
from writ.limits import DATAGRAM_BYTES_MAX, MESH_MESSAGE_BYTES_MAX
from writ.mesh.compress import compress, expand

SEALED = bytes(range(40, 58))


def check(datagram, data):
    assert compress(datagram) == data, (datagram.hex(), compress(datagram).hex())
    assert expand(data) == datagram, expand(data).hex()


def test_a_protected_request_and_its_answer():
    # docs/wire.md: confirmable POST, mid 1235, token 52, partial IV 1, kid 27
    check(
        bytes.fromhex("4102123552") + b"\x93\x09\x01\x27\xff" + SEALED,
        b"\x06\x12\x35\x52\x01\x27" + SEALED,
    )
    # acknowledgement, 2.04, OSCORE empty
    check(bytes.fromhex("614412355290ff") + SEALED, b"\x94\x12\x35\x52" + SEALED)


def test_the_type_is_beside_the_rule():
    for kind in range(4):
        check(
            bytes((0x41 | kind << 4, 0x44, 1, 2, 3, 0x90, 0xFF)) + SEALED,
            bytes((kind << 6 | 20, 1, 2, 3)) + SEALED,
        )


def test_every_rule():
    assert set([case[0] & 63 for case in compress_rig.CASES]) == set(range(1, 51))
    for number, text, sent in compress_rig.CASES:
        datagram = bytes.fromhex(text)
        check(datagram, bytes((number,)) + bytes.fromhex(sent))


def test_what_no_rule_knows_follows_one_zero_byte():
    for datagram in (
        b"",
        b"\x41",
        b"\x40\x01\x00\x01",
        bytes.fromhex("4801000102030405060708"),
        bytes(640),
    ):
        check(datagram, b"\x00" + datagram)


def test_a_cut_or_changed_datagram_comes_back_as_it_was():
    for _, text, _ in compress_rig.CASES:
        datagram = bytes.fromhex(text)
        for size in range(len(datagram)):
            changed = bytearray(datagram)
            changed[size] ^= 1 << size % 8
            for odd in (datagram[:size], bytes(changed)):
                data = compress(odd)
                assert expand(data) == odd and len(data) <= len(odd) + 1


def test_foreign_bytes_raise_rejections_only():
    raises(BadMessage, expand, b"")
    for first in range(256):
        for size in (0, 1, 2, 3, 4, 5, 8, 20, 60):
            data = bytes((first,)) + bytes(size)
            try:
                datagram = expand(data)
            except Rejection:
                continue
            # it may have a shorter form, which is the same datagram
            assert expand(compress(datagram)) == datagram
    # a type beside the escape, an unknown rule, an end within the values
    for data in (
        b"\x40",
        b"\x80ab",
        b"\x3f" + bytes(60),
        b"\x33" + bytes(60),
        b"\x06\x12\x35\x52\x01",
    ):
        raises(BadMessage, expand, data)


def test_no_datagram_is_larger_than_a_node_takes():
    largest = b"\x48" + bytes(DATAGRAM_BYTES_MAX - 1)
    # a list of 16 addresses fits in front of it
    assert len(compress(largest)) + 33 == MESH_MESSAGE_BYTES_MAX
    check(largest, b"\x00" + largest)
    raises(TooLarge, expand, b"\x00" + largest + b"\x00")
    raises(TooLarge, expand, b"\x31" + bytes(DATAGRAM_BYTES_MAX))
