"""The choice of parents, and of the neighbour that is greeted to become one."""

from mesh_rig import Link

from writ.mesh.neighbour import Neighbours
from writ.mesh.routing import Routing


def routing(parents, strangers):
    """A `Routing` with neighbours of rank 1 that take its frames, and others that were heard only.
    Both are given as the costs of their ways, in ms; short addresses count from 1.
    """
    table = Neighbours()
    for cost in parents + strangers:
        one = table.add(0, len(table) + 1)
        one.rank = 1
        one.cost = cost
        one.is_mutual = len(table) <= len(parents)
    made = Routing([Link()], table, lambda neighbour, now_ms: True)
    made.choose(0)
    assert len(made.parents) == len(parents)
    return made


def test_a_neighbour_is_greeted_for_one_more_parent():
    assert routing([100, 100], [900]).candidate.address == 3
    assert routing([100, 100, 100], []).candidate is None


def test_a_neighbour_that_would_not_be_the_first_parent_is_not_greeted():
    # a frame of 50 bytes takes 50 ms on the link
    for cost, is_greeted in ((999, False), (670, False), (660, True), (0, True)):
        made = routing([900, 950, 950], [cost])
        candidate = made.candidate
        assert (candidate is not None) == is_greeted, cost
        if candidate:
            candidate.is_mutual = True
            made.choose(0)
            assert made.parents[0] is candidate
