"""What a change of policy means: who may now do what, who may no longer, and its amendment.

The comparison is of decisions, not of text. Roles only add up in `decide`, so all pairs of single
roles say everything about all members; paths fall into as many cells as there are patterns.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from writ.authority import capsule
from writ.authority.policy import (
    METHODS,
    OP_ADD_RULE,
    OP_GRANT,
    OP_REMOVE_RULE,
    OP_RESTORE,
    OP_SET,
    PARAM_APPROVALS,
    PARAM_COMMITTEE,
    ROLE_MEMBER,
    Policy,
    check_amendment,
    decide,
    path_matches,
)
from writ.errors import Rejection

from .schema import path_covers
from .source import PolicyFile
from .strict_toml import listing
from .text import approval_rows, bits, method_text, node_text, role_name, role_text, route_text

# A verdict has a bit for each circumstance in which a request is allowed; bit 0: nothing special,
# bit 1: the beacon is fresh, bit 2: there is a certified action, bit 3: both.
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
class Change:
    """One difference in what is allowed, for each of `subjects` upon each of `objects`.

    subjects, objects: role bits (0: any member); methods: mask; path: a rule's pattern, but for
    the patterns in `exceptions`; before, after: verdicts, NEVER to ALWAYS.
    """

    subjects: tuple[int, ...]
    objects: tuple[int, ...]
    methods: int
    path: str
    exceptions: tuple[str, ...]
    before: int
    after: int
    words: str

    def covers(self, path: str) -> bool:
        """Whether a request's path is among the paths of this change."""
        return path_matches(self.path, path) and not any(
            path_matches(exception, path) for exception in self.exceptions
        )


