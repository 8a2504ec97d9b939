"""Plain CoAP for foundings: blocks, damaged requests and the rate limit."""

import threading

from writ.link.udp import UdpLink
from writ.wire import coap
from writ.wire.coap import Message
from writ_host.errors import HostError
from writ_host.governor.peering import bootstrap
from writ_host.governor.peering.bootstrap import FoundingServer, is_plain_request
from writ_host.node.plainclient import PlainClient


def test_bodies_go_in_and_out_in_blocks() -> None:
    got = []

    def serve(method: int, path: tuple[str, ...], body: bytes, _: str) -> tuple[int, bytes]:
        got.append((method, path, len(body)))
        if path == ("bad",):
            raise HostError("not this one")
        return (coap.CHANGED, b"") if method == coap.POST else (coap.CONTENT, b"y" * 1000)

    link, server, stop = UdpLink("127.0.0.1:0"), FoundingServer(serve), threading.Event()

    def loop() -> None:
        while not stop.is_set():
            found = link.receive(10)
            if found:
                assert is_plain_request(found[0])
                for address, datagram in server.receive(*found, 1000):
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
            assert (refused.code, refused.payload) == (coap.BAD_REQUEST, b"not this one")
            assert client.post("founding", b"x" * 20000).code == coap.TOO_LARGE
    finally:
        stop.set()
        thread.join()
        link.close()
    # the client fetches the blocks of an answer one by one
    assert got[0] == (coap.POST, (), 8000)
    assert set(got[1:]) == {(coap.GET, ("12", "3"), 0), (coap.GET, ("bad",), 0)}


def test_only_requests_are_answered() -> None:
    server = FoundingServer(lambda *_: (coap.CONTENT, b""))
    assert not is_plain_request(b"")
    assert not is_plain_request(b"\x50\x02\x00\x01")
    assert server.receive(b"\x40\x02\x00", "1.2.3.4:5", 0) == []
    assert server.receive(b"\x40\x45\x00\x01", "1.2.3.4:5", 0) == []
    # a path that is not UTF-8
    message = Message(coap.CON, coap.GET, 7)
    message.add(coap.URI_PATH, b"\xff")
    assert server.receive(message.encode(), "1.2.3.4:5", 0) == []


def test_unauthenticated_requests_have_a_rate_limit() -> None:
    server = FoundingServer(lambda *_: (coap.CONTENT, b""))
    answers = 0
    for number in range(2 * bootstrap.REQUESTS_BURST):
        message = Message(coap.CON, coap.GET, number)
        message.add_path("founding/x")
        answers += len(server.receive(message.encode(), "1.2.3.4:5", 0))
    assert answers == bootstrap.REQUESTS_BURST
