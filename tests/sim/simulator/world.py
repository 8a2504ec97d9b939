"""The event loop of the simulator: the network between the governors, and the checks."""

import heapq
import random
from collections import defaultdict
from functools import lru_cache
from itertools import count

from simulator import keys, values
from simulator.governor import SKEW_MAX_S, Governor, type_of
from simulator.notary import Notary, Violation
from writ_host import codec
from writ_host.consensus import messages
from writ_host.consensus.committee import Committee
from writ_host.consensus.effects import (
    Received,
)
from writ_host.consensus.hardstate import HardState

# Once the network is whole, every height must be decided within this simulated time.
HEALED_MS_MAX = 240_000
# ... and within so many rounds: each governor's turn comes twice, and some more.
ROUNDS_MAX = 24

# Decoding is a pure function of the bytes, so each distinct message is decoded once.
messages.decode = lru_cache(8192)(messages.decode)
read_hard_state = lru_cache(512)(HardState.from_bytes)


class AnyThreshold(Committee):
    """A committee that a mutation made unsafe."""

    def __post_init__(self):
        pass


class World:
    """One run of one plan. trace: a list to which a line is added for each event."""

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
        self.accepted_by = defaultdict(set)
        # unordered payloads that a governor requested, without beacons
        self.requested = set()
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
        """Check that there are few rounds after the network has healed."""
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

    def crashes_at_write(self):
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
            aimed = self.plan.targeted.get(type_of(data))
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

    def check_durable(self, governor, data):
        """Check that an honest governor has on disk what it signs and sends."""
        if data[1] not in (messages.Prevote.TYPE, messages.Share.TYPE):
            return
        message = messages.decode(data)
        if message.sender != governor.number:
            # it passes on another governor's message
            return
        if isinstance(message, messages.Prevote):
            self.notary.saw_vote(message)
        else:
            self.notary.saw_precommit(message)
        if not self.plan.watch_disk:
            return
        record = read_hard_state(governor.disk.record) if governor.disk.record else HardState()
        if isinstance(message, messages.Prevote):
            kept = record.prevotes.get(message.round, "nothing") == message.digest
        else:
            kept = (record.locked_round, record.locked) == (message.round, message.digest)
        if not kept or record.height != message.height:
            raise Violation(f"governor {governor.number} sent what is not on its disk: {message}")

    def check_decision(self, governor, decide):
        digest = decide.value.digest
        if digest not in self.proposed and governor.honest:
            raise Violation(f"governor {governor.number} decided a value that was not proposed")
        faulty = len(self.plan.liars) + len(self.plan.restores)
        if governor.honest and len(self.accepted_by[digest]) < self.plan.threshold - faulty:
            raise Violation(f"height {decide.height}: decided a value that too few accepted")
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
                if payload not in self.requested:
                    raise Violation("a member or an action was certified that was not requested")
                continue
            time_s = codec.load(payload)[6]
            near = sum(
                abs(time_s - one.clock_ms() // 1000) <= SKEW_MAX_S + 60 for one in self.honest
            )
            if near < self.plan.threshold - len(self.plan.liars):
                raise Violation("a beacon was certified with a time that honest governors refuse")
        self.certified += governor.honest

    # --- the run ----------------------------------------------------------------------------------

    def run(self):
        """Run until each honest governor has decided each height. Raises `Violation`."""
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
            ask = self.rng.choice((asker.cosign_beacon, asker.cosign_members))
            self.at(self.rng.randrange(self.plan.heal_ms), ask)
        self.run_until(lambda: all(one.disk.height > self.plan.heights for one in self.honest))
        asker = self.honest[0]
        if self.now_ms > self.plan.heal_ms and asker.replica is not None:
            for ask in (asker.cosign_beacon, asker.cosign_members):
                self.certified = 0
                ask()
                self.run_until(lambda: self.certified)

    def run_until(self, is_done):
        while not is_done():
            if not self._events or self.now_ms > self.plan.heal_ms + HEALED_MS_MAX:
                raise Violation(f"no progress: {self.where()}")
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
            parts.append(f"{number}: {place}" + ("" if one.honest else " (Byzantine)"))
        return ", ".join(parts)
