"""How governance moves between nodes: the resources below "writ", and pulling what is newer.

Any member may fetch and hand over capsules: none is believed for who brought it. Sans-IO.
"""

from .. import cbor, crypto
from ..authority import capsule
from ..compat import const
from ..errors import AlreadyKnown, EpochGap, Forked, Rejection, WrongPrevious
from ..wire import coap
from .client import PREFIX

# A peer that claimed an epoch and did not deliver it is asked again after so long
_PULL_AGAIN_MS = const(15000)
# And twice as long each time that its answer was of no use, up to 2**7 times
_PULL_TRIES_MAX = const(7)
# Another peer with news is asked when the first one has taken so long
_PULL_PATIENCE_MS = const(5000)
# No call lasts longer
_PULL_TIMEOUT_MS = const(300000)


def member_request(private, name):
    """A request for membership (bytes): claims sub and cnf, signed by the key itself (ES256).

    Possession is what it proves; whether to admit is for the governors. It is no capsule.
    """
    x, odd = crypto.p256_public(private)
    key = {1: 2, -1: 1, -2: x, -3: odd}
    return signed(private, {capsule.SUB: capsule.check_name(name), capsule.CNF: {1: key}})


def signed(private, claims):
    """What a node says for itself (bytes): COSE_Sign1 over `claims` by its own key, ES256."""
    payload = cbor.encode(claims)
    signature = crypto.es256_sign(private, capsule.signing_input(payload, capsule.ES256))
    return capsule.assemble(payload, signature, capsule.ES256)


