"""Run seeded simulations of faults: the governors' consensus (tests/sim/simulator), or with
--world mesh the mesh (tests/sim/meshsim).

Without --seed it runs a range of seeds on all cores, and prints the seed of each failure. With
--seed it repeats that run and prints its trace. The exit code is 1 if an invariant was broken.
"""

import argparse
import os
import sys
import time
from multiprocessing import Pool
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "sim"), str(ROOT / "tools"), str(ROOT / "firmware")]
# One seed of so many uses real keys: Ed25519 and FROST.
REAL_EVERY = 250


def run_one(seed: int) -> tuple[int, str | None, int]:
    """(seed, the broken invariant or None, steps)."""
    from simulator.notary import Violation  # type: ignore[import-not-found]
    from simulator.plan import plan  # type: ignore[import-not-found]
    from simulator.world import World  # type: ignore[import-not-found]

    world = World(plan(seed, real_keys=seed % REAL_EVERY == 0))
    try:
        world.run()
    except Violation as error:
        return seed, str(error), world.steps
    return seed, None, world.steps


def replay(seed: int) -> int:
    """Repeat one run and print its trace."""
    from simulator.notary import Violation
    from simulator.plan import plan
    from simulator.world import World

    trace: list[str] = []
    found = plan(seed, real_keys=seed % REAL_EVERY == 0)
    print(f"seed {seed}: {found.count} governors, threshold {found.threshold}")
    print(f"  Byzantine: {found.liars or 'none'}; the network heals at {found.heal_ms} ms")
    world = World(found, trace)
    broken = None
    try:
        world.run()
    except Violation as error:
        broken = error
    print("\n".join(trace))
    print(f"BROKEN: {broken}" if broken else f"whole: {world.where()}")
    return 1 if broken else 0


def run_one_mesh(seed: int) -> tuple[int, str | None, int]:
    """As `run_one`, of the mesh; steps are frames on air."""
    from meshsim.checks import Violation  # type: ignore[import-not-found]
    from meshsim.plan import plan  # type: ignore[import-not-found]
    from meshsim.world import World  # type: ignore[import-not-found]

    world = World(plan(seed))
    try:
        world.run()
    except Violation as error:
        return seed, str(error), world.steps
    return seed, None, world.steps


def replay_mesh(seed: int) -> int:
    """Repeat one run of the mesh and print its plan and its trace."""
    from meshsim.checks import Violation
    from meshsim.plan import plan
    from meshsim.world import World

    trace: list[str] = []
    world = World(plan(seed), trace)
    print(world.plan)
    broken = None
    try:
        world.run()
    except Violation as error:
        broken = error
    print("\n".join(trace))
    print(f"BROKEN: {broken}" if broken else f"whole: {world.where()}")
    return 1 if broken else 0


def run_many(seeds: range, world: str) -> int:
    """Run all seeds, on all cores."""
    run, words = (run_one_mesh, " WORLD=mesh") if world == "mesh" else (run_one, "")
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
    parser.add_argument("--world", choices=("governors", "mesh"), default="governors")
    options = parser.parse_args()
    if options.seed is not None:
        return replay_mesh(options.seed) if options.world == "mesh" else replay(options.seed)
    return run_many(range(options.start, options.start + options.seeds), options.world)


if __name__ == "__main__":
    sys.exit(main())
