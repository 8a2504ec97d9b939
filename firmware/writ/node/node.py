"""A node: datagrams and time in, datagrams out. Joins the layers; owns no socket and no clock.

Order for each request: message layer, session, freshness, then the policy in force at this moment,
then the resource. Addresses are strings ("192.0.2.7:5683"), given meaning by the links.
"""

from .. import cbor, crypto
from ..authority.authority import Authority
from ..authority.ratelimit import RateLimiter, TokenBucket
from ..errors import (
    BadOption,
    EchoRequired,
    NeedsAction,
    NotFresh,
    NotMember,
    RateLimited,
    Rejection,
    TimedOut,
    TooLarge,
    UnknownContext,
    UsageError,
)
from ..limits import (
    ADDRESSES_MAX,
    BLOCK_SZX,
    DATAGRAM_BYTES_MAX,
    ECHO_LIFETIME_MS,
    HANDSHAKE_BURST,
    HANDSHAKE_ECHO_BELOW,
    HANDSHAKE_REFILL_MS,
)
from ..wire import coap, edhoc_codec, oscore
from ..wire.blockwise import Assembler, block_decode, slice_response
from ..wire.coap import Message
from ..wire.exchange import Exchanges
from ..wire.observe import Observers
from .client import EDHOC_PATH, FORMAT_EDHOC, Call, Client
from .handshake import Handshaker
from .session import Sessions
from .sync import PREFIX, Sync

_KNOWN_OPTIONS = (
    coap.URI_HOST,
    coap.URI_PORT,
    coap.URI_PATH,
    coap.URI_QUERY,
    coap.ACCEPT,
    coap.OSCORE,
    coap.EDHOC,
    coap.BLOCK1,
    coap.BLOCK2,
)
_CORE = ".well-known/core"
# Methods that may be asked for block by block: they change nothing
_SAFE = (coap.GET, coap.FETCH)
METHOD_NAMES = ("", "GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH")


class Request:
    """What a resource is called with.

    method: CoAP code (coap.GET...); path: str; query: list of str; payload: bytes;
    peer: the `Member` who asks; address: where from; rule: number of the rule that allowed it;
    is_ordered: whether a certified action was used up for it.
    """

    def __init__(self, message, payload, peer, address):
        self.method = message.code
        self.path = message.path()
        self.query = message.query()
        self.payload = payload
        self.peer = peer
        self.address = address
        self.rule = None
        self.is_ordered = False


class _Resource:
    def __init__(self, function, methods, period_ms):
        self.function = function
        self.methods = methods
        self.period_ms = period_ms
        self.due_ms = 0


