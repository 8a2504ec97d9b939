"""EDHOC between governors (RFC 9528, method 3, suite 2) with pinned keys.

    Initiator                                 Responder
    NON POST .well-known/edhoc, message_1  ->  without an Echo: no computation, no state
        <-  4.01, Echo (RFC 9175) that is bound to the address
    the same with the Echo                 ->  rate limit by address, then computation
        <-  2.04, message_2
    NON POST .well-known/edhoc, message_3  ->  finds the pinned key by its kid and verifies it
        <-  any OSCORE message confirms (RFC 9528, section 5.4.2)

CRED_x is a CCS that contains the pinned key alone, so both sides build the same bytes. The
initiator repeats a message until it is answered. The responder answers a repeated message with the
same bytes or not at all. Sans-IO.
"""

import hmac
from dataclasses import dataclass

from writ import cbor, crypto
from writ.authority.ratelimit import RateLimiter, TokenBucket
from writ.errors import BadMessage, NotMember, OutOfOrder, RateLimited
from writ.wire import coap, edhoc_codec
from writ.wire.coap import Message
from writ.wire.edhoc import Initiator, Responder
from writ.wire.oscore import Context

from .frames import encode

# The pauses after the first, second, ... transmission of one datagram; then the attempt fails.
RETRY_MS = (250, 500, 1000, 2000)
# An incoming handshake may take all retries of the initiator and a delay on the way.
PENDING_MS = 10_000
# Longer than any round trip. An Echo is valid for this time at least, for twice at most.
ECHO_MS = 10_000
ECHO_BYTES = 8
# Ends an exchange with a responder that answers each Echo with another one.
_ECHOES_MAX = 8
_TOKEN_BYTES = 8
CONNECTION_ID_BYTES = 4
# To answer a handshake takes 1.3 ms. Unknown addresses, which an Echo has verified, get one in 2 s
# each and 2 a second in all: 0.3 % of a core. Governors restart and move, so some are genuine.
UNKNOWN_BURST, UNKNOWN_REFILL_MS = 4, 2000
# The address of a pinned peer has its own rate limit: 4 a second.
KNOWN_BURST, KNOWN_REFILL_MS = 8, 250
# Unfinished incoming handshakes: from all unknown addresses, and from one known address.
UNKNOWN_PENDING_MAX = 16
KNOWN_PENDING_MAX = 4

_TRUE = b"\xf5"
_OPTIONS = [(coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"edhoc")]
# application/cid-edhoc+cbor-seq and application/edhoc+cbor-seq (RFC 9668, section 8)
REQUEST_OPTIONS = [*_OPTIONS, (coap.CONTENT_FORMAT, b"\x41")]
ANSWER_OPTIONS = [(coap.CONTENT_FORMAT, b"\x40")]


class Credential:
    """The credential of a pinned key (33 B, SEC 1): `x`, `kid` (8 B) and `ccs` (CRED_x)."""

    def __init__(self, node_key: bytes) -> None:
        self.x = node_key[1:]
        self.kid = crypto.sha256(self.x)[:8]
        y = crypto.p256_y(self.x, node_key[0] == 3)
        key = {1: 2, 2: self.kid, -1: 1, -2: self.x, -3: y}
        self.ccs: bytes = cbor.encode({8: {1: key}})


class OutgoingHandshake:
    """A handshake that this governor began. `context` is set once message_2 is verified.

    private, mine: own key and credential; c_i: own connection id; address: of the peer.
    """

    def __init__(
        self, private: bytes, mine: Credential, peer: Credential, c_i: bytes, address: str
    ) -> None:
        self.c_i = c_i
        self.address = address
        self.token = crypto.random_bytes(_TOKEN_BYTES)
        self.due_ms = 0  # when the next datagram is due
        self.context: Context | None = None
        self._mine = mine
        self._peer = peer
        self._initiator = Initiator(private, c_i)
        self._body = _TRUE + self._initiator.message_1()
        self._echo: bytes | None = None
        self._echo_count = 0
        self._tries = 0  # transmissions of the present message

    def datagram(self, mid: int, now_ms: int) -> bytes | None:
        """The datagram that is due, None after the last try."""
        if self._tries >= len(RETRY_MS):
            return None
        self.due_ms = now_ms + RETRY_MS[self._tries]
        self._tries += 1
        options = list(REQUEST_OPTIONS)
        if self._echo is not None and self.context is None:
            options.append((coap.ECHO, self._echo))
        return encode(mid, coap.POST, self.token, options, self._body)

    def take_echo(self, echo: bytes) -> bool:
        """Repeat message_1 with the Echo that the peer asked for; False if it is not a new one."""
        self._echo_count += 1
        if self.context is not None or echo == self._echo or self._echo_count > _ECHOES_MAX:
            return False
        self._echo = echo
        self._tries = 0
        return True

    def take_message_2(self, message_2: bytes) -> Context:
        """The session's context, unconfirmed; message_3 is due now. A `Rejection` is final."""
        initiator = self._initiator
        if initiator.read_2(message_2) != ("kid", self._peer.kid):
            raise NotMember()
        initiator.verify_2(self._peer.ccs, self._peer.x)
        message_3 = initiator.message_3(("kid", self._mine.kid), self._mine.ccs)
        self._body = edhoc_codec.write_id(initiator.c_r) + message_3
        self._tries = 0
        secret, salt = initiator.oscore()
        self.context = Context(secret, salt, initiator.c_r, self.c_i)
        return self.context


