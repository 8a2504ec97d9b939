"""What the broker keeps about nodes: whether each is online, and Home Assistant's discovery.

Both are the state of this moment, so nothing of it is spooled: a new connection begins with all of
it. The spool remembers what was announced, so that an entity that bridge.toml no longer names is
removed, also after a restart.
"""

import json
from collections.abc import Callable
from typing import Any

from writ.authority.capsule import Member

from . import discovery, topics
from .discovery import Device
from .settings import Reading, Settings
from .spool import Spool

# Publishes a retained message: topic, payload.
Publish = Callable[[str, bytes], None]


class Announcer:
    """States and discovery of a bridge's nodes.

    me: the bridge itself; publish: called while there is a connection only (`connected`).
    """

    def __init__(
        self, settings: Settings, scope: bytes, me: Device, spool: Spool, publish: Publish
    ) -> None:
        self._settings, self._scope, self._me = settings, scope, me
        self._spool, self._publish = spool, publish
        self._is_connected = False
        self._states: dict[str, str] = {}
        self._announced = spool.announced()
        self._devices: dict[str, Device] = {}
        self._readings: dict[str, list[Reading]] = {name: [] for name in settings.nodes}
        for one in settings.readings:
            self._readings[one.node].append(one)
        self._restore()

    @property
    def online(self) -> int:
        """The number of nodes that are online."""
        return sum(state == topics.ONLINE for state in self._states.values())

    # --- what happens -----------------------------------------------------------------------------

    def connected(self) -> None:
        """Publish everything: the broker may have lost what it had."""
        self._is_connected = True
        self._publish(topics.state(self._scope, self._me.name), topics.ONLINE.encode())
        for node, state in self._states.items():
            self._publish(topics.state(self._scope, node), state.encode())
        self.announce()

    def disconnected(self) -> None:
        """There is no connection: nothing is published until `connected`."""
        self._is_connected = False

    def answered(self, member: Member) -> None:
        """A member has answered: it is online, and its node id is known."""
        self._set(member.name, topics.ONLINE)
        device = self._device(member.name, bytes(member.node_id))
        if self._devices.get(member.name) != device:
            before, self._devices[member.name] = self._devices.get(member.name), device
            if self._is_connected:
                self._announce_device(device)
                if before and before.identifier != device.identifier:
                    # another key has the name
                    self._remove(before.topic(self._settings.discovery))

    def silent(self, node: str) -> None:
        """A node did not answer: it is offline."""
        self._set(node, topics.OFFLINE)

    def stopping(self) -> None:
        """Say that the bridge is offline: a disconnection in order sends no will."""
        if self._is_connected:
            self._publish(topics.state(self._scope, self._me.name), topics.OFFLINE.encode())

    def announce(self) -> None:
        """Publish the discovery of all known nodes, and remove what is not there any more."""
        prefix = self._settings.discovery
        known = set()
        if prefix:
            found = discovery.bridge_config(self._scope, self._me)
            self._announce_config(self._me.topic(prefix), found)
            known = {one.topic(prefix) for one in (self._me, *self._devices.values())}
        for device in self._devices.values():
            self._announce_device(device)
        for topic in [one for one in self._announced if one not in known]:
            self._remove(topic)

    def _announce_device(self, device: Device) -> None:
        if self._settings.discovery:
            readings = self._readings[device.name]
            found = discovery.config(self._scope, device, self._me.name, readings)
            self._announce_config(device.topic(self._settings.discovery), found)

    def _announce_config(self, topic: str, found: dict[str, object]) -> None:
        before = self._announced.get(topic)
        reduced = discovery.without(before, found) if before else None
        if reduced is not None:
            self._publish(topic, encoded(reduced))
        self._publish(topic, encoded(found))
        self._remember(topic, encoded(found))

    def _remove(self, topic: str) -> None:
        if topic in self._announced:
            self._publish(topic, b"")
            self._remember(topic, b"")

    # --- what is known ----------------------------------------------------------------------------

    def _set(self, node: str, state: str) -> None:
        if self._states.get(node) != state:
            self._states[node] = state
            if self._is_connected:
                self._publish(topics.state(self._scope, node), state.encode())

    def _device(self, name: str, node_id: bytes) -> Device:
        return Device(name, node_id, self._me.model, self._me.node_id)

    def _restore(self) -> None:
        """Take the nodes' ids from what was announced: a node may be offline now."""
        for topic, payload in self._announced.items():
            name, node_id = _identity(payload)
            if name in self._settings.nodes and node_id:
                device = self._device(name, node_id)
                if device.topic(self._settings.discovery) == topic:
                    self._devices[name] = device

    def _remember(self, topic: str, payload: bytes) -> None:
        if self._announced.get(topic, b"") == payload:
            return
        if payload:
            self._announced[topic] = payload
        else:
            del self._announced[topic]
        self._spool.announce(topic, payload)


def encoded(found: dict[str, object]) -> bytes:
    """A discovery message as it goes to the broker."""
    return json.dumps(found, ensure_ascii=False, sort_keys=True).encode()


def _identity(payload: bytes) -> tuple[str, bytes]:
    """(name, node id) of the device in an announced message."""
    try:
        device: Any = json.loads(payload)["device"]
        return str(device["name"]), bytes.fromhex(device["serial_number"])
    except (KeyError, TypeError, ValueError):
        return "", b""
