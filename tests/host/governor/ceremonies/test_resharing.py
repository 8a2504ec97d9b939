"""Resharing between daemons: lost messages, approvals and power cuts."""

from dataclasses import replace

import pytest
from ceremonies_rig import MemoryFiles, agree, check_reshared, complete, deny, found, silent

from writ_host import codec
from writ_host.ceremony.local import load_seat
from writ_host.ceremony.plan import BadPlan, Plan
from writ_host.ceremony.storage import MemoryStore
from writ_host.errors import HostError, Malformed, UnknownGovernor
from writ_host.governor.ceremonies.errors import NoDecisionDue
from writ_host.governor.ceremonies.manager import CHANGE
from writ_host.governor.ceremonies.seats import NoSuchSeat
from writ_host.keys.identity import Identity, envelope

pytestmark = pytest.mark.slow


FOUR = ("anna", "ben", "carl", "dora")


def activate(network, names):
    for name in names:
        host = network[name]
        old = host.process.seat
        seat = host.process.seats.activate(host.nexts[-1].digest)
        assert host.process.seat == seat == load_seat(host.store)
        assert host.process.seats.activate(host.nexts[-1].digest) == seat
        assert not host.process.seats.next_seats()
        if old is not None:
            share = old.key.signing_share.to_bytes(32, "little")
            assert share not in host.store.data
            assert share not in host.store.others["next"].data


# --- the four uses --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_shares_are_refreshed(loss):
    network = found(loss=loss)
    before = network.seats()
    view = network.propose("ben", "refresh")
    assert view.title == "refreshing shares (farm)" and not view.needs_decision
    network.run(lambda: complete(network, *FOUR))
    check_reshared(network, before, FOUR)
    # the old seats are in force until a policy names the new ones
    assert network.seats() == before
    assert network["anna"].nexts[0].digest in network["anna"].process.seats.committees()
    activate(network, FOUR)
    assert not network["anna"].process.seats.committees()
    # and again, from the new shares
    middle = network.seats()
    network.propose("carl", "refresh")
    network.run(lambda: all(len(network[name].nexts) == 2 for name in FOUR))
    check_reshared(network, middle, FOUR)


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_new_governor_gets_a_share(loss):
    network = found(loss=loss)
    before = network.seats()
    emil = network.add("emil")
    view = network.propose("anna", "change", ["emil"])
    assert view.title == "adding governor emil (farm)"
    five = (*FOUR, "emil")
    network.run(lambda: complete(network, *five))
    check_reshared(network, before, five)
    activate(network, five)
    assert emil.process.seat.key.identifier == 5
    assert set(emil.process.peers()) == {network[name].key for name in FOUR}


def test_a_new_governor_confirms_nothing_before_its_operator_compared():
    network = found()
    emil = network.add("emil")
    emil.operator = silent
    view = network.propose("anna", "change", ["emil"])
    network.idle(30)
    (shown,) = emil.process.pending()
    assert shown.needs_decision and shown.fingerprint == view.fingerprint
    assert [len(group) for group in shown.fingerprint.split()] == [5] * 8
    assert "emil.confirm.cbor" not in network["anna"].files.list(view.id)
    assert not any(complete(network, name) for name in FOUR)
    with pytest.raises(NoDecisionDue):
        network["dora"].process.approve_or_deny(view.id, True, "", 0)


def test_a_leaving_governor_observes_and_gets_no_seat():
    network = found()
    before = network.seats()
    view = network.propose("anna", "change", remove=["dora"])
    assert view.title == "removing governor dora (farm)"
    three = FOUR[:3]
    network.run(lambda: complete(network, *three))
    check_reshared(network, before, three)
    network.run(lambda: network.states(view.id)["dora"] == "done")
    dora = network["dora"].process
    assert not network["dora"].nexts and not dora.seats.next_seats()
    digest = network["anna"].nexts[0].digest
    assert digest in dora.seats.committees()
    with pytest.raises(NoSuchSeat):
        dora.seats.activate(digest)
    assert dora.seat is not None
    dora.seats.retire()
    assert dora.seat is None and load_seat(network["dora"].store) is None
    network["dora"].kill()
    network.idle(5)
    assert network["dora"].process.seat is None and not network["dora"].process.views()


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_lost_share_is_replaced(with_keys):
    """Anna's disk is lost, with or without her keys."""
    network = found()
    before = network.seats()
    anna = network["anna"]
    if not with_keys:
        anna.identity = Identity.generate("anna")
        anna.key = anna.identity.public.node_key
    anna.store, anna.files = MemoryStore(), MemoryFiles()
    anna.start()
    network.propose("ben", "change", ["anna"])
    network.run(lambda: complete(network, *FOUR))
    before["anna"] = None
    check_reshared(network, before, FOUR)
    activate(network, FOUR)


def test_a_governor_is_added_while_a_leaving_one_deals():
    network = found(loss=0.2)
    before = network.seats()
    network.add("emil")
    names = ("anna", "carl", "dora", "emil")
    dealers = ["anna", "ben", "carl"]
    network.propose("carl", "change", ["emil"], remove=["ben"], dealers=dealers)
    network.run(lambda: complete(network, *names))
    check_reshared(network, before, names)


