"""Source routes that a gateway computes from reports of neighbours, and members that lie."""

from typing import Any

import node_rig
import pytest
from airfield_rig import RELAY, ROUTES, SENSOR, AirField

from writ.errors import BadMessage
from writ.mesh.frame import DOWN
from writ.wire import coap
from writ_host.node import meshroutes
from writ_host.node.meshroutes import PAUSE_MS, MeshRoutes
from writ_host.node.neighbourreport import read_report

# Short addresses
GATE, EAST, WEST, SOIL, HILL = 1, 2, 3, 4, 5


class Field(AirField):
    """A gateway, the relays east and west beside it, and a sensor that hears both relays only."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        gate = self.node("gate", GATE, RELAY, is_gateway=True)
        self.node("east", EAST, RELAY)
        self.node("west", WEST, RELAY)
        self.node("soil", SOIL, SENSOR)
        self.cut |= {("gate", "soil"), ("soil", "gate")}
        self.mesh = self.frames["gate"].mesh
        self.routes = MeshRoutes(self.mesh)
        gate.on_neighbours = self.routes.report

    def step(self, ms: int = 20) -> None:
        super().step(ms)
        self.routes.tick(self.now_ms)

    def send(self, name: str, datagrams: list[tuple[str, bytes]]) -> None:
        """As the host's node does."""
        for address, data in datagrams:
            if name == "gate":
                self.routes.sending(address, data, self.now_ms)
            super().send(name, [(address, data)])

    def member(self, name: str) -> Any:
        """The `Member` of a node."""
        return self.nodes[name].authority.me

    def settle(self) -> None:
        """Wait until all have reported, and both ends have reported the links of both ways."""
        reports = self.routes._reports
        wanted = {EAST: {GATE, SOIL}, WEST: {GATE, SOIL}, SOIL: {EAST, WEST}}

        def is_settled() -> bool:
            return all(to in reports and reports[to].near.keys() >= wanted[to] for to in wanted)

        assert self.run(is_settled, 1500), {to: set(one.near) for to, one in reports.items()}
        self.run(seconds=3)

    def report(self, name: str, near: dict[int, tuple[int, int]]) -> None:
        """Let a member report {short address: (airtime ms, delivered of 255)}."""
        self.routes.report(self.member(name), report(near), self.now_ms)


def report(near: dict[int, tuple[int, int]], kind: int = 2) -> bytes:
    """The bytes of a report."""
    found = bytes(4)
    for address, (airtime_ms, delivered) in near.items():
        found += address.to_bytes(2, "big") + bytes((kind,)) + airtime_ms.to_bytes(2, "big")
        found += bytes((delivered, 0x80))
    return found


@pytest.fixture(scope="module")
def settled() -> Field:
    """A field in which all have reported. Tests leave it as it is, but for the reports."""
    field = Field()
    field.settle()
    return field


@pytest.fixture
def field(settled: Field) -> Field:
    """The settled field, with true reports of equal links."""
    settled.routes._bad.clear()
    settled.report("east", {GATE: (75, 255), SOIL: (75, 255), WEST: (75, 255)})
    settled.report("west", {GATE: (75, 255), SOIL: (75, 255), EAST: (75, 255)})
    settled.report("soil", {EAST: (75, 255), WEST: (75, 255)})
    return settled


def way(field: Field) -> list[int] | None:
    """The computed way to the sensor."""
    field.routes.compute(field.now_ms)
    found: list[int] | None = field.routes._set.get(SOIL)
    return found


def test_reports_come_by_themselves_and_give_ways() -> None:
    field = Field()
    field.settle()
    assert field.mesh.routes[SOIL] in ([EAST], [WEST])
    near = field.routes._reports[SOIL].near
    assert near[EAST].kind == 2 and near[EAST].cost > 75 and near[EAST].snr == 5
    answer = field.ask("gate", "soil", "temp")
    assert answer.payload == b"21.5"
    # the sensor has told of its way by this report alone: it is quiet now
    soil = field.frames["soil"]
    assert soil._report_in(field.now_ms) > 3_000_000
    # a relay vanishes, and is missed by the next message
    reported = field.routes._reports[SOIL].time_ms
    for other in ("gate", "west", "soil"):
        field.cut |= {("east", other), (other, "east")}
    field.frames["soil"].mesh.neighbours.find(0, EAST).is_mutual = False
    assert field.run(lambda: field.routes._reports[SOIL].time_ms > reported, 300)
    assert field.run(lambda: field.mesh.routes[SOIL] == [WEST], 30)


