"""One simulated governor: its process, its disk, its clock and its operator."""

import random
from functools import lru_cache

from simulator import values
from simulator.liars import Liar
from simulator.notary import Watched
from simulator.trace import describe
from writ_host.consensus.cosign import COSIGN_TYPE_MIN, RESEND_MS, Cosigner
from writ_host.consensus.effects import (
    Cosign,
    Cosigned,
    CosigningFailed,
    Decide,
    Objection,
    Propose,
    Received,
    Send,
    SetTimer,
    Tick,
    Write,
)
from writ_host.consensus.replica import Replica
from writ_host.scope.validation import beacon_objection

# The largest difference between a beacon's time and a governor's clock.
SKEW_MAX_S = 300
# An operator may deny a value up to so long after the governor has accepted it.
DENIAL_MS_MAX = 3000
# While operators deny values, another one is proposed after this time.
PROPOSE_AGAIN_MS = 5000


class Disk:
    """The record and the decisions, which survive a crash, and a record not yet synced."""

    def __init__(self):
        self.record = None
        self.unsynced = None
        self.decided = {}

    @property
    def height(self):
        return len(self.decided) + 1

    def decision(self, height):
        return self.decided.get(height)

    @property
    def head(self):
        decided = self.decided.get(self.height - 1)
        return values.head_of(decided.value) if decided else values.GENESIS


