"""Plain CoAP at a governor's peering address, for parties without a session: foundings.

    POST founding          an invitation, in blocks (RFC 7959); the answer is the ceremony's status
    GET  founding/ID       the status of the ceremony with this id (hex)
    GET  founding/ID/N     the capsule number N that the ceremony made, from 0; 4.04 after the last

No session is needed: an invitation decides nothing, and the capsules are certified. The id is the
digest of the invitation, which contains a random nonce, so only those who know the invitation can
ask. ceremonies/endpoint.py answers. Sans-IO.
"""

from collections.abc import Callable

from writ.authority.ratelimit import TokenBucket
from writ.errors import (
    BadMessage,
    BlockMismatch,
    NotFound,
    RateLimited,
    Rejection,
    TableFull,
    TooLarge,
    WrongMethod,
)
from writ.node.server import refusal
from writ.wire import coap
from writ.wire.blockwise import Upload, block_decode, slice_response
from writ.wire.coap import Message
from writ.wire.exchange import Exchanges

PATH = "founding"
# 13 records, a policy, and the signatures on them.
BODY_BYTES_MAX = 16384
# Uploads at one time: of 12 other governors and as many strangers, half a megabyte at most.
TRANSFERS_MAX = 32
TRANSFER_MS = 60000
# Requests of all unauthenticated senders together: 100 a second.
REQUESTS_BURST = 200
REQUEST_REFILL_MS = 10
# The code, the name and the text of a refusal fit one message.
REFUSAL_BYTES_MAX = 250
_OPTIONS = (coap.URI_HOST, coap.URI_PORT, coap.URI_PATH, coap.BLOCK1, coap.BLOCK2)

# Takes the method, the path below `founding`, the body and its source; returns code and body, or
# raises a `Rejection`, whose text the sender gets.
Serve = Callable[[int, tuple[str, ...], bytes, str], tuple[int, bytes]]
# Counts a refused datagram. Its source: "host:port".
Count = Callable[[Rejection, str], None]


def is_plain_request(datagram: bytes) -> bool:
    """Whether a datagram is a plain CoAP request (CON): datagrams of the transport are NON."""
    return bool(datagram) and datagram[0] & 0xF0 == 0x40


def is_plain_response(datagram: bytes) -> bool:
    """Whether a datagram answers a plain request: an ACK or a reset."""
    return bool(datagram) and datagram[0] & 0xE0 == 0x60


class FoundingServer:
    """The server of `founding`. serve: answers whole requests; count: takes each refusal."""

    def __init__(self, serve: Serve, count: Count) -> None:
        self._serve = serve
        self._count = count
        self._exchanges = Exchanges()
        self._rate_limit = TokenBucket(REQUESTS_BURST, REQUEST_REFILL_MS)
        # by address: the body so far, and when its last block came, in that order
        self._uploads: dict[str, tuple[bytes, int]] = {}

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[str, bytes]]:
        """Answer a datagram for which `is_plain_request` is true: [(address, datagram)].

        There is no answer to what is not CoAP, and none beyond the rate limit: an answer would
        double a flood.
        """
        try:
            if not self._rate_limit.take(now_ms):
                raise RateLimited()
            message = coap.decode(datagram)
            verdict, out = self._exchanges.receive(message, source, now_ms, datagram)
            if verdict != "new":
                return list(out)
            if not message.is_request():
                raise BadMessage()
        except Rejection as rejection:
            self._count(rejection, source)
            return []
        response = self._answer(message, source, now_ms)
        return list(self._exchanges.answer(message, response, source, now_ms))

    def _answer(self, message: Message, source: str, now_ms: int) -> Message:
        try:
            coap.check_critical(message.options, _OPTIONS)
            path = tuple(message.path().split("/"))
            if path[0] != PATH:
                raise NotFound()
            if message.code not in (coap.GET, coap.POST):
                raise WrongMethod()
            body, early = self._upload(message, source, now_ms)
            if early:
                return early
            code, found = self._serve(message.code, path[1:], body, source)
            return _respond(message, code, found)
        except Rejection as rejection:
            self._count(rejection, source)
            return _refuse(rejection)

    def _upload(self, message: Message, source: str, now_ms: int) -> tuple[bytes, Message | None]:
        """(whole body, None), or (b"", 2.31) for a block before the last one.

        A block that is here already, such as one whose 2.31 was lost, changes nothing. Raises
        `BadMessage`, `BlockMismatch` or `TooLarge`.
        """
        value = message.option(coap.BLOCK1)
        if value is None:
            return message.payload, None
        number, more, szx = block_decode(value)
        offset, size = number << (szx + 4), 16 << szx
        if len(message.payload) > size or (more and len(message.payload) != size):
            raise BadMessage()
        for key, (_, last_ms) in list(self._uploads.items()):
            if last_ms + TRANSFER_MS <= now_ms:
                del self._uploads[key]
        body, _ = self._uploads.pop(source, (b"", 0))
        if offset > len(body):
            raise BlockMismatch()
        if not more or body[offset : offset + len(message.payload)] != message.payload:
            body = body[:offset] + message.payload
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge()
        if not more:
            return body, None
        if len(self._uploads) >= TRANSFERS_MAX:
            # the one that has had no block for longest: first blocks with forged addresses displace
            # each other, not an upload that goes on
            stalled = next(iter(self._uploads))
            del self._uploads[stalled]
            self._count(TableFull(), stalled)
        self._uploads[source] = (body, now_ms)
        response = Message(coap.ACK, coap.CONTINUE)
        response.add(coap.BLOCK1, value)
        return b"", response


