"""The difference between two policies: who may now do what, and who may no longer do it.

Decisions are compared, not texts. A member's roles only add up in `decide`, so it is enough to
compare all pairs of single roles. The patterns of all rules divide the paths into cells, and within
one cell every path gets the same decision.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from writ.authority.policy import (
    METHODS,
    ROLE_MEMBER,
    Policy,
    decide,
    path_matches,
)

from .schema import path_covers
from .strict_toml import listing
from .text import approval_rows, bits, method_text, node_text, role_name, role_text, route_text

# A verdict has one bit for each circumstance in which a request is allowed. Bit 0: neither a fresh
# beacon nor an action; bit 1: a fresh beacon; bit 2: a certified action; bit 3: both.
NEVER = 0
ALWAYS = 15
_VERDICTS = {
    NEVER: "not at all",
    0b1010: "with a fresh beacon",
    0b1100: "with a certified action",
    0b1000: "with a fresh beacon and a certified action",
    0b1110: "with a fresh beacon or a certified action",
    ALWAYS: "always",
}


@dataclass(frozen=True)
class AccessChange:
    """One change of what each of the `subjects` may do on each of the `objects`.

    subjects, objects: role bits (0: any member); methods: mask; path: a rule's pattern, except the
    patterns in `exceptions`; before, after: verdicts, NEVER to ALWAYS; text: a sentence.
    """

    subjects: tuple[int, ...]
    objects: tuple[int, ...]
    methods: int
    path: str
    exceptions: tuple[str, ...]
    before: int
    after: int
    text: str

    def covers(self, path: str) -> bool:
        """Whether the change applies to a request for this path."""
        return path_matches(self.path, path) and not any(
            path_matches(exception, path) for exception in self.exceptions
        )


@dataclass(frozen=True)
class Diff:
    """All differences. A change of a rule's conditions is in both `allowed` and `forbidden`.

    allowed, forbidden: changes by rules; roles, routes, grants, approvals, governors, voided: one
    sentence each; revoked, restored: nodes; dropped: nodes that need not be listed any more.
    """

    allowed: tuple[AccessChange, ...]
    forbidden: tuple[AccessChange, ...]
    roles: tuple[str, ...]
    routes: tuple[str, ...]
    grants: tuple[str, ...]
    revoked: tuple[str, ...]
    restored: tuple[str, ...]
    approvals: tuple[str, ...]
    governors: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    voided: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs except the order and the wording of rules."""
        return any(vars(self).values())

    def lines(self) -> list[str]:
        """One line for each difference, the most critical first; one line if there is none."""
        sections = (
            ("governors", self.governors),
            ("approvals", self.approvals),
            ("roles", self.roles),
            ("newly allowed", [change.text for change in self.allowed]),
            ("newly forbidden", [change.text for change in self.forbidden]),
            ("granted", self.grants),
            ("revoked", self.revoked),
            ("restored", self.restored),
            ("void", self.voided),
            ("expired or void, listed no longer", self.dropped),
            ("routes", self.routes),
        )
        found = [f"{title}: {text}" for title, items in sections for text in items]
        return found or ["no change in what is allowed"]


def diff(
    old: Policy,
    new: Policy,
    names: Mapping[bytes, str] | None = None,
    spent: Iterable[bytes] = (),
) -> Diff:
    """The differences from `old` to `new`; `names`: {node id: name} of known members.

    spent: revoked node ids that may leave the list, which is no restoration (scope/revocation.py).
    """
    changes = _access_changes(old, new)
    before, after = set(old.revoked), set(new.revoked)
    dropped = (before - after) & set(spent)
    return Diff(
        tuple(change for change in changes if change.after & ~change.before),
        tuple(change for change in changes if change.before & ~change.after),
        tuple(_role_changes(old, new)),
        tuple(_route_changes(old, new)),
        tuple(_grant_changes(old, new, names)),
        tuple(node_text(node, names) for node in sorted(after - before)),
        tuple(node_text(node, names) for node in sorted(before - after - dropped)),
        tuple(_approval_changes(old, new)),
        tuple(_governor_changes(old, new)),
        tuple(node_text(node, names) for node in sorted(dropped)),
        tuple(_void_changes(old, new)),
    )


