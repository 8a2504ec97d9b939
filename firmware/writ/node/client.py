"""The client half of a node: calls to other nodes, from the handshake to the last block.

A `Call` (call.py) is one request and its answer. Under way, it waits in a `Handshake`
(connecting.py) or is a `ProtectedRequest`. These two are what `Exchanges` remembers for a token.
Each has `answered(message, address, now_ms)` for a response and `failed(rejection, now_ms)` for a
time-out, a reset or a message that could not be sent. Sans-IO: every method returns
[(address, datagram)]; the answer goes to the caller's function. The called node judges the request
by its policy.
"""

from .. import crypto
from ..errors import (
    BlockMismatch,
    DecryptionFailed,
    Expired,
    NotMember,
    Rejection,
    Replayed,
    TableFull,
    TooLarge,
    UnknownContext,
    UsageError,
)
from ..limits import BLOCK_SZX, PAUSE_MS, PAUSE_MS_MAX, REQUESTS_MAX, TRIES_MAX
from ..wire import coap
from ..wire.blockwise import Download, block_encode
from ..wire.coap import Message
from .call import Answer


class ProtectedRequest:
    """A request of a call in a session.

    context: the session, and what OSCORE needs to open the answer.
    """

    def __init__(self, client, call, session, binding):
        self._client = client
        self.call = call
        self.context = session, binding

    def answered(self, message, address, now_ms):
        """Take the response, or one of the notifications."""
        client, call = self._client, self.call
        session, binding = self.context
        context = client.context
        if message.option(coap.OSCORE) is None:
            return self._refused(message, address, now_ms)
        try:
            inner, number = session.context.unprotect_response(message, binding)
        except Rejection as rejection:
            # a forged answer must not end the call: the true one may still come
            context.count(rejection)
            return []
        context.exchanges.trust(message, now_ms)
        context.mark_seen(session, address)
        out = context.notice_option(session, inner, now_ms)
        observe = call.observe and inner.option(coap.OBSERVE) is not None
        if call.observation == (address, message.token):
            # partial IVs only grow, so a replay is never newer, however late (RFC 8613, 7.4.1)
            if number is None or number <= call.number:
                context.count(Replayed())
                return out
            if not observe:
                call.observation = None
        try:
            client.check_peer(call, session, now_ms)
        except Rejection as rejection:
            context.exchanges.end(address, message.token)
            if isinstance(rejection, (Expired, NotMember)) and call.may_repeat():
                # it may be renewed: `send` finds out
                return out + client.retry(call, rejection, now_ms)
            call.observation = None
            client.finish(call, peer=session.peer, rejection=rejection)
            return out
        until_ms = None
        if observe:
            # then the value is stale, and 5 s to 15 s later it is asked for (RFC 7641, 3.3.1)
            age_s = inner.option_uint(coap.MAX_AGE)
            until_ms = now_ms + 1000 * (60 if age_s is None else age_s) + 5000
            until_ms += 40 * crypto.random_bytes(1)[0]
        context.exchanges.end(address, message.token, until_ms)
        if observe:
            call.observation = (address, message.token)
            # the first one may share the request's nonce (RFC 8613, section 8.3)
            call.number = -1 if number is None else number
            call.download = Download()
        echo = inner.option(coap.ECHO)
        if inner.code == coap.UNAUTHORIZED and echo and call.tries <= TRIES_MAX:
            # the peer has restarted and wants a proof that this is no replay (RFC 8613, B.1.2)
            call.tries += 1
            call.echo = echo
            return out + client.send(call, session, now_ms)
        return out + self._collect(inner, now_ms)

    def _collect(self, inner, now_ms):
        client, call, session = self._client, self.call, self.context[0]
        is_shown = session.shown is client.context.authority.me
        if inner.code >> 5 == 4 and not is_shown and now_ms >= session.show_ms:
            from .renewal import is_for_old_capsule, show

            if is_for_old_capsule(client.context.authority, call, session, inner.payload):
                return show(client, call, session, now_ms)
        try:
            if inner.code == coap.INCOMPLETE and call.upload.next()[0]:
                # the peer has lost the blocks before this one, and has not executed the request
                return client.retry(call, BlockMismatch(), now_ms)
            if not call.upload.feed(inner):
                return client.send(call, session, now_ms)
            if inner.code >> 5 == 2:
                body = call.download.feed(inner)
                if body is None:
                    return client.send(call, session, now_ms)
            else:
                body = inner.payload
        except BlockMismatch as rejection:
            # the body has changed meanwhile; an observer gets another notification
            if call.observation:
                client.context.count(rejection)
                return []
            if call.may_repeat():
                return client.retry(call, rejection, now_ms)
            client.finish(call, peer=session.peer, rejection=rejection)
            return []
        except Rejection as rejection:
            client.finish(call, peer=session.peer, rejection=rejection)
            return []
        if call.observation:
            call.tries = 0
            if now_ms - call.ready_ms >= PAUSE_MS_MAX:
                call.pause_ms = 0
        observe = call.number if call.observation else None
        client.finish(call, inner.code, body, session.peer, observe)
        return []

    def _refused(self, message, address, now_ms):
        # an unprotected error: the peer has no such session (any more), or the handshake failed
        from .connecting import peer_error

        client, call = self._client, self.call
        session = self.context[0]
        context = client.context
        if message.code >> 5 == 2:
            # a peer that has the keys does not answer like this
            context.count(DecryptionFailed())
            return []
        error = peer_error(message)
        # Replayed is one of them: a copy of this node is ahead in the session and stays ahead. An
        # attacker that sees the token can forge these answers; it costs a handshake, which is
        # limited
        is_lost = message.code == coap.UNAUTHORIZED
        if session.is_proven:
            # its key identifier may mean another session by now
            is_lost = is_lost or message.code == coap.BAD_REQUEST
        elif not call.by_value:
            # our kid stands for no capsule there, or for another one
            context.introduced.pop(session.peer.node_id, None)
            is_lost = True
        if is_lost or not session.is_proven:
            context.sessions.drop(session)
        authority = context.authority
        is_behind = not session.is_proven and authority.me.key_epoch != authority.key_epoch
        until_ms = None
        calls = [call]
        if not (is_lost or is_behind) or not call.may_repeat():
            client.finish(call, peer=session.peer, rejection=error)
            calls.clear()
        elif call.number is not None and not is_behind:
            # the end of the pause is a time-out, after which `failed` registers it again
            if now_ms >= call.ready_ms:
                call.ready_ms = now_ms + call.pause_ms
                call.pause_ms = min(2 * call.pause_ms or PAUSE_MS, PAUSE_MS_MAX)
            until_ms = call.ready_ms
        context.exchanges.end(address, message.token, until_ms)
        if is_behind:
            return client.catch_up(address, calls, error, now_ms)
        if not calls or until_ms is not None:
            return []
        return client.retry(call, error, now_ms)

    def failed(self, rejection, now_ms):
        """End the call, but register an observation again: the server may have restarted."""
        if not self.context[0].is_proven:
            # the peer may have no such session
            self._client.context.sessions.drop(self.context[0])
        if self.call.observe and self.call.number is not None:
            return self._client.retry(self.call, rejection, now_ms)
        self._client.finish(self.call, rejection=rejection)
        return []


