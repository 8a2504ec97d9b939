"""Whole nodes on a radio in virtual time: core, mesh and frame links, as the agent joins them."""

import random

import node_rig
import signer
from fakeflash import MemoryFlash

from writ.authority.store import Store
from writ.framelinks import FrameLinks
from writ.node.node import Node
from writ.wire import coap

SENSOR = node_rig.SENSOR
RELAY = 16
LORA = 2
ROUTES = (
    [0, 1, RELAY, 6, 4, 1000, 7],
    [1, 1, RELAY, 6, 4, 1000, 3],
    [15, 1, RELAY, 6, 0, 100, 0],
)
RULES = ([1, 1, "temp", 1], [RELAY, 1, "writ/status", 1], [1, RELAY, "level", 4])


class Radio:
    """A frame link in memory: one frame at a time on air. mtu: bytes; byte_us: µs a byte."""

    kind = LORA
    duty_cycle_permille = 1000

    def __init__(self, air, name, mtu, byte_us):
        self._air = air
        self._name = name
        self.mtu = mtu
        self._byte_us = byte_us
        self._busy_ms = 0
        self.inbox = []

    def airtime_us(self, length):
        return length * self._byte_us

    def receive(self, now_ms):
        return self.inbox.pop(0) if self.inbox else None

    def send(self, frame, now_ms):
        if now_ms < self._busy_ms:
            return False
        self._busy_ms = now_ms + self.airtime_us(len(frame)) // 1000 + 1
        self._air.transmit(self._name, frame, self._busy_ms)
        return True

    def is_sending(self, now_ms):
        return now_ms < self._busy_ms

    def next_ms(self, now_ms):
        return max(0, self._busy_ms - now_ms) or None

    def sleep(self, now_ms):
        return now_ms >= self._busy_ms


class AirField:
    """Nodes by name. `hears`: who does not hear whom is in `cut`; loss: share of lost frames."""

    def __init__(self, loss=0.0, seed=1, mtu=222, byte_us=1500, routes=ROUTES):
        self.now_ms = 1000
        self.nodes = {}
        self.frames = {}
        self.cut = set()
        self.asleep = set()  # names of nodes that hear and do nothing
        self.sent = []  # (now_ms, name, frame)
        self.loss = loss
        self.mtu, self.byte_us = mtu, byte_us
        self._random = random.Random(seed)
        self._due = []  # (ms, name of the sender, frame)
        self.routes = routes
        self.policy = None
        self.policy = self.next_policy()

    def next_policy(self, routes=None, **changes):
        """Certify the next policy."""
        routes = routes or self.routes
        head = signer.charter_head() if self.policy is None else node_rig.head_of(self.policy)
        epoch = 1 if self.policy is None else self.epoch + 1
        self.epoch = epoch
        payload = signer.policy_payload(epoch, head, RULES, routes, **changes)
        self.policy = signer.certify(payload)
        return self.policy

    def node(
        self,
        name,
        number,
        roles=SENSOR,
        is_gateway=False,
        is_blank=False,
        flash=None,
        link=None,
        sleep_s=0,
    ):
        """Start a node; is_blank: it has its key and its scope's id only; link: else a `Radio`."""
        node = Node(Store(flash or MemoryFlash()), node_rig.private(name), name, signer.scope())
        node.flash = flash
        if not is_blank:
            node.authority.receive(signer.charter(), 0)
            node.authority.receive(node_rig.member(name, number, roles), 0)
            node.authority.receive(self.policy, 0)
        node.resource("temp")(lambda request: b"21.5")
        self.nodes[name] = node
        link = link or Radio(self, name, self.mtu, self.byte_us)
        self.frames[name] = FrameLinks(node, [link], is_gateway, sleep_s=sleep_s)
        return node

    def line(self, *names):
        """Let each node hear only those beside it."""
        for i, one in enumerate(names):
            for other in names[i + 2 :]:
                self.cut |= {(one, other), (other, one)}

    def transmit(self, name, frame, end_ms):
        self.sent.append((self.now_ms, name, frame))
        self._due.append((end_ms, name, frame))

    def send(self, name, datagrams):
        """Hand datagrams of a node to its mesh."""
        for address, data in datagrams:
            self.frames[name].send(address, data)

    def step(self, ms=20):
        """Advance the time."""
        self.now_ms += ms
        for entry in [entry for entry in self._due if entry[0] <= self.now_ms]:
            self._due.remove(entry)
            for other, frames in self.frames.items():
                if other == entry[1] or other in self.asleep or (other, entry[1]) in self.cut:
                    continue
                if self._random.random() >= self.loss:
                    frames.links[0].inbox.append((entry[2], 5))
        for name, node in self.nodes.items():
            if name in self.asleep:
                continue
            frames = self.frames[name]
            for data, address in frames.poll(self.now_ms):
                self.send(name, node.receive(data, address, self.now_ms))
            self.send(name, node.tick(self.now_ms))
            self.send(name, frames.tick(self.now_ms))

    def run(self, until=None, seconds=120):
        """Run until `until()` holds, at most `seconds` of virtual time."""
        end_ms = self.now_ms + 1000 * seconds
        while self.now_ms < end_ms and not (until and until()):
            self.step()
        return until is None or until()

    def ask(self, name, other, path, seconds=120, method=coap.GET):
        """The answer to a request of one node to another."""
        answers = []
        address = f"mesh:{self.nodes[other].authority.me.address:04x}"
        node = self.nodes[name]
        node.now_ms = self.now_ms
        self.send(name, node.request(method, path, b"", address, on_answer=answers.append))
        assert self.run(lambda: answers, seconds), (name, other, path)
        return answers[0]
