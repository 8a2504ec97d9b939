"""Resharing with Byzantine governors: each is named, and costs no honest governor its seat."""

import pytest
from ceremonies_rig import check_reshared, complete, found, sign

from writ import crypto
from writ_host import codec
from writ_host.ceremony.local import load_seat
from writ_host.ceremony.plan import Plan
from writ_host.ceremony.resharing import Resharing
from writ_host.ceremony.storage import MemoryFolder, MemoryStore
from writ_host.governor.ceremonies.gossip import FILE
from writ_host.governor.ceremonies.manager import CHANGE
from writ_host.keys.identity import envelope
from writ_host.keys.roster import committee_digest

pytestmark = pytest.mark.slow


FOUR = ("anna", "ben", "carl", "dora")


def bend_deal(network, name, monkeypatch, bend):
    """Let `name` deal what `bend(commitments, shares)` returns from now on."""
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
def test_a_byzantine_dealer_is_named_and_others_deal(bend, monkeypatch):
    network = found()
    before = network.seats()
    bend_deal(network, "ben", monkeypatch, bend)
    view = network.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
    network.run(
        lambda: all(network.states(view.id)[name] == "failed" for name in ("anna", "carl", "dora"))
    )
    for name in ("anna", "carl", "dora"):
        shown = next(one for one in network[name].process.views() if one.id == view.id)
        assert "ben" in shown.problem
    assert not any(network[name].nexts for name in FOUR)
    network.propose("anna", "refresh", dealers=["anna", "carl", "dora"])
    network.run(lambda: complete(network, *FOUR))
    check_reshared(network, before, FOUR)


def test_a_dealer_that_equivocates_is_caught():
    network = found()
    ben = network["ben"]
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

    network.tamper = tamper
    view = network.propose("anna", "refresh", dealers=["anna", "ben", "carl"])
    honest = ("anna", "carl", "dora")
    network.run(lambda: {network.states(view.id)[name] for name in honest} == {"failed"})
    assert others and not any(network[name].nexts for name in FOUR)
    network.idle(10)
    for name in honest:
        assert any(event.name == "accused" for event in network[name].events)
        assert network[name].files.get(view.id, "ben.deal.cbor~")


def test_withheld_confirmations_and_late_complaints_cost_no_seat():
    """Carl gets no confirmation but a complaint of Ben; the others are done."""
    network = found()
    before = network.seats()
    ben, carl = network["ben"], network["carl"]

    def tamper(sender, receiver, data):
        items = codec.load(data)
        is_word = receiver == "carl" and items[0] == FILE and "confirm" in items[2]
        return None if is_word else data

    network.tamper = tamper
    view = network.propose("anna", "refresh", dealers=["anna", "ben", "dora"])
    network.run(lambda: complete(network, "anna", "ben", "dora"))
    complaint = envelope(ben.identity, view.id, "complaint", codec.dump(["anna", "a lie"]))
    message = codec.dump([FILE, view.id, "ben.complaint.cbor", complaint])
    carl.call("receive", ben.key, message, network.now_ms)
    assert network.states(view.id)["carl"] == "failed"
    # no other ceremony replaces the one that he has confirmed
    for _ in range(5):
        seat = before["ben"]
        plan = Plan.create(
            seat, seat.roster.governors, [b.address for b in network.hosts.values()], FOUR[:3]
        )
        raw = envelope(ben.identity, seat.roster.id, "change", plan.to_bytes())
        carl.call("receive", ben.key, codec.dump([CHANGE, raw]), network.now_ms)
    carl.kill()
    network.idle(5)
    digest = network["anna"].nexts[0].digest
    seat = carl.process.seats.activate(digest)
    assert committee_digest(seat) == digest and load_seat(carl.store) == seat
    others = [network[name].nexts[0].seat for name in ("anna", "dora")]
    assert crypto.ed25519_verify(seat.public.group_key, b"message", sign([*others, seat]))
    carl.kill()
    network.idle(5)
    assert carl.process.seat == seat and carl.process.seats.activate(digest) == seat
