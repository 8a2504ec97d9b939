"""The transport among governors: sessions with the pinned peers, messages in, datagrams out.

Governance must not depend on its own output, so this knows no scope, capsule or policy: a peer is a
P-256 key on the roster. EDHOC, OSCORE and CoAP are the ones of the device core; keys live in memory
only, and each start makes new sessions. Delivery is best effort. Sans-IO: no sockets, no clock.

A peer may have several sessions: all receive, one sends. A new one sends once the peer has shown
that it has the keys; the old ones receive for a while. Where both sides greet at once, the session
of the one with the lower key stays: see `_made_by_peer`.

A governor that lost its sessions greets anew. One that cannot reach us says nothing, so both sides
notice by silence (after WireGuard, section 6): who was sent something owes a sign of life, and who
has seen none greets again.
"""

from collections.abc import Iterator, Mapping
from itertools import count

from writ import crypto
from writ.errors import (
    BadMessage,
    OutOfOrder,
    RateLimited,
    Rejection,
    SequenceExhausted,
    TableFull,
    UnknownContext,
    UnknownCredential,
    UsageError,
)
from writ.wire import coap, edhoc_codec
from writ.wire.coap import Message
from writ.wire.oscore import Context

from ...errors import Malformed
from ...keys.identity import check_node_key, node_key
from . import frames
from .frames import MESSAGE_BYTES_MAX, SIGN_OF_LIFE
from .handshake import (
    ANSWER_OPTIONS,
    CONNECTION_ID_BYTES,
    Credential,
    Doorman,
    Greeting,
    is_message_1,
)
from .session import (
    GREET_MS,
    GREET_MS_MAX,
    SIGN_OF_LIFE_MS,
    SILENT_MS,
    Peer,
    Session,
    Stats,
    kid_of,
)

# Answers to handshakes between two flushes: to strangers, and as many to known addresses.
REPLIES_MAX = 256
# What is on its way arrives by then; a session that no longer sends receives for so long.
OLD_MS = 10_000
# The one that sends, one not yet confirmed, and two old ones: a peer cannot fill the memory.
SESSIONS_EACH_MAX = 4


def _counting(start: int, bits: int) -> Iterator[int]:
    return (number & ((1 << bits) - 1) for number in count(start))


