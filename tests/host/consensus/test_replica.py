"""A replica decides, restarts, and accuses faulty governors. Real keys, no network."""

from dataclasses import replace

from consensus_rig import Network, value

from writ_host.consensus import messages
from writ_host.consensus.effects import (
    Accuse,
    Decide,
    Propose,
    Received,
    Send,
    Write,
)
from writ_host.consensus.hardstate import HardState
from writ_host.consensus.messages import NO_ROUND, Prevote, RoundProposal, Status, Submit, sign


def test_four_governors_decide_and_the_signatures_verify(signers):
    network = Network(signers)
    network.step(1, Propose(value(1)))
    network.deliver()
    assert [chain[1].value for chain in network.chains.values()] == [value(1)] * 4
    decided = network.chains[1][1]
    for signed, signature in zip(decided.value.payloads, decided.signatures, strict=True):
        assert signers[0].is_valid(signed, signature)


def test_one_offline_governor_does_not_prevent_a_decision(signers):
    network = Network(signers)
    network.deaf = {network.committee.proposer(1, 0)}
    network.step(1, Propose(value(1)))
    network.wait(6000)
    assert sum(1 in chain for chain in network.chains.values()) == 3


def test_without_a_quorum_there_is_no_decision(signers):
    network = Network(signers)
    network.deaf = {3, 4}
    network.step(1, Propose(value(1)))
    network.wait(6000)
    assert not network.effects_of(Decide)
    network.deaf = set()
    network.wait(20000)
    assert all(1 in chain for chain in network.chains.values())


def test_votes_and_locks_are_durable_before_they_are_sent(signers):
    network = Network(signers)
    network.step(1, Propose(value(1)))
    network.deliver()
    record = dict.fromkeys(range(1, 5))
    for number, effect in network.effects:
        if isinstance(effect, Write):
            record[number] = HardState.from_bytes(effect.record)
        elif isinstance(effect, Send):
            message = messages.decode(effect.data)
            if isinstance(message, messages.Prevote):
                assert record[number].prevotes[message.round] == message.digest
            elif isinstance(message, messages.Share):
                assert record[number].locked == message.digest


def test_a_restarted_replica_repeats_its_vote_with_fresh_nonces(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    voter = proposer % 4 + 1
    network.step(proposer, Propose(value(1, "red")))
    network.deaf = {proposer}
    while not network.sent(voter, Prevote):
        sender, to, data = network.mail.pop(0)
        network.step(to, Received(sender, data))
    first = network.sent(voter, Prevote)[-1]
    network.start(voter)
    network.deliver()
    again = network.sent(voter, Prevote)[-1]
    assert (again.round, again.digest) == (first.round, first.digest)
    assert again.commitments != first.commitments


def test_three_of_four_go_on_when_two_restart_in_an_earlier_round(signers):
    """Two replicas vote, enter the next round and restart, so they resume in the first round.

    The third replica has followed them into the next round. The fourth is offline.
    """
    network = Network(signers)
    offline, idle = (network.committee.proposer(1, round_) for round_ in (0, 1))
    late, other = set(network.replicas) - {offline, idle}
    network.deaf, network.lost = {late}, (RoundProposal, Submit)
    for number in (offline, other):
        network.step(number, Propose(value(1)))
    while {network.replicas[number].state.round for number in (idle, other)} != {1}:
        network.wait(100)
    network.deaf, network.lost = {offline}, ()
    status = messages.encode(Status(1, 1, True, False, 0, NO_ROUND))
    for number in (idle, other):
        network.step(late, Received(number, status))
    assert network.replicas[late].state.round == 1
    for number in (idle, other):
        assert list(network.replicas[number].hard_state.prevotes) == [0]
        network.start(number)
    network.step(late, Propose(value(1)))
    network.wait(60000)
    assert sum(1 in chain for chain in network.chains.values()) == 3


def test_a_woken_replica_sends_its_status_soon(signers):
    network = Network(signers)
    network.wait(1000)
    proposer = network.committee.proposer(1, 0)
    asleep = network.committee.after(proposer)[-1]
    before = len(network.sent(asleep, Status))
    network.lost = (RoundProposal, Prevote)
    network.step(proposer, Propose(value(1)))
    network.wait(500)
    status = network.sent(asleep, Status)[before]
    assert status.is_awake and not status.has_value


def test_a_replica_with_an_old_backup_abstains_until_the_height_is_decided(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    me = proposer % 4 + 1
    old = network.records[me]
    network.step(proposer, Propose(value(1)))
    while not network.sent(me, Prevote):
        sender, to, data = network.mail.pop(0)
        network.step(to, Received(sender, data))
    for sender, to, data in [letter for letter in network.mail if letter[0] == me]:
        network.step(to, Received(sender, data))
    network.mail.clear()
    assert HardState.from_bytes(network.records[me]).counter > HardState.from_bytes(old).counter
    network.records[me] = old
    before = len(network.sent(me, Prevote))
    network.start(me)
    network.deliver()
    assert not network.replicas[me].is_active
    network.wait(20000)
    assert all(1 in chain for chain in network.chains.values()), "the other three went on"
    assert len(network.sent(me, Prevote)) == before
    assert network.replicas[me].is_active
    network.step(me, Propose(value(2)))
    network.deliver()
    assert all(2 in chain for chain in network.chains.values())


def test_a_restarted_replica_does_not_vote_before_a_quorum_has_answered(signers):
    network = Network(signers)
    network.deaf = {1}
    network.start(1)
    network.step(1, Propose(value(1)))
    network.wait(5000)
    assert not network.replicas[1].is_active
    assert not network.sent(1, Prevote)


def test_a_proposer_of_two_values_is_accused_with_proof(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    other = proposer % 4 + 1
    for name in ("red", "blue"):
        unsigned = RoundProposal(proposer, 1, 0, value(1, name))
        signed = sign(unsigned, signers[proposer - 1], network.committee.scope)
        network.step(other, Received(proposer, messages.encode(signed)))
    accusation = network.effects_of(Accuse)[0][1]
    assert accusation.identifier == proposer
    assert len({messages.decode(one).value for one in accusation.proof}) == 2


def test_a_forged_quorum_locks_no_replica(signers):
    network = Network(signers)
    wanted = value(1, "forged")
    liar = sign(Prevote(4, 1, 0, wanted.digest, 1), signers[3], network.committee.scope)
    for proof in (
        (liar, liar, liar),
        tuple(replace(liar, sender=number) for number in (1, 2, 3)),
        (liar,),
    ):
        network.step(1, Received(4, messages.encode(messages.PrevoteQuorum(1, 0, wanted, proof))))
    assert network.replicas[1].hard_state.valid is None and not network.replicas[1].state.quorums


def test_a_decision_of_another_epoch_is_ignored(signers):
    network = Network(signers)
    network.step(1, Propose(value(1)))
    network.deliver()
    old = network.chains[1][1]
    again = messages.Decided(value(2), old.signatures)
    for message in (again, messages.Decided(old.value, old.signatures)):
        network.step(2, Received(1, messages.encode(message)))
    assert list(network.chains[2]) == [1]
