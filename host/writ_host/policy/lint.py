"""Warnings about a policy file: valid, but probably not intended."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from writ.authority.policy import FRESH, QUORUM, ROLE_MEMBER
from writ.mesh.frame import JOIN_CLASS
from writ.mesh.permit import GOVERNANCE, MESSAGES

from .schema import path_covers, role_mask
from .source import MemberLike, PolicyFile
from .strict_toml import listing
from .text import bits, flags_of


def warnings(
    file: PolicyFile,
    members: Iterable[MemberLike] | None = None,
    grants: Mapping[bytes, int] | None = None,
    has_links: bool = False,
) -> list[str]:
    """The warnings, each "policy.toml:12: ...".

    members: all members of the scope; None if unknown: then unused roles are not reported and tests
    may name any member. has_links: whether a node is known that has links without IP. Raises
    `PolicyError` as `run_tests` does.
    """
    known = None if members is None else list(members)
    found = [*_shadows(file), *_roles(file, known, grants or {}), *_routes(file)]
    if file.routes or has_links:
        found += _missing_routes(file)
    found += _approvals(file)
    found += _tests(file, known, grants)
    found.sort(key=lambda item: item[0] or 0)
    return [f"{file.source.where(line)}: {text}" for line, text in found]


_Found = list[tuple[int | None, str]]


def _mask_covers(wide: int, narrow: int) -> bool:
    return bool(wide & ROLE_MEMBER) or not narrow & ~wide


def _covers(wide: list[Any], narrow: list[Any]) -> bool:
    # whether `wide` allows every request that `narrow` allows, with no further condition
    return (
        _mask_covers(wide[0], narrow[0])
        and _mask_covers(wide[1], narrow[1])
        and path_covers(wide[2], narrow[2])
        and not narrow[3] & ~wide[3]
        and not flags_of(wide) & ~flags_of(narrow)
    )


def _shadows(file: PolicyFile) -> _Found:
    found: _Found = []
    rows = [(rule.line, row) for rule in file.rules for row in rule.rows()]
    for place, (line, row) in enumerate(rows):
        for other_place, (other_line, other) in enumerate(rows):
            # of two equal rules only the later one is redundant
            if other_place == place or not _covers(other, row):
                continue
            if _covers(row, other) and place < other_place:
                continue
            at = "another rule" if other_line is None else f"the rule of line {other_line}"
            void = flags_of(row) & ~flags_of(other)
            if void:
                conditions = [text for flag, text in _CONDITIONS.items() if void & flag]
                text = f"requires {listing(conditions)}, but {at} allows the same without that"
            elif row == other:
                text = f"repeats {at}"
            else:
                text = f"is redundant: {at} is wider"
            found.append((line, f"{row[2]}: this rule {text}"))
            break
    return found


_CONDITIONS = {FRESH: "a fresh beacon", QUORUM: "a certified action"}


def _roles(
    file: PolicyFile, members: list[MemberLike] | None, grants: Mapping[bytes, int]
) -> _Found:
    found: _Found = []
    names = ["any", *file.roles]
    used: dict[int, list[int | None]] = {}
    for rule in file.rules:
        for bit in bits(rule.subjects | rule.objects):
            used.setdefault(bit, []).append(rule.line)
    for route in file.routes:
        for bit in bits(route.row[1] | route.row[2]):
            used.setdefault(bit, []).append(route.line)
    for bit in range(1, len(names)):
        if bit not in used:
            line = file.source.line("roles", 0, names[bit])
            found.append((line, f"no rule and no route uses the role '{names[bit]}'"))
    if members is None:
        return found
    revoked = file.revoked_ids(members)
    held = ROLE_MEMBER
    for member in members:
        if member.node_id not in revoked:
            held |= member.roles | grants.get(member.node_id, 0)
    for bit, lines in sorted(used.items()):
        if not held >> bit & 1:
            found.append((lines[0], f"no member has the role '{names[bit]}'"))
    return found


def _routes(file: PolicyFile) -> _Found:
    found: _Found = []
    for route in file.routes:
        number, send, relay, _, hops, airtime, _ = route.row
        if number == JOIN_CLASS:
            # `relay` answers those who join, and nothing is forwarded
            if not relay:
                found.append((route.line, "no role relays: no node answers one that joins"))
            if send & ROLE_MEMBER:
                text = "every member may make link keys: set `send` to a role of the gateways"
                found.append((route.line, text))
        elif hops and not relay:
            found.append((route.line, "no role relays these frames: hops have no effect"))
        elif relay and not hops:
            found.append((route.line, "0 hops: the relays have no effect"))
        if not airtime:
            found.append((route.line, "0 airtime: these frames are never sent"))
    return found


_MISSING = {
    GOVERNANCE: "the mesh is silent: its own frames, handshakes and capsules are of class 0",
    MESSAGES: "the mesh carries no requests and no answers",
    JOIN_CLASS: "no node can join over the mesh",
}


def _missing_routes(file: PolicyFile) -> _Found:
    found: _Found = []
    numbers = {route.row[0] for route in file.routes}
    line = file.routes[0].line if file.routes else None
    for number, effect in _MISSING.items():
        if number not in numbers:
            found.append((line, f"no route has class {number}: {effect}"))
            if number == GOVERNANCE:
                # nothing else matters then
                break
    return found + _missing_relays(file)


def _missing_relays(file: PolicyFile) -> _Found:
    """The roles that relay frames of the mesh itself, but no requests: those behind are mute."""
    routes = {route.row[0]: route for route in file.routes}
    if GOVERNANCE not in routes or MESSAGES not in routes:
        return []
    relays, route = routes[GOVERNANCE].row[2], routes[MESSAGES]
    # without hops the route is for neighbours only, and says so
    if not route.row[4] or _mask_covers(route.row[2], relays):
        return []
    names = ["any", *file.roles]
    missing = [f"'{names[bit]}'" for bit in bits(relays & ~route.row[2])]
    text = (
        f"class {MESSAGES} is not relayed by {listing(missing)}, which relays class {GOVERNANCE}:"
        " requests to nodes behind such a relay end with NoRoute"
    )
    return [(route.line, text)]


def _approvals(file: PolicyFile) -> _Found:
    found: _Found = []
    if not file.approvals.operators:
        line = file.source.line("approvals", 0, "operators")
        found.append(
            (
                line,
                "0 operators: what no approval rule covers needs no approval",
            )
        )
    for rule in file.approvals.rules:
        if rule.operators:
            continue
        if rule.kind in ("policy", "release", "succession"):
            found.append((rule.line, f"every {rule.kind} is certified without approval"))
        elif rule.kind == "member" and not rule.renew:
            found.append(
                (
                    rule.line,
                    "every request for these roles is granted without approval",
                )
            )
    return found


def _tests(
    file: PolicyFile, members: list[MemberLike] | None, grants: Mapping[bytes, int] | None
) -> _Found:
    if not file.rules:
        return [(None, "no rule: every request is denied")]
    if not file.tests:
        return [(None, "no test: add a [[test]] for requests that must and must not be allowed")]
    found: _Found = []
    if all(test.expect == "allow" for test in file.tests):
        found.append((None, "no test expects a denial: add one for what must not be allowed"))
    words = {word for test in file.tests for word in (test.subject, test.target)}
    if members is None:
        if not all(role_mask(file.roles, word) for word in words):
            return found
        # revocation has no effect on tests that name roles only
        file = replace(file, revoked=())
    met = {line for result in file.run_tests(members or [], grants) for line in result.lines}
    for rule in file.rules:
        if rule.line is not None and rule.line not in met:
            found.append((rule.line, "no test reaches this rule"))
    return found