def test_a_report_brings_a_newer_beacon_back() -> None:
    import signer

    field = Field()
    field.settle()
    gate, soil = field.nodes["gate"], field.nodes["soil"]
    beacon = signer.certify(signer.beacon_payload(gate.authority.epoch, gate.authority.head, 10**9))
    gate.authority.receive(beacon, field.now_ms)
    assert soil.authority.beacon is None
    field.frames["soil"]._reports[0] = 0
    assert field.run(lambda: soil.authority.beacon, 60)
    # the same one does not come again
    heard = field.frames["soil"]
    got: list[int] = []
    given = heard._got_report
    heard._got_report = lambda answer: (got.append(len(answer.payload)), given(answer))[1]
    heard._reports[0] = 0
    assert field.run(lambda: got, 60)
    assert got == [1]


def test_the_way_of_better_links_is_taken(field: Field) -> None:
    field.report("soil", {EAST: (75, 100), WEST: (75, 255)})
    assert way(field) == [WEST]
    field.report("soil", {EAST: (75, 255), WEST: (600, 255)})
    assert way(field) == [EAST]


def test_a_way_by_which_a_request_is_repeated_is_left(field: Field) -> None:
    first = way(field)
    assert first in ([EAST], [WEST])
    request = node_rig.datagram(coap.CON, coap.GET, b"")
    other = node_rig.datagram(coap.CON, coap.GET, b"", mid=2)
    answer = node_rig.datagram(coap.ACK, coap.CONTENT, b"x")
    for datagram in (request, other, answer, answer, request):
        field.routes.sending("mesh:0004", datagram, field.now_ms)
        assert field.mesh.routes[SOIL] == first
    field.routes.sending("mesh:0004", request, field.now_ms)
    second = field.mesh.routes[SOIL]
    assert second == [EAST + WEST - first[0]]
    # both are bad: the first one is taken again
    field.routes.sending("mesh:0004", other, field.now_ms)
    field.routes.sending("mesh:0004", other, field.now_ms)
    assert field.mesh.routes[SOIL] in (first, second)
    field.routes._forget_old(field.now_ms + meshroutes.PENALTY_MS)
    assert not field.routes._bad


def test_a_relay_that_drops_frames_is_left_within_one_repetition() -> None:
    field = Field()
    field.settle()
    first = field.mesh.routes[SOIL][0]
    name = {EAST: "east", WEST: "west"}[first]
    forward = field.frames[name].mesh._forward

    def drop(route: Any, frame: Any, neighbour: Any, message: bytes, now_ms: int) -> None:
        if (frame.shape, frame.far) != (DOWN, SOIL):
            forward(route, frame, neighbour, message, now_ms)

    field.frames[name].mesh._forward = drop
    sent = len([one for one in field.sent if one[1] == "gate"])
    assert field.ask("gate", "soil", "temp", seconds=60).payload == b"21.5"
    assert field.mesh.routes[SOIL] == [EAST + WEST - first]
    assert len([one for one in field.sent if one[1] == "gate"]) > sent


# --- members that lie -----------------------------------------------------------------------------


def test_a_link_that_its_other_end_does_not_report_is_none(field: Field) -> None:
    # east says that it hears the sensor for nothing; the sensor hears west alone
    field.report("soil", {WEST: (500, 100)})
    field.report("east", {GATE: (1, 255), SOIL: (0, 255)})
    assert way(field) == [WEST]


def test_a_link_costs_what_the_worse_end_says(field: Field) -> None:
    field.report("east", {GATE: (0, 255), SOIL: (0, 255)})
    field.report("soil", {EAST: (300, 255), WEST: (100, 255)})
    field.report("west", {GATE: (75, 255), SOIL: (90, 255)})
    assert way(field) == [WEST]


