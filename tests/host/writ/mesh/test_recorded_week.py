"""A week of frames, recorded and sent again: it costs no relayed airtime.

The week has readings every quarter of an hour, policies that change, a revocation with a new link
key, nodes that start anew, and a neighbour that the relay forgets and greets again.
"""

import random
from typing import Any

import pytest
import signer
from mesh_rig import RELAY, SENSOR, Air, Node, air_policy

from writ import limits
from writ.authority import capsule
from writ.mesh.frame import DATA, FRAGMENT

READING = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20
QUARTER_MS = 15 * 60000
DAY = 96  # quarters of an hour
# What a flood of a week may make a relay send: receipts that may be lost, and greetings
ANSWERS_MAX = 40


class Week:
    """A gateway, a relay and a sensor two hops away, and all frames of their week."""

    def __init__(self) -> None:
        self.air = Air()
        self.air.step_ms = 50
        self.gateway = self.air.node(1, RELAY, is_gateway=True)
        self.relay = self.air.node(2, RELAY)
        self.sensor = self.air.node(3, SENSOR)
        self.nodes: list[Node] = [self.gateway, self.relay, self.sensor]
        self.air.line(*self.nodes)
        self._know_each_other(*self.nodes)
        assert self.air.run(lambda: self.sensor.mesh.routing.rank == 2, 120)
        self.policy = air_policy(1, signer.charter_head())
        self.epoch = 1
        self.arrived = 0
        self._run()
        self.frames = [data for _, _, _, data in self.air.frames]
        self.air.frames.clear()

    def _know_each_other(self, *nodes: Node) -> None:
        for node in nodes:
            node.knows(*[other for other in self.nodes if other is not node])

    def _run(self) -> None:
        for quarter in range(7 * DAY):
            if quarter % DAY == DAY // 2:
                self._next_policy(quarter > 3 * DAY)
            if quarter in (2 * DAY, 5 * DAY):
                node = self.sensor if quarter == 2 * DAY else self.gateway
                node.boot()
                self._know_each_other(node)
                self.air.run(seconds=60)
            if quarter == 4 * DAY:
                mesh = self.relay.mesh
                mesh.neighbours.drop(mesh.neighbours.find(0, 3))
            self.sensor.send(self.gateway, READING)
            self.air.run(lambda: self.gateway.got, 60)
            self.arrived += len(self.gateway.got)
            self.gateway.got.clear()
            self.air.run(seconds=2)
            self.air.now_ms += QUARTER_MS

    def _next_policy(self, is_revocation: bool) -> None:
        self.epoch += 1
        head = capsule.head(capsule.parse(self.policy).payload)
        revoked = (bytes(8),) if is_revocation else ()
        self.policy = air_policy(self.epoch, head, revoked=revoked)
        for node in self.nodes:
            node.take(self.policy)
            if is_revocation:
                key = bytes([self.epoch]) * 16
                node.keys.offer(node.authority.policy, self.epoch, key, self.air.now_ms)

    def flood(self, victim: Node, frames: list[bytes], every_ms: int) -> list[bytes]:
        """What a node sends while it receives these frames, and in the minute after them."""
        air, mesh = self.air, victim.mesh
        sent: list[bytes] = []
        for number in range(len(frames) + 60000 // every_ms):
            air.now_ms += every_ms
            if number < len(frames):
                victim.got += mesh.receive(0, frames[number], 5, air.now_ms)
            victim.got += mesh.release(air.now_ms)
            mesh.tick(air.now_ms)
            while data := mesh.outgoing(0, air.now_ms):
                mesh.sent(0, air.now_ms)
                sent.append(data)
        return sent


@pytest.fixture(scope="module")
def week() -> Week:
    found = Week()
    # almost all readings have arrived: those of the restarts may be lost
    assert found.arrived > 7 * DAY - 10
    assert len(found.frames) > 28 * DAY
    return found


def relayed(sent: list[bytes]) -> list[bytes]:
    """The frames with messages."""
    return [data for data in sent if data[3] >> 4 & 3 in (DATA, FRAGMENT)]


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("order", ["recorded", "shuffled"])
def test_a_recorded_week_costs_no_relayed_airtime(
    week: Week, is_restarted: bool, order: str
) -> None:
    victim: Any = week.relay
    week.air.run(lambda: not len(victim.mesh.outbox.transfers), 60)
    if is_restarted:
        victim.boot()
        victim.knows(week.gateway, week.sensor)
    victim.got.clear()
    frames = list(week.frames)
    if order == "shuffled":
        random.Random(1).shuffle(frames)
    sent = week.flood(victim, frames, 100)
    assert not relayed(sent) and not victim.got
    assert len(sent) <= ANSWERS_MAX
    assert len(victim.mesh.neighbours) <= limits.NEIGHBOURS_MAX
    # afterwards the mesh becomes whole: the HELLOs of a gateway are up to 17 minutes apart
    week.gateway.got.clear()
    for _ in range(30):
        week.sensor.send(week.gateway, READING)
        if week.air.run(lambda: week.gateway.got, 60):
            break
    assert week.gateway.got
