"""The event loop: governors, the network between them, their disks and clocks, and the checks."""

import heapq
import random
from collections import defaultdict
from functools import lru_cache
from itertools import count

from simulator import keys, values
from simulator.liars import Liar
from simulator.notary import Notary, Violation, Watched
from simulator.trace import describe
from writ_host import codec
from writ_host.consensus import messages
from writ_host.consensus.committee import Committee
from writ_host.consensus.cosign import COSIGN_TYPE_MIN, RESEND_MS, Cosigner
from writ_host.consensus.effects import (
    Cosign,
    Cosigned,
    CosigningFailed,
    Decide,
    Propose,
    Received,
    Send,
    SetTimer,
    Tick,
    Write,
)
from writ_host.consensus.hardstate import HardState
from writ_host.consensus.replica import Replica
from writ_host.scope.validation import beacon_objection

# Once the network is whole, every height must be decided within so much of the world's time.
HEALED_MS_MAX = 240_000
# ... and within so many rounds of one height: every governor's turn comes twice, and then some.
ROUNDS_MAX = 24
SKEW_MAX_S = 300
# An operator may take so long to deny a value that the governor has accepted until then.
OPINION_MS_MAX = 3000
# While values are denied somebody proposes another one; seldom, since each is a new value.
WISH_AGAIN_MS = 5000

# Reading is a pure function of the bytes: once for each distinct message is enough, and faster.
messages.decode = lru_cache(8192)(messages.decode)
read_hard_state = lru_cache(512)(HardState.from_bytes)


class AnyThreshold(Committee):
    """A committee that a mutation made unsafe."""

    def __post_init__(self):
        pass


