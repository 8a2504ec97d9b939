"""What payloads say, in words, and what is wrong with them in the state that they meet.

One place for all governors who are asked to sign, in the daemon (proposals/judge.py) or by
ceremony (review.py). A payload may come from a governor who lies: whatever is said of it is taken
out of the very bytes that would be signed.
"""

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from writ.authority import capsule as capsules
from writ.authority.capsule import Beacon, Capsule, Charter, Member
from writ.authority.policy import METHODS, Policy, check_amendment

from ..consensus.committee import tolerance
from ..consensus.cosign import beacon_reason
from ..errors import Malformed
from ..policy.approvals import Approvals
from ..policy.diff import diff
from ..policy.text import approval_rows, decompile, node_words, role_words, rule_words

# How long an action may be good for.
ACTION_LIFETIME_S = 86400


@dataclass(frozen=True)
class Known:
    """A member's newest capsule; is_outdated: only a group key of the past has signed it."""

    member: Member
    is_outdated: bool = False


class Registry(Protocol):
    """The members that a governor knows, living or not."""

    def known(self, node_id: bytes) -> Known | None:
        """Whoever has the key with this node id (8 B)."""

    def named(self, name: str) -> Sequence[Member]:
        """Who is or was called so."""

    def addressed(self, address: int) -> Sequence[Member]:
        """Who has or had this short address."""


