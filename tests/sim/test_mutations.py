"""Mutation tests: the simulator finds each broken core within a stated number of seeds."""

import pytest
from simulator.mutations import FOUND_WITHIN, MUTATIONS, broken
from simulator.notary import Violation
from simulator.plan import plan
from simulator.world import World


def first_violation(plans, wanted=""):
    """(number of runs, violation), or (None, None)."""
    for tried, found in enumerate(plans, 1):
        try:
            World(found).run()
        except Violation as error:
            if wanted in str(error):
                return tried, str(error)
    return None, None


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_mutation_is_found(name):
    seeds = range(1, FOUND_WITHIN[name] + 1)
    tried, what = first_violation(broken(name, seed) for seed in seeds)
    assert tried is not None, f"{name} went unnoticed"
    print(f"{name}: found after {tried} seeds: {what}")


@pytest.mark.parametrize("name", ["no_lock", "low_threshold"])
def test_the_mutation_forks_the_scope(name):
    plans = (broken(name, seed) for seed in range(1, FOUND_WITHIN[name] + 1))
    assert first_violation(plans, "two certified states")[0] is not None


def test_a_nonce_used_twice_is_found():
    world = World(plan(1))
    signer = world.honest[0].signer
    commitment, nonce = signer.commit()
    package = signer.package(b"payload", {signer.identifier: commitment})
    signer.share(package, nonce)
    nonce.inner.spent = False
    with pytest.raises(Violation, match="twice with one nonce"):
        signer.share(package, nonce)
