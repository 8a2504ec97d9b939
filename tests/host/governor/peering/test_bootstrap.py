"""Plain CoAP for foundings: blocks, damaged requests and the rate limit."""

import itertools
import threading
from collections.abc import Sequence
from typing import cast

import pytest

from writ.errors import BadShape, Rejection
from writ.link.udp import UdpLink
from writ.wire import coap
from writ.wire.blockwise import block_encode
from writ.wire.coap import Message
from writ_host.governor.peering import bootstrap
from writ_host.governor.peering.bootstrap import (
    FoundingServer,
    InvitationClient,
    Serve,
    is_plain_request,
)
from writ_host.node.plainclient import PlainClient

SOURCE = "1.2.3.4:5"


class Rig:
    """A server. refused: its refusals by name."""

    def __init__(self, serve: Serve = lambda *_: (coap.CONTENT, b"")) -> None:
        self.refused: dict[str, int] = {}
        self.server = FoundingServer(serve, self._count)
        self.now_ms = 0
        self._mids = itertools.count()

    def _count(self, rejection: Rejection, _: str) -> None:
        name = type(rejection).__name__
        self.refused[name] = self.refused.get(name, 0) + 1

    def ask(
        self,
        method: int,
        path: str,
        body: bytes = b"",
        options: Sequence[tuple[int, bytes]] = (),
        source: str = SOURCE,
    ) -> Message:
        """The answer to one request."""
        message = Message(coap.CON, method, next(self._mids), b"t", body)
        message.add_path(path)
        for number, value in options:
            message.add(number, value)
        ((to, datagram),) = self.server.receive(message.encode(), source, self.now_ms)
        assert to == source
        return cast(Message, coap.decode(datagram))

    def block(self, number: int, more: bool, body: bytes, source: str = SOURCE) -> Message:
        """The answer to a block of 16 bytes of an invitation."""
        option = (coap.BLOCK1, block_encode(number, more, 0))
        return self.ask(coap.POST, "founding", body, [option], source)


def test_bodies_go_in_and_out_in_blocks() -> None:
    got = []

    def serve(method: int, path: tuple[str, ...], body: bytes, _: str) -> tuple[int, bytes]:
        got.append((method, path, len(body)))
        if path == ("bad",):
            raise BadShape("not this one")
        return (coap.CHANGED, b"") if method == coap.POST else (coap.CONTENT, b"y" * 1000)

    link, rig, stop = UdpLink("127.0.0.1:0"), Rig(serve), threading.Event()

    def loop() -> None:
        while not stop.is_set():
            found = link.receive(10)
            if found:
                assert is_plain_request(found[0])
                for address, datagram in rig.server.receive(*found, 1000):
                    link.send(address, datagram)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        with PlainClient(f"127.0.0.1:{link.port()}", 5) as client:
            assert client.post("founding", b"x" * 8000).code == coap.CHANGED
            answer = client.get("founding/12/3")
            assert (answer.code, answer.payload) == (coap.CONTENT, b"y" * 1000)
            assert client.get("other").code == coap.NOT_FOUND
            refused = client.get("founding/bad")
            assert (refused.code, refused.payload) == (
                coap.BAD_REQUEST,
                b"20 BadShape not this one",
            )
            refused = client.post("founding", b"x" * 20000)
            assert (refused.code, refused.payload) == (coap.TOO_LARGE, b"10 TooLarge")
            # what fits here, not what fits a device
            assert refused.option_uint(coap.SIZE1) == bootstrap.BODY_BYTES_MAX
    finally:
        stop.set()
        thread.join()
        link.close()
    # the client fetches the blocks of an answer one by one
    assert got[0] == (coap.POST, (), 8000)
    assert set(got[1:]) == {(coap.GET, ("12", "3"), 0), (coap.GET, ("bad",), 0)}
    assert rig.refused == {"NotFound": 1, "BadShape": 1, "TooLarge": 1}


def test_only_requests_are_answered() -> None:
    rig = Rig()
    assert not is_plain_request(b"")
    assert not is_plain_request(b"\x50\x02\x00\x01")
    assert rig.server.receive(b"\x40\x02\x00", SOURCE, 0) == []
    # a response that is confirmable
    assert rig.server.receive(b"\x40\x45\x00\x01", SOURCE, 0) == []
    # a path that is not UTF-8
    message = Message(coap.CON, coap.GET, 7)
    message.add(coap.URI_PATH, b"\xff")
    assert rig.server.receive(message.encode(), SOURCE, 0) == []
    assert rig.refused == {"BadMessage": 3}


@pytest.mark.parametrize(
    ("method", "path", "code", "payload"),
    [
        (coap.GET, "other", coap.NOT_FOUND, b"85 NotFound"),
        (coap.DELETE, "founding", coap.METHOD_NOT_ALLOWED, b"86 WrongMethod"),
        (coap.FETCH, "founding/12", coap.METHOD_NOT_ALLOWED, b"86 WrongMethod"),
    ],
)
def test_a_refusal_has_a_name_a_code_and_a_counter(
    method: int, path: str, code: int, payload: bytes
) -> None:
    rig = Rig()
    answer = rig.ask(method, path)
    assert (answer.code, answer.payload) == (code, payload)
    assert rig.refused == {payload.split()[1].decode(): 1}


