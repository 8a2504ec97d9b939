"""The choice of spreaders: all nodes that can hear one do, and few are chosen."""

import random
from collections.abc import Mapping

from writ_host.node.spreaders import choose

GATE = 1


def both(*links: tuple[int, int]) -> dict[int, list[int]]:
    """Links in both directions."""
    found: dict[int, list[int]] = {}
    for one, other in links:
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found


def everyone(address: int) -> bool:
    return True


def reached(near: Mapping[int, list[int]], spreaders: set[int]) -> set[int]:
    """The nodes that have the capsule once the gateway and the spreaders that get it have sent."""
    found = {GATE}
    queue = [GATE]
    for one in queue:
        if one != GATE and one not in spreaders:
            continue
        new = set(near.get(one, ())) - found
        found |= new
        queue += sorted(new)
    return found


def test_a_line_needs_all_but_its_last_node() -> None:
    assert choose(GATE, both((1, 2), (2, 3), (3, 4)), everyone) == {2, 3}


def test_nodes_that_hear_the_gateway_need_no_spreader() -> None:
    assert choose(GATE, both((1, 2), (1, 3), (2, 3)), everyone) == set()
    assert choose(GATE, {}, everyone) == set()


def test_the_node_that_most_others_hear_is_chosen() -> None:
    near = both((1, 2), (1, 3), (2, 4), (3, 4), (3, 5))
    assert choose(GATE, near, everyone) == {3}
    # and kept while no other one is better
    near = both((1, 2), (1, 3), (2, 4), (3, 4))
    assert choose(GATE, near, everyone) == {2}
    assert choose(GATE, near, everyone, {3}) == {3}
    assert choose(GATE, both((1, 2), (1, 3), (2, 4), (3, 4), (2, 5)), everyone, {3}) == {2}


def test_a_node_that_may_not_spread_is_not_chosen() -> None:
    near = both((1, 2), (1, 3), (2, 4), (2, 5), (3, 4))
    assert choose(GATE, near, lambda one: one != 2) == {3}
    assert choose(GATE, near, lambda one: False) == set()


def test_random_maps_are_covered_by_few() -> None:
    source = random.Random(1)
    for _ in range(200):
        count = source.randrange(2, 60)
        places = {one: (source.random(), source.random()) for one in range(1, count + 1)}
        near = both(
            *(
                (one, other)
                for one, (x, y) in places.items()
                for other, (v, w) in places.items()
                if one < other and (x - v) ** 2 + (y - w) ** 2 < 0.09
            )
        )
        # some links serve one way
        for row in near.values():
            if len(row) > 4:
                row.pop()
        reachable = reached(near, set(places))
        spreaders = choose(GATE, near, everyone)
        assert reached(near, spreaders) == reachable
        # none is chosen in vain, and each serves one more node at least
        assert spreaders <= reachable - {GATE}
        assert len(spreaders) < len(reachable)
        assert choose(GATE, near, everyone, spreaders) == spreaders
