"""The server half of a node: requests, the EDHOC responder, the policy check and the resources.

Every request of a member is judged by the policy in force at this moment, a notification likewise.
Sans-IO: methods return [(address, datagram)].
"""

from .. import cbor
from ..compat import const, unload
from ..errors import (
    BadOption,
    EchoRequired,
    Expired,
    NeedsAction,
    NotFound,
    NotFresh,
    NotMember,
    RateLimited,
    Rejection,
    ResourceFailed,
    TooLarge,
    UnknownContext,
    WrongMethod,
)
from ..limits import BLOCK_SZX, BLOCK_SZX_FRAMES, BODY_BYTES_MAX
from ..wire import coap, edhoc_codec, oscore
from ..wire.blockwise import Assembler, block_decode, slice_response
from ..wire.coap import Message
from .context import CORE, EDHOC_PATH, FORMAT_EDHOC, PREFIX

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
# Bytes of heap that must be free before a resource is called: an answer is made of copies
_ANSWER_ROOM = const(512)
# Methods whose answer may be fetched block by block: they change nothing
_SAFE = (coap.GET, coap.FETCH)


class Request:
    """The request that a resource's function receives.

    method: CoAP code (coap.GET...); path: str; query: list of str; payload: bytes;
    peer: the `Member` who asks; address: its address; rule: number of the rule that allowed it;
    has_action: whether a certified action was used up for it; block2: its Block2 option or None;
    is_first: whether a handshake was in front of it.
    """

    is_first = False

    def __init__(self, message, payload, peer, address):
        self.method = message.code
        self.path = message.path()
        self.query = message.query()
        self.payload = payload
        self.peer = peer
        self.address = address
        self.block2 = message.option(coap.BLOCK2)
        self.rule = None
        self.has_action = False


class Resource:
    """A function that an app has registered. methods: CoAP codes; period_ms: int or None."""

    def __init__(self, function, methods, period_ms):
        self.function = function
        self.methods = methods
        self.period_ms = period_ms
        self.due_ms = 0  # of the next notification


def refusal(rejection):
    """The response that names a rejection: code and name as text, 4.03 "40 NotAllowed".

    After Expired follow the time that this node believes, and what certified it.
    A stranger gets the same as a member.
    """
    code = rejection.code
    kind = coap.FORBIDDEN if code in _FORBIDDEN else _CODES.get(code, coap.BAD_REQUEST)
    response = Message(coap.ACK, kind)
    echo = getattr(rejection, "echo", None)
    if echo:
        response.add(coap.ECHO, echo)
    if kind == coap.TOO_LARGE:
        # what fits: blocks of 512 bytes, and a body of so many (RFC 7959, section 2.9.3)
        response.add(coap.BLOCK1, 5)
        response.add(coap.SIZE1, BODY_BYTES_MAX)
    response.payload = ("%d %s" % (code, edhoc_codec.text_of(rejection))).encode()
    return response


# By code, since to name a class is to make it
_FORBIDDEN = (27, 28, 30, 37, 40, 41, 42, 44)
_CODES = {
    10: coap.TOO_LARGE,
    32: coap.TOO_MANY,
    43: coap.UNAUTHORIZED,
    60: coap.UNAUTHORIZED,
    61: coap.UNAUTHORIZED,
    63: coap.UNAUTHORIZED,
    81: coap.BAD_OPTION,
    82: coap.INCOMPLETE,
    83: coap.UNAVAILABLE,
    85: coap.NOT_FOUND,
    86: coap.METHOD_NOT_ALLOWED,
    87: coap.INTERNAL,
}