def test_an_unknown_critical_option_is_refused_by_name() -> None:
    rig = Rig()
    answer = rig.ask(coap.GET, "founding/12", options=[(coap.OSCORE, b"")])
    assert (answer.code, answer.payload) == (coap.BAD_OPTION, b"81 BadOption")


def test_blocks_that_do_not_fit_are_refused_by_name() -> None:
    rig = Rig()
    for number, more, body, code, payload in [
        (1, True, 16, coap.INCOMPLETE, b"82 BlockMismatch"),
        (0, True, 15, coap.BAD_REQUEST, b"80 BadMessage"),
    ]:
        answer = rig.block(number, more, b"x" * body)
        assert (answer.code, answer.payload) == (code, payload)
    assert rig.refused == {"BlockMismatch": 1, "BadMessage": 1}


def strangers(rig: Rig, blocks: int = 1) -> None:
    """Fill the table: so many blocks from each of TRANSFERS_MAX addresses."""
    for number in range(blocks):
        for source in range(bootstrap.TRANSFERS_MAX):
            answer = rig.block(number, True, b"x" * 16, f"5.6.7.{source}:8")
            assert answer.code == coap.CONTINUE


def test_first_blocks_of_strangers_do_not_keep_an_invitation_out() -> None:
    rig = Rig(lambda _method, _path, body, _source: (coap.CONTENT, body))
    for number in range(4):
        assert rig.block(number, True, b"%x" % number * 16).code == coap.CONTINUE
        # between two blocks fewer than fill the table
        for stranger in range(bootstrap.TRANSFERS_MAX - 1):
            rig.block(0, True, b"x" * 16, f"6.7.8.{number}:{stranger}")
    assert rig.block(4, False, b"end").payload.endswith(b"3333end")
    # each displaced upload is counted
    assert rig.refused == {"TableFull": 3 * (bootstrap.TRANSFERS_MAX - 1)}


@pytest.mark.parametrize("blocks", [1, 3])
def test_unfinished_uploads_of_strangers_give_way(blocks: int) -> None:
    rig = Rig(lambda _method, _path, body, _source: (coap.CONTENT, body))
    strangers(rig, blocks)
    sources = [f"9.9.9.{number}:9" for number in range(4)]
    for number in range(2):
        for source in sources:
            assert rig.block(number, True, b"a" * 16, source).code == coap.CONTINUE
    for source in sources:
        assert rig.block(2, False, b"b", source).code == coap.CONTENT
    assert rig.refused == {"TableFull": 4}


def test_a_repeated_block_under_a_new_message_id_keeps_the_upload() -> None:
    rig = Rig(lambda _method, _path, body, _source: (coap.CONTENT, body))
    for number, body in ((0, b"a" * 16), (1, b"b" * 16), (1, b"b" * 16), (0, b"a" * 16)):
        assert rig.block(number, True, body).code == coap.CONTINUE
    assert rig.block(2, False, b"c").payload == b"a" * 16 + b"b" * 16 + b"c"


def test_an_upload_that_begins_anew_replaces_the_earlier_one() -> None:
    rig = Rig(lambda _method, _path, body, _source: (coap.CONTENT, body))
    for number, body in ((0, b"a" * 16), (1, b"b" * 16), (0, b"c" * 16)):
        assert rig.block(number, True, body).code == coap.CONTINUE
    assert rig.block(2, False, b"d").code == coap.INCOMPLETE


def test_unauthenticated_requests_have_a_rate_limit() -> None:
    rig = Rig()
    answers = 0
    for number in range(2 * bootstrap.REQUESTS_BURST):
        message = Message(coap.CON, coap.GET, number)
        message.add_path("founding/x")
        answers += len(rig.server.receive(message.encode(), SOURCE, 0))
    assert answers == bootstrap.REQUESTS_BURST
    # no answer, which would double a flood
    assert rig.refused == {"RateLimited": bootstrap.REQUESTS_BURST}


def test_a_long_text_of_a_refusal_fits_one_message() -> None:
    def refuse(*_: object) -> tuple[int, bytes]:
        raise BadShape("\u20ac" * 1000)

    payload = bytes(Rig(refuse).ask(coap.GET, "founding/1").payload)
    assert len(payload) <= bootstrap.REFUSAL_BYTES_MAX
    assert payload.decode().startswith("20 BadShape \u20ac")


def test_a_wrong_answer_to_an_invitation_is_counted() -> None:
    refused: list[str] = []
    client = InvitationClient(lambda rejection, _: refused.append(type(rejection).__name__))
    ((_, datagram),) = client.invite(SOURCE, b"x" * 1000, 0)
    sent = coap.decode(datagram)
    # 2.31 without the block that it continues
    answer = Message(coap.ACK, coap.CONTINUE, sent.mid, sent.token)
    assert client.receive(answer.encode(), SOURCE, 1) == []
    assert refused == ["BlockMismatch"]
