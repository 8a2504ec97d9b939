"""Mutations of a CBOR item: every node of it, also inside byte strings, changed once."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from writ import cbor
from writ.errors import Rejection
from writ_host import codec

# Values of every type and of the sizes and bounds that decoders must check.
HOSTILE: tuple[Any, ...] = (
    *(-1, -(2**63), 0, 255, 2**31, 4_000_000_000, 2**63, 2**64 - 1),
    *(None, True, False),
    *("", "x", "a\x00b", "\u202e", "n" * 300),
    *(b"", bytes(6), bytes(8), bytes(32), b"\xff" * 32, bytes(33), bytes(64), b"\xa0", b"\x80"),
    *([], [[]], [None], [0] * 100, {}, {1: None}, {-65537: []}, {1: {1: {}}}),
)
_DEPTH_MAX = 8


def mutants(data: bytes, values: Sequence[Any] = HOSTILE) -> Iterator[bytes]:
    """All mutants of an encoded item: each differs from it in one node."""
    for one in _changed(cbor.decode(data), values, _DEPTH_MAX):
        yield codec.dump(one)


def sample(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` of the mutants of an encoded item, chosen by `seed`; all if they are fewer."""
    found = list(mutants(data))
    yield from random.Random(seed).sample(found, min(count, len(found)))


def _changed(item: Any, values: Sequence[Any], depth: int) -> Iterator[Any]:
    for value in values:
        if type(value) is not type(item) or value != item:
            yield value
    if depth == 0:
        return
    if isinstance(item, list):
        yield from _changed_list(item, values, depth - 1)
    elif isinstance(item, dict):
        yield from _changed_map(item, values, depth - 1)
    elif isinstance(item, bytes):
        yield from _changed_bytes(item, values, depth - 1)
    elif isinstance(item, str):
        yield from (item + "x", item[1:], item.upper())
    elif type(item) is int:
        yield from (item + 1, item - 1)


def _changed_list(items: list[Any], values: Sequence[Any], depth: int) -> Iterator[Any]:
    for place, one in enumerate(items):
        before, after = items[:place], items[place + 1 :]
        yield [*before, *after]
        yield [*before, one, one, *after]
        for changed in _changed(one, values, depth):
            yield [*before, changed, *after]


def _changed_map(items: dict[Any, Any], values: Sequence[Any], depth: int) -> Iterator[Any]:
    for key, one in items.items():
        others = {other: value for other, value in items.items() if other != key}
        yield others
        for other in (-1, 99, "x", b"x"):
            yield {**others, other: one}
        for changed in _changed(one, values, depth):
            yield {**others, key: changed}
    yield {**items, 77: 0}


def _changed_bytes(data: bytes, values: Sequence[Any], depth: int) -> Iterator[Any]:
    yield from (data + b"\x00", data[:-1], bytes(len(data)))
    if data:
        yield bytes((data[0] ^ 1, *data[1:]))
        yield bytes((*data[:-1], data[-1] ^ 0x80))
    try:
        inner = cbor.decode(data)
    except Rejection:
        return
    if isinstance(inner, list | dict):
        for changed in _changed(inner, values, depth):
            yield codec.dump(changed)
