"""Rewrite the device's modules so that they hold less heap: linking, as a C compiler would do it.

Five rewrites, by syntax tree, that change no behaviour:

- A folder whose `__init__.py` is only a docstring goes: `writ.wire.coap` becomes `writ.coap`. Each
  package would cost a module object, a dictionary and names. `__getattr__` of the package's own
  `__init__.py` goes with them: it finds on CPython what stands there on a device (`writ.coap`).
- An integer constant of one module that another one uses (`limits.X`, `from .coap import GET`)
  becomes the number itself, and its definition goes, but for those that an app may want.
- Private names (`_like_this`) and the names of positional arguments get short ones, shared where
  they do not meet: MicroPython keeps every name that it ever saw, and an argument's too, in a table
  that doubles when it is full.
- A public name that no app can know gets one that MicroPython has in its ROM (freenames.py).
- A rejection of errors.py becomes a row in a table, made into its class when it is first used:
  most of them never are, and a class costs 300 bytes.

The people who read and debug see the sources as they are; devices and the device suite run this.
"""

import ast
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from freenames import free_names

# A class in the device's errors.py: "code name", made on first use.
_LAZY = """
def __getattr__(name):
    at = _ROWS.find("," + name + ":")
    if at < 0:
        raise AttributeError(name)
    at += len(name) + 2
    made = type(name, (Rejection,), {"code": int(_ROWS[at : at + 2])})
    globals()[name] = made
    return made
"""


# Constants that an app on a device may want, and that stay: with these it is asked, or answers.
_PUBLIC = {
    "writ.wire.coap": frozenset(
        {
            *("GET", "POST", "PUT", "DELETE", "CREATED", "DELETED", "CHANGED", "CONTENT"),
            *("BAD_REQUEST", "FORBIDDEN", "NOT_FOUND", "INTERNAL", "UNAVAILABLE"),
        }
    )
}


def _is_constant_name(name: str) -> bool:
    return name.isupper() and not name.startswith("_")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(tree: ast.Module) -> set[str]:
    """All `_names` of a module: of functions, classes, globals, attributes and arguments."""
    found = set()
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str) and _is_private(value):
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


def _integer(node: ast.expr, known: dict[str, int]) -> int | None:
    # the value of an expression of integers and known constants, or None
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and type(part.value) is int:
            continue
        if isinstance(part, ast.Name) and part.id in known:
            continue
        if not isinstance(
            part, ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop | ast.expr_context
        ):
            return None
    value = eval(compile(ast.Expression(node), "constant", "eval"), {}, dict(known))
    return value if type(value) is int else None


def constants_of(tree: ast.Module) -> dict[str, int]:
    """The integer constants that a module defines at its top level."""
    known: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name) and _is_constant_name(target.id):
                value = _integer(node.value, known)
                if value is not None:
                    known[target.id] = value
    return known


def lazy_rejections(tree: ast.Module) -> dict[str, int]:
    """{name: code} of the classes in errors.py that are nothing but a code on `Rejection`."""
    rows: dict[str, int] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or not node.bases:
            continue
        body = [item for item in node.body if not isinstance(item, ast.Expr)]
        base = node.bases[0]
        if isinstance(base, ast.Name) and base.id == "Rejection" and len(body) == 1:
            code = body[0]
            assert isinstance(code, ast.Assign) and isinstance(code.value, ast.Constant)
            assert isinstance(code.value.value, int) and 10 <= code.value.value <= 99
            rows[node.name] = code.value.value
    return rows


def is_bare(tree: ast.Module) -> bool:
    """Whether a module holds nothing but its docstring."""
    return not [item for item in tree.body if not isinstance(item, ast.Expr)]


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


