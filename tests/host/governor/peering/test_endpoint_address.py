"""The endpoint of a governor with several addresses answers from the one that was asked."""

import contextlib
import socket
import time
from pathlib import Path

import pytest

from writ.wire import coap
from writ.wire.coap import Message
from writ_host import inet
from writ_host.governor.peering.endpoint import PeerEndpoint
from writ_host.keys.identity import Identity

HOSTS = [
    "0.0.0.0",
    pytest.param("[::]", marks=pytest.mark.skipif(not inet.has_ipv6(), reason="no IPv6")),
]


class Store:
    """A store that has written everything."""

    failure = None
    is_dirty = False

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.mark.parametrize("bound", HOSTS)
def test_an_answer_leaves_from_the_address_that_was_asked(tmp_path: Path, bound: str) -> None:
    def fail(error: Exception, *_: object) -> None:
        raise error

    endpoint = PeerEndpoint(
        f"{bound}:0",
        Identity.generate("anna"),
        tmp_path / "peers.toml",
        Store(),
        lambda: int(time.monotonic() * 1000),
        lambda *_: None,
        lambda *_: (coap.CONTENT, b"hello"),
        lambda *_: None,
        fail,
    )
    port = endpoint.socket.getsockname()[1]
    request = Message(coap.CON, coap.GET, 7, b"a")
    request.add_path("founding")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            client.settimeout(5)
            for host in ("127.0.0.1", "127.0.0.9"):
                client.sendto(request.encode(), (host, port))
                # the socket is readable once this has arrived
                endpoint.socket.setblocking(True)
                endpoint.socket.recv(1, socket.MSG_PEEK)
                endpoint.socket.setblocking(False)
                endpoint.on_readable(0)
                assert client.recvfrom(2048)[1] == (host, port)
    finally:
        endpoint.close()
