"""The state of one peer: its key, its addresses, its sessions, its queue and its timers."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from writ.authority.ratelimit import TokenBucket
from writ.errors import DecryptionFailed
from writ.wire import coap
from writ.wire.coap import Message
from writ.wire.oscore import Context, decode_option

from . import frames
from .frames import KEEPALIVE, MESSAGE_BYTES_MAX, Part, Reassembly
from .handshake import KNOWN_BURST, KNOWN_REFILL_MS, Credential, OutgoingHandshake

# The queue of one peer: eight of the largest messages. The oldest message is dropped first.
QUEUE_BYTES_MAX = 8 * MESSAGE_BYTES_MAX
QUEUE_MESSAGES_MAX = 1024
# Without a session a queued message is dropped as stale after this time, after twice at most.
QUEUE_MS = 10_000
# One message of the largest size per burst: a default socket buffer (212,992 bytes) holds 92
# datagrams.
BURST_DATAGRAMS = 64
BURST_MS = 10
# A receiver owes a keepalive after the first time. A sender that has received nothing for the
# second time starts a new handshake: one keepalive may be lost on the way.
KEEPALIVE_MS = 2000
SILENCE_MS = 5000
# The pause between two handshakes with a peer: doubled from the first to the second.
HANDSHAKE_PAUSE_MS, HANDSHAKE_PAUSE_MS_MAX = 500, 8000
# New keys after an hour, and long before a limit: half of the sequence numbers, and of the 2**20
# forgeries that a tag of 8 bytes withstands (draft-ietf-core-oscore-key-limits).
REKEY_MS = 3_600_000
REKEY_SEQUENCE = 2**22
REKEY_FORGERIES = 2**19
# The responder of the session waits longer, so that both sides do not begin at once.
REKEY_RESPONDER_MS = 60_000


@dataclass
class PeerStats:
    """The traffic of one peer; only authentic datagrams count as received.

    unread: datagrams that were dropped unopened, since too many messages of the peer waited.
    """

    datagrams_in: int = 0
    datagrams_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    unread: int = 0


@dataclass(eq=False)
class PeerSession:
    """One OSCORE context with a peer. is_initiator: this side began its handshake."""

    peer: "Peer"
    context: Context
    is_initiator: bool
    created_ms: int
    serial: int = 0  # numbers the confirmed sessions that this side began, from 1
    expires_ms: int | None = None  # None for the session that sends
    message_3: bytes | None = None  # the responder confirms it again until the peer sends
    has_received: bool = False
    forgeries: int = 0
    newest: int = -1  # the highest sequence number received

    def open(self, message: Message) -> tuple[Message, bool]:
        """(inner message, whether it is the newest so far). Raises a `Rejection`."""
        try:
            inner, _, number = self.context.unprotect_request(message)
        except DecryptionFailed:
            self.forgeries += 1
            raise
        self.context.accept(number)
        self.has_received = True
        is_newest = number > self.newest
        self.newest = max(number, self.newest)
        return inner, is_newest

    @property
    def rekey_ms(self) -> int:
        """When new keys are due because of the session's age."""
        return self.created_ms + REKEY_MS + (0 if self.is_initiator else REKEY_RESPONDER_MS)

    def needs_rekey(self, now_ms: int) -> bool:
        """Whether new keys are due."""
        return (
            now_ms >= self.rekey_ms
            or self.context.sequence >= REKEY_SEQUENCE
            or self.forgeries >= REKEY_FORGERIES
        )


def kid_of(message: Message) -> bytes | None:
    """The key identifier of a protected message, whose only outer option is OSCORE.

    Raises a `Rejection`.
    """
    frames.check(message.code == coap.POST and not message.token and len(message.options) == 1)
    kid: bytes | None = decode_option(message.options[0][1])[0]
    return kid


