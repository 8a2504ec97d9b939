"""How capsules move between nodes: the resources below "writ", and pulling what is newer.

Any member may fetch and hand over capsules. A capsule counts by its signature, from any source.
Sans-IO.
"""

from .. import cbor
from ..authority import capsule
from ..compat import const, unload
from ..errors import AlreadyKnown, EpochGap, Forked, NotFound, Rejection, WrongPrevious
from ..limits import CLAIMANTS_MAX, PULL_TRIES_MAX
from ..wire import coap
from .call import Call
from .context import PREFIX

# A peer that claimed an epoch and did not deliver it is asked again after so long, and after twice
# as long each time that its answer brought nothing new (limits.PULL_TRIES_MAX)
_PULL_AGAIN_MS = const(15000)
# While a pull is younger than this, no other peer is asked
_PULL_PATIENCE_MS = const(5000)
# No call lasts longer
_PULL_TIMEOUT_MS = const(300000)


class Sync:
    """Serves and pulls capsules for one node. context: the `NodeContext`."""

    def __init__(self, context):
        self._context = context
        self._busy_ms = 0  # until then no other peer is asked
        self._next_pull_ms = {}  # node id -> when it may be asked again
        self._beacon_requests = []  # addresses that have not answered a request for a beacon
        self._member_request = None  # this node's request for membership, once it was fetched

    # --- serving ----------------------------------------------------------------------------------

    def is_open(self, request):
        """Whether every member may make this request; all others are judged by the policy."""
        path = request.path
        if request.method == coap.POST:
            return path in (PREFIX, PREFIX + "/propose", PREFIX + "/neighbours")
        return (
            request.method == coap.GET
            and (path + "/").startswith(PREFIX + "/")
            and path != PREFIX + "/status"
        )

    def serve(self, request, now_ms):
        """(code, payload) for a request below "writ" from a member or a stranger.

        request.peer is None for a stranger, who may do three things only: hand over capsules, fetch
        this node's request for membership, and follow a change of keys. Returns None where the
        caller must judge by policy.
        """
        context = self._context
        authority = context.authority
        path = request.path
        if not self.is_open(request):
            return None
        if request.method == coap.POST and path == PREFIX:
            source = request.peer.node_id if request.peer else request.address
            return self._receive(request.payload, now_ms, source)
        if path == PREFIX + "/request":
            if self._member_request is None:
                # loaded on first use: most nodes are members already
                from .statement import member_request

                self._member_request = member_request(context.private, context.name)
            return coap.CONTENT, self._member_request
        if request.method == coap.POST and path == PREFIX + "/neighbours" and request.peer:
            return self._take_report(request, now_ms)
        if path == PREFIX:
            found = self._find_succession(request)
            if not found and context.on_missing:
                context.on_missing(request)
        elif request.peer is None:
            return None
        elif path == PREFIX + "/policy":
            found = authority.capsule_for(self._requested_epoch(request))
        elif path == PREFIX + "/beacon":
            found = authority.beacon and authority.beacon.raw
        elif path == PREFIX + "/charter":
            found = context.store.load("charter")
        elif path == PREFIX + "/member":
            found = self._find_member(request.query)
        elif path == PREFIX + "/capsule":
            found = self._find_capsule(request.query)
        elif path == PREFIX + "/link" and context.link_keys:
            keys = context.link_keys
            welcome = keys.welcome(request, now_ms) if keys.welcome else b""
            found = keys.payload(authority, now_ms, welcome)
        else:
            # statements, for example, are for host peers
            found = None
        if not found:
            raise NotFound()
        return coap.CONTENT, found

    def _take_report(self, request, now_ms):
        # of the neighbours of a node in the mesh; it is told whether it is a spreader, and gets a
        # beacon if it has an older one
        self._context.sleepers.pop(request.peer.address, None)
        if request.query:
            from .sleepers import note_sleep

            note_sleep(self._context.sleepers, request)
            unload("node.sleepers")
        payload = b""
        if self._context.on_neighbours:
            payload = self._context.on_neighbours(request.peer, request.payload, now_ms)
        beacon = self._context.authority.beacon
        if beacon and beacon.time > int.from_bytes(request.payload[:4], "big"):
            payload += beacon.raw
        return coap.CHANGED, payload

    def _requested_epoch(self, request):
        for item in request.query:
            # isdigit accepts digits that int does not
            if item[:2] == "e=" and 2 < len(item) < 13 and not item[2:].strip("0123456789"):
                return int(item[2:])
        return 0

    def _find_succession(self, request):
        from ..authority.lookup import missed

        return missed(self._context.authority, request.query, self._requested_epoch(request))

    def _find_member(self, query):
        # [capsule, last known address or null]; a handshake with that address proves who is there
        context = self._context
        authority = context.authority
        for item in query:
            if item.startswith("n="):
                name = item[2:]
                if authority.me and authority.me.name == name:
                    return cbor.encode([authority.me.raw, None])
                member = authority.peer_by(name=name)
                if member:
                    return cbor.encode([member.raw, context.address_of(member.node_id)])
        return None

    def _find_capsule(self, query):
        for item in query:
            if item[:2] == "d=":
                try:
                    digest = bytes.fromhex(item[2:])
                except ValueError:
                    return None
                return self._context.authority.capsule_by_digest(digest)
        return None

    def _receive(self, raw, now_ms, source):
        try:
            self._context.authority.receive(raw, now_ms, source)
        except AlreadyKnown:
            return coap.VALID, b""
        return coap.CHANGED, b""

    # --- pulling ----------------------------------------------------------------------------------

    def notice(self, session, epoch, now_ms):
        """Note the epoch that a peer has; pull from it what is newer than ours."""
        if session.seen_epoch < epoch <= capsule.TIME_MAX:
            session.seen_epoch = epoch
        if not self._context.authority.epoch < epoch <= capsule.TIME_MAX:
            return []
        if not session.is_writ or session.address is None or now_ms < self._busy_ms:
            return []
        if now_ms < self._next_pull_ms.get(session.peer.node_id, 0):
            return []
        return self._pull(session, self._context.authority.epoch, now_ms)

    def _wait(self, peer, until_ms):
        # ask `peer` again at that time; where too many wait, forget the one whose time is next
        now_ms = self._context.now_ms
        waiting = self._next_pull_ms
        waiting = {key: waiting[key] for key in waiting if key != peer and waiting[key] > now_ms}
        while len(waiting) >= CLAIMANTS_MAX:
            del waiting[min(waiting, key=waiting.get)]
        waiting[peer] = until_ms
        self._next_pull_ms = waiting

    def _pull(self, session, epoch, now_ms):
        context = self._context
        peer = session.peer.node_id
        self._busy_ms = now_ms + _PULL_PATIENCE_MS
        # the call ends before that; until it ends, the peer is not asked again
        self._wait(peer, now_ms + _PULL_TIMEOUT_MS)

        def arrived(answer):
            self._busy_ms = 0
            self._wait(peer, context.now_ms + (_PULL_AGAIN_MS << session.tries))
            before_tries = session.tries
            if answer.code:
                # a peer that has nothing, or keeps serving old capsules, is asked at growing
                # intervals; an answer that was lost says nothing about the peer
                session.tries = min(session.tries + 1, PULL_TRIES_MAX)
            if answer.code != coap.CONTENT:
                return
            before = context.authority.epoch
            try:
                context.authority.receive(answer.payload, context.now_ms, peer)
            except (EpochGap, WrongPrevious, Forked) as rejection:
                # an amendment that does not fit here: ask for the whole policy instead, which is
                # what follows the key in force. After 0 a succession would come first, and the one
                # in force is here already
                context.count(rejection)
                if epoch != context.authority.key_epoch:
                    context.later(self._pull, session, context.authority.key_epoch)
                return
            except Rejection as rejection:
                context.count(rejection)
                return
            except MemoryError:
                # not the peer's fault; the answer is given to this function again
                session.tries = before_tries
                raise
            if context.authority.epoch == before:
                # a valid capsule, but not the requested one
                return
            session.tries = 0
            del self._next_pull_ms[peer]
            # successions and amendments follow one on the other
            if session.seen_epoch > context.authority.epoch:
                context.later(self._pull, session, context.authority.epoch)
            else:
                context.later(self._pull_beacon, session)

        query = ["e=%d" % epoch] if epoch else []
        try:
            return self._get("/policy", session.address, peer, query, arrived)
        except MemoryError:
            self._busy_ms = self._next_pull_ms[peer] = 0
            raise

    def _get(self, path, address, wanted, query, on_answer):
        context = self._context
        call = Call(address, wanted, coap.GET, PREFIX + path, query, b"", None, on_answer)
        return context.client.call(call, context.now_ms)

    def _pull_beacon(self, session, now_ms):
        return self.ask_beacon(session.address, session.peer.node_id)

    def ask_beacon(self, address, wanted=None):
        """Ask a peer for its newest beacon; the request also tells the peer this node's address.

        Sends nothing while the last request to this address is open: a peer that is offline must
        not fill the table of requests.
        """
        context = self._context
        if address in self._beacon_requests:
            return []
        self._beacon_requests.append(address)

        def arrived(answer):
            if address in self._beacon_requests:
                self._beacon_requests.remove(address)
            if answer.code == coap.CONTENT:
                try:
                    context.authority.receive(answer.payload, context.now_ms, answer.peer.node_id)
                except AlreadyKnown:
                    pass
                except Rejection as rejection:
                    context.count(rejection)

        try:
            return self._get("/beacon", address, wanted, (), arrived)
        except MemoryError:
            # no request is open: ask again
            self._beacon_requests.remove(address)
            raise
