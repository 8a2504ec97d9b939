"""A replica decides, restarts, and accuses faulty governors. Real keys, no network."""

from dataclasses import replace

from consensus_rig import Room, value

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


def test_four_governors_decide_and_anybody_can_check(signers):
    room = Room(signers)
    room.step(1, Propose(value(1)))
    room.deliver()
    assert [chain[1].value for chain in room.chains.values()] == [value(1)] * 4
    decided = room.chains[1][1]
    for signed, signature in zip(decided.value.payloads, decided.signatures, strict=True):
        assert signers[0].is_valid(signed, signature)


def test_one_dead_governor_delays_nothing_for_good(signers):
    room = Room(signers)
    room.deaf = {room.committee.proposer(1, 0)}
    room.step(1, Propose(value(1)))
    room.wait(6000)
    assert sum(1 in chain for chain in room.chains.values()) == 3


def test_without_a_quorum_nothing_is_decided(signers):
    room = Room(signers)
    room.deaf = {3, 4}
    room.step(1, Propose(value(1)))
    room.wait(6000)
    assert not room.said(Decide)
    room.deaf = set()
    room.wait(20000)
    assert all(1 in chain for chain in room.chains.values())


def test_every_promise_is_written_before_it_is_sent(signers):
    room = Room(signers)
    room.step(1, Propose(value(1)))
    room.deliver()
    record = dict.fromkeys(range(1, 5))
    for number, effect in room.effects:
        if isinstance(effect, Write):
            record[number] = HardState.from_bytes(effect.record)
        elif isinstance(effect, Send):
            message = messages.decode(effect.data)
            if isinstance(message, messages.Prevote):
                assert record[number].prevotes[message.round] == message.digest
            elif isinstance(message, messages.Share):
                assert record[number].locked == message.digest


def test_a_restart_in_the_middle_keeps_the_vote_and_makes_new_nonces(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    voter = proposer % 4 + 1
    room.step(proposer, Propose(value(1, "red")))
    room.deaf = {proposer}
    while not room.sent(voter, Prevote):
        sender, to, data = room.mail.pop(0)
        room.step(to, Received(sender, data))
    first = room.sent(voter, Prevote)[-1]
    room.start(voter)
    room.deliver()
    again = room.sent(voter, Prevote)[-1]
    assert (again.round, again.digest) == (first.round, first.digest)
    assert again.commitments != first.commitments


def test_three_of_four_go_on_when_two_restart_behind_the_one_who_joined_them(signers):
    """Two have voted, entered the next round, and lost power: they are back where they voted.

    The third had followed them into the next round, and the fourth is dead.
    """
    room = Room(signers)
    dead, idle = (room.committee.proposer(1, round_) for round_ in (0, 1))
    late, other = set(room.replicas) - {dead, idle}
    room.deaf, room.lost = {late}, (RoundProposal, Submit)
    for number in (dead, other):
        room.step(number, Propose(value(1)))
    while {room.replicas[number].state.round for number in (idle, other)} != {1}:
        room.wait(100)
    room.deaf, room.lost = {dead}, ()
    status = messages.encode(Status(1, 1, True, False, 0, NO_ROUND))
    for number in (idle, other):
        room.step(late, Received(number, status))
    assert room.replicas[late].state.round == 1
    for number in (idle, other):
        assert list(room.replicas[number].hard_state.prevotes) == [0]
        room.start(number)
    room.step(late, Propose(value(1)))
    room.wait(60000)
    assert sum(1 in chain for chain in room.chains.values()) == 3


def test_who_is_woken_soon_tells_where_it_is(signers):
    room = Room(signers)
    room.wait(1000)
    proposer = room.committee.proposer(1, 0)
    asleep = room.committee.after(proposer)[-1]
    before = len(room.sent(asleep, Status))
    room.lost = (RoundProposal, Prevote)
    room.step(proposer, Propose(value(1)))
    room.wait(500)
    status = room.sent(asleep, Status)[before]
    assert status.is_awake and not status.has_value


def test_an_old_backup_is_noticed_and_abstains_until_the_height_is_decided(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    me = proposer % 4 + 1
    old = room.records[me]
    room.step(proposer, Propose(value(1)))
    while not room.sent(me, Prevote):
        sender, to, data = room.mail.pop(0)
        room.step(to, Received(sender, data))
    for sender, to, data in [letter for letter in room.mail if letter[0] == me]:
        room.step(to, Received(sender, data))
    room.mail.clear()
    assert HardState.from_bytes(room.records[me]).counter > HardState.from_bytes(old).counter
    room.records[me] = old
    before = len(room.sent(me, Prevote))
    room.start(me)
    room.deliver()
    assert not room.replicas[me].is_active
    room.wait(20000)
    assert all(1 in chain for chain in room.chains.values()), "the other three went on"
    assert len(room.sent(me, Prevote)) == before
    assert room.replicas[me].is_active
    room.step(me, Propose(value(2)))
    room.deliver()
    assert all(2 in chain for chain in room.chains.values())


def test_a_governor_alone_with_its_disk_promises_nothing(signers):
    room = Room(signers)
    room.deaf = {1}
    room.start(1)
    room.step(1, Propose(value(1)))
    room.wait(5000)
    assert not room.replicas[1].is_active
    assert not room.sent(1, Prevote)


def test_a_proposer_who_says_two_things_is_accused_with_proof(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    other = proposer % 4 + 1
    for name in ("red", "blue"):
        unsigned = RoundProposal(proposer, 1, 0, value(1, name))
        signed = sign(unsigned, signers[proposer - 1], room.committee.scope)
        room.step(other, Received(proposer, messages.encode(signed)))
    accusation = room.said(Accuse)[0][1]
    assert accusation.identifier == proposer
    assert len({messages.decode(one).value for one in accusation.proof}) == 2


def test_nobody_is_locked_by_a_forged_quorum(signers):
    room = Room(signers)
    wanted = value(1, "forged")
    liar = sign(Prevote(4, 1, 0, wanted.digest, 1), signers[3], room.committee.scope)
    for proof in (
        (liar, liar, liar),
        tuple(replace(liar, sender=number) for number in (1, 2, 3)),
        (liar,),
    ):
        room.step(1, Received(4, messages.encode(messages.PrevoteQuorum(1, 0, wanted, proof))))
    assert room.replicas[1].hard_state.valid is None and not room.replicas[1].state.quorums


def test_a_decision_of_another_epoch_is_none(signers):
    room = Room(signers)
    room.step(1, Propose(value(1)))
    room.deliver()
    old = room.chains[1][1]
    again = messages.Decided(value(2), old.signatures)
    for message in (again, messages.Decided(old.value, old.signatures)):
        room.step(2, Received(1, messages.encode(message)))
    assert list(room.chains[2]) == [1]
