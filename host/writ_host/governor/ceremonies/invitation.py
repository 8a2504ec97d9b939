"""The invitation to a founding: sent to each future governor's daemon, for the operator to approve.

    invitation = [ "writ-invitation", roster, [+ [peers: tstr, listen: tstr]], issued: uint,
                   [beacon age, clock skew], [roles: uint, expires: uint],
                   [rules, routes, parameters] / null, ? predecessor ]
    predecessor = [ scope: bstr .size 8, group key: bstr .size 32, [* governor] ]

Addresses stand in the order of the roster. The invitation's digest is the ceremony's context, so
the fingerprint that operators compare covers the whole invitation. The first capsules follow from
the invitation and the group key: each governor derives them for itself and signs nothing else. An
invitation contains no secret, and its sender has no special rights. In a succession the first
policy is replaced by the predecessor: the scope and group key that the new group takes over, and
the old governors that observe.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import (
    CHARTER,
    MEMBER,
    POLICY,
    ROLES_MASK,
    TIME_MAX,
    WRIT,
    Charter,
    Member,
)
from writ.authority.policy import Policy
from writ.errors import Rejection, UsageError
from writ.limits import ADDRESS_BYTES_MAX, GOVERNORS_MAX

from ... import codec, humanize
from ...ceremony.request import Item
from ...consensus.committee import check_threshold, tolerance
from ...errors import Malformed
from ...keys.group import Random, point_from_bytes
from ...keys.identity import PublicIdentity
from ...keys.roster import Roster
from ...policy.approvals import Approvals
from ...policy.text import approval_rows, role_text, rule_text
from ...scope.issuance import BEACON_AGE_MAX_S, CLOCK_SKEW_MAX_S
from .record import Record, check_address

# 13 records and the largest policy.
INVITATION_BYTES_MAX = 8192
STATUS_BYTES_MAX = 2048
MEMBER_LIFETIME_S = 365 * 86400
_TAG = "writ-invitation"
# In place of keys and signatures that do not exist yet, to check shapes and sizes.
_PLACEHOLDER = bytes(64)


@dataclass(frozen=True)
class Predecessor:
    """What a succession takes over: the scope's id (8 B) and the group key in force.

    followers: old governors without a new seat, which observe how the new key is made, so that they
    can approve it.
    """

    scope: bytes
    group_key: bytes
    followers: tuple[PublicIdentity, ...]

    def to_item(self) -> list[object]:
        """As a CBOR item."""
        return [self.scope, self.group_key, [one.to_item() for one in self.followers]]

    @classmethod
    def from_item(cls, item: object) -> "Predecessor":
        """Raises `Malformed`."""
        scope, group_key, listed = codec.a_list(item, 3)
        governors = codec.a_list(listed, size_max=GOVERNORS_MAX)
        return cls(
            codec.some_bytes(scope, capsules.SCOPE_ID_BYTES),
            point_from_bytes(group_key),
            tuple(PublicIdentity.from_item(governor) for governor in governors),
        )


@dataclass(frozen=True)
class Invitation:
    """The future governors, their addresses, and the content of the charter and the first policy.

    addresses: (peers, listen), "host:port" each, in the roster's order; issued_s, expires_s: Unix
    seconds; roles: of the governors as members, a mask; policy: [rules, routes, parameters] of the
    first policy capsule, or None in a succession. Raises `Malformed`.
    """

    roster: Roster
    addresses: tuple[tuple[str, str], ...]
    issued_s: int
    beacon_age_max_s: int
    clock_skew_max_s: int
    roles: int
    expires_s: int
    policy: list[Any] | None
    predecessor: Predecessor | None = None

    def __post_init__(self) -> None:
        count = len(self.roster.governors)
        check_threshold(count, self.roster.threshold)
        if len(self.addresses) != count:
            raise Malformed("an invitation has two addresses for each governor")
        if (self.policy is None) == (self.predecessor is None):
            raise Malformed("a founding has a first policy, and a succession has none")
        if self.expires_s <= self.issued_s:
            raise Malformed("the governors' member capsules would have expired already")
        try:
            for pair in self.addresses:
                for address in pair:
                    check_address(address)
            for payload in self.payloads(_PLACEHOLDER[:32]):
                parsed = capsules.parse(capsules.assemble(payload, _PLACEHOLDER))
                if parsed.kind == CHARTER:
                    Charter(parsed)
                elif parsed.kind == POLICY:
                    # devices keep the approvals unread, so `Policy` does not check them
                    Approvals.from_wire(Policy(parsed.claims).approvals)
                else:
                    Member(parsed)
        except (Rejection, UsageError) as error:
            raise Malformed(f"no scope can be founded with this invitation: {error!r}") from None

    @classmethod
    def create(
        cls,
        scope: str,
        threshold: int,
        records: Sequence[Record],
        policy: Policy | None,
        issued_s: int,
        roles: int = 0,
        beacon_age_max_s: int = BEACON_AGE_MAX_S,
        clock_skew_max_s: int = CLOCK_SKEW_MAX_S,
        expires_s: int | None = None,
        predecessor: Predecessor | None = None,
        random: Random = os.urandom,
    ) -> "Invitation":
        """A new invitation. Of `policy` it takes rules, routes, role names and approvals.

        expires_s: of the governors' member capsules, by default a year after `issued_s`. Raises
        `Malformed`.
        """
        pieces = None
        if policy is not None:
            body = capsules.parse_claims(policy.payload())[WRIT]
            pieces = [body[3], body[4], body[6]]
        return cls(
            Roster.create(scope, threshold, [one.governor for one in records], random),
            tuple((one.peers, one.listen) for one in records),
            issued_s,
            beacon_age_max_s,
            clock_skew_max_s,
            roles,
            issued_s + MEMBER_LIFETIME_S if expires_s is None else expires_s,
            pieces,
            predecessor,
        )

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the invitation: the ceremony's context."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def peers(self) -> dict[bytes, str]:
        """By node key (33 B): the address for the other governors."""
        listed = zip(self.roster.governors, self.addresses, strict=True)
        return {governor.node_key: peers for governor, (peers, _) in listed}

    def to_bytes(self) -> bytes:
        """At most 8,192 bytes."""
        items: list[object] = [
            _TAG,
            self.roster.to_item(),
            [list(pair) for pair in self.addresses],
            self.issued_s,
            [self.beacon_age_max_s, self.clock_skew_max_s],
            [self.roles, self.expires_s],
            self.policy,
        ]
        if self.predecessor is not None:
            items.append(self.predecessor.to_item())
        return codec.dump(items)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Invitation":
        """Raises `Malformed`, or `UnsafeThreshold`."""
        items = codec.a_list(codec.load(data, INVITATION_BYTES_MAX), size_max=8)
        if len(items) < 7 or items[0] != _TAG:
            raise Malformed("not an invitation")
        roster, addresses, issued, params, member, policy = items[1:7]
        pairs = [codec.a_list(pair, 2) for pair in codec.a_list(addresses, size_max=GOVERNORS_MAX)]
        age, skew = codec.a_list(params, 2)
        roles, expires = codec.a_list(member, 2)
        return cls(
            Roster.from_item(roster),
            tuple((_address(peers), _address(listen)) for peers, listen in pairs),
            codec.an_int(issued, 0, TIME_MAX),
            codec.an_int(age, 1, TIME_MAX),
            codec.an_int(skew, 1, TIME_MAX),
            codec.an_int(roles, 0, ROLES_MASK),
            codec.an_int(expires, 0, TIME_MAX),
            None if policy is None else codec.a_list(policy, 3),
            Predecessor.from_item(items[7]) if len(items) == 8 else None,
        )

    # --- the capsules that follow from it ---------------------------------------------------------

    def charter(self, group_key: bytes) -> bytes:
        """The charter's payload."""
        roster = self.roster
        keys = [governor.verify_key for governor in roster.governors]
        params = {1: self.beacon_age_max_s, 2: self.clock_skew_max_s}
        body = [roster.scope, roster.threshold, keys, group_key, params]
        payload: bytes = capsules.build(CHARTER, body, iat=self.issued_s)
        return payload

    def payloads(self, group_key: bytes) -> list[bytes]:
        """The first payloads: charter, policy of epoch 1, and a member for each governor.

        In a succession only the charter. Raises a `Rejection` when a capsule would be too long.
        """
        found = [self.charter(group_key)]
        if self.policy is not None:
            rules, routes, params = self.policy
            body = [1, capsules.head(found[0]), rules, routes, [], params]
            found.append(capsules.build(POLICY, body, iat=self.issued_s))
            for number, governor in enumerate(self.roster.governors, 1):
                key = governor.node_key[1:], governor.node_key[0] == 3
                # the epoch of the policy that is certified with it
                member = [number, self.roles, 1]
                found.append(
                    capsules.build(MEMBER, member, sub=governor.name, exp=self.expires_s, key=key)
                )
        return found

    def items(self, group_key: bytes) -> list[Item]:
        """The first payloads as labelled items to sign."""
        names = [f"charter of {self.roster.scope}", "policy of epoch 1"]
        names += [f"member {name}" for name in self.roster.names]
        listed = self.payloads(group_key)
        return [
            Item(name, capsules.signing_input(payload))
            for name, payload in zip(names[: len(listed)], listed, strict=True)
        ]

    @property
    def title(self) -> str:
        """A short title for operators."""
        if self.predecessor is None:
            return f"founding of {self.roster.scope}"
        return f"new group key for {self.roster.scope}, of {', '.join(self.roster.names)}"

    def lines(self, now_s: int) -> list[str]:
        """The invitation in detail, for operators."""
        roster = self.roster
        count = len(roster.governors)
        offline, byzantine = tolerance(count, roster.threshold)
        lines = [
            f"{roster.threshold} of {count} governors certify;"
            f" tolerates {offline} offline or {byzantine} Byzantine",
            f"issued {humanize.moment(self.issued_s)}",
            f"beacons are fresh for {humanize.duration(self.beacon_age_max_s)}, "
            f"clocks may differ by {humanize.duration(self.clock_skew_max_s)}",
        ]
        if abs(now_s - self.issued_s) > self.clock_skew_max_s:
            lines.append(f"the clock of this machine says {humanize.moment(now_s)}")
        for name, (peers, listen) in zip(roster.names, self.addresses, strict=True):
            lines.append(f"governor {name} at {peers}, for devices at {listen}")
        if self.predecessor is not None:
            old = self.predecessor
            return [
                *lines,
                f"takes over scope {old.scope.hex()} from group key {old.group_key.hex()[:16]}...",
            ]
        policy = Policy(capsules.parse_claims(self.payloads(_PLACEHOLDER[:32])[1]))
        lines.append(
            f"governors' roles: {role_text(policy, self.roles, 'and') if self.roles else 'none'},"
            f" until {humanize.moment(self.expires_s)}"
        )
        lines += [
            f"to certify {subject}: {operators}" for subject, operators in approval_rows(policy)
        ]
        lines += [f"rule: {rule_text(policy, i)}" for i in range(len(policy.rules))]
        return lines


