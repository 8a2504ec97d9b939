"""One node of a field: the whole production core, mesh and frame links, with its flash in memory.

It is woken when a frame arrives, when its radio is free again, and at the time that it has asked
for. Nothing polls.
"""

from collections.abc import Callable
from typing import Any

from radio.timeline import Entry, Timeline

from field.firmware import Firmware
from field.link import RadioLink
from field.scope import Scope
from writ.mesh.frame import BROADCAST, JOIN_CLASS
from writ_host.node.meshroutes import MeshRoutes

# Frames that arrive in one millisecond are handled together
_TICK_US = 1000


class MemoryFlash:
    """A flash in memory: files by name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None."""
        return self.files.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Replace the content of a file."""
        self.files[name] = bytes(data)


class Member:
    """A node. number: its short address; noticed: called after each step, with this object;
    flash: of an earlier start, with its capsules.
    """

    def __init__(
        self,
        firmware: Firmware,
        scope: Scope,
        name: str,
        number: int,
        roles: int,
        timeline: Timeline,
        noticed: Callable[["Member"], object],
        flash: MemoryFlash | None = None,
    ) -> None:
        self.firmware = firmware
        self.name = name
        self.number = number
        self.flash = flash or MemoryFlash()
        # the node's clock begins with each start
        self._start_us = timeline.now_us
        self.node: Any = firmware.Node(
            firmware.Store(self.flash), scope.private_key(name), name, scope.id
        )
        if flash is None:
            for raw in (scope.charter, scope.member(name, number, roles), scope.policy):
                self.node.authority.receive(raw, 0)
        self.frames: Any = None  # from `start` on
        self._timeline = timeline
        self._noticed = noticed
        self._entry: Entry | None = None
        self._entry_us = 0

    def start(self, link: RadioLink, link_key: bytes, is_gateway: bool) -> None:
        """Switch the power on. link_key: what the node got when it was provisioned."""
        self.frames = self.firmware.FrameLinks(self.node, [link], is_gateway)
        authority = self.node.authority
        if self.frames.keys.key is None and authority.epoch == 1:
            self.frames.keys.offer(authority.policy, 1, link_key, 0)
        self.wake()

    def check_books(self) -> None:
        """Raise `WrongBooks` if the airtime budget and the channel differ."""
        if self.frames is not None:
            link, budget = self.frames.links[0], self.frames.mesh.outbox.budgets[0]
            used_us = budget.used_us(self.now_ms)
            link.books.check(self._timeline.now_us, used_us, link.waiting_us)

    @property
    def epoch(self) -> int:
        """The epoch of the policy in force at this node."""
        found: int = self.node.authority.epoch
        return found

    @property
    def rank(self) -> int:
        """Hops to the gateway by its parents; 255 without parent."""
        routing = self.frames and self.frames.mesh.routing
        found: int = routing.rank if routing else 255
        return found

    @property
    def now_ms(self) -> int:
        """The present time of the node."""
        return (self._timeline.now_us - self._start_us) // 1000

    def wake(self) -> None:
        """Let the node run soon: something has happened to it."""
        self._schedule((self._timeline.now_us // _TICK_US + 1) * _TICK_US)

    def take(self, frame: bytes, snr: int) -> None:
        """Take a frame from the link.

        One for another receiver changes no timer of this node, so it costs no step.
        """
        receiver = int.from_bytes(frame[6:8], "big")
        if frame[0] & 15 != JOIN_CLASS and receiver not in (self.number, BROADCAST):
            found = self.frames.mesh.receive(0, frame, snr, self.now_ms)
            if not found:
                return
            for address, data in found:
                self._send(self.node.receive(data, address, self.now_ms))
        else:
            self.frames.links[0].inbox.append((frame, snr))
        self.wake()

    def request(self, method: int, path: str, payload: bytes, address: str, done: Any) -> None:
        """Make a request to another node; `done` takes the answer."""
        self.node.now_ms = self.now_ms
        self._send(self.node.request(method, path, payload, address, on_answer=done))
        self.wake()

    def _schedule(self, at_us: int) -> None:
        if self._entry is not None:
            if self._entry_us <= at_us:
                return
            Timeline.cancel(self._entry)
        self._entry_us = at_us
        self._entry = self._timeline.at(at_us, self._step)

    def _step(self) -> None:
        # as `agent.step` does
        self._entry = None
        now_ms = self.now_ms
        node, frames = self.node, self.frames
        for data, address in frames.poll(now_ms):
            self._send(node.receive(data, address, now_ms))
        self._send(node.tick(now_ms))
        self._send(frames.tick(now_ms))
        self._noticed(self)
        wait_ms = frames.next_ms(now_ms)
        node_ms = node.next_ms(now_ms)
        if node_ms is not None and node_ms < wait_ms:
            wait_ms = node_ms
        self._schedule(self._start_us + (now_ms + max(1, wait_ms)) * 1000)

    def _send(self, datagrams: list[tuple[str, bytes]]) -> None:
        for address, data in datagrams:
            self.frames.send(address, data)


class CoreMember(Member):
    """A node with the mesh core alone: frames, routing, and the spread of epochs. It makes none of
    the requests of framelinks.py, and has the capsules of all members. known: by short address.

    routes: the `MeshRoutes` of a gateway.
    """

    known: dict[int, Any]
    routes: MeshRoutes

    def start(self, link: RadioLink, link_key: bytes, is_gateway: bool) -> None:
        """Switch the power on."""
        super().start(link, link_key, is_gateway)
        authority = self.node.authority
        authority.peer_by = lambda address: self.known.get(address)
        if is_gateway:
            by_id = {member.node_id: member for member in self.known.values()}
            authority.peer = by_id.get
            self.routes = MeshRoutes(self.frames.mesh)
        self.frames._requests = lambda now_ms: []
        self.frames._next_request = lambda now_ms: None
        self.frames._report_in = lambda now_ms: None

    def report(self, gateway: "CoreMember") -> None:
        """Report the neighbours to a gateway and take its answer, without frames."""
        nearby = self.firmware.module("mesh.nearby")
        mesh = self.frames.mesh
        report = nearby.report_of(mesh, 0)
        answer = gateway.routes.report(self.node.authority.me, report, gateway.now_ms)
        nearby.take_spreading(mesh, answer)
