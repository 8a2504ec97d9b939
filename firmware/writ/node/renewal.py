"""How a renewed node tells its peers, over sessions that began with its old capsule.

The node shows its new capsule to a peer that refuses a request, in the session, and repeats the
request. A part of client.py that is loaded when that happens.
"""

from ..errors import PeerFailed
from ..wire import coap
from .context import PREFIX


def is_outdated(refusal):
    """Whether a peer may have refused (payload, bytes) for an old capsule of this node.

    27 Expired, 40 NotAllowed (new roles), 43 NotMember (after a succession).
    """
    return refusal[:3] in (b"27 ", b"40 ", b"43 ")


def show(client, call, session, now_ms):
    """Hand the own capsule to the peer, then retry `call`. [(address, datagram)].

    The refused call had no effect. It is done once for each own capsule in a session.
    """

    def shown(answer):
        client.context.later(client.retry, call, answer.rejection or PeerFailed())

    session.shown = client.context.authority.me
    raw = session.shown.raw
    handing = type(call)(session.address, None, coap.POST, PREFIX, (), raw, None, shown)
    return client.send(handing, session, now_ms)
