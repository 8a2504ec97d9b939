"""A field: nodes and gateways on a channel, what each has sent, and when it took an epoch."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from radio.channel import Channel
from radio.pathloss import MODELS
from radio.phy import Settings, airtime_us
from radio.timeline import Timeline

from field import firmware, ground, scope
from field.books import MINUTE_US
from field.link import RadioLink
from field.member import CoreMember, Member
from writ.mesh.dutycycle import duty_cycle_permille
from writ.mesh.neighbour import ANSWER, GREET, PROOF
from writ.mesh.routing import HELLO, PART, POLL, WANT

NODES_MAX = 2000
# One gateway for so many nodes, unless told otherwise: a route has at most 15 hops
_NODES_A_GATEWAY = 250
# A duty cycle of 10 % (ETSI EN 300 220-2, band P), where most meshes in Europe are
FREQUENCY_KHZ = 869_525
_BANDWIDTH_KHZ = 125

CONTROL_NAMES = {
    GREET: "greeting",
    ANSWER: "greeting",
    PROOF: "greeting",
    HELLO: "hello",
    POLL: "poll",
    WANT: "want",
    PART: "part",
}
CLASS_NAMES = {0: "governance", 1: "messages", 15: "joining"}
_ACK, _CONTROL = 2, 3


@dataclass(frozen=True)
class Plan:
    """What a field is like. Raises `ValueError`.

    nodes: without gateways, 1 to NODES_MAX; gateways: 0 for one per 250 nodes; area_km: side of the
    square, 0 for that in which a node hears ground.NEIGHBOURS others on average; loss: share of
    frames that are lost besides collisions; model: of tools/radio; frequency_khz: decides on the
    duty cycle; boot_s: the time within which nodes are switched on, one after the other; is_core:
    whether nodes have the mesh core alone (`CoreMember`).
    """

    nodes: int
    gateways: int = 0
    seed: int = 1
    spreading_factor: int = 7
    area_km: float = 0.0
    loss: float = 0.0
    model: str = "oulu"
    shadowing: bool = True
    frequency_khz: int = FREQUENCY_KHZ
    boot_s: float = 1800.0
    is_core: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= NODES_MAX:
            raise ValueError(f"a field has 1 to {NODES_MAX} nodes, not {self.nodes}")
        if not 0 <= self.gateways <= self.nodes:
            raise ValueError("a field has at least one gateway, and at most as many as nodes")
        if not 7 <= self.spreading_factor <= 12:
            raise ValueError(f"--sf is 7 to 12, not {self.spreading_factor}")
        if not 0 <= self.loss < 1:
            raise ValueError(f"--loss is a share from 0 to below 1, not {self.loss}")
        if self.area_km < 0:
            raise ValueError("--area is the side of the field in kilometres")
        if self.model not in MODELS:
            raise ValueError(f"--model is one of {', '.join(MODELS)}, not {self.model}")

    @property
    def gateway_count(self) -> int:
        """The number of gateways."""
        return self.gateways or max(1, self.nodes // _NODES_A_GATEWAY)


class Sent(NamedTuple):
    """A frame that went on air. who: place in `Field.members`; what: what it carried."""

    time_us: int
    who: int
    airtime_us: int
    length: int
    what: str


class Field:
    """All members of a field, gateways first. Raises `ground.NoGround`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.device, self.host = firmware.device(), firmware.host()
        for one in (self.device, self.host):
            one.seed(str(plan.seed))
        self.random = random.Random(f"field {plan.seed}")
        self.timeline = Timeline()
        self.settings = Settings(
            frequency_hz=1000 * plan.frequency_khz, spreading_factor=plan.spreading_factor
        ).interned()
        model = MODELS[plan.model]
        if not plan.shadowing:
            model = model.without_shadowing()
        self.channel = Channel(self.timeline, model, plan.seed)
        self.channel.loss = plan.loss
        self.duty_cycle_permille: int = duty_cycle_permille(plan.frequency_khz, _BANDWIDTH_KHZ)
        self.scope = scope.Scope(self.host, f"seed {plan.seed}")
        self.sent: list[Sent] = []
        self.epoch_us: list[dict[int, int]] = []  # of each member: epoch -> when it took it
        self.on_step: Callable[[Member], object] | None = None
        self._audit_us = 0  # when the books are compared next
        self._place()
        known: dict[int, Any] = {}
        self.members = [self._make(number, known) for number in range(len(self.channel.radios))]
        self.epoch_us = [{1: 0} for _ in self.members]
        for who in range(len(self.members)):
            # gateways are there first
            boot_s = 0 if self.is_gateway(who) else self.random.random() * plan.boot_s
            self.timeline.at(round(1_000_000 * boot_s), self._start, who)

    def _place(self) -> None:
        plan = self.plan
        self.side_km = plan.area_km or ground.side_km(
            plan.nodes + plan.gateway_count, self.channel.model, self.settings
        )
        side_m = 1000 * self.side_km
        gateways = []
        for number, place in enumerate(ground.gateway_places(plan.gateway_count, side_m)):
            gateways.append(f"gateway-{number + 1}")
            self.channel.add(gateways[-1], place, self.settings)
        for number in range(plan.nodes):
            place = ground.random_place(side_m, self.random)
            self.channel.add(f"node-{number + 1}", place, self.settings)
        ground.connect(self.channel, gateways, side_m, self.random)
        found = ground.hops_from(self.channel, gateways)
        self.names = list(self.channel.radios)
        self.hops = [found[name] for name in self.names]  # the fewest possible, of each member

    def is_gateway(self, who: int) -> bool:
        """Whether a member is a gateway."""
        return who < self.plan.gateway_count

    def _make(self, who: int, known: dict[int, Any]) -> Member:
        is_gateway = self.is_gateway(who)
        roles = scope.GATEWAY if is_gateway else scope.RELAY | scope.SENSOR
        kind = CoreMember if self.plan.is_core else Member
        member = kind(
            self.host if is_gateway else self.device,
            self.scope,
            self.names[who],
            who + 1,
            roles,
            self.timeline,
            lambda member: self._notice(who, member),
        )
        if isinstance(member, CoreMember):
            member.known = known
            known[member.number] = member.node.authority.me
        if is_gateway:
            member.node.authority.receive(self.scope.beacon, 0)
        return member

    def _start(self, who: int) -> None:
        member = self.members[who]
        link = RadioLink(
            self.channel.radios[member.name],
            self.duty_cycle_permille,
            member.firmware.limits.MODEM_TRIES_MAX,
            self.random,
            lambda frame: self._record(who, frame),
            member.take,
            member.wake,
        )
        member.start(link, self.scope.link_key(), self.is_gateway(who))

    def _record(self, who: int, frame: bytes) -> None:
        airtime = airtime_us(self.settings, len(frame))
        self.sent.append(Sent(self.timeline.now_us, who, airtime, len(frame), what(frame)))

    def _notice(self, who: int, member: Member) -> None:
        epoch = member.epoch
        if epoch not in self.epoch_us[who]:
            self.epoch_us[who][epoch] = self.timeline.now_us
        if self.on_step is not None:
            self.on_step(member)

    def amend(self, change: str, subject: int) -> bytes:
        """Certify a change for the member `subject`; gateways have it at once. Its capsule."""
        raw = self.scope.amend(change, self.scope.node_id(self.names[subject]))
        for member in self.members[: self.plan.gateway_count]:
            for capsule in (raw, self.scope.beacon):
                member.node.authority.receive(capsule, member.now_ms)
            member.wake()
        return raw

    def report(self) -> None:
        """Let all nodes with the mesh core alone report their neighbours to their gateways."""
        gateways = {one.number: one for one in self.members[: self.plan.gateway_count]}
        for member in self.members[self.plan.gateway_count :]:
            gateway = gateways.get(member.frames.mesh.routing.gateway)
            if isinstance(member, CoreMember) and isinstance(gateway, CoreMember):
                member.report(gateway)

    def share_at(self, epoch: int, without: int | None = None) -> float:
        """The share of nodes, without gateways, that have this epoch or a later one."""
        nodes = [
            self.members[who]
            for who in range(self.plan.gateway_count, len(self.members))
            if who != without
        ]
        return sum(member.epoch >= epoch for member in nodes) / len(nodes)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Advance the time, at most until `until()` holds, which is asked each second.

        Raises `WrongBooks`: the books of all members are compared with the channel each minute.
        """
        end_us = self.timeline.now_us + round(seconds * 1_000_000)
        while self.timeline.now_us < end_us and not (until and until()):
            if self.timeline.now_us >= self._audit_us:
                self._audit_us = self.timeline.now_us + MINUTE_US
                for member in self.members:
                    member.check_books()
            self.timeline.advance(min(end_us, self.timeline.now_us + 1_000_000))

    def dropped_us(self) -> int:
        """Airtime that nodes have charged for frames that never were on air."""
        return sum(one.frames.links[0].books.dropped_us for one in self.members if one.frames)


def what(frame: bytes) -> str:
    """What a frame of the mesh carries: "hello", "greeting", "receipt", a class, ..."""
    route_class, kind = frame[0] & 15, frame[3] >> 4 & 3
    if route_class == 15:
        return CLASS_NAMES[15]
    if kind == _ACK:
        return "receipt"
    if kind == _CONTROL:
        # behind the header of the shape LOCAL
        return CONTROL_NAMES.get(frame[10], f"control {frame[10]}")
    return CLASS_NAMES.get(route_class, f"class {route_class}")
