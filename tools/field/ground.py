"""Where the nodes of a field stand: at random in a square, gateways on a grid.

Nodes that no gateway can be reached from, by any number of hops, are put elsewhere.
"""

import math
import random
from collections.abc import Iterable

from radio.channel import Channel
from radio.pathloss import LogDistance
from radio.phy import Settings

# How many others a node hears on average, unless the area is given: a device's table has 16
NEIGHBOURS = 12
_RINGS = 400
_TRIES = 200


class NoGround(Exception):
    """No connected field was found. The text says what to change."""


def cover_km2(model: LogDistance, settings: Settings) -> float:
    """The area in which a node is heard, on average over the shadowing, in square kilometres."""
    budget_db = settings.power_dbm - settings.sensitivity_dbm
    reach_m = model.reach_m(budget_db)
    covered = 0.0
    for ring in range(_RINGS):
        at_m = reach_m * (ring + 0.5) / _RINGS
        spare_db = budget_db - model.median_db(at_m)
        if model.shadowing_db:
            share = 0.5 * (1 + math.erf(spare_db / model.shadowing_db / math.sqrt(2)))
        else:
            share = float(spare_db >= 0)
        covered += share * 2 * math.pi * at_m * reach_m / _RINGS
    return covered / 1e6


def side_km(count: int, model: LogDistance, settings: Settings) -> float:
    """The side of a square in which `count` nodes hear NEIGHBOURS others each, on average."""
    return math.sqrt(max(count, 2) * cover_km2(model, settings) / NEIGHBOURS)


def gateway_places(count: int, side_m: float) -> list[tuple[float, float]]:
    """The centres of `count` cells of a grid."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    places = []
    for row in range(rows):
        in_row = min(columns, count - row * columns)
        for column in range(in_row):
            places.append((side_m * (column + 0.5) / in_row, side_m * (row + 0.5) / rows))
    return places


def random_place(side_m: float, source: random.Random) -> tuple[float, float]:
    """A place anywhere in the square."""
    return source.random() * side_m, source.random() * side_m


def hops_from(channel: Channel, starts: Iterable[str]) -> dict[str, int]:
    """The fewest hops from the nearest of `starts` to each radio that can be reached at all."""
    found = dict.fromkeys(starts, 0)
    queue = list(found)
    for name in queue:
        for other in channel.audience(channel.radios[name]):
            if other.name not in found:
                found[other.name] = found[name] + 1
                queue.append(other.name)
    return found


def connect(channel: Channel, gateways: list[str], side_m: float, source: random.Random) -> int:
    """Move radios that cannot be reached, until all can. Returns how often one was moved.

    Raises `NoGround`.
    """
    moved = 0
    for _ in range(_TRIES):
        lost = channel.radios.keys() - hops_from(channel, gateways).keys()
        if not lost:
            return moved
        for name in sorted(lost):
            moved += 1
            channel.move(name, random_place(side_m, source))
    raise NoGround(f"{len(lost)} nodes reach no gateway in a field of this size: reduce --area")
