"""A Byzantine governor's process, for the demonstration and for tests of faults only.

This governor has its own keys and no others. It sends wrong signature shares, votes for and against
in one round, proposes two values, and answers a device's renewal with a capsule signed by itself.
"""

from writ.authority import capsule as capsules
from writ.authority.capsule import IAT, MEMBER, POLICY
from writ.errors import Rejection
from writ.wire import coap

from ..consensus import messages
from ..consensus.messages import Prevote, RoundProposal, sign
from ..consensus.signer import FrostSigner, Nonce, Package
from ..consensus.value import Value
from ..errors import HostError
from ..governor import governor
from ..governor.core import core
from ..governor.core.context import CoreContext, Outgoing, Output
from ..governor.proposals.statement import RENEW, Statement
from ..keys.roster import committee_scope
from . import child


class WrongSigner(FrostSigner):
    """A signer whose signature shares are invalid."""

    def share(self, package: Package, nonce: Nonce) -> bytes:
        honest = super().share(package, nonce)
        return bytes((honest[0] ^ 1,)) + honest[1:]


class EquivocatingContext(CoreContext):
    """A context that sends with each own vote or proposal its opposite."""

    def drain(self) -> list[Output]:
        outs: list[Output] = []
        for out in super().drain():
            outs += self._equivocate(out) if isinstance(out, Outgoing) else [out]
        return outs

    def _equivocate(self, out: Outgoing) -> list[Output]:
        try:
            message = messages.decode(out.data)
        except HostError:
            return [out]
        if not isinstance(message, Prevote | RoundProposal) or message.sender != self.me:
            return [out]
        signer = FrostSigner(self.identity, self.seat)
        opposite: Prevote | RoundProposal = _opposite(message)
        data = messages.encode(sign(opposite, signer, committee_scope(self.seat)))
        if isinstance(message, Prevote):
            return [out, Outgoing(out.to, data)]
        # each peer receives the two proposals in another order than the next peer
        others = [out.to] if out.to is not None else set(range(1, self.count + 1)) - {self.me}
        pairs = [(out.data, data) if number % 2 else (data, out.data) for number in others]
        return [Outgoing(to, one) for to, pair in zip(others, pairs, strict=True) for one in pair]


def _opposite(message: Prevote | RoundProposal) -> Prevote | RoundProposal:
    place = message.sender, message.height, message.round
    if isinstance(message, Prevote):
        digest = bytes(32) if message.digest is None else None
        return Prevote(*place, digest, message.counter, ())
    return RoundProposal(*place, _other(message.value), message.valid_round, message.proof)


def _other(value: Value) -> Value:
    """A different value for the same epoch."""
    if len(value.payloads) > 1:
        return Value(value.payloads[-1:])
    claims = capsules.parse_claims(value.payloads[0])
    body = claims[capsules.WRIT][1:]
    return Value((capsules.build(POLICY, body, iat=claims[IAT] + 1),))


class ForgingCore(core.Core):
    """A core that answers devices with capsules signed by this governor alone."""

    def handle_statement(self, statement: bytes, now_ms: int) -> tuple[int, bytes, list[Output]]:
        try:
            said = Statement.parse(statement)
        except Rejection:
            return super().handle_statement(statement, now_ms)
        member = self.ledger.capsules.member(said.node_id)
        if said.op != RENEW or member is None:
            return super().handle_statement(statement, now_ms)
        expires, key = capsules.TIME_MAX, (member.x, member.y_is_odd)
        body = [member.address, member.roles]
        payload = capsules.build(MEMBER, body, sub=member.name, exp=expires, key=key)
        signature = self.context.identity.sign(capsules.signing_input(payload))
        return coap.CHANGED, capsules.assemble(payload, signature), []


if __name__ == "__main__":
    vars(core).update(FrostSigner=WrongSigner, CoreContext=EquivocatingContext)
    vars(governor).update(Core=ForgingCore)
    child.main()
