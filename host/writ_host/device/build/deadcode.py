"""What the linker (shrink.py) leaves out of a device's modules, because no device uses it."""

import ast
from collections.abc import Iterable

from .shortnames import is_private

# What is known of a device's interpreter: the facts of compat.py, and libraries that no device has.
FACTS = {"MICROPYTHON": True, "HAVE_PYCRYPTODOME": False, "HAVE_OPENSSL": False}
_MISSING = {"Crypto", "cryptography"}


class Interpreter(ast.NodeTransformer):
    """Decides what depends on the interpreter: conditions on FACTS, and tried imports."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        truth = _truth(node.test)
        if truth is None:
            return node
        return node.body if truth else node.orelse

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        caught = [h.type.id for h in node.handlers if isinstance(h.type, ast.Name)]
        if caught != ["ImportError"]:
            return node
        tried = {
            alias.name for n in ast.walk(node) if isinstance(n, ast.Import) for alias in n.names
        }
        return node.handlers[0].body if tried & _MISSING else node.body


def _truth(test: ast.expr) -> bool | None:
    # the value of a condition where the facts decide it
    if isinstance(test, ast.Name | ast.Attribute):
        return FACTS.get(test.id if isinstance(test, ast.Name) else test.attr)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        truth = _truth(test.operand)
        return None if truth is None else not truth
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        truths = [_truth(value) for value in test.values]
        return False if False in truths else True if set(truths) == {True} else None
    return None


def is_constant_name(name: str) -> bool:
    return name.isupper() and not name.startswith("_")


def unused_literals(trees: dict[str, ast.Module], others: Iterable[ast.Module]) -> set[str]:
    """The public names that are bound to a literal in some module of `trees` and used nowhere.

    others: programs that use the modules.
    """
    bound, used = set(), set()
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if is_constant_name(name) and _is_literal(node.value):
                    bound.add(name)
    for tree in [*trees.values(), *others]:
        for part in ast.walk(tree):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                used.add(part.id)
            elif isinstance(part, ast.Attribute):
                used.add(part.attr)
            elif isinstance(part, ast.alias):
                used.add(part.name)
    return bound - used


def drop_imports(tree: ast.Module, attributes: set[str]) -> None:
    """Remove the top-level imports that a module does not use, in place.

    attributes: what other modules and programs may look up in it.
    """
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }
    if all(_is_compiled_away(item) for item in tree.body if _uses_const(item)):
        used.discard("const")
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [
                one for one in node.names if (one.asname or one.name) in used | attributes
            ]
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom) or node.names
    ]


def _uses_const(node: ast.stmt) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "const" for part in ast.walk(node))


def _is_compiled_away(node: ast.stmt) -> bool:
    # `_NAME = const(...)`: mpy-cross replaces the name by the number
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return False
    return is_private(node.targets[0].id)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True