class Disk:
    """What survives a crash: the record, the decisions; and what was written but not synced."""

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
        # counts starts and crashes: what was planned in an earlier life does not happen
        self.life = 0
        self.ticks = set()
        # by digest: when the operator denies it, None for never; who was crashed knows it still
        self.opinions = {}

    @property
    def honest(self):
        return self.behaviours is None

    def clock_ms(self):
        return int(100_000 + self.offset + self.rate * self.world.now_ms)

    def accept(self, value):
        reason = values.reason_against(value, self.disk.head)
        denied_ms = self.opinion(value.digest)
        if reason is None and denied_ms is not None and denied_ms <= self.world.now_ms:
            reason = "its operator denied it"
        if reason is None and self.honest:
            self.world.liked[value.digest].add(self.number)
        return reason

    def opinion(self, digest):
        world = self.world
        if digest not in self.opinions:
            rng = random.Random(f"opinion:{world.plan.seed}:{self.number}:{digest.hex()}")
            picky = world.plan.picky if world.now_ms < world.plan.heal_ms else 0
            denies = rng.random() < picky
            self.opinions[digest] = world.now_ms + rng.randrange(OPINION_MS_MAX) if denies else None
        return self.opinions[digest]

    def accept_unordered(self, payloads):
        clock_s = self.clock_ms() // 1000
        place = self.disk.height - 1, self.disk.head
        reasons = [
            beacon_objection(one, clock_s, SKEW_MAX_S, *place)
            if values.is_beacon(one)
            else (None if one in self.world.wished else "nobody proposed it")
            for one in payloads
        ]
        return next((reason for reason in reasons if reason), None)

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
        self.plan_wish()

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
            isinstance(event, Received) and _type_of(event.data) >= COSIGN_TYPE_MIN
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

    def certify(self):
        if self.replica is not None and self.disk.height > 1:
            place = self.disk.height - 1, self.disk.head
            self.ask_for((values.make_beacon(*place, self.clock_ms() // 1000),))

    def admit(self):
        """What needs no epoch, and no clock: two payloads in one session."""
        if self.replica is not None:
            wanted = values.make_members(f"node {self.world.now_ms} of {self.number}")
            self.world.wished.update(wanted)
            self.ask_for(wanted)

    def ask_for(self, payloads):
        self.step(Cosign(payloads))
        self.world.at(RESEND_MS, self.cosign_tick, self.life)

    # --- effects, in order, and a crash between any two of them -----------------------------------

    def carry_out(self, effects):
        for effect in effects:
            if isinstance(effect, Write | Decide) and self.honest and self.world.unlucky():
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
                world.check_promise(self, effect.data)
            targets = world.others(self.number) if effect.to is None else (effect.to,)
            for target in targets:
                world.transmit(self.number, target, effect.data)
        elif isinstance(effect, Write | Decide):
            self.store(effect)
            if isinstance(effect, Decide):
                self.plan_wish()
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

    # --- what its operator wants ------------------------------------------------------------------

    def plan_wish(self):
        if self.disk.height <= self.world.plan.heights:
            pause = self.rng.randrange(1, self.world.plan.idle_ms)
            self.world.at(pause, self.wish, self.life, self.disk.height)

    def wish(self, life, height):
        if life == self.life and height == self.disk.height:
            self.step(Propose(self.world.new_value(self)))
            if self.world.plan.picky:
                self.world.at(WISH_AGAIN_MS, self.wish, life, height)


@lru_cache(8192)
def _type_of(data):
    # every message is [type, ...] with few items: the second byte is the type
    return data[1] if len(data) > 1 else 0


class World:
    """One run of one plan. `trace`: a list that gets a line for everything that happens."""

    def __init__(self, plan, trace=None):
        self.plan = plan
        self.trace = trace
        self.now_ms = 0
        self.steps = 0
        self.rng = random.Random(f"world:{plan.seed}")
        self._events = []
        self._order = count()
        honest = frozenset(range(1, plan.count + 1)) - set(plan.liars) - set(plan.restores)
        self.notary = Notary(plan.threshold, honest, plan.watch_votes)
        make = keys.real if plan.real_keys else keys.symbolic
        scope, signers = make(plan.count, plan.threshold, self.rng)
        self.committee = AnyThreshold(scope, plan.count, plan.threshold)
        self.proposed = set()
        self.liked = defaultdict(set)
        # unordered payloads that were proposed, beacons apart
        self.wished = set()
        self.decided = {}
        self.certified = 0
        self.rounds = 0
        self._rounds = {}
        self.governors = {s.identifier: Governor(self, s.identifier, s) for s in signers}

    @property
    def honest(self):
        return [one for one in self.governors.values() if one.honest]

    def others(self, number):
        return [other for other in self.governors if other != number]

    def at(self, delay_ms, action, *args):
        heapq.heappush(self._events, (self.now_ms + delay_ms, next(self._order), action, args))

    def see_round(self, governor):
        """Rounds since the network healed are few, whatever liars do."""
        replica = governor.replica
        if replica is None or self.now_ms < self.plan.heal_ms:
            return
        place = governor.number, replica.state.height
        first = self._rounds.setdefault(place, replica.state.round)
        self.rounds = max(self.rounds, replica.state.round - first)
        if self.rounds > ROUNDS_MAX:
            raise Violation(f"more than {ROUNDS_MAX} rounds: {self.where()}")

    def log(self, number, text):
        if self.trace is not None:
            self.trace.append(f"{self.now_ms:>7} ms  governor {number}  {text}")

    def unlucky(self):
        return self.now_ms < self.plan.heal_ms and self.rng.random() < self.plan.crash_at_write

    def new_value(self, governor):
        name = f"state {len(self.proposed)} of {governor.number}"
        amended = governor.rng.random() < 0.5
        value = values.make_value(governor.disk.height, governor.disk.head, name, amended)
        self.proposed.add(value.digest)
        return value

    # --- the network ------------------------------------------------------------------------------

    def transmit(self, sender, target, data):
        rng = self.rng
        faulty = self.now_ms < self.plan.heal_ms
        copies = 1
        if faulty:
            if rng.random() < self.plan.loss or self.is_cut(sender, target):
                return
            aimed = self.plan.targeted.get(_type_of(data))
            if aimed is not None and target in self.plan.deaf and rng.random() < aimed:
                return
            copies += rng.random() < self.plan.duplicate
        for _ in range(copies):
            delay = rng.randint(*self.plan.delay_ms) if faulty else rng.randint(1, 40)
            self.at(delay, self.governors[target].step, Received(sender, data))

    def is_cut(self, one, other):
        return any(
            start <= self.now_ms < end and sides[one] != sides[other]
            for start, end, sides in self.plan.partitions
        )

    # --- checks -----------------------------------------------------------------------------------

    def check_promise(self, governor, data):
        """What an honest governor says of its own, it has on disk."""
        if data[1] not in (messages.Prevote.TYPE, messages.Share.TYPE):
            return
        said = messages.decode(data)
        if said.sender != governor.number:
            # passed on: whose vote it is has said it
            return
        if isinstance(said, messages.Prevote):
            self.notary.saw_vote(said)
        else:
            self.notary.saw_precommit(said)
        if not self.plan.watch_disk:
            return
        record = read_hard_state(governor.disk.record) if governor.disk.record else HardState()
        if isinstance(said, messages.Prevote):
            kept = record.prevotes.get(said.round, "nothing") == said.digest
        else:
            kept = (record.locked_round, record.locked) == (said.round, said.digest)
        if not kept or record.height != said.height:
            raise Violation(f"governor {governor.number} said what is not on its disk: {said}")

    def check_decision(self, governor, decide):
        digest = decide.value.digest
        if digest not in self.proposed and governor.honest:
            raise Violation(f"governor {governor.number} decided what nobody proposed")
        faulty = len(self.plan.liars) + len(self.plan.restores)
        if governor.honest and len(self.liked[digest]) < self.plan.threshold - faulty:
            raise Violation(f"height {decide.height}: decided what too few found good")
        known = self.decided.setdefault(decide.height, digest)
        if known != digest and governor.honest:
            raise Violation(f"height {decide.height} was decided twice")
        if governor.honest and governor.disk.height != decide.height:
            raise Violation(f"governor {governor.number} decided {decide.height} out of turn")
        for payload in decide.value.payloads:
            self.notary.saw_group_signature(payload)
        signed = zip(decide.value.payloads, decide.signatures, strict=True)
        if not all(governor.signer.is_valid(payload, one) for payload, one in signed):
            raise Violation(f"governor {governor.number} decided without the group's signature")

    def check_certified(self, governor, certified):
        for payload in certified.payloads:
            if not values.is_beacon(payload):
                if payload not in self.wished:
                    raise Violation("a member or an action was certified that nobody proposed")
                continue
            time_s = codec.load(payload)[6]
            near = sum(
                abs(time_s - one.clock_ms() // 1000) <= SKEW_MAX_S + 60 for one in self.honest
            )
            if near < self.plan.threshold - len(self.plan.liars):
                raise Violation("a beacon was certified whose time honest clocks refuse")
        self.certified += governor.honest

    # --- the run ----------------------------------------------------------------------------------

    def run(self):
        """Until every honest governor has decided every height. Raises `Violation`."""
        try:
            self._run()
        except Violation as error:
            raise Violation(f"seed {self.plan.seed}, {self.now_ms} ms: {error}") from None
        return self

    def _run(self):
        for governor in self.governors.values():
            self.at(self.rng.randrange(100), governor.start)
        for at_ms, number, down_ms in self.plan.crashes:
            self.at(at_ms, self.governors[number].crash, down_ms)
        for number, (saved_ms, restored_ms) in self.plan.restores.items():
            self.at(saved_ms, self.governors[number].back_up)
            self.at(restored_ms, self.governors[number].restore)
        for _ in range(3):
            asker = self.rng.choice(list(self.governors.values()))
            ask = self.rng.choice((asker.certify, asker.admit))
            self.at(self.rng.randrange(self.plan.heal_ms), ask)
        self.go_on(lambda: all(one.disk.height > self.plan.heights for one in self.honest))
        asker = self.honest[0]
        if self.now_ms > self.plan.heal_ms and asker.replica is not None:
            for ask in (asker.certify, asker.admit):
                self.certified = 0
                ask()
                self.go_on(lambda: self.certified)

    def go_on(self, is_done):
        while not is_done():
            if not self._events or self.now_ms > self.plan.heal_ms + HEALED_MS_MAX:
                raise Violation(f"no end: {self.where()}")
            self.now_ms, _, action, args = heapq.heappop(self._events)
            action(*args)
            self.steps += 1

    def where(self):
        parts = []
        for number, one in self.governors.items():
            place = "down"
            if one.replica is not None:
                state = one.replica.state
                place = f"{state.height}/{state.round} {state.step}"
                place += "" if one.replica.is_active else " abstains"
                place += "" if state.is_awake else " asleep"
            parts.append(f"{number}: {place}" + ("" if one.honest else " (lies)"))
        return ", ".join(parts)
