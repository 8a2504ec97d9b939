"""How a node that slept through a change of the group key finds its way back, without a session.

It can verify no capsule of its peers any more, and they none of its own. So it asks, in plain, for
what is certified anyway: each succession after its epoch, then its own new member capsule. A part
of client.py and sync.py, loaded when that happens.
"""

from ..authority.capsule import node_id
from ..errors import Rejection
from ..wire import coap
from ..wire.coap import Message


def lead(client, path, address, calls, rejection, now_ms):
    """[(address, datagram)] that ask the peer; then the calls begin anew, if anything came of it.

    path: of these resources; rejection: what the calls end with if not.
    """
    node = client._node
    authority = node.authority
    start = (authority.key_epoch, authority.me.raw)
    asked = []

    def ask(query, now_ms):
        asked.append(query)
        message = Message(coap.CON, coap.GET)
        message.add_path(path)
        message.add(coap.URI_QUERY, query)
        return client.submit(message, address, arrived, now_ms)

    def arrived(message, now_ms):
        if message and message.code == coap.CONTENT:
            try:
                authority.receive(message.payload, now_ms, address)
            except Rejection as error:
                node.count(error)
        # the next key, if this brought one; then the own capsule, which the last one certified
        following = "e=%d" % authority.epoch
        if following not in asked:
            return ask(following, now_ms)
        own = "i=" + node_id(authority.own_x).hex()
        if own not in asked and authority.me.key_epoch != authority.key_epoch:
            return ask(own, now_ms)
        out = []
        for call in calls:
            if (authority.key_epoch, authority.me.raw) != start:
                out += client.retry(call, rejection, now_ms)
            else:
                client.finish(call, rejection=rejection)
        return out

    return ask("e=%d" % authority.epoch, now_ms)


def find(authority, query, epoch):
    """The capsule (bytes) that somebody of this epoch needs next, or None.

    "i=" and a node id in hex: its member capsule; else the succession after `epoch`.
    """
    for item in query:
        if item[:2] == "i=":
            for member in authority.peers.values():
                if member.node_id.hex() == item[2:]:
                    return member.raw
            return None
    if authority.key_epoch <= epoch:
        return None
    from ..authority.succession import after

    return after(authority.store, epoch).raw
