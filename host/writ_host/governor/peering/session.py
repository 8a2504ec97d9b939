"""What one governor knows of another one: its key, its sessions, and what waits for it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from writ.authority.ratelimit import TokenBucket
from writ.errors import DecryptionFailed
from writ.wire import coap
from writ.wire.coap import Message
from writ.wire.oscore import Context, decode_option

from . import frames
from .frames import MESSAGE_BYTES_MAX, SIGN_OF_LIFE, Part, Reassembly
from .handshake import KNOWN_BURST, KNOWN_REFILL_MS, Credential, Greeting

# What waits for one peer, the oldest giving way: eight of the largest messages.
QUEUE_BYTES_MAX = 8 * MESSAGE_BYTES_MAX
QUEUE_MESSAGES_MAX = 1024
# Without a session a message waits for so long at least, for twice at most: then it is old news.
QUEUE_MS = 10_000
# One largest message in so many ms: a socket's usual buffer (212,992 bytes) holds 92 datagrams.
BURST_DATAGRAMS = 64
BURST_MS = 10
# Whoever was sent something gives a sign of life after the first time; whoever has sent something
# and has heard nothing after the second greets again: one sign of life may be lost on the way.
SIGN_OF_LIFE_MS = 2000
SILENT_MS = 5000
# Between two attempts to greet: the first, doubled each time up to the second.
GREET_MS, GREET_MS_MAX = 500, 8000
# New keys after an hour, and long before a limit: half of the sequence numbers, and of the 2**20
# forgeries that a tag of 8 bytes is good for (draft-ietf-core-oscore-key-limits).
REKEY_MS = 3_600_000
REKEY_SEQUENCE = 2**22
REKEY_FORGERIES = 2**19
# Whoever answered waits longer, so that not both begin.
REKEY_LATER_MS = 60_000


@dataclass
class Stats:
    """Of one peer; only what was authentic counts as received.

    unread: datagrams that came while so much waited that they were dropped as they were.
    """

    datagrams_in: int = 0
    datagrams_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    unread: int = 0


@dataclass(eq=False)
class Session:
    """One OSCORE context with a peer. is_mine: this side began it."""

    peer: "Peer"
    context: Context
    is_mine: bool
    made_ms: int
    serial: int = 0  # the how manieth that this side began and had confirmed
    ends_ms: int | None = None  # None for the one that sends
    confirms: bytes | None = None  # message_3 that made it, answered again until the peer is heard
    is_heard: bool = False
    forgeries: int = 0
    newest: int = -1  # sequence number

    def open(self, message: Message) -> tuple[Message, bool]:
        """(inner message, whether it is the newest so far). Raises a `Rejection`."""
        try:
            inner, _, number = self.context.unprotect_request(message)
        except DecryptionFailed:
            self.forgeries += 1
            raise
        self.context.accept(number)
        self.is_heard = True
        is_newest = number > self.newest
        self.newest = max(number, self.newest)
        return inner, is_newest

    @property
    def worn_ms(self) -> int:
        """When its keys are old."""
        return self.made_ms + REKEY_MS + (0 if self.is_mine else REKEY_LATER_MS)

    def is_worn(self, now_ms: int) -> bool:
        """Whether new keys are due."""
        return (
            now_ms >= self.worn_ms
            or self.context.sequence >= REKEY_SEQUENCE
            or self.forgeries >= REKEY_FORGERIES
        )


def kid_of(message: Message) -> bytes | None:
    """The key identifier of a protected message, which has nothing else outside.

    Raises a `Rejection`.
    """
    frames.check(message.code == coap.POST and not message.token and len(message.options) == 1)
    kid: bytes | None = decode_option(message.options[0][1])[0]
    return kid


class Peer:
    """One pinned peer. key: its node key; pinned: its address; is_lower: its key than ours."""

    def __init__(self, key: bytes, credential: Credential, is_lower: bool, pinned: str) -> None:
        self.key = key
        self.credential = credential
        self.is_lower = is_lower
        self.pinned = pinned
        self.address = pinned  # where it was heard last
        self.stats = Stats()
        self.bucket = TokenBucket(KNOWN_BURST, KNOWN_REFILL_MS)
        self.reassembly = Reassembly()
        self.sessions: list[Session] = []  # oldest first
        self.current: Session | None = None  # the one that sends
        self.greeting: Greeting | None = None
        self.failures = 0  # greetings since the last session
        self.greet_ms = 0  # not before
        self.unanswered_ms: int | None = None  # since when something was sent and nothing heard
        self.owed_ms: int | None = None  # when it must hear a sign of life
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._old = 0  # how many of the queue were there at `_aged_ms`
        self._aged_ms = 0
        self._parts: deque[Part] = deque()  # of the queue, ready to be sealed
        self._burst_ms = -BURST_MS
        self._burst_left = 0

    # --- what waits -----------------------------------------------------------------------------

    def queue(self, data: bytes) -> int:
        """Add a message; returns how many gave way."""
        self._queue.append(data)
        self._queue_bytes += len(data)
        dropped = 0
        while self._queue_bytes > QUEUE_BYTES_MAX or len(self._queue) > QUEUE_MESSAGES_MAX:
            self._shift()
            dropped += 1
        return dropped

    def _shift(self) -> None:
        self._queue_bytes -= len(self._queue.popleft())
        self._old = max(0, self._old - 1)

    def has_waiting(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._parts or self._queue)

    def age(self, now_ms: int) -> None:
        """Without a session: drop what is old."""
        if now_ms >= self._aged_ms + QUEUE_MS:
            for _ in range(self._old):
                self._shift()
            self._old = len(self._queue)
            self._aged_ms = now_ms

    def live(self) -> None:
        """Give a sign of life, unless something is sent anyway."""
        self.owed_ms = None
        if not self.has_waiting():
            self._parts.append(SIGN_OF_LIFE)

    def drain(self, mids: Iterator[int], tags: Iterator[int], now_ms: int) -> Iterator[bytes]:
        """The datagrams that may go now, in the current session. Raises `SequenceExhausted`."""
        if now_ms >= self._burst_ms + BURST_MS:
            self._burst_ms = now_ms
            self._burst_left = BURST_DATAGRAMS
        while self.current is not None and self._burst_left and self.has_waiting():
            if not self._parts:
                self.stats.messages_out += len(self._queue)
                self._parts.extend(frames.pack(self._queue, tags))
                self._queue.clear()
                self._queue_bytes = self._old = 0
            # only a part that was sealed is gone
            datagram = self.seal(self.current, self._parts[0], next(mids))
            self._burst_left -= 1
            if self._parts.popleft() is not SIGN_OF_LIFE and self.unanswered_ms is None:
                self.unanswered_ms = now_ms
            yield datagram

    def seal(self, session: Session, part: Part, mid: int) -> bytes:
        """`part` as a datagram in this session. Raises `SequenceExhausted`."""
        datagram = frames.seal(session.context, mid, part)
        self.owed_ms = None
        self.stats.datagrams_out += 1
        self.stats.bytes_out += len(datagram)
        return datagram

    # --- time -----------------------------------------------------------------------------------

    def wants_session(self, now_ms: int) -> bool:
        """Whether it is to be greeted: no session, worn keys, or it is silent."""
        silent = self.unanswered_ms is not None and now_ms - self.unanswered_ms >= SILENT_MS
        return self.current is None or silent or self.current.is_worn(now_ms)

    def due_ms(self, now_ms: int) -> int:
        """When something is to be done, if nothing comes in."""
        times = [session.ends_ms for session in self.sessions if session.ends_ms is not None]
        if self.greeting is not None:
            times.append(self.greeting.due_ms)
        elif self.current is None or self.wants_session(now_ms):
            times.append(self.greet_ms)
        else:
            times.append(max(self.current.worn_ms, self.greet_ms))
            if self.unanswered_ms is not None:
                times.append(max(self.unanswered_ms + SILENT_MS, self.greet_ms))
        if self.current is not None:
            if self.has_waiting():
                times.append(now_ms if self._burst_left else self._burst_ms + BURST_MS)
            if self.owed_ms is not None:
                times.append(self.owed_ms)
        return min(times)
