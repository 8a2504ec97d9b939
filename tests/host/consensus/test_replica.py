"""Governors' consensus, rule by rule, with keys of the real kind and no network in between."""

import random
from dataclasses import replace

import pytest
from consensus_rig import Room, payload, value
from hypothesis import given, settings
from hypothesis import strategies as st

from writ.authority.capsule import BEACON, MEMBER, POLICY
from writ_host import codec
from writ_host.consensus import messages
from writ_host.consensus.committee import Committee, UnsafeThreshold, check_threshold, tolerance
from writ_host.consensus.cosign import Cosigner
from writ_host.consensus.effects import (
    Accuse,
    Cosign,
    Cosigned,
    CosigningFailed,
    Decide,
    Propose,
    Received,
    Send,
    Tick,
    Write,
)
from writ_host.consensus.hardstate import HardState
from writ_host.consensus.messages import NO_ROUND, Prevote, RoundProposal, Status, Submit, sign
from writ_host.consensus.roast import Sessions
from writ_host.consensus.value import Value
from writ_host.errors import Malformed

# --- deciding -------------------------------------------------------------------------------------


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


# --- certifying -----------------------------------------------------------------------------------


def certifiers(signers, accept=lambda _: None):
    committee = Committee(signers[0]._seat.public.group_key, 4, 3)
    return {s.identifier: Cosigner(committee, s, accept) for s in signers}


def exchange(people, number, event, silent=(), wrong=()):
    """All effects but sends, once everybody has said everything; a few ticks included."""
    found, mail = [], [(number, event)]
    for tick in range(6):
        while mail:
            to, event = mail.pop(0)
            for effect in people[to].step(event, tick * 1000):
                if not isinstance(effect, Send):
                    found.append((to, effect))
                    continue
                data = effect.data
                if to in wrong and data[1] == 20:
                    items = codec.load(data)
                    items[3] = [bytes(32) for _ in items[3]]
                    data = codec.dump(items)
                targets = [effect.to] if effect.to else [n for n in people if n != to]
                if to not in silent or data[1] == 17:
                    mail += [(target, Received(to, data)) for target in targets]
        mail = [(number, Tick())]
    return found


MEMBERS = tuple(payload(MEMBER, number, 0) for number in range(1, 4))


def test_members_are_certified_in_one_batch(signers):
    ((number, done),) = exchange(certifiers(signers), 2, Cosign(MEMBERS))
    assert number == 2 and isinstance(done, Cosigned)
    assert all(map(signers[0].is_valid, MEMBERS, done.signatures))


@pytest.mark.parametrize("bad", [1, 3, 4])
def test_one_who_offers_and_then_is_silent_is_left_out(signers, bad):
    found = exchange(certifiers(signers), 2, Cosign(MEMBERS), silent={bad})
    assert [type(effect) for _, effect in found] == [Cosigned]


def test_a_wrong_share_is_named_and_the_rest_go_on(signers):
    found = exchange(certifiers(signers), 2, Cosign(MEMBERS), wrong={1})
    assert sorted(type(effect).__name__ for _, effect in found) == ["Accuse", "Cosigned"]
    assert next(e.identifier for _, e in found if isinstance(e, Accuse)) == 1


def test_no_ordered_kind_is_ever_certified_without_an_order(signers):
    people = certifiers(signers)
    ordered = (payload(POLICY, 1, "smuggled"),)
    with pytest.raises(Malformed):
        people[1].step(Cosign(ordered), 0)
    ask = codec.dump([16, bytes(16), list(ordered)])
    (reply,) = people[2].step(Received(1, ask), 0)
    assert codec.load(reply.data)[0] == 18


def test_two_who_refuse_end_it_with_their_reasons(signers):
    people = certifiers(signers)
    for number in (3, 4):
        people[number].accept = lambda _: "not today"
    ((_, refused),) = exchange(people, 2, Cosign(MEMBERS))
    assert refused == CosigningFailed(MEMBERS, ((3, "not today"), (4, "not today")))


def test_only_who_is_silent_is_asked_again_and_ever_more_rarely(signers):
    people = certifiers(signers)
    begun = people[2].step(Cosign(MEMBERS), 0)
    (ask,) = [effect.data for effect in begun if isinstance(effect, Send)]
    (offer,) = people[1].step(Received(2, ask), 0)
    people[2].step(Received(1, offer.data), 0)
    asked = [
        sorted(effect.to for effect in people[2].step(Tick(), 400 * tick)) for tick in range(1, 17)
    ]
    assert {tuple(one) for one in asked if one} == {(3, 4)}
    assert [tick for tick, one in enumerate(asked, 1) if one] == [1, 2, 4, 8, 16]
    # chosen and silent: it may have lost both, job and session
    (offer,) = people[3].step(Received(2, ask), 0)
    picked = people[2].step(Received(3, offer.data), 0)
    assert sorted(effect.to for effect in picked) == [1, 3]
    again = [people[2].step(Tick(), 400 * tick) for tick in range(17, 25)][-1]
    said = sorted((effect.to, codec.load(effect.data)[0]) for effect in again)
    assert said == [(1, 16), (1, 19), (3, 16), (3, 19), (4, 16)]


