"""Member capsules that a daemon looks after by itself: its own node's, and all after a succession.

A governor that came later is no member of its scope yet, a member's capsule expires, and those that
an old group key has signed count for no device any more. All is proposed like anything else: the
approval rules of the policy say whether people are asked.
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
from .core.core import Core
from .ledger.ledger import Ledger
from .proposals.judge import RENEWAL_S_MAX, STATEMENT_AGE_MAX_S
from .proposals.proposal import OPEN
from .proposals.statement import RENEW, Statement

# Renewed when a third of the usual lifetime is left.
RENEW_BEFORE_S = RENEWAL_S_MAX // 3
LOOK_MS = 10_000
# Whose turn it is to have others' capsules certified anew.
TURN_S = 30

# Payloads, title, evidence; the proposal's id.
Propose = Callable[[Sequence[bytes], str, bytes], bytes]
# A statement, and the time in ms.
Ask = Callable[[bytes, int], tuple[int, bytes]]


class Renewal:
    """Looks now and then; what goes wrong is tried again."""

    def __init__(self, identity: Identity, ledger: Ledger, propose: Propose, ask: Ask) -> None:
        self._identity = identity
        self._ledger = ledger
        self._propose = propose
        self._ask = ask
        self._look_ms = 0
        self._admission = b""  # the proposal's id
        self._renewal: Statement | None = None

    def tick(self, core: Core, now_ms: int) -> str:
        """What went wrong, in words, "" for nothing."""
        if now_ms < self._look_ms or not core.is_seated or core.policy is None:
            return ""
        self._look_ms = now_ms + LOOK_MS
        try:
            known = self._ledger.capsules.known(
                capsules.node_id(self._identity.public.node_key[1:])
            )
            if known is None:
                self._admit(core)
            elif known.member.expires < core.context.clock_s() + RENEW_BEFORE_S:
                self._renew(core, now_ms)
            self._certify_anew(core)
        except (HostError, Rejection) as error:
            return f"membership: {error!r}"
        return ""

    def _admit(self, core: Core) -> None:
        known = core.proposal(self._admission) if self._admission else None
        request = member_request(self._identity.node_private, self._identity.name)
        evidence = codec.dump([request])
        if known is not None or any(one.evidence == evidence for one in core.pool.table):
            # once in the life of a process is enough, whatever people say to it
            return
        context = core.context
        following = self._ledger.reservations.highest_address() + 1
        # only this governor proposes such an address, so that no two newcomers get one
        address = following + (context.me - following) % context.count
        body = [address, self._roles(core)]
        key = self._identity.public.node_key
        expires = context.clock_s() + RENEWAL_S_MAX
        payload = capsules.build(
            MEMBER, body, sub=self._identity.name, exp=expires, key=(key[1:], key[0] == 3)
        )
        title = f"admit the node of governor {self._identity.name}"
        self._admission = self._propose([payload], title, evidence)

    def _roles(self, core: Core) -> int:
        """Those that the other governors' nodes have."""
        for governor in core.context.seat.roster.governors:
            member = self._ledger.capsules.member(capsules.node_id(governor.node_key[1:]))
            if member is not None:
                return int(member.roles)
        return 0

    def _renew(self, core: Core, now_ms: int) -> None:
        now_s = core.context.clock_s()
        kept = self._renewal
        if kept is None or now_s - kept.issued > STATEMENT_AGE_MAX_S // 2:
            kept = Statement.make(self._identity.node_private, RENEW, issued=now_s)
            self._renewal = kept
        self._ask(kept.raw, now_ms)

    def _certify_anew(self, core: Core) -> None:
        context = core.context
        if (context.clock_s() // TURN_S) % context.count != context.me - 1:
            return
        if any(one.proposer == context.me and one.state == OPEN for one in core.pool.table):
            return
        revoked = core.policy.revoked
        found: list[Any] = [
            capsules.parse(raw) for raw in self._ledger.capsules.outdated(BATCH_MAX)
        ]
        listed = [one for one in found if capsules.Member(one).node_id not in revoked]
        if listed:
            title = f"{len(listed)} members, for the new group key"
            self._propose([bytes(one.payload) for one in listed], title, b"")
