"""Where the chain stands, as one governor verified it: group key, policy, epoch, head."""

from dataclasses import dataclass
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import POLICY, SUCCESSION, Charter
from writ.authority.policy import Policy

from ...consensus.effects import Decide
from ...consensus.value import body_of


@dataclass(frozen=True)
class ChainState:
    """After the charter, or after a decision.

    group_key: what certifies now (32 B); head: 6 B; committee: digest (8 B) of the governors in
    force, None for those who made the group key; inherited: the committee that the policy named
    when the last succession came. Policies go on naming it until another one is set, and mean
    nothing by it: it held shares of the old key.
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
        """Before the first policy. Raises a `Rejection` for what is no charter."""
        charter: Any = Charter(capsules.parse(charter_raw))
        return cls(charter, bytes(charter.group_key), None, 0, bytes(charter.head))

    def after(self, decide: Decide) -> "ChainState":
        """The state that a decision made; its shape and signatures were checked before."""
        key, policy, committee = self.group_key, self.policy, self.committee
        head, inherited = self.head, self.inherited
        for payload in decide.value.payloads:
            kind = body_of(payload)[0]
            if kind == POLICY:
                policy = Policy(capsules.parse_claims(payload))
                committee = None if policy.committee == inherited else policy.committee
                head = capsules.head(payload)
            elif kind == SUCCESSION:
                # the new key's governors made it; whoever held a share of the old one is out
                key = bytes(capsules.parse_claims(payload)[capsules.WRIT][4])
                committee = None
                inherited = policy.committee if policy is not None else None
                head = capsules.head(payload)
        return ChainState(self.charter, key, policy, decide.height, head, committee, inherited)