def _refuse(rejection: Rejection) -> Message:
    """The answer that names a rejection, as a node's: "82 BlockMismatch", and its text if any."""
    response: Message = refusal(rejection)
    # cut to fit one message
    response.payload = response.payload[:REFUSAL_BYTES_MAX].decode(errors="ignore").encode()
    if isinstance(rejection, TooLarge):
        # what fits here, which is more than fits a node (RFC 7959, section 2.9.3)
        response.options = []
        response.add(coap.SIZE1, BODY_BYTES_MAX)
    return response


def _respond(request: Message, code: int, body: bytes) -> Message:
    response = Message(coap.ACK, code)
    response.payload, options = slice_response(body, request.option(coap.BLOCK2))
    for number, value in options:
        response.add(number, value)
    block1 = request.option(coap.BLOCK1)
    if block1 is not None:
        response.add(coap.BLOCK1, block1)
    return response


class InvitationClient:
    """The client: uploads of invitations to `founding` at other daemons.

    count: takes each answer that is refused.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._exchanges = Exchanges()
        # by address
        self._uploads: dict[str, Upload] = {}

    def invite(self, address: str, body: bytes, now_ms: int) -> list[tuple[str, bytes]]:
        """Start the upload of `body` to "host:port" (numeric): [(address, datagram)]."""
        if address in self._uploads or len(self._uploads) >= TRANSFERS_MAX:
            return []
        self._uploads[address] = Upload(body)
        return self._next(address, now_ms)

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[str, bytes]]:
        """Take an answer; the next datagrams of the upload: [(address, datagram)]."""
        upload = self._uploads.get(source)
        try:
            message = coap.decode(datagram)
            verdict, _ = self._exchanges.receive(message, source, now_ms)
            if verdict != "new" or upload is None:
                return []
            if self._exchanges.match(message, source) is None:
                return []
            self._exchanges.end(source, message.token)
            if upload.feed(message):
                del self._uploads[source]
                return []
        except Rejection as rejection:
            self._count(rejection, source)
            self._uploads.pop(source, None)
            return []
        return self._next(source, now_ms)

    def tick(self, now_ms: int) -> list[tuple[str, bytes]]:
        """Repeat unanswered requests; drop the uploads whose retries are used up."""
        out, failed = self._exchanges.tick(now_ms)
        for address, _, _ in failed:
            self._uploads.pop(address, None)
        return list(out)

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has work, None for never."""
        if not self._uploads:
            return None
        found: int | None = self._exchanges.next_ms(now_ms)
        return found

    def _next(self, address: str, now_ms: int) -> list[tuple[str, bytes]]:
        message = Message(coap.CON, coap.POST)
        message.add_path(PATH)
        block1, message.payload = self._uploads[address].next()
        if block1 is not None:
            message.add(coap.BLOCK1, block1)
        try:
            self._exchanges.begin(message, address, message)
            return list(self._exchanges.send(message, address, now_ms))
        except Rejection as rejection:
            # the table is full: the caller invites again later
            self._count(rejection, address)
            self._uploads.pop(address, None)
            return []
