"""The client half of a node: calls to other nodes, from handshake to the last block.

A `Call` is one request and its answer. Sans-IO: every method returns [(address, datagram)]; the
answer reaches the caller's function. Judges nothing: authority is checked by who is called.
"""

from ..errors import (
    BadMac,
    BadSignature,
    BlockMismatch,
    DecryptionFailed,
    KnownBad,
    NotMember,
    PeerFailed,
    Rejection,
    Replayed,
    TableFull,
    TooLarge,
    UnknownContext,
    UnknownCredential,
    UsageError,
)
from ..limits import BLOCK_SZX, REQUESTS_MAX
from ..wire import coap, edhoc_codec
from ..wire.blockwise import Download, Upload, block_encode
from ..wire.coap import Message

_TRIES_MAX = 4
EDHOC_PATH = ".well-known/edhoc"
# Below it are the resources by which governance moves
PREFIX = "writ"
FORMAT_EDHOC = 64  # application/edhoc+cbor-seq (RFC 9668, section 8)


class Answer:
    """What a call came to. code: CoAP code, or 0 with `rejection` set when there was no answer.

    payload: bytes; peer: `Member` who answered; observe: notification number or None.
    """

    def __init__(self, code, payload=b"", peer=None, observe=None, rejection=None):
        self.code = code
        self.payload = payload
        self.peer = peer
        self.observe = observe
        self.rejection = rejection

    def is_success(self):
        """Whether the answer's class is 2.xx."""
        return self.code >> 5 == 2


class Call:
    """One request under way. `on_answer(answer)` is called once, or for each notification."""

    def __init__(self, address, wanted, method, path, query, payload, observe, on_answer):
        self.address = address
        self.wanted = wanted  # node id that must answer, or None
        self.method = method
        self.path = path
        self.query = query
        self.observe = observe  # None, True while observing, False to deregister
        self.on_answer = on_answer
        self.payload = payload
        self.tries = 0
        self.echo = None
        self.by_value = False  # whether its session began with our capsule by value
        self.by_kid = True  # whether the peer need not send its capsule, where it is known
        # of an observation that stands: (address, token), and the newest notification's number
        self.standing = None
        self.number = None
        self.begin()

    def begin(self):
        """Begin the transfer, in blocks or not, anew."""
        self.upload = Upload(self.payload)
        self.download = Download()

    def may_repeat(self):
        """Whether what was sent last may be sent again in another session.

        A refusal in plain may be forged, and what it refuses be done: POST and PATCH are then for
        the caller to repeat. A block that others follow does nothing yet; a capsule or a statement
        does the same twice as once.
        """
        block1, _ = self.upload.next()
        more = block1 is not None and block1[-1:] and block1[-1] & 8
        is_same = self.method not in (coap.POST, coap.PATCH, coap.IPATCH)
        return more or is_same or (self.path + "/").startswith(PREFIX + "/")


class _Greeting:
    # a handshake under way as initiator, and the calls that wait for it
    def __init__(self, address, wanted, by_value, by_kid, initiator, message_1):
        self.address = address
        self.by_value = by_value
        self.by_kid = by_kid
        self.key = (address, wanted)
        self.echoed = False
        self.initiator = initiator
        self.message_1 = message_1
        self.calls = []


