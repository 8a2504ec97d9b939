"""Succession: the governors in force found a new group key and leave a distrusted one out."""

import pytest
from ceremonies_rig import complete, found

from writ import crypto
from writ.authority import capsule
from writ.authority.capsule import Charter
from writ_host import codec
from writ_host.ceremony.local import load_seat
from writ_host.governor.ceremonies.manager import CHANGE

pytestmark = pytest.mark.slow


FOUR = ("anna", "ben", "carl", "dora")


def test_a_succession_excludes_a_distrusted_governor():
    network = found(loss=0.1)
    before = network.seats()
    emil = network.add("emil")
    names = ("anna", "ben", "carl", "emil")
    charter = Charter(capsule.parse(network["anna"].seats[0].genesis[0]))
    view = network.propose("anna", "succeed", names, charter=charter)
    network.run(lambda: complete(network, *names))
    old_key = before["anna"].public.group_key
    (key,) = {network[name].nexts[0].seat.public.group_key for name in names}
    assert key != old_key
    for name in names:
        (raw,) = network[name].nexts[0].genesis
        new = Charter(capsule.parse(raw))
        assert new.group_key == key and new.name == "farm"
        assert new.beacon_age_max_s == charter.beacon_age_max_s
        parsed = capsule.parse(raw)
        assert crypto.ed25519_verify(key, parsed.signing_input(), parsed.signature)
    # the old seats are in force, and the leaving governor has observed the new key
    assert {name: network[name].process.seat for name in FOUR} == {n: before[n] for n in FOUR}
    network.run(lambda: network.states(view.id)["dora"] == "done")
    for name in (*names, "dora"):
        assert key in network[name].process.seats.committees()
    assert network["dora"].process.result(view.id)
    for name in names:
        assert network[name].process.seats.activate(key) == network[name].nexts[0].seat
        assert network[name].process.seats.activate(key).public.group_key == key
        assert load_seat(network[name].store).public.group_key == key
    for host in network.hosts.values():
        host.kill()
    network.idle(5)
    assert emil.process.seat.public.group_key == key
    assert len(emil.nexts) == 1


def test_a_succession_of_another_group_key_is_refused():
    network, other = found(), found(seed=5)
    charter = Charter(capsule.parse(other["anna"].seats[0].genesis[0]))
    other["anna"].process.identity = other["anna"].identity
    view = other.propose("anna", "succeed", FOUR, charter=charter)
    raw = other["anna"].files.get(view.id, "!raw")
    network["ben"].call("receive", network["anna"].key, codec.dump([CHANGE, raw]), 0)
    assert not network["ben"].process.pending()
