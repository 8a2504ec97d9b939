"""Fuse modules that a device always loads together into one (shrink.py).

A module costs its own object, a table of globals with a place for each import, and three names that
MicroPython keeps for good: "writ.frame", "frame" and the path of its file. A fused module has the
globals of its members one after the other. Where two members give one name to different things, the
later member's gets a name of its own. Programs beside the package are rewritten to match.
"""

import ast
from collections.abc import Iterable, Iterator

# Each fused module: its members in the order in which they are defined, so that a member comes
# after those that it imports. It has the name and the folder of the last one. Members are neither
# unloaded nor loaded on demand.
FUSED = (
    "authority.policy authority.capsule authority.ratelimit authority.store authority.authority",
    "wire.exchange wire.blockwise wire.edhoc_codec wire.oscore",
    "node.call node.context node.session node.sync node.client node.handshake node.server"
    " node.node agent",
    "mesh.way mesh.frame mesh.permit mesh.budget mesh.neighbour mesh.routing mesh.fragment"
    " mesh.compress mesh.transfer mesh.linkkey mesh.outbox mesh.inbox mesh.join mesh.mesh",
    "link.both framelinks",
    "link.splitter link.port",
    "mesh.airtime link.lora",
)

_Bound = tuple[str, ...]  # what a global is: ("own", module, name) or ("import", module, name)


def absolute(node: ast.ImportFrom, package: list[str]) -> str:
    """The module that an import names; package: that of the importing module, as a list."""
    base = package[: len(package) - node.level + 1] if node.level else []
    return ".".join(base + (node.module.split(".") if node.module else []))


def relative(target: str, package: list[str]) -> tuple[str | None, int]:
    """(module, level) of a relative import of `target`."""
    path = target.split(".")
    same = 0
    while same < len(package) and same < len(path) and package[same] == path[same]:
        same += 1
    return ".".join(path[same:]) or None, len(package) - same + 1