@dataclass
class IncomingHandshake:
    """A handshake that a peer began. serial: the caller's, given with message_1."""

    responder: Responder
    source: str
    is_known: bool
    serial: int
    started_ms: int
    message_1: bytes
    message_2: bytes


class HandshakeResponder:
    """The responder's side: Echo, rate limits, and the unfinished incoming handshakes."""

    def __init__(self, private: bytes, mine: Credential) -> None:
        self.pending: dict[bytes, IncomingHandshake] = {}  # by C_R
        self._private = private
        self._mine = mine
        self._echo_key = crypto.random_bytes(16)
        self._unknown_addresses = RateLimiter(UNKNOWN_BURST, UNKNOWN_REFILL_MS)

    def echo(self, source: str, now_ms: int, age: int = 0) -> bytes:
        """The Echo for the address `source`, in this period (age 0) or the one before (age 1)."""
        text = f"{now_ms // ECHO_MS - age} {source}"
        return hmac.digest(self._echo_key, text.encode(), "sha256")[:ECHO_BYTES]

    def has_echo(self, message: Message, source: str, now_ms: int) -> bool:
        """Whether the request returns a valid Echo. Raises `BadMessage` for another form."""
        known = len(REQUEST_OPTIONS)
        if message.code != coap.POST or message.options[:known] != REQUEST_OPTIONS:
            raise BadMessage()
        more = message.options[known:]
        if not more:
            return False
        if len(more) > 1 or more[0][0] != coap.ECHO:
            raise BadMessage()
        fresh = (self.echo(source, now_ms, age) for age in (0, 1))
        return any(hmac.compare_digest(more[0][1], echo) for echo in fresh)

    def respond(
        self,
        body: bytes,
        source: str,
        bucket: TokenBucket | None,
        ids: tuple[bytes, int],
        now_ms: int,
    ) -> bytes:
        """message_2 for the body of a request. Raises a `Rejection`.

        bucket: the rate limit of a known address, or None; ids: the C_R to use, and the serial to
        keep.
        """
        message_1 = body.removeprefix(_TRUE)
        for pending in self.pending.values():
            if (pending.source, pending.message_1) == (source, message_1):
                return pending.message_2
        responder = Responder(self._private, ids[0])
        responder.read_1(message_1)
        if not (bucket.take(now_ms) if bucket else self._unknown_addresses.take(source, now_ms)):
            raise RateLimited()
        message_2 = responder.message_2(("kid", self._mine.kid), self._mine.ccs)
        self._make_room(source, bucket is not None)
        self.pending[ids[0]] = IncomingHandshake(
            responder, source, bucket is not None, ids[1], now_ms, message_1, message_2
        )
        return message_2

    def expire(self, now_ms: int) -> None:
        """Drop incoming handshakes that were not finished in time."""
        for c_r, pending in list(self.pending.items()):
            if now_ms - pending.started_ms > PENDING_MS:
                del self.pending[c_r]

    def _make_room(self, source: str, is_known: bool) -> None:
        # oldest first: a dict keeps the order of insertion
        same_kind = [
            c_r
            for c_r, pending in self.pending.items()
            if pending.is_known == is_known and (pending.source == source or not is_known)
        ]
        if len(same_kind) >= (KNOWN_PENDING_MAX if is_known else UNKNOWN_PENDING_MAX):
            del self.pending[same_kind[0]]

    def read_3(self, c_r: bytes, message_3: bytes, source: str) -> tuple[IncomingHandshake, bytes]:
        """(handshake, kid that the peer claims). A handshake has one try. Raises a `Rejection`."""
        pending = self.pending.get(c_r)
        # a message from another address must not end the handshake
        if pending is None or pending.source != source:
            raise OutOfOrder()
        del self.pending[c_r]
        form, kid = pending.responder.read_3(message_3)
        if form != "kid":
            raise NotMember()
        return pending, kid


def is_message_1(body: bytes) -> bool:
    """Whether the body of a request starts a handshake (RFC 9528, appendix A.2.1)."""
    return body.startswith(_TRUE)
