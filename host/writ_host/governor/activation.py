"""Activation: proposes the policy, or the succession, that puts new key shares in force.

Each governor with a new share makes the same proposal, byte for byte, in each epoch until it is
decided. So the change goes on while any of them is online, even without the one that began it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, POLICY, SUCCESSION
from writ.authority.policy import OP_SET, PARAM_COMMITTEE
from writ.errors import Rejection

from .. import codec
from ..errors import HostError
from ..refusals import problem_text
from .ceremonies.views import SeatReady
from .core.core import Core
from .ledger.database import LEDGER_ERRORS
from .proposals.messages import TITLE_BYTES_MAX
from .proposals.proposal import REFUSED, Proposal

_TITLE = "putting in force: "

# Takes payloads, title and evidence; returns the proposal's id.
Propose = Callable[[Sequence[bytes], str, bytes], bytes]

_NO_POLICY = "cannot propose the policy under the new group key"
_NO_SHARES = "cannot propose to put the new shares in force"


@dataclass
class _Share:
    next_seat: SeatReady
    title: str
    epoch: int = -1  # of the newest proposal, -1 before the first
    proposal_id: bytes = b""


class Activation:
    """The new shares of one governor that are not in force yet."""

    def __init__(self) -> None:
        self._shares: dict[bytes, _Share] = {}  # by committee digest
        self._problems: set[str] = set()  # of the last tick

    def add(self, next_seat: SeatReady, title: str) -> None:
        """Add a share; title: of the ceremony that made it."""
        title = (_TITLE + title)[:TITLE_BYTES_MAX]
        self._shares[next_seat.digest] = _Share(next_seat, title)

    def genesis(self, group_key: bytes) -> list[bytes]:
        """The capsules that came with the shares of this group key."""
        for one in self._shares.values():
            if one.next_seat.seat.public.group_key == group_key:
                return list(one.next_seat.genesis)
        return []

    def clear(self) -> None:
        """Drop all shares: another committee is in force, so they are worthless."""
        self._shares.clear()

    def tick(self, core: Core, propose: Propose) -> list[str]:
        """Propose what is not proposed in this epoch yet; the new problems, as texts.

        The next tick tries failed proposals again.
        """
        problems = []
        policy = policy_under_new_key(core)
        if policy:
            try:
                propose(policy, "the policy under the new group key", b"")
            except LEDGER_ERRORS:
                raise
            except (HostError, Rejection) as error:
                problems.append(f"{_NO_POLICY}: {problem_text(error)}")
        for digest, one in list(self._shares.items()):
            view = core.proposal(one.proposal_id) if one.proposal_id else None
            if view is not None and view.state == REFUSED:
                # a denial by operators counts in the next epochs too
                del self._shares[digest]
                continue
            if one.epoch == core.epoch:
                continue
            try:
                one.proposal_id = self._propose(core, one, propose)
                one.epoch = core.epoch
            except LEDGER_ERRORS:
                raise
            except (HostError, Rejection) as error:
                problems.append(f"{_NO_SHARES}: {problem_text(error)}")
        new = [one for one in problems if one not in self._problems]
        self._problems = set(problems)
        return new

    def _propose(self, core: Core, share: _Share, propose: Propose) -> bytes:
        seat, genesis = share.next_seat.seat, share.next_seat.genesis
        if genesis:
            payload = succession(core, genesis[0], seat.public.group_key)
            return propose([payload], share.title, codec.dump(genesis[:1]))
        return propose(new_committee(core, share.next_seat.digest), share.title, b"")


def names_seat(proposal: Proposal, seat_id: bytes) -> bool:
    """Whether the proposal puts a committee (digest of 8 B) or a group key (32 B) in force."""
    for payload in proposal.payloads:
        for item in capsules.parse_claims(payload)[capsules.WRIT][1:]:
            if seat_id == item or (isinstance(item, list) and seat_id in item):
                return True
    return False


def policy_under_new_key(core: Core) -> list[bytes]:
    """After a succession, the policy in force as a payload for the new key; [] if it is signed.

    Devices that slept have an older policy, and only the new key's governors can give them this
    one. The payload is the same at each governor.
    """
    chain = core.context.chain
    if chain.policy is None or chain.policy.epoch == chain.epoch:
        return []
    claims = capsules.parse_claims(chain.policy.payload())
    body = [chain.epoch + 1, chain.head, *claims[capsules.WRIT][3:]]
    return [capsules.build(POLICY, body, iat=claims[capsules.IAT])]


def new_committee(core: Core, digest: bytes) -> list[bytes]:
    """[amendment, policy]: the policy in force, with these governors (digest of 8 B)."""
    if core.policy is None:
        raise HostError("there is no policy yet", "Certify a policy first: writ policy certify.")
    body = check_amendment(
        [AMENDMENT, core.epoch + 1, core.head, [OP_SET, PARAM_COMMITTEE, digest]]
    )
    return [capsules.build(AMENDMENT, body[1:]), amend(core.policy, body).payload()]


def succession(core: Core, charter: bytes, group_key: bytes) -> bytes:
    """The payload that hands the scope on to the key of another charter (a capsule).

    Its time is that of the charter, or of the policy in force if that is later, so that all
    governors propose the same payload.
    """
    parsed: Any = capsules.parse(charter)
    digest = crypto.sha256(parsed.payload)
    body = [core.epoch + 1, core.head, digest, group_key]
    time_s = int(parsed.claims[capsules.IAT])
    if core.policy is not None:
        time_s = max(time_s, int(core.policy.issued))
    payload: bytes = capsules.build(SUCCESSION, body, iat=time_s)
    return payload