def targets(node: ast.stmt) -> Iterator[str]:
    # the globals that a statement of the top level defines
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id
    elif isinstance(node, ast.AugAssign | ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


class Fusion:
    """The package after fusing. trees: its modules by name, which are changed in place.

    groups: lists of module names, as FUSED without the package's name.
    """

    def __init__(
        self, trees: dict[str, ast.Module], package: str, groups: Iterable[str] = FUSED
    ) -> None:
        self._is_package = {name: self._has_inner(name, trees) for name in trees}
        self._home: dict[str, str] = {}  # member -> fused module
        self._names: dict[tuple[str, str], str] = {}  # (member, its global) -> name there
        parts = [[f"{package}.{name}" for name in group.split()] for group in groups]
        for members in parts:
            for name in members:
                assert name in trees and name not in self._home, name
                self._home[name] = members[-1]
        for members in parts:
            self._fuse(members, trees)
        for name, tree in trees.items():
            self.redirect(tree, name)

    @staticmethod
    def _has_inner(name: str, trees: Iterable[str]) -> bool:
        return any(other.startswith(name + ".") for other in trees)

    def home(self, module: str) -> str:
        """The module that a device finds the globals of `module` in."""
        return self._home.get(module, module)

    def name(self, module: str, name: str) -> str:
        """What a global of `module` is called there."""
        return self._names.get((module, name), name)

    def is_gone(self, module: str) -> bool:
        """Whether this module is a part of another one."""
        return self.home(module) != module

    def _package_of(self, module: str) -> list[str]:
        parts = module.split(".")
        return parts if self._is_package.get(module) else parts[:-1]

    # --- other modules and programs ---------------------------------------------------------------

    def redirect(self, tree: ast.Module, module: str | None = None) -> None:
        """Let a module, or a program beside the package (None), import from fused modules."""
        package = self._package_of(module) if module else []
        aliases: dict[str, str] = {}  # local name -> the module that it is
        for node in ast.walk(tree):
            for field in ("body", "orelse", "finalbody"):
                body = getattr(node, field, None)
                if isinstance(body, list):
                    body[:] = [part for one in body for part in self._moved(one, package, aliases)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                source = aliases.get(node.value.id)
                if source:
                    node.attr = self.name(source, node.attr)

    def _moved(self, node: ast.stmt, package: list[str], aliases: dict[str, str]) -> list[ast.stmt]:
        if not isinstance(node, ast.ImportFrom):
            return [node]
        source = absolute(node, package)
        parts: dict[str, list[ast.alias]] = {}
        for alias in node.names:
            local = alias.asname or alias.name
            inner = f"{source}.{alias.name}"
            if inner in self._home:
                aliases[local] = inner
                target, _, name = self._home[inner].rpartition(".")
            elif source in self._home:
                target, name = self._home[source], self.name(source, alias.name)
            else:
                target, name = source, alias.name
            renamed = ast.alias(name, None if name == local else local)
            parts.setdefault(target, []).append(renamed)
        found: list[ast.stmt] = []
        for target, names in parts.items():
            where, level = relative(target, package) if node.level else (target, 0)
            found.append(ast.ImportFrom(where, names, level))
        return found

    # --- members ----------------------------------------------------------------------------------

    def _fuse(self, members: list[str], trees: dict[str, ast.Module]) -> None:
        fused = members[-1]
        package = self._package_of(fused)
        taken: dict[str, _Bound] = {}
        bound: dict[tuple[str, str], _Bound] = {}  # of each (member, global)
        imports: list[ast.stmt] = []
        body: list[ast.stmt] = []
        for module in members:
            tree = trees[module]
            renames: dict[str, str] = {}
            inner: dict[str, str] = {}  # local name -> the member that it is
            mine = self._package_of(module)
            # what other members define is here under the name that it has there
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom):
                    self._resolve(node, mine, fused, renames, inner)
            for node in tree.body:
                for name in targets(node):
                    if (module, name) in bound:
                        continue
                    bound[(module, name)] = ("own", module, name)
                    renames[name] = self._place(taken, name, bound[(module, name)], module)
            for node in tree.body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    source = absolute(node, mine) if isinstance(node, ast.ImportFrom) else ""
                    for alias in node.names:
                        local = alias.asname or alias.name
                        what = ("import", source, alias.name)
                        renames[local] = self._place(taken, local, what, module)
            for name, now in renames.items():
                self._names[(module, name)] = now
            _Renamer(renames, inner, self).visit(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.level:
                    node.module, node.level = relative(absolute(node, mine), package)
            for node in tree.body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    if ast.unparse(node) not in [ast.unparse(one) for one in imports]:
                        imports.append(node)
                elif not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
                    body.append(node)
            if module != fused:
                del trees[module]
        trees[fused] = ast.Module(imports + body, [])

    def _place(self, taken: dict[str, _Bound], name: str, what: _Bound, module: str) -> str:
        # a name of the fused module for a global of a member
        free = name
        stem = module.rpartition(".")[2]
        while taken.setdefault(free, what) != what:
            free += "_" + (stem.upper() if name.isupper() else stem)
        return free

    def _resolve(
        self,
        node: ast.ImportFrom,
        package: list[str],
        fused: str,
        renames: dict[str, str],
        inner: dict[str, str],
    ) -> None:
        # take the imports of members of the same fused module out of a statement
        source = absolute(node, package)
        kept = []
        for alias in node.names:
            local = alias.asname or alias.name
            if self._home.get(source) == fused:
                renames[local] = self.name(source, alias.name)
            elif self._home.get(f"{source}.{alias.name}") == fused:
                inner[local] = f"{source}.{alias.name}"
            else:
                kept.append(alias)
        node.names = kept


def _locals(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    # the names that a function binds, and those of the functions in it
    found: set[str] = set()
    shared: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.Global):
            shared |= set(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef) and node is not function:
            found.add(node.name)
    return found - shared


class _Renamer(ast.NodeTransformer):
    # gives the globals of a member their names in the fused module, and drops empty imports
    def __init__(self, renames: dict[str, str], inner: dict[str, str], fusion: Fusion) -> None:
        self._renames = renames
        self._inner = inner
        self._fusion = fusion
        self._hidden: list[set[str]] = []
        self._depth = 0

    def _hides(self) -> set[str]:
        return set().union(*self._hidden)

    def _scoped(self, node: ast.AST, hidden: set[str]) -> ast.AST:
        self._hidden.append(hidden)
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        self._hidden.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not self._depth:
            node.name = self._renames.get(node.name, node.name)
        # defaults and decorators see the scope around the function
        defaults = [self.visit(one) for one in node.args.defaults]
        node.args.defaults = []
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        self._scoped(node, _locals(node))
        node.args.defaults = defaults
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._scoped(node, _locals(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if not self._depth:
            node.name = self._renames.get(node.name, node.name)
        node.bases = [self.visit(one) for one in node.bases]
        own = {name for item in node.body for name in targets(item)}
        self._depth += 1
        for number, item in enumerate(node.body):
            if isinstance(item, ast.FunctionDef):
                node.body[number] = self.visit(item)
            else:
                # the value, but not the attribute that it is given to
                self._hidden.append(own)
                node.body[number] = self.visit(item)
                self._hidden.pop()
        self._depth -= 1
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._hides():
            assert node.id not in self._inner, f"{node.id} is no object in a fused module"
            node.id = self._renames.get(node.id, node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._renames.get(name, name) for name in node.names]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = node.value
        if (
            isinstance(value, ast.Name)
            and value.id in self._inner
            and value.id not in self._hides()
        ):
            return ast.Name(self._fusion.name(self._inner[value.id], node.attr), node.ctx)
        return self.generic_visit(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        if not self._depth:
            for alias in node.names:
                local = alias.asname or alias.name
                now = self._renames.get(local, local)
                if now != local:
                    alias.asname = now
        return node if node.names else None

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return self._import(node)
