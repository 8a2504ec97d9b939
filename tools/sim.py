"""Run governors' consensus through seeded worlds of faults and liars (tests/sim/simulator).

Without --seed: a range of seeds on all cores; each failure prints its seed. With --seed: that run
again, with its whole trace. Exits with 1 when anything broke.
"""

import argparse
import os
import sys
import time
from multiprocessing import Pool
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "sim")]
# So many seeds, spread over the range, use the real keys: Ed25519 and FROST.
REAL_EVERY = 250


def run_one(seed: int) -> tuple[int, str | None, int]:
    """(seed, what broke or None, steps)."""
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
    """One run with its trace."""
    from simulator.notary import Violation
    from simulator.plan import plan
    from simulator.world import World

    trace: list[str] = []
    found = plan(seed, real_keys=seed % REAL_EVERY == 0)
    print(f"seed {seed}: {found.count} governors, threshold {found.threshold}")
    print(f"  liars {found.liars or 'none'}, the network heals at {found.heal_ms} ms")
    world = World(found, trace)
    broken = None
    try:
        world.run()
    except Violation as error:
        broken = error
    print("\n".join(trace))
    print(f"BROKEN: {broken}" if broken else f"whole: {world.where()}")
    return 1 if broken else 0


def run_many(seeds: range) -> int:
    """All seeds, on all cores."""
    began, broken, steps = time.monotonic(), 0, 0
    with Pool(os.cpu_count()) as pool:
        for done, (seed, what, count) in enumerate(pool.imap_unordered(run_one, seeds, 8), 1):
            steps += count
            if what is not None:
                broken += 1
                print(f"\rBROKEN {what}\n  replay it: make sim SEED={seed}")
            if sys.stderr.isatty() and done % 50 == 0:
                print(f"\r{done} of {len(seeds)}", end="", file=sys.stderr)
    spent_s = time.monotonic() - began
    verdict = f"{broken} broken" if broken else "all whole"
    print(f"{len(seeds)} seeds from {seeds.start}, {steps} steps, {spent_s:.0f} s: {verdict}")
    return 1 if broken else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, help="replay this one, with a trace")
    parser.add_argument("--seeds", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--start", type=int, default=1, help="the first one (default 1)")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    return run_many(range(options.start, options.start + options.seeds))


if __name__ == "__main__":
    sys.exit(main())
