"""Deterministic CBOR: values of the subset round-trip, and all else is rejected by name."""

from harness import raises

from writ import cbor
from writ.errors import (
    NotCanonical,
    Rejection,
    TooDeep,
    TooLarge,
    TrailingBytes,
    Truncated,
    Unsupported,
    UsageError,
)
from writ.limits import CBOR_DEPTH_MAX, CBOR_ITEMS_MAX

# RFC 8949, appendix A, as far as it is in the subset; map keys there are in canonical order
EXAMPLES = (
    ("00", 0),
    ("01", 1),
    ("0a", 10),
    ("17", 23),
    ("1818", 24),
    ("1819", 25),
    ("1864", 100),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1b000000e8d4a51000", 1000000000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("3bffffffffffffffff", -18446744073709551616),
    ("20", -1),
    ("29", -10),
    ("3863", -100),
    ("3903e7", -1000),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("6161", "a"),
    ("6449455446", "IETF"),
    ("62225c", '"\\'),
    ("62c3bc", "\u00fc"),
    ("63e6b0b4", "\u6c34"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("83010203", [1, 2, 3]),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("826161a161626163", ["a", {"b": "c"}]),
    (
        "a56161614161626142616361436164614461656145",
        {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"},
    ),
    # the edges of each head
    ("18ff", 255),
    ("190100", 256),
    ("19ffff", 65535),
    ("1a00010000", 65536),
    ("1affffffff", 4294967295),
    ("1b0000000100000000", 4294967296),
    ("37", -24),
    ("3818", -25),
    ("38ff", -256),
    ("390100", -257),
)

# The rest of appendix A, and more that this protocol never uses
REJECTED = (
    # tags
    ("c249010000000000000000", Unsupported),
    ("c074323031332d30332d32315432303a30343a30305a", Unsupported),
    ("c11a514b67b0", Unsupported),
    ("d74401020304", Unsupported),
    ("d818456449455446", Unsupported),
    ("d28043a10127", Unsupported),
    # floats
    ("f90000", Unsupported),
    ("f97e00", Unsupported),
    ("fa47c35000", Unsupported),
    ("fb3ff199999999999a", Unsupported),
    # undefined, simple values, booleans in two bytes, a break on its own
    ("f7", Unsupported),
    ("f0", Unsupported),
    ("f8ff", Unsupported),
    ("f814", Unsupported),
    ("ff", Unsupported),
    # indefinite lengths
    ("5f42010243030405ff", NotCanonical),
    ("7f657374726561646d696e67ff", NotCanonical),
    ("9fff", NotCanonical),
    ("bfff", NotCanonical),
    ("83018202039f0405ff", NotCanonical),
    # reserved additional information
    ("1c", Unsupported),
    ("1d", Unsupported),
    ("1e", Unsupported),
    ("1f", Unsupported),
    ("3f", Unsupported),
    ("5c", Unsupported),
    # longer heads than needed
    ("1800", NotCanonical),
    ("1817", NotCanonical),
    ("190000", NotCanonical),
    ("1900ff", NotCanonical),
    ("1a0000ffff", NotCanonical),
    ("1b00000000ffffffff", NotCanonical),
    ("3817", NotCanonical),
    ("580100", NotCanonical),
    ("780161", NotCanonical),
    ("980100", NotCanonical),
    ("b8010000", NotCanonical),
    # map keys: out of order, twice, of no use as keys
    ("a203040102", NotCanonical),
    ("a201020103", NotCanonical),
    ("a2616101616102", NotCanonical),
    ("a261620161610a", NotCanonical),
    ("a22000 0000", NotCanonical),
    ("a2200000 00", NotCanonical),
    ("a1f400", Unsupported),
    ("a1f500", Unsupported),
    ("a1f600", Unsupported),
    ("a18000", Unsupported),
    ("a1a000", Unsupported),
    # the input ends too early
    ("", Truncated),
    ("18", Truncated),
    ("1900", Truncated),
    ("1a000000", Truncated),
    ("1b00000000000000", Truncated),
    ("41", Truncated),
    ("6261", Truncated),
    ("5bffffffffffffffff", Truncated),
    ("7affffffff00", Truncated),
    ("81", Truncated),
    ("a1", Truncated),
    ("a101", Truncated),
    ("9880", Truncated),
    # bytes after the end
    ("0000", TrailingBytes),
    ("f6f6", TrailingBytes),
    ("8000", TrailingBytes),
    # promises more items than any structure has
    ("9881", TooLarge),
    ("b881", TooLarge),
    ("9bffffffffffffffff", TooLarge),
    ("bbffffffffffffffff", TooLarge),
)


def test_examples_of_rfc_8949():
    for text, value in EXAMPLES:
        raw = bytes.fromhex(text)
        assert cbor.encode(value) == raw, text
        found = cbor.decode(raw)
        assert found == value and type(found) is type(value), text


def test_each_rejection_by_name():
    for text, rejection in REJECTED:
        raw = bytes.fromhex(text.replace(" ", ""))
        error = raises(rejection, cbor.decode, raw)
        assert type(error) is rejection, text


def test_true_is_no_integer_and_one_is_no_boolean():
    assert cbor.encode(True) != cbor.encode(1)
    assert cbor.encode([False, 0]) == b"\x82\xf4\x00"
    found = cbor.decode(b"\x82\xf5\x01")
    assert found[0] is True and found[1] is not True


def test_depth_is_limited():
    deep = b"\x81" * CBOR_DEPTH_MAX
    assert cbor.decode(deep + b"\x00") is not None
    raises(TooDeep, cbor.decode, deep + b"\x81\x00")
    raises(TooDeep, cbor.decode, deep + b"\x80")
    raises(TooDeep, cbor.decode, b"\xa1\x00" * CBOR_DEPTH_MAX + b"\xa0")
    # far deeper than any stack
    raises(TooDeep, cbor.decode, b"\x81" * 10000)
    raises(TooDeep, cbor.decode, b"\x80", 0)
    assert cbor.decode(b"\x40", 0) == b""


def test_items_are_limited():
    most = b"\x98" + bytes((CBOR_ITEMS_MAX,)) + bytes(CBOR_ITEMS_MAX)
    assert len(cbor.decode(most)) == CBOR_ITEMS_MAX
    raises(TooLarge, cbor.decode, b"\x98" + bytes((CBOR_ITEMS_MAX + 1,)) + bytes(200))


def test_utf8_is_strict():
    good = ("24", "c280", "dfbf", "e0a080", "ed9fbf", "ee8080", "efbfbf", "f0908080", "f48fbfbf")
    for text in good:
        raw = bytes.fromhex(text)
        assert cbor.decode(bytes((0x60 | len(raw),)) + raw).encode() == raw
    bad = (
        "80",  # a continuation alone
        "bf",
        "c0af",  # overlong
        "c1bf",
        "e08080",
        "e09fbf",
        "f0808080",
        "f08fbfbf",
        "eda080",  # surrogates
        "edbfbf",
        "f4908080",  # above U+10FFFF
        "f5808080",
        "f888808080",
        "fe",
        "ff",
        "c3",  # cut short
        "e6b0",
        "f09085",
        "c328",  # no continuation where one must be
        "e628a1",
        "e6b028",
        "f0288080",
        "f0908528",
        "61c3",
    )
    for text in bad:
        raw = bytes.fromhex(text)
        raises(NotCanonical, cbor.decode, bytes((0x60 | len(raw),)) + raw)
        # the next item must not be read as the rest of the text
        raises(NotCanonical, cbor.decode, b"\x82" + bytes((0x60 | len(raw),)) + raw + b"\x41\x80")


def test_sequences():
    raw = b"\x01\x41\x02\xf6"
    value, end = cbor.decode_item(raw)
    assert (value, end) == (1, 1)
    value, end = cbor.decode_item(raw, end)
    assert (value, end) == (b"\x02", 3)
    assert cbor.decode_item(raw, end) == (None, 4)
    raises(Truncated, cbor.decode_item, raw, 4)
    raises(Truncated, cbor.decode_item, raw, 5)


def test_views_and_bytearrays_decode_alike():
    raw = bytes.fromhex("a26161016162820203")
    assert cbor.decode(bytearray(raw)) == cbor.decode(raw)
    assert cbor.decode(memoryview(raw)) == cbor.decode(raw)
    # a decoded value does not change with the buffer
    buffer = bytearray(b"\x42ab")
    value = cbor.decode(buffer)
    buffer[1] = 0
    assert value == b"ab"


def test_encode_refuses_other_types():
    for value in (1.5, set(), object(), memoryview(b""), 1 << 64, -(1 << 64) - 1):
        raises(UsageError, cbor.encode, value)
    assert cbor.encode((1, 2)) == cbor.encode([1, 2])
    assert cbor.encode(bytearray(b"a")) == cbor.encode(b"a")


def test_keys_are_sorted_by_their_encodings():
    # RFC 8949, section 4.2.1
    keys = [10, 100, -1, "z", "aa", b"b"]
    encoded = cbor.encode(dict([(key, None) for key in keys]))
    assert encoded.hex() == "a60af61864f620f64162f6617af6626161f6"
    assert cbor.decode(encoded) == dict([(key, None) for key in keys])


def test_every_two_bytes_decode_to_their_own_encoding_or_are_rejected():
    accepted = 0
    for number in range(65536):
        raw = number.to_bytes(2, "big")
        try:
            value = cbor.decode(raw)
        except Rejection:
            continue
        accepted += 1
        assert cbor.encode(value) == raw
    # 18xx and 38xx from 24 on, 41xx, 61xx below 80, 81xx and the one-byte items behind it
    assert accepted == 232 + 232 + 256 + 128 + (24 + 24 + 1 + 1 + 1 + 1 + 3)