# A change for one pair of roles: method bit, path, exceptions, verdict before, verdict after.
_Entry = tuple[int, str, tuple[str, ...], int, int]
_Rules = tuple[tuple[Any, ...], ...]


def _access_changes(old: Policy, new: Policy) -> list[AccessChange]:
    if old.rules == new.rules:
        return []
    # a role that no rule names may do what "any" may do
    used = ROLE_MEMBER
    for rule in [*old.rules, *new.rules]:
        used |= rule[0] | rule[1]
    known: dict[tuple[_Rules, _Rules], frozenset[_Entry]] = {}
    entries: dict[tuple[int, int], frozenset[_Entry]] = {}
    for subject in bits(used):
        for target in bits(used):
            pair = _rules_between(old, subject, target), _rules_between(new, subject, target)
            if pair not in known:
                known[pair] = _entries(*pair)
            entries[subject, target] = known[pair]
    grouped: dict[tuple[Any, ...], dict[tuple[int, int], int]] = defaultdict(dict)
    for (subject, target), found in entries.items():
        # a change for any member is not repeated for each role
        wider = {(0, 0), (0, target), (subject, 0)} - {(subject, target)}
        for entry in found.difference(*(entries[pair] for pair in wider)):
            pairs = grouped[entry[1:]]
            pairs[subject, target] = pairs.get((subject, target), 0) | entry[0]
    found_changes = [
        _change(old, new, subjects, objects, methods, key)
        for key, pairs in grouped.items()
        for subjects, objects, methods in _blocks(pairs)
    ]
    # all of it: `grouped` comes from sets, whose order differs from run to run
    return sorted(found_changes, key=_order)


def _order(change: AccessChange) -> tuple[Any, ...]:
    return tuple(vars(change)[name] for name in ("path", "subjects", "objects", "methods", "text"))


def _rules_between(policy: Policy, subject: int, target: int) -> _Rules:
    """The rules that apply between two roles, with the roles themselves left out."""
    subject_roles, own_roles = 1 << subject | ROLE_MEMBER, 1 << target | ROLE_MEMBER
    return tuple(
        (ROLE_MEMBER, ROLE_MEMBER, *rule[2:])
        for rule in policy.rules
        if rule[0] & subject_roles and rule[1] & own_roles
    )


def _entries(old: _Rules, new: _Rules) -> frozenset[_Entry]:
    """The changes between two lists of rules, which all apply."""
    cells = sorted({rule[2] for rule in old + new}, key=lambda cell: (len(cell), cell))
    parents = {
        cell: max((c for c in cells if c != cell and path_covers(c, cell)), key=len, default=None)
        for cell in cells
    }
    found = set()
    for code, bit in enumerate(METHODS, 1):
        verdicts = {
            cell: (_verdict(old, code, path), _verdict(new, code, path))
            for cell, path in ((cell, _sample(cell, cells)) for cell in cells)
        }
        for cell, (before, after) in verdicts.items():
            parent = parents[cell]
            if before == after or (parent is not None and verdicts[parent] == (before, after)):
                continue
            exceptions = tuple(_exceptions(cell, parents, verdicts))
            found.add((bit, cell, exceptions, before, after))
    return frozenset(found)


def _exceptions(
    cell: str, parents: Mapping[str, str | None], verdicts: Mapping[str, tuple[int, int]]
) -> list[str]:
    found = []
    for child in parents:
        if parents[child] == cell:
            same = verdicts[child] == verdicts[cell]
            found += _exceptions(child, parents, verdicts) if same else [child]
    return found


def _sample(cell: str, cells: Iterable[str]) -> str:
    """A path of this cell that belongs to no narrower cell."""
    if not cell.endswith("*"):
        return cell
    path = cell[:-1] + "~"
    while path in cells:
        path += "~"
    return path


def _verdict(rules: _Rules, method: int, path: str) -> int:
    state = SimpleNamespace(rules=rules)
    verdict = 0
    for case in range(4):
        reason, _ = decide(
            state, ROLE_MEMBER, ROLE_MEMBER, method, path, bool(case & 1), bool(case & 2)
        )
        if reason is None:
            verdict |= 1 << case
    return verdict


