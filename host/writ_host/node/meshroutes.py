"""The source routes of a gateway on a host, from the reports that nodes make of their neighbours.

1. A report counts for the member that has sent it, whatever it says, and for REPORT_AGE_MS.
2. A link counts if both its ends report it; its cost is the higher one of what the two say. An end
   whose report is not here, or has no room for more neighbours, makes the link dearer. A link that
   one end reports and the other does not is none: so a member that lies draws frames to itself only
   where another member lies with it. The gateway's own neighbours are those of its table.
3. The cost is the airtime of a frame of 50 bytes in ms, divided by the share of receipts that came.
4. Relays are members that the policy in force lets forward, of governance and of messages; both
   classes must allow the kinds of all links.
5. Where a request must be repeated, its way has failed or is bad: all links of it but the first one
   become dearer for PENALTY_MS, and the repetition takes the next best way. The first link's own
   receipts say how good it is.
6. After a restart the reports and neighbours of before count (routekeeper.py), but make links
   dearer until the member reports anew, or the neighbour is greeted: the first message by it does
   that. A neighbour by which a request must be repeated before that counts no more.
7. A node that reports is told whether it is a spreader of new epochs (spreaders.py), or nothing
   where that is not known. Spreaders are relays that have reported and do not sleep. They serve the
   nodes that have reported to this gateway, over links on which most receipts come.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from writ.errors import Rejection
from writ.limits import REPORTED_MAX
from writ.mesh.permit import GOVERNANCE, MESSAGES
from writ.mesh.routing import PROBE_BYTES
from writ.wire import coap

from .neighbourreport import GOOD, Near, link_cost, read_report
from .spreaders import choose
from .ways import Links, cheapest

# A node reports once an hour, and after changes: two reports may be lost.
REPORT_AGE_MS = 3 * 3_600_000
REPORTS_MAX = 4096  # as many as ways (limits.ROUTES_KEPT_MAX)
# Times that a link costs whose other end has no report, and one of a way that has failed.
ONE_SIDED = 4
PENALTY = 8
# Times that a link costs of which a report or a neighbour is from before a restart.
RESTORED = 2
PENALTY_MS = 600_000
PENALTIES_MAX = 1024
# The last datagrams, to notice a repetition.
SENT_MAX = 256
# Ways are computed anew at most so often after reports, and at least so often.
PAUSE_MS = 2000
AGAIN_MS = 60_000

Datagrams = list[tuple[str, bytes]]


@dataclass
class _Report:
    """The last report of a member."""

    node_id: bytes
    time_ms: int
    near: dict[int, Near]
    payload: bytes
    is_restored: bool


class MeshRoutes:
    """The routes of one gateway; `report` is its `on_neighbours`. A part of the agent.

    mesh: its `Mesh`, whose `routes` this object sets; sleepers: short addresses of the nodes that
    sleep. changes: how many reports have come.
    """

    def __init__(self, mesh: Any, sleepers: Collection[int] = ()) -> None:
        self._mesh = mesh
        self._sleepers = sleepers
        self._spreaders: set[int] = set()
        self._served: set[int] = set()  # nodes that hear a spreader or the gateway
        self._reports: dict[int, _Report] = {}  # by short address, least recent first
        self._bad: dict[tuple[int, int], int] = {}  # links of ways that failed -> until ms
        self._sent: dict[str, bytes] = {}  # last confirmable message to each address
        self._set: dict[int, list[int]] = {}  # the ways that were set here
        self._is_due = False
        self._next_ms = 0
        self._seen: object = None  # what the ways were computed for
        self._former: set[tuple[int, int]] = set()  # neighbours of before a restart: link, address
        self.changes = 0

    def report(self, member: Any, payload: bytes, now_ms: int) -> bytes:
        """Take the report of a member. Returns what it is told: b"\\x01" for a spreader, b"\\0" for
        another node, b"" if it is not in the map yet. Raises `BadMessage`.
        """
        self._take(member, payload, now_ms, False)
        self.changes += 1
        if now_ms >= self._next_ms:
            self.compute(now_ms)
        if member.address not in self._served:
            return b""
        return bytes((member.address in self._spreaders,))

    def _take(self, member: Any, payload: bytes, time_ms: int, is_restored: bool) -> None:
        near = read_report(payload)
        address = member.address
        near.pop(address, None)
        self._reports.pop(address, None)
        if len(self._reports) >= REPORTS_MAX:
            del self._reports[next(iter(self._reports))]
        node_id = bytes(member.node_id)
        self._reports[address] = _Report(node_id, time_ms, near, bytes(payload), is_restored)
        self._is_due = True

    # --- over a restart ---------------------------------------------------------------------------

    def restore(self, member: Any, payload: bytes, time_ms: int) -> None:
        """Take a report of before the start. Raises `BadMessage`."""
        self._take(member, payload, time_ms, True)

    def restore_neighbours(self, found: list[tuple[int, int]]) -> None:
        """Take the neighbours of before the start: (number of the link, short address)."""
        for link, address in reversed(found):
            if link < len(self._mesh.links):
                self._mesh.neighbours.add(link, address)
                self._former.add((link, address))

    def reports(self) -> list[tuple[Any, bytes, int]]:
        """(`Member`, report, time in ms) of those that have reported, least recent first."""
        members = [(self._mesh.authority.peer(one.node_id), one) for one in self._reports.values()]
        return [(member, one.payload, one.time_ms) for member, one in members if member]

    def neighbours(self) -> list[tuple[int, int]]:
        """(number of the link, short address) of the gateway's neighbours, best first."""
        near = [one for one in self._mesh.neighbours if self._is_near(one)]
        near.sort(key=lambda one: -one.delivered)
        return [(one.link, one.address) for one in near]

    def is_near(self, address: int) -> bool:
        """Whether a member with this short address is a neighbour, or was one before a restart."""
        return any(one.address == address and self._is_near(one) for one in self._mesh.neighbours)

    def _is_near(self, neighbour: Any) -> bool:
        key = neighbour.link, neighbour.address
        if neighbour.is_mutual:
            self._former.discard(key)
        return neighbour.is_mutual or key in self._former

    # --- repetitions ------------------------------------------------------------------------------

    def sending(self, address: str, datagram: bytes, now_ms: int) -> None:
        """Note a datagram for a node in the mesh, before it is sent."""
        is_confirmable = datagram[0] >> 4 & 3 == coap.CON
        if not address.startswith("mesh:") or not is_confirmable:
            return
        is_repeated = self._sent.pop(address, None) == datagram
        if len(self._sent) >= SENT_MAX:
            del self._sent[next(iter(self._sent))]
        self._sent[address] = datagram
        if is_repeated:
            self._failed(int(address[5:9], 16), now_ms)

    def _failed(self, target: int, now_ms: int) -> None:
        way = self._mesh.routes.get(target) or []
        nodes = [*way, target]
        before = len(self._former)
        self._former = {one for one in self._former if one[1] != nodes[0]}
        if not way and len(self._former) == before:
            return
        for i in range(len(way)):
            link = _pair(nodes[i], nodes[i + 1])
            self._bad.pop(link, None)
            if len(self._bad) >= PENALTIES_MAX:
                del self._bad[next(iter(self._bad))]
            self._bad[link] = now_ms + PENALTY_MS
        self.compute(now_ms)

    # --- links and ways ---------------------------------------------------------------------------

    def compute(self, now_ms: int) -> None:
        """Set the ways of the mesh to what the reports say now."""
        mesh = self._mesh
        self._is_due, self._next_ms = False, now_ms + PAUSE_MS
        self._seen = self._state()
        routes = self._routes()
        me = mesh.authority.me
        if me is None or not routes:
            return
        kinds = -1
        for route in routes:
            kinds &= route[3]
        trusted: dict[int, int] = {}

        def may_relay(address: int) -> bool:
            if address not in trusted:
                trusted[address] = self._roles_of(address, now_ms)
            return all(trusted[address] & route[2] for route in routes)

        self._forget_old(now_ms)
        links = self._links(me.address, kinds, now_ms)
        self._choose_spreaders(me.address, links, may_relay)
        found = cheapest(me.address, links, may_relay, min(route[4] for route in routes))
        for address, way in list(mesh.routes.items()):
            if self._set.get(address) == way or not all(map(may_relay, way)):
                mesh.learn(address, None)
        self._set = {}
        for address, way in found.items():
            # what a node has not reported is no better than the way of its last message
            is_better = address in self._reports or address not in mesh.routes
            if way and is_better and self._roles_of(address, now_ms):
                self._set[address] = way
                mesh.learn(address, way)

    def _choose_spreaders(self, me: int, links: Links, may_relay: Callable[[int], bool]) -> None:
        tables = {address: report.near for address, report in self._reports.items()}
        tables[me] = self._own()
        served = self._reports.keys() - set(self._sleepers)
        hearers: dict[int, list[int]] = {}
        for one, row in links.items():
            hearers[one] = []
            for other in row:
                sides = tables.get(one, {}).get(other), tables.get(other, {}).get(one)
                if other in served and all(side.is_good for side in sides if side):
                    hearers[one].append(other)

        def may_spread(address: int) -> bool:
            return address in served and may_relay(address)

        self._spreaders = choose(me, hearers, may_spread, self._spreaders)
        self._served = set().union(*(hearers.get(one, ()) for one in (me, *self._spreaders)))
        # the gateway counts on itself, too
        self._mesh.is_spreader = True if self._served else None

    def _roles_of(self, address: int, now_ms: int) -> int:
        """The roles of the member with a short address, 0 for none that is valid now."""
        authority = self._mesh.authority
        member = authority.peer_by(address=address)
        try:
            if member is not None:
                authority.check_member(member, now_ms)
                return int(authority.policy.roles_of(member))
        except Rejection:
            pass
        return 0

    def _routes(self) -> list[Any]:
        policy = self._mesh.authority.policy
        found = policy.routes if policy else ()
        return [route for route in found if route[0] in (GOVERNANCE, MESSAGES)]

    def _forget_old(self, now_ms: int) -> None:
        authority = self._mesh.authority
        for address, report in list(self._reports.items()):
            member = authority.peer(report.node_id)
            is_old = now_ms - report.time_ms >= REPORT_AGE_MS
            if is_old or member is None or member.address != address:
                del self._reports[address]
        self._bad = {link: until for link, until in self._bad.items() if until > now_ms}

    def _links(self, me: int, kinds: int, now_ms: int) -> dict[int, dict[int, float]]:
        """The cost of each link that counts, in both directions."""
        tables = {address: report.near for address, report in self._reports.items()}
        tables[me] = self._own()
        links: dict[int, dict[int, float]] = {}
        for one, near in tables.items():
            for other, entry in near.items():
                if not kinds >> entry.kind & 1:
                    continue
                if other == me:
                    # greeted with a nonce that came back: the gateway knows its own neighbours
                    continue
                back = tables.get(other, {})
                cost = entry.cost
                if one in back:
                    cost = max(cost, back[one].cost)
                elif one != me:
                    if 0 < len(back) < REPORTED_MAX:
                        continue
                    cost *= ONE_SIDED
                if entry.is_restored or self._is_restored(one) or self._is_restored(other):
                    cost *= RESTORED
                if _pair(one, other) in self._bad:
                    cost *= PENALTY
                for start, end in ((one, other), (other, one)):
                    row = links.setdefault(start, {})
                    row[end] = max(row.get(end, 0), cost)
        return links

    def _is_restored(self, address: int) -> bool:
        report = self._reports.get(address)
        return report is not None and report.is_restored

    def _own(self) -> dict[int, Near]:
        found: dict[int, Near] = {}
        for one in self._mesh.neighbours:
            if self._is_near(one):
                link = self._mesh.links[one.link]
                airtime_ms = link.airtime_us(PROBE_BYTES) / 1000
                cost = link_cost(airtime_ms, min(one.delivered, 255))
                is_good = one.delivered >= GOOD
                near = Near(link.kind, cost, one.snr, is_good, not one.is_mutual)
                best = found.get(one.address)
                # on several links: a greeted neighbour before one that is not
                if not best or (near.is_restored, cost) < (best.is_restored, best.cost):
                    found[one.address] = near
        return found

    def _state(self) -> object:
        mesh = self._mesh
        near = sorted(one.address for one in mesh.neighbours if one.is_mutual)
        return near, mesh.authority.policy, mesh.authority.me

    # --- as a part of the agent -------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, link: Any, now_ms: int) -> bool:
        """False: no datagram is its own."""
        return False

    def tick(self, now_ms: int) -> Datagrams:
        """Compute the ways if something has changed."""
        if now_ms >= self._next_ms and (
            self._is_due or now_ms >= self._next_ms + AGAIN_MS or self._state() != self._seen
        ):
            self.compute(now_ms)
        return []

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has something to do."""
        wait_ms = 0 if self._is_due else AGAIN_MS
        return max(0, self._next_ms + wait_ms - now_ms)


def _pair(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)
