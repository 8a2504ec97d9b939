"""The spreaders of a mesh: the few nodes that send a new epoch on, so that all others hear it.

A connected dominating set that begins at the gateway, by the greedy rule of Guha and Khuller (1998,
section 3): the next spreader is the one that most nodes hear which hear no spreader yet, among the
nodes that hear one. Multipoint relays (RFC 3626, section 8.3.1) are such sets seen from one node; a
gateway sees the whole map. Pure.
"""

import heapq
from collections.abc import Callable, Collection, Mapping


def choose(
    gateway: int,
    near: Mapping[int, Collection[int]],
    may_spread: Callable[[int], bool],
    present: Collection[int] = (),
) -> set[int]:
    """The short addresses of the spreaders, without the gateway.

    near: of each node those that hear it; may_spread: whether a node may be one; present: the
    spreaders of the last choice, which stay where others are no better.
    """
    covered = {gateway, *near.get(gateway, ())}
    chosen: set[int] = set()

    def entry(one: int) -> tuple[int, bool, int]:
        # the best one is the smallest
        gain = sum(other not in covered for other in near[one])
        return -gain, one not in present, one

    queue = [entry(one) for one in covered if one != gateway and one in near and may_spread(one)]
    heapq.heapify(queue)
    while queue:
        found = heapq.heappop(queue)
        now = entry(found[2])
        if not now[0]:
            continue
        if now != found:
            # the gain of a node only falls
            heapq.heappush(queue, now)
            continue
        chosen.add(found[2])
        for other in near[found[2]]:
            if other not in covered:
                covered.add(other)
                if other in near and may_spread(other):
                    heapq.heappush(queue, entry(other))
    return chosen
