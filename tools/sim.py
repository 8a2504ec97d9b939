"""Run seeded simulations of faults: the governors' consensus (tests/sim/simulator), or with
--world mesh the mesh (tests/sim/meshsim).

Without --seed it runs a range of seeds on all cores, and prints the seed of each failure. With
--seed it repeats that run and prints its trace. The exit code is 1 if an invariant was broken.
"""

import argparse
import os
import sys
import time
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "sim"), str(ROOT / "tools"), str(ROOT / "firmware")]
# One seed of so many uses real keys: Ed25519 and FROST.
REAL_EVERY = 250


def _governors(seed: int, trace: list[str] | None = None) -> tuple[Any, type[Exception]]:
    """The world of the governors for a seed, and what it raises where an invariant is broken."""
    from simulator.notary import Violation  # type: ignore[import-not-found]
    from simulator.plan import plan  # type: ignore[import-not-found]
    from simulator.world import World  # type: ignore[import-not-found]

    found = plan(seed, real_keys=seed % REAL_EVERY == 0)
    if trace is not None:
        print(f"seed {seed}: {found.count} governors, threshold {found.threshold}")
        print(f"  Byzantine: {found.liars or 'none'}; the network heals at {found.heal_ms} ms")
    return World(found, trace), Violation


def _mesh(seed: int, trace: list[str] | None = None) -> tuple[Any, type[Exception]]:
    """The same of the mesh; its steps are frames on air."""
    from meshsim.checks import Violation  # type: ignore[import-not-found]
    from meshsim.plan import plan  # type: ignore[import-not-found]
    from meshsim.world import World  # type: ignore[import-not-found]

    found = plan(seed)
    if trace is not None:
        print(found)
    return World(found, trace), Violation


WORLDS = {"governors": _governors, "mesh": _mesh}


def run_one(name: str, seed: int) -> tuple[int, str | None, int]:
    """(seed, the broken invariant or None, steps) of the world called `name`."""
    world, violation = WORLDS[name](seed)
    try:
        world.run()
    except violation as error:
        return seed, str(error), world.steps
    return seed, None, world.steps


def replay(name: str, seed: int) -> int:
    """Repeat one run, and print its plan and its trace."""
    trace: list[str] = []
    world, violation = WORLDS[name](seed, trace)
    broken = None
    try:
        world.run()
    except violation as error:
        broken = error
    print("\n".join(trace))
    print(f"BROKEN: {broken}" if broken else f"whole: {world.where()}")
    return 1 if broken else 0


def run_many(seeds: range, world: str) -> int:
    """Run all seeds, on all cores."""
    run, words = partial(run_one, world), " WORLD=mesh" if world == "mesh" else ""
    began, broken, steps = time.monotonic(), 0, 0
    with Pool(os.cpu_count()) as pool:
        for done, (seed, what, count) in enumerate(pool.imap_unordered(run, seeds, 8), 1):
            steps += count
            if what is not None:
                broken += 1
                print(f"\rBROKEN {what}\n  replay with: make sim{words} SEED={seed}")
            if sys.stderr.isatty() and done % 50 == 0:
                print(f"\r{done} of {len(seeds)}", end="", file=sys.stderr)
    spent_s = time.monotonic() - began
    verdict = f"{broken} broken" if broken else "all whole"
    print(f"{len(seeds)} seeds from {seeds.start}, {steps} steps, {spent_s:.0f} s: {verdict}")
    return 1 if broken else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, help="repeat this one, with a trace")
    parser.add_argument("--seeds", type=int, default=2000, help="number of seeds (default 2000)")
    parser.add_argument("--start", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--world", choices=WORLDS, default="governors")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.world, options.seed)
    return run_many(range(options.start, options.start + options.seeds), options.world)


if __name__ == "__main__":
    sys.exit(main())
