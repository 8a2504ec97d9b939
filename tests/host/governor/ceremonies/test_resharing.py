"""Handing the group key on: all its uses, with liars, power cuts and lost messages."""

from dataclasses import replace
from itertools import combinations

import pytest
from ceremony_rig import MemoryFiles, agree, deny, found, sign, silent

from writ import crypto
from writ.authority import capsule
from writ.authority.capsule import Charter
from writ_host import codec
from writ_host.ceremony.local import Identity, MemoryFolder, MemoryStore, load_seat
from writ_host.ceremony.plan import BadPlan, Plan
from writ_host.ceremony.resharing import Resharing
from writ_host.errors import HostError, Malformed, UnknownGovernor
from writ_host.governor.ceremonies.gossip import FILE
from writ_host.governor.ceremonies.manager import CHANGE, NoDecisionDue, NoSuchSeat
from writ_host.keys.identity import envelope
from writ_host.keys.roster import committee_digest

FOUR = ("anna", "ben", "carl", "dora")


def complete(world, *names):
    return all(world[name].process is not None and world[name].nexts for name in names)


def check_handed_on(world, before, names):
    """They have new seats for the same key: any threshold of them sign, none of the old does."""
    seats = [world[name].nexts[-1].seat for name in names]
    assert {committee_digest(seat) for seat in seats} == {world[names[0]].nexts[-1].digest}
    assert [seat.name for seat in seats] == list(names)
    old = [seat for seat in before.values() if seat is not None]
    key = old[0].public.group_key
    assert {seat.public.group_key for seat in seats} == {key}
    threshold = old[0].public.threshold
    for chosen in combinations(seats, threshold):
        assert crypto.ed25519_verify(key, b"message", sign(chosen))
    for number in range(1, threshold):
        mixed = {seat.key.identifier: seat for seat in old[:number]}
        for seat in seats:
            if len(mixed) < threshold:
                mixed.setdefault(seat.key.identifier, seat)
        assert len(mixed) == threshold and sign(list(mixed.values())) is None
    return seats


def activate(world, names):
    for name in names:
        box = world[name]
        old = box.process.seat
        seat = box.process.seats.activate(box.nexts[-1].digest)
        assert box.process.seat == seat == load_seat(box.store)
        assert box.process.seats.activate(box.nexts[-1].digest) == seat
        assert not box.process.seats.next_seats()
        if old is not None:
            share = old.key.signing_share.to_bytes(32, "little")
            assert share not in box.store.data
            assert share not in box.store.others["next"].data


# The four uses


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_refresh(loss):
    world = found(loss=loss)
    before = world.seats()
    view = world.propose("ben", "refresh")
    assert view.title == "refreshing shares (farm)" and not view.needs_decision
    world.run(lambda: complete(world, *FOUR))
    check_handed_on(world, before, FOUR)
    # the old seats are in force until a policy says otherwise
    assert world.seats() == before
    assert world["anna"].nexts[0].digest in world["anna"].process.seats.committees()
    activate(world, FOUR)
    assert not world["anna"].process.seats.committees()
    # and again, from the new shares
    middle = world.seats()
    world.propose("carl", "refresh")
    world.run(lambda: all(len(world[name].nexts) == 2 for name in FOUR))
    check_handed_on(world, middle, FOUR)


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_newcomer(loss):
    world = found(loss=loss)
    before = world.seats()
    emil = world.add("emil")
    view = world.propose("anna", "change", ["emil"])
    assert view.title == "adding governor emil (farm)"
    five = (*FOUR, "emil")
    world.run(lambda: complete(world, *five))
    check_handed_on(world, before, five)
    activate(world, five)
    assert emil.process.seat.key.identifier == 5
    assert set(emil.process.peers()) == {world[name].key for name in FOUR}


def test_a_newcomer_takes_nothing_before_its_operator_compared():
    world = found()
    emil = world.add("emil")
    emil.operator = silent
    view = world.propose("anna", "change", ["emil"])
    world.idle(30)
    (shown,) = emil.process.pending()
    assert shown.needs_decision and shown.fingerprint == view.fingerprint
    assert [len(group) for group in shown.fingerprint.split()] == [5] * 8
    assert "emil.confirm.cbor" not in world["anna"].files.list(view.id)
    assert not any(complete(world, name) for name in FOUR)
    with pytest.raises(NoDecisionDue):
        world["dora"].process.decide_on(view.id, True, "", 0)