def test_a_neighbour_of_the_gateway_is_not_made_up(field: Field) -> None:
    # the sensor claims to hear the gateway, for nothing
    field.report("soil", {GATE: (0, 255), EAST: (75, 255)})
    assert way(field) == [EAST]
    # nor where the gateway has more neighbours than a report
    table = field.mesh.neighbours
    for number in range(100, 120):
        table.add(0, number).is_mutual = True
    try:
        assert way(field) == [EAST]
    finally:
        for number in range(100, 120):
            table.drop(table.find(0, number))


def test_a_report_counts_for_its_sender_alone(field: Field) -> None:
    before = field.routes._reports[WEST]
    field.report("east", {EAST: (0, 255), SOIL: (0, 255), GATE: (0, 255)})
    assert field.routes._reports[WEST] is before
    assert EAST not in field.routes._reports[EAST].near


def test_a_node_without_a_report_keeps_the_way_of_its_last_message(field: Field) -> None:
    del field.routes._reports[SOIL]
    field.mesh.learn(SOIL, [WEST])
    field.routes._set.clear()
    field.report("east", {GATE: (0, 255), SOIL: (0, 255)})
    field.routes.compute(field.now_ms)
    assert field.mesh.routes[SOIL] == [WEST]
    # without such a way, what one end says is better than nothing
    field.mesh.learn(SOIL, None)
    field.report("west", {GATE: (75, 255)})
    field.routes.compute(field.now_ms)
    assert field.mesh.routes[SOIL] == [EAST]


def test_a_member_that_may_not_forward_is_no_relay(field: Field) -> None:
    field.report("soil", {EAST: (75, 255), WEST: (75, 255), HILL: (1, 255)})
    gate = field.nodes["gate"].authority
    gate.receive(node_rig.member("hill", HILL, SENSOR), field.now_ms)
    hill = gate.peer_by(name="hill")
    near = report({SOIL: (1, 255), GATE: (1, 255)})
    field.routes.report(hill, near, field.now_ms)
    field.mesh.neighbours.add(0, HILL).is_mutual = True
    try:
        assert way(field) in ([EAST], [WEST])
    finally:
        field.mesh.neighbours.drop(field.mesh.neighbours.find(0, HILL))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(3),
        bytes(4) + bytes(6),
        bytes(4) + bytes(7),  # the address 0
        report({0xFFFF: (1, 1)}),
        pytest.param(report(dict.fromkeys(range(1, 18), (1, 1))), id="too-many"),
    ],
)
def test_what_is_no_report_is_refused(field: Field, payload: bytes) -> None:
    before = dict(field.routes._reports)
    with pytest.raises(BadMessage):
        field.routes.report(field.member("soil"), payload, field.now_ms)
    assert field.routes._reports == before


def test_a_report_of_noise_is_refused_or_bounded() -> None:
    import random

    dice = random.Random(7)
    for _ in range(2000):
        try:
            found = read_report(dice.randbytes(dice.randrange(130)))
        except BadMessage:
            continue
        assert len(found) <= 16 and all(one.cost >= 1 for one in found.values())


def test_a_revoked_relay_is_left(settled: Field) -> None:
    field = Field()
    field.settle()
    first = field.mesh.routes[SOIL][0]
    name = {EAST: "east", WEST: "west"}[first]
    # a way that was learned from a message leads by it, too
    field.mesh.learn(77, [first])
    field.policy = field.next_policy(ROUTES, revoked=(node_rig.node_id(name),))
    field.nodes["gate"].authority.receive(field.policy, field.now_ms)
    field.run(seconds=3)
    assert field.mesh.routes[SOIL] == [EAST + WEST - first]
    assert 77 not in field.mesh.routes


def test_an_old_report_is_forgotten(settled: Field) -> None:
    field = Field()
    field.settle()
    field.routes.compute(field.now_ms + meshroutes.REPORT_AGE_MS)
    assert not field.routes._reports and not field.routes._set


def test_reports_are_bounded(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meshroutes, "REPORTS_MAX", 2)
    field.report("east", {GATE: (75, 255)})
    assert len(field.routes._reports) <= 3
    assert EAST in field.routes._reports


# --- spreaders ---------------------------------------------------------------------------------

GOOD = (75, 255)