class Linker:
    """Rewrites modules of one package. root: the folder that holds the package `writ`.

    callers: programs that are linked with it, whose keyword arguments must go on working.
    unlinked: programs that use it as it is, and know its names.
    """

    def __init__(
        self,
        root: Path,
        callers: Iterable[Path] = (),
        unlinked: Iterable[Path] = (),
        package: str = "writ",
    ) -> None:
        self._trees: dict[str, ast.Module] = {}
        for path in sorted((root / package).rglob("*.py")):
            self._trees[self._module(path.relative_to(root))] = ast.parse(path.read_text())
        self._constants = {name: constants_of(tree) for name, tree in self._trees.items()}
        self.package = package
        self._folders = {
            name
            for name, tree in self._trees.items()
            if name != package and self.is_folder(name) and is_bare(tree)
        }
        flat = [self.flat_module(name) for name in self._trees if name not in self._folders]
        assert len(set(flat)) == len(flat), "two modules of one name in flattened folders"
        self._errors = f"{package}.errors"
        self._lazy = lazy_rejections(self._trees[self._errors])
        outside = [ast.parse(path.read_text()) for path in callers]
        strangers = [ast.parse(path.read_text()) for path in unlinked]
        self._keywords = keywords([*self._trees.values(), *outside, *strangers])
        kept = self._keywords.union(self._lazy, *self._constants.values())
        self.short = shorten(self._groups(), {"_ROWS"})
        self.short |= free_names(self._trees, outside, strangers, kept)

    @staticmethod
    def _module(path: Path) -> str:
        parts = list(path.with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def is_folder(self, module: str) -> bool:
        """Whether `module` has modules below it."""
        return any(name.startswith(module + ".") for name in self._trees)

    def flat_module(self, module: str) -> str:
        """What a device calls `module`: "writ.wire.coap" becomes "writ.coap"."""
        parts = module.split(".")
        kept = [
            part
            for at, part in enumerate(parts)
            if at == len(parts) - 1 or ".".join(parts[: at + 1]) not in self._folders
        ]
        return ".".join(kept)

    def flat_name(self, name: str) -> str | None:
        """The file that a source becomes ("writ/wire/coap.py": "writ/coap.py"), None if it goes."""
        path = Path(name)
        module = self._module(path)
        if module in self._folders:
            return None
        flat = self.flat_module(module).replace(".", "/")
        return f"{flat}/__init__.py" if path.name == "__init__.py" else f"{flat}.py"

    def link(self, text: str) -> str:
        """The source of a program beside the package, linked against what `source` makes of it."""
        tree = _Rewriter(self, None).visit(ast.parse(text))
        # attributes and methods may be the package's; a program's own globals never are
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                node.attr = self.short.get(node.attr, node.attr)
            elif isinstance(node, ast.ImportFrom) and self._is_package(node.module or ""):
                for alias in node.names:
                    if alias.name in self.short:
                        alias.asname = alias.asname or alias.name
                        alias.name = self.short[alias.name]
            elif isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        item.name = self.short.get(item.name, item.name)
                    elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                        name = item.targets[0]
                        name.id = self.short.get(name.id, name.id)
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"

    def _groups(self) -> list[set[str]]:
        # the private names that may meet: those of one module, and of a class and its base
        names = {module: private_names(tree) for module, tree in self._trees.items()}
        groups = list(names.values())
        for module, tree in self._trees.items():
            bases = {
                base.id
                for node in ast.walk(tree)
                if isinstance(node, ast.ClassDef)
                for base in node.bases
                if isinstance(base, ast.Name)
            }
            for node in tree.body:
                if isinstance(node, ast.ImportFrom) and node.module:
                    imported = {alias.asname or alias.name for alias in node.names}
                    if imported & bases:
                        base = ".".join([*module.split(".")[: -node.level], node.module])
                        groups.append(names[module] | names.get(base, set()))
        return groups

    def source(self, name: str) -> str:
        """The rewritten source of a file, named relative to root ("writ/cbor.py")."""
        path = Path(name)
        module = self._module(path)
        tree = ast.parse(ast.unparse(self._trees[module]))
        if module == self._errors:
            return self._errors_source(tree)
        rewriter = _Rewriter(self, module, path.name == "__init__.py")
        tree = rewriter.visit(tree)
        tree.body = [node for node in tree.body if not self._is_left_out(module, node)]
        self._shorten(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                shorten_arguments(node, self._keywords)
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"

    def _shorten(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            for field in ("id", "attr", "name", "arg", "asname"):
                value = getattr(node, field, None)
                if isinstance(value, str) and value in self.short:
                    setattr(node, field, self.short[value])
            if isinstance(node, ast.Global | ast.Nonlocal):
                node.names = [self.short.get(name, name) for name in node.names]

    def _is_left_out(self, module: str, node: ast.stmt) -> bool:
        if isinstance(node, ast.FunctionDef):
            return module == self.package and node.name == "__getattr__"
        return (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in self._constants[module]
            and node.targets[0].id not in _PUBLIC.get(module, ())
        )

    def _errors_source(self, tree: ast.Module) -> str:
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.ClassDef) and node.name in self._lazy)
        ]
        rows = "".join(f",{name}:{code}" for name, code in self._lazy.items())
        return f"{ast.unparse(tree)}\n_ROWS = {rows!r}\n{_LAZY}"

    def constant(self, module: str, name: str) -> int | None:
        """The constant `name` of `module`, or None."""
        return self._constants.get(module, {}).get(name)

    def is_module(self, name: str) -> bool:
        """Whether the package has this module."""
        return name in self._trees

    def _is_package(self, name: str) -> bool:
        # whether a device finds a module of this package by that name
        return name.split(".")[0] == self.package

    def is_lazy(self, module: str, name: str) -> bool:
        """Whether `module`.`name` is a rejection that is made on first use."""
        return module == self._errors and name in self._lazy