def test_a_leaver_follows_it_and_gets_no_seat():
    world = found()
    before = world.seats()
    view = world.propose("anna", "change", remove=["dora"])
    assert view.title == "removing governor dora (farm)"
    three = FOUR[:3]
    world.run(lambda: complete(world, *three))
    check_handed_on(world, before, three)
    world.run(lambda: world.states(view.id)["dora"] == "done")
    dora = world["dora"].process
    assert not world["dora"].nexts and not dora.seats.next_seats()
    digest = world["anna"].nexts[0].digest
    assert digest in dora.seats.committees()
    with pytest.raises(NoSuchSeat):
        dora.seats.activate(digest)
    assert dora.seat is not None
    dora.seats.retire()
    assert dora.seat is None and load_seat(world["dora"].store) is None
    world["dora"].kill()
    world.idle(5)
    assert world["dora"].process.seat is None and not world["dora"].process.views()


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_lost_share(with_keys):
    """Anna's disk is gone; her keys may be, too."""
    world = found()
    before = world.seats()
    anna = world["anna"]
    if not with_keys:
        anna.identity = Identity.generate("anna")
        anna.key = anna.identity.public.node_key
    anna.store, anna.files = MemoryStore(), MemoryFiles()
    anna.start()
    world.propose("ben", "change", ["anna"])
    world.run(lambda: complete(world, *FOUR))
    before["anna"] = None
    check_handed_on(world, before, FOUR)
    activate(world, FOUR)


def test_one_comes_as_another_goes_and_deals():
    world = found(loss=0.2)
    before = world.seats()
    world.add("emil")
    names = ("anna", "carl", "dora", "emil")
    dealers = ["anna", "ben", "carl"]
    world.propose("carl", "change", ["emil"], remove=["ben"], dealers=dealers)
    world.run(lambda: complete(world, *names))
    check_handed_on(world, before, names)


def test_it_works_without_one_that_is_dead_and_leaves():
    world = found()
    before = world.seats()
    world["dora"].kill(for_ms=10**9)
    world.propose("anna", "change", remove=["dora"])
    world.run(lambda: complete(world, "anna", "ben", "carl"))
    check_handed_on(world, before, FOUR[:3])


# Who must agree, and what cannot be


def test_a_dealers_operator_is_asked_and_may_refuse():
    world = found()
    world["ben"].operator = silent
    view = world.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
    world.idle(30)
    assert world.states(view.id) == dict.fromkeys(FOUR, "deal") | {"ben": "approve"}
    assert "ben.deal.cbor" not in world["ben"].files.list(view.id)
    (shown,) = world["ben"].process.pending()
    assert shown.needs_decision and any("dealers: anna, ben, carl" in line for line in shown.lines)
    world["ben"].operator = deny
    world.run(lambda: set(world.states(view.id).values()) == {"refused"})
    world["ben"].operator = agree
    for _ in range(8):
        # whatever fails leaves room for the next
        world["carl"].operator = deny
        view = world.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
        world.run(lambda id=view.id: set(world.states(id).values()) == {"refused"})
    world["carl"].operator = agree
    world.propose("anna", "refresh", dealers=["anna", "carl", "dora"])
    world.run(lambda: complete(world, *FOUR))


def test_only_old_governors_propose_and_only_with_the_true_keys():
    world = found()
    mallory, anna = Identity.generate("mallory"), world["anna"]
    seat = anna.process.seat
    roster = seat.roster
    plan = Plan.create(
        seat, roster.governors, [world[name].address for name in FOUR], ["ben", "carl", "dora"]
    )
    wrong_seat = replace(seat, public=found(seed=9)["anna"].process.seat.public)
    wrong = Plan.create(wrong_seat, roster.governors, plan.peers, ["ben", "carl", "dora"])
    ben = world["ben"].identity
    for sender, ceremony, one in (
        (mallory, roster.id, plan),
        (replace(ben, sign_seed=bytes(32)), roster.id, plan),
        (ben, bytes(32), plan),
        (ben, roster.id, wrong),
    ):
        raw = envelope(sender, ceremony, "change", one.to_bytes())
        anna.call("receive", world["ben"].key, codec.dump([CHANGE, raw]), world.now_ms)
        world.idle(61)
    assert [event.name for event in anna.events].count("ceremony-message") == 4
    assert len(anna.process.views()) == 1
    raw = envelope(ben, roster.id, "change", plan.to_bytes())
    anna.call("receive", world["ben"].key, codec.dump([CHANGE, raw]), world.now_ms)
    assert len(anna.process.views()) == 2


