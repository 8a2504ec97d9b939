"""The notifications of a node's resources to their observers (RFC 7641).

The policy in force judges each notification. A part of server.py in a file of its own, loaded when
a client first observes a resource: most sensors are asked, and not observed. Sans-IO: methods
return [(address, datagram)].
"""

from ..compat import const
from ..errors import Rejection
from ..limits import OBSERVE_IDLE_S, OBSERVE_SLACK_S
from ..wire import coap
from ..wire.coap import Message
from ..wire.observe import Observers

# When a notification for which there was no room is made again
_AGAIN_MS = const(2000)


class Notifier(Observers):
    """The observers of one `Server`, and what they are sent. context: the `NodeContext`."""

    def __init__(self, context, server):
        Observers.__init__(self)
        self._context = context
        self._server = server

    def observe(self, session, message, response, request, binding):
        """Register or end an observation as the request says. Returns its `Observer`, or None."""
        wish = message.option_uint(coap.OBSERVE)
        if wish == 1:
            self.cancel(request.address, message.token)
        # the node's own paths cannot be observed
        if wish != 0 or response.code != coap.CONTENT or request.path not in self._server.resources:
            return None
        if message.code != coap.GET:
            return None
        for entry in list(self.entries):
            if not self._context.sessions.is_open(entry.context[0]):
                self.cancel(entry.address, entry.token)
        resource = self._server.resources[request.path]
        if not self.entries and resource.period_ms:
            # this answer is the first value
            resource.due_ms = self._context.now_ms + resource.period_ms
        binding = session, binding
        observer = self.register(
            request.path, session.peer.node_id, request.address, message.token, binding
        )
        if observer is not None:
            observer.confirmed_ms = self._context.now_ms
            self._mark(response, request.path, observer.next(0)[0])
        return observer

    def _mark(self, response, path, number):
        # a notification's number, and how long its value may be believed
        response.add(coap.OBSERVE, number)
        period_ms = self._server.resources[path].period_ms
        age_s = OBSERVE_IDLE_S if period_ms is None else period_ms // 1000
        response.add(coap.MAX_AGE, age_s + OBSERVE_SLACK_S)

    def notify(self, path, now_ms):
        """Send the present value of `path` to its observers. [(address, datagram)]."""
        context = self._context
        out = []
        for observer in self.for_path(path):
            session, binding = observer.context
            if not context.sessions.is_open(session):
                self.cancel(observer.address, observer.token)
                continue
            # the observer may have sent from another address since
            observer.address = session.address or observer.address
            message = Message(coap.CON, coap.GET, token=observer.token)
            message.add_path(path)
            # each notification is judged by the policy in force now, not at registration
            peer = context.renewed_peer(session)
            response = self._server.value(message, peer, observer.address, now_ms)
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
                self.cancel(observer.address, observer.token)
            response.add(coap.EPOCH, context.authority.epoch)
            try:
                sealed = session.context.protect_response(response, binding, own_piv=True)
                out += context.exchanges.send(sealed, observer.address, now_ms)
                if confirm:
                    observer.confirmed_ms = now_ms
            except Rejection as rejection:
                context.count(rejection)
                self.cancel(observer.address, observer.token)
        return out

    def tick(self, now_ms):
        """Send the notifications that are due. [(address, datagram)]."""
        out = []
        for path, resource in list(self._server.resources.items()):
            if resource.period_ms and now_ms >= resource.due_ms:
                # soon, if the heap is full now
                resource.due_ms = now_ms + min(resource.period_ms, _AGAIN_MS)
                out += self.notify(path, now_ms)
                resource.due_ms = now_ms + resource.period_ms
        for observer in self.entries:
            is_waiting = self._context.exchanges.is_waiting(observer.address)
            if now_ms >= observer.due_ms() and not is_waiting:
                out += self.notify(observer.path, now_ms)
                break
        return out

    def due_ms(self):
        """When `tick` has a notification to send next, or None for never."""
        if not self.entries:
            return None
        times = [r.due_ms for r in self._server.resources.values() if r.period_ms]
        return min(times + [observer.due_ms() for observer in self.entries])
