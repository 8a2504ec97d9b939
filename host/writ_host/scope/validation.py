"""Validation of capsules before they are signed: what a payload means, and what is wrong with it.

All governors who are asked to sign use this module, in the daemon (proposals/judge.py) and in
ceremonies (review.py). A payload may come from a Byzantine governor: its description is derived
only from the bytes that would be signed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import BEACON, IAT, TIME_MAX, WRIT, Beacon, Capsule, Charter, Member
from writ.authority.policy import METHODS, Policy

from .. import codec
from ..consensus.committee import tolerance
from ..errors import Malformed
from ..humanize import utc_minute
from ..names import name_problem
from ..policy.approvals import Approvals
from ..policy.diff import diff
from ..policy.text import approval_rows, decompile, node_text, role_text, rule_text
from .lifetime import latest_expiry
from .revocation import SignedUntil, clean_up_bound, is_void, none_signed, spent_ids

# The longest validity of an action.
ACTION_LIFETIME_S = 86400

# A certified time never goes back on a device. One that is so long after the newest certified one
# may be that of a wrong clock, so operators decide, also after a winter without governors.
CLOCK_JUMP_S_MAX = 30 * 86400
# The time that operators have to approve such a beacon.
TIME_JUMP_AGE_S_MAX = 86400


def is_time_jump(time_s: int, certified_s: int) -> bool:
    """Whether operators must approve `time_s`: it is far after the newest certified time."""
    return time_s - certified_s > CLOCK_JUMP_S_MAX


def beacon_objection(
    payload: bytes,
    clock_s: int,
    clock_skew_max_s: int,
    epoch: int,
    head: bytes,
    age_max_s: int = 0,
) -> str | None:
    """Why a governor must not sign this beacon payload, None if it may.

    clock_s, epoch, head: the governor's own; clock_skew_max_s: the charter's bound; age_max_s: how
    old it may be, if that is more. Raises `Malformed`.
    """
    claims = codec.a_map(codec.load(payload))
    body = codec.a_list(claims.get(WRIT))
    if len(body) != 3 or body[0] != BEACON:
        return "not a beacon"
    if body[1:] != [epoch, head]:
        return "it does not name the newest policy that this governor has"
    time_s = codec.an_int(claims.get(IAT), 0, TIME_MAX)
    age_s = clock_s - time_s
    if not -clock_skew_max_s <= age_s <= max(clock_skew_max_s, age_max_s):
        return f"its time is more than {clock_skew_max_s} s from this governor's clock"
    return None


@dataclass(frozen=True)
class KnownMember:
    """A member's newest capsule. is_of_former_key: only a former group key has signed it."""

    member: Member
    is_of_former_key: bool = False


class Registry(Protocol):
    """The members that a governor knows: valid, expired and revoked ones."""

    def known(self, node_id: bytes) -> KnownMember | None:
        """The member whose key has this node id (8 B)."""

    def named(self, name: str) -> Sequence[Member]:
        """The members that have or had this name."""

    def addressed(self, address: int) -> Sequence[Member]:
        """The members that have or had this short address."""


