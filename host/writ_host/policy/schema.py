"""The schema of policy.toml: each table and key, read strictly into plain values.

Roles become bit masks: bit 0 is "any", bit n the n-th name of [roles].
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from writ.authority.capsule import TIME_MAX, check_name
from writ.authority.policy import FRESH, METHODS, QUORUM, ROLE_MEMBER
from writ.errors import BadShape
from writ.limits import PATH_BYTES_MAX, ROLES_MAX

from ..names import RULE
from .approvals import APPROVAL_RULES_MAX, KINDS, OPERATORS_MAX, ApprovalRule, Approvals
from .strict_toml import Source, Table, read_toml, suggestion
from .text import ANY, LINKS

VERDICTS = ("allow", "deny", "NotAllowed", "NotFresh", "NeedsAction", "Revoked")

_METHOD_BITS = {name: bit for bit, name in METHODS.items()}
_TEST_METHODS = {name.lower(): code for code, name in enumerate(METHODS.values(), 1)}

_TOP = ("base", "revoked", "roles", "rule", "route", "approvals", "test")
_RULE = ("from", "to", "resource", "methods", "fresh", "quorum")
_ROUTE = ("class", "send", "relay", "links", "hops", "airtime", "priority")
_APPROVAL = ("kind", "operators", "roles", "renew")
_TEST = ("from", "to", *_TEST_METHODS, "fresh", "action", "expect")


@dataclass(frozen=True)
class Rule:
    """One [[rule]]: role masks, paths, a method mask, and the flags FRESH and QUORUM."""

    line: int | None
    subjects: int
    objects: int
    resources: tuple[str, ...]
    methods: int
    flags: int

    def rows(self) -> list[list[Any]]:
        """Its rules in wire form, one for each resource that no other of its resources covers."""
        flags = [self.flags] if self.flags else []
        return [
            [self.subjects, self.objects, path, self.methods, *flags]
            for path in self.resources
            if not any(path != other and path_covers(other, path) for other in self.resources)
        ]


@dataclass(frozen=True)
class Route:
    """One [[route]]; `row` is its wire form (writ.authority.policy.check_route)."""

    line: int | None
    row: tuple[int, ...]


@dataclass(frozen=True)
class PolicyTest:
    """One [[test]]: a request, and the verdict that it expects (one of VERDICTS)."""

    line: int | None
    subject: str
    target: str
    method: int
    path: str
    is_fresh: bool
    has_action: bool
    expect: str


@dataclass(frozen=True)
class PolicyDocument:
    """The content of a policy file. Role n of `roles` (from 1) is bit n of a mask.

    base: epoch and head (6 bytes) of the state that the file was made from, None if it names none.
    """

    source: Source
    roles: dict[str, str]
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    approvals: Approvals
    revoked: tuple[str, ...]
    tests: tuple[PolicyTest, ...]
    base: tuple[int, bytes] | None = None


def read_policy(text: str, name: str) -> PolicyDocument:
    """The policy in a TOML text; errors name the file `name`. Raises `PolicyError`."""
    source, values = read_toml(text, name)
    root = Table(source, values, _TOP)
    roles = _roles(root.table("roles", None))
    return PolicyDocument(
        source,
        roles,
        tuple(_rule(table, roles) for table in root.tables("rule", _RULE, _TOP)),
        _routes(root, roles),
        _approvals(root, roles),
        root.texts("revoked", ()),
        tuple(_test(table) for table in root.tables("test", _TEST, _TOP)),
        _base(root),
    )


def _base(root: Table) -> tuple[int, bytes] | None:
    if not root.has("base"):
        return None
    table = root.table("base", ("epoch", "head"))
    head = table.text("head")
    if not re.fullmatch(r"[0-9a-f]{12}", head):
        advice = "Leave this line to the commands: writ policy rebase writes it."
        raise table.error("head", f"'{head}' is not a head: 12 hex digits", advice)
    return table.number("epoch", TIME_MAX), bytes.fromhex(head)


def role_mask(roles: Iterable[str], word: str) -> int:
    """The mask of one role, 0 if `word` names none; `roles`: the names of bits 1, 2, ..."""
    if word == ANY:
        return ROLE_MEMBER
    return sum(1 << bit for bit, name in enumerate(roles, 1) if name == word)


def path_covers(wide: str, narrow: str) -> bool:
    """Whether the path pattern `wide` covers every path that the pattern `narrow` covers."""
    if not wide.endswith("*"):
        return wide == narrow
    return narrow.removesuffix("*").startswith(wide[:-1])


def _roles(table: Table) -> dict[str, str]:
    found = {}
    for name in table.values:
        try:
            check_name(name)
        except BadShape:
            raise table.error(
                name,
                f"'{name}' cannot be a role name",
                RULE[0].upper() + RULE[1:] + ".",
            ) from None
        if name == ANY:
            raise table.error(name, "every member has the role 'any' already", "Remove this line.")
        found[name] = table.text(name)
    if len(found) >= ROLES_MAX:
        message = f"{len(found)} roles; devices hold at most {ROLES_MAX - 1}"
        raise table.error("", message, "Merge roles that always occur together.")
    return found


def _mask(table: Table, key: str, roles: dict[str, str], empty: bool = False) -> int:
    mask = 0
    for word in table.texts(key, () if empty else None):
        bit = role_mask(roles, word)
        if not bit:
            advice = f"{suggestion(word, [*roles, ANY])}Add a new role at the end of [roles]."
            raise table.error(key, f"unknown role '{word}'", advice)
        mask |= bit
    # "any" includes all other roles
    return ROLE_MEMBER if mask & ROLE_MEMBER else mask


def _choices(table: Table, key: str, choices: dict[str, int]) -> int:
    mask = 0
    for word in table.texts(key):
        if word not in choices:
            advice = f"{suggestion(word, choices)}Allowed: {', '.join(choices)}."
            raise table.error(key, f"unknown value '{word}' of '{key}'", advice)
        mask |= choices[word]
    return mask


def _check_path(table: Table, key: str, path: str, pattern: bool) -> None:
    segments = path.split("/")
    advice = None
    if len(path.encode()) > PATH_BYTES_MAX:
        advice = f"A path has at most {PATH_BYTES_MAX} bytes."
    elif not path.isprintable() or " " in path or "?" in path:
        advice = "A path has no spaces, no control characters and no query."
    elif "" in segments:
        advice = (
            f"Write '{'/'.join(filter(None, segments)) or '*'}': no slash at the start or the end."
        )
    elif "." in segments or ".." in segments:
        advice = "Devices refuse the path segments '.' and '..'."
    elif "*" in path and not pattern:
        advice = "A test requests one path, without a star."
    elif "*" in path[:-1] or (path.endswith("*") and segments[-1] != "*"):
        advice = "A star must be the whole last segment: '*' or 'pump/*'."
    if advice:
        raise table.error(key, f"'{path}' cannot be a path", advice)


def _rule(table: Table, roles: dict[str, str]) -> Rule:
    resources = table.texts("resource")
    for path in resources:
        _check_path(table, "resource", path, True)
    return Rule(
        table.line(),
        _mask(table, "from", roles),
        _mask(table, "to", roles),
        resources,
        _choices(table, "methods", _METHOD_BITS),
        FRESH * table.flag("fresh") | QUORUM * table.flag("quorum"),
    )


def _routes(root: Table, roles: dict[str, str]) -> tuple[Route, ...]:
    links = {name: 1 << bit for bit, name in enumerate(LINKS)}
    found: list[Route] = []
    for table in root.tables("route", _ROUTE, _TOP):
        row = (
            table.number("class", 15),
            _mask(table, "send", roles),
            _mask(table, "relay", roles, empty=True),
            _choices(table, "links", links),
            table.number("hops", 15),
            table.number("airtime", 1000),
            table.number("priority", 7, 0),
        )
        if any(route.row[0] == row[0] for route in found):
            message = f"a second route for class {row[0]}"
            raise table.error("class", message, "A class has one route: merge or renumber them.")
        found.append(Route(table.line(), row))
    return tuple(found)


def _approvals(root: Table, roles: dict[str, str]) -> Approvals:
    approvals = root.table("approvals", ("operators", "rule"))
    found: list[ApprovalRule] = []
    tables = approvals.tables("rule", _APPROVAL, _TOP)
    for table in tables:
        if len(found) == APPROVAL_RULES_MAX:
            message = f"{len(tables)} approval rules; a policy holds at most {APPROVAL_RULES_MAX}"
            raise table.error("", message, "Merge some: a rule may name several roles.")
        kind = table.text("kind")
        if kind not in KINDS:
            advice = f"{suggestion(kind, KINDS)}Allowed: {', '.join(KINDS)}."
            raise table.error("kind", f"unknown kind '{kind}'", advice)
        for key in ("roles", "renew"):
            if kind != "member" and table.has(key):
                raise table.error(key, f"'{key}' is only for members", f"Remove '{key}'.")
        mask = _mask(table, "roles", roles) if kind == "member" else 0
        operators = table.number("operators", OPERATORS_MAX)
        found.append(ApprovalRule(table.line(), kind, operators, mask, table.flag("renew")))
    return Approvals(tuple(found), approvals.number("operators", OPERATORS_MAX, 1))


def _test(table: Table) -> PolicyTest:
    methods = [key for key in _TEST_METHODS if table.has(key)]
    if len(methods) != 1:
        message = f"a test needs exactly one request, this one has {len(methods)}"
        raise table.error("", message, 'Write one line such as: get = "temp"')
    path = table.text(methods[0])
    _check_path(table, methods[0], path, False)
    expect = table.text("expect")
    if expect not in VERDICTS:
        advice = f"{suggestion(expect, VERDICTS)}Allowed: {', '.join(VERDICTS)}."
        raise table.error("expect", f"unknown verdict '{expect}'", advice)
    return PolicyTest(
        table.line(),
        table.text("from"),
        table.text("to"),
        _TEST_METHODS[methods[0]],
        path,
        table.flag("fresh"),
        table.flag("action"),
        expect,
    )
