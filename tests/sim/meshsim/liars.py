"""What a Byzantine member does beside, or in the place of, what an honest one does.

It is a whole node with its key, its capsule and the link key. A behaviour changes the node when it
starts, or acts at random times: `act(liar)`. `Liar` has what they share.
"""

import contextlib
import random

# Behaviours after which a message that goes by the liar need not arrive, nor a way be found
SWALLOWING = {"drop", "alter", "delay", "rank", "mask", "flood", "parts", "epochs"}
# Behaviours after which nothing need arrive at all: frames in the name of others raise their
# counters, so that their own frames are refused (docs/limits.md)
SILENCING = {"mask"}
_ACT_S = (0.5, 20)
_RECORDED_MAX = 200


class Liar:
    """A member that lies. world: the `World`; who: its number; names: its behaviours."""

    def __init__(self, world, who, names):
        self.world = world
        self.who = who
        self.names = names
        self.rng = random.Random(f"liar {world.plan.seed} {who}")
        self.recorded = []
        self.member = None

    def start(self, member):
        """Take over a node that has just started."""
        self.member = member
        for name in self.names:
            if name in _CHANGES:
                _CHANGES[name](self, member.frames.mesh)
        if any(name in _ACTS for name in self.names):
            self._later()

    def _later(self):
        member = self.member
        self.world.after(self.rng.uniform(*_ACT_S), self._act, member)

    def _act(self, member):
        if member is not self.member or not member.is_on:
            return
        name = self.rng.choice([name for name in self.names if name in _ACTS])
        if member.frames.keys.key is not None:
            member.guard(_ACTS[name], self)
        self._later()

    def hear(self, frame):
        """Record a frame that the liar hears or sends."""
        if len(self.recorded) >= _RECORDED_MAX:
            self.recorded.pop(self.rng.randrange(_RECORDED_MAX))
        self.recorded.append(frame)

    def send(self, kind, payload, receiver=None, **changes):
        """Send a frame with a valid MIC."""
        mesh = self.member.frames.mesh
        frames = self.world.code.module("mesh.frame")
        rng = self.rng
        values = {
            "route_class": rng.choice((0, 0, 1, 1, 2, 15)),
            "kind": kind,
            "transmitter": self.who + 1,
            "receiver": receiver or rng.randrange(1, self.world.plan.count + 1),
            "counter": self.member.frames.keys.next_counter(),
            "payload": payload,
            "epoch": self.member.epoch,
            **changes,
        }
        frame = frames.Frame(**values)
        key = None if values["route_class"] == frames.JOIN_CLASS else self.member.frames.keys.key
        data = frame.encode(mesh.authority.scope[0], key)
        if len(data) <= self.world.plan.mtu:
            self.world.transmit(self.who, data)


def _drop(liar, mesh):
    mesh._forward = lambda *arguments: None


def _alter(liar, mesh):
    forward = mesh._forward

    def altered(route, frame, neighbour, message, now_ms):
        message = bytearray(message)
        message[liar.rng.randrange(len(message))] ^= 1 << liar.rng.randrange(8)
        forward(route, frame, neighbour, bytes(message), now_ms)

    mesh._forward = altered


def _delay(liar, mesh):
    forward = mesh._forward

    def late(route, frame, neighbour, message, now_ms):
        member = liar.member

        def go():
            with contextlib.suppress(liar.world.code.module("errors").Rejection):
                forward(route, frame, neighbour, message, member.now_ms)
            member.wake()

        # the same message may go more than once
        for _ in range(liar.rng.choice((1, 1, 2))):
            liar.world.after(liar.rng.uniform(0.1, 120), member.guard, go)

    mesh._forward = late


def _make_up_keys(liar, mesh):
    rng, keys = liar.rng, mesh.keys
    codec, stamp_of = (
        liar.world.code.module("cbor"),
        liar.world.code.module("mesh.linkkey").stamp_of,
    )

    def payload(authority, now_ms, welcome=b""):
        key, signature = rng.randbytes(16), rng.randbytes(64)
        proof = rng.choice(([], keys.proof, [1, signature], [liar.who + 1, signature]))
        stamp = stamp_of(authority.policy)
        return codec.encode([authority.epoch, key, stamp, 600, welcome, *proof])

    keys.payload = payload


