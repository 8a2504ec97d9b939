"""Some of the seeds that `make sim WORLD=mesh` runs, and the defects that the simulator finds."""

import pytest
from meshsim.checks import Violation
from meshsim.mutations import MUTATIONS, broken
from meshsim.plan import plan
from meshsim.world import World


@pytest.mark.parametrize("seed", [1, 3, 4, 7, 14, 21])
def test_seeds(seed):
    World(plan(seed)).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_defect_is_found(name):
    code = broken(name)
    first, text = MUTATIONS[name][3:]
    for seed in range(first, first + 20):
        try:
            World(plan(seed), code=code).run()
        except Violation as error:
            if text in str(error):
                return
    pytest.fail(f"{name} went unnoticed")


def test_a_seed_gives_the_same_run_again():
    first, second = [], []
    World(plan(4), first).run()
    World(plan(4), second).run()
    assert first == second and len(first) > 10
