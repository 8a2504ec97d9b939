"""What can be known before a bridge runs: its file, its membership, and whether the broker is good.

The readings themselves are tried by a dry run (dryrun.py).
"""

import time
from dataclasses import dataclass

from ..errors import NotReachable, RefusedByNode
from ..node.folder import NodeFolder
from . import topics
from .bridge import device_of
from .broker import Acknowledged, Broker, Connected, Disconnected, Subscription
from .settings import Settings

CONNECT_S = 20.0
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Finding:
    """What a check found. is_member: whether the bridge has a member capsule."""

    name: str
    node_id: bytes
    scope: bytes
    is_member: bool
    broker: str
    readings: int
    nodes: tuple[str, ...]


def check(folder: NodeFolder, settings: Settings, connect_s: float = CONNECT_S) -> Finding:
    """Connect to the broker, subscribe and publish below this bridge's own name.

    Raises `NotReachable`, `RefusedByNode` for a broker that refuses, or another `HostError`.
    """
    node = folder.node
    me, scope = device_of(folder), bytes(node.authority.scope)
    # another client id: a broker disconnects the older of two clients with the same one
    client_id = f"writ-{me.node_id.hex()[:8]}-check"
    topic = topics.check(scope, me.name)
    broker = Broker(settings.broker, client_id, None, [Subscription(topic)])
    broker.start()
    try:
        _await_connection(broker, connect_s)
        reason = _publish(broker, topic)
        if reason:
            raise RefusedByNode(
                f"the broker refused to publish at {topic}: {reason}",
                f"Allow its user to publish and subscribe below {topics.ROOT}/{scope.hex()}/"
                " and, for Home Assistant, below the prefix of discovery.",
                None,
                None,
            )
    finally:
        broker.stop()
    where = f"{settings.broker.host}:{settings.broker.port}"
    count = len(settings.readings)
    is_member = node.authority.me is not None
    return Finding(me.name, me.node_id, scope, is_member, where, count, settings.nodes)


def _await_connection(broker: Broker, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    reason = "no answer from the broker"
    while time.monotonic() < deadline:
        while broker.events:
            event = broker.events.popleft()
            if isinstance(event, Connected):
                return
            if isinstance(event, Disconnected):
                reason = event.reason
        time.sleep(0.02)
    raise NotReachable(reason, "Check host, port, certificate, username and password.")


def _publish(broker: Broker, topic: str) -> str:
    """Publish an empty message; the broker's reason to refuse it, or ""."""
    mid = broker.publish(topic, b"", False)
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        while broker.events:
            event = broker.events.popleft()
            if isinstance(event, Acknowledged) and event.mid == mid:
                return event.reason
            if isinstance(event, Disconnected):
                return event.reason
        time.sleep(0.02)
    raise NotReachable("the broker did not acknowledge a message", "Check the broker's log.")