def test_one_governor_cannot_fill_the_table():
    world = found()
    anna = world["anna"]
    ben, seat = world["ben"].identity, anna.process.seat
    for _ in range(9):
        peers = [world[name].address for name in FOUR]
        plan = Plan.create(seat, seat.roster.governors, peers, ["ben", "carl", "dora"])
        raw = envelope(ben, seat.roster.id, "change", plan.to_bytes())
        anna.call("receive", world["ben"].key, codec.dump([CHANGE, raw]), world.now_ms)
    assert [view.id for view in anna.process.pending()] == [plan.id]


def test_changes_that_cannot_be():
    world = found()
    world.add("emil")
    anna = world["anna"].process
    for arguments, error in (
        (("refresh", [], [], 2), Malformed),
        (("change", [], ["emil"]), UnknownGovernor),
        (("change", [], ["ben", "carl"]), HostError),
        (("succeed", [world["emil"].record]), Malformed),
    ):
        with pytest.raises(error):
            anna.propose_change(*arguments)
    with pytest.raises(BadPlan):
        anna.propose_change("refresh", dealers=["anna", "ben"])
    with pytest.raises(NoSuchSeat):
        world["emil"].process.propose_change("refresh")
    view, outs = anna.propose_change("refresh", dry=True)
    assert view.lines and not outs and len(anna.views()) == 1


# Power cuts


@pytest.mark.parametrize("who", ["ben", "emil"])
def test_one_is_killed_before_every_write_of_a_resharing(who):
    cut = 0
    while True:
        cut += 1
        world = found(seed=cut)
        before = world.seats()
        world.add("emil")
        world[who].fuse[0] = cut
        world.propose("anna", "change", ["emil"], dealers=["anna", "ben", "carl"])
        five = (*FOUR, "emil")
        world.run(lambda world=world, five=five: complete(world, *five))
        if world[who].fuse[0] > 0:
            break
    check_handed_on(world, before, five)
    assert cut > 12


def test_activation_is_one_write():
    cut = 0
    while True:
        cut += 1
        world = found()
        world.propose("anna", "refresh")
        world.run(lambda world=world: complete(world, *FOUR))
        ben = world["ben"]
        old, new = ben.process.seat, ben.nexts[-1]
        ben.fuse[0] = cut
        ben.call("seats.activate", new.digest)
        survived = ben.process is not None
        world.idle(5)
        assert load_seat(ben.store) in (old, new.seat)
        assert ben.process.seats.activate(new.digest) == new.seat
        assert not ben.process.seats.next_seats()
        if survived:
            break
    assert cut > 3


# Liars


def bend_deal(world, name, monkeypatch, bend):
    """From now on `name` deals what `bend(commitments, shares)` makes of it."""
    honest = Resharing._deal

    def deal(self):
        commitments, shares = honest(self)
        return bend(commitments, shares) if self.identity.name == name else [commitments, shares]

    monkeypatch.setattr(Resharing, "_deal", deal)


def swapped(commitments, shares):
    return [commitments, {**shares, 1: shares[2]}]


def missing(commitments, shares):
    return [commitments, {n: share for n, share in shares.items() if n != 1}]


def other_secret(commitments, shares):
    return [[commitments[1], *commitments[1:]], shares]


def other_degree(commitments, shares):
    return [commitments[:-1], shares]


def nonsense(commitments, shares):
    return [7]


@pytest.mark.parametrize("bend", [swapped, missing, other_secret, other_degree, nonsense])
def test_a_lying_dealer_is_named_and_others_deal(bend, monkeypatch):
    world = found()
    before = world.seats()
    bend_deal(world, "ben", monkeypatch, bend)
    view = world.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
    world.run(
        lambda: all(world.states(view.id)[name] == "failed" for name in ("anna", "carl", "dora"))
    )
    for name in ("anna", "carl", "dora"):
        shown = next(one for one in world[name].process.views() if one.id == view.id)
        assert "ben" in shown.problem
    assert not any(world[name].nexts for name in FOUR)
    world.propose("anna", "refresh", dealers=["anna", "carl", "dora"])
    world.run(lambda: complete(world, *FOUR))
    check_handed_on(world, before, FOUR)


