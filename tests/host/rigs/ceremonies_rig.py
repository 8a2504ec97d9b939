"""The ceremonies of several daemons in one process: a lossy network, operators and power cuts."""

import contextlib
import random as randoms
from itertools import combinations
from operator import attrgetter
from types import SimpleNamespace

from ceremony_rig import Failing, PowerCut

from writ import crypto
from writ.authority import capsule
from writ.authority.policy import Policy
from writ_host.ceremony.storage import MemoryStore
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
from writ_host.keys.identity import Identity
from writ_host.keys.roster import committee_digest

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
    """A seat store whose neighbour stores fail by the same fuse."""

    def beside(self, suffix):
        return Failing(self.inner.beside(suffix), self.fuse, self.after)


class FailingFiles(Failing):
    def put(self, *args):
        self._write(self.inner.put, *args)

    def drop(self, *args):
        self._write(self.inner.drop, *args)


class Host:
    """One governor's host; its store and files outlive the process."""

    def __init__(self, network, name):
        self.network = network
        self.name = name
        self.identity = Identity.generate(name, network.random.randbytes)
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
        random = self.network.random.randbytes
        self.process = Ceremonies(self.identity, store, files, self.network.clock_s, random)

    def kill(self, for_ms=RESTART_MS):
        self.process = None
        self.back_ms = self.network.now_ms + for_ms

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
            self.network.carry(self, found)
        return found


def agree(host, view):
    """An honest operator: approves once all participants show the same fingerprint."""
    shown = {
        name: next((v.fingerprint for v in other.process.views() if v.id == view.id), "")
        for name, other in host.network.hosts.items()
        if other.process is not None
    }
    asked = [name for name, _ in view.governors] if view.state == "compare" else [host.name]
    return True if {shown.get(name) for name in asked} == {view.fingerprint} else None


def deny(host, view):
    return False


def silent(host, view):
    return None


