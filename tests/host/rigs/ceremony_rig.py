"""Daemons' ceremonies in one process: a network that loses messages, operators, power cuts."""

import contextlib
import random as randoms
from operator import attrgetter
from types import SimpleNamespace

from ceremonies import Failing, PowerCut

from writ.authority import capsule
from writ.authority.policy import Policy
from writ_host.ceremony.local import Identity, MemoryStore
from writ_host.errors import CheatingGovernor, HostError, Malformed
from writ_host.governor.ceremonies.gossip import CeremonySend
from writ_host.governor.ceremonies.invitation import Invitation
from writ_host.governor.ceremonies.manager import Ceremonies
from writ_host.governor.ceremonies.views import (
    CeremonyEvent,
    ScopeFounded,
    SeatReady,
    SendInvitation,
)
from writ_host.keys.frost import SigningPackage, aggregate, commit
from writ_host.keys.frost import sign as frost_sign

NOW_S = 1_800_000_000
STEP_MS = 50
DELAY_MS_MAX = 120
RESTART_MS = 1500


def first_policy():
    rules = [[2, 4, "temp", 1], [8, 2, "sluice", 4, 2]]
    params = {1: ["keeper", "sensor", "sluice"], 3: [2, [1, 0, 6, 1]]}
    body = [1, bytes(6), rules, [], [], params]
    return Policy(capsule.parse_claims(capsule.build(capsule.POLICY, body, iat=NOW_S)))


class MemoryFiles:
    """A daemon's files in memory."""

    def __init__(self) -> None:
        self.data: dict[tuple[bytes, str], bytes] = {}

    def get(self, ceremony: bytes, name: str) -> bytes | None:
        return self.data.get((ceremony, name))

    def put(self, ceremony: bytes, name: str, data: bytes) -> None:
        self.data[ceremony, name] = data

    def list(self, ceremony: bytes) -> "list[str]":
        return sorted(name for kept, name in self.data if kept == ceremony)

    def drop(self, ceremony: bytes) -> None:
        self.data = {key: data for key, data in self.data.items() if key[0] != ceremony}


class FailingStores(Failing):
    """A seat store whose neighbours fail by the same fuse."""

    def beside(self, suffix):
        return Failing(self.inner.beside(suffix), self.fuse, self.after)


class FailingFiles(Failing):
    def put(self, *args):
        self._write(self.inner.put, *args)

    def drop(self, *args):
        self._write(self.inner.drop, *args)


