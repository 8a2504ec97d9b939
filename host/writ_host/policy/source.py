"""The policy source, policy.toml: compiled to the payload that governors certify, and tested.

Tests call `decide` (writ.authority.policy) on the compiled policy, as devices do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from writ.authority import capsule
from writ.authority.policy import (
    PARAM_APPROVALS,
    PARAM_COMMITTEE,
    PARAM_GRANTS,
    PARAM_ROLE_NAMES,
    PARAM_VOID_BEFORE,
    ROLE_MEMBER,
    Policy,
    decide,
)
from writ.errors import Rejection, UsageError
from writ.limits import CAPSULE_BYTES_MAX, HEAD_BYTES, REVOKED_MAX, ROUTES_MAX, RULES_MAX

from .. import textfile
from ..textfile import BadText
from .schema import PolicyDocument, PolicyTest, read_policy, role_mask
from .strict_toml import PolicyError, listing, suggestion
from .text import explain, method_text


class MemberLike(Protocol):
    """The part of a `Member` that policies need: name, node id (8 bytes), roles (mask)."""

    @property
    def name(self) -> str: ...
    @property
    def node_id(self) -> bytes: ...
    @property
    def roles(self) -> int: ...


@dataclass(frozen=True)
class PolicyTestResult:
    """Whether a test passed, why, and the lines of the rule that decided (empty if none did)."""

    passed: bool
    explanation: str
    lines: tuple[int, ...] = ()


class PolicyFile(PolicyDocument):
    """A policy file, read and checked. It compiles unless it exceeds a limit of the devices."""

    @classmethod
    def load(cls, path: Path | str) -> "PolicyFile":
        """The policy in a file. Raises `PolicyError`, with the file and, if known, the line."""
        try:
            text = textfile.read(Path(path))
        except OSError as error:
            raise PolicyError(f"{path}: {error.strerror}", "Check the path.") from None
        except BadText as error:
            raise PolicyError(str(error), error.advice) from None
        file = cls.parse(text, str(path))
        if file.source.names() <= {"base"}:
            raise PolicyError(
                f"{path}: the file is empty",
                "A policy that allows nothing says so: revoked = []. Restore the file otherwise.",
            )
        return file

    @classmethod
    def parse(cls, text: str, name: str = "policy.toml") -> "PolicyFile":
        """The policy in a text; errors name the file `name`. Raises `PolicyError`."""
        return cls(**vars(read_policy(text, name)))

    @cached_property
    def wire_rules(self) -> tuple[tuple[list[Any], tuple[int, ...]], ...]:
        """The rules in wire form, merged where possible, each with its lines in the source."""
        found: list[tuple[list[Any], tuple[int, ...]]] = []
        for rule in self.rules:
            for row in rule.rows():
                _insert(found, row, () if rule.line is None else (rule.line,))
        return tuple(found)

    def policy(
        self,
        epoch: int,
        previous_head: bytes,
        issued: int,
        revoked_ids: Iterable[bytes] = (),
        grants: Mapping[bytes, int] | None = None,
        committee: bytes | None = None,
        void_before: int = 0,
    ) -> Policy:
        """The policy as devices will hold it, made by their own parser.

        epoch: from 1; previous_head: 6 bytes; issued: Unix seconds; revoked_ids: 8 bytes each, as
        `self.revoked_ids` finds them; grants: {node id: mask of extra roles}; committee: 8 bytes,
        None while the charter's governors are in force; void_before: the epoch before which member
        capsules are void. Raises `PolicyError` if a limit of the devices is exceeded, `UsageError`
        for arguments of another shape.
        """
        revoked = sorted(set(revoked_ids))
        granted = {node: mask for node, mask in (grants or {}).items() if mask}
        self._check_limits(len(revoked), len(granted))
        params: dict[int, Any] = {PARAM_ROLE_NAMES: list(self.roles)} if self.roles else {}
        if granted:
            params[PARAM_GRANTS] = granted
        if (approvals := self.approvals.to_wire()) is not None:
            params[PARAM_APPROVALS] = approvals
        if committee is not None:
            params[PARAM_COMMITTEE] = committee
        if void_before:
            params[PARAM_VOID_BEFORE] = void_before
        rules = [row for row, _ in self.wire_rules]
        routes = [list(route.row) for route in self.routes]
        try:
            body = [epoch, previous_head, rules, routes, revoked, params]
            payload = capsule.build(capsule.POLICY, body, iat=issued)
            state = Policy(capsule.parse_claims(payload))
        except Rejection as error:
            raise UsageError(f"not an epoch, head, time, id or grant: {error!r}") from error
        size = len(capsule.assemble(payload, bytes(64), hint=bytes(capsule.SCOPE_ID_BYTES)))
        if size > CAPSULE_BYTES_MAX:
            raise PolicyError(
                f"{self.source.name}: {size} bytes as a capsule; devices hold {CAPSULE_BYTES_MAX}",
                "Merge rules with lists of roles and wildcards, shorten paths and names, or make"
                " room in the list of revoked nodes: writ policy clean.",
            )
        return state

    def compile(
        self,
        epoch: int,
        previous_head: bytes,
        issued: int,
        revoked_ids: Iterable[bytes] = (),
        grants: Mapping[bytes, int] | None = None,
        committee: bytes | None = None,
        void_before: int = 0,
    ) -> bytes:
        """The payload to certify. Arguments and errors are those of `policy`."""
        bounds = (committee, void_before)
        state = self.policy(epoch, previous_head, issued, revoked_ids, grants, *bounds)
        return bytes(state.payload())

    def _check_limits(self, revoked: int, granted: int) -> None:
        for key, what, count, most, advice in (
            ("rule", "rules, one for each resource", len(self.wire_rules), RULES_MAX, "Merge some:"
             " use lists of roles and methods, and wildcards in resources."),
            ("route", "routes", len(self.routes), ROUTES_MAX, "Merge some: a route may name several"
             " roles and links."),
            ("revoked", "revoked ids", revoked, REVOKED_MAX, "Make room: writ policy clean."),
            ("grants", "grants", granted, REVOKED_MAX, "Put the roles into member capsules."),
        ):  # fmt: skip
            if count > most:
                where = self.source.where(self.source.line(key, 0))
                raise PolicyError(f"{where}: {count} {what}; devices hold at most {most}", advice)

    def revoked_ids(self, members: Iterable[MemberLike] = ()) -> list[bytes]:
        """The sorted node ids in `revoked`, which lists node ids and names of members.

        Raises `PolicyError` for an unknown name, and for one that several nodes have.
        """
        found: set[bytes] = set()
        known = list(members)
        where = self.source.where(self.source.line("", 0, "revoked"))
        for word in self.revoked:
            ids = {member.node_id for member in known if member.name == word}
            if _is_node_id(word):
                ids.add(bytes.fromhex(word))
            if not ids:
                advice = suggestion(word, [member.name for member in known])
                advice += "A node id (16 hex digits) is accepted too."
                raise PolicyError(f"{where}: no member is called '{word}'", advice)
            if len(ids) > 1:
                several = listing(sorted(node.hex() for node in ids), "or")
                message = f"{where}: '{word}' stands for {len(ids)} nodes"
                raise PolicyError(message, f"Write one of the node ids: {several}.")
            found |= ids
        return sorted(found)

    def run_tests(
        self, members: Iterable[MemberLike] = (), grants: Mapping[bytes, int] | None = None
    ) -> list[PolicyTestResult]:
        """The results of all [[test]] tables, in order, under the compiled policy.

        members: those that tests and `revoked` may name. Raises `PolicyError` as `policy` does.
        """
        known = list(members)
        state = self.policy(1, bytes(HEAD_BYTES), 0, self.revoked_ids(known), grants)
        return [self._run(test, state, known) for test in self.tests]

    def _run(self, test: PolicyTest, state: Policy, members: list[MemberLike]) -> PolicyTestResult:
        request = f"{method_text(1 << test.method - 1)} {test.path} on {test.target}"
        head = f"{self.source.where(test.line)}: {test.subject}, {request}:"
        masks: list[int] = []
        lines: tuple[int, ...] = ()
        verdict = ""
        for word in (test.subject, test.target):
            mask = role_mask(self.roles, word)
            if not mask:
                found = _named(members, word, state.revoked)
                if len(found) != 1:
                    many = f"{len(found)} members are" if found else "no role and no member is"
                    advice = suggestion(word, [*self.roles, *(m.name for m in members)])
                    text = f"{head} {many} called '{word}'. {advice}".rstrip()
                    return PolicyTestResult(False, text)
                mask = state.roles_of(found[0])
                # a device checks this for the sender only, not for itself
                if not masks and found[0].node_id in state.revoked:
                    verdict = "Revoked"
            masks.append(mask | ROLE_MEMBER)
        if verdict:
            # a device checks this before any rule (Authority.check_member)
            reason_text = f"denied (Revoked): the policy revokes {test.subject}"
        else:
            subject, target = masks
            asked = (subject, target, test.method, test.path, test.is_fresh, test.has_action)
            reason, number = decide(state, *asked)
            verdict = reason.__name__ if reason else "allow"
            reason_text = explain(state, *asked)
            lines = self.wire_rules[number][1] if number >= 0 else ()
        passed = test.expect == verdict or (test.expect == "deny" and verdict != "allow")
        wanted = "" if passed else f"; the test expects {test.expect}"
        return PolicyTestResult(passed, f"{head} {reason_text}{wanted}", lines)


def _named(members: list[MemberLike], name: str, revoked: list[bytes]) -> list[MemberLike]:
    # a replaced device leaves its name to another key: prefer the one that is not revoked
    found = [member for member in members if member.name == name]
    return [member for member in found if member.node_id not in revoked] or found


def _is_node_id(word: str) -> bool:
    size = 2 * capsule.NODE_ID_BYTES
    return len(word) == size and all(letter in "0123456789abcdef" for letter in word)


def _insert(
    found: list[tuple[list[Any], tuple[int, ...]]], row: list[Any], lines: tuple[int, ...]
) -> None:
    # a merged rule goes to the end, where an amendment would add it
    for place, (other, others) in enumerate(found):
        if merged := _merged(other, row):
            del found[place]
            return _insert(found, merged, tuple(sorted({*others, *lines})))
    found.append((row, lines))
    return None


def _merged(one: list[Any], two: list[Any]) -> list[Any] | None:
    # The single rule that allows what both rules allow, or None. Rules with flags are not merged
    # unless equal: the last rule that matches decides which reason a denied peer receives.
    if one == two:
        return two
    if len(one) == 5 or len(two) == 5 or one[2] != two[2]:
        return None
    different = [place for place in (0, 1, 3) if one[place] != two[place]]
    if len(different) > 1:
        return None
    merged = list(one)
    for place in different:
        merged[place] |= two[place]
        if place != 3 and merged[place] & ROLE_MEMBER:
            merged[place] = ROLE_MEMBER
    return merged
