"""What policy.toml may say: each table and key, read strictly into plain values.

Roles become masks here: bit 0 is "any", bit n the n-th name of [roles].
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from writ.authority.capsule import check_name
from writ.authority.policy import FRESH, METHODS, QUORUM, ROLE_MEMBER
from writ.errors import BadShape
from writ.limits import NAME_BYTES_MAX, PATH_BYTES_MAX, ROLES_MAX

from .approvals import APPROVAL_RULES_MAX, KINDS, OPERATORS_MAX, ApprovalRule, Approvals
from .strict_toml import Source, Table, read_toml, suggestion
from .text import ANY, LINKS

VERDICTS = ("allow", "deny", "NotAllowed", "NotFresh", "NeedsAction", "Revoked")

_METHOD_BITS = {name: bit for bit, name in METHODS.items()}
_TEST_METHODS = {name.lower(): code for code, name in enumerate(METHODS.values(), 1)}

_TOP = ("revoked", "roles", "rule", "route", "approvals", "test")
_RULE = ("from", "to", "resource", "methods", "fresh", "quorum")
_ROUTE = ("class", "send", "relay", "links", "hops", "airtime", "priority")
_APPROVAL = ("kind", "operators", "roles", "renew")
_TEST = ("from", "to", *_TEST_METHODS, "fresh", "action", "expect")


@dataclass(frozen=True)
class Rule:
    """One [[rule]]: masks of roles, paths, a mask of methods, FRESH and QUORUM."""

    line: int | None
    subjects: int
    objects: int
    resources: tuple[str, ...]
    methods: int
    flags: int

    def rows(self) -> list[list[Any]]:
        """Its rules on the wire, one a resource; a path that another one covers needs none."""
        flags = [self.flags] if self.flags else []
        return [
            [self.subjects, self.objects, path, self.methods, *flags]
            for path in self.resources
            if not any(path != other and path_covers(other, path) for other in self.resources)
        ]


@dataclass(frozen=True)
class Route:
    """One [[route]]; `row` is its form on the wire (writ.policy.check_route)."""

    line: int | None
    row: tuple[int, ...]


@dataclass(frozen=True)
class Test:
    """One [[test]]: a request, and what should come of it (one of VERDICTS)."""

    __test__ = False  # none of pytest's

    line: int | None
    subject: str
    target: str
    method: int
    path: str
    is_fresh: bool
    has_action: bool
    expect: str


@dataclass(frozen=True)
class Written:
    """All that a policy file says. Role n of `roles` (from 1) is bit n of a mask."""

    source: Source
    roles: dict[str, str]
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    approvals: Approvals
    revoked: tuple[str, ...]
    tests: tuple[Test, ...]


def read_policy(text: str, name: str) -> Written:
    """The policy in a TOML text; `name` stands in errors. Raises `PolicyError`."""
    source, values = read_toml(text, name)
    root = Table(source, values, _TOP)
    roles = _roles(root.table("roles", None))
    return Written(
        source,
        roles,
        tuple(_rule(table, roles) for table in root.tables("rule", _RULE, _TOP)),
        _routes(root, roles),
        _approvals(root, roles),
        root.words("revoked", ()),
        tuple(_test(table) for table in root.tables("test", _TEST, _TOP)),
    )


def role_mask(roles: Iterable[str], word: str) -> int:
    """The mask of one role, or 0 for a word that is none; `roles`: names of bits 1, 2, ..."""
    if word == ANY:
        return ROLE_MEMBER
    return sum(1 << bit for bit, name in enumerate(roles, 1) if name == word)


def path_covers(wide: str, narrow: str) -> bool:
    """Whether a rule's path `wide` covers all that a rule's path `narrow` covers."""
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
                f"'{name}' cannot be a role's name",
                f"Names have 1 to {NAME_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'.",
            ) from None
        if name == ANY:
            raise table.error(name, "'any' is every member's role already", "Remove this line.")
        found[name] = table.text(name)
    if len(found) >= ROLES_MAX:
        message = f"{len(found)} roles, devices hold {ROLES_MAX - 1}"
        raise table.error("", message, "Let roles that always go together be one.")
    return found


def _mask(table: Table, key: str, roles: dict[str, str], empty: bool = False) -> int:
    mask = 0
    for word in table.words(key, () if empty else None):
        bit = role_mask(roles, word)
        if not bit:
            advice = f"{suggestion(word, [*roles, ANY])}A new role goes to the end of [roles]."
            raise table.error(key, f"unknown role '{word}'", advice)
        mask |= bit
    # who is anybody needs no other role
    return ROLE_MEMBER if mask & ROLE_MEMBER else mask


def _choices(table: Table, key: str, choices: dict[str, int]) -> int:
    mask = 0
    for word in table.words(key):
        if word not in choices:
            advice = f"{suggestion(word, choices)}Known here: {', '.join(choices)}."
            raise table.error(key, f"unknown word '{word}' in '{key}'", advice)
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
        advice = f"Write '{'/'.join(filter(None, segments)) or '*'}': no slash first or last."
    elif "." in segments or ".." in segments:
        advice = "Devices refuse the segments '.' and '..'."
    elif "*" in path and not pattern:
        advice = "A test asks for one path, without a star."
    elif "*" in path[:-1] or (path.endswith("*") and segments[-1] != "*"):
        advice = "A star is the whole last segment: '*' or 'pump/*'."
    if advice:
        raise table.error(key, f"'{path}' cannot be a path", advice)


def _rule(table: Table, roles: dict[str, str]) -> Rule:
    resources = table.words("resource")
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
            raise table.error("class", message, "A class is one route: join them, or number anew.")
        found.append(Route(table.line(), row))
    return tuple(found)


def _approvals(root: Table, roles: dict[str, str]) -> Approvals:
    approvals = root.table("approvals", ("operators", "rule"))
    found: list[ApprovalRule] = []
    tables = approvals.tables("rule", _APPROVAL, _TOP)
    for table in tables:
        if len(found) == APPROVAL_RULES_MAX:
            message = f"{len(tables)} approval rules, a policy holds {APPROVAL_RULES_MAX}"
            raise table.error("", message, "Join some: a rule may name several roles.")
        kind = table.text("kind")
        if kind not in KINDS:
            advice = f"{suggestion(kind, KINDS)}Known here: {', '.join(KINDS)}."
            raise table.error("kind", f"unknown kind '{kind}'", advice)
        for key in ("roles", "renew"):
            if kind != "member" and table.has(key):
                raise table.error(key, f"'{key}' is for members only", f"Remove '{key}'.")
        mask = _mask(table, "roles", roles) if kind == "member" else 0
        operators = table.number("operators", OPERATORS_MAX)
        found.append(ApprovalRule(table.line(), kind, operators, mask, table.flag("renew")))
    return Approvals(tuple(found), approvals.number("operators", OPERATORS_MAX, 1))


def _test(table: Table) -> Test:
    methods = [key for key in _TEST_METHODS if table.has(key)]
    if len(methods) != 1:
        message = f"a test has one request, this one has {len(methods)}"
        raise table.error("", message, 'Write one line such as: get = "temp"')
    path = table.text(methods[0])
    _check_path(table, methods[0], path, False)
    expect = table.text("expect")
    if expect not in VERDICTS:
        advice = f"{suggestion(expect, VERDICTS)}Known here: {', '.join(VERDICTS)}."
        raise table.error("expect", f"unknown verdict '{expect}'", advice)
    return Test(
        table.line(),
        table.text("from"),
        table.text("to"),
        _TEST_METHODS[methods[0]],
        path,
        table.flag("fresh"),
        table.flag("action"),
        expect,
    )
