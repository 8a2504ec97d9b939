"""The machine of a resharing over a shared folder, its plans, and where its secrets are kept."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host import codec
from writ_host.ceremony.local import Identity, MemoryFolder, MemoryStore, Roster, found_local
from writ_host.ceremony.plan import BadPlan, Plan
from writ_host.ceremony.resharing import Resharing
from writ_host.errors import (
    CeremonyFailed,
    CheatingGovernor,
    Disagreement,
    FileInTheWay,
    HostError,
    Refused,
)
from writ_host.governor.ceremonies.secretstore import SecretStore, TooManyCeremonies
from writ_host.keys.identity import envelope
from writ_host.keys.roster import Seat

FOUR = ("anna", "ben", "carl", "dora")


class Handing:
    """Four who hold a seat, over one folder; dora is to receive and not to deal."""

    def __init__(self):
        self.locals = found_local("farm", FOUR, 3)
        self.seats = [one.seat for one in self.locals]
        self.plan = Plan.create(
            self.seats[0],
            [one.identity.public for one in self.locals],
            [f"10.0.0.{i}:5685" for i in range(4)],
            FOUR[:3],
        )
        self.folder = MemoryFolder()
        self.stores = [MemoryStore() for _ in FOUR]

    def machine(self, i, decide=lambda: True, folder=None):
        one = self.locals[i]
        return Resharing(
            folder or self.folder, one.identity, self.plan, one.seat, self.stores[i], decide
        )

    def forge(self, i, step, body):
        data = envelope(self.locals[i].identity, self.plan.id, step, codec.dump(body))
        self.folder.files[f"{FOUR[i]}.{step}.cbor"] = data


def test_it_runs_over_any_folder():
    rig = Handing()
    machines = [rig.machine(i) for i in range(4)]
    for _ in range(4):
        done = [machine.step().is_done for machine in machines]
    assert all(done)
    assert {machine.seat.public.group_key for machine in machines} == {
        rig.seats[0].public.group_key
    }
    assert rig.machine(1).step().is_done and rig.machine(1).seat == machines[1].seat
    for data in rig.folder.files.values():
        for machine in machines:
            assert machine.seat.key.signing_share.to_bytes(32, "little") not in data


def test_it_says_who_is_awaited():
    rig = Handing()
    assert rig.machine(0, lambda: None).step().waiting_for == ("anna",)
    assert rig.machine(0).step().waiting_for == ("ben", "carl")
    for i in (1, 2, 3):
        rig.machine(i).step()
    progress = rig.machine(0).step()
    assert (progress.step, progress.waiting_for) == ("confirm", ("ben",))


def test_a_refusal_and_a_complaint_end_it():
    rig = Handing()
    with pytest.raises(Refused):
        rig.machine(1, lambda: False).step()
    rig.machine(1).refuse()
    with pytest.raises(Refused, match="ben"):
        rig.machine(0).step()
    rig = Handing()
    rig.forge(1, "deal", [[], {}])
    with pytest.raises(CheatingGovernor) as caught:
        rig.machine(3).step()
    assert caught.value.identifiers == (2,)
    with pytest.raises(CeremonyFailed, match="dora complains about ben"):
        rig.machine(0).step()


def test_a_confirmation_of_other_keys_is_noticed():
    rig = Handing()
    machines = [rig.machine(i) for i in range(4)]
    for machine in machines[:3]:
        machine.step()
    rig.forge(3, "confirm", [bytes(32), bytes(32)])
    with pytest.raises(Disagreement, match="dora"):
        machines[0].step()


def test_all_who_confirmed_are_done_whatever_is_complained_about_then():
    rig = Handing()
    machines = [rig.machine(i) for i in range(4)]
    for _ in range(2):
        for machine in machines:
            machine.step()
    rig.forge(3, "complaint", ["anna", "too late"])
    assert all(machine.step().is_done for machine in machines)


def test_a_lost_state_is_not_papered_over():
    rig = Handing()
    rig.machine(0).step()
    rig.stores[0] = MemoryStore()
    with pytest.raises(FileInTheWay):
        rig.machine(0).step()
    other = Handing()
    other.machine(1).step()
    for data in (rig.stores[0].data, other.stores[1].data, other.seats[1].to_bytes()):
        rig.stores[1] = MemoryStore(data)
        with pytest.raises(FileInTheWay):
            rig.machine(1)


def test_plans_round_trip_and_lie_nowhere():
    rig = Handing()
    assert Plan.from_bytes(rig.plan.to_bytes()) == rig.plan
    public = rig.plan.public
    shares = dict(public.verifying_shares)
    shares[1], shares[2] = shares[2], shares[1]
    for change in (
        {"public": replace(public, verifying_shares=shares)},
        {"dealers": (1, 2)},
        {"dealers": (1, 1, 2)},
        {"dealers": (2, 1, 3)},
        {"peers": ("10.0.0.1:5685",)},
        {"peers": ("x",) * 4},
        {"new": rig.plan.old},
        {"new": Roster.create("sea", 3, rig.plan.old.governors)},
        {"new": Roster.create("farm", 4, rig.plan.old.governors)},
    ):
        with pytest.raises(HostError):
            replace(rig.plan, **change)
    twin = Identity.generate("anna").public
    with pytest.raises(BadPlan, match="anna"):
        new = Roster.create("farm", 3, [twin, *rig.plan.old.governors[1:]])
        replace(rig.plan, new=new)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_plan_changed_anywhere_is_another_or_none(data):
    raw = bytearray(RAW)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = Plan.from_bytes(bytes(raw)).id
    except HostError:
        return
    assert changed != PLAN.id


PLAN = Handing().plan
RAW = PLAN.to_bytes()


def test_the_largest_plan_fits():
    locals_ = found_local("farm", [f"{'g' * 22}{i:02d}" for i in range(13)], 7)
    people = [one.identity.public for one in locals_]
    people[12] = Identity.generate("z" * 24).public
    peers = [f"{one.name}.{'x' * 29}.org:12345" for one in people]
    plan = Plan.create(locals_[0].seat, people, peers, [one.name for one in people[:7]])
    assert len(plan.to_bytes()) < 6000 and Plan.from_bytes(plan.to_bytes()) == plan


def test_slots_hold_so_much_and_no_more():
    store = MemoryStore()
    slots = SecretStore(store)
    seat = Handing().seats[0]
    for i in range(6):
        slots.store_of(bytes((i,)) * 32).save(seat.to_bytes())
    with pytest.raises(TooManyCeremonies):
        slots.store_of(bytes((7,)) * 32).save(b"x")
    slots.drop({bytes(32)})
    assert SecretStore(store).seats().keys() == slots.seats().keys() and len(slots.seats()) == 5
    with pytest.raises(TooManyCeremonies):
        slots.put(bytes(32), bytes(65000))
    assert bytes(32) in SecretStore(store).dropped
    assert isinstance(slots.seats()[bytes((1,)) * 32], Seat)