class Network:
    """Hosts by name, all started. All random choices come from `seed`."""

    def __init__(self, names, seed=1, loss=0.0):
        self.random = randoms.Random(seed)
        self.seed, self.loss = seed, loss
        self.now_ms = 0
        self.queue = []
        # (sender's name, receiver's name) -> what arrives in place of a message, None for nothing
        self.tamper = lambda sender, receiver, data: data
        self.hosts = {name: Host(self, name) for name in names}
        for host in self.hosts.values():
            host.start()

    def __getitem__(self, name):
        return self.hosts[name]

    def add(self, name):
        self.hosts[name] = Host(self, name)
        self.hosts[name].start()
        return self.hosts[name]

    def clock_s(self):
        return NOW_S + self.now_ms // 1000

    def carry(self, host, outputs):
        for output in outputs:
            if isinstance(output, CeremonySend):
                # as in peering: no message without an address
                if host.process is not None and output.to in host.process.peers():
                    self._post(host, "message", output.to, output.data)
            elif isinstance(output, SendInvitation):
                self._post(host, "invitation", output.address, output.data)
            elif isinstance(output, CeremonyEvent):
                host.events.append(output)
            elif isinstance(output, ScopeFounded):
                host.seats.append(output)
            elif isinstance(output, SeatReady):
                host.nexts.append(output)

    def _post(self, host, what, to, data):
        if self.random.random() >= self.loss:
            at_ms = self.now_ms + self.random.randrange(DELAY_MS_MAX)
            self.queue.append((at_ms, host, what, to, data))

    def _deliver(self, host, what, to, data):
        for other in self.hosts.values():
            if to not in (other.key, other.address):
                continue
            data = self.tamper(host.name, other.name, data)
            if data is None or other.process is None:
                return
            if what == "invitation":
                with contextlib.suppress(HostError):
                    other.call("accept_invitation", data, f"{host.name}.farm:40000")
            elif host.key in other.process.peers():
                other.call("receive", host.key, data, self.now_ms)

    def _next_ms(self):
        """When something happens next, within a second."""
        times = [self.now_ms + 1000, *(message[0] for message in self.queue)]
        for host in self.hosts.values():
            if host.process is None:
                times.append(host.back_ms)
            elif (wait := host.process.next_ms(self.now_ms)) is not None:
                times.append(self.now_ms + wait)
        return min(times)

    def step(self):
        self.now_ms = max(self.now_ms + STEP_MS, self._next_ms())
        due = sorted((m for m in self.queue if m[0] <= self.now_ms), key=lambda m: m[0])
        self.queue = [m for m in self.queue if m[0] > self.now_ms]
        for _, *message in due:
            self._deliver(*message)
        for host in self.hosts.values():
            if host.process is None and self.now_ms >= host.back_ms:
                try:
                    host.start()
                except PowerCut:
                    host.kill()
            if host.process is None:
                continue
            wait = host.process.next_ms(self.now_ms)
            if wait is not None and wait <= 0:
                host.call("tick", self.now_ms)
            for view in host.process.pending() if host.process else []:
                if view.needs_decision and (decision := host.operator(host, view)) is not None:
                    host.call("approve_or_deny", view.id, decision, "decided so", self.now_ms)

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
        host = self.hosts[name]
        view, outputs = host.process.propose_change(
            kind, [self.hosts[one].record for one in records], remove, now_ms=self.now_ms, **more
        )
        self.carry(host, outputs)
        return view

    def describe(self):
        return {
            name: [(v.title, v.state, v.waiting_for, v.problem) for v in host.process.views()]
            if host.process
            else "offline"
            for name, host in self.hosts.items()
        }

    # --- for tests --------------------------------------------------------------------------------

    def invitation(self, threshold=None, names=None, **more):
        names = names or list(self.hosts)
        threshold = threshold or (2 * len(names)) // 3 + 1
        records = [self.hosts[name].record for name in names]
        fixed = {"policy": first_policy(), "issued_s": NOW_S, "random": self.random.randbytes}
        more = {**fixed, "roles": 2, **more}
        return Invitation.create("farm", threshold, records, **more)

    def invite(self, invitation, names=None):
        for name in names or self.hosts:
            self.hosts[name].call("accept_invitation", invitation.to_bytes(), "desk.farm:41000")

    def founded(self, *names):
        return all(
            self.hosts[name].process is not None and self.hosts[name].seats
            for name in names or self.hosts
        )

    def states(self, id):
        return {
            name: next((v.state for v in host.process.views() if v.id == id), None)
            for name, host in self.hosts.items()
            if host.process is not None
        }

    def seats(self):
        return {name: host.process.seat for name, host in self.hosts.items()}


def sign(seats, message=b"message"):
    """The group's signature by these seats, or None if they cannot make one."""
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
    """A network whose governors have founded a scope."""
    network = Network(names, seed, loss)
    network.invite(network.invitation())
    network.run(network.founded)
    return network


def complete(network, *names):
    """Whether these governors have their new shares."""
    return all(network[name].process is not None and network[name].nexts for name in names)


def check_reshared(network, before, names):
    """They have new seats of the same key: any threshold of them can sign, old shares cannot."""
    seats = [network[name].nexts[-1].seat for name in names]
    assert {committee_digest(seat) for seat in seats} == {network[names[0]].nexts[-1].digest}
    assert [seat.name for seat in seats] == list(names)
    old = [seat for seat in before.values() if seat is not None]
    key = old[0].public.group_key
    assert {seat.public.group_key for seat in seats} == {key}
    threshold = old[0].public.threshold
    for chosen in combinations(seats, threshold):
        assert crypto.ed25519_verify(key, b"message", sign(chosen))
    for number in range(1, threshold):
        mixed = {seat.key.identifier: seat for seat in old[:number]}
        for seat in seats:
            if len(mixed) < threshold:
                mixed.setdefault(seat.key.identifier, seat)
        assert len(mixed) == threshold and sign(list(mixed.values())) is None
    return seats
