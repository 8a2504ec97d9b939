"""Putting new shares in force: the policy, or the succession, that names them, proposed till done.

Every governor that has a new share proposes the same, byte for byte, so it makes no difference who
is up, nor whether whoever began it still is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import AMENDMENT, POLICY, SUCCESSION
from writ.authority.policy import OP_SET, PARAM_COMMITTEE, check_amendment
from writ.errors import Rejection

from .. import codec
from ..errors import HostError
from .ceremonies.manager import CNext
from .core.core import Core
from .proposals.messages import TITLE_BYTES_MAX
from .proposals.proposal import REFUSED, Proposal

_TITLE = "putting in force: "

# Payloads, title, evidence; the proposal's id.
Propose = Callable[[Sequence[bytes], str, bytes], bytes]


@dataclass
class _Waiting:
    out: CNext
    title: str
    epoch: int = -1  # in which it was proposed last
    id: bytes = b""


class Activation:
    """The new shares of one daemon that are not in force yet."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, _Waiting] = {}
        self._told: set[str] = set()

    def add(self, out: CNext, title: str) -> None:
        """One more; title: of the ceremony that it came of."""
        self._waiting[out.digest] = _Waiting(out, (_TITLE + title)[:TITLE_BYTES_MAX])

    def genesis(self, group_key: bytes) -> list[bytes]:
        """The capsules that came with the shares of this group key."""
        for one in self._waiting.values():
            if one.out.seat.public.group_key == group_key:
                return list(one.out.genesis)
        return []

    def clear(self) -> None:
        """Other shares are in force: those that waited are worth nothing."""
        self._waiting.clear()

    def tick(self, core: Core, propose: Propose) -> list[str]:
        """Propose what is not proposed in this epoch; what went wrong, in words, each once.

        That is tried again with the next tick.
        """
        problems = []
        again = carried_over(core)
        if again:
            try:
                propose(again, "the policy under the new group key", b"")
            except (HostError, Rejection) as error:
                problems.append(f"the policy can not be certified anew: {error!r}")
        for digest, one in list(self._waiting.items()):
            view = core.proposal(one.id) if one.id else None
            if view is not None and view.state == REFUSED:
                # people said no: their word counts in the next epoch too
                del self._waiting[digest]
                continue
            if one.epoch == core.epoch:
                continue
            try:
                one.id = self._propose(core, one, propose)
                one.epoch = core.epoch
            except (HostError, Rejection) as error:
                problems.append(f"the new shares can not be put in force: {error!r}")
        new = [one for one in problems if one not in self._told]
        self._told = set(problems)
        return new

    def _propose(self, core: Core, one: _Waiting, propose: Propose) -> bytes:
        out = one.out
        if out.genesis:
            payload = succession(core, out.genesis[0], out.seat.public.group_key)
            return propose([payload], one.title, codec.dump(out.genesis[:1]))
        return propose(new_committee(core, out.digest), one.title, b"")


def puts_in_force(proposal: Proposal, names: bytes) -> bool:
    """Whether it would put in force a committee (digest of 8 B) or a group key (32 B)."""
    for payload in proposal.payloads:
        for item in capsules.parse_claims(payload)[capsules.WRIT][1:]:
            if names == item or (isinstance(item, list) and names in item):
                return True
    return False


def carried_over(core: Core) -> list[bytes]:
    """After a succession: the policy in force once more, under the new key; [] where there is one.

    Devices that slept hold an older one, and only the new key's governors can give them this. It
    is the same for each governor that proposes it.
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
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")
    body = check_amendment(
        [AMENDMENT, core.epoch + 1, core.head, [OP_SET, PARAM_COMMITTEE, digest]]
    )
    return [capsules.build(AMENDMENT, body[1:]), core.policy.amended(body).payload()]


def succession(core: Core, charter: bytes, group_key: bytes) -> bytes:
    """The payload that hands the scope on to the key of another charter (a capsule).

    Its time is the charter's, or that of the policy in force if that is later: all who propose it
    propose the same.
    """
    made: Any = capsules.parse(charter)
    digest = crypto.sha256(made.payload)
    body = [core.epoch + 1, core.head, digest, group_key]
    time_s = int(made.claims[capsules.IAT])
    if core.policy is not None:
        time_s = max(time_s, int(core.policy.issued))
    payload: bytes = capsules.build(SUCCESSION, body, iat=time_s)
    return payload
