"""The CoAP codec: published bytes, round trips, and each way to be malformed."""

from harness import raises

from writ.errors import BadMessage, BadOption, TooLarge, UsageError
from writ.limits import DATAGRAM_BYTES_MAX, OPTION_BYTES_MAX, OPTIONS_MAX
from writ.wire import coap
from writ.wire.coap import Message, decode
from writ.wire.linkformat import link_format


def unhex(text):
    return bytes.fromhex(text)


def fields(message):
    return (
        message.type,
        message.code,
        message.mid,
        message.token,
        message.options,
        message.payload,
    )


def rejects(text):
    raises(BadMessage, decode, unhex(text))


# RFC 7252, appendix A, figures 16 and 17; RFC 8613, appendix C.4, C.5 and C.7 (unprotected)
PUBLISHED = (
    ("40017d34bb74656d7065726174757265", (0, 1, 0x7D34, b"", [(11, b"temperature")], b"")),
    ("60457d34ff32322e332043", (2, 0x45, 0x7D34, b"", [], b"22.3 C")),
    ("41017d3520bb74656d7065726174757265", (0, 1, 0x7D35, b" ", [(11, b"temperature")], b"")),
    (
        "44015d1f00003974396c6f63616c686f737483747631",
        (0, 1, 0x5D1F, b"\0\0\x39\x74", [(3, b"localhost"), (11, b"tv1")], b""),
    ),
    (
        "440171c30000b932396c6f63616c686f737483747631",
        (0, 1, 0x71C3, b"\0\0\xb9\x32", [(3, b"localhost"), (11, b"tv1")], b""),
    ),
    (
        "64455d1f00003974ff48656c6c6f20576f726c6421",
        (2, 0x45, 0x5D1F, b"\0\0\x39\x74", [], b"Hello World!"),
    ),
)


def test_published_messages():
    for text, wanted in PUBLISHED:
        message = decode(unhex(text))
        assert fields(message) == wanted
        assert message.encode().hex() == text


def test_message_is_built_in_order_of_options():
    message = Message(coap.CON, coap.GET, 0x1234, b"\x07", b"body")
    message.add(coap.URI_QUERY, "rt=x")
    message.add_path("a/b")
    message.add(coap.OBSERVE, 0)
    message.add(coap.EPOCH, 300)
    message.add(coap.BLOCK2, b"\x04")
    assert message.options == [
        (6, b""),
        (11, b"a"),
        (11, b"b"),
        (15, b"rt=x"),
        (23, b"\x04"),
        (65000, b"\x01\x2c"),
    ]
    assert message.path() == "a/b"
    assert message.query() == ["rt=x"]
    assert message.option(coap.URI_PATH) == b"a"
    assert message.option(coap.ETAG) is None
    assert message.options_all(coap.URI_PATH) == [b"a", b"b"]
    assert message.option_uint(coap.OBSERVE) == 0
    assert message.option_uint(coap.EPOCH) == 300
    assert message.option_uint(coap.MAX_AGE) is None
    assert message.is_request()
    assert not Message(coap.ACK, coap.CONTENT).is_request()
    assert not Message(coap.ACK, coap.EMPTY).is_request()
    assert fields(decode(message.encode())) == fields(message)


def test_empty_path_has_no_options():
    message = Message(coap.CON, coap.GET, 1)
    message.add_path("")
    assert message.options == [] and message.path() == ""


def test_delta_and_length_borders():
    # 12, 13, 268, 269 are where the extended forms of RFC 7252, figure 8, begin
    for number in (12, 13, 268, 269, 65535):
        for size in (0, 12, 13, 268, 269, OPTION_BYTES_MAX):
            if number == 12 and size:
                continue
            options = [(number, b"v" * size)]
            data = coap.encode_options(options)
            assert coap.decode_options(data) == (options, b"")
            assert coap.decode_options(b"??" + data + b"\xffp", 2) == (options, b"p")
    assert coap.encode_options([(269, b"")]) == b"\xe0\0\0"
    assert coap.encode_options([(268, b"")]) == b"\xd0\xff"
    assert coap.encode_options([(12, b"")]) == b"\xc0"


def test_uint_is_minimal():
    assert coap.uint(0) == b""
    assert coap.uint(255) == b"\xff"
    assert coap.uint(256) == b"\x01\0"
    assert coap.uint(0xFFFFFF) == b"\xff\xff\xff"
    raises(UsageError, coap.uint, -1)


