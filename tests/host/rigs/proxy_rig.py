"""A gateway with a proxy, its mesh in virtual time, and members on IP that call through it."""

from typing import Any

import node_rig
from airfield_rig import RELAY, SENSOR, AirField

from writ.node.call import Answer
from writ.wire import coap
from writ_host.node import behind
from writ_host.node.behind import Behind
from writ_host.node.proxy import MeshProxy

GATE = "10.0.0.1:5683"
DESK = "10.0.0.9:40000"
SOIL = f"mesh:0003 via {GATE}"
GUEST = 64
# class 1 from operators, relays and sensors; guests may use governance only
SENDERS = RELAY | SENSOR
ROUTES = (
    [0, 1, RELAY, 6, 4, 1000, 7],
    [1, SENDERS, RELAY, 6, 4, 1000, 3],
    [15, 1, RELAY, 6, 0, 100, 0],
)


class Site(AirField):
    """A gateway with a proxy, a relay, a sensor two hops away, and members on IP by name."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = None
        self.policy = self.next_policy(ROUTES)
        self.desks: dict[str, tuple[str, Any, Behind]] = {}
        self.legs: list[tuple[str, str, bytes]] = []  # (from, to, datagram) on IP
        self.alter: Any = lambda source, to, data: [data]
        gate = self.node("gate", 1, RELAY, is_gateway=True)
        self.node("hill", 2, RELAY)
        self.node("soil", 3, SENSOR)
        self.line("gate", "hill", "soil")
        self.proxy = MeshProxy(gate, self.frames["gate"])
        gate.server.proxy = self.proxy.serve
        soil = node_rig.node_id("soil")
        assert self.run(lambda: gate.address_of(soil), 600)

    def desk(self, name: str = "desk", number: int = 9, roles: int = RELAY) -> Any:
        """A member on IP."""
        node = node_rig.make(name, number, roles, self.policy)
        address = f"10.0.0.{number}:40000"
        tunnel = Behind(node)
        node.exchanges.timeout_of = lambda to: behind.TIMEOUT_MS if behind.is_behind(to) else None
        self.desks[name] = address, node, tunnel
        return node

    def send(self, name: str, datagrams: list[tuple[str, bytes]]) -> None:
        """Hand datagrams to the mesh, or carry them over IP."""
        for address, data in datagrams:
            if name in self.desks:
                own, _, tunnel = self.desks[name]
                if behind.is_behind(address):
                    self.send(name, tunnel.wrap(address, data))
                elif address == GATE:
                    self._carry(own, "gate", GATE, data)
            elif address.startswith("10."):
                for to, entry in self.desks.items():
                    if entry[0] == address:
                        self._carry(GATE, to, address, data)
            else:
                source = None
                if name == "gate":
                    # as `HostNode.send` does
                    source = self.proxy.sending(address, data, self.now_ms)
                self.frames[name].mesh.send(address, data, self.now_ms, source)

    def _carry(self, source: str, name: str, to: str, data: bytes) -> None:
        self.legs.append((source, to, data))
        for one in self.alter(source, to, data):
            node = self.nodes["gate"] if name == "gate" else self.desks[name][1]
            self.send(name, node.receive(one, source, self.now_ms))

    def step(self, ms: int = 20) -> None:
        super().step(ms)
        self.send("gate", self.proxy.tick(self.now_ms))
        for name, (_, node, _) in self.desks.items():
            self.send(name, node.tick(self.now_ms))

    def begin(
        self,
        name: str,
        path: str,
        address: str = SOIL,
        method: int = coap.GET,
        payload: bytes = b"",
        **more: Any,
    ) -> list[Answer]:
        """Begin a request of a member on IP; its answers are added to the list."""
        answers: list[Answer] = []
        node = self.desks[name][1]
        node.now_ms = self.now_ms
        out = node.request(method, path, payload, address, on_answer=answers.append, **more)
        self.send(name, out)
        return answers

    def fetch(self, *what: Any, seconds: int = 120, **more: Any) -> Answer:
        """The answer to a request of a member on IP."""
        answers = self.begin(*what, **more)
        assert self.run(lambda: answers, seconds), what
        return answers[0]

    def airtime(self) -> int:
        """Frames sent so far."""
        return len(self.sent)

    def count(self, name: str) -> int:
        """How often the gateway has counted a rejection."""
        found: int = self.nodes["gate"].counters.get(name, 0)
        return found


def why(answer: Answer) -> bytes:
    """The refusal of the gateway in an answer."""
    assert isinstance(answer.rejection, behind.NotPassedOn), answer.rejection
    assert answer.rejection.via == GATE
    return bytes(answer.rejection.text)
