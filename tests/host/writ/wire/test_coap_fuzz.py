"""CoAP under arbitrary input, and byte for byte against aiocoap."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aiocoap
import pytest
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.optiontypes import BlockOption, StringOption, TypedOption, UintOption
from coap_link import Link
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from writ import limits
from writ.errors import BadMessage, Rejection
from writ.limits import DATAGRAM_BYTES_MAX
from writ.wire import coap
from writ.wire.blockwise import Assembler, Download, Upload, block_decode, slice_response
from writ.wire.exchange import Exchanges
from writ.wire.linkformat import link_format

pytestmark = pytest.mark.slow

# --- messages that the codec can hold

SIZES = dict(zip(coap._SIZED, zip(coap._LEAST, coap._MOST, strict=True), strict=True))
NUMBERS = [*SIZES, 0, 2, 13, 268, 269, 270, 2049, coap.EPOCH, 65535]
RESPONSE_CODES = list(range(0x40, 0xC0))


def text_of(least: int, most: int) -> st.SearchStrategy[bytes]:
    texts = st.text(st.characters(codec="utf-8"), min_size=least, max_size=most)
    return texts.map(str.encode).filter(lambda raw: least <= len(raw) <= most)


def value_of(number: int) -> st.SearchStrategy[bytes]:
    """Values that both libraries hold: minimal integers, and text where aiocoap wants it."""
    least, most = SIZES.get(number, (0, limits.OPTION_BYTES_MAX))
    kind = OptionNumber(number).format
    if issubclass(kind, StringOption):
        return text_of(least, min(most, 40))
    if issubclass(kind, (UintOption, TypedOption, BlockOption)):
        return st.integers(0, 256 ** min(most, 4) - 1).map(coap.uint)
    long = st.sampled_from([12, 13, 14, 255, 268, 269, 270])
    size = (st.integers(0, 40) | long).map(lambda size: max(least, min(most, size)))
    return size.flatmap(lambda size: st.binary(min_size=size, max_size=size))


options = st.lists(
    st.sampled_from(NUMBERS).flatmap(lambda n: st.tuples(st.just(n), value_of(n))), max_size=4
)


@st.composite
def messages(draw: Callable[..., Any]) -> coap.Message:
    kind = draw(st.sampled_from([coap.CON, coap.NON, coap.ACK]))
    codes = RESPONSE_CODES if kind == coap.ACK else [*range(1, 32), *RESPONSE_CODES]
    message = coap.Message(
        kind,
        draw(st.sampled_from(codes)),
        draw(st.integers(0, 0xFFFF)),
        draw(st.binary(max_size=8)),
        draw(st.binary(max_size=64)),
    )
    for number, value in draw(options):
        message.add(number, value)
    # an option's head has five bytes at most, the message's own head twelve with its token
    size = 13 + sum(5 + len(value) for _, value in message.options) + len(message.payload)
    assume(size <= DATAGRAM_BYTES_MAX)
    return message


def fields(message: coap.Message) -> tuple[Any, ...]:
    return (
        message.type,
        message.code,
        message.mid,
        message.token,
        message.options,
        message.payload,
    )


def to_aiocoap(message: coap.Message) -> aiocoap.Message:
    theirs = aiocoap.Message(
        code=message.code,
        payload=message.payload,
        _mtype=message.type,
        _mid=message.mid,
        _token=message.token,
    )
    for number, value in message.options:
        theirs.opt.add_option(OptionNumber(number).create_option(decode=value))
    return theirs


def aiocoap_fields(theirs: aiocoap.Message) -> tuple[Any, ...]:
    listed = [(int(option.number), option.encode()) for option in theirs.opt.option_list()]
    return (
        int(theirs.mtype),
        int(theirs.code),
        theirs.mid,
        theirs.token,
        listed,
        theirs.payload,
    )


@settings(max_examples=300)
@given(messages())
def test_round_trip_and_same_bytes_as_aiocoap(message: coap.Message) -> None:
    data = message.encode()
    assert fields(coap.decode(data)) == fields(message)
    assert to_aiocoap(message).encode() == data
    assert aiocoap_fields(aiocoap.Message.decode(data)) == fields(message)


# --- bytes that need not be messages


def damaged(draw: Callable[..., Any], data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(changed)))
        action = draw(st.sampled_from(["set", "insert", "cut"]))
        if action == "cut":
            del changed[at:]
        elif action == "insert":
            changed.insert(at, draw(st.integers(0, 255)))
        elif at < len(changed):
            changed[at] = draw(st.integers(0, 255))
    return bytes(changed)


@st.composite
def datagrams(draw: Callable[..., Any]) -> bytes:
    if draw(st.booleans()):
        return draw(st.binary(max_size=60))
    return damaged(draw, draw(messages()).encode())


def minimal(number: int, value: bytes) -> bytes:
    """What aiocoap keeps of an integer with leading zeros (RFC 7252, 3.2 lets us accept them)."""
    kind = OptionNumber(number).format
    if issubclass(kind, (UintOption, TypedOption, BlockOption)):
        return value.lstrip(b"\0")
    return value


@settings(max_examples=600)
@given(datagrams())
def test_what_is_accepted_means_the_same_to_aiocoap(data: bytes) -> None:
    try:
        message = coap.decode(data)
    except Rejection:
        return
    try:
        theirs = aiocoap_fields(aiocoap.Message.decode(data))
    except UnicodeDecodeError:
        # aiocoap wants UTF-8 in options that Writ does not use, too
        assert any(
            issubclass(OptionNumber(number).format, StringOption)
            for number, _ in message.options
            if number not in (coap.URI_PATH, coap.URI_QUERY)
        )
        return
    ours = list(fields(message))
    # aiocoap gathers equal numbers, which are neighbours in any case
    ours[4] = [(number, minimal(number, value)) for number, value in message.options]
    assert tuple(ours) == theirs
    # one encoding only, but for the extended form, which RFC 7252 does not forbid where it is long
    assert fields(coap.decode(message.encode())) == fields(message)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 4))
def test_inner_messages_raise_rejections_only(data: bytes, start: int) -> None:
    try:
        found, payload = coap.decode_options(data, start)
    except Rejection:
        return
    body = data[start:]
    again = coap.encode_options(found) + (b"\xff" + payload if payload else b"")
    assert again == body or len(again) < len(body)
    assert coap.decode_options(again) == (found, payload)


@settings(max_examples=200)
@given(datagrams())
def test_requests_raise_rejections_only(data: bytes) -> None:
    try:
        message = coap.decode(data)
        coap.check_critical(message.options, (coap.URI_PATH, coap.BLOCK1, coap.BLOCK2))
        path, query = message.path(), message.query()
    except Rejection:
        return
    assert path.split("/") == message_segments(message) or not message_segments(message)
    link_format([("temp", [("rt", "a b"), ("obs", None)])], query)


def message_segments(message: coap.Message) -> list[str]:
    return [value.decode() for value in message.options_all(coap.URI_PATH)]


# --- blocks

blocks = st.tuples(
    st.sampled_from([None, coap.BLOCK1, coap.BLOCK2]),
    st.integers(0, 40) | st.integers(0, 0xFFFFF),
    st.booleans(),
    st.integers(0, 7),
    st.sampled_from([0, 1, 15, 16, 17, 32, 64, 1024]),
    st.sampled_from([coap.CONTINUE, coap.CONTENT, coap.TOO_LARGE, coap.CHANGED]),
    st.sampled_from([None, b"a", b"b"]),
)


@settings(max_examples=300)
@given(st.lists(blocks, max_size=12), st.integers(0, 6), st.integers(0, 3000))
def test_any_blocks_raise_rejections_only(
    sequence: list[tuple[Any, ...]], szx: int, size: int
) -> None:
    assembler, download, upload = Assembler(), Download(), Upload(bytes(size), szx)
    for number, num, more, block_szx, length, code, etag in sequence:
        message = coap.Message(coap.CON, code, 1, b"", bytes(length))
        if number is not None:
            message.add(number, num << 4 | more << 3 | block_szx)
        if etag:
            message.add(coap.ETAG, etag)
        for step in (
            partial(assembler.receive, num % 3, message, 0),
            partial(download.feed, message),
            partial(upload.feed, message),
            partial(slice_response, bytes(size), message.option(coap.BLOCK2), szx),
        ):
            with suppress(Rejection):
                step()
        assert len(assembler.transfers) <= limits.TRANSFERS_MAX
        held = [entry[0] for entry in assembler.transfers.values()]
        assert all(len(body) <= limits.BODY_BYTES_MAX for body in [*held, download._body])
        value, payload = upload.next()
        assert value is None or block_decode(value)[0] * (16 << block_decode(value)[2]) < size
        assert bytes(size)[: len(payload)] == payload


@settings(max_examples=100)
@given(
    st.binary(max_size=limits.BODY_BYTES_MAX),
    st.integers(0, 6),
    st.integers(0, 6),
    st.lists(st.integers(0, 6), max_size=3),
)
def test_bodies_cross_whole_whatever_the_sizes(
    body: bytes, asked: int, szx: int, smaller: list[int]
) -> None:
    download = Download(coap.uint(asked))
    whole = None
    while whole is None:
        payload, extra = slice_response(body, download.block2, szx)
        response = coap.Message(coap.ACK, coap.CONTENT, 1, b"", payload)
        for number, value in extra:
            response.add(number, value)
        whole = download.feed(response)
    assert whole == body
    assembler, upload, sizes = Assembler(), Upload(body, szx), list(smaller)
    result = None
    while result is None:
        value, payload = upload.next()
        request = coap.Message(coap.CON, coap.PUT, 1, b"", payload)
        if value is not None:
            request.add(coap.BLOCK1, value)
        result, response = assembler.receive("peer", request, 0)
        if response is not None:
            num, more, now = block_decode(response.option(coap.BLOCK1))
            if sizes:
                # a server that wants smaller blocks, and says so at any time
                response.options = []
                response.add(coap.BLOCK1, num << 4 | more << 3 | min(now, sizes.pop()))
            assert upload.feed(response) is False
    assert result == body


# --- the message layer

steps = st.lists(
    st.tuples(
        st.sampled_from("receive receive receive request notify answer tick end".split()),  # noqa: SIM905
        messages(),
        st.sampled_from("ab"),
        st.integers(0, 100000),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(steps)
def test_exchanges_stay_within_limits(sequence: list[tuple[Any, ...]]) -> None:
    exchanges = Exchanges(bytes)
    now_ms = 0
    for action, message, address, elapsed_ms, mid in sequence:
        now_ms += elapsed_ms
        message.mid = mid
        message.token = message.token[:1]
        try:
            if action == "receive":
                verdict, replies = exchanges.receive(message, address, now_ms)
                assert verdict in ("new", "duplicate", "done")
                assert all(coap.decode(data).type >= coap.ACK for _, data in replies)
            elif action == "request":
                request = coap.Message(coap.CON, coap.GET)
                exchanges.begin(request, address, "context")
                exchanges.send(request, address, now_ms)
            elif action == "notify":
                exchanges.send(coap.Message(message.type & 1, coap.CONTENT), address, now_ms)
            elif action == "answer":
                exchanges.answer(message, coap.Message(0, coap.CONTENT), address, now_ms)
            elif action == "tick":
                exchanges.tick(now_ms)
                left_ms = exchanges.next_ms(now_ms)
                assert left_ms is None or left_ms >= 0
            else:
                exchanges.end(address, message.token)
        except Rejection:
            pass
        assert max(map(len, exchanges.seen)) <= limits.DEDUP_MAX
        assert len(exchanges._loose) <= limits.DEDUP_MAX
        assert len(exchanges.pending) <= limits.REQUESTS_MAX
        assert len(exchanges._confirmable) <= limits.REQUESTS_MAX + limits.OBSERVERS_MAX
    # without any answer all requests come to an end
    while exchanges.next_ms(now_ms) is not None:
        now_ms += exchanges.next_ms(now_ms)
        before = len(exchanges._confirmable)
        exchanges.tick(now_ms)
        assert len(exchanges._confirmable) <= before
    assert not exchanges.pending and not exchanges._confirmable


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["ok", "lost", "twice", "late"]), min_size=8, max_size=40),
    st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_each_request_is_handled_once_and_concluded_once(
    fates: list[str], separate: list[bool]
) -> None:
    lost = fates.count("lost")
    link = Link(fates, separate)
    for number in range(3):
        link.request(number)
    link.run()
    assert sorted(link.concluded) == [0, 1, 2]
    assert len(link.handled) == len(set(link.handled)) <= 3
    # a message is sent five times, so four losses are always repaired
    assert lost > 4 or (len(link.handled) == 3 and not link.failures)


def test_reserved_block_size_is_the_only_one_refused() -> None:
    for value in range(1 << 12):
        try:
            block_decode(coap.uint(value))
        except BadMessage:
            assert value & 7 == 7
        else:
            assert value & 7 != 7
