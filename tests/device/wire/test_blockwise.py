"""Block-wise transfer: the examples of RFC 7959, round trips, and faulty servers and clients."""

from harness import raises

from writ.errors import BadMessage, BlockMismatch, Rejection, TableFull, TooLarge
from writ.limits import BODY_BYTES_MAX, TRANSFER_TIMEOUT_MS, TRANSFERS_MAX
from writ.wire import coap
from writ.wire.blockwise import (
    Assembler,
    Download,
    Upload,
    block_decode,
    block_encode,
    slice_response,
)
from writ.wire.coap import Message

BODY = bytes([i * 7 & 255 for i in range(600)])


def put(num, more, szx, payload, path="config"):
    message = Message(coap.CON, coap.PUT, 1, b"t", payload)
    message.add_path(path)
    message.add(coap.BLOCK1, block_encode(num, more, szx))
    return message


def content(num, more, szx, payload, etag=b"v1"):
    message = Message(coap.ACK, coap.CONTENT, 1, b"t", payload)
    message.add(coap.BLOCK2, block_encode(num, more, szx))
    if etag:
        message.add(coap.ETAG, etag)
    return message


def answer(code, num=None, more=False, szx=4):
    message = Message(coap.ACK, code, 1, b"t")
    if num is not None:
        message.add(coap.BLOCK1, block_encode(num, more, szx))
    return message


def fetch(body, download, szx_max):
    """Run a download against `slice_response`: (body, number of requests)."""
    for count in range(1, 1000):
        payload, options = slice_response(body, download.block2, szx_max)
        response = Message(coap.ACK, coap.CONTENT, 1, b"t", payload)
        for number, value in options:
            response.add(number, value)
        result = download.feed(response)
        if result is not None:
            return result, count
    raise AssertionError("never ends")


def test_option_values():
    # RFC 7959, section 2.2: NUM << 4 | M << 3 | SZX; figure 2 starts with 2:0/0/64 and 2:0/1/128
    assert block_encode(0, False, 0) == b""
    assert block_encode(0, False, 2) == b"\x02"
    assert block_encode(0, True, 3) == b"\x0b"
    assert block_encode(31, True, 6) == b"\x01\xfe"
    assert block_decode(b"") == (0, False, 0)
    for num in (0, 1, 15, 16, 4095, 4096, 0xFFFFF):
        for more in (False, True):
            for szx in range(7):
                assert block_decode(block_encode(num, more, szx)) == (num, more, szx)


def test_reserved_size_is_refused():
    raises(BadMessage, block_decode, b"\x07")
    raises(BadMessage, block_decode, b"\x0f")
    raises(BadMessage, block_decode, b"\0\0\0\0")


def test_small_body_needs_no_blocks():
    assert slice_response(b"21.5", None) == (b"21.5", [])
    assert slice_response(bytes(256), None, 4) == (bytes(256), [])
    assert slice_response(b"", None) == (b"", [])


def test_slices_follow_the_size_asked_for():
    payload, options = slice_response(BODY, None, 4)
    etag = options[0][1]
    assert payload == BODY[:256] and len(etag) == 4
    assert options == [(coap.ETAG, etag), (coap.BLOCK2, block_encode(0, True, 4))]
    # smaller as asked
    payload, options = slice_response(BODY, block_encode(1, False, 2), 4)
    assert payload == BODY[64:128] and options[1][1] == block_encode(1, True, 2)
    # larger than our blocks: the same offset in smaller blocks (RFC 7959, section 2.3)
    payload, options = slice_response(BODY, block_encode(1, False, 5), 4)
    assert payload == BODY[512:] and options[1][1] == block_encode(2, False, 4)
    # the last
    payload, options = slice_response(BODY, block_encode(2, False, 4), 4)
    assert payload == BODY[512:] and options[1][1] == block_encode(2, False, 4)
    # a whole body still has Block2 when a block was asked for
    assert slice_response(b"x", b"\x02", 4)[1][1] == (coap.BLOCK2, b"\x02")


def test_slice_beyond_the_end_is_refused():
    raises(BadMessage, slice_response, BODY, block_encode(3, False, 4))
    raises(BadMessage, slice_response, bytes(512), block_encode(2, False, 4))
    raises(BadMessage, slice_response, b"", block_encode(1, False, 0))
    raises(BadMessage, slice_response, BODY, b"\x07")


