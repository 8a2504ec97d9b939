"""A node on links without IP: serial lines and LoRa ("links" in config.json), by the mesh.

A part of agent.py that is loaded where a node has such links. It hands frames and datagrams over
between links, mesh and node, and makes the requests by which a node gets into the mesh and stays in
it: for charter and own capsule, the link key, the capsules of origins, and newer epochs.
"""

import select

from . import crypto
from .authority.capsule import node_id
from .compat import const, unload
from .errors import Rejection, UnknownOrigin
from .limits import DATAGRAMS_A_STEP, PAUSE_MS, PAUSE_MS_MAX
from .mesh.linkkey import LinkKeys
from .mesh.mesh import Mesh
from .mesh.routing import NO_RANK
from .node.call import Call
from .node.context import PREFIX
from .wire import coap

# A node whose gateway has just handed the link key over waits so long with its first report
_FIRST_REPORT_MS = const(600000)
# When a frame is tried again that a link has not taken
_BUSY_MS = const(20)
# A request is given up after so many times the patience for a message and its answer: its end was
# lost, with a heap that was full. All transmissions of a handshake and a request are in it
_LONGEST_REQUEST = const(400)
# A neighbour answers a node that solicits a HELLO within 4 s; the pause is half of this at least
_SOLICIT_MS = const(9000)
# The first time-out of a CoAP message, in times that a message and its answer may take without any
# loss. It takes the place of ACK_TIMEOUT (RFC 7252, section 4.8: 2 s)
_ROUND_TRIPS = const(4)