class Server:
    """Serves one node's resources. context: the `NodeContext`."""

    def __init__(self, context):
        self.context = context
        self.resources = {}  # path -> Resource
        # of a gateway on a host: serves POST writ/mesh (docs/mesh.md). Called with (session, inner
        # message, request, binding, now_ms); returns the response, or None: it answers later
        self.proxy = None
        self._status = None  # of writ/status: the body that a client has had the first block of
        self._notifier = None  # `Notifier`, once a client has observed a resource
        self.uploads = Assembler()
        # a stranger's upload must not fill the table of the members
        self.stranger_uploads = Assembler(True)

    def serve(self, message, source, now_ms):
        """Answer a request of a member or a stranger."""
        try:
            if message.option(coap.OSCORE) is not None:
                return self._serve_member(message, source, now_ms)
            return self._answer(message, self._serve_stranger(message, source, now_ms), source)
        except Rejection as rejection:
            self.context.count(rejection)
            return self._answer(message, refusal(rejection), source)
        except MemoryError:
            self.uploads.restore()
            self.stranger_uploads.restore()
            raise
        finally:
            self.uploads.forget()
            self.stranger_uploads.forget()

    def _answer(self, request, response, source):
        context = self.context
        return context.exchanges.answer(request, response, source, context.now_ms)

    def respond(self, request, found, szx=BLOCK_SZX):
        """The response with the code and body of `found`, or the block of it that was asked for.

        szx: of the largest block (RFC 7959, section 2.2).
        """
        code, body = found
        response = Message(coap.ACK, code)
        response.payload, options = slice_response(body, request.option(coap.BLOCK2), szx)
        for number, value in options:
            response.add(number, value)
        block1 = request.option(coap.BLOCK1)
        if block1 is not None:
            response.add(coap.BLOCK1, block1)
        return response

    # --- requests of strangers ----------------------------------------------------------------

    def _serve_stranger(self, message, source, now_ms):
        # all that works without a session: the handshake, discovery, handing over capsules
        coap.check_critical(message.options, _KNOWN_OPTIONS)
        path = message.path()
        if path == EDHOC_PATH and message.code == coap.POST:
            return self._handshake(message, source, now_ms)
        if path == CORE and message.code == coap.GET:
            return self._core(message, None)
        if path != PREFIX and path != PREFIX + "/request":
            raise NotMember()
        body, early = self.stranger_uploads.receive(source, message, now_ms)
        if early:
            return early
        found = self.context.sync.serve(Request(message, body, None, source), now_ms)
        if found is None:
            raise NotMember()
        # frames carry a charter whole: a block less is a request and an answer less
        is_framed = source[:5] in ("join:", "mesh:")
        return self.respond(message, found, BLOCK_SZX_FRAMES if is_framed else BLOCK_SZX)

    def _core(self, message, peer):
        # loaded when it is asked for, which is seldom
        from .discovery import links

        unload("node.discovery")
        text = links(self, peer, message.query())
        response = self.respond(message, (coap.CONTENT, text))
        response.add(coap.CONTENT_FORMAT, 40)
        return response

    # --- handshakes as responder --------------------------------------------------------------

    def _handshake(self, message, source, now_ms):
        payload = message.payload
        context = self.context
        try:
            if payload[:1] == b"\xf5":
                context.handshaker.limit(source, message.option(coap.ECHO), now_ms)
                answer = context.handshaker.answer_1(payload[1:], source, now_ms)
            else:
                c_r, end = edhoc_codec.read_connection_id(payload, 0)
                session, responder, epoch = context.handshaker.answer_3(
                    c_r, payload[end:], source, now_ms
                )
                # its sender is a member: no stranger displaces the answer
                context.exchanges.trust(message, now_ms)
                context.mark_seen(session, source)
                if epoch is not None:
                    context.later(context.notice, session, epoch)
                answer = responder.message_4()
        except (EchoRequired, RateLimited):
            raise
        except Rejection as rejection:
            return self._edhoc_error(rejection)
        response = Message(coap.ACK, coap.CHANGED, payload=answer)
        response.add(coap.CONTENT_FORMAT, FORMAT_EDHOC)
        return response

    def _edhoc_error(self, rejection):
        self.context.count(rejection)
        response = Message(coap.ACK, coap.BAD_REQUEST, payload=edhoc_codec.to_error(rejection))
        response.add(coap.CONTENT_FORMAT, FORMAT_EDHOC)
        return response

    # --- requests in a session ----------------------------------------------------------------

    def _serve_member(self, message, source, now_ms):
        context = self.context
        kid, _, kid_context = oscore.decode_option(message.option(coap.OSCORE))
        out = []
        if message.option(coap.EDHOC) is not None:
            try:
                out = self._combined(message, kid, source, now_ms)
            except Rejection as rejection:
                return self._answer(message, self._edhoc_error(rejection), source)
        session = context.sessions.by_kid(kid, kid_context) if kid is not None else None
        if session is None:
            raise UnknownContext()
        session.is_new = message.option(coap.EDHOC) is not None
        window = session.context.window, session.context.window_valid
        try:
            return out + self._serve_protected(session, message, source, now_ms)
        except MemoryError:
            # a request that was not answered is no replay when it is repeated
            session.context.window, session.context.window_valid = window
            raise

    def _serve_protected(self, session, message, source, now_ms):
        context = self.context
        oscore_context = session.context
        inner, binding, number = oscore_context.unprotect_request(message)
        oscore_context.accept(number)
        context.exchanges.trust(message, now_ms)
        if not oscore_context.window_valid:
            if session.echo is None or inner.option(coap.ECHO) != session.echo:
                context.count(EchoRequired())
                response = Message(coap.ACK, coap.UNAUTHORIZED)
                response.add(coap.ECHO, session.echo)
                # a number of our own: the request may be a replay, and its nonce used before
                sealed = oscore_context.protect_response(response, binding, own_piv=True)
                return self._answer(message, sealed, source)
            oscore_context.restart_window(number)
        context.mark_seen(session, source)
        context.sessions.touch(session)
        response, observer = self._judge(session, inner, source, binding, now_ms)
        if response is None:
            # a separate response (RFC 7252, section 5.2.2)
            out = context.exchanges.acknowledge(message, source)
        else:
            response.add(coap.EPOCH, context.authority.epoch)
            own_piv = observer is not None
            sealed = oscore_context.protect_response(response, binding, own_piv=own_piv)
            out = self._answer(message, sealed, source)
        try:
            return out + context.notice_option(session, inner, now_ms)
        except MemoryError:
            # the request is answered, and the next one tells the epoch again
            return out

    def _combined(self, message, kid, source, now_ms):
        # message_3 in front of the request (RFC 9668, section 3.3)
        context = self.context
        _, end = cbor.decode_item(message.payload)
        session, _, epoch = context.handshaker.answer_3(kid, message.payload[:end], source, now_ms)
        message.payload = message.payload[end:]
        context.mark_seen(session, source)
        return [] if epoch is None else context.notice(session, epoch, now_ms)

    def _judge(self, session, message, source, binding, now_ms):
        # (response, observer or None) to an authentic request
        try:
            coap.check_critical(message.options, _KNOWN_OPTIONS)
            request = Request(message, message.payload, session.peer, source)
            request.is_first = session.is_new
            if message.code not in _SAFE and block_decode(message.option(coap.BLOCK2) or b"")[0]:
                # nothing is kept between blocks: the request would be executed again for each one
                raise BadOption()
            if self.proxy and request.path == PREFIX + "/mesh" and message.code == coap.POST:
                return self.proxy(session, message, request, binding, now_ms), None
            try:
                self._permit(request, now_ms)
            except (NeedsAction, NotFresh) as rejection:
                # of two rules, one may require an action and the other a fresh beacon
                self.context.authority.authorise_by_action(request, rejection, now_ms)
            # the first block of an upload is judged like the last one, before any is kept
            body, early = self.uploads.receive(session.peer.node_id, message, now_ms)
            if early:
                return early, None
            request.payload = body
            found = self._find(request, now_ms)
            if found is None:
                return self._core(message, session.peer), None
            response = self.respond(message, found)
            observer = None
            if message.option(coap.OBSERVE) is not None:
                observer = self.observers.observe(session, message, response, request, binding)
            return response, observer
        except Rejection as rejection:
            self.context.count(rejection)
            return refusal(rejection), None

    def _permit(self, request, now_ms):
        # raises unless the policy in force allows the request; capsules are open to every member
        context = self.context
        path = request.path
        if context.sync.is_open(request) or (path == CORE and request.method == coap.GET):
            try:
                context.authority.check_member(request.peer, now_ms, True)
            except Expired:
                # a renewed member hands its new capsule over, as any stranger may
                if path != PREFIX:
                    raise
        else:
            authorise = context.authority.authorise
            request.rule = authorise(request.peer, request.method, path, now_ms)

    def _find(self, request, now_ms):
        # (code, body) of an allowed request, or None for the list of resources
        context = self.context
        found = context.sync.serve(request, now_ms)
        if found:
            return found
        authority = context.authority
        # a request that is carried out is answered: the room for that is there before
        room = bytearray(_ANSWER_ROOM)
        if request.has_action:
            # on flash when this returns: what follows is done once or, if power fails now, never
            authority.actions.spend(request, authority.now_s(now_ms))
        if request.method == coap.GET:
            if request.path == PREFIX + "/status":
                return coap.CONTENT, self._status_body(request.block2, now_ms)
            if request.path == CORE:
                return None
        resource = self.resources.get(request.path)
        if resource is None:
            raise NotFound()
        if request.method not in resource.methods:
            raise WrongMethod()
        room = None  # noqa: F841
        code, body = self._call(resource, request)
        if len(body) > 16 << BLOCK_SZX and request.method not in _SAFE:
            context.count(TooLarge())
            raise ResourceFailed()
        return code, body

    def _call(self, resource, request):
        code = coap.CONTENT if request.method == coap.GET else coap.CHANGED
        try:
            result = resource.function(request)
            if isinstance(result, tuple):
                code, result = result
            if isinstance(result, str):
                result = result.encode()
            # a result that cannot be sent is found out here
            return coap.check_response(code), bytes(memoryview(b"" if result is None else result))
        except MemoryError:
            # no answer: the request is repeated when there is room
            raise
        except Exception as error:  # noqa: BLE001
            # the boundary to a sensor author's code: whatever it raises, the node goes on
            self.context.count(error)
            raise ResourceFailed() from None

    def value(self, message, peer, address, now_ms):
        """The response to the `Message` that stands for an observation, as the policy says now."""
        request = Request(message, b"", peer, address)
        try:
            self._permit(request, now_ms)
            return self.respond(message, self._find(request, now_ms))
        except Rejection as rejection:
            self.context.count(rejection)
            return refusal(rejection)

    # --- code that few nodes need ---------------------------------------------------------------

    @property
    def observers(self):
        """The `Notifier` with all observers, loaded when a client first observes a resource."""
        if self._notifier is None:
            from .notifier import Notifier

            self._notifier = Notifier(self.context, self)
        return self._notifier

    def notify(self, path, now_ms):
        """Send the present value of `path` to its observers. [(address, datagram)]."""
        return self._notifier.notify(path, now_ms) if self._notifier else []

    def tick(self, now_ms):
        """Send the notifications that are due. [(address, datagram)]."""
        if not self._notifier:
            return []
        if not self._notifier.entries:
            # the last observer has gone
            self._notifier = None
            unload("node.notifier")
            unload("wire.observe")
            return []
        return self._notifier.tick(now_ms)

    def due_ms(self):
        """When `tick` has a notification to send next, or None for never."""
        return self._notifier.due_ms() if self._notifier else None

    def _status_body(self, block2, now_ms):
        # its numbers change all the time: later blocks are those of the body that has begun
        number, _, szx = block_decode(block2 or b"\4")
        body = self._status
        if not number or body is None:
            body = cbor.encode(self.status(now_ms))
        is_last = number + 1 << min(szx, BLOCK_SZX) + 4 >= len(body)
        self._status = None if is_last else body
        return body

    def status(self, now_ms):
        """The content of writ/status: a dict that CBOR can hold."""
        from .status import status

        unload("node.status")
        return status(self.context, now_ms)