def test_code_text_and_critical():
    assert coap.code_text(coap.CONTENT) == "2.05"
    assert coap.code_text(coap.CONTINUE) == "2.31"
    assert coap.code_text(coap.TOO_MANY) == "4.29"
    assert coap.code_text(coap.UNAVAILABLE) == "5.03"
    assert coap.is_critical(coap.OSCORE) and coap.is_critical(coap.URI_PATH)
    assert not coap.is_critical(coap.EPOCH) and not coap.is_critical(coap.OBSERVE)


def test_header_malformed():
    rejects("")
    rejects("400100")
    rejects("00010000")  # version 0
    rejects("80010000")  # version 2
    rejects("c0010000")  # version 3
    rejects("49010000" + "00" * 9)  # token of 9
    rejects("4f010000" + "00" * 15)
    rejects("41010000")  # token of 1, which is missing
    rejects("48010000" + "00" * 7)  # token of 8, one byte is missing
    decode(unhex("48010000" + "00" * 8))


def test_empty_message_has_nothing_after_the_header():
    decode(unhex("40000001"))
    decode(unhex("60000001"))
    decode(unhex("70000001"))
    rejects("4000000111")
    rejects("41000001aa")
    rejects("40000001ff01")
    rejects("50000001")  # NON must not be empty (section 4.3)


def test_types_that_cannot_hold_this_code():
    rejects("70450001")  # RST with a response
    rejects("70010001")  # RST with a request
    rejects("60010001")  # ACK with a request
    rejects("60070001")
    for code in ("20", "3f", "c0", "e1"):  # classes 1, 6 and 7
        rejects("40" + code + "0001")


def test_options_malformed():
    rejects("40010001f0")  # delta 15 that is no payload marker
    rejects("400100010f")  # length 15
    rejects("40010001d0")  # delta byte missing
    rejects("40010001e000")  # delta bytes missing
    rejects("400100010d")  # length byte missing
    rejects("40010001b2" + "61")  # value cut short
    decode(unhex("40010001e0fef2"))  # number 65535
    rejects("40010001e0fef3")  # 65536
    rejects("40010001e0fef2" + "10")  # 65535, then 1 more
    rejects("40010001ff")  # marker without payload
    rejects("4001000100ff")


def test_option_values_of_the_wrong_size():
    for number, sizes in (
        (coap.URI_HOST, (0,)),
        (coap.ETAG, (0, 9)),
        (coap.OBSERVE, (4,)),
        (coap.URI_PORT, (3,)),
        (coap.CONTENT_FORMAT, (3,)),
        (coap.MAX_AGE, (5,)),
        (coap.ACCEPT, (3,)),
        (coap.EDHOC, (1,)),
        (coap.BLOCK2, (4,)),
        (coap.BLOCK1, (4,)),
        (coap.SIZE2, (5,)),
        (coap.ECHO, (0, 41)),
        (coap.URI_PATH, (256,)),
        (coap.URI_QUERY, (256,)),
        (coap.OSCORE, (256,)),
    ):
        for size in sizes:
            data = coap.encode_options([(number, b"a" * size)])
            raises(BadMessage, coap.decode_options, data)
    for number in (coap.URI_PATH, coap.OSCORE):
        options = [(number, b"a" * 255)]
        assert coap.decode_options(coap.encode_options(options))[0] == options


def test_text_options_are_utf8():
    for bad in ("ff", "c080", "eda080", "e282", "f4908080"):
        for number in (coap.URI_PATH, coap.URI_QUERY):
            data = coap.encode_options([(number, unhex(bad))])
            raises(BadMessage, coap.decode_options, data)
    # other options hold any bytes
    coap.decode_options(coap.encode_options([(coap.OSCORE, b"\xff")]))


def test_sizes_are_limited():
    head = unhex("40010001ff")
    decode(head + bytes(DATAGRAM_BYTES_MAX - 5))
    raises(TooLarge, decode, head + bytes(DATAGRAM_BYTES_MAX - 4))
    decode(unhex("40010001") + b"\x00" * OPTIONS_MAX)
    raises(TooLarge, decode, unhex("40010001") + b"\x00" * (OPTIONS_MAX + 1))
    raises(TooLarge, coap.decode_options, b"\x0e\0\x02" + bytes(271))