@dataclass
class Validation:
    """A governor's state, and the validation of payloads against it.

    Each method validates one capsule without its signature, then advances to the state that the
    capsule would make. It raises a `Rejection` for a capsule that every device would refuse.

    policy, epoch, head: in force; clock_s: the governor's clock; clock_skew_max_s: how far another
    clock may differ; committees: digests (8 B) of the committees that a policy may name, None for
    any; governors: their number, 0 if unknown; signed_until: the memberships that this governor has
    signed (ceremonies keep no record of them). description: text lines, or functions that return
    lines; problems: reasons not to sign; amended: the policy that the last amendment leads to;
    batch: members validated so far.
    """

    registry: Registry | None
    policy: Policy | None
    epoch: int
    head: bytes | None
    clock_s: int
    clock_skew_max_s: int
    committees: frozenset[bytes] | None = None
    governors: int = 0
    signed_until: SignedUntil = none_signed
    description: list[str | Callable[[], Iterable[str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    amended: Policy | None = None
    batch: list[Member] = field(default_factory=list)

    def add_line(self, *lines: str | Callable[[], Iterable[str]]) -> None:
        """Describe a payload. A function computes its lines on first use: that may be slow."""
        self.description += lines

    @property
    def lines(self) -> list[str]:
        """The description of all validated payloads."""
        found: list[str] = []
        for line in self.description:
            found += [line] if isinstance(line, str) else line()
        self.description[:] = found
        return found

    def add_problem(self, problem: str) -> None:
        """Record a reason not to sign."""
        self.problems.append(problem)

    # --- members ----------------------------------------------------------------------------------

    def is_living(self, member: Member) -> bool:
        """Whether this capsule is neither expired, revoked nor void."""
        is_gone = self.is_revoked(member.node_id) or self.is_void(member)
        return bool(member.expires > self.clock_s and not is_gone)

    def is_revoked(self, node_id: bytes) -> bool:
        """Whether the policy revokes this node."""
        return bool(self.policy and node_id in self.policy.revoked)

    def is_void(self, member: Member) -> bool:
        """Whether the policy voids this capsule."""
        return is_void(self.policy, member)

    def member_of(self, node_id: bytes) -> Member | None:
        """The valid member with this node id."""
        known = self.registry and self.registry.known(node_id)
        return known.member if known and self.is_living(known.member) else None

    def name_of(self, node_id: bytes) -> str:
        """The node's name and id."""
        known = self.registry and self.registry.known(node_id)
        return node_text(node_id, {node_id: known.member.name} if known else None)

    def roles(self, mask: int) -> str:
        """The names of the roles in a mask."""
        if not self.policy:
            return str(mask)
        return role_text(self.policy, mask, "and") if mask else "none"

    # --- capsules ---------------------------------------------------------------------------------

    def charter(self, capsule: Capsule) -> Charter:
        """The charter of a new scope, or of new governors after a succession."""
        charter: Charter = Charter(capsule)
        count = len(charter.governors)
        offline, byzantine = tolerance(count, charter.threshold)
        self.add_line(
            f"charter of {charter.name}, scope {charter.scope.hex()}: {charter.threshold} of"
            f" {count} governors certify; tolerates {offline} offline or {byzantine} Byzantine"
        )
        return charter

    def member(self, capsule: Capsule) -> Member:
        """A member capsule: an admission or a renewal."""
        member: Any = Member(capsule)
        self.add_line(
            f"member {member.name}, node id {member.node_id.hex()}, address {member.address},"
            f" roles: {self.roles(member.roles)}, until {utc_minute(member.expires)}"
        )
        if member.not_before > self.clock_s:
            self.add_line(f"{member.name} becomes a member at {utc_minute(member.not_before)}")
        if member.expires <= self.clock_s:
            self.add_problem(f"{member.name}: the capsule has already expired")
        if self.is_revoked(member.node_id):
            self.add_problem(f"{member.name}: the policy revokes this node")
        if self.is_void(member):
            self.add_problem(f"{member.name}: the policy voids capsules that are so old")
        # a clean-up must void all that was signed for nodes revoked before it (revocation.py)
        if member.epoch > self.epoch:
            self.add_problem(
                f"{member.name}: it names epoch {member.epoch}, but the newest epoch here is"
                f" {self.epoch}: sync first"
            )
        known = self.registry and self.registry.known(member.node_id)
        latest = latest_expiry(self.clock_s, known.member if known else None)
        if member.expires > latest + self.clock_skew_max_s:
            self.add_problem(
                f"{member.name}: it expires later than {utc_minute(latest)}, ten years from now"
            )
        if known:
            self._renewal(member, known, capsule)
        is_new_name = not known or known.member.name != member.name
        if is_new_name and (problem := name_problem(member.name)):
            self.add_problem(f"{member.name!r} {problem}")
        named, addressed = list(self.batch), list(self.batch)
        if self.registry:
            named += self.registry.named(member.name)
            addressed += self.registry.addressed(member.address)
        for other in named:
            if self._is_other_living(other, member) and other.name == member.name:
                self.add_problem(
                    f"another member has the name {member.name}: {other.node_id.hex()}"
                )
                break
        for other in addressed:
            if self._is_other_living(other, member) and other.address == member.address:
                self.add_problem(f"address {member.address} belongs to {other.name}")
                break
        if any(other.node_id == member.node_id for other in self.batch):
            self.add_problem(f"{member.name}: the same key occurs twice in this request")
        self.batch.append(member)
        return member

    def _is_other_living(self, other: Member, member: Member) -> bool:
        return bool(other.node_id != member.node_id) and self.is_living(other)

    def _renewal(self, member: Any, known: KnownMember, capsule: Capsule) -> None:
        old: Any = known.member
        if (old.x, old.y_is_odd) != (member.x, member.y_is_odd):
            self.add_problem(f"{member.name}: this is not the key of the known node")
        if self.is_void(old):
            self.add_line(f"{member.name} was revoked, or missed a renewal: its capsule is void")
        # a succession certifies the same capsule again under the new group key
        least = old.expires if known.is_of_former_key else old.expires + 1
        if member.expires < least:
            self.add_problem(
                f"{member.name}: its present capsule is valid until {utc_minute(old.expires)}"
            )
        for what, was, now in (
            ("called", old.name, member.name),
            ("at address", old.address, member.address),
            ("with roles", self.roles(old.roles), self.roles(member.roles)),
        ):
            if was != now:
                self.add_line(f"until now {what} {was}")

    def check_order(self, what: str, epoch: int, previous: bytes) -> None:
        """Add a problem unless a capsule of `epoch` follows the state in force."""
        if epoch <= self.epoch:
            self.add_problem(f"{what} is for epoch {epoch}, but epoch {self.epoch} is in force")
        elif epoch > self.epoch + 1:
            self.add_problem(
                f"{what} is for epoch {epoch}, but the newest epoch here is {self.epoch}:"
                " sync first"
            )
        elif previous != self.head:
            self.add_problem(f"{what} does not follow from the policy in force")

    def amendment(self, capsule: Capsule) -> Policy | None:
        """The policy that the amendment leads to, None if there is none to amend."""
        body = check_amendment(capsule.body)
        self.check_order("the amendment", body[1], body[2])
        if self.policy is None:
            self.add_problem("there is no policy to amend")
            return None
        self.amended = amend(self.policy, body)
        self.add_line(f"amendment to epoch {body[1]}, {len(capsule.raw)} bytes")
        return self.amended

    def whole_policy(self, capsule: Capsule) -> Policy:
        """A whole policy: the first one, or the next."""
        policy: Any = Policy(capsule.claims)
        old: Any = self.policy
        self.check_order("the policy", policy.epoch, policy.previous)
        if self.amended is not None and self.amended.payload() != capsule.payload:
            self.add_problem("the amendment and the whole policy lead to different states")
        if policy.issued > self.clock_s + self.clock_skew_max_s:
            self.add_problem(
                f"the policy was issued at {utc_minute(policy.issued)},"
                f" this clock says {self._now()}"
            )
        if old is not None and policy.issued < old.issued:
            self.add_problem("the policy was issued before the one in force")
        if old is not None and policy.role_names[: len(old.role_names)] != old.role_names:
            self.add_problem("role numbers change: add new roles at the end and remove none")
        self._void_before(policy)
        self._approvals(policy)
        self._committee(policy)
        spent: set[bytes] = set()
        if old is not None and self.amended is None:
            spent = self._left_out(old, policy)
        self.add_line(f"policy of epoch {policy.epoch}:")
        self.add_line(lambda: self._policy_lines(old, policy, spent))
        self.policy, self.epoch = policy, policy.epoch
        self.head, self.amended = capsules.head(capsule.payload), None
        return policy

    def _left_out(self, old: Any, policy: Any) -> set[bytes]:
        """The revoked ids that a whole policy may leave out; a problem for each other one."""
        members = self._members(old.revoked)
        # a node whose membership lives by this clock could be renewed once it is not revoked
        time_s = min(int(policy.issued), self.clock_s)
        bound = clean_up_bound(policy)
        spent = spent_ids(old, members, time_s, bound, self.signed_until)
        expiries = {member.node_id: int(member.expires) for member in members}
        for node in sorted(set(old.revoked) - set(policy.revoked) - spent):
            signed_s, expires_s = self.signed_until(node), expiries.get(node)
            if expires_s is None:
                why = "no membership of it is known here"
            elif signed_s is None:
                why = "this governor does not know yet what the others have signed for it"
            else:
                why = (
                    f"a membership of it may be valid until {utc_minute(max(signed_s, expires_s))}"
                )
            self.add_problem(
                f"the policy leaves out {self.name_of(node)}, which is revoked, but {why}."
                " To make room: writ policy clean. To restore a member: writ member restore"
            )
        return spent

    def _policy_lines(self, old: Any, policy: Any, spent: set[bytes]) -> list[str]:
        if old is not None:
            found = diff(old, policy, self._names(old, policy), spent)
            return [f"  {line}" for line in found.lines()]
        return [
            *(f"  {rule_text(policy, number)}" for number in range(len(policy.rules))),
            *(
                f"  to certify {subject}: {operators}"
                for subject, operators in approval_rows(policy)
            ),
            *(f"  revoked: {node}" for node in decompile(policy).revoked),
        ]

    def _names(self, *policies: Any) -> dict[bytes, str]:
        # only the nodes that a comparison may name
        nodes = {node for policy in policies for node in (*policy.revoked, *policy.grants)}
        return {member.node_id: member.name for member in self._members(nodes)}

    def _members(self, nodes: Iterable[bytes]) -> list[Any]:
        known = [self.registry.known(node) for node in nodes] if self.registry else []
        return [found.member for found in known if found]

    def _void_before(self, policy: Any) -> None:
        old = self.policy.void_before if self.policy else 0
        if policy.void_before < old:
            self.add_problem(f"it makes void memberships from before epoch {old} valid again")
        # what is certified in the epoch in force must survive
        if policy.void_before > max(old, self.epoch):
            self.add_problem(f"it voids the memberships of epoch {self.epoch}, which is in force")

    def _approvals(self, policy: Any) -> None:
        try:
            approvals = Approvals.from_wire(policy.approvals)
        except Malformed:
            self.add_problem("this version cannot read its approval rules")
            return
        if self.governors and approvals.most > self.governors:
            self.add_problem(
                f"{approvals.most} operators must agree, but there are only"
                f" {self.governors} governors"
            )

    def _committee(self, policy: Any) -> None:
        old = self.policy.committee if self.policy else None
        if policy.committee == old:
            return
        if self.committees is not None and (policy.committee or b"") not in self.committees:
            self.add_problem("it puts a committee in force whose re-sharing is unknown here")
        if self.policy is None:
            self.add_line(f"governors: the holders of the key shares {policy.committee.hex()}")

    def succession(self, capsule: Capsule, charter: Capsule) -> Any:
        """A succession: a new group key, with the `charter` that its governors signed."""
        found: Any = capsules.Succession(capsule)
        new = self.charter(charter)
        self.check_order("the succession", found.epoch, found.previous)
        if (new.group_key, charter_digest(charter)) != (found.group_key, found.charter_digest):
            self.add_problem("the succession names another charter than the one beside it")
        if found.issued > self.clock_s + self.clock_skew_max_s:
            self.add_problem(
                f"the succession was issued at {utc_minute(found.issued)},"
                f" this clock says {self._now()}"
            )
        self.add_line(
            f"succession to the group key {found.group_key.hex()} in epoch {found.epoch}:"
            " governors without a share of the new key are removed",
            "all valid members will be certified again, unchanged: check the list of members first",
        )
        self.epoch, self.head, self.amended = found.epoch, found.head, None
        return found

    def beacon(self, capsule: Capsule, age_max_s: int = 0) -> Beacon:
        """A beacon: the time and the newest epoch. age_max_s: as in `beacon_objection`."""
        beacon: Any = Beacon(capsule)
        self.add_line(f"beacon: epoch {beacon.epoch}, {utc_minute(beacon.time)}")
        head = self.head or b""
        bounds = self.clock_s, self.clock_skew_max_s
        reason = beacon_objection(capsule.payload, *bounds, self.epoch, head, age_max_s)
        if reason is not None:
            self.add_problem(
                f"the beacon of epoch {beacon.epoch}, {utc_minute(beacon.time)}: {reason}"
            )
        return beacon

    def action(self, capsule: Capsule) -> Any:
        """An action: a command that its target executes once."""
        action: Any = capsules.Action(capsule)
        target = self.member_of(action.target)
        what = f"{METHODS.get(1 << action.method - 1, action.method)} {action.path}"
        self.add_line(
            f"action: {what} on {self.name_of(action.target)}, until {utc_minute(action.expires)};"
            f" SHA-256 of its payload: {action.digest.hex()}"
        )
        if target is None:
            self.add_problem(f"the target {action.target.hex()} is not a valid member")
        if not self.clock_s < action.expires <= self.clock_s + ACTION_LIFETIME_S:
            self.add_problem("the action has expired, or is valid for longer than a day")
        return action

    def _now(self) -> str:
        return utc_minute(self.clock_s)


def charter_digest(charter: Capsule) -> bytes:
    """The digest by which a succession names its charter: SHA-256 over the payload, 32 bytes."""
    return bytes(capsules.compat.sha256(charter.payload))
