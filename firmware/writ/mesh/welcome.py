"""The link key on its way to a node that joins, and the greeting that travels with it.

A node without link key tells its frame counter in the request for the key, and gets the counter and
the HELLO of its neighbour with the key. OSCORE protects both, and the handshake in front of the
request shows that they are fresh. So both are neighbours at once, without HELLO, GREET, ANSWER and
PROOF.

A key counts if a member has made it whose roles are in `send` of class 15: it has handed the key
on itself, in its session, or its signature is with the key. So a relay that lies hands on true keys
or none. Loaded when a key is handed over, which is seldom.
"""

from .. import cbor, crypto
from ..compat import const
from ..errors import BadSignature, NotRouted
from .frame import JOIN_CLASS
from .linkkey import may_make, statement
from .permit import GOVERNANCE, unknown
from .routing import HELLO_BYTES

_COUNTER_BYTES = const(4)
# Until then an answer in the join class may come, in times that a message and its answer take
_ROUND_TRIPS = const(4)
# Of a counter in hex, at most
_DIGITS = const(8)


def _greet(mesh, link, number, counter, now_ms):
    # the proven `Neighbour`
    neighbour = mesh.neighbours.add(link, number)
    neighbour.restart(counter, now_ms)
    neighbour.is_mutual = True
    mesh.neighbours.heard(neighbour, None, now_ms)
    return neighbour


def offer(mesh, request, now_ms):
    """What a member gets beside the link key: own counter and HELLO; b"" where it is not new here.

    request: the node's `Request`, with the counter of its sender as "f=" and hex digits. Raises
    what `LinkKeys.next_counter` and `Join.way_to` raise.
    """
    for item in request.query:
        digits = item[2:]
        # int takes blanks and signs, too
        is_counter = 0 < len(digits) <= _DIGITS and not digits.strip("0123456789abcdef")
        if item[:2] != "f=" or not is_counter:
            continue
        # a request in an older session may have been held back: its counter is no news
        if request.is_first and request.address[:5] == "join:" and mesh.routing:
            link = mesh.join.way_to(int(request.address[5:], 16))[0]
            _greet(mesh, link, request.peer.address, int(digits, 16), now_ms)
            return mesh.keys.next_counter().to_bytes(_COUNTER_BYTES, "big") + mesh.routing.hello()
    return b""


def _check_giver(authority, peer, now_ms):
    # a member that the policy lets neither forward nor answer newcomers may not hand over keys.
    # Nor may one whose membership has ended since its session began
    policy = authority.policy
    roles = policy.roles_of(peer) if policy and peer else 0
    for route in policy.routes if policy else ():
        if route[0] in (GOVERNANCE, JOIN_CLASS) and route[2] & roles:
            authority.check_member(peer, now_ms)
            return
    raise NotRouted()


def take_key(mesh, node, answer, now_ms):
    """(whether the link key, or its proof, is new, `take`) of an `Answer` with one.

    Raises `UnknownOrigin` with the `address` of a maker whose capsule is not here, `BadSignature`,
    `NotRouted`, what `check_member` raises for giver or maker, or another `Rejection`.
    """
    authority = node.authority
    policy = authority.policy
    peer = answer.peer
    if peer and authority.is_past(peer, now_ms):
        # it may be renewed: a handshake shows its new capsule
        node.sessions.drop(node.sessions.by_peer(peer.node_id))
    _check_giver(authority, peer, now_ms)

    def check_proof(epoch, key, stamp, proof):
        if may_make(policy, peer):
            return
        if not proof:
            raise NotRouted()
        maker = authority.me
        if maker.address != proof[0]:
            maker = authority.peer_by(address=proof[0])
        if maker is None:
            raise unknown(proof[0])
        authority.check_member(maker, now_ms)
        if not may_make(policy, maker):
            raise NotRouted()
        message = statement(authority.scope, epoch, key, stamp)
        if not crypto.es256_verify(maker.x, maker.y_is_odd, message, proof[1]):
            raise BadSignature()

    is_new = mesh.keys.receive(answer.payload, authority, now_ms, check_proof)
    # also where it is the one that is here already
    mesh.join.is_stale = False
    return is_new, take(mesh, node, answer, now_ms)


def take(mesh, node, answer, now_ms):
    """Take the greeting in an answer with a link key. The giver's short address, 0 without one.

    answer: `Answer` with a valid `LinkKeys.payload`. The session goes on between neighbours, and so
    does what is under way in the join class.
    """
    welcome = cbor.decode(answer.payload)[4]
    if len(welcome) != _COUNTER_BYTES + HELLO_BYTES or mesh.routing is None:
        return 0
    number = answer.peer.address
    link = mesh.join.way_to(number)[0]
    counter = int.from_bytes(welcome[:_COUNTER_BYTES], "big")
    neighbour = _greet(mesh, link, number, counter, now_ms)
    mesh.routing.heard(neighbour, welcome[_COUNTER_BYTES:], False, now_ms)
    mesh.join.end_ms = now_ms + _ROUND_TRIPS * mesh.patience_ms()
    session = node.sessions.by_peer(answer.peer.node_id)
    if session:
        session.address = "mesh:%04x" % number
    return number