def test_largest_message_can_be_sent():
    message = Message(coap.CON, coap.GET, 1, bytes(8), bytes(DATAGRAM_BYTES_MAX - 13))
    assert len(message.encode()) == DATAGRAM_BYTES_MAX
    assert fields(decode(message.encode())) == fields(message)


def test_what_cannot_be_sent():
    raises(UsageError, Message(coap.CON, coap.GET).encode)
    raises(UsageError, Message(coap.CON, coap.GET, 1, bytes(9)).encode)
    raises(UsageError, Message(coap.CON, coap.GET, 1, b"", bytes(DATAGRAM_BYTES_MAX)).encode)
    raises(UsageError, coap.encode_options, [(11, b""), (6, b"")])
    raises(UsageError, coap.encode_options, [(65536, b"")])
    raises(UsageError, coap.encode_options, [(11, bytes(OPTION_BYTES_MAX + 1))])


def test_two_lists_of_segments_never_look_like_one_path():
    for segments in (("a/b",), (".",), ("a", ".."), ("/",)):
        message = Message(coap.CON, coap.GET)
        for segment in segments:
            message.add(coap.URI_PATH, segment)
        raises(BadOption, message.path)


def test_critical_options_must_be_known():
    known = (coap.URI_PATH, coap.URI_QUERY, coap.BLOCK2)
    coap.check_critical([(11, b"a"), (11, b"b"), (15, b"c"), (15, b"d"), (23, b"")], known)
    coap.check_critical([(coap.OBSERVE, b""), (65000, b""), (65000, b"")], known)
    raises(BadOption, coap.check_critical, [(coap.URI_HOST, b"h")], known)
    raises(BadOption, coap.check_critical, [(11, b"a"), (65001, b"")], known)
    # more than once where only once is allowed (RFC 7252, section 5.4.5)
    raises(BadOption, coap.check_critical, [(23, b""), (23, b"")], known)


RESOURCES = (
    ("temp", [("rt", "temperature-c sensor"), ("obs", None)]),
    ("led/1", [("rt", "light")]),
    ("led/2", []),
)


def test_link_format():
    assert (
        link_format(RESOURCES)
        == '</temp>;rt="temperature-c sensor";obs,</led/1>;rt="light",</led/2>'
    )
    raises(UsageError, link_format, [("a", [("rt", 'x"')])])


def test_link_format_filters():
    # RFC 6690, section 4.1
    temp = '</temp>;rt="temperature-c sensor";obs'
    for query, wanted in (
        ("rt=light", '</led/1>;rt="light"'),
        ("rt=sensor", temp),
        ("rt=temp*", temp),
        ("rt=temp", ""),
        ("obs", temp),
        ("href=/led/2", "</led/2>"),
        ("href=/led*", '</led/1>;rt="light",</led/2>'),
        ("if=x", ""),
    ):
        assert link_format(RESOURCES, [query]) == wanted
    assert link_format(RESOURCES, ["href=/led*", "rt=light"]) == '</led/1>;rt="light"'


def test_a_request_outside_oscore_is_known_at_a_glance():
    for options, plain in (
        (((coap.OSCORE, b"\x09"),), False),
        (((coap.OBSERVE, b""), (coap.OSCORE, b"\x09")), False),
        (((coap.URI_HOST, b"host"), (coap.OSCORE, b"\x09")), False),
        (((coap.URI_HOST, b"h" * 20), (coap.URI_PORT, b"\x16\x34"), (coap.OSCORE, b"\x09")), False),
        (((coap.URI_HOST, b"h" * 20), (coap.URI_PORT, b"\x16\x34"), (coap.ECHO, b"\x09")), True),
        (((coap.URI_PORT, b"\x16\x34"), (coap.URI_PATH, b"temp")), True),
        (((coap.URI_PATH, b"temp"),), True),
        (((coap.ECHO, bytes(8)),), True),
        ((), True),
    ):
        for token in (b"", bytes(8)):
            message = coap.Message(coap.CON, coap.POST, 1, token, b"x")
            for number, value in options:
                message.add(number, value)
            assert coap.is_plain(message.encode()) is plain
            message.code = coap.CONTENT
            assert coap.is_plain(message.encode()) is False
    assert coap.is_plain(coap.Message(coap.ACK, coap.EMPTY, 7).encode()) is False
    for junk in (b"", b"\x40", b"garbage", bytes(12), b"\xff" * 12, b"\x4f\x01\x00\x00"):
        assert coap.is_plain(junk) is True
