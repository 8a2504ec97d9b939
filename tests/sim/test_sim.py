"""Some of the seeds that `make sim` runs, and each Byzantine behaviour by itself."""

import pytest
from simulator.liars import BEHAVIOURS
from simulator.plan import plan
from simulator.world import World


@pytest.mark.parametrize("start", range(1, 161, 20))
def test_seeds(start):
    for seed in range(start, start + 20):
        World(plan(seed)).run()


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_each_byzantine_behaviour(behaviour):
    with_liars = 0
    for seed in range(1, 13):
        found = plan(seed, behaviours=(behaviour,))
        with_liars += bool(found.liars)
        World(found).run()
    assert with_liars > 3


@pytest.mark.parametrize("seed", [2, 3, 12])
def test_real_keys(seed):
    World(plan(seed, real_keys=True)).run()


def test_a_seed_gives_the_same_run_again():
    first, second = [], []
    World(plan(7), first).run()
    World(plan(7), second).run()
    assert first == second and len(first) > 100


def test_the_faults_occur():
    """Runs have crashes, later rounds, second sessions, accusations and changed locks."""
    trace = []
    for seed in range(1, 61):
        World(plan(seed), trace).run()
    text = "\n".join(trace)
    for what in (
        "crashes",
        "proposed twice",
        "voted twice",
        "wrong signature share",
        ": session 1/1",
        ": session 1/2",
        "gets an old backup",
        "gives up cosigning",
    ):
        assert what in text, what
    assert any("proposal" in line and "valid -1" not in line for line in trace)
