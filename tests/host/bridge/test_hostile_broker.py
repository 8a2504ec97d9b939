"""A broker that breaks the rules of MQTT, against the bounds of a bridge's client."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from interop_rig import HOST
from mosquitto_rig import CONNACK, wait_for

from writ_host.bridge import broker as brokers
from writ_host.bridge.broker import Broker, Subscription
from writ_host.bridge.settings import BrokerSettings

pytestmark = pytest.mark.slow

Flood = Callable[[socket.socket], None]


def packet(head: int, body: bytes) -> bytes:
    """A control packet (MQTT 5, 2.1)."""
    rest, size = len(body), b""
    while rest > 127:
        size += bytes((rest & 127 | 128,))
        rest >>= 7
    return bytes((head,)) + size + bytes((rest,)) + body


def suback(mid: int, code: int = 1) -> bytes:
    """The answer to a subscription."""
    return packet(0x90, struct.pack(">H", mid) + bytes((0, code)))


def publish(topic: bytes, payload: bytes = b"", qos: int = 1, mid: int = 1) -> bytes:
    """A message without properties."""
    head = struct.pack(">H", len(topic)) + topic + struct.pack(">H", mid) + b"\0"
    return packet(0x30 | qos << 1, head + payload)


class Hostile:
    """A broker that answers the first subscription, then floods: `ended` says that it has.

    connections: how many there were; is_reading: whether it takes what the client sends.
    """

    def __init__(self, flood: Flood, is_reading: bool) -> None:
        self._flood, self._is_reading = flood, is_reading
        self._listener = socket.create_server((HOST, 0))
        if not is_reading:
            # accepted sockets have this size: little is on its way to a broker that does not read
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(CONNACK)
            request = connection.recv(4096)
            mid = struct.unpack_from(">H", request, request.index(b"\x82") + 2)[0]
            connection.sendall(suback(mid))
            if self.connections == 1:
                if self._is_reading:
                    threading.Thread(target=_drain, args=(connection,), daemon=True).start()
                with suppress(OSError):
                    self._flood(connection)
                self.ended.set()
            _drain(connection)

    def close(self) -> None:
        """Accept no connection any more."""
        self._listener.close()


def _drain(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65536):
            pass


@contextmanager
def hostile(flood: Flood, is_reading: bool = True) -> Iterator[tuple[Broker, Hostile]]:
    """A client, connected to a broker that floods."""
    server = Hostile(flood, is_reading)
    settings = BrokerSettings(HOST, server.port, tls=False)
    client = Broker(settings, "writ-0123456789abcdef", None, [Subscription("writ/00/$check")])
    client.start()
    try:
        assert server.ended.wait(60)
        yield client, server
    finally:
        client.stop()
        server.close()


def is_connected_again(client: Broker, server: Hostile) -> bool:
    """Whether the client has left the first connection, and gone on with another one."""
    return server.connections > 1 and client.is_connected


def test_answers_to_no_subscription_make_no_events() -> None:
    def flood(connection: socket.socket) -> None:
        for _ in range(20):
            connection.sendall(suback(9, 0x87) * 1000)
        connection.sendall(publish(b"last"))

    with hostile(flood) as (client, _):
        wait_for(lambda: len(client.inbox))
        assert len(client.events) == 1


def test_a_message_that_waits_for_a_release_ends_the_connection() -> None:
    # paho would keep it until the broker releases it
    def flood(connection: socket.socket) -> None:
        for mid in range(1, 2001):
            connection.sendall(publish(b"writ/00/a/b/get", b"x" * 8000, qos=2, mid=mid))

    with hostile(flood) as (client, server):
        wait_for(lambda: is_connected_again(client, server))
        assert client._client is not None
        assert not client._client._in_messages


def test_a_packet_longer_than_agreed_ends_the_connection_before_it_is_kept() -> None:
    def flood(connection: socket.socket) -> None:
        # 200 MB, of which a client without a bound keeps what has come
        connection.sendall(b"\x32\xff\xff\xff\x5f" + bytes(1 << 22))

    with hostile(flood) as (client, server):
        wait_for(lambda: is_connected_again(client, server))
        assert client._client is not None
        assert len(client._client._in_packet["packet"]) < brokers.PACKET_BYTES_MAX


def test_a_broker_that_does_not_read_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "UNWRITTEN_MAX", 100)

    def flood(connection: socket.socket) -> None:
        while True:
            connection.sendall(publish(b"x") * 1000)

    with hostile(flood, is_reading=False) as (client, server):
        wait_for(lambda: is_connected_again(client, server))


@pytest.mark.parametrize("topic", [b"a\nfaked line", b"\x1b[2J", "\u202ecod".encode()])
def test_a_topic_with_control_characters_is_dropped(topic: bytes) -> None:
    with hostile(lambda connection: connection.sendall(publish(topic))) as (client, _):
        wait_for(lambda: client.dropped)
        assert client.inbox.take() is None
