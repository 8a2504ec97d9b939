"""Cosigning of members, beacons and actions, with silent, refusing and faulty governors."""

import pytest
from consensus_rig import payload

from writ.authority.capsule import MEMBER, POLICY
from writ_host import codec
from writ_host.consensus.committee import Committee
from writ_host.consensus.cosign import Cosigner
from writ_host.consensus.effects import (
    Accuse,
    Cosign,
    Cosigned,
    CosigningFailed,
    Received,
    Send,
    Tick,
)
from writ_host.errors import Malformed


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
