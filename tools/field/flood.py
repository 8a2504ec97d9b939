"""Naive flooding, for comparison: each node repeats each frame once, after a random delay.

The same bytes, places, radios and channel as those of the mesh, the same listening before a frame
is sent, and nothing else on the air. A frame has the header and the MIC of a frame of the mesh, so
that it is as long. An item that is longer than a frame goes in parts, each flooded by itself.
"""

from dataclasses import dataclass

from radio.channel import Channel
from radio.timeline import Timeline

from field.field import Field
from field.link import RadioLink
from writ.mesh.frame import HEADER_BYTES

# A repetition begins within so many airtimes of a frame: twice the neighbours of a node, so that
# most of them find a free channel
DELAY_FRAMES = 24
_PART_BYTES = 2


@dataclass(frozen=True)
class Flood:
    """What a flood has reached and cost. Times in s since its begin, airtime in s of all nodes.

    reached: share of the nodes that had all of it at the end; seconds, airtime_s: until a share of
    nodes had it, None where it never had; airtime_all_s: of the whole flood, which does not stop
    when all have it.
    """

    reached: float
    seconds: dict[str, float | None]
    airtime_s: dict[str, float | None]
    airtime_all_s: float
    frames: int
    bytes: int


class _Flooder:
    # one node: what it has heard, and what it will repeat

    def __init__(self, run: "_Run", name: str) -> None:
        self._run = run
        self.parts: set[int] = set()
        self._queue: list[bytes] = []
        field = run.field
        self.link = RadioLink(
            run.channel.radios[name],
            1000,
            field.device.limits.MODEM_TRIES_MAX,
            field.random,
            run.record,
            lambda frame, snr: self.take(frame),
            self._next,
        )

    def take(self, frame: bytes) -> None:
        number = frame[0]
        if number in self.parts:
            return
        self.parts.add(number)
        self._run.heard(self)
        delay_us = self._run.field.random.randrange(DELAY_FRAMES * self.link.airtime_us(len(frame)))
        self._run.timeline.after(delay_us, self._repeat, frame)

    def _repeat(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._next()

    def _next(self) -> None:
        if self._queue and self.link.send(self._queue[0], 0):
            del self._queue[0]


class _Run:
    def __init__(self, field: Field, item: bytes, marks: tuple[float, ...]) -> None:
        self.field = field
        # the same places and losses on a channel of its own: the nodes of the mesh are not on it
        self.timeline = Timeline()
        plan = field.plan
        self.channel = Channel(self.timeline, field.channel.model, plan.seed)
        self.channel.loss = plan.loss
        for name, radio in field.channel.radios.items():
            self.channel.add(name, radio.position, radio.settings)
        self.nodes = [_Flooder(self, name) for name in field.names]
        self.airtime_us = self.frames = self.bytes = 0
        self._marks = marks
        self.seconds: dict[str, float | None] = {f"{100 * mark:g}": None for mark in marks}
        self.airtime_s = dict(self.seconds)
        self._done = 0
        room = self.nodes[0].link.mtu - HEADER_BYTES - _PART_BYTES
        pieces = [item] if len(item) <= room + _PART_BYTES else []
        if not pieces:
            pieces = [bytes(_PART_BYTES) + item[at : at + room] for at in range(0, len(item), room)]
        # what matters is which part it is, and its length
        self._parts = [
            bytes((number,)) + bytes(HEADER_BYTES - 1) + piece
            for number, piece in enumerate(pieces)
        ]

    def record(self, frame: bytes) -> None:
        self.airtime_us += self.nodes[0].link.airtime_us(len(frame))
        self.frames += 1
        self.bytes += len(frame)

    def heard(self, node: _Flooder) -> None:
        if len(node.parts) < len(self._parts):
            return
        self._done += 1
        share = self.reached
        for mark in self._marks:
            key = f"{100 * mark:g}"
            if share >= mark and self.seconds[key] is None:
                self.seconds[key] = self.timeline.now_us / 1e6
                self.airtime_s[key] = self.airtime_us / 1e6

    @property
    def reached(self) -> float:
        count = len(self.nodes) - self.field.plan.gateway_count
        return max(0, self._done - self.field.plan.gateway_count) / count

    def go(self) -> Flood:
        for gateway in self.nodes[: self.field.plan.gateway_count]:
            for part in self._parts:
                gateway.take(part)
        self.timeline.run()
        return Flood(
            round(self.reached, 4),
            self.seconds,
            self.airtime_s,
            self.airtime_us / 1e6,
            self.frames,
            self.bytes,
        )


def flood(field: Field, item: bytes, marks: tuple[float, ...]) -> Flood:
    """Flood the bytes of `item` from all gateways of a field. marks: shares of nodes to time."""
    return _Run(field, item, marks).go()
