"""The invariants of the mesh, checked while a run goes on.

1. A request or an answer that a node hands up was made by the member that it is said to be from,
   and no request is carried out twice between two starts of its server.
2. The state of an honest node is one that the governors certified, and its epoch never goes back,
   over restarts too.
3. A frame that counts as fresh was sent by a member with the link key, and counts once at a
   receiver. No node uses a frame counter twice.
4. No honest node leaves the duty cycle between two starts, and its budget holds what it has sent
   within the hour, and no more (tools/field/books.py).
5. Tables and queues stay within limits.py.
6. A node raises nothing. (node.py)
7. The link key of an honest node is one that the gateway has made.
8. Once the faults have ended: all honest nodes take the newest epoch; their parents lead to the
   gateway; readings and answers arrive, and each request ends. (world.py)
"""

from collections import deque

from field.books import HOUR_US, Books, WrongBooks


class Violation(BaseException):
    """An invariant is broken. The text says which one. No Exception: a node counts those that a
    frame causes, and goes on.
    """


class Checks:
    """world: the `World`."""

    def __init__(self, world):
        self._world = world
        self._epochs = {}  # honest node -> the newest epoch that it had
        self.certified = set()  # (epoch, head)
        self._made = {}  # payload of a reading -> node
        self.carried_out = {}  # payload of a reading -> when
        self._carried_out_by = {}  # payload of a reading -> the gateway since its start
        self._hours = {}  # member -> frames of the last hour (when, airtime), and their sum
        self._books = {}  # member -> `Books`
        self._counters = {}  # node -> counters used
        self._fresh = {}  # member -> frames that it took for fresh
        self.frames = set()  # all that members have sent, liars too
        self._honest = set()  # those of honest nodes
        self._link_keys = {world.scope.link_key()}

    # --- requests ---------------------------------------------------------------------------------

    def made(self, payload, who):
        """A node makes a reading."""
        self._made[payload] = who

    def posted(self, request):
        """The gateway takes a reading: the function of its resource."""
        payload = bytes(request.payload)
        who = self._made.get(payload)
        if who is None:
            raise Violation(f"a reading that no node has made: {payload.hex()}")
        if request.peer.node_id != self._world.scope.node_id(self._world.names[who]):
            raise Violation(f"a reading of node {who} came from {request.peer.name}")
        gateway = self._world.members[0]
        if self._carried_out_by.get(payload) is gateway:
            raise Violation(f"a reading of node {who} was carried out twice: {payload.hex()}")
        if who in self._world.revoked and self._world.is_revocation_known(0):
            raise Violation(f"a reading of node {who}, which the gateway knows to be revoked")
        self._carried_out_by[payload] = gateway
        self.carried_out[payload] = self._world.now_s
        return b""

    def confirmed(self, payload, answer):
        """A node is told that its reading was taken."""
        if answer.code >> 5 != 2:
            return
        if payload not in self.carried_out:
            raise Violation(f"a reading was confirmed and not taken: {payload.hex()}")
        if answer.peer.name != self._world.names[0]:
            raise Violation(f"{answer.peer.name} confirmed a reading in the gateway's place")

    def answered(self, who, answer):
        """The gateway gets the answer of a node to its question."""
        if answer.code >> 5 == 2:
            name = self._world.names[who]
            if answer.peer.name != name or bytes(answer.payload) != name.encode():
                raise Violation(f"an answer in the place of {name}: {bytes(answer.payload)!r}")

    # --- frames -----------------------------------------------------------------------------------

    def watch(self, member):
        """Watch what a node that has just started takes for fresh, and which counters it uses."""
        self._hours[member] = deque(), [0]
        self._books[member] = Books()

        def defect(error, source, frame):
            text = f"{member.name} raised {type(error).__name__} at {source}: {error}"
            raise Violation(text) from error

        member.frames._on_defect = defect
        fresh = self._fresh[member] = set()
        inbox, outbox = member.frames.mesh.inbox, member.frames.mesh.outbox
        heard, encode = inbox._heard, outbox.encode

        def watched(neighbour, frame, counter, snr, now_ms):
            heard(neighbour, frame, counter, snr, now_ms)
            data = frame.raw + frame.mic
            if data not in self.frames:
                raise Violation(f"{member.name} took a frame that no member has sent")
            # a liar may use any counter, in the name of others too; and the HELLO of a neighbour
            # that was not greeted may be a recording
            if data not in self._honest or not neighbour.proofs:
                return
            if data in fresh:
                raise Violation(f"{member.name} took a frame of {neighbour.address} twice")
            fresh.add(data)

        def encoded(*arguments):
            counter, data = encode(*arguments)
            used = self._counters.setdefault(member.who, set())
            if counter in used:
                raise Violation(f"{member.name} used the frame counter {counter} twice")
            used.add(counter)
            return counter, data

        inbox._heard, outbox.encode = watched, encoded

    def sent(self, member, frame, airtime_us):
        """A node sends a frame: it is part of its duty cycle."""
        self.frames.add(frame)
        if member.who not in self._world.plan.liars:
            self._honest.add(frame)
        now_us = self._world.timeline.now_us
        self._books[member].take(now_us, airtime_us)
        self._books[member].send(now_us, airtime_us)
        frames, total = self._hours[member]
        frames.append((now_us, airtime_us))
        total[0] += airtime_us
        while frames[0][0] <= now_us - HOUR_US:
            total[0] -= frames.popleft()[1]
        permille = self._world.plan.duty_cycle_permille
        if member.who not in self._world.plan.liars and total[0] * 1000 > permille * HOUR_US:
            raise Violation(f"{member.name} left the duty cycle: {total[0] / 1e6:.1f} s")

    # --- state ------------------------------------------------------------------------------------

    def stepped(self, member):
        """A node has done a step."""
        who = member.who
        if who in self._world.plan.liars:
            return
        authority = member.node.authority
        if (authority.epoch, authority.head) not in self.certified:
            raise Violation(f"{member.name} has a state that was never certified")
        if authority.epoch < self._epochs.get(who, 0):
            raise Violation(f"{member.name} went back to epoch {authority.epoch}")
        self._epochs[who] = authority.epoch
        key = member.frames.keys.key
        if who == 0:
            self._link_keys.add(key)
        elif key is not None and key not in self._link_keys:
            raise Violation(f"{member.name} took a link key that the gateway has not made")
        self._check_tables(member)
        used_us = member.frames.mesh.outbox.budgets[0].used_us(member.now_ms)
        try:
            self._books[member].check(self._world.timeline.now_us, used_us)
        except WrongBooks as error:
            raise Violation(f"the books of {member.name}: {error}") from error

    def _check_tables(self, member):
        limits = self._world.code.limits
        mesh = member.frames.mesh
        inbox, outbox, join = mesh.inbox, mesh.outbox, mesh.join
        routing = mesh.routing
        for name, table, most in (
            ("neighbours", mesh.neighbours, limits.NEIGHBOURS_MAX),
            ("newer", mesh.newer, limits.NEIGHBOURS_MAX),
            ("greets", inbox._greets, limits.NEIGHBOURS_MAX),
            ("missing", mesh.missing, limits.MISSING_MAX),
            ("parked", inbox.parked, limits.PARKED_MAX),
            ("routes", mesh.routes, limits.ROUTES_KEPT_MAX),
            ("candidates", join.candidates, limits.CANDIDATES_MAX),
            ("joiners", join._links, limits.JOINERS_MAX),
            ("reassembly", inbox._reassembly, limits.REASSEMBLIES_MAX),
            ("transfers", outbox.transfers, limits.TRANSFERS_MESH_MAX),
            ("queue", outbox._queues[0], limits.URGENT_MAX + 1),
            ("origins", mesh.permit._origins, limits.ORIGINS_MAX),
            ("parents", routing.parents if routing else (), limits.PARENTS_MAX),
            ("peers", member.node.authority.peers, limits.PEERS_MAX),
            ("requests", member.node.exchanges.pending, limits.REQUESTS_MAX),
        ):
            if len(table) > most:
                raise Violation(f"{member.name} has {len(table)} {name}, and {most} is the limit")