class Client:
    """All calls of one node. context: the `NodeContext`."""

    def __init__(self, context):
        self.context = context
        self.handshakes = {}  # (address, wanted node id or None) -> Handshake

    def call(self, call, now_ms):
        """Begin a call: over an open session, else after a handshake."""
        sessions = self.context.sessions
        if call.wanted is not None:
            session = sessions.by_peer(call.wanted)
        else:
            session = sessions.by_address(call.address)
        if session is None:
            return self._connect(call, now_ms)
        if call.address is None:
            call.address = session.address
        elif session.address is None:
            session.address = call.address
        if session.address is None:
            self.finish(call, rejection=UnknownContext())
            return []
        return self.send(call, session, now_ms)

    def finish(self, call, code=0, payload=b"", peer=None, observe=None, rejection=None):
        """Give a call's answer to its caller."""
        if rejection:
            self.context.count(rejection)
        if call.on_answer:
            self.context.tell(call.on_answer, Answer(code, payload, peer, observe, rejection))

    def retry(self, call, rejection, now_ms):
        """Begin a call anew, in a new session if there is none; the last try ends it.

        A request whose answer comes in blocks was carried out.
        """
        call.tries += 1
        if call.observation:
            self.context.exchanges.end(call.observation[0], call.observation[1])
            call.observation = None
        if call.tries > TRIES_MAX or (call.download.block2 and not call.may_repeat()):
            self.finish(call, rejection=rejection)
            return []
        call.begin()
        return self.call(call, now_ms)

    def _connect(self, call, now_ms):
        # begin a handshake for this call, or let it wait for one under way
        context = self.context
        handshake = self.handshakes.get((call.address, call.wanted))
        if handshake:
            if len(handshake.calls) >= REQUESTS_MAX:
                self.finish(call, rejection=TableFull())
            else:
                handshake.calls.append(call)
            return []
        authority = context.authority
        by_value = context.introduced.get(call.wanted) is not authority.me
        peer = authority.peer(call.wanted)
        # a peer whose capsule here has expired or is void may have a new one, which its kid would
        # not show
        by_kid = call.by_kid and peer and not authority.is_past(peer, now_ms)
        from .connecting import Handshake

        try:
            handshake = Handshake(self, call, by_value, by_kid)
        except Rejection as rejection:
            self.finish(call, rejection=rejection)
            return []
        self.handshakes[handshake.key] = handshake
        try:
            return handshake.send_1(now_ms)
        except MemoryError:
            # nothing was sent: no later call may wait for this handshake
            handshake.close()
            raise

    def catch_up(self, address, calls, rejection, now_ms):
        """Follow the changes of the group key at `address`, then retry `calls`."""
        from .catchup import CatchUp

        return CatchUp(self.context, address, calls, rejection).begin(now_ms)

    def submit(self, message, address, handler, now_ms):
        """Send a request. handler: has `answered` and `failed`, as a `Handshake` has."""
        exchanges = self.context.exchanges
        try:
            exchanges.begin(message, address, handler)
            return exchanges.send(message, address, now_ms)
        except (TableFull, UsageError) as error:
            exchanges.end(address, message.token)
            # too long for a datagram: the caller's error, which is known only here
            return handler.failed(error if isinstance(error, TableFull) else TooLarge(), now_ms)
        except MemoryError:
            exchanges.end(address, message.token)
            raise

    def send(self, call, session, now_ms, message_3=None):
        """Send the next request of a call in `session`, with message_3 in front if given."""
        context = self.context
        if not context.sessions.is_open(session):
            return self.retry(call, UnknownContext(), now_ms)
        message = Message(coap.CON, call.method)
        if call.observe is False and call.observation:
            # a deregistration has the token of what it ends (RFC 7641, section 3.6)
            message.token = call.observation[1]
            call.observation = None
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
                # else a stock peer sends blocks that make a datagram too large for this node
                block2 = block_encode(0, False, BLOCK_SZX)
        if block2 is not None:
            message.add(coap.BLOCK2, block2)
        if call.echo:
            message.add(coap.ECHO, call.echo)
            call.echo = None
        message.add(coap.EPOCH, context.authority.epoch)
        try:
            self.check_peer(call, session, now_ms)
            sealed, binding = session.context.protect_request(message)
        except UsageError:
            self.finish(call, rejection=TooLarge())
            return []
        except Rejection as rejection:
            context.count(rejection)
            if isinstance(rejection, NotMember) and call.tries < TRIES_MAX:
                # certified by the key before the last succession. A handshake shows whether it has
                # a newer capsule; until then this session serves for capsules, which need no trust
                call.tries += 1
                return self._connect(call, now_ms)
            # a peer that may be renewed, or used up numbers: a new handshake gives new keys
            context.sessions.drop(session)
            return self.retry(call, rejection, now_ms)
        context.sessions.touch(session)
        if message_3 is not None:
            # EDHOC and OSCORE in one message (RFC 9668)
            sealed.add(coap.EDHOC)
            sealed.payload = message_3 + sealed.payload
        request = ProtectedRequest(self, call, session, binding)
        return self.submit(sealed, session.address, request, now_ms)

    def check_peer(self, call, session, now_ms):
        """Raise unless the peer is a member now. A capsule in its answer needs no such trust."""
        if not self.context.sync.is_open(call):
            self.context.authority.check_member(session.peer, now_ms)
