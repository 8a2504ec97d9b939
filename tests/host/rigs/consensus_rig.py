"""Four consensus replicas in one process, with real keys and a message queue as the network."""

import os
import random

from writ import cbor
from writ.authority.capsule import AMENDMENT, IAT, POLICY, WRIT
from writ_host.consensus import messages
from writ_host.consensus.committee import Committee
from writ_host.consensus.effects import Decide, Received, Send, Tick, Write
from writ_host.consensus.replica import Replica
from writ_host.consensus.signer import FrostSigner
from writ_host.consensus.value import Value
from writ_host.keys.dkg import polynomial
from writ_host.keys.frost import KeyPackage, PublicKeyPackage
from writ_host.keys.group import base, point_to_bytes, random_scalar
from writ_host.keys.identity import Identity
from writ_host.keys.roster import Roster, Seat


def payload(kind, *body, iat=1):
    return cbor.encode({IAT: iat, WRIT: [kind, *body]})


def value(height, name="blue"):
    return Value((payload(AMENDMENT, height, name), payload(POLICY, height, name)))


class Chain(dict):
    @property
    def height(self):
        return len(self) + 1

    def decision(self, height):
        return self.get(height)


def make_signers():
    """Signers of a committee of four with threshold 3, with Ed25519 and FROST keys."""
    random_bytes = random.Random(1).randbytes
    people = [Identity.generate(f"g{i}", random_bytes) for i in range(4)]
    roster = Roster.create("farm", 3, [one.public for one in people], random_bytes)
    secret = [random_scalar(random_bytes) for _ in range(3)]
    shares = {i: polynomial(secret, i) for i in range(1, 5)}
    group_key = point_to_bytes(base(secret[0]))
    points = {i: point_to_bytes(base(share)) for i, share in shares.items()}
    public = PublicKeyPackage(group_key, points, 3)
    return [
        FrostSigner(one, Seat(roster, KeyPackage(i, shares[i], group_key, 3), public))
        for i, one in enumerate(people, 1)
    ]


class Network:
    """Four replicas. Messages wait in `mail` until `deliver`.

    deaf: replicas that receive and send nothing; lost: classes of messages that are lost.
    """

    def __init__(self, signers):
        self.signers = signers
        scope = signers[0]._seat.public.group_key
        self.committee = Committee(scope, 4, 3)
        self.chains = {i: Chain() for i in range(1, 5)}
        self.records = dict.fromkeys(range(1, 5))
        self.mail, self.effects, self.now_ms = [], [], 0
        self.deaf = set()
        self.lost = ()
        self.replicas = {}
        for number in self.chains:
            self.start(number)
        self.deliver()

    def start(self, number):
        args = self.committee, self.signers[number - 1], self.chains[number], lambda _: None
        self.replicas[number] = Replica(*args, self.records[number], os.urandom(16))
        self.carry_out(number, self.replicas[number].start(self.now_ms))

    def carry_out(self, number, effects):
        for effect in effects:
            self.effects.append((number, effect))
            if isinstance(effect, Write):
                self.records[number] = effect.record
            elif isinstance(effect, Decide):
                self.chains[number][effect.height] = effect
            elif isinstance(effect, Send):
                targets = self.chains if effect.to is None else [effect.to]
                self.mail += [(number, to, effect.data) for to in targets if to != number]

    def step(self, number, event):
        self.carry_out(number, self.replicas[number].step(event, self.now_ms))

    def deliver(self):
        while self.mail:
            sender, to, data = self.mail.pop(0)
            if {to, sender} & self.deaf or isinstance(messages.decode(data), self.lost):
                continue
            self.step(to, Received(sender, data))

    def wait(self, ms):
        for _ in range(ms // 100):
            self.now_ms += 100
            for number in self.replicas:
                self.step(number, Tick())
            self.deliver()

    def effects_of(self, kind):
        return [(number, effect) for number, effect in self.effects if isinstance(effect, kind)]

    def sent(self, number, cls):
        found = [messages.decode(e.data) for n, e in self.effects_of(Send) if n == number]
        return [message for message in found if isinstance(message, cls)]
