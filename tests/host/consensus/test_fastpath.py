"""Where all want the same: who votes at once, signs unasked, is spared; and what goes wrong."""

from consensus_rig import Room, value

from writ_host.consensus import messages
from writ_host.consensus.effects import Decide, Propose, Received, Send
from writ_host.consensus.messages import Decided, Prevote, RoundProposal, Session, Share


def test_prevotes_go_to_those_who_vote_at_once_and_to_whoever_lacks_them(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    *first, spared = room.committee.after(proposer)
    room.step(proposer, Propose(value(1)))
    for sender, to, data in [letter for letter in room.mail if letter[1] != proposer]:
        room.step(to, Received(sender, data))
    said = room.said(Send)
    for number in room.chains:
        to = [e.to for n, e in said if n == number and isinstance(messages.decode(e.data), Prevote)]
        assert to == ([] if number == spared else sorted({proposer, *first} - {number}))
        assert not room.sent(number, RoundProposal)
    # it dies: the others find by each other's status what they lack, lock, and go on without it
    room.mail.clear()
    room.deaf = {proposer}
    room.wait(6000)
    assert sum(1 in chain for chain in room.chains.values()) == 3


def test_those_who_vote_at_once_sign_unasked(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    first = room.committee.after(proposer)[0]
    # who wants it learns what came of it from the shares, as the proposer does
    room.lost = (Decided,)
    room.step(first, Propose(value(1)))
    room.deliver()
    assert {number for number, chain in room.chains.items() if 1 in chain} == {proposer, first}
    assert not any(room.sent(n, RoundProposal) or room.sent(n, Session) for n in room.chains)
    room.lost = ()
    room.wait(500)
    assert all(1 in chain for chain in room.chains.values())


def test_who_waits_for_a_decision_is_told_before_it_is_written(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    *first, spared = room.committee.after(proposer)
    # two want the same: one signs with those that are asked, the other waits for them
    room.step(first[0], Propose(value(1)))
    room.step(spared, Propose(value(1)))
    room.deliver()
    said = [effect for number, effect in room.effects if number == proposer]
    decided = next(i for i, effect in enumerate(said) if isinstance(effect, Decide))
    told = [
        (i < decided, effect.to, effect.deferrable)
        for i, effect in enumerate(said)
        if isinstance(effect, Send) and isinstance(messages.decode(effect.data), Decided)
    ]
    assert told == [(True, spared, False), *((False, number, True) for number in sorted(first))]


def test_whoever_wants_something_signs_it(signers):
    for wanting in range(1, 5):
        room = Room(signers)
        room.effects.clear()
        room.step(wanting, Propose(value(1)))
        room.deliver()
        assert all(1 in chain for chain in room.chains.values())
        signed = {number for number in room.chains if room.sent(number, Share)}
        signed.add(room.committee.proposer(1, 0))
        assert wanting in signed and len(signed) == 3
        # it needs nobody to tell it
        told = [effect for _, effect in room.said(Send) if effect.to == wanting]
        kinds = {type(messages.decode(effect.data)) for effect in told if not effect.deferrable}
        assert kinds <= {Prevote, Share}


def test_two_wishes_at_one_moment_cost_a_round_and_no_time_out(signers):
    room = Room(signers)
    proposer = room.committee.proposer(1, 0)
    first, second, spared = room.committee.after(proposer)
    # each hears of its own first
    wishes = {proposer: "red", first: "blue", second: "green", spared: "white"}
    for number, name in wishes.items():
        room.step(number, Propose(value(1, name)))
    room.deliver()
    room.wait(300)
    assert len({chain[1].value for chain in room.chains.values()}) == 1
    # the next one is proposed before it is voted for
    for number, name in wishes.items():
        room.step(number, Propose(value(2, name)))
    room.deliver()
    proposer = room.committee.proposer(2, 0)
    assert {chain[2].value for chain in room.chains.values()} == {value(2, wishes[proposer])}
    # and as nobody wants several things after that, it is as before
    room.step(1, Propose(value(3)))
    room.deliver()
    assert room.sent(room.committee.proposer(3, 0), RoundProposal)
    room.step(1, Propose(value(4)))
    room.deliver()
    assert not room.sent(room.committee.proposer(4, 0), RoundProposal)
    assert all(4 in chain for chain in room.chains.values())


def test_a_dead_proposer_and_a_dead_voter_cost_a_second_the_first_time(signers):
    room = Room(signers)
    dead = room.committee.proposer(1, 0)
    room.deaf = {dead}
    alive = set(room.chains) - room.deaf
    room.step(min(alive), Propose(value(1)))
    room.wait(1500)
    assert all(1 in room.chains[number] for number in alive)
    # from then on whoever proposes knows whom to ask in its stead
    took_ms = []
    for height in range(2, 14):
        since_ms = room.now_ms
        room.step(min(alive), Propose(value(height)))
        while not all(height in room.chains[number] for number in alive):
            room.wait(100)
        if room.committee.proposer(height, 0) != dead:
            took_ms.append(room.now_ms - since_ms)
    assert max(took_ms) <= 1000 and took_ms[-3:] == [100] * 3


def test_what_overtakes_a_decision_is_kept_until_that_is_here(signers):
    room = Room(signers)
    eager = room.committee.proposer(1, 0)
    room.step(eager, Propose(value(1)))
    late = room.committee.after(eager)[-1]
    held = []
    while room.mail:
        sender, to, data = room.mail.pop(0)
        if to == late and isinstance(messages.decode(data), Decided):
            held.append((sender, data))
        else:
            room.step(to, Received(sender, data))
    # the others go on, with it as one of those who vote at once
    eager = room.committee.proposer(2, 0)
    assert late in room.committee.after(eager)[:2] and held
    room.step(eager, Propose(value(2)))
    room.deliver()
    assert 2 not in room.chains[eager]
    room.step(late, Received(*held[0]))
    room.deliver()
    assert all(2 in chain for chain in room.chains.values())
