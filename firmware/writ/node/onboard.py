"""Plain requests to a new node that is no member yet, and with which no session is possible.

Its request for membership carries a signature of its own, and so does its certified capsule. A part
of delegate.py in a file of its own: a function that is called at the end keeps its module loaded.
"""

from ..errors import Rejection
from ..wire import coap
from ..wire.coap import Message
from .call import Call
from .context import PREFIX


def meet(node, address, on_answer):
    """As `Delegate.meet`, for `node`."""
    _begin(node, Call(address, None, coap.GET, PREFIX + "/request", (), b"", None, on_answer))


def welcome(node, address, raw, on_answer):
    """As `Delegate.welcome`, for `node`."""

    def has_charter(answer):
        if answer.is_success():
            hand(raw, on_answer)
        elif on_answer:
            on_answer(answer)

    def hand(what, then):
        _begin(node, Call(address, None, coap.POST, PREFIX, (), what, None, then))

    hand(node.store.load("charter"), has_charter)


def _begin(node, call):
    node.later(_PlainRequest(node, call).send)


class _PlainRequest:
    # a call without a session, block by block

    def __init__(self, node, call):
        self._node = node
        self._call = call

    def send(self, now_ms):
        call = self._call
        message = Message(coap.CON, call.method)
        message.add_path(call.path)
        block1, message.payload = call.upload.next()
        if block1 is not None:
            message.add(coap.BLOCK1, block1)
        return self._node.client.submit(message, call.address, self, now_ms)

    def answered(self, message, address, now_ms):
        node, call = self._node, self._call
        node.exchanges.end(address, message.token)
        try:
            if not call.upload.feed(message):
                return self.send(now_ms)
        except Rejection as rejection:
            node.client.finish(call, rejection=rejection)
            return []
        node.client.finish(call, message.code, message.payload)
        return []

    def failed(self, rejection, now_ms):
        self._node.client.finish(self._call, rejection=rejection)
        return []
