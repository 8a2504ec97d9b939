"""A CoAP client without security, for capsules and requests for membership, which need none.

It is built on the message layer of the device core, with block-wise transfer (RFC 7252, RFC 7959).
"""

from collections.abc import Iterable

from writ.compat import Clock
from writ.errors import Rejection
from writ.wire import coap
from writ.wire.blockwise import Download, Upload
from writ.wire.coap import Message
from writ.wire.exchange import Exchanges

from .. import inet
from ..errors import NotReachable
from ..target import check_address
from .resolver import numeric
from .udplink import HostUdpLink

TIMEOUT_S = 15.0


class PlainClient:
    """A client of one node at "host:port". Close it, or use it as a context manager.

    timeout_s: of the look-up of a host name, and of each answer. Raises `NotReachable`.
    """

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        self.address = check_address(address)
        self._timeout_ms = int(timeout_s * 1000)
        self._clock = Clock()
        self._exchanges = Exchanges()
        # the source address of an answer is numeric
        self._target = numeric(self.address, timeout_s)
        self._link = HostUdpLink(inet.any_address())

    def __enter__(self) -> "PlainClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._link.close()

    def get(self, path: str) -> Message:
        """The answer; its payload is the whole body. Raises `NotReachable` or `Rejection`."""
        return self._call(coap.GET, path, b"")

    def post(self, path: str, payload: bytes) -> Message:
        """Send the whole payload; the answer. Raises as `get` does."""
        return self._call(coap.POST, path, payload)

    def _call(self, method: int, path: str, payload: bytes) -> Message:
        upload, download = Upload(payload), Download()
        while True:
            message = Message(coap.CON, method)
            message.add_path(path)
            block1, message.payload = upload.next()
            if block1 is not None:
                message.add(coap.BLOCK1, block1)
            if download.block2 is not None:
                message.add(coap.BLOCK2, download.block2)
            answer = self._exchange(message)
            if not upload.feed(answer):
                continue
            if answer.code >> 5 != 2:
                return answer
            body = download.feed(answer)
            if body is not None:
                answer.payload = body
                return answer

    def _exchange(self, message: Message) -> Message:
        end_ms = self._clock.now_ms() + self._timeout_ms
        exchanges, target = self._exchanges, self._target
        exchanges.begin(message, target, message)
        self._send(exchanges.send(message, target, self._clock.now_ms()))
        while (now_ms := self._clock.now_ms()) < end_ms:
            wait_ms = min(end_ms - now_ms, exchanges.next_ms(now_ms) or 100)
            found = self._link.receive(max(1, wait_ms))
            now_ms = self._clock.now_ms()
            if found and found[1] == target and (answer := self._answer(found[0], now_ms)):
                return answer
            out, failed = exchanges.tick(now_ms)
            self._send(out)
            if failed:
                break
        exchanges.end(target, message.token)
        raise NotReachable(f"no answer from {self.address}")

    def _answer(self, datagram: bytes, now_ms: int) -> Message | None:
        exchanges, target = self._exchanges, self._target
        try:
            message = coap.decode(datagram)
            verdict, out = exchanges.receive(message, target, now_ms)
        except Rejection:
            # not CoAP: another service uses that port
            return None
        self._send(out)
        if verdict != "new" or message.is_request() or not exchanges.match(message, target):
            return None
        self._send(exchanges.acknowledge(message, target))
        exchanges.end(target, message.token)
        return message

    def _send(self, datagrams: Iterable[tuple[str, bytes]]) -> None:
        for address, data in datagrams:
            self._link.send(address, data)
