"""The plan of a run: who hears whom, and its faults, all drawn from the seed."""

import random
from dataclasses import dataclass, field

from meshsim.liars import BEHAVIOURS, SILENCING, SWALLOWING

# After this time of the world the faults end, in seconds; liars go on
HEAL_S = (600, 1200, 2400)
# (largest frame in bytes, spreading factor)
LINKS = ((222, 7), (222, 8), (115, 9), (51, 10))


@dataclass
class Plan:
    """One run. Times are seconds of the world; probabilities are for each frame or write.

    Nodes are numbers: 0 is the gateway. edges: pairs that hear each other; honest nodes are
    connected without the liars.
    """

    seed: int
    count: int
    edges: set = field(default_factory=set)
    liars: dict = field(default_factory=dict)
    heal_s: int = 600
    mtu: int = 222
    spreading_factor: int = 7
    duty_cycle_permille: int = 100
    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    # (from, to, pair): a link that is down
    flips: list = field(default_factory=list)
    # (from, to, groups): nodes of different groups do not hear each other
    partitions: list = field(default_factory=list)
    # (time, node, how long it is down)
    crashes: list = field(default_factory=list)
    crash_at_write: float = 0.0
    # (time, change): what the governors certify; "revoke" is for a liar
    amendments: list = field(default_factory=list)
    period_s: int = 120

    @property
    def swallows(self):
        """Whether a liar may keep messages from arriving that an honest node gives to it."""
        return any(SWALLOWING & set(names) for names in self.liars.values())

    @property
    def silences(self):
        """Whether a liar may keep honest nodes from hearing each other."""
        return any(SILENCING & set(names) for names in self.liars.values())


def plan(seed, behaviours=None, has_liars=None):
    """The plan of a seed. behaviours: of liars, from which theirs are drawn; has_liars: whether
    there are any, None for as the seed has it.
    """
    rng = random.Random(f"mesh {seed}")
    found = Plan(seed, rng.randrange(3, 8))
    found.mtu, found.spreading_factor = rng.choice(LINKS)
    found.duty_cycle_permille = rng.choice((10, 100, 100))
    found.heal_s = rng.choice(HEAL_S)
    found.loss = rng.choice((0.0, 0.05, 0.2, 0.4))
    found.duplicate = rng.choice((0.0, 0.1, 0.3))
    found.late = rng.choice((0.0, 0.1))
    found.crash_at_write = rng.choice((0.0, 0.0, 0.02, 0.1))
    if found.spreading_factor > 8:
        # with 1 % there the mesh may take more than four hours (docs/limits.md)
        found.duty_cycle_permille = 100
    # less than the duty cycle allows, handshakes and repetitions included
    found.period_s = rng.choice((60, 120, 300))
    if found.duty_cycle_permille < 100 or found.spreading_factor > 8:
        found.period_s *= 8
    numbers = list(range(1, found.count))
    liars = []
    if behaviours is not None or (rng.random() < 0.6 if has_liars is None else has_liars):
        liars = rng.sample(numbers, min(len(numbers) - 1, rng.choice((1, 1, 2))))
    for number in liars:
        names = sorted(behaviours or BEHAVIOURS)
        found.liars[number] = tuple(rng.sample(names, min(len(names), rng.choice((1, 2, 3)))))
    _join(found, rng)
    _break(found, rng)
    found.amendments = [(rng.randrange(60, found.heal_s), "rule") for _ in range(rng.randrange(3))]
    if liars and rng.random() < 0.5:
        found.amendments.append((rng.randrange(60, found.heal_s), "revoke"))
    found.amendments.append((found.heal_s + 60, "rule"))
    found.amendments.sort()
    return found


def _join(found, rng):
    # a tree of the honest nodes, and more edges
    honest = [number for number in range(found.count) if number not in found.liars]
    for place, number in enumerate(honest[1:], 1):
        # rather long than wide
        found.edges.add(frozenset((number, honest[max(0, place - rng.choice((1, 1, 2)))])))
    for number in found.liars:
        for other in rng.sample(honest, min(len(honest), rng.randrange(1, 4))):
            found.edges.add(frozenset((number, other)))
    for _ in range(rng.randrange(found.count)):
        found.edges.add(frozenset(rng.sample(range(found.count), 2)))


def _break(found, rng):
    edges = sorted(map(sorted, found.edges))
    for _ in range(rng.randrange(2 * found.count)):
        start = rng.randrange(found.heal_s)
        found.flips.append((start, start + rng.randrange(5, 600), frozenset(rng.choice(edges))))
    if rng.random() < 0.5:
        start = rng.randrange(found.heal_s)
        end = start + rng.randrange(60, found.heal_s)
        found.partitions.append((start, end, [rng.randrange(2) for _ in range(found.count)]))
    for _ in range(rng.choice((0, 1, 3, 6))):
        at_s = rng.randrange(30, found.heal_s)
        found.crashes.append((at_s, rng.randrange(found.count), rng.choice((1, 10, 200))))
