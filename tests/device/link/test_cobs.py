"""COBS and the CRC of frames, against published values. PyPI's cobs is in tests/host/writ/link."""

from serial_rig import Bytes

from writ.link.cobs import crc16, decode, encode

# (decoded, encoded). The first is the example of the paper (Cheshire and Baker 1999, figure 3).
VECTORS = (
    ("4500002c4c79000040064f37", "024501042c4c79010540064f37"),
    ("", "01"),
    ("00", "0101"),
    ("0000", "010101"),
    ("11220033", "0311220233"),
    ("11000000", "0211010101"),
)


def decoded(coded):
    """The bytes, or None if they are refused."""
    buffer = bytearray(coded)
    length = decode(buffer, len(coded))
    return None if length < 0 else bytes(buffer[:length])


def test_vectors():
    for plain, coded in VECTORS:
        plain, coded = bytes.fromhex(plain), bytes.fromhex(coded)
        assert encode(plain) == coded
        assert decoded(coded) == plain


def test_runs_that_fill_a_block():
    run = bytes(range(1, 255))
    for plain, coded in (
        (run[:253], b"\xfe" + run[:253]),
        (run, b"\xff" + run),
        (run + b"\x07", b"\xff" + run + b"\x02\x07"),
        (run + b"\0", b"\xff" + run + b"\x01\x01"),
        (b"\0" + run, b"\x01\xff" + run),
        (run[:253] + b"\0\x07", b"\xfe" + run[:253] + b"\x02\x07"),
        (run + run, b"\xff" + run + b"\xff" + run),
        (run + run + b"\0", b"\xff" + run + b"\xff" + run + b"\x01\x01"),
    ):
        assert encode(plain) == coded, plain
        assert decoded(coded) == plain, plain


def test_the_papers_encoder_ends_a_full_block_with_an_empty_one():
    run = bytes(range(1, 255))
    assert decoded(b"\xff" + run + b"\x01") == run


def test_a_block_that_is_not_complete_is_refused():
    for coded in ("02", "0301", "ff", "0102", "0311"):
        assert decoded(bytes.fromhex(coded)) is None, coded


def test_what_is_encoded_has_no_zero_and_comes_back():
    random = Bytes(1)
    for size in (1, 5, 253, 254, 255, 300, 508, 509, 706):
        for sparse in (False, True):
            plain = random.take(size)
            if sparse:
                plain = bytes([one if one & 3 else 0 for one in plain])
            coded = encode(plain)
            assert 0 not in coded
            assert size < len(coded) <= size + size // 254 + 1
            assert decoded(coded) == plain


def test_crc_is_that_of_the_catalogue():
    # CRC-16/IBM-3740 (CCITT-FALSE) in Greg Cook's catalogue: check 0x29b1
    assert crc16(b"123456789") == 0x29B1
    # J. Geluso, "CRC16-CCITT" (2001), of messages without an appended 16 bits of zero
    assert crc16(b"A") == 0xB915
    assert crc16(b"A" * 256) == 0xEA0B
    assert crc16(b"") == 0xFFFF


def test_no_remainder_is_left_by_data_and_its_crc():
    random = Bytes(2)
    for size in (1, 2, 17, 704):
        data = random.take(size)
        assert crc16(data + crc16(data).to_bytes(2, "big")) == 0