@dataclass
class Reading:
    """A state, and what was read in it. Each method reads one capsule's fields and goes on to the
    state that it would make; its signature is nobody's yet.

    policy, epoch, head: in force; clock_s: our own; skew_s: how far another clock may be off;
    seats: digests (8 B) of committees that a policy may name, None where all are fine;
    governors: how many there are. said: what it all means; problems: what is wrong with it.
    Each method raises a `Rejection` for what no device would take.
    """

    registry: Registry | None
    policy: Policy | None
    epoch: int
    head: bytes | None
    clock_s: int
    skew_s: int
    seats: frozenset[bytes] | None = None
    governors: int = 0
    said: list[str | Callable[[], Iterable[str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    amended: Policy | None = None
    before: list[Member] = field(default_factory=list)

    def say(self, *words: str | Callable[[], Iterable[str]]) -> None:
        """What it means; a function where that takes long, and perhaps nobody asks."""
        self.said += words

    @property
    def lines(self) -> list[str]:
        """What it all means."""
        found: list[str] = []
        for words in self.said:
            found += [words] if isinstance(words, str) else words()
        self.said[:] = found
        return found

    def object(self, words: str) -> None:
        """What is wrong with it."""
        self.problems.append(words)

    # --- what members are -------------------------------------------------------------------------

    def is_living(self, member: Member) -> bool:
        """Whether this capsule is neither expired nor revoked."""
        return bool(member.expires > self.clock_s and not self.is_revoked(member.node_id))

    def is_revoked(self, node_id: bytes) -> bool:
        """Whether the policy revokes this node."""
        return bool(self.policy and node_id in self.policy.revoked)

    def member_of(self, node_id: bytes) -> Member | None:
        """The living member with this node id."""
        known = self.registry and self.registry.known(node_id)
        return known.member if known and self.is_living(known.member) else None

    def name_of(self, node_id: bytes) -> str:
        """A node by its name and id."""
        known = self.registry and self.registry.known(node_id)
        return node_words(node_id, {node_id: known.member.name} if known else None)

    def roles(self, mask: int) -> str:
        """A mask of roles in words."""
        if not self.policy:
            return str(mask)
        return role_words(self.policy, mask, "and") if mask else "none"

    # --- kinds ------------------------------------------------------------------------------------

    def charter(self, capsule: Capsule) -> Charter:
        """A scope's founding, or after a succession its new governors."""
        charter: Charter = Charter(capsule)
        count = len(charter.governors)
        dead, lying = tolerance(count, charter.threshold)
        self.say(
            f"charter of {charter.name}, scope {charter.scope.hex()}: {charter.threshold} of"
            f" {count} governors certify; {dead} may be dead, {lying} may lie"
        )
        return charter

    def member(self, capsule: Capsule) -> Member:
        """A node's admission or renewal."""
        member: Any = Member(capsule)
        self.say(
            f"member {member.name}, node id {member.node_id.hex()}, address {member.address},"
            f" roles: {self.roles(member.roles)}, until {day(member.expires)}"
        )
        if member.not_before > self.clock_s:
            self.say(f"{member.name} is none before {day(member.not_before)}")
        if member.expires <= self.clock_s:
            self.object(f"{member.name}: expired already")
        if self.is_revoked(member.node_id):
            self.object(f"{member.name}: the policy revokes this node")
        known = self.registry and self.registry.known(member.node_id)
        if known:
            self._renewal(member, known, capsule)
        named, addressed = list(self.before), list(self.before)
        if self.registry:
            named += self.registry.named(member.name)
            addressed += self.registry.addressed(member.address)
        for other in named:
            if self._is_another(other, member) and other.name == member.name:
                self.object(f"another member is called {member.name}: {other.node_id.hex()}")
                break
        for other in addressed:
            if self._is_another(other, member) and other.address == member.address:
                self.object(f"{other.name} has the address {member.address}")
                break
        if any(other.node_id == member.node_id for other in self.before):
            self.object(f"{member.name}: the same key twice")
        self.before.append(member)
        return member

    def _is_another(self, other: Member, member: Member) -> bool:
        return bool(other.node_id != member.node_id) and self.is_living(other)

    def _renewal(self, member: Any, known: Known, capsule: Capsule) -> None:
        old: Any = known.member
        if (old.x, old.y_is_odd) != (member.x, member.y_is_odd):
            self.object(f"{member.name}: not the key that this node has")
        # what an old group key signed is certified anew as it was
        least = old.expires if known.is_outdated else old.expires + 1
        if member.expires < least:
            self.object(f"{member.name}: its capsule lives until {day(old.expires)} already")
        for what, was, now in (
            ("called", old.name, member.name),
            ("at address", old.address, member.address),
            ("with roles", self.roles(old.roles), self.roles(member.roles)),
        ):
            if was != now:
                self.say(f"so far {what} {was}")

    def follows(self, what: str, epoch: int, previous: bytes) -> None:
        """Object unless it comes next."""
        if epoch <= self.epoch:
            self.object(f"{what} is for epoch {epoch}, and {self.epoch} is in force")
        elif epoch > self.epoch + 1:
            self.object(f"{what} is for epoch {epoch}, but {self.epoch} is here: bring it up")
        elif previous != self.head:
            self.object(f"{what} does not follow from the policy in force")

    def amendment(self, capsule: Capsule) -> Policy | None:
        """The policy that follows by it, None where there is none to amend."""
        body = check_amendment(capsule.body)
        self.follows("the amendment", body[1], body[2])
        if self.policy is None:
            self.object("the amendment has no policy to amend")
            return None
        self.amended = self.policy.amended(body)
        self.say(f"amendment to epoch {body[1]}, {len(capsule.raw)} bytes")
        return self.amended

    def whole_policy(self, capsule: Capsule) -> Policy:
        """A whole policy, first or next."""
        policy: Any = Policy(capsule.claims)
        old: Any = self.policy
        self.follows("the policy", policy.epoch, policy.previous)
        if self.amended is not None and self.amended.payload() != capsule.payload:
            self.object("amendment and whole policy lead to different states")
        if policy.issued > self.clock_s + self.skew_s:
            self.object(f"the policy is of {day(policy.issued)}, our clock says {self._now()}")
        if old is not None and policy.issued < old.issued:
            self.object("the policy is older than the one in force")
        if old is not None and policy.role_names[: len(old.role_names)] != old.role_names:
            self.object("roles change their numbers: new ones go to the end, none may go")
        self._approvals(policy)
        self._committee(policy)
        self.say(f"policy of epoch {policy.epoch}:")
        self.say(lambda: self._policy_words(old, policy))
        self.policy, self.epoch = policy, policy.epoch
        self.head, self.amended = capsules.head(capsule.payload), None
        return policy

    def _policy_words(self, old: Any, policy: Any) -> list[str]:
        if old is not None:
            return [f"  {line}" for line in diff(old, policy, self._names(old, policy)).lines()]
        return [
            *(f"  {rule_words(policy, number)}" for number in range(len(policy.rules))),
            *(f"  to certify {what}: {asked}" for what, asked in approval_rows(policy)),
            *(f"  revoked: {node}" for node in decompile(policy).revoked),
        ]

    def _names(self, *policies: Any) -> dict[bytes, str]:
        # of those that a comparison may name
        nodes = {node for policy in policies for node in (*policy.revoked, *policy.grants)}
        known = {node: self.registry.known(node) for node in nodes} if self.registry else {}
        return {node: found.member.name for node, found in known.items() if found}

    def _approvals(self, policy: Any) -> None:
        try:
            approvals = Approvals.from_wire(policy.approvals)
        except Malformed:
            self.object("its approval rules are none that we can read")
            return
        if self.governors and approvals.most > self.governors:
            self.object(
                f"{approvals.most} operators would have to agree, and there are"
                f" {self.governors} governors"
            )

    def _committee(self, policy: Any) -> None:
        old = self.policy.committee if self.policy else None
        if policy.committee == old:
            return
        if self.seats is not None and (policy.committee or b"") not in self.seats:
            self.object("it puts governors in force whose shares we have not seen made")
        if self.policy is None:
            self.say(f"governors: those of the shares {policy.committee.hex()}")

    def succession(self, capsule: Capsule, charter: Capsule) -> Any:
        """A new group key, and `charter`, which its governors made."""
        found: Any = capsules.Succession(capsule)
        new = self.charter(charter)
        self.follows("the succession", found.epoch, found.previous)
        if (new.group_key, charter_digest(charter)) != (found.group_key, found.charter_digest):
            self.object("the charter beside the succession is not the one that it names")
        if found.issued > self.clock_s + self.skew_s:
            self.object(f"the succession is of {day(found.issued)}, our clock says {self._now()}")
        self.say(
            f"succession to the group key {found.group_key.hex()} in epoch {found.epoch}:"
            " governors who hold no share of it are out",
            "all living members will be certified anew as they are: look at the list first",
        )
        self.epoch, self.head, self.amended = found.epoch, found.head, None
        return found

    def beacon(self, capsule: Capsule) -> Beacon:
        """The time and the newest epoch."""
        beacon: Any = Beacon(capsule)
        self.say(f"beacon: epoch {beacon.epoch}, {day(beacon.time)}")
        head = self.head or b""
        reason = beacon_reason(capsule.payload, self.clock_s, self.skew_s, self.epoch, head)
        if reason is not None:
            self.object(f"the beacon of epoch {beacon.epoch}, {day(beacon.time)}: {reason}")
        return beacon

    def action(self, capsule: Capsule) -> Any:
        """A command that its target executes once."""
        action: Any = capsules.Action(capsule)
        target = self.member_of(action.target)
        what = f"{METHODS.get(1 << action.method - 1, action.method)} {action.path}"
        self.say(
            f"action: {what} on {self.name_of(action.target)}, until {day(action.expires)};"
            f" SHA-256 of its payload: {action.digest.hex()}"
        )
        if target is None:
            self.object(f"{action.target.hex()} is no living member")
        if not self.clock_s < action.expires <= self.clock_s + ACTION_LIFETIME_S:
            self.object("the action is over, or good for longer than a day")
        return action

    def _now(self) -> str:
        return day(self.clock_s)


def charter_digest(charter: Capsule) -> bytes:
    """By which a succession names its new charter: SHA-256 over the charter's payload, 32 bytes."""
    return bytes(capsules.compat.sha256(charter.payload))


def day(time_s: int) -> str:
    """Unix seconds, to the minute."""
    return f"{datetime.datetime.fromtimestamp(time_s, datetime.UTC):%Y-%m-%d %H:%M} UTC"