class Peering:
    """One governor's end. private: its node's P-256 key, 32 bytes; name: only for people.

    counters: rejections by name; stats: of each peer; heard: where each peer's last authentic
    message came from, and when. Peers are named by their node keys (33 B), addresses are
    "host:port". `now_ms` only grows.
    """

    def __init__(self, private: bytes, name: str) -> None:
        self.name = name
        self.key = node_key(private)
        self.counters: dict[str, int] = {}
        self.stats: dict[bytes, Stats] = {}
        self.heard: dict[bytes, tuple[str, int]] = {}
        # whose datagrams are not even opened: it has sent more than can be handled
        self.unread: set[bytes] = set()
        self._private = private
        self._credential = Credential(self.key)
        self._doorman = Doorman(private, self._credential)
        self._peers: dict[bytes, Peer] = {}
        self._order: dict[bytes, None] = {}  # who was sent something since the last flush
        self._by_kid: dict[bytes, Peer] = {}
        self._by_address: dict[str, Peer] = {}
        self._sessions: dict[bytes, Session] = {}  # by own connection id, the recipient id
        self._replies: list[tuple[str, bytes]] = []
        self._mids = _counting(int.from_bytes(crypto.random_bytes(2), "big"), 16)
        self._tags = _counting(int.from_bytes(crypto.random_bytes(4), "big"), 32)
        self._serial = 0
        # when to look at all peers again: what changes meanwhile makes that sooner
        self._look_ms = 0

    # --- peers and messages ---------------------------------------------------------------------

    def set_peers(self, peers: Mapping[bytes, str]) -> None:
        """Who the peers are: {node key: "host:port"}. Others are cut off at once.

        Addresses are hints, but resolved ones have a ration of handshakes of their own. Raises
        `UsageError` for what is no key of another one.
        """
        if len({key[1:] for key in (*peers, self.key)}) <= len(peers):
            raise UsageError("peers have different keys, and not our own")
        new = {key: self._new_peer(key, peers[key]) for key in peers if key not in self._peers}
        for key in self._peers.keys() - peers.keys():
            self._forget(self._peers.pop(key))
        for key, peer in self._peers.items():
            if peer.pinned != peers[key]:
                peer.pinned = peer.address = peers[key]
        self._peers.update(new)
        self._look_soon(0)
        self.stats.update({key: peer.stats for key, peer in new.items()})
        self._by_kid = {peer.credential.kid: peer for peer in self._peers.values()}
        self._index_addresses()

    def _new_peer(self, key: bytes, address: str) -> Peer:
        try:
            credential = Credential(check_node_key(key))
        except Malformed as error:
            raise UsageError(str(error)) from None
        return Peer(key, credential, key[1:] < self.key[1:], address)

    def _forget(self, peer: Peer) -> None:
        for session in list(peer.sessions):
            self._drop(session)
        del self.stats[peer.key]
        self.heard.pop(peer.key, None)

    def _index_addresses(self) -> None:
        self._by_address = {peer.pinned: peer for peer in self._peers.values()}
        self._by_address.update({peer.address: peer for peer in self._peers.values()})

    def send(self, to: bytes, data: bytes) -> None:
        """Queue `data` (1 to 65,536 B) for the peer with node key `to`. Raises `UsageError`."""
        peer = self._peers.get(to)
        if peer is None or not 0 < len(data) <= MESSAGE_BYTES_MAX:
            raise UsageError("a message of 1 to 65,536 bytes, to a peer")
        self._order[to] = None
        for _ in range(peer.queue(data)):
            self._count(TableFull())

    def flush(self, now_ms: int) -> list[tuple[str, bytes]]:
        """What is to be sent: [(address, datagram)]. Messages to one peer share datagrams.

        Peers come in the order in which they were first sent something.
        """
        self.tick(now_ms)
        out = self._replies
        self._replies = []
        order, self._order = {**self._order, **dict.fromkeys(self._peers)}, {}
        peers = [self._peers[key] for key in order if key in self._peers]
        for peer in filter(Peer.has_waiting, peers):
            self._look_soon(now_ms + SILENT_MS)
            try:
                for datagram in peer.drain(self._mids, self._tags, now_ms):
                    out.append((peer.address, datagram))
            except SequenceExhausted as rejection:
                # what it was to carry waits for the next one
                self._count(rejection)
                if peer.current is not None:
                    self._drop(peer.current)
        return out

    def _reply(self, address: str, datagram: bytes) -> None:
        # a flood of strangers leaves room for those known
        if len(self._replies) < REPLIES_MAX * (1 + (address in self._by_address)):
            self._replies.append((address, datagram))

    def _count(self, rejection: Rejection) -> None:
        name = type(rejection).__name__
        self.counters[name] = self.counters.get(name, 0) + 1

    # --- time -------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Do what is due: greet, greet again, give signs of life, forget old sessions."""
        self._doorman.expire(now_ms)
        if now_ms < self._look_ms:
            return
        for peer in self._peers.values():
            for session in list(peer.sessions):
                if session.ends_ms is not None and now_ms >= session.ends_ms:
                    self._drop(session)
            if peer.current is None:
                peer.age(now_ms)
            elif peer.owed_ms is not None and now_ms >= peer.owed_ms:
                peer.live()
            if peer.greeting is not None:
                if now_ms >= peer.greeting.due_ms:
                    self._greet(peer, peer.greeting, now_ms)
            elif now_ms >= peer.greet_ms and peer.wants_session(now_ms):
                # it may have moved back, or never have been where it was heard
                address = peer.pinned if peer.failures % 2 else peer.address
                peer.greeting = Greeting(
                    self._private, self._credential, peer.credential, self._new_id(), address
                )
                self._greet(peer, peer.greeting, now_ms)
        times = (peer.due_ms(now_ms) for peer in self._peers.values())
        self._look_ms = min(times, default=now_ms + SILENT_MS)

    def _look_soon(self, ms: int) -> None:
        self._look_ms = min(ms, self._look_ms)

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `flush` has something to do, or None for never."""
        if self._replies:
            return 0
        if not self._peers:
            return None
        waiting = [peer.due_ms(now_ms) for peer in self._peers.values() if peer.has_waiting()]
        return max(0, min([*waiting, self._look_ms]) - now_ms)

    def _greet(self, peer: Peer, greeting: Greeting, now_ms: int) -> None:
        datagram = greeting.datagram(next(self._mids), now_ms)
        if datagram is None:
            self._greeting_failed(peer, now_ms)
        else:
            self._replies.append((greeting.address, datagram))

    def _greeting_failed(self, peer: Peer, now_ms: int) -> None:
        peer.greeting = None
        peer.greet_ms = now_ms + min(GREET_MS << min(peer.failures, 8), GREET_MS_MAX)
        peer.failures += 1

    # --- sessions ---------------------------------------------------------------------------------

    def _new_id(self) -> bytes:
        greetings = [peer.greeting.c_i for peer in self._peers.values() if peer.greeting]
        while True:
            found: bytes = crypto.random_bytes(CONNECTION_ID_BYTES)
            taken = found in self._sessions or found in self._doorman.pending
            if not taken and found not in greetings:
                return found

    def _open(self, session: Session) -> None:
        self._look_soon(0)
        sessions = session.peer.sessions
        if len(sessions) >= SESSIONS_EACH_MAX:
            self._drop(next(old for old in sessions if old is not session.peer.current))
        sessions.append(session)
        self._sessions[session.context.recipient_id] = session

    def _drop(self, session: Session) -> None:
        self._look_soon(0)
        peer = session.peer
        peer.sessions.remove(session)
        del self._sessions[session.context.recipient_id]
        if peer.current is session:
            peer.current = None

    def _make_current(self, session: Session, now_ms: int) -> None:
        self._look_soon(0)
        peer = session.peer
        if peer.current is not None:
            peer.current.ends_ms = now_ms + OLD_MS
        peer.current = session
        session.ends_ms = None
        peer.failures = 0
        peer.greet_ms = now_ms + GREET_MS
        peer.unanswered_ms = None

    def _confirmed(self, session: Session, now_ms: int) -> None:
        # the peer has the keys of what this side began
        session.peer.greeting = None
        self._serial += 1
        session.serial = self._serial
        self._make_current(session, now_ms)

    def _made_by_peer(self, peer: Peer, context: Context, serial: int, now_ms: int) -> Session:
        """The session of a handshake that the peer began, now that its key is proven.

        Both began one at once: the lower one's is made last on both sides, or only that one. The
        higher one takes no part in its own any more when this happens; it may have sent message_3,
        so it still receives there. The lower one refuses what began before its own was confirmed.
        """
        mine = [session.serial for session in peer.sessions if session.is_mine]
        if not peer.is_lower and max(mine, default=0) > serial:
            raise OutOfOrder()
        if peer.greeting is not None and (peer.is_lower or peer.greeting.context is None):
            peer.greeting = None
        session = Session(peer, context, False, now_ms)
        self._open(session)
        self._make_current(session, now_ms)
        return session

    # --- datagrams --------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[bytes, bytes]]:
        """[(node key, message)] of one datagram from `source`; what it asks for waits for `flush`.

        Never raises: what is refused is counted by name.
        """
        try:
            message = frames.parse(datagram)
            if message.options and message.options[0][0] == coap.OSCORE:
                return self._protected(message, len(datagram), source, now_ms)
            if message.is_request():
                self._asked(message, source, now_ms)
            else:
                self._answered(message, now_ms)
        except Rejection as rejection:
            self._count(rejection)
        return []

    def _protected(
        self, message: Message, size: int, source: str, now_ms: int
    ) -> list[tuple[bytes, bytes]]:
        session = self._sessions.get(kid_of(message) or b"")
        if session is None:
            # silence: its owner greets again when nothing comes back
            raise UnknownContext()
        if session.peer.key in self.unread:
            session.peer.stats.unread += 1
            raise RateLimited()
        inner, is_newest = session.open(message)
        peer = session.peer
        peer.unanswered_ms = None
        peer.stats.datagrams_in += 1
        peer.stats.bytes_in += size
        if peer.greeting is not None and peer.greeting.context is session.context:
            self._confirmed(session, now_ms)
        if session is peer.current and is_newest:
            self._hear(peer, source, now_ms)
        messages = peer.reassembly.unpack(inner)
        if inner.payload and peer.owed_ms is None:
            peer.owed_ms = now_ms + SIGN_OF_LIFE_MS
            self._look_soon(peer.owed_ms)
        peer.stats.messages_in += len(messages)
        return [(peer.key, data) for data in messages]

    def _hear(self, peer: Peer, source: str, now_ms: int) -> None:
        self.heard[peer.key] = (source, now_ms)
        if peer.address != source:
            peer.address = source
            self._index_addresses()

    def _asked(self, message: Message, source: str, now_ms: int) -> None:
        doorman = self._doorman
        has_echo = doorman.has_echo(message, source, now_ms)
        if not is_message_1(message.payload):
            self._asked_3(message.payload, source, now_ms)
            return
        if not has_echo:
            echo = [(coap.ECHO, doorman.echo(source, now_ms))]
            code, options, body = coap.UNAUTHORIZED, echo, b""
        else:
            peer = self._by_address.get(source)
            ids = (self._new_id(), self._serial)
            bucket = None if peer is None else peer.bucket
            body = doorman.answer_1(message.payload, source, bucket, ids, now_ms)
            code, options = coap.CHANGED, ANSWER_OPTIONS
        reply = frames.encode(next(self._mids), code, message.token, options, body)
        self._reply(source, reply)

    def _asked_3(self, body: bytes, source: str, now_ms: int) -> None:
        c_r, end = edhoc_codec.read_connection_id(body, 0)
        session = self._sessions.get(c_r)
        if session is None:
            pending, kid = self._doorman.read_3(c_r, body[end:], source)
            peer = self._by_kid.get(kid)
            if peer is None:
                raise UnknownCredential()
            responder = pending.responder
            responder.verify_3(peer.credential.ccs, peer.credential.x)
            secret, salt = responder.oscore()
            context = Context(secret, salt, responder.c_i, c_r)
            session = self._made_by_peer(peer, context, pending.serial, now_ms)
            session.confirms = body
            self._hear(peer, source, now_ms)
        elif session.is_heard or session.confirms != body:
            raise OutOfOrder()
        # else what would have confirmed it was lost
        elif not session.peer.bucket.take(now_ms):
            raise RateLimited()
        peer = session.peer
        self._reply(peer.address, peer.seal(session, SIGN_OF_LIFE, next(self._mids)))

    def _answered(self, message: Message, now_ms: int) -> None:
        self._look_soon(0)
        for peer in self._peers.values():
            greeting = peer.greeting
            if greeting is not None and greeting.token == message.token:
                break
        else:
            raise OutOfOrder()
        if message.code == coap.UNAUTHORIZED:
            echo = message.option(coap.ECHO)
            if echo is not None and greeting.asked_for_echo(echo):
                self._greet(peer, greeting, now_ms)
        elif message.code != coap.CHANGED or message.options != ANSWER_OPTIONS:
            raise BadMessage()
        elif greeting.context is None:
            try:
                context = greeting.answered(message.payload)
            except Rejection:
                self._greeting_failed(peer, now_ms)
                raise
            self._open(Session(peer, context, True, now_ms, ends_ms=now_ms + OLD_MS))
            self._greet(peer, greeting, now_ms)
