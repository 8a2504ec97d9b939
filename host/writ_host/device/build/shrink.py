"""Link the device's modules so that they hold less heap, as a C toolchain links a program.

Eight rewrites of the syntax tree, none of which changes behaviour:

- Folders are flattened: `writ.wire.coap` becomes `writ.coap` where `wire/__init__.py` is only a
  docstring. Each package would cost a module object, a dictionary and names. `__getattr__` of the
  package's own `__init__.py` goes too: on CPython it finds `writ.coap`, which is a module here.
- Modules that are always loaded together become one (fuse.py).
- Code for other interpreters goes: branches on `MICROPYTHON` and the like (compat.py) are decided.
- Constants, integers and strings, are folded: `limits.X` and `from .coap import GET` become the
  value itself, and the definition goes. Those that an app may use (`coap.GET`) become rows of a
  string, which `__getattr__` of their module looks up.
- Other literals that no device module and no program uses go: `policy.METHODS`.
- Private names (`_like_this`) and the names of positional arguments get short ones, shared where
  they do not meet: MicroPython keeps every name that it ever saw, an argument's too, in a table
  that doubles when it is full.
- Public names that are no part of the app's API get names that MicroPython has in its ROM
  (freenames.py).
- Rejections of errors.py become rows of a string too. The class is made when it is first used: most
  of them never are, and a class costs 300 bytes.

People read and debug the sources as they are. Devices and the device suite run the linked modules.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

from .deadcode import FACTS, Interpreter, drop_imports, is_constant_name, unused_literals
from .freenames import APP_CONSTANTS, app_functions, free_names, words_of
from .fuse import Fusion, absolute, relative, targets
from .shortnames import is_private, keywords, private_names, shorten, shorten_arguments

# How the device's errors.py finds a class: a row is ",name:code"; the class is made on first use. A
# module of the package finds it by its code, since a name would stay in the heap.
_LAZY_REJECTIONS = """
_made = {}

def get(code):
    if code not in _made:
        end = _ROWS.find(":%d" % code)
        name = _ROWS[_ROWS.rfind(",", 0, end) + 1 : end]
        _made[code] = type(name, (Rejection,), {"code": code})
    return _made[code]

def __getattr__(name):
    at = _ROWS.find("," + name + ":")
    if at < 0:
        raise AttributeError(name)
    at += len(name) + 2
    return get(int(_ROWS[at : at + 2]))
"""
# How a module of the app's API finds a constant: a row is ",name:value", the value as 2 hex digits.
_LAZY_CONSTANTS = """
def __getattr__(name):
    at = _ROWS.find("," + name + ":")
    if at < 0:
        raise AttributeError(name)
    at += len(name) + 2
    return int(_ROWS[at : at + 2], 16)