@dataclass(frozen=True)
class Diff:
    """All that differs, in words. A change of conditions may both allow and forbid.

    allowed, forbidden: by rules; roles, routes, grants, approvals, governors: one line each;
    revoked, restored: nodes.
    """

    allowed: tuple[Change, ...]
    forbidden: tuple[Change, ...]
    roles: tuple[str, ...]
    routes: tuple[str, ...]
    grants: tuple[str, ...]
    revoked: tuple[str, ...]
    restored: tuple[str, ...]
    approvals: tuple[str, ...]
    governors: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything differs but the order and the wording of rules."""
        return any(vars(self).values())

    def lines(self) -> list[str]:
        """Everything, one line each, what needs most care first; one line if there is nothing."""
        sections = (
            ("governors", self.governors),
            ("approvals", self.approvals),
            ("roles", self.roles),
            ("newly allowed", [change.words for change in self.allowed]),
            ("newly forbidden", [change.words for change in self.forbidden]),
            ("granted", self.grants),
            ("revoked", self.revoked),
            ("restored", self.restored),
            ("frames", self.routes),
        )
        found = [f"{title}: {words}" for title, items in sections for words in items]
        return found or ["nothing changes in what is allowed"]


def diff(old: Policy, new: Policy, names: Mapping[bytes, str] | None = None) -> Diff:
    """What `new` means for whom `old` was in force; `names`: {node id: name} of known members."""
    changes = _changes(old, new)
    before, after = set(old.revoked), set(new.revoked)
    return Diff(
        tuple(change for change in changes if change.after & ~change.before),
        tuple(change for change in changes if change.before & ~change.after),
        tuple(_role_changes(old, new)),
        tuple(_route_changes(old, new)),
        tuple(_grant_changes(old, new, names)),
        tuple(node_text(node, names) for node in sorted(after - before)),
        tuple(node_text(node, names) for node in sorted(before - after)),
        tuple(_approval_changes(old, new)),
        tuple(_governor_changes(old, new)),
    )


# One difference for one pair of roles: method bit, path, exceptions, before, after
_Entry = tuple[int, str, tuple[str, ...], int, int]
_Rules = tuple[tuple[Any, ...], ...]


def _changes(old: Policy, new: Policy) -> list[Change]:
    if old.rules == new.rules:
        return []
    # a role that no rule names is no more than "any"
    used = ROLE_MEMBER
    for rule in [*old.rules, *new.rules]:
        used |= rule[0] | rule[1]
    known: dict[tuple[_Rules, _Rules], frozenset[_Entry]] = {}
    entries: dict[tuple[int, int], frozenset[_Entry]] = {}
    for subject in bits(used):
        for target in bits(used):
            pair = _between(old, subject, target), _between(new, subject, target)
            if pair not in known:
                known[pair] = _entries(*pair)
            entries[subject, target] = known[pair]
    grouped: dict[tuple[Any, ...], dict[tuple[int, int], int]] = defaultdict(dict)
    for (subject, target), found in entries.items():
        # what is said of any member is not said again of each role
        wider = {(0, 0), (0, target), (subject, 0)} - {(subject, target)}
        for entry in found.difference(*(entries[pair] for pair in wider)):
            pairs = grouped[entry[1:]]
            pairs[subject, target] = pairs.get((subject, target), 0) | entry[0]
    found_changes = [
        _change(old, new, subjects, objects, methods, key)
        for key, pairs in grouped.items()
        for subjects, objects, methods in _blocks(pairs)
    ]
    return sorted(found_changes, key=lambda change: (change.path, change.subjects, change.objects))


def _between(policy: Policy, subject: int, target: int) -> _Rules:
    """The rules that matter between two roles, without their roles."""
    subject_roles, own_roles = 1 << subject | ROLE_MEMBER, 1 << target | ROLE_MEMBER
    return tuple(
        (ROLE_MEMBER, ROLE_MEMBER, *rule[2:])
        for rule in policy.rules
        if rule[0] & subject_roles and rule[1] & own_roles
    )


def _entries(old: _Rules, new: _Rules) -> frozenset[_Entry]:
    """The differences between two lists of rules that all apply."""
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
    """A path of this cell and of no narrower one."""
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
    """Pairs of roles with their methods as (subjects, objects, methods), few of them."""
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
) -> Change:
    path, exceptions, before, after = key
    names = new if len(new.role_names) >= len(old.role_names) else old
    who = listing([role_name(names, bit) for bit in subjects], "or")
    on = listing([role_name(names, bit) for bit in objects], "or")
    what = f"{method_text(methods)} {path}"
    if exceptions:
        what += f" (but for {listing(exceptions)})"
    if after == NEVER:
        was = "" if before == ALWAYS else f" (was: {_VERDICTS[before]})"
        words = f"{who} may no longer {what} on {on}{was}"
    else:
        only = "" if after == ALWAYS else f" {_VERDICTS[after]}"
        only = " only" + only if only and before & ~after else only
        was = "" if before == NEVER else f" (was: {_VERDICTS[before]})"
        words = f"{who} may {what} on {on}{only}{was}"
    return Change(subjects, objects, methods, path, exceptions, before, after, words)


def _role_changes(old: Policy, new: Policy) -> Iterable[str]:
    before, after = list(old.role_names), list(new.role_names)
    for place in range(max(len(before), len(after))):
        was = before[place] if place < len(before) else None
        now = after[place] if place < len(after) else None
        if was is None:
            yield f"role {place + 1} is new: {now}"
        elif now is None:
            yield f"role {place + 1}, {was}, has no name any more; its members keep it"
        elif was != now:
            yield f"role {place + 1} was {was} and is now {now}: its members keep the number"


def _approval_changes(old: Policy, new: Policy) -> Iterable[str]:
    before, after = approval_rows(old), approval_rows(new)
    if before == after:
        return
    # of two rules for the same the first counts
    was, now = dict(reversed(before)), dict(reversed(after))
    for what, operators in after:
        if was.get(what) != operators:
            yield f"{what}: {operators} (was: {was.get(what, 'no rule of its own')})"
    for what, operators in before:
        if what not in now:
            yield f"{what}: no rule of its own any more (was: {operators})"
    common = [what for what, _ in before if what in now]
    if common != [what for what, _ in after if what in was]:
        yield "the rules come in another order, and the first that fits counts"


def _governor_changes(old: Policy, new: Policy) -> Iterable[str]:
    if old.committee != new.committee:
        was, now = (one.hex() if one else "the charter's" for one in (old.committee, new.committee))
        yield f"other governors or shares are in force: {now} (was: {was})"


def _route_changes(old: Policy, new: Policy) -> Iterable[str]:
    for number in sorted({route[0] for route in [*old.routes, *new.routes]}):
        before = [route for route in old.routes if route[0] == number]
        after = [route for route in new.routes if route[0] == number]
        if before != after:
            was = [route_text(old, route) for route in before]
            now = [route_text(new, route) for route in after]
            words = "; ".join(now) or "none any more"
            yield f"class {number}: {words} (was: {'; '.join(was) or 'none'})"


def _grant_changes(old: Policy, new: Policy, names: Mapping[bytes, str] | None) -> Iterable[str]:
    for node in sorted({*old.grants, *new.grants}):
        before, after = old.grants.get(node, 0), new.grants.get(node, 0)
        if gained := after & ~before:
            yield f"{node_text(node, names)} gains {role_text(new, gained, 'and')}"
        if lost := before & ~after:
            yield f"{node_text(node, names)} loses {role_text(old, lost, 'and')}"


def amendment_for(
    old: Policy, new: Policy, at: tuple[int, bytes] | None = None
) -> list[Any] | None:
    """The operations that turn `old` into exactly `new`, if an amendment can and is smaller.

    Exactly: the payload that devices compute from it is `new.payload()`, so `new` must be of the
    next epoch, follow the head in force and have the `issued` of `old`. None where only a whole
    policy will do. at: epoch and head in force, where a succession came after `old`.
    """
    epoch, head = at or (old.epoch, old.head())
    if new.epoch != epoch + 1 or new.previous != head:
        return None
    before, after = set(old.revoked), set(new.revoked)
    ops: list[Any] = sorted(after - before)
    ops += [[OP_RESTORE, node] for node in sorted(before - after)]
    for node in sorted({*old.grants, *new.grants}):
        if old.grants.get(node, 0) != new.grants.get(node, 0):
            ops.append([OP_GRANT, node, new.grants.get(node, 0)])
    for key, was, now in (
        (PARAM_APPROVALS, old.approvals, new.approvals),
        (PARAM_COMMITTEE, old.committee, new.committee),
    ):
        if was != now:
            ops.append([OP_SET, key, now])
    # rules are added at the end only: what stays is a beginning of the new ones, in the old order
    kept = 0
    for rule in old.rules:
        if kept < len(new.rules) and rule == new.rules[kept]:
            kept += 1
        else:
            ops.append([OP_REMOVE_RULE, rule])
    ops += [[OP_ADD_RULE, rule] for rule in new.rules[kept:]]
    body = [capsule.AMENDMENT, new.epoch, new.previous, *ops]
    try:
        payload = capsule.build(capsule.AMENDMENT, body[1:])
        state = old.amended(check_amendment(body))
    except Rejection:
        return None
    whole = new.payload()
    return ops if state.payload() == whole and len(payload) < len(whole) else None


def successor(
    file: PolicyFile,
    old: Policy,
    issued: int,
    revoked_ids: Iterable[bytes] = (),
    grants: Mapping[bytes, int] | None = None,
    at: tuple[int, bytes] | None = None,
) -> tuple[Policy, list[Any] | None]:
    """The state that follows `old` by a policy file, and its amendment where one can lead there.

    A state that an amendment leads to keeps the `issued` of `old`; any other has the one given.
    at: as for `amendment_for`. The committee stays. Raises as `PolicyFile.policy` does.
    """
    epoch, head = at or (old.epoch, old.head())
    ids = list(revoked_ids)

    def state(issued: int) -> Policy:
        return file.policy(epoch + 1, head, issued, ids, grants, old.committee)

    amended = state(old.issued)
    if ops := amendment_for(old, amended, at):
        return amended, ops
    return state(issued), None
