"""The cheapest ways through a mesh, beside all ways that there are."""

import itertools
import random

from writ_host.node.ways import Links, cheapest


def both(*links: tuple[int, int, float]) -> dict[int, dict[int, float]]:
    """Links in both directions."""
    found: dict[int, dict[int, float]] = {}
    for one, other, cost in links:
        found.setdefault(one, {})[other] = cost
        found.setdefault(other, {})[one] = cost
    return found


def by_trial(start: int, links: Links, relays: set[int], relays_max: int) -> dict[int, float]:
    """The cost of the cheapest way to each node, by trying all ways."""
    nodes = {node for row in links.values() for node in row} - {start}
    found = {}
    for goal in nodes:
        others = [node for node in nodes if node in relays and node != goal]
        costs = [
            cost
            for count in range(relays_max + 1)
            for middle in itertools.permutations(others, count)
            if (cost := cost_of([start, *middle, goal], links)) is not None
        ]
        if costs:
            found[goal] = min(costs)
    return found


def cost_of(way: list[int], links: Links) -> float | None:
    """The cost of a way, None if a link of it is missing."""
    steps = [links.get(one, {}).get(other) for one, other in itertools.pairwise(way)]
    return None if None in steps else sum(step for step in steps if step is not None)


def test_the_cheaper_way_counts_and_not_the_shorter_one() -> None:
    links = both((1, 2, 10), (2, 4, 10), (1, 3, 100), (3, 4, 100), (1, 4, 500))
    assert cheapest(1, links, lambda _: True, 4) == {2: [], 3: [], 4: [2]}


def test_who_may_not_forward_is_no_relay_and_can_be_reached() -> None:
    links = both((1, 2, 1), (2, 4, 1), (1, 3, 5), (3, 4, 5))
    assert cheapest(1, links, lambda node: node == 3, 4) == {2: [], 3: [], 4: [3]}


def test_the_limit_of_relays_chooses_a_dearer_way() -> None:
    # 1 - 2 - 3 - 4 - 5 is cheap and long, 1 - 4 dear and short
    links = both((1, 2, 1), (2, 3, 1), (3, 4, 1), (4, 5, 1), (1, 4, 50))
    assert cheapest(1, links, lambda _: True, 3)[5] == [2, 3, 4]
    assert cheapest(1, links, lambda _: True, 2)[5] == [4]
    assert 5 not in cheapest(1, links, lambda _: True, 0)


def test_random_meshes_have_the_ways_that_a_trial_of_all_ways_finds() -> None:
    for seed in range(150):
        dice = random.Random(seed)
        nodes = list(range(1, 8))
        pairs = [pair for pair in itertools.combinations(nodes, 2) if dice.random() < 0.5]
        links = both(*[(one, other, float(dice.randrange(1, 30))) for one, other in pairs])
        relays = {node for node in nodes if dice.random() < 0.7}
        relays_max = dice.randrange(4)
        ways = cheapest(1, links, relays.__contains__, relays_max)
        expected = by_trial(1, links, relays, relays_max)
        assert set(ways) == set(expected), seed
        for goal, way in ways.items():
            assert set(way) <= relays and len(way) <= relays_max, seed
            assert cost_of([1, *way, goal], links) == expected[goal], seed
