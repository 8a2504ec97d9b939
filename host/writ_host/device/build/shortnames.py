"""Short names for what is private to the device's modules (shrink.py): `_names` and arguments."""

import ast
import itertools
from collections.abc import Iterable, Iterator


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(tree: ast.Module) -> set[str]:
    """All `_names` of a module: of functions, classes, globals, attributes and arguments."""
    found = set()
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str) and is_private(value):
                found.add(value)
    return found


def _short_names() -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for count in range(1, 3):
        for pick in itertools.product(letters, repeat=count):
            yield "_" + "".join(pick)


def shorten(groups: list[set[str]], reserved: set[str]) -> dict[str, str]:
    """{private name: short name}; two names that occur in one group never share a short one."""
    result: dict[str, str] = {}
    everything = sorted(
        set().union(*groups), key=lambda name: (-sum(name in g for g in groups), name)
    )
    for name in everything:
        beside = set().union(*(group for group in groups if name in group)) - {name}
        taken = {result[other] for other in beside if other in result} | reserved
        result[name] = next(short for short in _short_names() if short not in taken)
    return result


def keywords(trees: Iterable[ast.Module]) -> set[str]:
    """The argument names that some call passes by keyword."""
    return {
        node.arg
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg
    }


def shorten_arguments(function: ast.FunctionDef | ast.Lambda, kept: set[str]) -> None:
    """Rename the arguments without a default that are not in `kept`, in place, body included."""
    required = function.args.args
    if function.args.defaults:
        required = required[: -len(function.args.defaults)]
    names = [item.arg for item in required if item.arg not in kept]
    inside = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    inside |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    spare = (short[1:] for short in _short_names() if short[1:] not in inside)
    renamed = dict(zip(names, spare, strict=False))
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in renamed:
            node.id = renamed[node.id]
        elif isinstance(node, ast.arg) and node.arg in renamed:
            # also of an inner function that has an argument of the same name
            node.arg = renamed[node.arg]
