"""What goes wrong in a run, all of it drawn from the seed."""

import random
from dataclasses import dataclass, field

from simulator.liars import BEHAVIOURS

# (governors, threshold): one and two liars are tolerated.
SIZES = ((4, 3), (7, 5))
HEIGHTS = 3


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
    # (from, to, groups): messages between groups are lost
    partitions: list = field(default_factory=list)
    # (at, governor, how long it is down)
    crashes: list = field(default_factory=list)
    crash_at_write: float = 0.0
    # local time = offset + rate x world time
    clocks: dict = field(default_factory=dict)
    # a governor may wait so long before it proposes for a new height
    idle_ms: int = 1500
    # what a mutation changes: the class of the honest replicas, when writes reach the disk
    replica: type | None = None
    late_writes: bool = False
    watch_promises: bool = True


def plan(seed, count=None, behaviours=None, real_keys=False):
    """The plan of a seed. Even seeds have four governors, odd ones seven, unless told."""
    rng = random.Random(seed)
    size = SIZES[seed % 2] if count is None else next(s for s in SIZES if s[0] == count)
    numbers = range(1, size[0] + 1)
    found = Plan(seed, *size, real_keys=real_keys)
    found.heal_ms = rng.choice((3_000, 6_000, 9_000))
    found.delay_ms = rng.choice(((1, 20), (1, 80), (5, 300)))
    found.loss = rng.choice((0.0, 0.0, 0.05, 0.2, 0.4))
    found.duplicate = rng.choice((0.0, 0.05, 0.2))
    found.idle_ms = rng.choice((50, 500, 2000))
    found.clocks = {i: (rng.randrange(-2000, 2000), rng.uniform(0.9, 1.1)) for i in numbers}
    found.crash_at_write = rng.choice((0.0, 0.0, 0.02, 0.1))
    for _ in range(rng.choice((0, 0, 1, 3))):
        found.crashes.append(
            (rng.randrange(found.heal_ms), rng.choice(numbers), rng.randrange(50, 3000))
        )
    for _ in range(rng.choice((0, 1, 2, 4))):
        start = rng.randrange(found.heal_ms)
        sides = {i: rng.randrange(rng.choice((2, 2, 3))) for i in numbers}
        found.partitions.append((start, start + rng.randrange(200, 4000), sides))
    faulty = size[0] - size[1]
    liars = rng.sample(numbers, rng.choice((0, faulty, faulty)))
    names = behaviours or sorted(BEHAVIOURS)
    for number in liars:
        found.liars[number] = tuple(rng.sample(names, min(len(names), rng.choice((1, 2, 3)))))
    return found
