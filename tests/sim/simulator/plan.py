"""The plan of a run: its faults, all drawn from the seed."""

import random
from dataclasses import dataclass, field

from simulator.liars import BEHAVIOURS, TWINS
from writ_host.consensus import messages

# (governors, threshold): they tolerate one and two Byzantine governors.
SIZES = ((4, 3), (7, 5))
HEIGHTS = 3
# A hostile network drops the messages that make locks and decisions known.
CRITICAL = tuple(
    cls.TYPE
    for cls in (
        messages.Prevote,
        messages.SigningSession,
        messages.Share,
        messages.Decided,
        messages.PrevoteQuorum,
    )
)


@dataclass
class Plan:
    """One run. Times are milliseconds of the world; probabilities are per message or per write."""

    seed: int
    count: int
    threshold: int
    liars: dict[int, tuple] = field(default_factory=dict)
    real_keys: bool = False
    heights: int = HEIGHTS
    heal_ms: int = 10_000
    delay_ms: tuple = (1, 60)
    loss: float = 0.0
    duplicate: float = 0.0
    # type of message -> the share of them that is lost on the way to `deaf` governors
    targeted: dict = field(default_factory=dict)
    deaf: frozenset = frozenset()
    # (from, to, groups): messages between groups are lost
    partitions: list = field(default_factory=list)
    # (time, governor, how long it is down)
    crashes: list = field(default_factory=list)
    # governor -> (when its disk is backed up, when it is restored); it counts as Byzantine
    restores: dict = field(default_factory=dict)
    crash_at_write: float = 0.0
    # local time = offset + rate x world time
    clocks: dict = field(default_factory=dict)
    # a governor waits up to so long before it proposes for a new height
    idle_ms: int = 1500
    # the probability that a governor's operator denies a value proposed before the network heals
    denial_rate: float = 0.0
    # set by mutations: the class of the honest replicas; writes become durable later
    replica: type | None = None
    late_writes: bool = False
    # also check single votes, and the disk when they are sent
    watch_votes: bool = True
    watch_disk: bool = True


def plan(seed, count=None, behaviours=None, real_keys=False):
    """The plan of a seed. Without `count`, even seeds have four governors, odd ones seven."""
    rng = random.Random(seed)
    size = SIZES[seed % 2] if count is None else next(s for s in SIZES if s[0] == count)
    numbers = range(1, size[0] + 1)
    found = Plan(seed, *size, real_keys=real_keys)
    found.heal_ms = rng.choice((3_000, 6_000, 9_000))
    found.delay_ms = rng.choice(((1, 20), (1, 80), (5, 300)))
    found.loss = rng.choice((0.0, 0.0, 0.05, 0.2, 0.4))
    found.duplicate = rng.choice((0.0, 0.05, 0.2))
    found.idle_ms = rng.choice((50, 500, 2000))
    if rng.random() < 0.7:
        for kind in rng.sample(CRITICAL, rng.randrange(1, 4)):
            found.targeted[kind] = rng.choice((0.5, 0.9, 1.0))
        found.deaf = frozenset(rng.sample(numbers, rng.randrange(1, size[0] + 1)))
    found.clocks = {i: (rng.randrange(-2000, 2000), rng.uniform(0.9, 1.1)) for i in numbers}
    found.crash_at_write = rng.choice((0.0, 0.0, 0.05, 0.2))
    if rng.random() < 0.5:
        at_ms = rng.randrange(500)
        while at_ms < found.heal_ms:
            found.crashes.append((at_ms, rng.choice(numbers), rng.randrange(50, 1500)))
            at_ms += rng.randrange(50, 2000)
    if rng.random() < 0.7:
        at_ms, longest_ms = 0, rng.choice((1000, 3000, 9000))
        while at_ms < found.heal_ms:
            end = at_ms + rng.randrange(100, longest_ms)
            parts = rng.choice((2, 2, 3))
            found.partitions.append((at_ms, end, {i: rng.randrange(parts) for i in numbers}))
            at_ms = end + rng.choice((0, rng.randrange(1000)))
    # from a generator of its own, so that it does not change the rest of a seed's plan
    found.denial_rate = random.Random(f"picky:{seed}").choice((0.0, 0.0, 0.2, 0.5))
    faulty = size[0] - size[1]
    liars = rng.sample(numbers, rng.choice((0, faulty, faulty)))
    names = behaviours or sorted(BEHAVIOURS)
    if len(liars) < faulty and rng.random() < 0.5:
        number = rng.choice([number for number in numbers if number not in liars])
        saved_ms = rng.randrange(found.heal_ms)
        restored_ms = min(found.heal_ms - 1, saved_ms + rng.randrange(1, 2000))
        found.restores[number] = saved_ms, restored_ms
    for number in liars:
        found.liars[number] = tuple(rng.sample(names, min(len(names), rng.choice((1, 2, 3)))))
        if behaviours is None and rng.random() < 0.25:
            found.liars[number] = (TWINS,)
    return found
