"""A field of meshes in virtual time: real frames over a medium that may lose them."""

import signer
from fakeflash import MemoryFlash

from writ import compat
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.mesh.linkkey import LinkKeys
from writ.mesh.mesh import Mesh

compat.save_heap()

SENSOR = 2
RELAY = 4
LORA = 2
# class 0 for all, class 1 from sensors and relays, relays forward both, 4 hops, all of the airtime
ROUTES = (
    [0, 1, RELAY, 6, 4, 1000, 7],
    [1, SENSOR | RELAY, RELAY, 6, 4, 1000, 3],
    [15, 1, RELAY, 6, 0, 100, 0],
)
KEY = b"k" * 16


class Link:
    """What a mesh must know of a link. mtu: bytes; byte_us: time on air of a byte."""

    def __init__(self, mtu=222, byte_us=1000, kind=LORA):
        self.kind = kind
        self.mtu = mtu
        self.byte_us = byte_us
        self.duty_cycle_permille = 1000

    def airtime_us(self, length):
        """Microseconds of a frame."""
        return length * self.byte_us


class Node:
    """One mesh with its authority."""

    def __init__(
        self,
        air,
        address,
        roles,
        links,
        is_gateway=False,
        key=KEY,
        routes=ROUTES,
        is_leaf=False,
    ):
        self.air = air
        self.is_leaf = is_leaf
        self.is_asleep = False
        self.address = address
        self.flash = MemoryFlash()
        self.x = bytes((address,)) * 32
        self.roles = roles
        self.links = links
        self.is_gateway = is_gateway
        self.routes = routes
        self.capsule = signer.certify(
            signer.member_payload(self.x, "n%d" % address, address, roles)
        )
        self.key = key
        self.got = []  # (address, datagram)
        self.boot()

    def boot(self):
        """Start anew on the same flash."""
        self.rejected = {}
        self.authority = Authority(Store(self.flash), self.x, signer.scope())
        self.store = Store(self.flash)
        if not self.authority.charter:
            self.take(signer.charter())
            self.take(air_policy(1, signer.charter_head(), self.routes))
            self.take(self.capsule)
        self.keys = LinkKeys(self.store)
        if self.key and not self.keys.key:
            self.keys.offer(self.authority.policy, 1, self.key, self.air.now_ms)
        self.mesh = Mesh(
            self.authority, self.keys, self.links, self.count, self.is_gateway, self.is_leaf
        )

    def take(self, raw):
        """Receive a capsule."""
        self.authority.receive(raw, self.air.now_ms)

    def knows(self, *others):
        """Take the member capsules of other nodes."""
        for other in others:
            self.take(other.capsule)

    def count(self, rejection):
        """Count a rejection."""
        name = type(rejection).__name__
        self.rejected[name] = self.rejected.get(name, 0) + 1

    def send(self, other, data):
        """Send a datagram to another node by its short address."""
        self.mesh.send("mesh:%04x" % other.address, data, self.air.now_ms)


def air_policy(epoch, previous, routes=ROUTES, **changes):
    """A certified policy with these routes."""
    rules = [[1, 1, "temp", 1]]
    return signer.certify(signer.policy_payload(epoch, previous, rules, routes, **changes))


class Air:
    """The medium. `hears(one, other)` says who hears whom; `loss` 0..255 of 256, seeded."""

    def __init__(self, loss=0, seed=1):
        self.nodes = []
        self.now_ms = 0
        self.loss = loss
        self.frames = []  # (now_ms, sender, link, data) of all that was sent
        self.airtime_us = 0
        # pairs of addresses that do not hear each other, on a link (address, address, number)
        self.is_cut = set()
        self.step_ms = 20
        self._seed = seed

    def node(self, address, roles=SENSOR, links=None, **more):
        """Add a node."""
        node = Node(self, address, roles, links or [Link()], **more)
        self.nodes.append(node)
        return node

    def line(self, *nodes):
        """Let each node hear only those beside it."""
        for i in range(len(nodes)):
            for j in range(i + 2, len(nodes)):
                self.cut(nodes[i], nodes[j])

    def cut(self, one, other):
        """Let two nodes not hear each other."""
        self.is_cut.add((one.address, other.address))
        self.is_cut.add((other.address, one.address))

    def connect(self, link, *nodes):
        """Let only these nodes hear each other on this link, of which all nodes have one."""
        for one in self.nodes:
            for other in self.nodes:
                if one not in nodes or other not in nodes:
                    self.is_cut.add((one.address, other.address, link))

    def join(self, one, other):
        """Let two nodes hear each other again."""
        self.is_cut.discard((one.address, other.address))
        self.is_cut.discard((other.address, one.address))

    def chance(self):
        """A number from 0 to 255."""
        self._seed = (self._seed * 1103515245 + 12345) & 0x7FFFFFFF
        return self._seed >> 16 & 255

    def step(self):
        """Send what the nodes have, and let those who hear it receive it."""
        for node in self.nodes:
            if node.is_asleep:
                continue
            node.got += node.mesh.release(self.now_ms)
            node.mesh.tick(self.now_ms)
            for link in range(len(node.links)):
                data = node.mesh.outgoing(link, self.now_ms)
                if data:
                    node.mesh.sent(link, self.now_ms)
                    self.transmit(node, link, data)
        self.now_ms += self.step_ms

    def transmit(self, sender, link, data):
        """Let all who hear `sender` receive a frame."""
        assert len(data) <= sender.links[link].mtu
        self.frames.append((self.now_ms, sender, link, data))
        self.airtime_us += sender.links[link].airtime_us(len(data))
        for node in self.nodes:
            if node is sender or node.is_asleep or (node.address, sender.address) in self.is_cut:
                continue
            if (node.address, sender.address, link) in self.is_cut:
                continue
            if self.chance() < self.loss:
                continue
            node.got += node.mesh.receive(link, data, 5, self.now_ms)

    def run(self, until=None, seconds=60):
        """Run until `until()` is true, at most `seconds` of virtual time."""
        end_ms = self.now_ms + 1000 * seconds
        while self.now_ms < end_ms and not (until and until()):
            self.step()
        return until is None or until()


def chain():
    """(air, gateway, relay, sensor): the relay hears both others, which do not hear each other."""
    air = Air()
    gateway = air.node(1, RELAY, is_gateway=True)
    relay = air.node(2, RELAY)
    sensor = air.node(3, SENSOR)
    air.line(gateway, relay, sensor)
    for node in (gateway, relay, sensor):
        node.knows(*[other for other in (gateway, relay, sensor) if other is not node])
    assert air.run(lambda: sensor.mesh.routing.rank == 2, 120)
    return air, gateway, relay, sensor