@pytest.fixture
def relays() -> Field:
    """A field in which the relays report each other, the gateway and the sensor."""
    field = Field()
    field.settle()
    ask(field, "east", {GATE: GOOD, WEST: GOOD, SOIL: GOOD})
    ask(field, "west", {GATE: GOOD, EAST: GOOD, SOIL: GOOD})
    ask(field, "soil", {EAST: GOOD, WEST: GOOD})
    return field


def ask(field: Field, name: str, near: dict[int, tuple[int, int]]) -> bytes:
    """What a member is told that reports {short address: (airtime ms, delivered of 255)}, once the
    gateway computes anew."""
    field.now_ms += PAUSE_MS
    return field.routes.report(field.member(name), report(near), field.now_ms)


def test_nodes_learn_by_their_reports_whether_they_are_spreaders(relays: Field) -> None:
    for frames in relays.frames.values():
        frames._reports[0] = 0
    names = ("east", "west", "soil")
    told = {name: relays.frames[name].mesh for name in names}
    assert relays.run(lambda: all(mesh.is_spreader is not None for mesh in told.values()), 120)
    # the sensor hears the gateway by one of the relays
    assert told["east"].is_spreader != told["west"].is_spreader
    assert not told["soil"].is_spreader
    assert relays.mesh.is_spreader


def test_a_relay_that_alone_is_heard_by_a_node_is_its_spreader(relays: Field) -> None:
    assert ask(relays, "soil", {WEST: GOOD}) == b"\0"
    assert ask(relays, "west", {GATE: GOOD, EAST: GOOD, SOIL: GOOD}) == b"\1"
    assert ask(relays, "east", {GATE: GOOD, WEST: GOOD}) == b"\0"
    # and where it loses most of the receipts, the other one
    ask(relays, "soil", {EAST: GOOD, WEST: (75, 100)})
    assert ask(relays, "east", {GATE: GOOD, WEST: GOOD, SOIL: GOOD}) == b"\1"
    assert ask(relays, "west", {GATE: GOOD, EAST: GOOD, SOIL: GOOD}) == b"\0"


def test_a_node_that_no_map_has_is_told_nothing(relays: Field) -> None:
    assert ask(relays, "soil", {HILL: GOOD}) == b""
    # nor is one that reports before the gateway has computed anew
    assert relays.routes.report(relays.member("soil"), report({EAST: GOOD}), relays.now_ms) == b""


def test_a_member_that_names_neighbours_which_do_not_name_it_is_no_spreader(relays: Field) -> None:
    ask(relays, "soil", {WEST: GOOD})
    ask(relays, "west", {GATE: GOOD, EAST: GOOD, SOIL: GOOD})
    assert ask(relays, "east", {GATE: GOOD, WEST: GOOD, SOIL: (0, 255), HILL: GOOD}) == b"\0"


def test_a_node_that_may_not_forward_is_no_spreader(relays: Field) -> None:
    gate = relays.nodes["gate"].authority
    gate.receive(node_rig.member("hill", HILL, SENSOR), relays.now_ms)
    hill = gate.peer_by(name="hill")
    # the sensor soil alone hears it
    ask(relays, "soil", {EAST: GOOD, WEST: GOOD, HILL: GOOD})
    relays.now_ms += PAUSE_MS
    assert relays.routes.report(hill, report({SOIL: GOOD}), relays.now_ms) == b""
    assert ask(relays, "soil", {EAST: GOOD, WEST: GOOD, HILL: GOOD}) == b"\0"


def test_nodes_that_sleep_neither_spread_nor_are_served(relays: Field) -> None:
    sleepers = relays.routes._sleepers = {SOIL: 900}
    assert ask(relays, "soil", {EAST: GOOD, WEST: GOOD}) == b""
    assert ask(relays, "east", {GATE: GOOD, WEST: GOOD, SOIL: GOOD}) == b"\0"
    assert ask(relays, "west", {GATE: GOOD, EAST: GOOD, SOIL: GOOD}) == b"\0"
    sleepers.clear()
    ask(relays, "soil", {EAST: GOOD, WEST: GOOD})
    assert relays.routes._spreaders in ({EAST}, {WEST})
    sleepers |= dict.fromkeys(relays.routes._spreaders, 900)
    relays.routes.compute(relays.now_ms)
    assert relays.routes._spreaders == {EAST, WEST} - sleepers.keys()