class Sync:
    """Serves and pulls capsules for one node."""

    def __init__(self, node):
        self._node = node
        self._busy_ms = 0  # until then the pull under way is given time
        self._asked = {}  # node id -> not before then is it asked again
        self._beacons = []  # addresses that were asked for a beacon and have not answered yet
        self._request = None

    # --- serving ----------------------------------------------------------------------------------

    def is_open(self, request):
        """Whether every member may make this request; all others are the policy's business."""
        path = request.path
        if request.method == coap.POST:
            return path == PREFIX or path == PREFIX + "/propose"
        return (
            request.method == coap.GET
            and (path + "/").startswith(PREFIX + "/")
            and path != PREFIX + "/status"
        )

    def serve(self, request, now_ms):
        """(code, payload) for a request below "writ" from a member, or from a stranger.

        request.peer is None for a stranger, who may hand over capsules, fetch this node's request
        for membership and be led through a change of keys, nothing else. Returns None where the
        caller must judge by policy.
        """
        authority = self._node.authority
        path = request.path
        if not self.is_open(request):
            return None
        if request.method == coap.POST and path == PREFIX:
            who = request.peer.node_id if request.peer else request.address
            return self._take(request.payload, now_ms, who)
        if path == PREFIX + "/request":
            if self._request is None:
                self._request = member_request(self._node.private, self._node.name)
            return coap.CONTENT, self._request
        if path == PREFIX:
            found = self._find_lead(request)
            return (coap.CONTENT, found) if found else (coap.NOT_FOUND, b"")
        if request.peer is None:
            return None
        found = None
        if path == PREFIX + "/policy":
            found = authority.capsule_for(self._epoch_asked(request))
        elif path == PREFIX + "/beacon":
            found = authority.beacon and authority.beacon.raw
        elif path == PREFIX + "/charter":
            found = self._node.store.load("charter")
        elif path == PREFIX + "/member":
            found = self._find_member(request.query)
        elif path == PREFIX + "/capsule":
            found = self._find_capsule(request.query)
        # statements are for host peers: a device has no ear for them
        return (coap.CONTENT, found) if found else (coap.NOT_FOUND, b"")

    def _epoch_asked(self, request):
        for item in request.query:
            # isdigit takes digits that int does not
            if item[:2] == "e=" and 2 < len(item) < 13 and not item[2:].strip("0123456789"):
                return int(item[2:])
        return 0

    def _find_lead(self, request):
        from .catchup import find

        return find(self._node.authority, request.query, self._epoch_asked(request))

    def _find_member(self, query):
        # [capsule, address or null]: where the name was heard last; the handshake proves it
        authority = self._node.authority
        for item in query:
            if item.startswith("n="):
                name = item[2:]
                if authority.me and authority.me.name == name:
                    return cbor.encode([authority.me.raw, None])
                member = authority.peer_by(name=name)
                if member:
                    return cbor.encode([member.raw, self._node.where(member.node_id)])
        return None

    def _find_capsule(self, query):
        for item in query:
            if item[:2] == "d=":
                try:
                    digest = bytes.fromhex(item[2:])
                except ValueError:
                    return None
                return self._node.authority.capsule_by_digest(digest)
        return None

    def _take(self, raw, now_ms, who):
        try:
            self._node.authority.receive(raw, now_ms, who)
        except AlreadyKnown:
            return coap.VALID, b""
        return coap.CHANGED, b""

    # --- pulling ----------------------------------------------------------------------------------

    def notice(self, session, epoch, now_ms):
        """A peer said that it has this epoch: pull from it what is newer than ours."""
        if session.seen_epoch < epoch <= capsule.TIME_MAX:
            session.seen_epoch = epoch
        if not self._node.authority.epoch < epoch <= capsule.TIME_MAX:
            return []
        if not session.is_writ or session.address is None or now_ms < self._busy_ms:
            return []
        if now_ms < self._asked.get(session.peer.node_id, 0):
            return []
        return self._pull(session, self._node.authority.epoch, now_ms)

    def _pull(self, session, epoch, now_ms):
        node = self._node
        peer = session.peer.node_id
        self._busy_ms = now_ms + _PULL_PATIENCE_MS
        self._asked = {key: self._asked[key] for key in self._asked if self._asked[key] > now_ms}
        # a call ends before that; whoever lets it come to this is not asked anew meanwhile
        self._asked[peer] = now_ms + _PULL_TIMEOUT_MS

        def arrived(answer):
            self._busy_ms = 0
            self._asked[peer] = node.now_ms + (_PULL_AGAIN_MS << session.tries)
            if answer.code != coap.CONTENT:
                return
            # who serves what is old for ever is asked ever more seldom
            session.tries = min(session.tries + 1, _PULL_TRIES_MAX)
            before = node.authority.epoch
            try:
                node.authority.receive(answer.payload, node.now_ms, peer)
            except (EpochGap, WrongPrevious, Forked) as rejection:
                # an amendment that does not fit here: the whole policy will, which is what follows
                # the key in force; from 0 on a succession would come first, which is here
                node.count(rejection)
                if epoch != node.authority.key_epoch:
                    node.later(self._pull, session, node.authority.key_epoch)
                return
            except Rejection as rejection:
                node.count(rejection)
                return
            if node.authority.epoch == before:
                # something true, but not what was asked for
                return
            session.tries = 0
            del self._asked[peer]
            # successions and amendments follow one on the other
            if session.seen_epoch > node.authority.epoch:
                node.later(self._pull, session, node.authority.epoch)
            else:
                node.later(self._pull_beacon, session)

        query = ["e=%d" % epoch] if epoch else []
        return node.request(
            coap.GET,
            PREFIX + "/policy",
            address=session.address,
            wanted=session.peer.node_id,
            query=query,
            on_answer=arrived,
        )

    def _pull_beacon(self, session, now_ms):
        return self.ask_beacon(session.address, session.peer.node_id)

    def ask_beacon(self, address, wanted=None):
        """Ask a peer for its newest beacon; any traffic will do, this also tells where we are.

        Nothing to send while it still owes the last answer: who is gone must not fill the table.
        """
        node = self._node
        if address in self._beacons:
            return []
        self._beacons.append(address)

        def arrived(answer):
            self._beacons.remove(address)
            if answer.code == coap.CONTENT:
                try:
                    node.authority.receive(answer.payload, node.now_ms, answer.peer.node_id)
                except AlreadyKnown:
                    pass
                except Rejection as rejection:
                    node.count(rejection)

        path = PREFIX + "/beacon"
        return node.request(coap.GET, path, address=address, wanted=wanted, on_answer=arrived)

    # --- names ------------------------------------------------------------------------------------

    def resolve(self, name, via, on_found):
        """Ask the node at address `via` who and where `name` is.

        `on_found(member, address)` is called, with (None, None) where it does not know.
        """
        from .resolve import resolve

        return resolve(self._node, name, via, on_found)
