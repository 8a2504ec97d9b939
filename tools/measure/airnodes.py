"""Whole nodes on the LoRa channel of tools/radio, in virtual time: core, mesh and frame links."""

from collections.abc import Callable, Iterable
from typing import Any

from radio.channel import Channel
from radio.outcome import Reception
from radio.phy import Settings
from radio.timeline import Timeline
from radio.transceiver import SENDING, Radio

from writ import crypto
from writ.authority.capsule import BEACON, POLICY, build, head, parse
from writ.authority.store import Store
from writ.framelinks import FrameLinks
from writ.link.lora import LORA
from writ.mesh.airtime import time_on_air_us
from writ.node.node import Node

from .scope import FOUNDED, TestScope
from .sizes import MemoryFlash

SENSOR = 4
RELAY = 16
# Frames of the mesh, protected messages, nodes that join; a sensor may read and write at relays
ROUTES = [
    [0, 1, RELAY, 6, 4, 1000, 7],
    [1, 1, RELAY, 6, 4, 1000, 3],
    [15, 1, RELAY, 6, 0, 1000, 0],
]
RULES = [[SENSOR, RELAY, "log", 3], [RELAY, SENSOR, "temp", 1]]
# The frame of an SX1262, as the driver of link/radio.py sends it
MTU = 255
STEP_MS = 10


class Link:
    """A frame link over a radio of the channel: an SX1262 without a listen before it talks."""

    kind = LORA
    mtu = MTU
    duty_cycle_permille = 1000

    def __init__(self, radio: Radio, note: Callable[[bytes, int], None]) -> None:
        self.radio = radio
        self._note = note
        self._inbox: list[tuple[bytes, int]] = []
        radio.received = self._received
        radio.listen()

    def _received(self, reception: Reception) -> None:
        self._inbox.append((reception.payload, round(reception.snr_db)))

    def airtime_us(self, length: int) -> int:
        """Microseconds on air of `length` bytes."""
        settings = self.radio.settings
        found: int = time_on_air_us(length, settings.spreading_factor)
        return found

    def receive(self, now_ms: int) -> tuple[bytes, int] | None:
        """(frame, SNR in dB) or None."""
        return self._inbox.pop(0) if self._inbox else None

    def send(self, frame: bytes, now_ms: int) -> bool:
        """Send a frame. False while another one is on air."""
        if self.radio.state == SENDING:
            return False
        self._note(frame, self.radio.send(frame))
        return True

    def sleep(self, now_ms: int) -> bool:
        """Switch the radio off. False while a frame is on air."""
        if self.radio.state == SENDING:
            return False
        self.radio.sleep()
        return True

    def wake(self, now_ms: int) -> None:
        """Receive again."""
        self.radio.listen()

    def is_sending(self, now_ms: int) -> bool:
        """Whether a frame is on air."""
        return self.radio.state == SENDING

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `send` takes the next frame, about; None: now."""
        return STEP_MS if self.radio.state == SENDING else None


class Air:
    """Nodes by name that all hear each other, and what they have sent.

    sent: (virtual ms, name, frame, µs on air); asleep: names of nodes that do nothing.
    """

    def __init__(self, spreading_factor: int) -> None:
        self.timeline = Timeline()
        self.channel = Channel(self.timeline)
        self.settings = Settings(spreading_factor=spreading_factor)
        self.scope = TestScope()
        body = [1, self.scope.head, RULES, ROUTES, [], {}]
        self.policy = self.scope.sign(build(POLICY, body, iat=FOUNDED + 1))
        body = [1, head(parse(self.policy).payload)]
        self.beacon = self.scope.sign(build(BEACON, body, iat=FOUNDED + 2))
        self.nodes: dict[str, Any] = {}
        self.links: dict[str, FrameLinks] = {}
        self.sent: list[tuple[int, str, bytes, int]] = []
        self.asleep: set[str] = set()

    @property
    def now_ms(self) -> int:
        """The virtual time."""
        return self.timeline.now_us // 1000

    def node(
        self, name: str, capsules: Iterable[bytes], is_gateway: bool = False, sleep_s: int = 0
    ) -> Any:
        """Start a node that has its key, the id of its scope, and these capsules in flash."""
        node = Node(Store(MemoryFlash()), self.private(name), name, self.scope.id)
        for raw in capsules:
            node.authority.receive(raw, self.now_ms)
        radio = self.channel.add(name, (100.0 * len(self.nodes), 0.0), self.settings)

        def note(frame: bytes, airtime_us: int) -> None:
            self.sent.append((self.now_ms, name, frame, airtime_us))

        self.nodes[name] = node
        self.links[name] = FrameLinks(node, [Link(radio, note)], is_gateway, sleep_s=sleep_s)
        return node

    @staticmethod
    def private(name: str) -> bytes:
        """The P-256 key of a node of this name."""
        found: bytes = crypto.sha256(b"air " + name.encode())
        return found

    def member(self, name: str, number: int, roles: int) -> bytes:
        """The member capsule of a node of this name."""
        return self.scope.member(self.private(name), name, number, roles)

    def ask(
        self, node: Any, method: int, path: str, payload: bytes, address: str, on_answer: Any
    ) -> None:
        """Have a node make a request; `on_answer` gets the `Answer`."""
        node.now_ms = self.now_ms
        out = node.request(method, path, payload, address=address, on_answer=on_answer)
        for item in out:
            self.links[node.name].send(*item)

    def run(self, until: Callable[[], Any], seconds: float, step_ms: int = STEP_MS) -> bool:
        """Run until `until()` holds, at most `seconds` of virtual time."""
        end_us = self.timeline.now_us + round(1e6 * seconds)
        while self.timeline.now_us < end_us and not until():
            self.timeline.advance(self.timeline.now_us + 1000 * step_ms)
            for name, node in self.nodes.items():
                if name in self.asleep:
                    continue
                self._step(node, self.links[name])
        return bool(until())

    def _step(self, node: Any, links: FrameLinks) -> None:
        for data, address in links.poll(self.now_ms):
            for item in node.receive(data, address, self.now_ms):
                links.send(*item)
        for source in (node, links):
            for item in source.tick(self.now_ms):
                links.send(*item)
