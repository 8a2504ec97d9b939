"""Ten thousand frames through the receive path of a relay: rejections only, and a heap that stays.

Some are true ones of a member, others repeated, mutated or random, with a valid MIC or without.
"""

import gc

import signer
from mesh_rig import KEY, RELAY, SENSOR, Air

from writ.mesh.frame import ACK, DATA, UP, Frame, mic

SECRET = b"\x06\x00\x07\x2a\x09\x14" + b"s" * 20
TAG = signer.scope()[0]
FRAMES = 10000
# What the tables of a relay may take that are not full yet after the first thousand frames
KEPT_BYTES = 2048


class Chance:
    """Numbers by a seed, the same on both interpreters."""

    def __init__(self, seed):
        self._state = seed

    def below(self, limit):
        """A number from 0 to `limit` - 1."""
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 8) % limit


def signed(raw, counter):
    """A frame with the MIC of a member."""
    return raw + mic(KEY, counter >> 16, raw)


def mutated(chance, data, counter):
    """The frame with a byte changed, cut or added, and perhaps the MIC of a member."""
    data = bytearray(data)
    how = chance.below(4)
    if how == 0:
        data = data[: chance.below(len(data))]
    elif how == 1:
        data += bytes([chance.below(256) for _ in range(chance.below(20) + 1)])
    else:
        data[chance.below(len(data))] = chance.below(256)
    if chance.below(2) and len(data) > 14:
        return signed(bytes(data[:-4]), counter)
    return bytes(data)


class Traffic:
    """A relay between a gateway and a sensor, and the frames that it gets."""

    def __init__(self):
        self.air = Air()
        gateway = self.air.node(1, RELAY, is_gateway=True)
        self.relay = self.air.node(2, RELAY)
        self.sensor = self.air.node(3, SENSOR)
        nodes = (gateway, self.relay, self.sensor)
        self.air.line(*nodes)
        for node in nodes:
            node.knows(*[other for other in nodes if other is not node])
        assert self.air.run(lambda: self.sensor.mesh.routing.rank == 2, 120)
        self.air.frames.clear()
        for node in nodes:
            node.links[0].byte_us = 0
        self.chance = Chance(7)
        self.last = b""

    def counter(self, address):
        """A counter that the relay has not seen: a mutated one may be far ahead."""
        return self.relay.mesh.neighbours.find(0, address).counter + 1

    def frame(self):
        """One frame: true, repeated or wrong."""
        how = self.chance.below(4)
        if how == 0 or not self.last:
            frame = Frame(1, DATA, 3, 2, self.counter(3), SECRET, 1, UP, 4, 3)
            self.last = frame.encode(TAG, KEY)
            return self.last
        if how == 1:
            return self.last
        return mutated(self.chance, self.last, self.counter(3))

    def step(self):
        """Let the relay receive one frame; the gateway acknowledges what is forwarded."""
        now_ms = self.air.now_ms = self.air.now_ms + 20
        mesh = self.relay.mesh
        mesh.receive(0, self.frame(), 5, now_ms)
        mesh.release(now_ms)
        mesh.tick(now_ms)
        count = 0
        data = mesh.outgoing(0, now_ms)
        while data:
            mesh.sent(0, now_ms)
            if data[3] >> 4 & 3 == DATA and data[7] == 1:
                count += 1
                receipt = Frame(1, ACK, 1, 2, self.counter(1), data[10:12], 1)
                mesh.receive(0, receipt.encode(TAG, KEY), 5, now_ms)
            data = mesh.outgoing(0, now_ms)
        return count


def in_use():
    """Bytes of the heap in use, without garbage; 0 on CPython."""
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


def test_the_receive_path_keeps_nothing_of_ten_thousand_frames():
    traffic = Traffic()
    forwarded = 0
    warm = 0
    for number in range(FRAMES):
        if number == FRAMES // 10:
            warm = in_use()
        forwarded += traffic.step()
    assert in_use() - warm < KEPT_BYTES, (warm, in_use())
    # a quarter are true
    assert forwarded > FRAMES // 5, forwarded
    for name in ("BadFrame", "BadMic", "Replayed"):
        assert traffic.relay.rejected[name] > 100, traffic.relay.rejected
