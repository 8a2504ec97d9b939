"""The server half of a node: requests, the EDHOC responder, the policy check and the resources.

Every request of a member is judged by the policy in force at this moment, a notification likewise.
Sans-IO: methods return [(address, datagram)].
"""

from .. import cbor
from ..authority.policy import decide
from ..compat import const
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
from ..limits import BLOCK_SZX, BODY_BYTES_MAX, OBSERVE_IDLE_S, OBSERVE_SLACK_S
from ..wire import coap, edhoc_codec, oscore
from ..wire.blockwise import Assembler, block_decode, slice_response
from ..wire.coap import Message
from ..wire.observe import Observers
from .context import EDHOC_PATH, FORMAT_EDHOC, PREFIX

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
_CORE = ".well-known/core"
# When a notification for which there was no room is made again
_AGAIN_MS = const(2000)
# Methods whose answer may be fetched block by block: they change nothing
_SAFE = (coap.GET, coap.FETCH)


class Request:
    """The request that a resource's function receives.

    method: CoAP code (coap.GET...); path: str; query: list of str; payload: bytes;
    peer: the `Member` who asks; address: its address; rule: number of the rule that allowed it;
    has_action: whether a certified action was used up for it.
    """

    def __init__(self, message, payload, peer, address):
        self.method = message.code
        self.path = message.path()
        self.query = message.query()
        self.payload = payload
        self.peer = peer
        self.address = address
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
        self._context = context
        self.resources = {}  # path -> Resource
        self.observers = Observers()
        self.uploads = Assembler()
        # a stranger's upload must not fill the table of the members
        self.stranger_uploads = Assembler()

    def serve(self, message, source, now_ms):
        """Answer a request of a member or a stranger."""
        try:
            if message.option(coap.OSCORE) is not None:
                return self._serve_member(message, source, now_ms)
            return self._answer(message, self._serve_stranger(message, source, now_ms), source)
        except Rejection as rejection:
            self._context.count(rejection)
            return self._answer(message, refusal(rejection), source)
        except MemoryError:
            self.uploads.restore()
            self.stranger_uploads.restore()
            raise
        finally:
            self.uploads.forget()
            self.stranger_uploads.forget()

    def _answer(self, request, response, source):
        context = self._context
        return context.exchanges.answer(request, response, source, context.now_ms)

    def respond(self, request, found):
        """The response with the code and body of `found`, or the block of it that was asked for."""
        code, body = found
        response = Message(coap.ACK, code)
        response.payload, options = slice_response(body, request.option(coap.BLOCK2))
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
        if path == _CORE and message.code == coap.GET:
            links = [(EDHOC_PATH, [("rt", "core.edhoc")]), (PREFIX, [("rt", "writ")])]
            return self._core(links, message)
        if path != PREFIX and path != PREFIX + "/request":
            raise NotMember()
        body, early = self.stranger_uploads.receive(source, message, now_ms)
        if early:
            return early
        found = self._context.sync.serve(Request(message, body, None, source), now_ms)
        if found is None:
            raise NotMember()
        return self.respond(message, found)

    def _core(self, links, message):
        # loaded when it is asked for, which is seldom
        from ..wire.linkformat import link_format

        text = link_format(links, message.query()).encode()
        response = self.respond(message, (coap.CONTENT, text))
        response.add(coap.CONTENT_FORMAT, 40)
        return response

    # --- handshakes as responder --------------------------------------------------------------

    def _handshake(self, message, source, now_ms):
        payload = message.payload
        context = self._context
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
        self._context.count(rejection)
        response = Message(coap.ACK, coap.BAD_REQUEST, payload=edhoc_codec.to_error(rejection))
        response.add(coap.CONTENT_FORMAT, FORMAT_EDHOC)
        return response

    # --- requests in a session ----------------------------------------------------------------

    def _serve_member(self, message, source, now_ms):
        context = self._context
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
        window = session.context.window, session.context.window_valid
        try:
            return out + self._serve_protected(session, message, source, now_ms)
        except MemoryError:
            # a request that was not answered is no replay when it is repeated
            session.context.window, session.context.window_valid = window
            raise

    def _serve_protected(self, session, message, source, now_ms):
        context = self._context
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
        response.add(coap.EPOCH, context.authority.epoch)
        sealed = oscore_context.protect_response(response, binding, own_piv=observer is not None)
        out = self._answer(message, sealed, source)
        try:
            return out + context.notice_option(session, inner, now_ms)
        except MemoryError:
            # the request is answered, and the next one tells the epoch again
            return out

    def _combined(self, message, kid, source, now_ms):
        # message_3 in front of the request (RFC 9668, section 3.3)
        context = self._context
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
            if message.code not in _SAFE and block_decode(message.option(coap.BLOCK2) or b"")[0]:
                # nothing is kept between blocks: the request would be executed again for each one
                raise BadOption()
            try:
                self._permit(request, now_ms)
            except (NeedsAction, NotFresh) as rejection:
                # of two rules, one may require an action and the other a fresh beacon
                self._context.authority.authorise_by_action(request, rejection, now_ms)
            # the first block of an upload is judged like the last one, before any is kept
            body, early = self.uploads.receive(session.peer.node_id, message, now_ms)
            if early:
                return early, None
            request.payload = body
            found = self._find(request, now_ms)
            if found is None:
                return self._core(self._links(session.peer), message), None
            response = self.respond(message, found)
            return response, self._observe(session, message, response, request, source, binding)
        except Rejection as rejection:
            self._context.count(rejection)
            return refusal(rejection), None

    def _permit(self, request, now_ms):
        # raises unless the policy in force allows the request; capsules are open to every member
        context = self._context
        path = request.path
        if context.sync.is_open(request) or (path == _CORE and request.method == coap.GET):
            try:
                context.authority.check_member(request.peer, now_ms, True)
            except Expired:
                # a renewed member hands its new capsule over, as any stranger may
                if path != PREFIX:
                    raise
        else:
            authorise = context.authority.authorise
            request.rule = authorise(request.peer, request.method, path, now_ms)

    def _links(self, peer):
        # the resources that some rule lets this member use, now or with a beacon or an action
        policy = self._context.authority.policy
        links = []
        if policy:
            roles = policy.roles_of(peer), policy.roles_of(self._context.authority.me)
            for path in sorted(self.resources):
                methods = self.resources[path].methods
                if not all([decide(policy, *roles, m, path, True, True)[0] for m in methods]):
                    links.append((path, []))
        return links

    def _find(self, request, now_ms):
        # (code, body) of an allowed request, or None for the list of resources
        context = self._context
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
                return coap.CONTENT, cbor.encode(self.status(now_ms))
            if request.path == _CORE:
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
            self._context.count(error)
            raise ResourceFailed() from None

    # --- observation --------------------------------------------------------------------------

    def _observe(self, session, message, response, request, source, binding):
        wish = message.option_uint(coap.OBSERVE)
        if wish == 1:
            self.observers.cancel(source, message.token)
        # the node's own paths cannot be observed
        if wish != 0 or response.code != coap.CONTENT or request.path not in self.resources:
            return None
        if message.code != coap.GET:
            return None
        for entry in list(self.observers.entries):
            if not self._context.sessions.is_open(entry.context[0]):
                self.observers.cancel(entry.address, entry.token)
        observer = self.observers.register(
            request.path, session.peer.node_id, source, message.token, (session, binding)
        )
        if observer is not None:
            observer.confirmed_ms = self._context.now_ms
            self._mark(response, request.path, observer.next(0)[0])
        return observer

    def _mark(self, response, path, number):
        # a notification's number, and how long its value may be believed
        response.add(coap.OBSERVE, number)
        period_ms = self.resources[path].period_ms
        age_s = OBSERVE_IDLE_S if period_ms is None else period_ms // 1000
        response.add(coap.MAX_AGE, age_s + OBSERVE_SLACK_S)

    def notify(self, path, now_ms):
        """Send the present value of `path` to its observers. [(address, datagram)]."""
        context = self._context
        out = []
        for observer in self.observers.for_path(path):
            session, binding = observer.context
            if not context.sessions.is_open(session):
                self.observers.cancel(observer.address, observer.token)
                continue
            message = Message(coap.CON, coap.GET, token=observer.token)
            message.add_path(path)
            request = Request(message, b"", context.renewed_peer(session), observer.address)
            try:
                # each notification is judged by the policy in force now, not at registration
                self._permit(request, now_ms)
                response = self.respond(message, self._find(request, now_ms))
            except Rejection as rejection:
                context.count(rejection)
                response = refusal(rejection)
            number, confirm = observer.next(now_ms)
            # a silent observer must not fill the queue of messages that wait for an answer
            confirm = confirm and not context.exchanges.is_waiting(observer.address)
            response.type = coap.NON
            if confirm:
                response.type = coap.CON
            response.mid = None
            response.token = observer.token
            if response.code == coap.CONTENT:
                self._mark(response, path, number)
            else:
                self.observers.cancel(observer.address, observer.token)
            response.add(coap.EPOCH, context.authority.epoch)
            try:
                sealed = session.context.protect_response(response, binding, own_piv=True)
                out += context.exchanges.send(sealed, observer.address, now_ms)
                if confirm:
                    observer.confirmed_ms = now_ms
            except Rejection as rejection:
                context.count(rejection)
                self.observers.cancel(observer.address, observer.token)
        return out

    def tick(self, now_ms):
        """Send the notifications that are due. [(address, datagram)]."""
        out = []
        for path, resource in list(self.resources.items()):
            if resource.period_ms and now_ms >= resource.due_ms:
                # soon, if the heap is full now
                resource.due_ms = now_ms + min(resource.period_ms, _AGAIN_MS)
                out += self.notify(path, now_ms)
                resource.due_ms = now_ms + resource.period_ms
        for observer in self.observers.entries:
            is_waiting = self._context.exchanges.is_waiting(observer.address)
            if now_ms >= observer.due_ms() and not is_waiting:
                out += self.notify(observer.path, now_ms)
                break
        return out

    def due_ms(self):
        """When `tick` has a notification to send next, or None for never."""
        if not self.observers.entries:
            return None
        times = [r.due_ms for r in self.resources.values() if r.period_ms]
        return min(times + [observer.due_ms() for observer in self.observers.entries])

    # --- status -------------------------------------------------------------------------------

    def status(self, now_ms):
        """The content of writ/status: a dict that CBOR can hold."""
        context = self._context
        authority = context.authority
        return {
            "name": context.name,
            "scope": authority.scope,
            "epoch": authority.epoch,
            "head": authority.head,
            "time": authority.now_s(now_ms),
            "policy": authority.policy.issued if authority.policy else None,
            "amended": bool(authority.policy_record()[0]),
            "beacon": authority.beacon.time if authority.beacon else None,
            "beacon_age_s": authority.beacon_age_s(now_ms),
            "sessions": len(context.sessions),
            "uptime_s": now_ms // 1000,
            "rejected": context.counters,
        }
