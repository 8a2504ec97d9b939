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


def test_a_hello_that_is_hastened_comes_once_whatever_others_say():
    made = routing([100], []).trickle
    now_ms = 0
    while made._length_ms < 500000:
        now_ms += made.next_ms(now_ms)
        made.is_due(now_ms)
    for _ in range(2):
        made.hasten(now_ms, 4)
        for _ in range(16):
            made.hear()
        wait_ms = made.next_ms(now_ms)
        assert 32000 <= wait_ms <= 64000
        now_ms += wait_ms
        assert made.is_due(now_ms)
        # then as seldom as before
        assert made.next_ms(now_ms) > 250000
        assert made._heard == 0
    # where one comes sooner than that, all is as it was
    made.reset(now_ms)
    before = made.next_ms(now_ms)
    made.hasten(now_ms, 4)
    assert made.next_ms(now_ms) == before <= 4000