class _Rewriter(ast.NodeTransformer):
    # module: None for a program beside the package
    def __init__(self, linker: Linker, module: str | None, is_package: bool = False) -> None:
        self._linker = linker
        parts = module.split(".") if module else []
        self._from = parts if is_package else parts[:-1]
        flat = linker.flat_module(module).split(".") if module else []
        self._package = flat if is_package else flat[:-1]
        self._values: dict[str, int] = dict(linker._constants[module]) if module else {}
        self._modules: dict[str, str] = {}  # local name -> module
        self._rejections: set[str] = set()

    def _absolute(self, node: ast.ImportFrom) -> str:
        base = self._from[: len(self._from) - node.level + 1] if node.level else []
        return ".".join(base + (node.module.split(".") if node.module else []))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST] | None:
        source = self._absolute(node)
        if source.split(".")[0] != self._linker.package:
            return node
        kept: dict[str, list[ast.alias]] = {}  # where a device finds it -> names
        for alias in node.names:
            local = alias.asname or alias.name
            value = self._linker.constant(source, alias.name)
            if value is not None:
                self._values[local] = value
                continue
            if node.level and self._linker.is_lazy(source, alias.name):
                self._rejections.add(local)
                kept.setdefault(self._linker.package, [])
                if not any(one.name == "errors" for one in kept[self._linker.package]):
                    kept[self._linker.package].append(ast.alias("errors"))
                continue
            inner = f"{source}.{alias.name}"
            if self._linker.is_module(inner):
                self._modules[local] = inner
                source_now, _, name = self._linker.flat_module(inner).rpartition(".")
                if name != local:
                    alias = ast.alias(name, local)
                kept.setdefault(source_now, []).append(alias)
            else:
                kept.setdefault(self._linker.flat_module(source), []).append(alias)
        return [self._import(target, names, node.level) for target, names in kept.items()] or None

    def _import(self, target: str, names: list[ast.alias], level: int) -> ast.ImportFrom:
        if not level:
            return ast.ImportFrom(module=target, names=names, level=0)
        base, path = self._package, target.split(".")
        same = 0
        while same < len(base) and same < len(path) and base[same] == path[same]:
            same += 1
        module = ".".join(path[same:]) or None
        return ast.ImportFrom(module=module, names=names, level=len(base) - same + 1)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load):
            if node.id in self._values:
                return ast.Constant(self._values[node.id])
            if node.id in self._rejections:
                return ast.Attribute(ast.Name("errors", ast.Load()), node.id, ast.Load())
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        # compat.unload("node.delegate") names a module
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
        if name == "unload" and isinstance(node.args[0], ast.Constant):
            module = f"{self._linker.package}.{node.args[0].value!s}"
            flat = self._linker.flat_module(module)
            node.args[0] = ast.Constant(flat.partition(".")[2])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            value = self._linker.constant(self._modules[node.value.id], node.attr)
            if value is not None and isinstance(node.ctx, ast.Load):
                return ast.Constant(value)
        self.generic_visit(node)
        return node