def _blocks(
    pairs: Mapping[tuple[int, int], int],
) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Pairs of roles with their methods, grouped into few (subjects, objects, methods)."""
    rows: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (subject, target), methods in sorted(pairs.items()):
        rows[subject, methods].append(target)
    blocks: dict[tuple[tuple[int, ...], int], list[int]] = defaultdict(list)
    for (subject, methods), targets in rows.items():
        blocks[tuple(targets), methods].append(subject)
    return [(tuple(subjects), targets, methods) for (targets, methods), subjects in blocks.items()]


def _change(
    old: Policy,
    new: Policy,
    subjects: tuple[int, ...],
    objects: tuple[int, ...],
    methods: int,
    key: tuple[Any, ...],
) -> AccessChange:
    path, exceptions, before, after = key
    names = new if len(new.role_names) >= len(old.role_names) else old
    who = listing([role_name(names, bit) for bit in subjects], "or")
    on = listing([role_name(names, bit) for bit in objects], "or")
    what = f"{method_text(methods)} {path}"
    if exceptions:
        what += f" (except {listing(exceptions)})"
    if after == NEVER:
        was = "" if before == ALWAYS else f" (was: {_VERDICTS[before]})"
        text = f"{who} may no longer {what} on {on}{was}"
    else:
        only = "" if after == ALWAYS else f" {_VERDICTS[after]}"
        only = " only" + only if only and before & ~after else only
        was = "" if before == NEVER else f" (was: {_VERDICTS[before]})"
        text = f"{who} may {what} on {on}{only}{was}"
    return AccessChange(subjects, objects, methods, path, exceptions, before, after, text)


def _role_changes(old: Policy, new: Policy) -> Iterable[str]:
    before, after = list(old.role_names), list(new.role_names)
    for place in range(max(len(before), len(after))):
        was = before[place] if place < len(before) else None
        now = after[place] if place < len(after) else None
        if was is None:
            yield f"role {place + 1} is new: {now}"
        elif now is None:
            yield f"role {place + 1} loses its name {was}; its members keep the role"
        elif was != now:
            number = place + 1
            yield f"role {number} is renamed from {was} to {now}; its members keep role {number}"


def _approval_changes(old: Policy, new: Policy) -> Iterable[str]:
    before, after = approval_rows(old), approval_rows(new)
    if before == after:
        return
    # of two rules for the same subject the first one decides
    was, now = dict(reversed(before)), dict(reversed(after))
    for what, operators in after:
        if was.get(what) != operators:
            yield f"{what}: {operators} (was: {was.get(what, 'no rule of its own')})"
    for what, operators in before:
        if what not in now:
            yield f"{what}: no rule of its own now (was: {operators})"
    common = [what for what, _ in before if what in now]
    if common != [what for what, _ in after if what in was]:
        yield "the order of the rules changes; the first rule that applies decides"


def _governor_changes(old: Policy, new: Policy) -> Iterable[str]:
    if old.committee != new.committee:
        was, now = (one.hex() if one else "the charter's" for one in (old.committee, new.committee))
        yield f"another committee comes into force: {now} (was: {was})"


def _void_changes(old: Policy, new: Policy) -> Iterable[str]:
    if old.void_before != new.void_before:
        was = old.void_before or "no epoch"
        yield f"memberships from before epoch {new.void_before or 0} (was: {was})"


def _route_changes(old: Policy, new: Policy) -> Iterable[str]:
    for number in sorted({route[0] for route in [*old.routes, *new.routes]}):
        before = [route for route in old.routes if route[0] == number]
        after = [route for route in new.routes if route[0] == number]
        if before != after:
            was = [route_text(old, route) for route in before]
            now = [route_text(new, route) for route in after]
            text = "; ".join(now) or "no route"
            yield f"class {number}: {text} (was: {'; '.join(was) or 'no route'})"


def _grant_changes(old: Policy, new: Policy, names: Mapping[bytes, str] | None) -> Iterable[str]:
    for node in sorted({*old.grants, *new.grants}):
        before, after = old.grants.get(node, 0), new.grants.get(node, 0)
        if gained := after & ~before:
            yield f"{node_text(node, names)} gains {role_text(new, gained, 'and')}"
        if lost := before & ~after:
            yield f"{node_text(node, names)} loses {role_text(old, lost, 'and')}"
