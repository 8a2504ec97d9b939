"""Observations whose server has moved to another address, loaded when an answer fits no request.

The server may be a device whose lease of DHCP has changed. Its next notification comes from an
address that this node has asked nothing (RFC 7252, section 5.3.2), but in the session. OSCORE binds
it to the request (RFC 8613, section 8.4), so the observation follows as the session does.
"""

from ..errors import Rejection
from ..wire import coap


def follow(exchanges, message, source):
    """The handler of the request for which `message` from `source` is a new notification, or None.

    The request belongs to `source` from now on.
    """
    for (address, token), (handler, _) in list(exchanges.pending.items()):
        if token == message.token and _is_new(handler, address, message):
            exchanges.end(address, message.token)
            exchanges.begin(message, source, handler)
            handler.call.address = source
            handler.call.observation = (source, message.token)
            return handler
    return None


def _is_new(handler, address, message):
    # only a `ProtectedRequest` has one call
    call = getattr(handler, "call", None)
    if not call or call.observation != (address, message.token):
        return False
    session, binding = handler.context
    if message.option(coap.OSCORE) is None:
        return False
    try:
        number = session.context.unprotect_response(message, binding)[1]
    except Rejection:
        return False
    # a copy of an older one can be sent by anyone, from anywhere
    return number is not None and number > call.number
