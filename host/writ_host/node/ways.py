"""The cheapest ways through a mesh: Dijkstra's algorithm with a limit of relays. Pure."""

import heapq
import itertools
from collections.abc import Callable, Mapping
from typing import TypeAlias

# A relay, and those before it
_Relays: TypeAlias = "tuple[int, _Relays] | None"
# {short address: {short address of a neighbour: cost of a frame from the first to the second}}
Links = Mapping[int, Mapping[int, float]]


def cheapest(
    start: int, links: Links, may_relay: Callable[[int], bool], relays_max: int
) -> dict[int, list[int]]:
    """The relays of the cheapest way from `start` to each short address that can be reached.

    may_relay: whether a node may forward; relays_max: the longest way. Of two ways of one cost the
    one with fewer relays counts.
    """
    found: dict[int, list[int]] = {}
    fewest: dict[int, int] = {}  # relays of the shortest way on which a node was reached so far
    serial = itertools.count()
    # (cost, relays, node, a number for the order, the relays before it, the last one first)
    queue: list[tuple[float, int, int, int, _Relays]] = [(0.0, -1, start, next(serial), None)]
    while queue:
        cost, relays, node, _, before = heapq.heappop(queue)
        # a dearer way counts only where it is shorter: the limit may end the cheaper one
        if relays >= fewest.get(node, relays_max + 1):
            continue
        fewest[node] = relays
        if node != start and node not in found:
            found[node] = _unwind(before)
        if relays >= relays_max or (node != start and not may_relay(node)):
            continue
        behind = None if node == start else (node, before)
        for neighbour, step in links.get(node, {}).items():
            if relays + 1 < fewest.get(neighbour, relays_max + 1):
                entry = cost + step, relays + 1, neighbour, next(serial), behind
                heapq.heappush(queue, entry)
    return found


def _unwind(before: _Relays) -> list[int]:
    nodes: list[int] = []
    while before is not None:
        node, before = before
        nodes.append(node)
    return nodes[::-1]