class Peer:
    """One pinned peer.

    key: its node key (33 B); is_lower: whether that key is lower than ours; pinned: the address
    that the roster or the address book names.
    """

    def __init__(self, key: bytes, credential: Credential, is_lower: bool, pinned: str) -> None:
        self.key = key
        self.credential = credential
        self.is_lower = is_lower
        self.pinned = pinned
        self.address = pinned  # the source of its newest message
        self.stats = PeerStats()
        self.bucket = TokenBucket(KNOWN_BURST, KNOWN_REFILL_MS)
        self.reassembly = Reassembly()
        self.sessions: list[PeerSession] = []  # oldest first
        self.current: PeerSession | None = None  # the session that sends
        self.handshake: OutgoingHandshake | None = None
        self.failed_handshakes = 0  # since the last session
        self.handshake_ms = 0  # the earliest time of the next handshake
        self.unanswered_ms: int | None = None  # since when a message is out and none has come in
        self.keepalive_ms: int | None = None  # when the peer must get a keepalive
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._old_count = 0  # messages that were in the queue at `_aged_ms` already
        self._aged_ms = 0
        self._parts: deque[Part] = deque()  # taken from the queue, ready to be sealed
        self._burst_ms = -BURST_MS
        self._burst_left = 0

    # --- queue ------------------------------------------------------------------------------------

    def enqueue(self, data: bytes) -> int:
        """Add a message to the queue; returns how many old ones were dropped for it."""
        self._queue.append(data)
        self._queue_bytes += len(data)
        dropped = 0
        while self._queue_bytes > QUEUE_BYTES_MAX or len(self._queue) > QUEUE_MESSAGES_MAX:
            self._drop_oldest()
            dropped += 1
        return dropped

    def _drop_oldest(self) -> None:
        self._queue_bytes -= len(self._queue.popleft())
        self._old_count = max(0, self._old_count - 1)

    def has_queued(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._parts or self._queue)

    def drop_stale(self, now_ms: int) -> None:
        """Drop messages that have waited too long for a session."""
        if now_ms >= self._aged_ms + QUEUE_MS:
            for _ in range(self._old_count):
                self._drop_oldest()
            self._old_count = len(self._queue)
            self._aged_ms = now_ms

    def enqueue_keepalive(self) -> None:
        """Send a keepalive, unless a message is queued anyway."""
        self.keepalive_ms = None
        if not self.has_queued():
            self._parts.append(KEEPALIVE)

    def drain(self, mids: Iterator[int], tags: Iterator[int], now_ms: int) -> Iterator[bytes]:
        """The datagrams that may leave now, in the current session. Raises `SequenceExhausted`."""
        if now_ms >= self._burst_ms + BURST_MS:
            self._burst_ms = now_ms
            self._burst_left = BURST_DATAGRAMS
        while self.current is not None and self._burst_left and self.has_queued():
            if not self._parts:
                self.stats.messages_out += len(self._queue)
                self._parts.extend(frames.pack(self._queue, tags))
                self._queue.clear()
                self._queue_bytes = self._old_count = 0
            # a part is removed once it is sealed
            datagram = self.seal(self.current, self._parts[0], next(mids))
            self._burst_left -= 1
            if self._parts.popleft() is not KEEPALIVE and self.unanswered_ms is None:
                self.unanswered_ms = now_ms
            yield datagram

    def seal(self, session: PeerSession, part: Part, mid: int) -> bytes:
        """Protect `part` as a datagram of this session. Raises `SequenceExhausted`."""
        datagram = frames.seal(session.context, mid, part)
        self.keepalive_ms = None
        self.stats.datagrams_out += 1
        self.stats.bytes_out += len(datagram)
        return datagram

    # --- timers -----------------------------------------------------------------------------------

    def needs_handshake(self, now_ms: int) -> bool:
        """Whether a handshake is due: no session, old keys, or a silent peer."""
        is_silent = self.unanswered_ms is not None and now_ms - self.unanswered_ms >= SILENCE_MS
        return self.current is None or is_silent or self.current.needs_rekey(now_ms)

    def due_ms(self, now_ms: int) -> int:
        """When the next timer expires."""
        times = [one.expires_ms for one in self.sessions if one.expires_ms is not None]
        if self.handshake is not None:
            times.append(self.handshake.due_ms)
        elif self.current is None or self.needs_handshake(now_ms):
            times.append(self.handshake_ms)
        else:
            times.append(max(self.current.rekey_ms, self.handshake_ms))
            if self.unanswered_ms is not None:
                times.append(max(self.unanswered_ms + SILENCE_MS, self.handshake_ms))
        if self.current is not None:
            if self.has_queued():
                times.append(now_ms if self._burst_left else self._burst_ms + BURST_MS)
            if self.keepalive_ms is not None:
                times.append(self.keepalive_ms)
        return min(times)