def _lie_about_rank(liar):
    rng = liar.rng
    content = bytes((rng.choice((0, 0, 1, 14, 255)),)) + rng.randbytes(2)
    content += rng.choice((1, liar.who + 1, 60000)).to_bytes(2, "big") + b"\0"
    _control(liar, 3, content, 65535, route_class=0)


def _control(liar, kind, content, receiver, **changes):
    counter = liar.member.frames.keys.next_counter()
    payload = bytes((kind,)) + (counter >> 16).to_bytes(2, "big") + content
    liar.send(3, payload, receiver, counter=counter, **changes)


def _repeat(liar):
    if liar.recorded:
        for _ in range(liar.rng.choice((1, 3, 10))):
            liar.world.transmit(liar.who, liar.rng.choice(liar.recorded))


def _flood(liar):
    rng = liar.rng
    for _ in range(rng.choice((1, 5, 30))):
        shape = rng.randrange(3)
        far = None if shape == 0 else rng.randrange(1, liar.world.plan.count + 1)
        route_class = rng.choice((0, 1)) if shape else rng.choice((0, 1, 2, 15))
        liar.send(
            rng.randrange(4),
            rng.randbytes(rng.randrange(1, 40)),
            rng.choice((0, 65535)),
            shape=shape,
            far=far,
            hops=0 if route_class == 15 else rng.randrange(16),
            route_class=route_class,
        )


def _send_wrong_parts(liar):
    rng = liar.rng
    count = rng.randrange(1, 33)
    head = rng.randrange(64) << 10 | rng.randrange(count) << 5 | count - 1
    fragment = head.to_bytes(2, "big") + rng.randbytes(rng.randrange(1, 30))
    receipt = bytes((rng.randrange(64),)) + rng.randbytes(rng.randrange(5)).rstrip(b"\0")
    kind = rng.choice((1, 2))
    liar.send(kind, fragment if kind == 1 else receipt, route_class=rng.choice((0, 1, 15)))
    # control frames of each kind, known or not, with any content
    _control(liar, rng.randrange(12), rng.randbytes(rng.randrange(60)), 65535, route_class=0)


def _mask(liar):
    # in the name of another member, whose counter it raises
    rng = liar.rng
    other = rng.randrange(1, liar.world.plan.count + 1)
    content = bytes((rng.choice((0, 255)),)) + rng.randbytes(5)
    counter = rng.randrange(1, 100000)
    payload = bytes((3,)) + (counter >> 16).to_bytes(2, "big") + content
    liar.send(3, payload, 65535, transmitter=other, counter=counter, route_class=0)
    liar.send(0, rng.randbytes(20), transmitter=other, counter=counter + 1, route_class=1)


def _claim_epochs(liar):
    rng = liar.rng
    _control(
        liar,
        3,
        b"\x01\0\0\0\x01\0",
        65535,
        route_class=0,
        epoch=(liar.member.epoch + rng.choice((1, 5, 100, 200))) & 255,
    )


def _guess(liar):
    # as a stranger without the link key: altered frames of others, and noise
    rng = liar.rng
    for _ in range(5):
        if liar.recorded and rng.random() < 0.8:
            data = bytearray(rng.choice(liar.recorded))
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            data = rng.randbytes(rng.randrange(1, liar.world.plan.mtu))
        liar.world.transmit(liar.who, bytes(data), is_guess=True)


_CHANGES = {"drop": _drop, "alter": _alter, "delay": _delay, "keys": _make_up_keys}
_ACTS = {
    "rank": _lie_about_rank,
    "repeat": _repeat,
    "flood": _flood,
    "parts": _send_wrong_parts,
    "mask": _mask,
    "epochs": _claim_epochs,
    "guess": _guess,
}
BEHAVIOURS = {**_CHANGES, **_ACTS}