class Box:
    """One governor's machine; its store and files outlive the process."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.identity = Identity.generate(name, world.random.randbytes)
        self.key = self.identity.public.node_key
        self.store, self.files = MemoryStore(), MemoryFiles()
        self.address = f"{name}.farm:5685"
        self.process = None
        self.fuse, self.after = [0], False
        self.events, self.seats, self.nexts = [], [], []
        self.back_ms = 0
        self.operator = agree

    @property
    def record(self):
        return SimpleNamespace(
            governor=self.identity.public, peers=self.address, listen=f"{self.name}.farm:5683"
        )

    def start(self):
        store = FailingStores(self.store, self.fuse, self.after)
        files = FailingFiles(self.files, self.fuse, self.after)
        random = self.world.random.randbytes
        self.process = Ceremonies(self.identity, store, files, self.world.clock_s, random)

    def kill(self, for_ms=RESTART_MS):
        self.process = None
        self.back_ms = self.world.now_ms + for_ms

    def call(self, method, *args):
        """One call into the process; a power cut in it kills it."""
        if self.process is None:
            return None
        try:
            found = attrgetter(method)(self.process)(*args)
        except PowerCut:
            self.kill()
            return None
        if isinstance(found, list):
            self.world.carry(self, found)
        return found


def agree(box, view):
    """An honest operator: yes, once all whom the founding awaits show the same fingerprint."""
    shown = {
        name: next((v.fingerprint for v in other.process.views() if v.id == view.id), "")
        for name, other in box.world.boxes.items()
        if other.process is not None
    }
    asked = [name for name, _ in view.governors] if view.state == "compare" else [box.name]
    return True if {shown.get(name) for name in asked} == {view.fingerprint} else None


def deny(box, view):
    return False


def silent(box, view):
    return None


class World:
    """Boxes by name, all started. What is random comes from `seed`."""

    def __init__(self, names, seed=1, loss=0.0):
        self.random = randoms.Random(seed)
        self.seed, self.loss = seed, loss
        self.now_ms = 0
        self.queue = []
        # (sender's name, receiver's name) -> what arrives in place of a message, None for nothing
        self.tamper = lambda sender, receiver, data: data
        self.boxes = {name: Box(self, name) for name in names}
        for box in self.boxes.values():
            box.start()

    def __getitem__(self, name):
        return self.boxes[name]

    def add(self, name):
        self.boxes[name] = Box(self, name)
        self.boxes[name].start()
        return self.boxes[name]

    def clock_s(self):
        return NOW_S + self.now_ms // 1000

    def carry(self, box, outs):
        for out in outs:
            if isinstance(out, CeremonySend):
                # what peering does: no address, no message
                if box.process is not None and out.to in box.process.peers():
                    self._post(box, "message", out.to, out.data)
            elif isinstance(out, SendInvitation):
                self._post(box, "invitation", out.address, out.data)
            elif isinstance(out, CeremonyEvent):
                box.events.append(out)
            elif isinstance(out, ScopeFounded):
                box.seats.append(out)
            elif isinstance(out, SeatReady):
                box.nexts.append(out)

    def _post(self, box, what, to, data):
        if self.random.random() >= self.loss:
            at_ms = self.now_ms + self.random.randrange(DELAY_MS_MAX)
            self.queue.append((at_ms, box, what, to, data))

    def _deliver(self, box, what, to, data):
        for other in self.boxes.values():
            if to not in (other.key, other.address):
                continue
            data = self.tamper(box.name, other.name, data)
            if data is None or other.process is None:
                return
            if what == "invitation":
                with contextlib.suppress(HostError):
                    other.call("invitation", data, f"{box.name}.farm:40000")
            elif box.key in other.process.peers():
                other.call("receive", box.key, data, self.now_ms)

    def _next_ms(self):
        """When something happens next, within a second."""
        times = [self.now_ms + 1000, *(message[0] for message in self.queue)]
        for box in self.boxes.values():
            if box.process is None:
                times.append(box.back_ms)
            elif (wait := box.process.next_ms(self.now_ms)) is not None:
                times.append(self.now_ms + wait)
        return min(times)

    def step(self):
        self.now_ms = max(self.now_ms + STEP_MS, self._next_ms())
        due = sorted((m for m in self.queue if m[0] <= self.now_ms), key=lambda m: m[0])
        self.queue = [m for m in self.queue if m[0] > self.now_ms]
        for _, *message in due:
            self._deliver(*message)
        for box in self.boxes.values():
            if box.process is None and self.now_ms >= box.back_ms:
                try:
                    box.start()
                except PowerCut:
                    box.kill()
            if box.process is None:
                continue
            wait = box.process.next_ms(self.now_ms)
            if wait is not None and wait <= 0:
                box.call("tick", self.now_ms)
            for view in box.process.pending() if box.process else []:
                if view.needs_decision and (said := box.operator(box, view)) is not None:
                    box.call("decide_on", view.id, said, "said so", self.now_ms)

    def run(self, until, s_max=240):
        """Step until `until()`; fails, with the seed, after so many simulated seconds."""
        end_ms = self.now_ms + 1000 * s_max
        while not until():
            assert self.now_ms < end_ms, f"seed {self.seed}: {self.describe()}"
            self.step()

    def idle(self, s):
        end_ms = self.now_ms + 1000 * s
        self.run(lambda: self.now_ms >= end_ms, s + 1)

    def propose(self, name, kind, records=(), remove=(), **more):
        """The view of a change that the operator of `name` proposes."""
        box = self.boxes[name]
        view, outs = box.process.propose_change(
            kind, [self.boxes[one].record for one in records], remove, now_ms=self.now_ms, **more
        )
        self.carry(box, outs)
        return view

    def describe(self):
        return {
            name: [(v.title, v.state, v.waiting_for, v.problem) for v in box.process.views()]
            if box.process
            else "dead"
            for name, box in self.boxes.items()
        }

    # --- what tests begin and look at -------------------------------------------------------------

    def invitation(self, threshold=None, names=None, **more):
        names = names or list(self.boxes)
        threshold = threshold or (2 * len(names)) // 3 + 1
        records = [self.boxes[name].record for name in names]
        fixed = {"policy": first_policy(), "issued_s": NOW_S, "random": self.random.randbytes}
        more = {**fixed, "roles": 2, **more}
        return Invitation.create("farm", threshold, records, **more)

    def invite(self, invitation, names=None):
        for name in names or self.boxes:
            self.boxes[name].call("invitation", invitation.to_bytes(), "desk.farm:41000")

    def founded(self, *names):
        return all(
            self.boxes[name].process is not None and self.boxes[name].seats
            for name in names or self.boxes
        )

    def states(self, id):
        return {
            name: next((v.state for v in box.process.views() if v.id == id), None)
            for name, box in self.boxes.items()
            if box.process is not None
        }

    def seats(self):
        return {name: box.process.seat for name, box in self.boxes.items()}


def sign(seats, message=b"message"):
    """The group's signature by these seats, or None where they do not make one."""
    nonces = [commit(seat.key) for seat in seats]
    public = seats[0].public
    commitments = [one.commitment for one in nonces]
    package = SigningPackage(public.group_key, public.threshold, message, commitments)
    shares = {
        seat.key.identifier: frost_sign(seat.key, one, package)
        for seat, one in zip(seats, nonces, strict=True)
    }
    try:
        return aggregate(public, package, shares)
    except (CheatingGovernor, Malformed):
        return None


def found(names=("anna", "ben", "carl", "dora"), seed=1, loss=0.0):
    """A world in which these have founded a scope."""
    world = World(names, seed, loss)
    world.invite(world.invitation())
    world.run(world.founded)
    return world