class Governor:
    """One governor's process and its disk. `replica` is None while it is down."""

    def __init__(self, world, number, signer):
        self.world = world
        self.number = number
        self.signer = Watched(signer, world.notary)
        self.disk = Disk()
        self.offset, self.rate = world.plan.clocks.get(number, (0, 1.0))
        self.rng = random.Random(f"{world.plan.seed}:{number}")
        self.behaviours = world.plan.liars.get(number)
        self.replica = None
        self.cosigner = None
        # counts starts and crashes, so that actions planned before are dropped
        self.life = 0
        self.ticks = set()
        # by digest: when the operator denies the value, None for never; a crash does not change it
        self.denials_ms = {}

    @property
    def honest(self):
        return self.behaviours is None

    def clock_ms(self):
        return int(100_000 + self.offset + self.rate * self.world.now_ms)

    def accept(self, value):
        reason = values.reason_against(value, self.disk.head)
        denied_ms = self.denial_ms(value.digest)
        if reason is None and denied_ms is not None and denied_ms <= self.world.now_ms:
            reason = "its operator denied it"
        if reason is None and self.honest:
            self.world.accepted_by[value.digest].add(self.number)
        return reason

    def denial_ms(self, digest):
        world = self.world
        if digest not in self.denials_ms:
            rng = random.Random(f"opinion:{world.plan.seed}:{self.number}:{digest.hex()}")
            denial_rate = world.plan.denial_rate if world.now_ms < world.plan.heal_ms else 0
            denies = rng.random() < denial_rate
            self.denials_ms[digest] = (
                world.now_ms + rng.randrange(DENIAL_MS_MAX) if denies else None
            )
        return self.denials_ms[digest]

    def accept_unordered(self, payloads):
        clock_s = self.clock_ms() // 1000
        place = self.disk.height - 1, self.disk.head
        reasons = [
            beacon_objection(one, clock_s, SKEW_MAX_S, *place)
            if values.is_beacon(one)
            else (None if one in self.world.requested else "it was not requested")
            for one in payloads
        ]
        return next((Objection(reason) for reason in reasons if reason), None)

    def start(self):
        world = self.world
        self.life += 1
        self.ticks = set()
        self.disk.unsynced = None
        token = self.rng.randbytes(16)
        cls = world.plan.replica or Replica
        args = world.committee, self.signer, self.disk, self.accept, self.disk.record, token
        self.replica = cls(*args) if self.honest else Liar(self, args)
        self.cosigner = Cosigner(world.committee, self.signer, self.accept_unordered)
        self.carry_out(self.replica.start(self.clock_ms()))
        self.plan_proposal()

    def crash(self, down_ms):
        if self.replica is None:
            return
        self.world.log(self.number, f"crashes for {down_ms} ms")
        self.replica = self.cosigner = None
        self.life += 1
        self.world.at(down_ms, self.start)

    def back_up(self):
        self.backup = self.disk.record, dict(self.disk.decided)

    def restore(self):
        self.crash(100)
        self.world.log(self.number, "gets an old backup of its disk")
        self.disk.record, self.disk.decided = self.backup

    def step(self, event):
        if self.replica is None:
            return
        now_ms = self.clock_ms()
        if isinstance(event, Cosign) or (
            isinstance(event, Received) and type_of(event.data) >= COSIGN_TYPE_MIN
        ):
            effects = self.cosigner.step(event, now_ms)
        else:
            effects = self.replica.step(event, now_ms)
            if self.honest:
                self.world.see_round(self)
        self.carry_out(effects)

    def cosign_tick(self, life):
        if life == self.life and self.cosigner.is_busy:
            self.carry_out(self.cosigner.step(Tick(), self.clock_ms()))
            self.world.at(RESEND_MS, self.cosign_tick, life)

    def cosign_beacon(self):
        if self.replica is not None and self.disk.height > 1:
            place = self.disk.height - 1, self.disk.head
            self.cosign((values.make_beacon(*place, self.clock_ms() // 1000),))

    def cosign_members(self):
        """Cosign a member and an action, which need no epoch and no clock, in one session."""
        if self.replica is not None:
            payloads = values.make_members(f"node {self.world.now_ms} of {self.number}")
            self.world.requested.update(payloads)
            self.cosign(payloads)

    def cosign(self, payloads):
        self.step(Cosign(payloads))
        self.world.at(RESEND_MS, self.cosign_tick, self.life)

    # --- effects, in order, and a crash between any two of them -----------------------------------

    def carry_out(self, effects):
        for effect in effects:
            if isinstance(effect, Write | Decide) and self.honest and self.world.crashes_at_write():
                if self.rng.random() < 0.5:
                    self.store(effect)
                self.crash(self.rng.randrange(20, 2000))
                return
            self.perform(effect)

    def store(self, effect):
        if isinstance(effect, Decide):
            self.world.check_decision(self, effect)
            self.disk.decided[effect.height] = effect
        elif self.world.plan.late_writes:
            self.disk.unsynced = effect.record
            self.world.at(self.rng.randrange(1, 3000), self.sync, self.life, effect.record)
        else:
            self.disk.record = effect.record

    def sync(self, life, record):
        if life == self.life and self.disk.unsynced is record:
            self.disk.record = record

    def perform(self, effect):
        world = self.world
        if world.trace is not None and not isinstance(effect, SetTimer):
            world.log(self.number, describe(effect))
        if isinstance(effect, Send):
            if self.number in world.notary.honest:
                world.check_durable(self, effect.data)
            targets = world.others(self.number) if effect.to is None else (effect.to,)
            for target in targets:
                world.transmit(self.number, target, effect.data)
        elif isinstance(effect, Write | Decide):
            self.store(effect)
            if isinstance(effect, Decide):
                self.plan_proposal()
        elif isinstance(effect, SetTimer) and effect.at_ms not in self.ticks:
            self.ticks.add(effect.at_ms)
            delay = (effect.at_ms - self.clock_ms()) / self.rate
            world.at(max(1, int(delay) + 1), self.tick, self.life, effect.at_ms)
        elif isinstance(effect, Cosigned):
            world.check_certified(self, effect)
        elif isinstance(effect, CosigningFailed):
            pass

    def tick(self, life, at_ms):
        if life != self.life:
            return
        if self.clock_ms() < at_ms:
            self.world.at(1, self.tick, life, at_ms)
        else:
            self.ticks.discard(at_ms)
            self.step(Tick())

    # --- the operator -----------------------------------------------------------------------------

    def plan_proposal(self):
        if self.disk.height <= self.world.plan.heights:
            pause = self.rng.randrange(1, self.world.plan.idle_ms)
            self.world.at(pause, self.propose, self.life, self.disk.height)

    def propose(self, life, height):
        if life == self.life and height == self.disk.height:
            self.step(Propose(self.world.new_value(self)))
            if self.world.plan.denial_rate:
                self.world.at(PROPOSE_AGAIN_MS, self.propose, life, height)


@lru_cache(8192)
def type_of(data):
    # every message is [type, ...] with few items: the second byte is the type
    return data[1] if len(data) > 1 else 0
