"""A wire that is listened to: all datagrams from and to one node pass here and are written down.

It holds no key, as nobody on the way does. It can send again what it heard, altered or not, from an
address of its own. A node answers that address, so that the true conversation goes on undisturbed.
"""

import contextlib
import itertools
import random
import selectors
import socket
import threading
import time
from dataclasses import dataclass

from writ.errors import Rejection
from writ.limits import DATAGRAM_BYTES_MAX
from writ.node.client import EDHOC_PATH
from writ.wire import coap, oscore
from writ.wire.coap import Message

HOST = "127.0.0.1"


# Below the ports that systems give to whoever asks for any; one after the other from a random one,
# so that a process chooses none twice.
_FIRST, _PORTS = 20000, 12000
_chosen = itertools.count(random.randrange(_PORTS))


def free_port() -> int:
    """A UDP port of the loopback interface that nobody has at this moment, and none twice."""
    while True:
        port = _FIRST + next(_chosen) % _PORTS
        with contextlib.suppress(OSError), _socket(port):
            return port


@dataclass(frozen=True)
class Heard:
    """A datagram. outward: whether the node sent it; peer: address of the other side."""

    at: float
    outward: bool
    peer: str
    data: bytes

    @property
    def message(self) -> Message | None:
        """The CoAP message that it is."""
        try:
            return coap.decode(self.data)
        except Rejection:
            return None

    @property
    def piv(self) -> int | None:
        """The partial IV that its sender chose for it (RFC 8613, section 5), if there is one."""
        message = self.message
        value = message.option(coap.OSCORE) if message else None
        try:
            found = oscore.decode_option(value)[1] if value is not None else b""
        except Rejection:
            return None
        return int.from_bytes(found, "big") if found else None

    @property
    def is_handshake(self) -> bool:
        """Whether it begins or ends an EDHOC handshake."""
        message = self.message
        if message is None or not message.is_request():
            return False
        return message.path() == EDHOC_PATH or message.option(coap.EDHOC) is not None

    @property
    def is_sealed_request(self) -> bool:
        """Whether it is a request to the node that only the node can read, and nothing else."""
        message = self.message
        if message is None or self.outward or self.is_handshake or not message.is_request():
            return False
        return message.option(coap.OSCORE) is not None


class Relay:
    """`address`: where others find the node; `behind(peer)`: where the node finds a peer."""

    def __init__(self, node: str) -> None:
        self.heard: list[Heard] = []
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
        """The address at which the node meets this peer."""
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
                self._pass_on(key.data, f"{address[0]}:{address[1]}", data)

    def _pass_on(self, peer: str | None, source: str, data: bytes) -> None:
        outward = peer is not None
        other = peer or source
        # written down first: when its effect is seen, it is in the list
        self.heard.append(Heard(time.monotonic(), outward, other, data))
        try:
            if outward:
                self._front.sendto(data, _pair(other))
            else:
                self.behind(other)
                self._backs[other].sendto(data, self._node)
        except OSError:
            # lost, as datagrams are
            pass

    def between(self, peer: str, since: float = 0.0) -> list[Heard]:
        """What passed between the node and this peer, oldest first."""
        return [one for one in list(self.heard) if one.peer == peer and one.at >= since]

    def inject(self, data: bytes, wait_s: float = 3.0) -> Message | None:
        """Send bytes to the node as a stranger with an address of its own; what it answers."""
        return inject(f"{self._node[0]}:{self._node[1]}", data, wait_s)

    def close(self) -> None:
        """Stop relaying."""
        self._open = False
        self._thread.join()
        self._selector.close()
        for one in [self._front, *self._backs.values()]:
            one.close()


def inject(address: str, data: bytes, wait_s: float = 3.0) -> Message | None:
    """Send bytes to "host:port" from a new address; the answer, None where there is none."""
    with _socket() as attacker:
        attacker.settimeout(wait_s)
        attacker.sendto(data, _pair(address))
        try:
            return coap.decode(attacker.recv(DATAGRAM_BYTES_MAX + 1))
        except (TimeoutError, Rejection):
            return None


def used_twice(heard: list[Heard]) -> list[str]:
    """Nonces under which the node sent two different messages, of what passed for one session.

    A nonce is the node's own partial IV or, in an answer without one, that of the request (RFC
    8613, section 5.2). The same bytes sent again are one message.
    """
    sealed: dict[str, bytes] = {}
    asked: dict[bytes, int] = {}
    twice = []
    for one in heard:
        message = one.message
        if message is None or message.option(coap.OSCORE) is None:
            continue
        number = one.piv
        if not one.outward and number is not None:
            asked[bytes(message.token)] = number
        elif one.outward:
            nonce = f"own {number}"
            if number is None:
                nonce = f"of request {asked.get(bytes(message.token))}"
            if sealed.setdefault(nonce, message.payload) != message.payload:
                twice.append(nonce)
    return twice


def _socket(port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise
    return made


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