def _address(item: object) -> str:
    return codec.a_text(item, ADDRESS_BYTES_MAX)


@dataclass(frozen=True)
class CeremonyStatus:
    """The progress of a ceremony in one daemon.

    state: see founding.py; governors: (name, last file published); capsules: number certified.
    """

    id: bytes
    state: str
    fingerprint: str = ""
    problem: str = ""
    governors: tuple[tuple[str, str], ...] = ()
    capsules: int = 0

    def to_bytes(self) -> bytes:
        """At most 2,048 bytes."""
        listed = [list(pair) for pair in self.governors]
        fields = [self.id, self.state, self.fingerprint, self.problem, listed, self.capsules]
        return codec.dump(["writ-status", *fields])

    @classmethod
    def from_bytes(cls, data: bytes) -> "CeremonyStatus":
        """Raises `Malformed`."""
        items = codec.tagged(codec.load(data, STATUS_BYTES_MAX), "writ-status", 7)
        id, state, fingerprint, problem, listed, count = items
        pairs = [codec.a_list(pair, 2) for pair in codec.a_list(listed, size_max=GOVERNORS_MAX)]
        return cls(
            codec.some_bytes(id, 32),
            codec.a_text(state, 24),
            codec.a_text(fingerprint, 80) if fingerprint else "",
            codec.a_text(problem, 400) if problem else "",
            tuple((codec.a_text(name, 24), codec.a_text(step, 24)) for name, step in pairs),
            codec.an_int(count, 0, 32),
        )