class FrameLinks:
    """The mesh of an agent and its requests. node: the agent; links: its frame links, at least one.

    is_gateway: whether this node makes the link key, and others reach hosts by it. Addresses are
    those of mesh/mesh.py. on_defect: called with (error, source, frame) for what no frame should
    raise; None: the first one of a kind is printed. sleep_s: the longest sleep, 0 for none;
    sleeper: the `Sleeper` while it is about to sleep; shown: (gateway, parent) of its way.
    """

    def __init__(self, node, links, is_gateway=False, on_defect=None, sleep_s=0):
        self.node = node
        self.sleep_s, self.sleeper, self.shown = sleep_s, None, None
        self.links = links
        self.keys = node.link_keys = LinkKeys(node.store)
        self.mesh = Mesh(node.authority, self.keys, links, node.count, is_gateway, sleep_s > 0)
        self.keys.welcome = self._welcome
        self._maker = None
        if is_gateway:
            from .mesh.keymaker import KeyMaker

            self._maker = KeyMaker(node, self.mesh)
        node.mesh_report = self._report
        node.on_missing = self.mesh.missed
        node.exchanges.timeout_of = self._timeout_ms
        self._inbox = []  # [(datagram, address)] that `wait` has not given yet
        self._on_defect = on_defect
        # of each kind at most one request is under way: when the next one may be made
        self._fetch_ms = 0  # for a capsule of another member
        self._ask_ms = 0
        self._number = 0  # of the last request of the second kind
        self._asked = None  # the candidate that was asked, if one was
        self._pause_ms = PAUSE_MS
        # of reports (mesh/nearby.py): due, due after a change, the pause, `Mesh.mark`, the gateway
        self._reports = [0, 0, 0, None, 0]
        self._is_busy = False  # whether a link did not take a frame in the last step
        self._is_soliciting = False  # whether the first HELLO ends the pause
        self._giver = None  # the address that has given the own member capsule
        self._early = None  # an answer with a link key that waits for the policy
        # such an answer, its giver's address, and its maker's: it waits for the maker's capsule
        self._unproven = None

    def _timeout_ms(self, address):
        # of the first transmission of a CoAP message; None for an address of another link
        if not self.is_own(address):
            return None
        # a node that sleeps is asked again after each of its sleeps
        sleep_s = self.node.sleepers.get(int(address[5:9], 16), 0)
        return _ROUND_TRIPS * self.mesh.patience_ms() + 1000 * sleep_s

    def _report(self, now_ms):
        from .mesh.report import report

        unload("mesh.report")
        return report(self.mesh, now_ms, self.sleep_s, self.node.sleepers)

    def _welcome(self, request, now_ms):
        from .mesh.welcome import offer

        unload("mesh.welcome")
        return offer(self.mesh, request, now_ms)

    def is_own(self, address):
        """Whether an address is of the mesh: "mesh:1a2b" or "join:1a2b"."""
        return address[:5] in ("mesh:", "join:")

    def send(self, address, data):
        """Queue a datagram for such an address."""
        self.mesh.send(address, data, self.node.now_ms)

    def wait(self, other, wait_ms, clock):
        """(datagram, address) of a frame link or of `other`, a UDP link; None after `wait_ms`."""
        if not self._inbox:
            if wait_ms:
                poll = select.poll()
                for handle in other.sockets + [link.handle for link in self.links]:
                    if handle is not None:
                        poll.register(handle, select.POLLIN)
                poll.poll(wait_ms)
            self._inbox = self.poll(clock.now_ms())
        return self._inbox.pop(0) if self._inbox else other.receive(0)

    def receive(self, datagram, source, link, now_ms):
        """False: no datagram is the mesh's own (as other parts of an agent answer)."""
        return False

    def poll(self, now_ms):
        """[(datagram, address)] that the links have for the node."""
        found = [(data, address) for address, data in self.mesh.release(now_ms)]
        for number in range(len(self.links)):
            for _ in range(DATAGRAMS_A_STEP):
                got = None
                try:
                    got = self.links[number].receive(now_ms)
                    if got is None:
                        break
                    for address, data in self.mesh.receive(number, got[0], got[1], now_ms):
                        found.append((data, address))
                except MemoryError:
                    raise
                except Exception as error:  # noqa: BLE001 - one frame must not end a node
                    self._defect(error, number, got[0] if got else b"")
        sleeper = self.sleeper
        for data, _ in found if sleeper else ():
            sleeper.heard(data, now_ms)
        return found

    def _defect(self, error, number, frame):
        self.node.count(error)
        source = "link %d" % number
        if self._on_defect:
            self._on_defect(error, source, frame)
        elif self.node.counters[type(error).__name__] == 1:
            print("bug in writ: " + repr(error) + ", " + source + ", " + frame.hex())

    def is_asking(self, now_ms):
        """Whether a request of the mesh is under way or due."""
        return self.mesh.missing or self._next_request(now_ms) is not None

    def tick(self, now_ms):
        """Send what is due on the links. []: no datagram is for another link."""
        try:
            self._tick(now_ms)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `poll`
            self._defect(error, 0, b"")
        return []

    def _tick(self, now_ms):
        mesh = self.mesh
        # the last datagram may have made this node a member: the mesh follows first
        mesh.tick(now_ms)
        for address, data in self._requests(now_ms):
            # before the receipts, which it may carry
            mesh.send(address, data, now_ms)
        if self.sleeper:
            self.sleeper.tick(now_ms)
        self._is_busy = False
        for number in range(len(self.links)):
            link = self.links[number]
            mesh.leaving(number, link.is_sending(now_ms), now_ms)
            for _ in range(DATAGRAMS_A_STEP):
                data = mesh.outgoing(number, now_ms)
                if data is None:
                    break
                if not link.send(data, now_ms):
                    self._is_busy = True
                    break
                mesh.sent(number, now_ms)

    def next_ms(self, now_ms):
        """Milliseconds until `receive` or `tick` has something to do."""
        mesh_ms = self.mesh.next_ms(now_ms)
        if self._is_busy and mesh_ms is not None:
            # a link sends another frame, or its port is closed
            mesh_ms = max(mesh_ms, _BUSY_MS)
        times = [mesh_ms, PAUSE_MS_MAX]
        times += [link.next_ms(now_ms) for link in self.links]
        due_ms = 0 if self._next_request(now_ms) else self._report_in(now_ms)
        if due_ms is not None:
            times.append(max(due_ms, self._ask_ms - now_ms))
        if self.mesh.missing:
            times.append(max(0, self._fetch_ms - now_ms))
        return min([one for one in times if one is not None])

    # --- requests of the mesh ---------------------------------------------------------------------

    def _requests(self, now_ms):
        authority = self.node.authority
        if self._maker:
            self._maker.tick(now_ms)
        out = self._fetch(now_ms)
        if self._early and authority.policy:
            answer, self._early = self._early, None
            if self._got_key(answer):
                self._wait(True)
        candidates = [one[1] for one in self.mesh.join.candidates]
        if self._asked is not None and self._asked not in candidates:
            # it has acknowledged nothing: the request needs no further try
            self._end(False)
        if self._is_soliciting and candidates:
            # all that hear this HELLO ask now: up to a second apart
            self._is_soliciting = False
            self._ask_ms = min(self._ask_ms, now_ms + 4 * crypto.random_bytes(1)[0])
        if now_ms < self._ask_ms:
            return out
        request = self._next_request(now_ms)
        if request is None:
            return out
        address, query, path = request
        if address is None:
            # no neighbour was heard yet
            try:
                self.mesh.join.solicit()
            except Rejection as rejection:
                # the flash has no number for the frame
                self.node.count(rejection)
            # a neighbour takes some seconds to answer
            self._is_soliciting = self.mesh.join.is_joining()
            self._pause_ms = max(self._pause_ms, _SOLICIT_MS + self.mesh.patience_ms())
            self._wait(False)
            return out
        self._ask_ms = self._longest_ms(now_ms)
        self._number += 1
        if address[:5] == "join:":
            self._asked = int(address[5:], 16)
        self._early = None
        try:
            return out + self._ask(address, query, path, now_ms)
        except MemoryError:
            # nothing was sent
            self._asked = None
            self._ask_ms = 0
            raise
        except Rejection as rejection:
            # the flash has no number for a frame
            self.node.count(rejection)
            self._end(False)
            return out

    def _longest_ms(self, now_ms):
        return now_ms + _LONGEST_REQUEST * self.mesh.patience_ms()

    def _ask(self, address, query, path, now_ms):
        number = self._number

        def done(is_success):
            if number == self._number:  # not one that was given up
                self._end(is_success)

        if self._unproven:
            answer = self._unproven[0]

            def fetched(is_received):
                self._unproven = None
                done(is_received and self._got_key(answer, True))

            return self._plain(address, query, fetched, now_ms)
        if query:
            self._giver = address
            return self._plain(address, query, done, now_ms)
        method, payload = coap.GET, b""
        got = self._got_key if path == "/link" else self._got_beacon
        if path == "/neighbours":
            from .mesh.nearby import begin

            unload("mesh.nearby")
            method, payload = coap.POST, begin(self.mesh, self._reports)
            got = self._got_report

        def function(answer):
            done(got(answer))

        # over the open session with that neighbour, whatever address it had
        member = self.node.authority.peer_by(address=int(address[5:], 16))
        wanted = member.node_id if member else None
        self._session = session = wanted and self.node.sessions.by_peer(wanted)
        if session:
            session.address = address
        query = ()
        if address[:5] == "join:":
            # so that the neighbour knows which frames of this node are fresh
            query = ("f=%x" % self.keys.next_counter(),)
        elif self.sleep_s and path == "/neighbours":
            # the gateway waits longer for a node that sleeps
            query = ("s=%d" % self.sleep_s,)
        call = Call(address, wanted, method, PREFIX + path, query, payload, None, function)
        introduced = self.node.introduced
        if address == self._giver:
            # it needs no capsule by value: it has given this node its own
            introduced[wanted] = self.node.authority.me
        out = self.node.client.call(call, now_ms)
        introduced.pop(None, None)
        return out

    def _plain(self, address, query, done, now_ms):
        from .node.plain import PlainRequest

        # the code is needed as long as there is such a request
        unload("node.plain")
        return PlainRequest(self.node, query, done).send(address, now_ms)

    def _fetch(self, now_ms):
        # ask for the next missing capsule, beside the other requests: those may wait for it
        missing = self.mesh.missing
        if not missing or now_ms < self._fetch_ms:
            return []
        address, origin = missing[0]
        self._fetch_ms = self._longest_ms(now_ms)
        try:
            return self._plain("mesh:%04x" % address, "a=%04x" % origin, self._fetched, now_ms)
        except MemoryError:
            self._fetch_ms = 0
            raise

    def _fetched(self, is_received):
        self.mesh.inbox.end_request()
        self._fetch_ms = self.node.now_ms + (0 if is_received else PAUSE_MS)

    def _report_in(self, now_ms):
        # ms until the gateway gets a report; None for a node without one
        mesh = self.mesh
        gateway = mesh.routing and mesh.routing.gateway
        if self._maker or not gateway:
            return None
        due_ms, change_ms, _, mark, reported = self._reports
        if gateway != reported:
            return 0
        if change_ms < due_ms and mesh.mark() != mark:
            due_ms = change_ms
        return max(0, due_ms - now_ms)

    def _next_request(self, now_ms):
        # (address, query of a plain request or None, path of a protected one or None); the address
        # is None as long as no neighbour was heard; None if nothing is to be asked
        node = self.node
        authority = node.authority
        mesh = self.mesh
        if self._unproven:
            return self._unproven[1], "a=%04x" % self._unproven[2], None
        for address in () if mesh.join.is_needed() else mesh.newer:
            # before all else: a stranger can make this node doubt its link key again and again
            return "mesh:%04x" % address, None, "/beacon"
        rank = mesh.routing.rank if mesh.routing else NO_RANK
        if mesh.join.is_joining() and not mesh.join.candidates:
            if mesh.join.is_needed() or rank == NO_RANK:
                return None, None, None
            # those that seemed to have another key do not answer
            mesh.join.is_stale = False
        if mesh.join.is_joining():
            address = "join:%04x" % mesh.join.candidates[0][1]
            if authority.charter is None:
                return address, "c=", None
            if authority.me is None:
                return address, "i=" + node_id(authority.own_x).hex(), None
            return address, None, "/link"
        is_wanted = self.keys.is_proof_missing or self.keys.is_stale(authority.policy)
        if is_wanted and mesh.routing.parents:
            return "mesh:%04x" % mesh.routing.parents[0].address, None, "/link"
        if rank == NO_RANK:
            # a neighbour may hear it, and say HELLO
            return None, None, None
        if self._report_in(now_ms) == 0:
            return "mesh:%04x" % mesh.routing.gateway, None, "/neighbours"
        return None

    def _end(self, is_success):
        # end the request under way; the next one waits longer after each failure
        self._number += 1
        candidates = self.mesh.join.candidates
        if not is_success:
            self._unproven = None
        if not is_success and candidates and candidates[0][1] == self._asked:
            self.mesh.join.try_next()
        self._asked = None
        self._wait(is_success)

    def lose_way(self):
        """End the request under way: this node has no parent any more."""
        self._end(True)

    def _wait(self, is_success):
        if is_success:
            self._pause_ms = PAUSE_MS
            self._ask_ms = 0
            return
        # half of the pause, and up to as much again, so that nodes part
        pause_ms = self._pause_ms
        self._pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)
        wait_ms = (pause_ms >> 1) + (pause_ms * crypto.random_bytes(1)[0] >> 8)
        self._ask_ms = self.node.now_ms + wait_ms

    def _got_key(self, answer, is_last=False):
        is_new = False
        now_ms = self.node.now_ms
        authority = self.node.authority
        if answer.code == coap.CONTENT and authority.policy is None:
            # the policy says whether it counts: the handshake has made this node pull that
            self._early = answer
            self._pause_ms = max(self._pause_ms, 2 * _ROUND_TRIPS * self.mesh.patience_ms())
            return False
        if answer.code == coap.CONTENT:
            from .mesh.welcome import take_key

            unload("mesh.welcome")
            try:
                is_new, number = take_key(self.mesh, self.node, answer, now_ms)
                if number and number == self.mesh.routing.gateway:
                    # it has just heard of this node, which pulls what is newer there
                    due_ms = now_ms + _FIRST_REPORT_MS
                    self._reports = [due_ms, due_ms, 0, None, number]
            except UnknownOrigin as rejection:
                # the giver has checked the key, too
                self.node.count(rejection)
                kind = "join" if self.mesh.join.is_joining() else "mesh"
                giver = "%s:%04x" % (kind, answer.peer.address)
                self._unproven = None if is_last else (answer, giver, rejection.address)
                return not is_last
            except Rejection as rejection:
                self.node.count(rejection)
        return is_new

    def _got_beacon(self, answer):
        # what the handshake and the answer have told of the peer's epoch is pulled by sync.py
        self.mesh.newer.clear()
        return answer.code != 0

    def _got_report(self, answer):
        if not answer.code:
            self.node.sessions.drop(self._session)  # a handshake shows a new gateway the way
        from .mesh.nearby import end

        unload("mesh.nearby")
        return end(self.mesh, self._reports, answer, self.node.now_ms)
