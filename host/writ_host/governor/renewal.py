"""Renewal: the member capsules that a governor proposes without being asked.

A new governor's node is not a member of the scope yet; its capsule is proposed, and renewed before
it expires. The approval rules of the policy say whether operators must approve.

After a succession devices no longer accept the capsules that the old group key has signed. Those of
living members are proposed again under the new key: not of revoked, void or expired ones, which no
honest governor signs. Each is a proposal of its own, so one that is refused here or elsewhere keeps
no other from its certification; cosigning signs them in batches.
"""

from collections.abc import Callable, Iterator, Sequence

from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, Member
from writ.errors import Rejection
from writ.node.statement import member_request

from .. import codec
from ..consensus.value import BATCH_MAX
from ..errors import HostError
from ..keys.identity import Identity
from ..refusals import problem_text
from ..scope.revocation import is_void, member_body
from .core.core import Core
from .ledger.database import LEDGER_ERRORS
from .ledger.ledger import Ledger
from .proposals.judge import RENEWAL_S_MAX
from .proposals.origin import STATEMENT_AGE_MAX_S
from .proposals.proposal import OPEN_EACH_MAX
from .proposals.statement import RENEW, Statement

# A capsule is renewed when a third of the usual lifetime is left.
RENEW_BEFORE_S = RENEWAL_S_MAX // 3
CHECK_MS = 10_000
# The governors take turns of this length to propose the capsules of others.
TURN_S = 30
# Outdated capsules that one check reads: thousands of void ones may be among them.
READ_MAX = 1024
# Renewals that wait at most, of this governor's OPEN_EACH_MAX proposals: the rest is for members.
WAITING_MAX = OPEN_EACH_MAX // 2

_TITLE = "renew under the new group key:"

# Takes payloads, title and evidence; returns the proposal's id.
Propose = Callable[[Sequence[bytes], str, bytes], bytes]
# Takes a statement and the time in ms; returns the CoAP code and the body of the answer.
AnswerStatement = Callable[[bytes, int], tuple[int, bytes]]


class Renewal:
    """The renewals of one governor; failed ones are tried again."""

    def __init__(
        self,
        identity: Identity,
        ledger: Ledger,
        propose: Propose,
        answer_statement: AnswerStatement,
    ) -> None:
        self._identity = identity
        self._ledger = ledger
        self._propose = propose
        self._answer_statement = answer_statement
        self._check_ms = 0  # when the next check is due
        self._admission = b""  # id of the proposal that admits the own node, b"" before it
        self._statement: Statement | None = None  # that asks for the renewal
        self._cursor = 0  # in the ledger: the outdated capsules up to there are proposed

    def tick(self, core: Core, now_ms: int) -> str | None:
        """Propose what is due; returns a problem as text, "" for none, None if nothing was due."""
        if now_ms < self._check_ms or not core.is_seated or core.policy is None:
            return None
        self._check_ms = now_ms + CHECK_MS
        problems = [_problem_of(self._renew_own, core, now_ms)]
        problems += self._renew_outdated(core)
        # one line: a problem that many have is one problem
        found = next((problem for problem in problems if problem), "")
        return found and f"cannot renew a member capsule: {found}"

    def _renew_own(self, core: Core, now_ms: int) -> None:
        known = self._ledger.capsules.known(capsules.node_id(self._identity.public.node_key[1:]))
        if known is None:
            self._admit(core)
        elif known.member.expires < core.context.clock_s() + RENEW_BEFORE_S:
            self._renew(core, now_ms)

    def _admit(self, core: Core) -> None:
        known = core.proposal(self._admission) if self._admission else None
        request = member_request(self._identity.node_private, self._identity.name)
        evidence = codec.dump([request])
        if known is not None or any(one.evidence == evidence for one in core.pool.proposals):
            # one proposal per process, whatever the operators decide
            return
        context = core.context
        following = self._ledger.reservations.highest_address() + 1
        # only this governor proposes addresses of this residue, so two new nodes never share one
        address = following + (context.me - following) % context.count
        body = member_body(address, self._roles(core), context.chain.epoch)
        key = self._identity.public.node_key
        expires = context.clock_s() + RENEWAL_S_MAX
        payload = capsules.build(
            MEMBER, body, sub=self._identity.name, exp=expires, key=(key[1:], key[0] == 3)
        )
        title = f"admit the node of governor {self._identity.name}"
        self._admission = self._propose([payload], title, evidence)

    def _roles(self, core: Core) -> int:
        """The roles of the other governors' nodes."""
        for governor in core.context.seat.roster.governors:
            member = self._ledger.capsules.member(capsules.node_id(governor.node_key[1:]))
            if member is not None:
                return int(member.roles)
        return 0

    def _renew(self, core: Core, now_ms: int) -> None:
        now_s = core.context.clock_s()
        statement = self._statement
        if statement is None or now_s - statement.issued > STATEMENT_AGE_MAX_S // 2:
            statement = Statement.make(
                self._identity.node_private,
                RENEW,
                scope=core.context.chain.charter.scope,
                epoch=core.epoch,
                issued=now_s,
            )
            self._statement = statement
        self._answer_statement(statement.raw, now_ms)

    def _renew_outdated(self, core: Core) -> list[str]:
        """Propose up to BATCH_MAX members under the new group key; the problems, as texts."""
        context, pool = core.context, core.pool
        if (context.clock_s() // TURN_S) % context.count != context.me - 1:
            return []
        waiting = sum(
            one.source == one.proposer == context.me and one.title.startswith(_TITLE)
            for one in pool.proposals
        )
        problems, left = [], min(BATCH_MAX, WAITING_MAX - waiting)
        for member in self._outdated(core) if left > 0 else ():
            payload = bytes(capsules.parse(member.raw).payload)
            if pool.proposals.of_payload(payload):
                continue
            title = f"{_TITLE} {member.name}"
            if problem := _problem_of(self._propose, [payload], title, b""):
                problems.append(f"{member.name} ({member.node_id.hex()}): {problem}")
                continue
            left -= 1
            if not left:
                break
        return problems

    def _outdated(self, core: Core) -> Iterator[Member]:
        """The next READ_MAX outdated members, without those that no honest governor renews."""
        policy, read = core.policy, 0
        while read < READ_MAX:
            page = self._ledger.capsules.outdated(self._cursor, BATCH_MAX)
            if not page and (read or not self._cursor):
                return
            if not page:
                # from the first one again: some may have been refused
                self._cursor = 0
            for self._cursor, raw in page:
                member = Member(capsules.parse(raw))
                if member.node_id not in policy.revoked and not is_void(policy, member):
                    yield member
            read += len(page)


def _problem_of(propose: Callable[..., object], *arguments: object) -> str:
    """What keeps this from being proposed, "" for nothing. Raises the ledger's errors."""
    try:
        propose(*arguments)
    except LEDGER_ERRORS:
        raise
    except (HostError, Rejection) as error:
        return problem_text(error)
    return ""
