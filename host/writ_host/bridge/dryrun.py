"""What a bridge would publish: each resource is read once, and the broker is not contacted."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from writ.authority.capsule import Member

from ..errors import HostError
from ..node.folder import NodeFolder
from . import discovery, topics, values
from .bridge import describe, device_of, unix_ms
from .discovery import Device
from .held import held
from .members import Members, Outcome
from .reader import Reader
from .settings import Reading, Settings

_STEP_MS = 50


@dataclasses.dataclass(frozen=True)
class Shown:
    """A message that would be published; or a resource without a value, then topic is ""."""

    topic: str
    payload: object
    retain: bool
    problem: str = ""


class DryRun:
    """Reads the resources of a bridge once. clock_s: seconds that only grow."""

    def __init__(
        self,
        folder: NodeFolder,
        settings: Settings,
        books: tuple[Path, ...] = (),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._settings, self._clock_s = folder.node, settings, clock_s
        self._me, self._scope = device_of(folder), bytes(folder.node.authority.scope)
        self._found: list[Shown] = []
        self._devices: set[str] = set()
        # an observation would go on after the first value
        readings = [dataclasses.replace(one, observe=False) for one in settings.readings]
        members = Members(folder, books)
        self._reader = Reader(members, readings, self._read, self._failed, unix_ms)

    def run(self, timeout_s: float) -> Iterator[Shown]:
        """All messages, each as soon as it is known. Raises `HostError` without a membership."""
        node = self._node
        if node.authority.me is None:
            raise HostError(
                f"{self._me.name} is not a member yet",
                "Request membership: writ member request, then writ member admit --out DIR.",
            )
        yield Shown(topics.state(self._scope, self._me.name), topics.ONLINE, True)
        if self._settings.discovery:
            topic = self._me.topic(self._settings.discovery)
            yield Shown(topic, discovery.bridge_config(self._scope, self._me), True)
        if self._settings.capsules:
            now_ms = int(node.clock.now_ms())
            found = held(node.authority, self._settings.members, now_ms)
            for slot, raw in found.items():
                yield Shown(topics.capsules(self._scope) + slot, raw, True)
        deadline = self._clock_s() + timeout_s
        while not self._reader.has_read and self._clock_s() < deadline:
            self._reader.tick(int(node.clock.now_ms()))
            node.step(_STEP_MS)
            yield from self._found
            self._found.clear()

    @property
    def unread(self) -> list[str]:
        """NODE/RESOURCE of those without an outcome."""
        return self._reader.unread

    def _read(self, reading: Reading, member: Member, payload: bytes, time_ms: int) -> None:
        if reading.node not in self._devices:
            self._devices.add(reading.node)
            self._announce(reading.node, bytes(member.node_id))
        topic = topics.reading(self._scope, reading.node, reading.resource)
        text = values.encode(payload, time_ms).decode()
        self._found.append(Shown(topic, text, self._settings.retain))

    def _announce(self, name: str, node_id: bytes) -> None:
        self._found.append(Shown(topics.state(self._scope, name), topics.ONLINE, True))
        if self._settings.discovery:
            device = Device(name, node_id, self._me.model, self._me.node_id)
            readings = [one for one in self._settings.readings if one.node == name]
            config = discovery.config(self._scope, device, self._me.name, readings)
            self._found.append(Shown(device.topic(self._settings.discovery), config, True))

    def _failed(self, reading: Reading, outcome: Outcome) -> None:
        self._found.append(Shown("", reading.name, False, describe(outcome)))
