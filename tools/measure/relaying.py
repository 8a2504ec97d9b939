"""Messages a second through a relay, in processor time, beside Reticulum's transport node.

The relay is the production mesh: it receives and checks a message, acknowledges it, sends it on
with a counter and a MIC of its own, and takes the receipt of the next hop. A frame of Reticulum is
forwarded from one interface in this process to another one. With an access code of the interfaces
(IFAC) it checks each frame, as a MIC does; without one it checks nothing, and takes frames of
any sender. It has no receipts between neighbours.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fuzz import record

from writ.mesh.frame import ACK, DATA, UP

from .row import Row

# The best of short rounds, of both: a busy machine takes time from a long one
MESSAGES = 500
ROUNDS = 20
GOAL = 3
# A reading in OSCORE, compressed
MESSAGE = b"\x06\x00\x07\x2a\x09\x14" + bytes(18)
NAME = "per_s.relay"

_RETICULUM = """
import json, os, sys, time
import RNS
from RNS.Interfaces.Interface import Interface

RNS.Reticulum(configdir=sys.argv[1], loglevel=0)
transport = RNS.Transport
transport.USE_INBOUND_QUEUE = False
count, rounds, size = (int(word) for word in sys.argv[2:5])

class Memory(Interface):
    def __init__(self, name):
        super().__init__()
        self.name = name
        self.HW_MTU = 500
        self.IN = self.OUT = self.online = True
        self.bitrate = 10**9
        self.mode = Interface.MODE_FULL
        self.announce_rate_target = self.announce_rate_grace = self.announce_rate_penalty = None
        self.announce_cap = 2
        self.ifac_size = self.ifac_identity = self.ifac_key = None
        self.sent = 0

    def process_outgoing(self, data):
        self.sent += 1

inward, outward = Memory("in"), Memory("out")
transport.interfaces[:] = [inward, outward]
kind = RNS.Destination.IN, RNS.Destination.SINGLE
destination = RNS.Destination(RNS.Identity(), *kind, "writ", "bench")
announce = destination.announce(send=False)
announce.pack()
transport.deregister_destination(destination)
transport.inbound(announce.raw, outward)

def measure(has_code):
    for one in (inward, outward):
        one.ifac_identity = None
        if has_code:
            one.ifac_size = 8
            origin = RNS.Identity.full_hash(b"writ")
            one.ifac_key = RNS.Cryptography.hkdf(
                length=64, derive_from=origin, salt=RNS.Reticulum.IFAC_SALT, context=None)
            one.ifac_identity = RNS.Identity.from_bytes(one.ifac_key)
    best = 0
    for _ in range(rounds):
        head = bytes([0x50, 0]) + transport.identity.hash + destination.hash + bytes(1)
        frames = [head + os.urandom(size) for _ in range(count)]
        if has_code:
            frames = [transport.handle_outgoing_ifac(inward, frame) for frame in frames]
        before = outward.sent
        since = time.process_time()
        for frame in frames:
            transport.inbound(frame, inward)
        spent = time.process_time() - since
        # it drops a frame in thousands with an access code
        sent = outward.sent - before
        assert sent > 0.99 * count, sent
        best = max(best, sent / spent)
    return best

print(json.dumps([measure(True), measure(False)]), flush=True)
os._exit(0)
"""


def reticulum() -> tuple[float, float] | None:
    """Frames a second through Reticulum's transport node: with an access code, and without."""
    with tempfile.TemporaryDirectory() as folder:
        text = "[reticulum]\n enable_transport = Yes\n share_instance = No\n[interfaces]\n"
        Path(folder, "config").write_text(text)
        # its encryption adds at least 48 bytes to a reading
        numbers = [str(number) for number in (MESSAGES, ROUNDS, 64)]
        command = [sys.executable, "-c", _RETICULUM, folder, *numbers]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        return None
    checked, unchecked = json.loads(done.stdout.splitlines()[-1])
    return checked, unchecked


def _clock_s() -> float:
    # what it costs to read the clock: it is read twice a message here, once a round at the peer
    times = [time.process_time() for _ in range(1001)]
    return min(after - before for before, after in itertools.pairwise(times))


def _round(air: Any, now_ms: int, count: int) -> float:
    # messages a second of processor time
    mesh = air.links["hill"].mesh
    sensor, gateway = (air.links[name].mesh.outbox for name in ("soil", "gate"))
    frames = [sensor.encode((1, UP, 4, 17), DATA, 2, MESSAGE)[1] for _ in range(count)]
    spent_s, forwarded = 0.0, 0
    clock_s = _clock_s()
    for frame in frames:
        now_ms += 1000
        since = time.process_time()
        mesh.receive(0, frame, 5, now_ms)
        mesh.tick(now_ms)
        receipts = []
        while data := mesh.outgoing(0, now_ms):
            mesh.sent(0, now_ms)
            if data[3] >> 4 & 3 == DATA:
                receipts.append(data[10:12])
        spent_s += time.process_time() - since - clock_s
        for low in receipts:
            forwarded += 1
            receipt = gateway.encode((1, 0, 0, None), ACK, 2, low)[1]
            since = time.process_time()
            mesh.receive(0, receipt, 5, now_ms)
            spent_s += time.process_time() - since - clock_s
    # one may still wait for its receipt
    assert forwarded > 0.99 * count, (forwarded, count)
    return forwarded / spent_s


def relay() -> float:
    """Messages a second through a relay, the best of the rounds."""
    air, _ = record()
    now_ms = air.now_ms
    best = 0.0
    for _ in range(ROUNDS):
        best = max(best, _round(air, now_ms, MESSAGES))
        now_ms += 1000 * MESSAGES
    return best


def measure() -> list[Row]:
    """The relay beside Reticulum's with an access code, and without."""
    value = round(relay())
    rows = [Row(NAME, value, "/s"), Row(f"{NAME}_unchecked", value, "/s")]
    found = reticulum()
    if found:
        names = "Reticulum transport, with IFAC", "Reticulum transport, no check"
        for row, peer, peer_value in zip(rows, names, found, strict=True):
            row.peer, row.peer_value = peer, round(peer_value)
        rows[0].goal = GOAL * rows[0].peer_value if rows[0].peer_value else None
    return rows
