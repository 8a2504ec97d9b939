"""The state of the chain as one governor has verified it: group key, policy, epoch, head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import POLICY, SUCCESSION, Charter
from writ.authority.policy import Policy

from ...consensus.effects import Decide
from ...consensus.value import body_of
from ...errors import HostError
from ..ledger.ledger import Ledger


@dataclass(frozen=True)
class ChainState:
    """The state after the charter, or after a decision.

    group_key: the key that certifies now (32 B); head: 6 B; committee: digest (8 B) of the
    committee in force, None for the governors that made the group key; inherited: the committee
    that the policy named at the newest succession. Later policies repeat this digest until they
    name another committee. Until then it has no effect, since it held shares of the old key.
    """

    charter: Charter
    group_key: bytes
    policy: Policy | None
    epoch: int
    head: bytes
    committee: bytes | None = None
    inherited: bytes | None = None

    @classmethod
    def founded(cls, charter_raw: bytes) -> "ChainState":
        """The state before the first policy. Raises a `Rejection` for what is no charter."""
        charter: Any = Charter(capsules.parse(charter_raw))
        return cls(charter, bytes(charter.group_key), None, 0, bytes(charter.head))

    def after(self, decide: Decide) -> "ChainState":
        """The state after a decision, whose shape and signatures were checked before."""
        key, policy, committee = self.group_key, self.policy, self.committee
        head, inherited = self.head, self.inherited
        for payload in decide.value.payloads:
            kind = body_of(payload)[0]
            if kind == POLICY:
                policy = Policy(capsules.parse_claims(payload))
                committee = None if policy.committee == inherited else policy.committee
                head = capsules.head(payload)
            elif kind == SUCCESSION:
                # the makers of the new key govern; holders of an old share govern no longer
                key = bytes(capsules.parse_claims(payload)[capsules.WRIT][4])
                committee = None
                inherited = policy.committee if policy is not None else None
                head = capsules.head(payload)
        return ChainState(self.charter, key, policy, decide.height, head, committee, inherited)


def read_chain(ledger: Ledger) -> ChainState:
    """The state that a ledger holds. Raises `HostError` for a ledger without a charter."""
    charter = ledger.capsules.charter()
    if charter is None:
        raise HostError("the ledger has no charter", "Found the scope again.")
    state = ChainState.founded(charter)
    for decide in ledger.decisions_in_force():
        state = state.after(decide)
    return state


def assemble(payloads: Sequence[bytes], signatures: Sequence[bytes]) -> list[bytes]:
    """The capsules of payloads and their group signatures (64 B each)."""
    pairs = zip(payloads, signatures, strict=True)
    return [bytes(capsules.assemble(payload, signature)) for payload, signature in pairs]
