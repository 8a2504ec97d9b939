"""Renewal: the member capsules that a governor proposes without being asked.

A new governor's node is not a member of the scope yet; its capsule is proposed, and renewed before
it expires. After a succession the capsules that the old group key has signed are proposed again
under the new key, since devices no longer accept them. The approval rules of the policy say whether
operators must approve.
"""

from collections.abc import Callable, Sequence
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER
from writ.errors import Rejection
from writ.node.statement import member_request

from .. import codec
from ..consensus.value import BATCH_MAX
from ..errors import HostError
from ..keys.identity import Identity
from ..refusals import problem_text
from ..scope.revocation import member_body
from .core.core import Core
from .ledger.database import LEDGER_ERRORS
from .ledger.ledger import Ledger
from .proposals.judge import RENEWAL_S_MAX
from .proposals.origin import STATEMENT_AGE_MAX_S
from .proposals.proposal import OPEN
from .proposals.statement import RENEW, Statement

# A capsule is renewed when a third of the usual lifetime is left.
RENEW_BEFORE_S = RENEWAL_S_MAX // 3
CHECK_MS = 10_000
# The governors take turns of this length to propose the capsules of others.
TURN_S = 30

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

    def tick(self, core: Core, now_ms: int) -> str | None:
        """Propose what is due; returns a problem as text, "" for none, None if nothing was due."""
        if now_ms < self._check_ms or not core.is_seated or core.policy is None:
            return None
        self._check_ms = now_ms + CHECK_MS
        try:
            known = self._ledger.capsules.known(
                capsules.node_id(self._identity.public.node_key[1:])
            )
            if known is None:
                self._admit(core)
            elif known.member.expires < core.context.clock_s() + RENEW_BEFORE_S:
                self._renew(core, now_ms)
            self._renew_outdated(core)
        except LEDGER_ERRORS:
            raise
        except (HostError, Rejection) as error:
            return f"cannot renew a member capsule: {problem_text(error)}"
        return ""

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

    def _renew_outdated(self, core: Core) -> None:
        context = core.context
        if (context.clock_s() // TURN_S) % context.count != context.me - 1:
            return
        if any(one.proposer == context.me and one.state == OPEN for one in core.pool.proposals):
            return
        revoked = core.policy.revoked
        found: list[Any] = [
            capsules.parse(raw) for raw in self._ledger.capsules.outdated(BATCH_MAX)
        ]
        members = [one for one in found if capsules.Member(one).node_id not in revoked]
        if members:
            title = f"renew {len(members)} members under the new group key"
            self._propose([bytes(one.payload) for one in members], title, b"")
