"""Cosigning of members, beacons and actions, with silent, refusing and faulty governors."""

import pytest
from consensus_rig import payload

from writ.authority.capsule import MEMBER, POLICY
from writ_host import codec
from writ_host.consensus.committee import Committee
from writ_host.consensus.cosign import ANSWER, REFUSE, Cosigner
from writ_host.consensus.effects import (
    Accuse,
    Cosign,
    Cosigned,
    CosigningFailed,
    Objection,
    Received,
    Send,
    Tick,
)
from writ_host.errors import Malformed

NOT_TODAY = Objection("not today", 7)


def cosigners(signers, accept=lambda _: None):
    committee = Committee(signers[0]._seat.public.group_key, 4, 3)
    return {s.identifier: Cosigner(committee, s, accept) for s in signers}


def exchange(group, number, event, silent=(), wrong=()):
    """All effects except sends, after all messages and a few ticks."""
    found, mail = [], [(number, event)]
    for tick in range(6):
        while mail:
            to, event = mail.pop(0)
            for effect in group[to].step(event, tick * 1000):
                if not isinstance(effect, Send):
                    found.append((to, effect))
                    continue
                data = effect.data
                if to in wrong and data[1] == 20:
                    items = codec.load(data)
                    items[3] = [bytes(32) for _ in items[3]]
                    data = codec.dump(items)
                targets = [effect.to] if effect.to else [n for n in group if n != to]
                if to not in silent or data[1] == 17:
                    mail += [(target, Received(to, data)) for target in targets]
        mail = [(number, Tick())]
    return found


MEMBERS = tuple(payload(MEMBER, number, 0) for number in range(1, 4))


def test_members_are_signed_in_one_batch(signers):
    ((number, done),) = exchange(cosigners(signers), 2, Cosign(MEMBERS))
    assert number == 2 and isinstance(done, Cosigned)
    assert all(map(signers[0].is_valid, MEMBERS, done.signatures))


@pytest.mark.parametrize("bad", [1, 3, 4])
def test_a_signer_that_falls_silent_is_replaced(signers, bad):
    found = exchange(cosigners(signers), 2, Cosign(MEMBERS), silent={bad})
    assert [type(effect) for _, effect in found] == [Cosigned]


def test_a_wrong_share_is_accused_and_the_others_sign(signers):
    found = exchange(cosigners(signers), 2, Cosign(MEMBERS), wrong={1})
    assert sorted(type(effect).__name__ for _, effect in found) == ["Accuse", "Cosigned"]
    assert next(e.identifier for _, e in found if isinstance(e, Accuse)) == 1


def test_an_ordered_kind_is_never_cosigned(signers):
    group = cosigners(signers)
    ordered = (payload(POLICY, 1, "smuggled"),)
    with pytest.raises(Malformed):
        group[1].step(Cosign(ordered), 0)
    ask = codec.dump([16, bytes(16), list(ordered)])
    (reply,) = group[2].step(Received(1, ask), 0)
    assert codec.load(reply.data)[0] == 18


def test_two_refusals_end_the_job_with_their_reasons(signers):
    group = cosigners(signers)
    for number in (3, 4):
        group[number].accept = lambda _: NOT_TODAY
    ((_, refused),) = exchange(group, 2, Cosign(MEMBERS))
    assert refused == CosigningFailed(MEMBERS, ((3, NOT_TODAY), (4, NOT_TODAY)))


def test_only_silent_governors_are_asked_again_and_ever_more_rarely(signers):
    group = cosigners(signers)
    begun = group[2].step(Cosign(MEMBERS), 0)
    (ask,) = [effect.data for effect in begun if isinstance(effect, Send)]
    (offer,) = group[1].step(Received(2, ask), 0)
    group[2].step(Received(1, offer.data), 0)
    asked = [
        sorted(effect.to for effect in group[2].step(Tick(), 400 * tick)) for tick in range(1, 17)
    ]
    assert {tuple(one) for one in asked if one} == {(3, 4)}
    assert [tick for tick, one in enumerate(asked, 1) if one] == [1, 2, 4, 8, 16]
    # a chosen signer that is silent may have lost the job and the session
    (offer,) = group[3].step(Received(2, ask), 0)
    picked = group[2].step(Received(3, offer.data), 0)
    assert sorted(effect.to for effect in picked) == [1, 3]
    again = [group[2].step(Tick(), 400 * tick) for tick in range(17, 25)][-1]
    said = sorted((effect.to, codec.load(effect.data)[0]) for effect in again)
    assert said == [(1, 16), (1, 19), (3, 16), (3, 19), (4, 16)]


def picked(group):
    """The pick that governor 2, the coordinator, sends to signer 1."""
    begun = group[2].step(Cosign(MEMBERS), 0)
    (ask,) = [effect.data for effect in begun if isinstance(effect, Send)]
    sent = []
    for number in (1, 3):
        (offer,) = group[number].step(Received(2, ask), 0)
        sent = group[2].step(Received(number, offer.data), 0)
    return next(effect.data for effect in sent if effect.to == 1)


def test_a_signer_judges_again_between_its_offer_and_its_share(signers):
    group = cosigners(signers)
    pick = picked(group)
    group[1].accept = lambda _: Objection("revoked meanwhile", 30)
    (reply,) = group[1].step(Received(2, pick), 0)
    assert codec.load(reply.data)[0::2] == [REFUSE, 30]
    # the nonces are not spent, and it signs once nothing is against it
    group[1].accept = lambda _: None
    (reply,) = group[1].step(Received(2, pick), 0)
    assert codec.load(reply.data)[0] == ANSWER


def test_a_lost_answer_is_repeated_for_a_repeated_pick(signers):
    group = cosigners(signers)
    pick = picked(group)
    (first,) = group[1].step(Received(2, pick), 0)
    (again,) = group[1].step(Received(2, pick), 400)
    assert codec.load(first.data)[0] == ANSWER and again == first


def test_a_job_ends_with_the_first_signers_though_an_answer_is_lost(signers):
    group, lost, mail, found = cosigners(signers), [], [(2, Cosign(MEMBERS))], []
    # no other governor could replace the signer
    offline = {4}
    for tick in range(6):
        while mail:
            to, event = mail.pop(0)
            for effect in group[to].step(event, tick * 1000):
                if not isinstance(effect, Send):
                    found.append(type(effect))
                elif effect.data[1] == ANSWER and not lost:
                    lost.append(effect.data)
                else:
                    targets = [effect.to] if effect.to else [n for n in group if n != to]
                    mail += [(n, Received(to, effect.data)) for n in targets if n not in offline]
        mail = [(2, Tick())]
    assert lost and found == [Cosigned]