def test_a_dealer_who_shows_two_deals_is_caught():
    world = found()
    ben = world["ben"]
    others = []

    def tamper(sender, receiver, data):
        items = codec.load(data)
        if (sender, receiver) == ("ben", "dora") and items[0] == FILE and "ben.deal" in items[2]:
            folder, plan = MemoryFolder(), ben.process._runs[items[1]].plan
            seat = ben.process.seat
            Resharing(folder, ben.identity, plan, seat, MemoryStore(), lambda: True).step()
            others.append(folder.read("ben.deal.cbor"))
            return codec.dump([*items[:3], others[0]])
        return data

    world.tamper = tamper
    view = world.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
    honest = ("anna", "carl", "dora")
    world.run(lambda: {world.states(view.id)[name] for name in honest} == {"failed"})
    assert others and not any(world[name].nexts for name in FOUR)
    world.idle(10)
    for name in honest:
        assert any(event.name == "accused" for event in world[name].events)
        assert world[name].files.get(view.id, "ben.deal.cbor~")


def test_nobody_can_keep_one_from_its_seat_by_lying_at_the_end():
    """Carl hears of no confirmation, and Ben complains to him: the others are done."""
    world = found()
    before = world.seats()
    ben, carl = world["ben"], world["carl"]

    def tamper(sender, receiver, data):
        items = codec.load(data)
        is_word = receiver == "carl" and items[0] == FILE and "confirm" in items[2]
        return None if is_word else data

    world.tamper = tamper
    view = world.propose("anna", "refresh", dealers=["anna", "ben", "dora"])
    world.run(lambda: complete(world, "anna", "ben", "dora"))
    said = envelope(ben.identity, view.id, "complaint", codec.dump(["anna", "a lie"]))
    message = codec.dump([FILE, view.id, "ben.complaint.cbor", said])
    carl.call("receive", ben.key, message, world.now_ms)
    assert world.states(view.id)["carl"] == "failed"
    # nothing takes the place of what he has confirmed
    for _ in range(5):
        seat = before["ben"]
        plan = Plan.create(
            seat, seat.roster.governors, [b.address for b in world.boxes.values()], FOUR[:3]
        )
        raw = envelope(ben.identity, seat.roster.id, "change", plan.to_bytes())
        carl.call("receive", ben.key, codec.dump([CHANGE, raw]), world.now_ms)
    carl.kill()
    world.idle(5)
    digest = world["anna"].nexts[0].digest
    seat = carl.process.seats.activate(digest)
    assert committee_digest(seat) == digest and load_seat(carl.store) == seat
    others = [world[name].nexts[0].seat for name in ("anna", "dora")]
    assert crypto.ed25519_verify(seat.public.group_key, b"message", sign([*others, seat]))
    carl.kill()
    world.idle(5)
    assert carl.process.seat == seat and carl.process.seats.activate(digest) == seat


# Succession


def test_a_succession_leaves_out_whoever_is_distrusted():
    world = found(loss=0.1)
    before = world.seats()
    emil = world.add("emil")
    names = ("anna", "ben", "carl", "emil")
    charter = Charter(capsule.parse(world["anna"].seats[0].genesis[0]))
    view = world.propose("anna", "succeed", names, charter=charter)
    world.run(lambda: complete(world, *names))
    old_key = before["anna"].public.group_key
    (key,) = {world[name].nexts[0].seat.public.group_key for name in names}
    assert key != old_key
    for name in names:
        (raw,) = world[name].nexts[0].genesis
        new = Charter(capsule.parse(raw))
        assert new.group_key == key and new.name == "farm"
        assert new.beacon_age_max_s == charter.beacon_age_max_s
        parsed = capsule.parse(raw)
        assert crypto.ed25519_verify(key, parsed.signing_input(), parsed.signature)
    # the old seats are in force, and who goes has seen the new key made
    assert {name: world[name].process.seat for name in FOUR} == {n: before[n] for n in FOUR}
    world.run(lambda: world.states(view.id)["dora"] == "done")
    for name in (*names, "dora"):
        assert key in world[name].process.seats.committees()
    assert world["dora"].process.result(view.id)
    for name in names:
        assert world[name].process.seats.activate(key) == world[name].nexts[0].seat
        assert world[name].process.seats.activate(key).public.group_key == key
        assert load_seat(world[name].store).public.group_key == key
    for box in world.boxes.values():
        box.kill()
    world.idle(5)
    assert emil.process.seat.public.group_key == key
    assert len(emil.nexts) == 1


def test_a_succession_for_a_key_that_is_none_of_ours():
    world, other = found(), found(seed=5)
    charter = Charter(capsule.parse(other["anna"].seats[0].genesis[0]))
    other["anna"].process.identity = other["anna"].identity
    view = other.propose("anna", "succeed", FOUR, charter=charter)
    raw = other["anna"].files.get(view.id, "!raw")
    world["ben"].call("receive", world["anna"].key, codec.dump([CHANGE, raw]), 0)
    assert not world["ben"].process.pending()