# --- sessions -------------------------------------------------------------------------------------


def test_a_restarted_signer_may_offer_again_until_it_is_chosen(signers):
    sessions = Sessions(signers[0], 3, (b"payload",))
    offers = {n: (signers[n - 1].commit()[0],) for n in (1, 2)}
    for number, offer in offers.items():
        sessions.offer(number, offer, offer)
    newer = (signers[1].commit()[0],)
    sessions.offer(2, newer, newer)
    third = (signers[2].commit()[0],)
    sessions.offer(3, third, third)
    assert sessions.choose() == {1: offers[1], 2: newer, 3: third}
    sessions.offer(2, offers[2], offers[2])
    assert sessions.choose() is None


NO_POINTS = (b"\xff" * 64,)


def test_commitments_that_are_no_points_are_left_out_when_a_session_needs_them(signers):
    sessions = Sessions(signers[0], 3, (b"payload",))
    offers = {n: (signers[n - 1].commit()[0],) for n in (1, 3, 4)}
    sessions.offer(1, offers[1], 1)
    sessions.offer(2, NO_POINTS, 2)
    sessions.offer(3, offers[3], 3)
    assert sessions.choose() is None
    sessions.offer(4, offers[4], 4)
    assert sessions.choose() == {1: 1, 3: 3, 4: 4}
    # who was left out may do better
    better = (signers[1].commit()[0],)
    sessions.offer(2, better, 2)
    assert sessions.choose() is None and not sessions.cheaters


def test_a_session_of_others_with_commitments_that_are_no_points_ends_quietly(signers):
    sessions = Sessions(signers[3], 3, (b"payload",))
    members = {n: (signers[n - 1].commit()[0],) for n in (1, 2)} | {3: NO_POINTS}
    assert sessions.add(b"name", members)
    for number in members:
        sessions.add_shares(b"name", number, (bytes(32),))
    sessions.check_unfinished()
    assert sessions.signatures is None and not sessions.cheaters
    # who is a member itself does not even begin
    assert not Sessions(signers[0], 3, (b"payload",)).add(b"name", members)


# --- committee, codec -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 10))
def test_safe_thresholds_are_those_whose_quorums_share_an_honest_one(count):
    for threshold in range(count // 2 + 1, count + 1):
        committee = Committee(bytes(32), count, threshold)
        lying = tolerance(count, threshold)[1]
        assert committee.quorums_share_an_honest_one(lying)
        assert lying == count - 1 or not committee.quorums_share_an_honest_one(lying + 1)


@pytest.mark.parametrize(
    ("count", "threshold", "lying"),
    [(4, 2, 0), (4, 3, 2), (4, 5, 0), (4, 4, 1), (7, 4, 1), (0, 0, 0)],
)
def test_unsafe_and_unreachable_thresholds_are_refused(count, threshold, lying):
    with pytest.raises(UnsafeThreshold):
        check_threshold(count, threshold, lying)


def test_a_value_is_of_one_epoch_and_of_ordered_kinds():
    for payloads in (
        (payload(POLICY, 1, "a"), payload(POLICY, 2, "a")),
        (payload(BEACON, 1, b"123456"),),
        (payload(MEMBER, 1),),
        (),
        (b"\xff",),
        (payload(POLICY, 1),) * 2,
    ):
        with pytest.raises(Malformed):
            Value(payloads)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_noise_raises_nothing_but_malformed(data):
    for read in (messages.decode, HardState.from_bytes):
        with pytest.raises(Malformed):
            read(data)


def test_altered_messages_raise_nothing_and_change_nothing_certified(signers):
    rng = random.Random(3)
    room = Room(signers)
    room.step(1, Propose(value(1)))
    room.deliver()
    told = [effect.data for _, effect in room.said(Send)]
    fresh = Room(signers)
    for data in told:
        for _ in range(5):
            cut = bytearray(data)
            cut[rng.randrange(len(cut))] ^= 1 << rng.randrange(8)
            fresh.step(1, Received(rng.randrange(0, 9), bytes(cut)))
    assert all(decide.value == value(1) for _, decide in fresh.said(Decide))


def test_every_message_reads_back_as_it_was(signers):
    room = Room(signers)
    room.step(1, Propose(value(1)))
    room.deliver()
    for _, effect in room.said(Send):
        assert messages.encode(messages.decode(effect.data)) == effect.data
    for _, effect in room.said(Write):
        assert HardState.from_bytes(effect.record).to_bytes() == effect.record
