"""How a renewed node tells its peers, over sessions that began with its old capsule.

The node shows its new capsule to a peer that refuses a request, in the session, and repeats the
request. It shows the capsule to its gateways without waiting for a refusal: others ask them for its
name and address. A part of client.py that is loaded when that happens.
"""

from ..authority.policy import decide
from ..compat import const
from ..errors import NotAllowed, PeerFailed
from ..limits import PAUSE_MS, PAUSE_MS_MAX
from ..wire import coap
from .call import Call
from .context import PREFIX

# The peer may have roles that this node does not know of
_ALL_ROLES = const(-1)


def is_for_old_capsule(authority, call, session, refusal):
    """Whether a peer may have refused (payload, bytes) for an old capsule of this node.

    27 Expired, 40 NotAllowed (new roles), 43 NotMember (after a succession). Where the policy of
    the same epoch gives this node no such right by its newest capsule either, that is no reason.
    """
    policy = authority.policy
    is_same = policy and refusal[:3] == b"40 " and session.seen_epoch == policy.epoch
    # paths of PREFIX are judged by more than the rules
    if is_same and (call.path + "/")[: len(PREFIX) + 1] != PREFIX + "/":
        roles = policy.roles_of(authority.me)
        return decide(policy, roles, _ALL_ROLES, call.method, call.path)[0] is not NotAllowed
    return refusal[:3] in (b"27 ", b"40 ", b"43 ")


def show(client, call, session, now_ms):
    """Hand the own capsule to the peer, then retry `call` if there is one. [(address, datagram)].

    The refused call had no effect. The capsule counts as shown when the peer has accepted it; until
    then it is handed over again at a later refusal, after pauses of PAUSE_MS to
    PAUSE_MS_MAX.
    """
    me = client.context.authority.me

    def shown(answer):
        if answer.is_success():
            session.shown = me
            session.show_pause_ms = PAUSE_MS
        if call:
            client.context.later(client.retry, call, answer.rejection or PeerFailed())

    handing = Call(session.address, None, coap.POST, PREFIX, (), me.raw, None, shown)
    out = client.send(handing, session, now_ms)
    # not earlier: a full heap leaves it to be done
    session.show_ms = now_ms + session.show_pause_ms
    session.show_pause_ms = min(2 * session.show_pause_ms, PAUSE_MS_MAX)
    return out
