"""A wiretap in front of one node: it forwards and records each datagram from and to the node.

The wiretap holds no key. It can inject a recorded datagram, altered or not, from an address of its
own. The node answers that address, so that the original conversation goes on undisturbed.
"""

import selectors
import socket
import threading
import time
from dataclasses import dataclass

from writ.errors import Rejection
from writ.limits import DATAGRAM_BYTES_MAX
from writ.node.context import EDHOC_PATH
from writ.wire import coap, oscore
from writ.wire.coap import Message

from .loopback import HOST


@dataclass(frozen=True)
class Datagram:
    """A recorded datagram.

    at: `time.monotonic()`; outward: whether the node sent it; peer: the other side's address.
    """

    at: float
    outward: bool
    peer: str
    data: bytes

    @property
    def message(self) -> Message | None:
        """The datagram as a CoAP message; None where it is none."""
        try:
            return coap.decode(self.data)
        except Rejection:
            return None

    @property
    def piv(self) -> int | None:
        """The partial IV that the sender chose (RFC 8613, section 5); None where there is none."""
        message = self.message
        value = message.option(coap.OSCORE) if message else None
        try:
            found = oscore.decode_option(value)[1] if value is not None else b""
        except Rejection:
            return None
        return int.from_bytes(found, "big") if found else None

    @property
    def is_handshake(self) -> bool:
        """Whether the datagram begins or ends an EDHOC handshake."""
        message = self.message
        if message is None or not message.is_request():
            return False
        return message.path() == EDHOC_PATH or message.option(coap.EDHOC) is not None

    @property
    def is_oscore_request(self) -> bool:
        """Whether the datagram is an OSCORE request to the node, and no part of a handshake."""
        message = self.message
        if message is None or self.outward or self.is_handshake or not message.is_request():
            return False
        return message.option(coap.OSCORE) is not None


class Wiretap:
    """address: where peers reach the node; behind(peer): where the node reaches a peer.

    datagrams: all that were recorded, oldest first.
    """

    def __init__(self, node: str) -> None:
        self.datagrams: list[Datagram] = []
        self._node = _pair(node)
        self._front = _socket()
        self._backs: dict[str, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._open = True
        self.address = f"{HOST}:{self._front.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def behind(self, peer: str) -> str:
        """The wiretap's address that represents this peer to the node."""
        with self._lock:
            back = self._backs.get(peer)
            if back is None:
                back = self._backs[peer] = _socket()
                self._selector.register(back, selectors.EVENT_READ, peer)
        return f"{HOST}:{back.getsockname()[1]}"

    def _run(self) -> None:
        while self._open:
            for key, _ in self._selector.select(0.1):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                try:
                    data, address = source.recvfrom(DATAGRAM_BYTES_MAX + 1)
                except OSError:
                    continue
                self._forward(key.data, f"{address[0]}:{address[1]}", data)

    def _forward(self, peer: str | None, source: str, data: bytes) -> None:
        outward = peer is not None
        other = peer or source
        # the record precedes the effect, so that it is in the list when the effect is seen
        self.datagrams.append(Datagram(time.monotonic(), outward, other, data))
        try:
            if outward:
                self._front.sendto(data, _pair(other))
            else:
                self.behind(other)
                self._backs[other].sendto(data, self._node)
        except OSError:
            # UDP may lose datagrams
            pass

    def between(self, peer: str, since: float = 0.0) -> list[Datagram]:
        """The datagrams between the node and this peer, oldest first."""
        return [one for one in list(self.datagrams) if one.peer == peer and one.at >= since]

    def inject(self, data: bytes, wait_s: float = 3.0) -> Message | None:
        """Send bytes to the node from a new address, and return the node's answer."""
        return inject(f"{self._node[0]}:{self._node[1]}", data, wait_s)

    def close(self) -> None:
        """Stop forwarding, and close all sockets."""
        self._open = False
        self._thread.join()
        self._selector.close()
        for one in [self._front, *self._backs.values()]:
            one.close()


def inject(address: str, data: bytes, wait_s: float = 3.0) -> Message | None:
    """Send bytes to "host:port" from a new address; return the answer, or None for no answer."""
    with _socket() as attacker:
        attacker.settimeout(wait_s)
        attacker.sendto(data, _pair(address))
        try:
            return coap.decode(attacker.recv(DATAGRAM_BYTES_MAX + 1))
        except (TimeoutError, Rejection):
            return None


def used_twice(datagrams: list[Datagram]) -> list[str]:
    """The nonces under which the node sent two different messages in one session.

    A nonce is the node's own partial IV or, in an answer without one, that of the request (RFC
    8613, section 5.2). A retransmission of the same bytes is one message.
    """
    ciphertexts: dict[str, bytes] = {}
    request_pivs: dict[bytes, int] = {}
    twice = []
    for one in datagrams:
        message = one.message
        if message is None or message.option(coap.OSCORE) is None:
            continue
        number = one.piv
        if not one.outward and number is not None:
            request_pivs[bytes(message.token)] = number
        elif one.outward:
            nonce = f"own {number}"
            if number is None:
                nonce = f"of request {request_pivs.get(bytes(message.token))}"
            if ciphertexts.setdefault(nonce, message.payload) != message.payload:
                twice.append(nonce)
    return twice


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    return made


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