def test_an_offline_governor_is_removed():
    network = found()
    before = network.seats()
    network["dora"].kill(for_ms=10**9)
    network.propose("anna", "change", remove=["dora"])
    network.run(lambda: complete(network, "anna", "ben", "carl"))
    check_reshared(network, before, FOUR[:3])


# --- approval, and impossible changes -------------------------------------------------------------


def test_a_dealers_operator_decides_and_may_refuse():
    network = found()
    network["ben"].operator = silent
    view = network.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
    network.idle(30)
    assert network.states(view.id) == dict.fromkeys(FOUR, "deal") | {"ben": "approve"}
    assert "ben.deal.cbor" not in network["ben"].files.list(view.id)
    (shown,) = network["ben"].process.pending()
    assert shown.needs_decision and any("dealers: anna, ben, carl" in line for line in shown.lines)
    network["ben"].operator = deny
    network.run(lambda: set(network.states(view.id).values()) == {"refused"})
    network["ben"].operator = agree
    for _ in range(8):
        # a failed ceremony leaves room for the next one
        network["carl"].operator = deny
        view = network.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
        network.run(lambda id=view.id: set(network.states(id).values()) == {"refused"})
    network["carl"].operator = agree
    network.propose("anna", "refresh", dealers=["anna", "carl", "dora"])
    network.run(lambda: complete(network, *FOUR))


def test_only_old_governors_propose_and_only_with_the_right_public_keys():
    network = found()
    mallory, anna = Identity.generate("mallory"), network["anna"]
    seat = anna.process.seat
    roster = seat.roster
    plan = Plan.create(
        seat, roster.governors, [network[name].address for name in FOUR], ["ben", "carl", "dora"]
    )
    wrong_seat = replace(seat, public=found(seed=9)["anna"].process.seat.public)
    wrong = Plan.create(wrong_seat, roster.governors, plan.peers, ["ben", "carl", "dora"])
    ben = network["ben"].identity
    for sender, ceremony, one in (
        (mallory, roster.id, plan),
        (replace(ben, sign_seed=bytes(32)), roster.id, plan),
        (ben, bytes(32), plan),
        (ben, roster.id, wrong),
    ):
        raw = envelope(sender, ceremony, "change", one.to_bytes())
        anna.call("receive", network["ben"].key, codec.dump([CHANGE, raw]), network.now_ms)
        network.idle(61)
    assert [event.name for event in anna.events].count("ceremony-message") == 4
    assert len(anna.process.views()) == 1
    raw = envelope(ben, roster.id, "change", plan.to_bytes())
    anna.call("receive", network["ben"].key, codec.dump([CHANGE, raw]), network.now_ms)
    assert len(anna.process.views()) == 2


def test_one_governor_cannot_fill_the_table():
    network = found()
    anna = network["anna"]
    ben, seat = network["ben"].identity, anna.process.seat
    for _ in range(9):
        peers = [network[name].address for name in FOUR]
        plan = Plan.create(seat, seat.roster.governors, peers, ["ben", "carl", "dora"])
        raw = envelope(ben, seat.roster.id, "change", plan.to_bytes())
        anna.call("receive", network["ben"].key, codec.dump([CHANGE, raw]), network.now_ms)
    assert [view.id for view in anna.process.pending()] == [plan.id]


def test_impossible_changes_are_refused():
    network = found()
    network.add("emil")
    anna = network["anna"].process
    for arguments, error in (
        (("refresh", [], [], 2), Malformed),
        (("change", [], ["emil"]), UnknownGovernor),
        (("change", [], ["ben", "carl"]), HostError),
        (("succeed", [network["emil"].record]), Malformed),
    ):
        with pytest.raises(error):
            anna.propose_change(*arguments)
    with pytest.raises(BadPlan):
        anna.propose_change("refresh", dealers=["anna", "ben"])
    with pytest.raises(NoSuchSeat):
        network["emil"].process.propose_change("refresh")
    view, outs = anna.propose_change("refresh", dry=True)
    assert view.lines and not outs and len(anna.views()) == 1


# --- power cuts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["ben", "emil"])
def test_a_resharing_survives_a_power_cut_before_every_write(who):
    cut = 0
    while True:
        cut += 1
        network = found(seed=cut)
        before = network.seats()
        network.add("emil")
        network[who].fuse[0] = cut
        network.propose("anna", "change", ["emil"], dealers=["anna", "ben", "carl"])
        five = (*FOUR, "emil")
        network.run(lambda network=network, five=five: complete(network, *five))
        if network[who].fuse[0] > 0:
            break
    check_reshared(network, before, five)
    assert cut > 12


def test_activation_is_one_write():
    cut = 0
    while True:
        cut += 1
        network = found()
        network.propose("anna", "refresh")
        network.run(lambda network=network: complete(network, *FOUR))
        ben = network["ben"]
        old, new = ben.process.seat, ben.nexts[-1]
        ben.fuse[0] = cut
        ben.call("seats.activate", new.digest)
        survived = ben.process is not None
        network.idle(5)
        assert load_seat(ben.store) in (old, new.seat)
        assert ben.process.seats.activate(new.digest) == new.seat
        assert not ben.process.seats.next_seats()
        if survived:
            break
    assert cut > 3
