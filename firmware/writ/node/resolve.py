"""The lookup of a member by its name: other nodes say its capsule and its address.

The capsule is verified, and a handshake proves the address. A part of agent.py in a file of its
own, to save heap: a sensor that only answers looks up no name. The other side is in sync.py.
"""

from .. import cbor
from ..authority.capsule import check
from ..errors import AlreadyKnown, NotMember, Rejection
from ..limits import ADDRESS_BYTES_MAX
from ..wire import coap
from .call import Answer
from .context import PREFIX


def resolve(node, name, via, on_found):
    """[(address, datagram)]: ask the node at address `via` for the member called `name`.

    `on_found(member, address)` is called, with (None, None) where that node does not know it.
    """

    def arrived(answer):
        found = (None, None)
        if answer.code == coap.CONTENT:
            try:
                found = _found(node, name, answer, via)
            except Rejection as rejection:
                node.count(rejection)
        on_found(found[0], found[1])

    return node.request(
        coap.GET, PREFIX + "/member", address=via, query=["n=" + name], on_answer=arrived
    )


def _found(node, name, answer, via):
    # the capsule is verified like any other; a handshake finds out a wrong address
    item = cbor.decode(answer.payload)
    check(isinstance(item, list) and len(item) == 2)
    raw, address = item
    try:
        node.authority.receive(raw, node.now_ms, answer.peer.node_id)
    except AlreadyKnown:
        pass
    member = node.authority.peer_by(raw=raw)
    if member is None or member.name != name:
        # a valid capsule perhaps, but not of this name
        raise NotMember()
    # a capsule that is known here already may have ended since
    node.authority.check_member(member, node.now_ms, True)
    if answer.peer.node_id == member.node_id:
        return member, via
    if not isinstance(address, str) or not 0 < len(address) <= ADDRESS_BYTES_MAX:
        return member, None
    if " " in address:
        return member, None
    if address[:5] == "mesh:" and via[:5] != "mesh:":
        # behind the mesh of that gateway, which passes requests of hosts on (docs/mesh.md)
        address += " via " + via
    return member, address


def ask(node, via, name, method, path, payload, on_answer):
    """[(address, datagram)]: look the name up at one of the addresses `via`, then call `path`.

    on_answer: called once, with `NotMember` where no node knows the name; or None.
    """
    via = list(via)

    def next_one(now_ms):
        return resolve(node, name, via[0], found)

    def found(member, address):
        # called within `resolve` where no handshake can begin, such as before the membership
        if member and address and " " not in address:
            node.later(
                lambda now_ms: node.request(
                    method, path, payload, address, member.node_id, on_answer=on_answer
                )
            )
        elif len(via) > 1:
            node.later(next_one)
            del via[0]
        elif on_answer:
            on_answer(Answer(0, rejection=NotMember()))

    return next_one(node.now_ms)
