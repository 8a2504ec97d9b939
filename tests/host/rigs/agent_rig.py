"""The agent's loop on a network in memory, with a clock that is set."""

from typing import Any

from fakeflash import MemoryFlash
from node_rig import Net, private

from writ import agent
from writ.authority.store import Store


class Clock:
    """A clock that is set."""

    now = 0

    def now_ms(self) -> int:
        return self.now


class Spy:
    """Replaces the delegate and notes the requests for renewal."""

    def __init__(self) -> None:
        self.renewed: list[int] = []

    def __call__(self, node: agent.Node, kept: Any) -> "Spy":
        # what apps call is unloaded while the operations go on
        assert node._delegate is None
        self.node = node
        return self

    def renew(self) -> None:
        self.renewed.append(self.node.now_ms)

    def tick(self, now_ms: int) -> list[tuple[str, ...]]:
        # its code is unloaded before its calls begin
        return [("what", "it asks for")]


class NetLink:
    """The link of the node at "soil" to a network in memory."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def receive(self, timeout_ms: int) -> None:
        return None

    def send(self, address: str, data: bytes) -> None:
        self.net.send("soil", [(address, data)])


class Restarted:
    """A sensor of a `Net` with the gateway "gw", run by the agent, on what its flash holds."""

    def __init__(self, flash: MemoryFlash, gateway: Any, **config: object) -> None:
        Store(flash).save("key", private("soil"))
        config = {"name": "soil", "gateways": ["gw"], "renew_days": 0, **config}
        self.node = agent.Node(Store(flash), config)
        self.net = Net(gw=gateway, soil=self.node)
        self.node.link, self.node.clock = NetLink(self.net), Clock()

    def step(self, ms: int = 0) -> None:
        """Let the network run for so long, and then the agent once."""
        self.net.run(ms)
        self.node.clock.now = self.net.now_ms
        self.node.step(0)
        self.net.run()
