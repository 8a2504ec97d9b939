"""The lock rule: which values a replica that has locked one may still vote for. Real keys."""

import pytest
from consensus_rig import Network, value

from writ_host.consensus import messages
from writ_host.consensus.effects import Received
from writ_host.consensus.hardstate import HardState
from writ_host.consensus.messages import NO_ROUND, Prevote, RoundProposal, sign

RED, BLUE = value(1, "red"), value(1, "blue")
LOCKED_ROUND, ROUND = 2, 3


class Locked(Network):
    """Four replicas. Replica `me` has locked RED in round 2 and is in round 3."""

    def __init__(self, signers):
        super().__init__(signers)
        self.proposer = self.committee.proposer(1, ROUND)
        self.me, self.other = self.committee.after(self.proposer)[:2]
        state = HardState(1, 1, {LOCKED_ROUND: RED.digest}, LOCKED_ROUND, RED.digest)
        state.valid, state.valid_round = RED, LOCKED_ROUND
        state.proof = self.quorum(RED, LOCKED_ROUND)
        self.records[self.me] = state.to_bytes()
        self.start(self.me)
        self.deliver()
        # a second governor in the next round
        self.say(self.other, self.prevote(self.other, ROUND, None))

    def prevote(self, number, round_, voted):
        signer = self.signers[number - 1]
        commitments = tuple(signer.commit()[0] for _ in voted.payloads) if voted else ()
        digest = voted and voted.digest
        unsigned = Prevote(number, 1, round_, digest, 1, commitments)
        return sign(unsigned, signer, self.committee.scope)

    def quorum(self, voted, round_):
        others = [number for number in self.committee.numbers if number != self.me]
        return tuple(self.prevote(number, round_, voted) for number in others)

    def say(self, sender, message):
        self.step(self.me, Received(sender, messages.encode(message)))

    def vote_for(self, proposed, valid_round):
        """The digest that `me` votes for in round 3 after this proposal."""
        proof = () if valid_round == NO_ROUND else self.quorum(proposed, valid_round)
        unsigned = RoundProposal(self.proposer, 1, ROUND, proposed, valid_round, proof)
        signer = self.signers[self.proposer - 1]
        self.say(self.proposer, sign(unsigned, signer, self.committee.scope))
        (vote,) = [one for one in self.sent(self.me, Prevote) if one.round == ROUND]
        return vote.digest


@pytest.mark.parametrize("valid_round", [NO_ROUND, 0, 1])
def test_a_quorum_older_than_the_lock_does_not_break_it(signers, valid_round):
    network = Locked(signers)
    assert network.vote_for(BLUE, valid_round) is None
    assert network.replicas[network.me].hard_state.locked == RED.digest


def test_a_quorum_of_the_round_of_the_lock_or_later_allows_another_value(signers):
    assert Locked(signers).vote_for(BLUE, LOCKED_ROUND) == BLUE.digest


@pytest.mark.parametrize("valid_round", [NO_ROUND, 0, LOCKED_ROUND])
def test_a_lock_allows_its_own_value(signers, valid_round):
    assert Locked(signers).vote_for(RED, valid_round) == RED.digest