class Client:
    """All calls of one node. node: owns exchanges, sessions, handshaker and authority."""

    def __init__(self, node):
        self._node = node
        self._greetings = {}  # (address, wanted node id or None) -> _Greeting
        self._introduced = []  # node ids who have our member capsule

    def call(self, call, now_ms):
        """Begin a call: over an open session, else after a handshake."""
        sessions = self._node.sessions
        if call.wanted is not None:
            session = sessions.by_peer(call.wanted)
        else:
            session = sessions.by_address(call.address)
        if session is None:
            return self._greet(call, now_ms)
        if call.address is None:
            call.address = session.address
        elif session.address is None:
            session.address = call.address
        if session.address is None:
            self.finish(call, rejection=UnknownContext())
            return []
        return self._send(call, session, now_ms)

    def finish(self, call, code=0, payload=b"", peer=None, observe=None, rejection=None):
        """Give a call's answer to who made it."""
        if rejection:
            self._node.count(rejection)
        if call.on_answer:
            try:
                call.on_answer(Answer(code, payload, peer, observe, rejection))
            except Exception as error:  # noqa: BLE001
                # the boundary to the caller's code, as for a resource: the node goes on
                self._node.count(error)

    def retry(self, call, rejection, now_ms):
        """Begin anew, in a new session if there is none; what goes on failing ends at some time."""
        call.tries += 1
        if call.standing:
            self._node.exchanges.end(call.standing[0], call.standing[1])
            call.standing = None
        if call.tries > _TRIES_MAX:
            self.finish(call, rejection=rejection)
            return []
        call.begin()
        return self.call(call, now_ms)

    # --- handshake --------------------------------------------------------------------------------

    def _greet(self, call, now_ms):
        node = self._node
        greeting = self._greetings.get((call.address, call.wanted))
        if greeting:
            if len(greeting.calls) >= REQUESTS_MAX:
                self.finish(call, rejection=TableFull())
            else:
                greeting.calls.append(call)
            return []
        by_value = call.wanted not in self._introduced
        by_kid = call.by_kid and node.authority.peer(call.wanted) is not None
        try:
            initiator, message_1 = node.handshaker.start(by_value, by_kid)
        except Rejection as rejection:
            self.finish(call, rejection=rejection)
            return []
        greeting = _Greeting(call.address, call.wanted, by_value, by_kid, initiator, message_1)
        greeting.calls.append(call)
        self._greetings[greeting.key] = greeting
        return self._send_1(greeting, now_ms)

    def _send_1(self, greeting, now_ms, echo=None):
        message = Message(coap.CON, coap.POST)
        message.add_path(EDHOC_PATH)
        message.add(coap.CONTENT_FORMAT, FORMAT_EDHOC + 1)
        if echo:
            message.add(coap.ECHO, echo)
        message.payload = b"\xf5" + greeting.message_1
        return self.submit(message, greeting.address, greeting, now_ms)

    def submit(self, message, address, context, now_ms):
        """Send a request; its answer goes to `answered` with this context.

        A context that is a function gets (message, or None if there is no answer, and now_ms).
        """
        exchanges = self._node.exchanges
        try:
            exchanges.begin(message, address, context)
            return exchanges.send(message, address, now_ms)
        except (TableFull, UsageError) as error:
            exchanges.end(address, message.token)
            # too long for a datagram: the caller's doing, but known here only
            return self.failed(context, error if isinstance(error, TableFull) else TooLarge())

    def _close(self, greeting):
        self._greetings.pop(greeting.key, None)
        self._node.handshaker.end(greeting.initiator)

    def _answer_2(self, greeting, message, now_ms):
        node = self._node
        address = greeting.address
        node.exchanges.end(address, message.token)
        echo = message.option(coap.ECHO)
        if message.code == coap.UNAUTHORIZED and echo and not greeting.echoed:
            # the peer is busy and wants to see that this address is ours
            greeting.echoed = True
            return self._send_1(greeting, now_ms, echo)
        self._close(greeting)
        calls = greeting.calls
        try:
            if message.code != coap.CHANGED:
                raise self._peer_error(message)
            session, message_3, news = node.handshaker.answer_2(
                greeting.initiator,
                message.payload,
                greeting.by_value,
                address,
                now_ms,
                calls[0].wanted,
            )
        except Rejection as rejection:
            if isinstance(rejection, (BadSignature, KnownBad)):
                # certified by a key that came after ours, perhaps
                return self._lead(address, calls, rejection, now_ms)
            # a kid means the capsule known here, and the peer has a newer one, perhaps
            again = greeting.by_kid and isinstance(rejection, BadMac)
            out = []
            for call in calls:
                if again:
                    call.by_kid = False
                    out += self.retry(call, rejection, now_ms)
                else:
                    self.finish(call, rejection=rejection)
            return out
        # so far only what the peer sent in plain speaks for it (RFC 9528, section 5.4.2)
        session.is_proven = False
        calls[0].by_value = greeting.by_value
        out = self._send(calls[0], session, now_ms, message_3)
        for call in calls[1:]:
            out += self._send(call, session, now_ms)
        if news:
            out += node.notice(session, news.epoch, now_ms)
        return out

    def _lead(self, address, calls, rejection, now_ms):
        from .catchup import lead

        return lead(self, PREFIX, address, calls, rejection, now_ms)

    def _peer_error(self, message):
        # what an unprotected error means; it is the peer's word only, and costs at most a retry
        if message.option_uint(coap.CONTENT_FORMAT) == FORMAT_EDHOC:
            try:
                code, _ = edhoc_codec.parse_error(message.payload)
                if code == 3:
                    return UnknownCredential()
            except Rejection as rejection:
                return rejection
        error = PeerFailed()
        error.text = message.payload
        return error

    # --- requests ---------------------------------------------------------------------------------

    def _send(self, call, session, now_ms, message_3=None):
        node = self._node
        if not node.sessions.is_open(session):
            return self.retry(call, UnknownContext(), now_ms)
        message = Message(coap.CON, call.method)
        if call.observe is False and call.standing:
            # a deregistration has the token of what it ends (RFC 7641, section 3.6)
            message.token = call.standing[1]
            call.standing = None
        message.add_path(call.path)
        for item in call.query:
            message.add(coap.URI_QUERY, item)
        block1, message.payload = call.upload.next()
        if block1 is not None:
            message.add(coap.BLOCK1, block1)
        block2 = call.download.block2
        if block2 is None:
            if call.observe is not None:
                message.add(coap.OBSERVE, b"" if call.observe else b"\x01")
            if block1 is None and not session.is_writ:
                # a stock peer's blocks fill a datagram that does not fit here, unless it is told
                block2 = block_encode(0, False, BLOCK_SZX)
        if block2 is not None:
            message.add(coap.BLOCK2, block2)
        if call.echo:
            message.add(coap.ECHO, call.echo)
            call.echo = None
        message.add(coap.EPOCH, node.authority.epoch)
        try:
            self._check_peer(call, session, now_ms)
            sealed, binding = session.context.protect_request(message)
        except UsageError:
            self.finish(call, rejection=TooLarge())
            return []
        except Rejection as rejection:
            node.count(rejection)
            if isinstance(rejection, NotMember) and call.tries < _TRIES_MAX:
                # by the key before the last succession; by the new one now? A handshake tells, and
                # this session serves until then for all that speaks for itself
                call.tries += 1
                return self._greet(call, now_ms)
            # a peer that may be renewed, or used up numbers: a new handshake gives new keys
            node.sessions.drop(session)
            return self.retry(call, rejection, now_ms)
        node.sessions.touch(session)
        if message_3 is not None:
            # EDHOC and OSCORE in one message (RFC 9668)
            sealed.add(coap.EDHOC)
            sealed.payload = message_3 + sealed.payload
        return self.submit(sealed, session.address, (call, session, binding), now_ms)

    def _check_peer(self, call, session, now_ms):
        # what a revoked or expired member says counts no more; but capsules speak for themselves
        if not self._node.sync.is_open(call):
            self._node.authority.check_member(session.peer, now_ms)

    def answered(self, context, message, address, now_ms):
        """Handle a response that belongs to a request of this client."""
        if callable(context):
            self._node.exchanges.end(address, message.token)
            return context(message, now_ms)
        if isinstance(context, _Greeting):
            return self._answer_2(context, message, now_ms)
        call, session, binding = context
        node = self._node
        if message.option(coap.OSCORE) is None:
            return self._refused(call, session, message, address, now_ms)
        try:
            inner, number = session.context.unprotect_response(message, binding)
        except Rejection as rejection:
            # a forged answer must not end the call: the true one may come yet
            node.count(rejection)
            return []
        node.heard(session, address)
        out = node.notice_option(session, inner, now_ms)
        observe = call.observe and inner.option(coap.OBSERVE) is not None
        if call.standing == (address, message.token):
            # partial IVs only grow, so that a replay is never news, however late (RFC 8613, 7.4.1)
            if number is None or number <= call.number:
                node.count(Replayed())
                return out
            if not observe:
                call.standing = None
        try:
            self._check_peer(call, session, now_ms)
        except Rejection as rejection:
            call.standing = None
            node.exchanges.end(address, message.token)
            self.finish(call, peer=session.peer, rejection=rejection)
            return out
        node.exchanges.end(address, message.token, observe)
        if observe:
            call.standing = (address, message.token)
            # the first one may share the request's nonce (RFC 8613, section 8.3)
            call.number = -1 if number is None else number
            call.download = Download()
        echo = inner.option(coap.ECHO)
        if inner.code == coap.UNAUTHORIZED and echo and call.tries < _TRIES_MAX:
            # the peer restarted and wants to know that this is no replay (RFC 8613, B.1.2)
            call.tries += 1
            call.echo = echo
            return out + self._send(call, session, now_ms)
        return out + self._collect(call, session, inner, now_ms)

    def _collect(self, call, session, inner, now_ms):
        try:
            if inner.code == coap.INCOMPLETE and call.upload.next()[0]:
                # the peer has lost the blocks before this one, and done nothing
                return self.retry(call, BlockMismatch(), now_ms)
            if not call.upload.feed(inner):
                return self._send(call, session, now_ms)
            if inner.code >> 5 == 2:
                body = call.download.feed(inner)
                if body is None:
                    return self._send(call, session, now_ms)
            else:
                body = inner.payload
        except BlockMismatch as rejection:
            # the body has changed meanwhile; an observer will be told again
            if call.standing:
                self._node.count(rejection)
                return []
            if call.may_repeat():
                return self.retry(call, rejection, now_ms)
            self.finish(call, peer=session.peer, rejection=rejection)
            return []
        except Rejection as rejection:
            self.finish(call, peer=session.peer, rejection=rejection)
            return []
        if call.standing:
            call.tries = 0
        observe = call.number if call.standing else None
        self.finish(call, inner.code, body, session.peer, observe)
        return []

    def _refused(self, call, session, message, address, now_ms):
        # an unprotected error: the peer has no such session (any more), or the handshake failed
        node = self._node
        if message.code >> 5 == 2:
            # nobody who has the keys would answer like this
            node.count(DecryptionFailed())
            return []
        node.exchanges.end(address, message.token)
        error = self._peer_error(message)
        # Replayed: a copy of this node is ahead in the session, and never lets it catch up. Whoever
        # sees the token can forge this, as all below: it costs a handshake, which has its ration
        lost = message.code == coap.UNAUTHORIZED or message.payload[:3] == b"61 "
        if session.is_proven:
            # its key identifier may mean another session by now
            lost = lost or message.code == coap.BAD_REQUEST
        elif not call.by_value:
            # our kid means no capsule there, or another one
            if session.peer.node_id in self._introduced:
                self._introduced.remove(session.peer.node_id)
            lost = True
        if lost or not session.is_proven:
            node.sessions.drop(session)
        authority = node.authority
        if not session.is_proven and authority.me.key_epoch != authority.key_epoch:
            return self._lead(address, [call], error, now_ms)
        if lost and call.may_repeat():
            return self.retry(call, error, now_ms)
        self.finish(call, peer=session.peer, rejection=error)
        return []

    def failed(self, context, rejection):
        """A request timed out, was reset, or could not be sent."""
        if callable(context):
            return context(None, self._node.now_ms)
        if isinstance(context, _Greeting):
            self._close(context)
            calls = context.calls
        else:
            call, session, _ = context
            calls = [call]
            if not session.is_proven:
                # the peer has no such session, as far as we know
                self._node.sessions.drop(session)
        for call in calls:
            self.finish(call, rejection=rejection)
        return []

    def introduce(self, node_id):
        """Remember that this member has our capsule: its kid will do from now on."""
        if node_id not in self._introduced:
            self._introduced = self._introduced[-15:] + [node_id]
