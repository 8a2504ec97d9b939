"""The transport between governors: encrypted sessions with pinned peers. Sans-IO.

1. A peer is a P-256 key on the roster. The transport knows no scope, capsule or policy, since
   governors must be able to repair their scope when its own output is broken.
2. EDHOC, OSCORE and CoAP are those of the device core. Keys are in memory only: a restart makes new
   sessions. Delivery is best effort.
3. A peer may have several sessions. All of them receive, one sends. A new session sends once the
   peer has proven that it has the keys; old ones still receive for a while.
4. If both sides begin a handshake at once, the session of the lower key stays (`_accept_session`).
5. A side that lost its sessions begins a new handshake. A lost session is noticed by silence (after
   WireGuard, section 6): the receiver of a message owes a keepalive, and a sender that gets none
   begins a new handshake.
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
from .frames import KEEPALIVE, MESSAGE_BYTES_MAX
from .handshake import (
    ANSWER_OPTIONS,
    CONNECTION_ID_BYTES,
    Credential,
    HandshakeResponder,
    OutgoingHandshake,
    is_message_1,
)
from .session import (
    HANDSHAKE_PAUSE_MS,
    HANDSHAKE_PAUSE_MS_MAX,
    KEEPALIVE_MS,
    SILENCE_MS,
    Peer,
    PeerSession,
    PeerStats,
    kid_of,
)

# Answers to handshakes between two flushes: to unknown addresses, and as many to known ones.
REPLIES_MAX = 256
# A session that no longer sends receives for so long: datagrams under way arrive by then.
OLD_MS = 10_000
# The session that sends, an unconfirmed one and two old ones. A peer cannot fill the memory.
SESSIONS_EACH_MAX = 4


def _counting(start: int, bits: int) -> Iterator[int]:
    return (number & ((1 << bits) - 1) for number in count(start))


class PeerTransport:
    """One governor's end of all sessions. private: its node's P-256 key, 32 bytes.

    counters: rejections by name; stats: traffic by peer; last_seen: the source and the time (ms) of
    each peer's newest authentic message. Peers are named by their node keys (33 B), addresses are
    "host:port". `now_ms` only grows.
    """

    def __init__(self, private: bytes) -> None:
        self.key = node_key(private)
        self.counters: dict[str, int] = {}
        self.stats: dict[bytes, PeerStats] = {}
        self.last_seen: dict[bytes, tuple[str, int]] = {}
        # peers whose datagrams are dropped unopened: too many of their messages wait
        self.paused: set[bytes] = set()
        self._private = private
        self._credential = Credential(self.key)
        self._responder = HandshakeResponder(private, self._credential)
        self._peers: dict[bytes, Peer] = {}
        self._order: dict[bytes, None] = {}  # peers with messages since the last flush
        self._by_kid: dict[bytes, Peer] = {}
        self._by_address: dict[str, Peer] = {}
        self._sessions: dict[bytes, PeerSession] = {}  # by own connection id, the recipient id
        self._replies: list[tuple[str, bytes]] = []
        self._mids = _counting(int.from_bytes(crypto.random_bytes(2), "big"), 16)
        self._tags = _counting(int.from_bytes(crypto.random_bytes(4), "big"), 32)
        self._serial = 0
        # when the timers of all peers are checked next; changes bring that forward
        self._check_ms = 0

    # --- peers and messages ---------------------------------------------------------------------

    def set_peers(self, peers: Mapping[bytes, str]) -> None:
        """Replace the peers: {node key: "host:port"}. Removed peers are cut off at once.

        Addresses are hints, but each numeric one has its own rate limit for handshakes. Raises
        `UsageError` for an invalid key, our own key, or one that is there twice.
        """
        if len({key[1:] for key in (*peers, self.key)}) <= len(peers):
            raise UsageError("the keys of peers must differ from each other and from our own")
        new = {key: self._new_peer(key, peers[key]) for key in peers if key not in self._peers}
        for key in self._peers.keys() - peers.keys():
            self._forget(self._peers.pop(key))
        for key, peer in self._peers.items():
            if peer.pinned != peers[key]:
                peer.pinned = peer.address = peers[key]
        self._peers.update(new)
        self._check_by(0)
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
        self.last_seen.pop(peer.key, None)

    def _index_addresses(self) -> None:
        self._by_address = {peer.pinned: peer for peer in self._peers.values()}
        self._by_address.update({peer.address: peer for peer in self._peers.values()})

    def send(self, to: bytes, data: bytes) -> None:
        """Queue `data` (1 to 65,536 B) for the peer with node key `to`. Raises `UsageError`."""
        peer = self._peers.get(to)
        if peer is None or not 0 < len(data) <= MESSAGE_BYTES_MAX:
            raise UsageError("a message has 1 to 65,536 bytes and goes to a peer")
        self._order[to] = None
        for _ in range(peer.enqueue(data)):
            self._count(TableFull())

    def flush(self, now_ms: int) -> list[tuple[str, bytes]]:
        """The datagrams to send: [(address, datagram)]. Messages to one peer share datagrams.

        Peers come in the order of their first message since the last flush.
        """
        self.tick(now_ms)
        out = self._replies
        self._replies = []
        order, self._order = {**self._order, **dict.fromkeys(self._peers)}, {}
        peers = [self._peers[key] for key in order if key in self._peers]
        for peer in filter(Peer.has_queued, peers):
            self._check_by(now_ms + SILENCE_MS)
            try:
                for datagram in peer.drain(self._mids, self._tags, now_ms):
                    out.append((peer.address, datagram))
            except SequenceExhausted as rejection:
                # its messages wait for the next session
                self._count(rejection)
                if peer.current is not None:
                    self._drop(peer.current)
        return out

    def _reply(self, address: str, datagram: bytes) -> None:
        # a flood from unknown addresses leaves room for known ones
        if len(self._replies) < REPLIES_MAX * (1 + (address in self._by_address)):
            self._replies.append((address, datagram))

    def _count(self, rejection: Rejection) -> None:
        name = type(rejection).__name__
        self.counters[name] = self.counters.get(name, 0) + 1

    # --- time -------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Do what is due: handshakes and their retries, keepalives, expiry of old sessions."""
        self._responder.expire(now_ms)
        if now_ms < self._check_ms:
            return
        for peer in self._peers.values():
            for session in list(peer.sessions):
                if session.expires_ms is not None and now_ms >= session.expires_ms:
                    self._drop(session)
            if peer.current is None:
                peer.drop_stale(now_ms)
            elif peer.keepalive_ms is not None and now_ms >= peer.keepalive_ms:
                peer.enqueue_keepalive()
            if peer.handshake is not None:
                if now_ms >= peer.handshake.due_ms:
                    self._continue(peer, peer.handshake, now_ms)
            elif now_ms >= peer.handshake_ms and peer.needs_handshake(now_ms):
                # it may have moved back, or the newest source may be wrong
                address = peer.pinned if peer.failed_handshakes % 2 else peer.address
                peer.handshake = OutgoingHandshake(
                    self._private, self._credential, peer.credential, self._new_id(), address
                )
                self._continue(peer, peer.handshake, now_ms)
        times = (peer.due_ms(now_ms) for peer in self._peers.values())
        self._check_ms = min(times, default=now_ms + SILENCE_MS)

    def _check_by(self, ms: int) -> None:
        self._check_ms = min(ms, self._check_ms)

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `flush` has work, None for never."""
        if self._replies:
            return 0
        if not self._peers:
            return None
        waiting = [peer.due_ms(now_ms) for peer in self._peers.values() if peer.has_queued()]
        return max(0, min([*waiting, self._check_ms]) - now_ms)

    def _continue(self, peer: Peer, handshake: OutgoingHandshake, now_ms: int) -> None:
        datagram = handshake.datagram(next(self._mids), now_ms)
        if datagram is None:
            self._handshake_failed(peer, now_ms)
        else:
            self._replies.append((handshake.address, datagram))

    def _handshake_failed(self, peer: Peer, now_ms: int) -> None:
        peer.handshake = None
        peer.handshake_ms = now_ms + min(
            HANDSHAKE_PAUSE_MS << min(peer.failed_handshakes, 8), HANDSHAKE_PAUSE_MS_MAX
        )
        peer.failed_handshakes += 1

    # --- sessions ---------------------------------------------------------------------------------

    def _new_id(self) -> bytes:
        begun = [peer.handshake.c_i for peer in self._peers.values() if peer.handshake]
        while True:
            found: bytes = crypto.random_bytes(CONNECTION_ID_BYTES)
            taken = found in self._sessions or found in self._responder.pending
            if not taken and found not in begun:
                return found

    def _open(self, session: PeerSession) -> None:
        self._check_by(0)
        sessions = session.peer.sessions
        if len(sessions) >= SESSIONS_EACH_MAX:
            self._drop(next(old for old in sessions if old is not session.peer.current))
        sessions.append(session)
        self._sessions[session.context.recipient_id] = session

    def _drop(self, session: PeerSession) -> None:
        self._check_by(0)
        peer = session.peer
        peer.sessions.remove(session)
        del self._sessions[session.context.recipient_id]
        if peer.current is session:
            peer.current = None

    def _make_current(self, session: PeerSession, now_ms: int) -> None:
        self._check_by(0)
        peer = session.peer
        if peer.current is not None:
            peer.current.expires_ms = now_ms + OLD_MS
        peer.current = session
        session.expires_ms = None
        peer.failed_handshakes = 0
        peer.handshake_ms = now_ms + HANDSHAKE_PAUSE_MS
        peer.unanswered_ms = None

    def _confirmed(self, session: PeerSession, now_ms: int) -> None:
        # the peer has proven that it has the keys of a session that this side began
        session.peer.handshake = None
        self._serial += 1
        session.serial = self._serial
        self._make_current(session, now_ms)

    def _accept_session(
        self, peer: Peer, context: Context, serial: int, now_ms: int
    ) -> PeerSession:
        """Open the session of a handshake that the peer began, now that its key is verified.

        If both sides began a handshake at once, the session of the lower key is opened last on both
        sides, or is the only one. The side with the higher key then abandons its own handshake. It
        may have sent message_3, so it still receives in that session. The side with the lower key
        refuses a handshake that began before its own was confirmed.
        """
        begun = [session.serial for session in peer.sessions if session.is_initiator]
        if not peer.is_lower and max(begun, default=0) > serial:
            raise OutOfOrder()
        if peer.handshake is not None and (peer.is_lower or peer.handshake.context is None):
            peer.handshake = None
        session = PeerSession(peer, context, False, now_ms)
        self._open(session)
        self._make_current(session, now_ms)
        return session

    # --- datagrams --------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[bytes, bytes]]:
        """The messages in a datagram: [(node key, message)]. Replies wait for `flush`.

        Never raises: `counters` counts rejected datagrams by name.
        """
        try:
            message = frames.parse(datagram)
            if message.options and message.options[0][0] == coap.OSCORE:
                return self._receive_protected(message, len(datagram), source, now_ms)
            if message.is_request():
                self._receive_request(message, source, now_ms)
            else:
                self._receive_response(message, now_ms)
        except Rejection as rejection:
            self._count(rejection)
        return []

    def _receive_protected(
        self, message: Message, size: int, source: str, now_ms: int
    ) -> list[tuple[bytes, bytes]]:
        session = self._sessions.get(kid_of(message) or b"")
        if session is None:
            # no answer: the peer notices the silence and begins a new handshake
            raise UnknownContext()
        if session.peer.key in self.paused:
            session.peer.stats.unread += 1
            raise RateLimited()
        inner, is_newest = session.open(message)
        peer = session.peer
        peer.unanswered_ms = None
        peer.stats.datagrams_in += 1
        peer.stats.bytes_in += size
        if peer.handshake is not None and peer.handshake.context is session.context:
            self._confirmed(session, now_ms)
        if session is peer.current and is_newest:
            self._saw(peer, source, now_ms)
        messages = peer.reassembly.unpack(inner)
        if inner.payload and peer.keepalive_ms is None:
            peer.keepalive_ms = now_ms + KEEPALIVE_MS
            self._check_by(peer.keepalive_ms)
        peer.stats.messages_in += len(messages)
        return [(peer.key, data) for data in messages]

    def _saw(self, peer: Peer, source: str, now_ms: int) -> None:
        self.last_seen[peer.key] = (source, now_ms)
        if peer.address != source:
            peer.address = source
            self._index_addresses()

    def _receive_request(self, message: Message, source: str, now_ms: int) -> None:
        responder = self._responder
        has_echo = responder.has_echo(message, source, now_ms)
        if not is_message_1(message.payload):
            self._receive_message_3(message.payload, source, now_ms)
            return
        if not has_echo:
            echo = [(coap.ECHO, responder.echo(source, now_ms))]
            code, options, body = coap.UNAUTHORIZED, echo, b""
        else:
            peer = self._by_address.get(source)
            ids = (self._new_id(), self._serial)
            bucket = None if peer is None else peer.bucket
            body = responder.respond(message.payload, source, bucket, ids, now_ms)
            code, options = coap.CHANGED, ANSWER_OPTIONS
        reply = frames.encode(next(self._mids), code, message.token, options, body)
        self._reply(source, reply)

    def _receive_message_3(self, body: bytes, source: str, now_ms: int) -> None:
        c_r, end = edhoc_codec.read_connection_id(body, 0)
        session = self._sessions.get(c_r)
        if session is None:
            pending, kid = self._responder.read_3(c_r, body[end:], source)
            peer = self._by_kid.get(kid)
            if peer is None:
                raise UnknownCredential()
            responder = pending.responder
            responder.verify_3(peer.credential.ccs, peer.credential.x)
            secret, salt = responder.oscore()
            context = Context(secret, salt, responder.c_i, c_r)
            session = self._accept_session(peer, context, pending.serial, now_ms)
            session.message_3 = body
            self._saw(peer, source, now_ms)
        elif session.has_received or session.message_3 != body:
            raise OutOfOrder()
        # a repeated message_3: the first confirmation was lost
        elif not session.peer.bucket.take(now_ms):
            raise RateLimited()
        peer = session.peer
        self._reply(peer.address, peer.seal(session, KEEPALIVE, next(self._mids)))

    def _receive_response(self, message: Message, now_ms: int) -> None:
        self._check_by(0)
        for peer in self._peers.values():
            handshake = peer.handshake
            if handshake is not None and handshake.token == message.token:
                break
        else:
            raise OutOfOrder()
        if message.code == coap.UNAUTHORIZED:
            echo = message.option(coap.ECHO)
            if echo is not None and handshake.take_echo(echo):
                self._continue(peer, handshake, now_ms)
        elif message.code != coap.CHANGED or message.options != ANSWER_OPTIONS:
            raise BadMessage()
        elif handshake.context is None:
            try:
                context = handshake.take_message_2(message.payload)
            except Rejection:
                self._handshake_failed(peer, now_ms)
                raise
            self._open(PeerSession(peer, context, True, now_ms, expires_ms=now_ms + OLD_MS))
            self._continue(peer, handshake, now_ms)
