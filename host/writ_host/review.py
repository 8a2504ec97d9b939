"""What a governor is asked to sign, judged and put into words before anything is committed.

A proposal may come from a governor who lies: whatever it says is taken out of the very bytes that
would be signed, and compared with the scope's folder.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from writ import capsule as capsules
from writ.capsule import AMENDMENT, BEACON, CHARTER, EDDSA, MEMBER, POLICY, Charter, Member
from writ.errors import Rejection
from writ.policy import Policy, check_amendment

from .certify import tolerance
from .policydiff import diff
from .policytext import decompile, role_words, rule_words
from .proposal import Item
from .refusals import words_for
from .roster import Seat
from .scopefolder import ScopeFolder, now_s

# A beacon further from our own clock than this is worth a question.
BEACON_OFF_MAX_S = 600


@dataclass
class Review:
    """lines: what it means; problems: what is wrong with it; pledges: {epoch: head} it fixes."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    pledges: dict[int, bytes] = field(default_factory=dict)


def review(seat: Seat, folder: ScopeFolder | None, items: Iterable[Item]) -> Review:
    """All items in order, each in the state that the ones before would make."""
    found = Review()
    state = _State(seat, folder, found)
    for item in items:
        try:
            state.judge(item)
        except Rejection as error:
            found.problems.append(f"{item.label}: {words_for(error)}")
    return found


class _State:
    def __init__(self, seat: Seat, folder: ScopeFolder | None, found: Review) -> None:
        self.seat = seat
        self.folder = folder
        self.found = found
        self.policy: Policy | None = folder.policy if folder else None
        self.head: bytes | None = folder.head if folder else None
        self.amended: Policy | None = None

    def say(self, *words: str) -> None:
        self.found.lines += words

    def object(self, words: str) -> None:
        self.found.problems.append(words)

    def judge(self, item: Item) -> None:
        payload = item.payload
        if item.to_be_signed != capsules.signing_input(payload, EDDSA):
            self.object(f"{item.label}: no capsule's signature covers bytes like these")
            return
        # all shape checks that devices make, with a stand-in for the signature
        capsule = capsules.parse(capsules.assemble(payload, bytes(64)))
        judges = {
            CHARTER: self._charter,
            MEMBER: self._member,
            POLICY: self._policy,
            AMENDMENT: self._amendment,
            BEACON: self._beacon,
        }
        if capsule.kind not in judges:
            self.object(f"{item.label}: a {capsules.KIND_NAMES[capsule.kind]}, not known here")
            return
        judges[capsule.kind](capsule)

    def _charter(self, capsule: Any) -> None:
        charter, roster = Charter(capsule), self.seat.roster
        count = len(charter.governors)
        dead, lying = tolerance(count, charter.threshold)
        self.say(
            f"charter of {charter.name}, scope {charter.scope.hex()}: {charter.threshold} of"
            f" {count} governors certify; {dead} may be dead, {lying} may lie"
        )
        keys = [governor.verify_key for governor in roster.governors]
        if charter.group_key != self.seat.public.group_key:
            self.object("the charter names another group key than our founding made")
        if (charter.name, charter.threshold, charter.governors) != (
            roster.scope,
            roster.threshold,
            keys,
        ):
            self.object("the charter's name, threshold or governors are not the roster's")
        if self.folder is not None and self.folder.charter.scope != charter.scope:
            self.object("the folder holds another charter already")
        self.found.pledges[0] = charter.head
        self.head = charter.head

    def _member(self, capsule: Any) -> None:
        member = Member(capsule)
        roles = role_words(self.policy, member.roles, "and") if self.policy else str(member.roles)
        self.say(
            f"member {member.name}, node id {member.node_id.hex()}, address {member.address},"
            f" roles: {roles}, until {_day(member.expires)}"
        )
        if member.expires <= now_s():
            self.object(f"{member.name}: expired already")
        if self.folder is None:
            return
        if self.folder.is_revoked(member):
            self.object(f"{member.name}: the policy revokes this node")
        for other in self.folder.members():
            if other.node_id == member.node_id or self.folder.is_revoked(other):
                continue
            if other.expires > now_s() and member.name == other.name:
                self.object(f"another member is called {member.name}: {other.node_id.hex()}")
            if member.address == other.address:
                self.object(f"{other.name} has the address {member.address}")

    def _follows(self, what: str, epoch: int, previous: bytes) -> None:
        mine = self.policy.epoch if self.policy else 0
        if epoch <= mine:
            self.object(f"{what} is for epoch {epoch}, and {mine} is in force")
        elif epoch > mine + 1:
            self.object(f"{what} is for epoch {epoch}, but the folder is at {mine}: bring it up")
        elif previous != self.head:
            self.object(f"{what} does not follow from the policy in force")

    def _amendment(self, capsule: Any) -> None:
        body = check_amendment(capsule.body)
        self._follows("the amendment", body[1], body[2])
        if self.policy is None:
            self.object("the amendment has no policy to amend")
            return
        self.amended = self.policy.amended(body)
        self.say(f"amendment to epoch {body[1]}, {len(capsule.raw)} bytes")
        self.found.pledges[body[1]] = self.amended.head()

    def _policy(self, capsule: Any) -> None:
        policy = Policy(capsule.claims)
        self._follows("the policy", policy.epoch, policy.previous)
        if self.amended is not None and self.amended.payload() != capsule.payload:
            self.object("amendment and whole policy lead to different states")
        self.say(f"policy of epoch {policy.epoch}:")
        if self.policy is None:
            rules = range(len(policy.rules))
            self.say(*(f"  {rule_words(policy, number)}" for number in rules))
            self.say(*(f"  revoked: {node}" for node in decompile(policy).revoked))
        else:
            names = self.folder.names() if self.folder else {}
            self.say(*(f"  {line}" for line in diff(self.policy, policy, names).lines()))
        self.policy, self.head = policy, capsules.head(capsule.payload)
        self.found.pledges[policy.epoch] = policy.head()

    def _beacon(self, capsule: Any) -> None:
        beacon = capsules.Beacon(capsule)
        self.say(f"beacon: epoch {beacon.epoch}, {_day(beacon.time)}")
        if abs(beacon.time - now_s()) > BEACON_OFF_MAX_S:
            self.object(f"the beacon's time is {_day(beacon.time)}, our clock says {_day(now_s())}")
        mine = self.policy.epoch if self.policy else 0
        if (beacon.epoch, beacon.head) != (mine, self.head):
            self.object(f"the beacon names another state than that of epoch {mine}")


def _day(time_s: int) -> str:
    return f"{datetime.datetime.fromtimestamp(time_s, datetime.UTC):%Y-%m-%d %H:%M} UTC"
