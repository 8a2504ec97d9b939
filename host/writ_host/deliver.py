"""Handing capsules to devices by plain CoAP: POST to `writ`, GET `writ/request`.

No session is needed and none would help: a device believes the signature, not who brings it.
A small client over the core's own message layer, blocks included (RFC 7252, RFC 7959).
"""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from writ import coap
from writ.blockwise import Download, Upload
from writ.coap import Message
from writ.compat import Clock
from writ.errors import Rejection, RolledBack, TimedOut
from writ.exchange import Exchanges
from writ.governance import PREFIX
from writ.limits import SIGNATURE_REFILL_MS
from writ.link.udp import UdpLink, split

from .errors import HostError, NotReachable
from .refusals import parse_reason
from .target import check_address

TIMEOUT_S = 15.0
# A device rations signature checks; this often its ration is waited for.
RATION_WAITS_MAX = 8


@dataclass(frozen=True)
class Outcome:
    """What a device said to a capsule. state: "taken", "known" or "refused"; reason: a rejection.

    text: the device's own words where it is refused without such a reason.
    """

    what: str
    state: str
    reason: type[Rejection] | None = None
    text: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the device has it now; what it has something newer than is good as well."""
        return self.state != "refused"


class PlainClient:
    """A CoAP client without security, for one node at "host:port". Close it, or use `with`."""

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        self.address = check_address(address)
        self._timeout_ms = int(timeout_s * 1000)
        self._link = UdpLink("0.0.0.0:0")
        self._clock = Clock()
        self._exchanges = Exchanges()
        self._target = self._resolve()

    def _resolve(self) -> str:
        # answers come from a numeric address
        host, port = split(self.address)
        try:
            found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            raise NotReachable(f"{host}: {error.strerror}", "Check the name.") from None
        return f"{found[0][4][0]}:{port}"

    def __enter__(self) -> "PlainClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._link.close()

    def get(self, path: str) -> Message:
        """The answer, its payload the whole body. Raises `NotReachable` or `Rejection`."""
        return self._call(coap.GET, path, b"")

    def post(self, path: str, payload: bytes) -> Message:
        """The answer to the whole payload. Raises as `get` does."""
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
            # not CoAP: whatever else lives at that port
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


def fetch_request(address: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """The request for membership of the device at "host:port". Raises `HostError`."""
    with PlainClient(address, timeout_s) as client:
        answer = client.get(PREFIX + "/request")
    if answer.code != coap.CONTENT:
        raise HostError(
            f"{address} gave no request ({_words(answer)})", "Is it a Writ node, and up to date?"
        )
    return bytes(answer.payload)


def hand_over(
    address: str,
    capsules: Sequence[tuple[str, bytes]],
    timeout_s: float = TIMEOUT_S,
    pause: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Post [(what, capsule)] to the node at "host:port", in order; all of them, whatever it says.

    pause(ms): how to wait for a rationed device. Raises `NotReachable`.
    """
    with PlainClient(address, timeout_s) as client:
        return [_post(client, what, raw, pause or _sleep) for what, raw in capsules]


def _post(client: PlainClient, what: str, raw: bytes, pause: Callable[[int], None]) -> Outcome:
    for _ in range(RATION_WAITS_MAX):
        try:
            answer = client.post(PREFIX, raw)
        except TimedOut:
            raise NotReachable(f"no answer from {client.address}") from None
        if answer.code == coap.CHANGED:
            return Outcome(what, "taken")
        if answer.code == coap.VALID:
            return Outcome(what, "known")
        if answer.code != coap.TOO_MANY:
            break
        pause(SIGNATURE_REFILL_MS)
    reason = parse_reason(bytes(answer.payload))
    return Outcome(what, "refused", reason, _words(answer))


def _sleep(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)


def _words(answer: Message) -> str:
    text = bytes(answer.payload).decode("utf-8", "replace")
    return f"{answer.code >> 5}.{answer.code & 31:02d} {text}".strip()


def hand_over_policy(
    address: str,
    whole: bytes,
    amendment: bytes | None,
    beacons: Sequence[bytes] = (),
    timeout_s: float = TIMEOUT_S,
) -> list[Outcome]:
    """Bring a node to the newest epoch: by the amendment if it is one behind, else by the whole.

    Raises `NotReachable`.
    """
    found: list[Outcome] = []
    if amendment is not None:
        found = hand_over(address, [("amendment", amendment)], timeout_s)
    if not found or not (found[0].is_good or found[0].reason is RolledBack):
        # behind by more than one, or without any policy: the whole one will do
        found = hand_over(address, [("policy", whole)], timeout_s)
    return found + hand_over(address, [("beacon", raw) for raw in beacons], timeout_s)
