"""The state of the scope at one governor, against which the judge checks proposals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from writ.authority import capsule as capsules
from writ.authority.capsule import Beacon, Charter
from writ.authority.policy import Policy

from ...scope.revocation import SignedUntil, none_signed
from ...scope.validation import Registry


class JudgeLedger(Registry, Protocol):
    """The part of the ledger that the judge reads."""

    def beacon(self) -> bytes | None:
        """The newest beacon."""


@dataclass(frozen=True)
class ScopeView:
    """The state of the scope as this governor knows it.

    policy, epoch, head (6 B): in force; clock_s: its own clock, Unix seconds; committees: what
    ceremonies that it took part in have made, committee digests (8 B) and new group keys (32 B);
    governors, threshold: as in force, 0 for the charter's; void_before(node id): the epoch before
    which no statement of this node counts, since the node was restored in it; signed_until: the
    memberships that this governor has signed.
    """

    charter: Charter
    policy: Policy | None
    epoch: int
    head: bytes
    clock_s: int
    ledger: JudgeLedger
    committees: frozenset[bytes] = frozenset()
    governors: int = 0
    void_before: Callable[[bytes], int] = lambda _: 0
    threshold: int = 0
    signed_until: SignedUntil = none_signed

    @property
    def certified_s(self) -> int:
        """The newest certified time: of the founding, the policy or the beacon."""
        raw = self.ledger.beacon()
        beacon_s = Beacon(capsules.parse(raw)).time if raw is not None else 0
        policy_s = self.policy.issued if self.policy is not None else 0
        return int(max(self.charter.founded, policy_s, beacon_s))
