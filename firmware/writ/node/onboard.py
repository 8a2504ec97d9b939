"""Speaking in plain to a neighbour that is no member yet: no session is possible, none is needed.

Its request for membership speaks for itself, and so does what is certified of it. A part of
delegate.py, in a file of its own: what is called at the end keeps the module that it is in.
"""

from ..errors import Rejection, TimedOut
from ..wire import coap
from ..wire.coap import Message
from .client import PREFIX, Call


def meet(node, address, on_answer):
    """As `Delegate.meet`, for `node`."""
    node.later(
        _send, node, Call(address, None, coap.GET, PREFIX + "/request", (), b"", None, on_answer)
    )


def welcome(node, address, raw, on_answer):
    """As `Delegate.welcome`, for `node`."""

    def has_charter(answer):
        if answer.is_success():
            hand(raw, on_answer)
        elif on_answer:
            on_answer(answer)

    def hand(what, then):
        node.later(_send, node, Call(address, None, coap.POST, PREFIX, (), what, None, then))

    hand(node.store.load("charter"), has_charter)


def _send(node, call, now_ms):
    message = Message(coap.CON, call.method)
    message.add_path(call.path)
    block1, message.payload = call.upload.next()
    if block1 is not None:
        message.add(coap.BLOCK1, block1)

    def arrived(answer, now_ms):
        rejection = None if answer else TimedOut()
        try:
            if answer and not call.upload.feed(answer):
                return _send(node, call, now_ms)
        except Rejection as error:
            rejection = error
        if rejection:
            node.client.finish(call, rejection=rejection)
        else:
            node.client.finish(call, answer.code, answer.payload)
        return []

    return node.client.submit(message, call.address, arrived, now_ms)