class Node:
    """One node. store: `store.Store`; private: its P-256 key, 32 bytes; name: what it calls itself.

    scope: the 8-byte scope id to trust, until the charter is on flash; None for a node that is
    not provisioned. `now_ms` is always that of the last call into the node.
    """

    def __init__(self, store, private, name="node", scope=None):
        self.store = store
        self.private = private
        self.name = name
        self.now_ms = 0
        self.counters = {}  # name of a rejection -> how often
        x, _ = crypto.p256_public(private)
        self.authority = Authority(store, x, scope)
        self.sessions = Sessions(store, self.authority)
        self.handshaker = Handshaker(self.authority, self.sessions, private)
        self.exchanges = Exchanges()
        self.observers = Observers()
        self.uploads = Assembler()
        self._handed = Assembler()  # what strangers upload, who must not fill the members' table
        self.sync = Sync(self)
        self.client = Client(self)
        self.resources = {}
        self.addresses = {}  # node id -> address where the member was heard last
        self._handshakes = TokenBucket(HANDSHAKE_BURST, HANDSHAKE_REFILL_MS)
        # one neighbour gets a quarter of what all get: whoever asks without end leaves the rest
        self._handshakes_each = RateLimiter(HANDSHAKE_BURST, 4 * HANDSHAKE_REFILL_MS)
        self._echo_key = crypto.random_bytes(16)
        self._later = []

    # --- for whoever writes a sensor ----------------------------------------------------------

    def resource(self, path, methods=("GET",), period_s=None):
        """Decorator: serve `path` by a function of a `Request`.

        It returns bytes or str (2.05 for GET, 2.04 otherwise) or (code, bytes), at most a block
        (limits.BLOCK_SZX) where the method is another than GET or FETCH. period_s: how
        often observers are told. Who may call it is the policy's business.
        """
        codes = [METHOD_NAMES.index(name) for name in methods]
        if path == PREFIX or path.startswith(PREFIX + "/") or path.startswith(".well-known"):
            raise UsageError("that path is the node's own")

        def register(function):
            period_ms = None if period_s is None else int(period_s * 1000)
            self.resources[path] = _Resource(function, codes, period_ms)
            return function

        return register

    def request(
        self,
        method,
        path,
        payload=b"",
        address=None,
        wanted=None,
        query=(),
        observe=None,
        on_answer=None,
    ):
        """[(address, datagram)] that begin a call to another node; its answer goes to `on_answer`.

        wanted: the node id that must answer (no other's answer is taken), or None for any member
        at `address`. Raises `UsageError` if neither is known.
        """
        if address is None:
            address = self.where(wanted)
            if address is None:
                raise UsageError("no address known for this node")
        call = Call(address, wanted, method, path, query, payload, observe, on_answer)
        return self.client.call(call, self.now_ms)

    def stop_observing(self, address, token):
        """Forget an observation; its next notification is answered with a reset."""
        self.exchanges.end(address, token)

    # --- datagrams and time -------------------------------------------------------------------

    def receive(self, datagram, source, now_ms):
        """Handle one datagram from `source`; returns [(address, datagram)] to send."""
        self.now_ms = now_ms
        if len(datagram) > DATAGRAM_BYTES_MAX:
            return self._too_large(datagram, source)
        try:
            message = coap.decode(datagram)
            verdict, out = self.exchanges.receive(message, source, now_ms)
            if verdict != "new":
                return out
            if message.is_request():
                return out + self._serve(message, source, now_ms)
            return out + self._answered(message, source, now_ms)
        except Rejection as rejection:
            # malformed from the first byte: silence costs a stranger nothing and us least
            self.count(rejection)
            return []

    def _too_large(self, datagram, source):
        # a request is answered from its first bytes, so that a stock client tries smaller blocks
        rejection = TooLarge()
        self.count(rejection)
        start = 4 + (datagram[0] & 15)
        if datagram[0] >> 4 != 4 or start > 12 or not 0 < datagram[1] < 32:
            return []
        answer = _refusal(rejection)
        answer.mid = datagram[2] << 8 | datagram[3]
        answer.token = datagram[4:start]
        return [(source, answer.encode())]

    def tick(self, now_ms):
        """What is due by now: retransmissions, notifications, pulls. [(address, datagram)]."""
        self.now_ms = now_ms
        self.authority.now_s(now_ms)
        out, failed = self.exchanges.tick(now_ms)
        for address, token, context in failed:
            if context is None:
                self.observers.cancel(address, token)
            else:
                out += self.client.failed(context, TimedOut())
        later = self._later
        self._later = []
        for function, args in later:
            out += function(*args, now_ms)
        for path, resource in list(self.resources.items()):
            if resource.period_ms and now_ms >= resource.due_ms:
                resource.due_ms = now_ms + resource.period_ms
                out += self.notify(path, now_ms)
        return out

    def next_ms(self, now_ms):
        """Milliseconds until `tick` has something to do, or None for never."""
        if self._later:
            return 0
        times = []
        if self.observers.entries:
            times = [r.due_ms for r in self.resources.values() if r.period_ms]
        wait_ms = self.exchanges.next_ms(now_ms)
        if times:
            due_ms = max(0, min(times) - now_ms)
            wait_ms = due_ms if wait_ms is None else min(wait_ms, due_ms)
        return wait_ms

    def later(self, function, *args):
        """Call `function(*args, now_ms)` in the next tick and send what it returns."""
        self._later.append((function, args))

    def count(self, rejection):
        """Count a rejection by its name."""
        name = type(rejection).__name__
        self.counters[name] = self.counters.get(name, 0) + 1

    def where(self, node_id):
        """The address where this member was heard last, or None."""
        return self.addresses.get(node_id)

    def heard(self, session, address):
        """An authentic message came from this address: the session follows its peer there."""
        session.address = address
        session.is_proven = True
        node_id = self._renew(session).node_id
        self.client.introduce(node_id)
        if node_id not in self.addresses and len(self.addresses) >= ADDRESSES_MAX:
            # of the members without a session there is always one
            for known in list(self.addresses):
                if self.sessions.by_peer(known) is None:
                    del self.addresses[known]
                    break
        self.addresses[node_id] = address

    def _renew(self, session):
        # its peer, by the newest capsule: renewed, perhaps, or with other roles
        newest = self.authority.peer(session.peer.node_id)
        if newest and newest.raw != session.peer.raw:
            session.peer = newest
            # the peers are not on flash, but in the records of sessions
            session.context.reserve(session.context.limit)
        return session.peer

    # --- responses to what we asked -----------------------------------------------------------

    def _answered(self, message, source, now_ms):
        context = self.exchanges.match(message, source)
        if context is None:
            return self.exchanges.reset(message, source)
        out = self.exchanges.acknowledge(message, source)
        return out + self.client.answered(context, message, source, now_ms)

    def notice(self, session, epoch, now_ms):
        """A peer said which epoch it has."""
        return self.sync.notice(session, epoch, now_ms)

    def notice_option(self, session, inner, now_ms):
        """Look at the epoch option of an authentic message."""
        epoch = inner.option_uint(coap.EPOCH)
        return [] if epoch is None else self.notice(session, epoch, now_ms)

    # --- requests from others -------------------------------------------------------------------

    def _serve(self, message, source, now_ms):
        try:
            if message.option(coap.OSCORE) is not None:
                return self._serve_member(message, source, now_ms)
            return self._answer(message, self._serve_stranger(message, source, now_ms), source)
        except Rejection as rejection:
            self.count(rejection)
            return self._answer(message, _refusal(rejection), source)

    def _answer(self, request, response, source):
        return self.exchanges.answer(request, response, source, self.now_ms)

    def _serve_stranger(self, message, source, now_ms):
        # all that works without a session: the handshake, discovery, handing over capsules
        coap.check_critical(message.options, _KNOWN_OPTIONS)
        path = message.path()
        if path == EDHOC_PATH and message.code == coap.POST:
            return self._handshake(message, source, now_ms)
        if path == _CORE and message.code == coap.GET:
            links = [(EDHOC_PATH, [("rt", "core.edhoc")]), (PREFIX, [("rt", "writ")])]
            return self._core(links, message)
        if path != PREFIX and path != PREFIX + "/request":
            raise NotMember()
        body, early = self._handed.receive(source, message, now_ms)
        if early:
            return early
        found = self.sync.serve(Request(message, body, None, source), now_ms)
        if found is None:
            raise NotMember()
        return self._respond(message, found)

    def _core(self, links, message):
        # seldom asked for; until then it costs no heap
        from ..wire.linkformat import link_format

        text = link_format(links, message.query()).encode()
        response = self._respond(message, (coap.CONTENT, text))
        response.add(coap.CONTENT_FORMAT, 40)
        return response

    def _respond(self, request, found):
        # the response with this code and body, or the block of it that was asked for
        code, body = found
        response = Message(coap.ACK, code)
        response.payload, options = slice_response(body, request.option(coap.BLOCK2))
        for number, value in options:
            response.add(number, value)
        block1 = request.option(coap.BLOCK1)
        if block1 is not None:
            response.add(coap.BLOCK1, block1)
        return response

    def _handshake(self, message, source, now_ms):
        payload = message.payload
        try:
            if payload[:1] == b"\xf5":
                self._admit(message, source, now_ms)
                answer = self.handshaker.answer_1(payload[1:], source, now_ms)
            else:
                c_r, end = edhoc_codec.read_connection_id(payload, 0)
                session, responder, news = self.handshaker.answer_3(
                    c_r, payload[end:], source, now_ms
                )
                self.heard(session, source)
                if news:
                    self.later(self.notice, session, news.epoch)
                answer = responder.message_4()
        except (EchoRequired, RateLimited):
            raise
        except Rejection as rejection:
            return self._edhoc_error(rejection)
        response = Message(coap.ACK, coap.CHANGED, payload=answer)
        response.add(coap.CONTENT_FORMAT, FORMAT_EDHOC)
        return response

    def _edhoc_error(self, rejection):
        self.count(rejection)
        response = Message(coap.ACK, coap.BAD_REQUEST, payload=edhoc_codec.to_error(rejection))
        response.add(coap.CONTENT_FORMAT, FORMAT_EDHOC)
        return response

    def _admit(self, message, source, now_ms):
        # before anything is computed for a stranger: an Echo when busy, then the ration
        self._handshakes.refill(now_ms)
        if self._handshakes.tokens < HANDSHAKE_ECHO_BELOW:
            echo = message.option(coap.ECHO)
            period = now_ms // ECHO_LIFETIME_MS
            if echo not in (self._echo(source, period), self._echo(source, period - 1)):
                rejection = EchoRequired()
                rejection.echo = self._echo(source, period)
                raise rejection
        # where nothing is left for anybody, nobody's own ration is spent
        if not (self._handshakes.tokens and self._handshakes_each.take(source, now_ms)):
            raise RateLimited()
        self._handshakes.take(now_ms)

    def _echo(self, source, period):
        text = "%s %d" % (source, period)
        return crypto.hmac_sha256(self._echo_key, text.encode())[:8]

    # --- requests in a session --------------------------------------------------------------------

    def _serve_member(self, message, source, now_ms):
        kid, _, kid_context = oscore.decode_option(message.option(coap.OSCORE))
        out = []
        if message.option(coap.EDHOC) is not None:
            try:
                out = self._combined(message, kid, source, now_ms)
            except Rejection as rejection:
                return self._answer(message, self._edhoc_error(rejection), source)
        session = self.sessions.by_kid(kid, kid_context) if kid is not None else None
        if session is None:
            raise UnknownContext()
        inner, binding, number = session.context.unprotect_request(message)
        session.context.accept(number)
        if not session.context.window_valid:
            if session.echo is None or inner.option(coap.ECHO) != session.echo:
                self.count(EchoRequired())
                response = Message(coap.ACK, coap.UNAUTHORIZED)
                response.add(coap.ECHO, session.echo)
                # a number of our own: the request may be a replay, and its nonce used before
                sealed = session.context.protect_response(response, binding, own_piv=True)
                return self._answer(message, sealed, source)
            session.context.restart_window(number)
        self.heard(session, source)
        self.sessions.touch(session)
        response, observer = self._judge(session, inner, source, binding, now_ms)
        response.add(coap.EPOCH, self.authority.epoch)
        sealed = session.context.protect_response(response, binding, own_piv=observer is not None)
        out += self._answer(message, sealed, source)
        return out + self.notice_option(session, inner, now_ms)

    def _combined(self, message, kid, source, now_ms):
        # message_3 in front of the request (RFC 9668, section 3.3)
        _, end = cbor.decode_item(message.payload)
        session, _, news = self.handshaker.answer_3(kid, message.payload[:end], source, now_ms)
        message.payload = message.payload[end:]
        self.heard(session, source)
        return self.notice(session, news.epoch, now_ms) if news else []

    def _judge(self, session, message, source, binding, now_ms):
        # (response, observer or None) to an authentic request
        try:
            coap.check_critical(message.options, _KNOWN_OPTIONS)
            request = Request(message, message.payload, session.peer, source)
            if message.code not in _SAFE and block_decode(message.option(coap.BLOCK2) or b"")[0]:
                # nothing is kept between blocks: it would be done again for each of them
                raise BadOption()
            try:
                self._permit(request, now_ms)
            except (NeedsAction, NotFresh) as rejection:
                # of two rules one may want an action, and nothing fresh
                self.authority.order(request, rejection, now_ms)
            # the first block of an upload is judged like the last one, before any is kept
            body, early = self.uploads.receive(session.peer.node_id, message, now_ms)
            if early:
                return early, None
            request.payload = body
            found = self._find(request, now_ms)
            if found is None:
                links = [(path, []) for path in sorted(self.resources)]
                return self._core(links, message), None
            response = self._respond(message, found)
            return response, self._observe(session, message, response, request, source, binding)
        except Rejection as rejection:
            self.count(rejection)
            return _refusal(rejection), None

    def _permit(self, request, now_ms):
        # raises unless the policy in force allows the request; governance is every member's
        path = request.path
        if self.sync.is_open(request) or (path == _CORE and request.method == coap.GET):
            self.authority.check_member(request.peer, now_ms, True)
        else:
            request.rule = self.authority.authorise(request.peer, request.method, path, now_ms)

    def _find(self, request, now_ms):
        # (code, body) of an allowed request, or None for the list of resources
        found = self.sync.serve(request, now_ms)
        if found:
            return found
        if request.is_ordered:
            # on flash when this returns: what follows is done once or, if power fails now, never
            self.authority.actions.spend(request, self.authority.now_s(now_ms))
        if request.method == coap.GET:
            if request.path == PREFIX + "/status":
                return coap.CONTENT, cbor.encode(self.status(now_ms))
            if request.path == _CORE:
                return None
        resource = self.resources.get(request.path)
        if resource is None:
            return coap.NOT_FOUND, b""
        if request.method not in resource.methods:
            return coap.METHOD_NOT_ALLOWED, b""
        code, body = self._call(resource, request)
        if len(body) > 16 << BLOCK_SZX and request.method not in _SAFE:
            self.count(TooLarge())
            return coap.INTERNAL, b""
        return code, body

    def _call(self, resource, request):
        code = coap.CONTENT if request.method == coap.GET else coap.CHANGED
        try:
            result = resource.function(request)
            if isinstance(result, tuple):
                code, result = result
            if isinstance(result, str):
                result = result.encode()
            # whatever cannot be sent must not come any further
            return coap.check_response(code), bytes(memoryview(b"" if result is None else result))
        except Exception as error:  # noqa: BLE001
            # the boundary to a sensor author's code: whatever it raises, the node goes on
            self.count(error)
            return coap.INTERNAL, b""

    # --- observation ------------------------------------------------------------------------------

    def _observe(self, session, message, response, request, source, binding):
        wish = message.option_uint(coap.OBSERVE)
        if wish == 1:
            self.observers.cancel(source, message.token)
        # nobody is told of what this node's own paths hold
        if wish != 0 or response.code != coap.CONTENT or request.path not in self.resources:
            return None
        if message.code != coap.GET:
            return None
        for entry in list(self.observers.entries):
            if not self.sessions.is_open(entry.context[0]):
                self.observers.cancel(entry.address, entry.token)
        observer = self.observers.register(
            request.path, session.peer.node_id, source, message.token, (session, binding)
        )
        if observer is not None:
            response.add(coap.OBSERVE, observer.next()[0])
        return observer

    def notify(self, path, now_ms):
        """Tell the observers of `path` its present value. [(address, datagram)]."""
        self.now_ms = now_ms
        out = []
        for observer in self.observers.for_path(path):
            session, binding = observer.context
            if not self.sessions.is_open(session):
                self.observers.cancel(observer.address, observer.token)
                continue
            message = Message(coap.CON, coap.GET, token=observer.token)
            message.add_path(path)
            request = Request(message, b"", self._renew(session), observer.address)
            try:
                # each notification is judged by the policy in force now, not at registration
                self._permit(request, now_ms)
                response = self._respond(message, self._find(request, now_ms))
            except Rejection as rejection:
                self.count(rejection)
                response = _refusal(rejection)
            number, confirm = observer.next()
            # an observer that is silent must not fill the queue of all that waits for an answer
            confirm = confirm and not self.exchanges.is_waiting(observer.address)
            response.type = coap.CON if confirm else coap.NON
            response.mid = None
            response.token = observer.token
            if response.code == coap.CONTENT:
                response.add(coap.OBSERVE, number)
            else:
                self.observers.cancel(observer.address, observer.token)
            response.add(coap.EPOCH, self.authority.epoch)
            try:
                sealed = session.context.protect_response(response, binding, own_piv=True)
                out += self.exchanges.send(sealed, observer.address, now_ms)
            except Rejection as rejection:
                self.count(rejection)
                self.observers.cancel(observer.address, observer.token)
        return out

    # --- status -----------------------------------------------------------------------------------

    def status(self, now_ms):
        """What an operator wants to know, as a dict that CBOR can hold."""
        authority = self.authority
        return {
            "name": self.name,
            "scope": authority.scope,
            "epoch": authority.epoch,
            "head": authority.head,
            "time": authority.now_s(now_ms),
            "policy": authority.policy.issued if authority.policy else None,
            "beacon": authority.beacon.time if authority.beacon else None,
            "beacon_age_s": authority.beacon_age_s(now_ms),
            "sessions": len(self.sessions),
            "uptime_s": now_ms // 1000,
            "rejected": self.counters,
        }


def _refusal(rejection):
    # code and name in words: 4.03 "40 NotAllowed"; strangers learn no more than members
    code = rejection.code
    kind = coap.FORBIDDEN if code in _FORBIDDEN else _CODES.get(code, coap.BAD_REQUEST)
    response = Message(coap.ACK, kind)
    echo = getattr(rejection, "echo", None)
    if echo:
        response.add(coap.ECHO, echo)
    response.payload = ("%d %s" % (code, type(rejection).__name__)).encode()
    return response


# By code, since to name a class is to make it. A request that is Replayed (61) may have been done
_FORBIDDEN = (27, 28, 30, 37, 40, 41, 42, 44, 61)
_CODES = {
    10: coap.TOO_LARGE,
    32: coap.TOO_MANY,
    43: coap.UNAUTHORIZED,
    60: coap.UNAUTHORIZED,
    63: coap.UNAUTHORIZED,
    81: coap.BAD_OPTION,
    83: coap.UNAVAILABLE,
}