def test_download_round_trips():
    for size in (0, 1, 255, 256, 257, 512, 600, BODY_BYTES_MAX):
        body = (BODY * 4)[:size]
        for szx in (0, 2, 4, 6):
            block = 16 << szx
            blocks = max(1, (size + block - 1) // block)
            assert fetch(body, Download(), szx) == (body, blocks)
            # the client asks for blocks of 64 at once
            wanted = max(1, (size + 63) // 64) if szx > 2 else blocks
            assert fetch(body, Download(block_encode(0, False, 2)), szx) == (body, wanted)


def test_download_sees_a_changed_body():
    download = Download()
    assert download.feed(content(0, True, 0, bytes(16))) is None
    raises(BlockMismatch, download.feed, content(1, False, 0, b"x", b"v2"))
    for first, second in ((b"v1", None), (None, b"v1")):
        download = Download()
        assert download.feed(content(0, True, 0, bytes(16), first)) is None
        raises(BlockMismatch, download.feed, content(1, False, 0, b"x", second))
    # and the ETags that slice_response gives differ
    one = slice_response(BODY, None)[1][0]
    other = slice_response(BODY[:-1] + b"?", None)[1][0]
    assert one[0] == other[0] == coap.ETAG and one[1] != other[1]


def test_download_takes_only_the_block_that_follows():
    for wrong in (
        content(0, True, 0, bytes(16)),
        content(2, False, 0, b"x"),
        Message(coap.ACK, coap.CONTENT, 1, b"t", b"x"),
    ):
        download = Download()
        assert download.feed(content(0, True, 0, bytes(16))) is None
        assert download.block2 == block_encode(1, False, 0)
        raises(BlockMismatch, download.feed, wrong)
        # the refused block has left no trace
        assert download.feed(content(1, False, 0, b"x")) == bytes(16) + b"x"
    raises(BlockMismatch, Download().feed, content(1, False, 0, b"x"))


def test_download_checks_block_sizes():
    raises(BadMessage, Download().feed, content(0, True, 0, bytes(15)))
    raises(BadMessage, Download().feed, content(0, True, 0, b""))
    raises(BadMessage, Download().feed, content(0, True, 0, bytes(17)))
    raises(BadMessage, Download().feed, content(0, False, 0, bytes(17)))
    raises(BadMessage, Download().feed, content(0, True, 7, bytes(2048)))


def test_download_is_limited():
    download = Download()
    count = BODY_BYTES_MAX // 1024
    for num in range(count):
        assert download.feed(content(num, True, 6, bytes(1024))) is None
    raises(TooLarge, download.feed, content(count, False, 6, b"x"))
    raises(TooLarge, Download().feed, Message(2, coap.CONTENT, 1, b"", bytes(BODY_BYTES_MAX + 1)))


def send(body, szx, assembler, peer="p"):
    """Run an upload against an assembler: (body, number of requests)."""
    upload = Upload(body, szx)
    for count in range(1, 1000):
        value, payload = upload.next()
        message = Message(coap.CON, coap.PUT, 1, b"t", payload)
        if value is not None:
            message.add(coap.BLOCK1, value)
        result, response = assembler.receive(peer, message, 0)
        if response is None:
            assert upload.feed(answer(coap.CHANGED)) is True
            return result, count
        assert upload.feed(response) is False
    raise AssertionError("never ends")


def test_upload_round_trips():
    assembler = Assembler()
    for size in (0, 1, 255, 256, 257, 512, 600, BODY_BYTES_MAX):
        body = (BODY * 4)[:size]
        for szx in (0, 4, 6):
            block = 16 << szx
            assert send(body, szx, assembler) == (body, max(1, (size + block - 1) // block))


def test_upload_obeys_a_smaller_size():
    # RFC 7959, figure 8: 1:0/1/128, answered 1:0/1/32, goes on with 1:4/1/32
    upload = Upload(BODY[:192], 3)
    assert upload.next() == (block_encode(0, True, 3), BODY[:128])
    assert upload.feed(answer(coap.CONTINUE, 0, True, 1)) is False
    assert upload.next() == (block_encode(4, True, 1), BODY[128:160])
    assert upload.feed(answer(coap.CONTINUE, 4, True, 1)) is False
    assert upload.next() == (block_encode(5, False, 1), BODY[160:192])
    assert upload.feed(answer(coap.CHANGED, 5, False, 1)) is True


def test_upload_begins_anew_with_smaller_blocks_after_too_large():
    # RFC 7959, section 2.9.3: 4.13 with a smaller size in Block1
    upload = Upload(BODY[:100], 4)
    assert upload.next() == (None, BODY[:100])
    assert upload.feed(answer(coap.TOO_LARGE, 0, True, 2)) is False
    assert upload.next() == (block_encode(0, True, 2), BODY[:64])
    # no smaller: final, so it ends
    assert upload.feed(answer(coap.TOO_LARGE, 0, True, 2)) is True
    assert upload.feed(answer(coap.TOO_LARGE)) is True


def test_upload_refuses_answers_that_do_not_fit():
    for wrong in (
        answer(coap.CONTINUE),
        answer(coap.CONTINUE, 1, True, 4),
        answer(coap.CONTINUE, 0, True, 5),
        answer(coap.CHANGED, 0, False, 4),
    ):
        upload = Upload(BODY, 4)
        raises(BlockMismatch, upload.feed, wrong)
        assert upload.next() == (block_encode(0, True, 4), BODY[:256])
    # nothing is left to continue with
    raises(BlockMismatch, Upload(b"x").feed, answer(coap.CONTINUE, 0, True, 4))
    raises(BadMessage, Upload(BODY).feed, answer(coap.CONTINUE, 0, True, 7))


def test_upload_ends_with_an_error():
    assert Upload(BODY).feed(answer(coap.FORBIDDEN)) is True
    assert Upload(BODY).feed(answer(coap.INCOMPLETE, 0, True, 4)) is True


def test_assembler_passes_a_body_without_blocks():
    message = Message(coap.CON, coap.PUT, 1, b"t", b"on")
    assert Assembler().receive("p", message, 0) == (b"on", None)


def code_of(assembler, *args):
    """The code of the answer to a block, or the class of the rejection."""
    try:
        body, response = assembler.receive(*args)
    except Rejection as rejection:
        return type(rejection)
    assert body is None
    return response.code


def test_assembler_answers_with_the_same_block():
    body, response = Assembler().receive("p", put(0, True, 0, bytes(16)), 0)
    assert body is None and response.code == coap.CONTINUE
    assert response.options == [(coap.BLOCK1, block_encode(0, True, 0))]


def test_assembler_takes_only_the_block_that_follows():
    assembler = Assembler()
    assert code_of(assembler, "p", put(1, False, 0, b"x"), 0) == BlockMismatch
    assert code_of(assembler, "p", put(0, True, 0, bytes(16)), 0) == coap.CONTINUE
    assert code_of(assembler, "p", put(2, False, 0, b"x"), 0) == BlockMismatch
    # the transfer is over: even the block that would have followed does not revive it
    assert code_of(assembler, "p", put(1, False, 0, b"x"), 0) == BlockMismatch
    # a first block begins anew
    assert code_of(assembler, "p", put(0, True, 0, b"a" * 16), 0) == coap.CONTINUE
    assert code_of(assembler, "p", put(0, True, 0, b"b" * 16), 0) == coap.CONTINUE
    assert assembler.receive("p", put(1, False, 0, b"x"), 0) == (b"b" * 16 + b"x", None)


def test_a_repeated_block_loses_no_upload():
    # a client's own retry has a new message id: the message layer takes it for a new request
    assembler = Assembler()
    for num in (0, 0, 1, 1, 0, 1, 2, 1, 2):
        block = put(num, True, 4, BODY[256:512] if num == 1 else BODY[:256])
        assert code_of(assembler, "p", block, num) == coap.CONTINUE
    body, _ = assembler.receive("p", put(3, False, 4, b"end"), 3)
    assert body == BODY[:256] + BODY[256:512] + BODY[:256] + b"end"
    # the transfer is over
    assert code_of(assembler, "p", put(3, False, 4, b"end"), 3) == BlockMismatch


def test_an_upload_that_begins_anew_keeps_nothing_of_the_last_one():
    assembler = Assembler()
    first = (b"a" * 16, b"b" * 16, b"c" * 16)
    for second in ((b"x" * 16, b"y" * 16), (b"a" * 16, b"y" * 16), (b"a" * 16,)):
        for num in range(3):
            assembler.receive("p", put(num, True, 0, first[num]), 0)
        for num in range(len(second)):
            assert code_of(assembler, "p", put(num, True, 0, second[num]), 0) == coap.CONTINUE
        last = put(len(second), False, 0, b"z")
        assert assembler.receive("p", last, 0) == (b"".join(second) + b"z", None)


def test_assembler_keeps_transfers_apart():
    others = [put(1, False, 0, b"x", "other"), put(1, False, 0, b"x"), put(1, False, 0, b"x")]
    others[1].code = coap.POST
    others[2].add(coap.CONTENT_FORMAT, 60)
    query = put(1, False, 0, b"x")
    query.add(coap.URI_QUERY, "q")
    assembler = Assembler()
    assembler.receive("p", put(0, True, 0, bytes(16)), 0)
    for other in others + [query]:
        assert code_of(assembler, "p", other, 0) == BlockMismatch
    assert code_of(assembler, "q", put(1, False, 0, b"x"), 0) == BlockMismatch
    assert assembler.receive("p", put(1, False, 0, b"x"), 0)[0] == bytes(16) + b"x"


def test_assembler_limits_a_body():
    assembler = Assembler()
    count = BODY_BYTES_MAX // 1024
    for num in range(count):
        assert code_of(assembler, "p", put(num, True, 6, bytes(1024)), 0) == coap.CONTINUE
    assert code_of(assembler, "p", put(count, False, 6, b"x"), 0) == TooLarge
    assert code_of(assembler, "p", put(count, False, 6, b""), 0) == BlockMismatch


def test_assembler_limits_transfers():
    assembler = Assembler()
    for peer in range(TRANSFERS_MAX):
        assembler.receive(peer, put(0, True, 0, bytes(16)), 0)
    assert code_of(assembler, "p", put(0, True, 0, bytes(16)), 1) == TableFull
    # transfers under way continue, and may begin anew
    assert code_of(assembler, 0, put(0, True, 0, bytes(16)), 1) == coap.CONTINUE
    assert assembler.receive(1, put(1, False, 0, b"x"), 1)[0] == bytes(16) + b"x"
    assert code_of(assembler, "p", put(0, True, 0, bytes(16)), 1) == coap.CONTINUE


def test_first_blocks_of_strangers_keep_no_place():
    assembler = Assembler(True)
    now_ms = 0
    for stranger in range(2 * TRANSFERS_MAX):
        now_ms += 1
        assert code_of(assembler, stranger, put(0, True, 0, bytes(16)), now_ms) == coap.CONTINUE
    # an upload that goes on is not displaced by fewer than fill the table
    for num in range(4):
        now_ms += 1
        assert code_of(assembler, "p", put(num, True, 0, bytes(16)), now_ms) == coap.CONTINUE
        for stranger in range(TRANSFERS_MAX - 1):
            now_ms += 1
            assembler.receive((num, stranger), put(0, True, 0, bytes(16)), now_ms)
        assert len(assembler.transfers) == TRANSFERS_MAX
    assert assembler.receive("p", put(4, False, 0, b"x"), now_ms)[0] == bytes(64) + b"x"


def test_assembler_forgets_in_time():
    assembler = Assembler()
    for peer in range(TRANSFERS_MAX):
        assembler.receive(peer, put(0, True, 0, bytes(16)), 0)
    late = TRANSFER_TIMEOUT_MS
    assert code_of(assembler, 0, put(1, True, 0, bytes(16)), late - 1) == coap.CONTINUE
    assert code_of(assembler, 1, put(1, True, 0, bytes(16)), late) == BlockMismatch
    assert code_of(assembler, 0, put(2, True, 0, bytes(16)), late) == coap.CONTINUE


def test_assembler_checks_block_sizes():
    for bad in (
        put(0, True, 0, bytes(15)),
        put(0, True, 0, bytes(17)),
        put(0, False, 0, bytes(17)),
        put(0, True, 7, bytes(2048)),
    ):
        raises(BadMessage, Assembler().receive, "p", bad, 0)