"""


Value = int | str


def _value(node: ast.expr, known: dict[str, Value]) -> Value | None:
    # the value of an expression of integers, strings and known constants, or None
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and type(part.value) in (int, str):
            continue
        if isinstance(part, ast.Name) and part.id in known:
            continue
        if not isinstance(
            part, ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop | ast.expr_context
        ):
            return None
    value = eval(compile(ast.Expression(node), "constant", "eval"), {}, dict(known))
    return value if type(value) in (int, str) else None


def constants_of(tree: ast.Module) -> dict[str, Value]:
    """The integers and strings that a module defines at its top level."""
    known: dict[str, Value] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name) and is_constant_name(target.id):
                value = _value(node.value, known)
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


class Linker:
    """Rewrites the modules of one package. root: the folder that holds the package `writ`.

    callers: programs that are linked with it, whose keyword arguments must go on working;
    unlinked: programs that are not linked, and use the names of the sources; host_only: modules
    that no device has; fused: groups of modules that become one (fuse.py).
    """

    def __init__(
        self,
        root: Path,
        callers: Iterable[Path] = (),
        unlinked: Iterable[Path] = (),
        package: str = "writ",
        host_only: Iterable[str] = (),
        fused: Iterable[str] = (),
    ) -> None:
        self._trees: dict[str, ast.Module] = {}
        words: set[str] = set()
        for path in sorted((root / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            words |= words_of(tree)
            self._trees[self.module(path.relative_to(root))] = Interpreter().visit(tree)
        outside = [ast.parse(path.read_text()) for path in callers]
        strangers = [ast.parse(path.read_text()) for path in unlinked]
        meeting = self._groups()
        self.fusion = Fusion(self._trees, package, fused)
        for tree in outside:
            self.fusion.redirect(tree)
        words = words.union(*(words_of(tree) for tree in self._trees.values()))
        self._constants = {name: constants_of(tree) for name, tree in self._trees.items()}
        self._constants.setdefault(f"{package}.compat", {}).update(FACTS)
        for name, wanted in APP_CONSTANTS.items():
            missing = wanted - self._constants.get(name, {}).keys()
            assert name not in self._trees or not missing, f"{name} has lost {missing}"
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
        self._attributes = {
            node.attr
            for tree in [*self._trees.values(), *outside, *strangers]
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
        }
        # a module that no device has may use what a device leaves out
        self._unused = unused_literals(
            {name: tree for name, tree in self._trees.items() if name not in host_only},
            [*outside, *strangers],
        )
        self._keywords = keywords([*self._trees.values(), *outside, *strangers])
        kept = self._keywords.union(self._lazy, *self._constants.values())
        self.short = shorten(self._after_fusion(meeting), {"_ROWS"})
        self.short |= free_names(self._trees, outside, strangers, kept, words, self.fusion)

    @staticmethod
    def module(path: Path) -> str:
        parts = list(path.with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def is_folder(self, module: str) -> bool:
        """Whether `module` has modules below it."""
        return any(name.startswith(module + ".") for name in self._trees)

    def flat_module(self, module: str) -> str:
        """What a device calls `module`: "writ.wire.coap" becomes "writ.coap"."""
        parts = self.fusion.home(module).split(".")
        kept = [
            part
            for at, part in enumerate(parts)
            if at == len(parts) - 1 or ".".join(parts[: at + 1]) not in self._folders
        ]
        return ".".join(kept)

    def flat_name(self, name: str) -> str | None:
        """The file that a source becomes ("writ/wire/coap.py": "writ/coap.py"), None if it goes."""
        path = Path(name)
        module = self.module(path)
        if module in self._folders or self.fusion.is_gone(module):
            return None
        flat = self.flat_module(module).replace(".", "/")
        return f"{flat}/__init__.py" if path.name == "__init__.py" else f"{flat}.py"

    def link(self, text: str) -> str:
        """The source of a program beside the package, linked against what `source` makes of it."""
        tree = ast.parse(text)
        self.fusion.redirect(tree)
        tree = _Rewriter(self, None).visit(tree)
        # attributes and methods may be the package's; a program's own globals never are, nor what
        # belongs to a module of another package
        foreign = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if not self._is_package(alias.name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                if not (isinstance(node.value, ast.Name) and node.value.id in foreign):
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

    def _groups(self) -> list[set[tuple[str, str]]]:
        # the private names, with their modules, that may meet: those of one module, and of a class
        # and its base
        names = {
            module: {(module, name) for name in private_names(tree)}
            for module, tree in self._trees.items()
        }
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

    def _after_fusion(self, groups: list[set[tuple[str, str]]]) -> list[set[str]]:
        # and the globals of one fused module. Attributes of its members meet no more than before
        found = [
            {name for each in group for name in (each[1], self.fusion.name(*each))}
            for group in groups
        ]
        for tree in self._trees.values():
            # mpy-cross takes the name of a constant for it wherever it is no attribute
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            names = names.union(*(targets(node) for node in tree.body))
            found.append({name for name in names if is_private(name)})
        return found

    def source(self, name: str) -> str:
        """The rewritten source of a file, named relative to root ("writ/cbor.py")."""
        path = Path(name)
        module = self.module(path)
        tree = ast.parse(ast.unparse(self._trees[module]))
        if module == self._errors:
            return self._errors_source(tree)
        rewriter = _Rewriter(self, module, path.name == "__init__.py")
        tree = rewriter.visit(tree)
        tree.body = [node for node in tree.body if not self._is_left_out(module, node)]
        self._add_constants(module, tree)
        drop_imports(tree, self._attributes)
        self._shorten(tree)
        kept = app_functions(module, tree, self.fusion)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.Lambda) and node not in kept:
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
            and (
                node.targets[0].id in self._constants[module] or node.targets[0].id in self._unused
            )
        )

    def _add_constants(self, module: str, tree: ast.Module) -> None:
        # those that an app may use
        wanted = APP_CONSTANTS.get(module)
        if wanted:
            rows = "".join(
                f",{name}:{self._constants[module][name]:02x}" for name in sorted(wanted)
            )
            tree.body += ast.parse(f"_ROWS = {rows!r}\n{_LAZY_CONSTANTS}").body

    def _errors_source(self, tree: ast.Module) -> str:
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.ClassDef) and node.name in self._lazy)
        ]
        rows = "".join(f",{name}:{code}" for name, code in self._lazy.items())
        return f"{ast.unparse(tree)}\n_ROWS = {rows!r}\n{_LAZY_REJECTIONS}"

    def constant(self, module: str, name: str) -> Value | None:
        """The constant `name` of `module`, or None."""
        return self._constants.get(module, {}).get(name)

    def is_module(self, name: str) -> bool:
        """Whether the package has this module."""
        return name in self._trees

    def _is_package(self, name: str) -> bool:
        # whether a device finds a module of this package by that name
        return name.split(".")[0] == self.package

    def rejection(self, name: str) -> int:
        """The code of a rejection that is made on first use."""
        return self._lazy[name]

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
        self._values: dict[str, Value] = dict(linker._constants[module]) if module else {}
        self._modules: dict[str, str] = {}  # local name -> module
        self._rejections: dict[str, int] = {}  # local name -> code

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST] | None:
        source = absolute(node, self._from)
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
                self._rejections[local] = self._linker.rejection(alias.name)
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
        module, level = relative(target, self._package)
        return ast.ImportFrom(module=module, names=names, level=level)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load):
            if node.id in self._values:
                return ast.Constant(self._values[node.id])
            if node.id in self._rejections:
                finder = ast.Attribute(ast.Name("errors", ast.Load()), "get", ast.Load())
                return ast.Call(finder, [ast.Constant(self._rejections[node.id])], [])
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        # compat.unload("node.delegate") names a module
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
        if name == "unload" and isinstance(node.args[0], ast.Constant):
            module = f"{self._linker.package}.{node.args[0].value!s}"
            assert self._linker.fusion.home(module) == module, f"{module} is unloaded, and fused"
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
