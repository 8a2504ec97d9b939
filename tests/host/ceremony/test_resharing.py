"""Resharing in a folder, and its plans."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host import codec
from writ_host.ceremony.local import found_local
from writ_host.ceremony.plan import BadPlan, Plan
from writ_host.ceremony.resharing import Resharing
from writ_host.ceremony.storage import MemoryFolder, MemoryStore
from writ_host.errors import (
    CeremonyFailed,
    CheatingGovernor,
    Disagreement,
    FileInTheWay,
    HostError,
    Refused,
)
from writ_host.keys.identity import Identity, envelope
from writ_host.keys.roster import Roster

FOUR = ("anna", "ben", "carl", "dora")


class Resharers:
    """Four governors with a seat and one folder; dora receives but does not deal."""

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


def test_resharing_runs_over_any_folder():
    rig = Resharers()
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


def test_resharing_names_the_awaited_governors():
    rig = Resharers()
    assert rig.machine(0, lambda: None).step().waiting_for == ("anna",)
    assert rig.machine(0).step().waiting_for == ("ben", "carl")
    for i in (1, 2, 3):
        rig.machine(i).step()
    progress = rig.machine(0).step()
    assert (progress.step, progress.waiting_for) == ("confirm", ("ben",))


def test_a_refusal_and_a_complaint_end_the_resharing():
    rig = Resharers()
    with pytest.raises(Refused):
        rig.machine(1, lambda: False).step()
    rig.machine(1).refuse()
    with pytest.raises(Refused, match="ben"):
        rig.machine(0).step()
    rig = Resharers()
    rig.forge(1, "deal", [[], {}])
    with pytest.raises(CheatingGovernor) as caught:
        rig.machine(3).step()
    assert caught.value.identifiers == (2,)
    with pytest.raises(CeremonyFailed, match="dora complains about ben"):
        rig.machine(0).step()


def test_a_confirmation_of_other_keys_is_noticed():
    rig = Resharers()
    machines = [rig.machine(i) for i in range(4)]
    for machine in machines[:3]:
        machine.step()
    rig.forge(3, "confirm", [bytes(32), bytes(32)])
    with pytest.raises(Disagreement, match="dora"):
        machines[0].step()


def test_a_complaint_after_all_confirmations_stops_no_governor():
    rig = Resharers()
    machines = [rig.machine(i) for i in range(4)]
    for _ in range(2):
        for machine in machines:
            machine.step()
    rig.forge(3, "complaint", ["anna", "too late"])
    assert all(machine.step().is_done for machine in machines)


def test_a_lost_state_file_stops_the_resharing():
    rig = Resharers()
    rig.machine(0).step()
    rig.stores[0] = MemoryStore()
    with pytest.raises(FileInTheWay):
        rig.machine(0).step()
    other = Resharers()
    other.machine(1).step()
    for data in (rig.stores[0].data, other.stores[1].data, other.seats[1].to_bytes()):
        rig.stores[1] = MemoryStore(data)
        with pytest.raises(FileInTheWay):
            rig.machine(1)


def test_plans_round_trip_and_inconsistent_ones_are_refused():
    rig = Resharers()
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
@settings(max_examples=60)
def test_a_changed_byte_changes_the_plans_id_or_is_refused(data):
    raw = bytearray(RAW)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = Plan.from_bytes(bytes(raw)).id
    except HostError:
        return
    assert changed != PLAN.id


PLAN = Resharers().plan
RAW = PLAN.to_bytes()


@pytest.mark.slow
def test_the_largest_plan_fits():
    locals_ = found_local("farm", [f"{'g' * 22}{i:02d}" for i in range(13)], 7)
    people = [one.identity.public for one in locals_]
    people[12] = Identity.generate("z" * 24).public
    peers = [f"{one.name}.{'x' * 29}.org:12345" for one in people]
    plan = Plan.create(locals_[0].seat, people, peers, [one.name for one in people[:7]])
    assert len(plan.to_bytes()) < 6000 and Plan.from_bytes(plan.to_bytes()) == plan
