"""Founding in a folder: governors that crash or cheat, and folders that show false files."""

from dataclasses import replace
from itertools import count

import pytest
from ceremony_rig import ITEMS, KEY, NAMES, Failing, Founders, PowerCut, no, yes
from hypothesis import given, settings
from hypothesis import strategies as st

from writ import crypto
from writ.errors import UsageError
from writ_host import codec
from writ_host.ceremony.founding import Founding
from writ_host.ceremony.local import (
    create_identity,
    found_local,
    load_identity,
    load_seat,
    run_local,
    sign_local,
)
from writ_host.ceremony.storage import DirectoryFolder, KeyfileStore, MemoryFolder, MemoryStore
from writ_host.errors import (
    BadEnvelope,
    CeremonyFailed,
    CheatingGovernor,
    Disagreement,
    FileInTheWay,
    HostError,
    Malformed,
    Refused,
    Stalled,
    WrongCeremony,
)
from writ_host.keys.dkg import Dkg
from writ_host.keys.identity import Identity, envelope
from writ_host.keys.roster import Roster, Seat


def test_founding_gives_each_a_seat_for_one_key():
    founders = Founders()
    machines = founders.machines()
    run_local(machines)
    seats = [machine.seat for machine in machines]
    assert len({seat.public.group_key for seat in seats}) == 1
    assert len({seat.key.signing_share for seat in seats}) == 4
    assert [seat.name for seat in seats] == list(NAMES)
    # the store holds the share instead of the polynomial
    for store, seat in zip(founders.stores, seats, strict=True):
        assert load_seat(store) == seat
        assert Seat.from_bytes(store.load()) == seat
    # the folder holds no secret
    for data in founders.folder.files.values():
        for seat in seats:
            assert seat.key.signing_share.to_bytes(32, "little") not in data


def test_founding_names_the_awaited_governors():
    founders = Founders()
    anna = founders.machine(0)
    assert anna.step().waiting_for == ("ben", "carl", "dora")
    founders.machine(2).step()
    progress = anna.step()
    assert (progress.step, progress.waiting_for) == ("round1", ("ben", "dora"))
    with pytest.raises(Stalled, match=r"ben, dora"):
        run_local([anna, founders.machine(2)])


def test_all_compare_the_same_fingerprint_before_they_confirm():
    founders = Founders()
    shown = []

    def compare(fingerprint):
        shown.append(fingerprint)
        assert not any("confirm" in name for name in founders.folder.names()) or len(shown) > 1
        return True

    run_local([founders.machine(i, compare) for i in range(4)])
    assert len(shown) == 4 and len(set(shown)) == 1
    assert [len(group) for group in shown[0].split()] == [5] * 8


def test_a_governor_that_sees_another_fingerprint_confirms_nothing():
    founders = Founders()
    machines = [founders.machine(i, no if i == 3 else yes) for i in range(4)]
    with pytest.raises(Refused):
        run_local(machines)
    assert "dora.confirm.cbor" not in founders.folder.files
    assert all(load_seat(store) is None for store in founders.stores)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_founding_resumes_after_power_loss_at_every_write(after):
    for cut in count(1):
        founders = Founders()
        fuse = [cut]
        folder = Failing(founders.folder, fuse, after)
        store = Failing(founders.stores[1], fuse, after)
        others = [founders.machine(i) for i in (0, 2, 3)]
        ben = None
        for _ in range(6):
            for machine in others:
                machine.step()
            try:
                ben = ben or Founding(folder, founders.identities[1], founders.roster, store, yes)
                ben.step()
            except PowerCut:
                ben = None
        assert ben is not None and ben.step().is_done, f"write {cut}"
        assert len({machine.seat.public.group_key for machine in [*others, ben]}) == 1
        if fuse[0] > 0:
            break
    # three messages, each saved and then published, and the seat
    assert cut > 7


def test_resuming_never_changes_published_files():
    founders = Founders()
    run_until_round2(founders)
    before = dict(founders.folder.files)
    for i in range(4):
        founders.machine(i).step()
    assert {name: founders.folder.files[name] for name in before} == before


def run_until_round2(founders):
    machines = founders.machines()
    for machine in machines:
        machine.step()
    for machine in machines[:2]:
        machine.step()
    assert "ben.round2.cbor" in founders.folder.files


def test_a_lost_state_file_stops_the_founding():
    """The state file is lost but the folder is not: a second polynomial would be equivocation."""
    founders = Founders()
    founders.machine(0).step()
    founders.stores[0] = MemoryStore()
    with pytest.raises(FileInTheWay):
        founders.machine(0).step()


def test_a_state_of_another_ceremony_is_refused():
    founders = Founders()
    others = Founders(founders.identities)
    others.stores = founders.stores
    founders.machine(0).step()
    with pytest.raises(FileInTheWay):
        others.machine(0)
    run_local(founders.machines())
    with pytest.raises(FileInTheWay):
        others.machine(0)


def test_a_roster_with_other_keys_for_us_is_refused():
    founders = Founders()
    founders.identities[0] = Identity.generate("anna")
    with pytest.raises(FileInTheWay):
        founders.machine(0)


@pytest.mark.parametrize("step", ["round1", "round2", "confirm"])
def test_any_change_to_a_file_is_refused(step):
    founders = Founders()
    for _ in range({"round1": 1, "round2": 2, "confirm": 3}[step]):
        for i in (0, 2, 3, 1):
            founders.machine(i).step()
    name = f"ben.{step}.cbor"
    good = founders.folder.files[name]
    for position in range(0, len(good), 11):
        founders.folder.files[name] = bytearray(good)
        founders.folder.files[name][position] ^= 1
        founders.folder.files[name] = bytes(founders.folder.files[name])
        with pytest.raises(HostError) as caught:
            founders.machine(0).step()
        assert not isinstance(caught.value, CheatingGovernor)
        assert caught.value.advice
    founders.folder.files[name] = good
    run_local(founders.machines())


def test_replayed_files_are_refused():
    founders = Founders()
    earlier = Founders(founders.identities)
    for i in range(4):
        earlier.machine(i).step()
    founders.folder.files["ben.round1.cbor"] = earlier.folder.files["ben.round1.cbor"]
    with pytest.raises(WrongCeremony):
        founders.machine(0).step()
    # another governor's message, and another step's, under Ben's name
    for source in ("carl.round1.cbor", "dora.round1.cbor"):
        fresh = Founders()
        for i in (2, 3):
            fresh.machine(i).step()
        fresh.folder.files["ben.round1.cbor"] = fresh.folder.files[source]
        with pytest.raises(WrongCeremony):
            fresh.machine(0).step()


def test_an_unsigned_file_accuses_no_governor():
    founders = Founders()
    body = codec.dump(Dkg.begin(founders.roster.id, 2, 3, 4).round1().to_item())
    stranger = Identity.generate("ben")
    data = envelope(stranger, founders.roster.id, "round1", body)
    founders.folder.files["ben.round1.cbor"] = data
    with pytest.raises(BadEnvelope):
        founders.machine(0).step()
    assert "anna.complaint.cbor" not in founders.folder.files


@pytest.mark.parametrize("body", [None, [], [[b""], b""], "proof", "degree"])
def test_a_complaint_names_the_author_of_a_wrong_round1(body):
    founders = Founders()
    package = Dkg.begin(founders.roster.id, 2, 2 if body == "degree" else 3, 4).round1()
    if body == "proof":
        body = [list(package.commitments), bytes(64)]
    elif body == "degree":
        body = package.to_item()
    founders.forge(1, "round1", body)
    with pytest.raises(CheatingGovernor) as caught:
        founders.machine(0).step()
    assert caught.value.identifiers == (2,) and "ben" in str(caught.value)
    with pytest.raises(CeremonyFailed, match="anna complains about ben: round1"):
        founders.machine(2).step()
    # published once, and the same after a restart
    with pytest.raises(CeremonyFailed):
        founders.machine(0).step()


@pytest.mark.parametrize("how", ["swapped", "missing", "garbage", "number"])
def test_a_complaint_names_the_author_of_a_wrong_share(how):
    founders = Founders()
    run_until_round2(founders)
    data = founders.folder.files["ben.round2.cbor"]
    fingerprint, shares = codec.load(codec.load(data)[4])
    if how == "swapped":
        shares[1] = shares[3]
    elif how == "missing":
        del shares[1]
    elif how == "garbage":
        shares[1] = b"garbage"
    else:
        shares[1] = 5
    founders.forge(1, "round2", [fingerprint, shares])
    with pytest.raises(CheatingGovernor) as caught:
        founders.machine(0).step()
    assert caught.value.identifiers == (2,)
    with pytest.raises(CeremonyFailed, match="anna complains about ben: round2"):
        founders.machine(3).step()


def test_a_share_that_does_not_match_its_commitment_is_refused():
    founders = Founders()
    run_until_round2(founders)
    # Ben's state has another polynomial: correctly sealed and signed, but wrong
    machine = founders.machine(1)
    machine._dkg._coefficients[1] += 1
    body = machine._round2()
    founders.forge(1, "round2", body)
    with pytest.raises(CheatingGovernor, match="does not fit its commitment"):
        founders.machine(0).step()


def test_equivocation_is_noticed_before_any_confirmation():
    """Carl shows Anna one package and the others another, both with valid signatures."""
    founders = Founders()
    for machine in founders.machines():
        machine.step()
    split = MemoryFolder()
    split.files = dict(founders.folder.files)
    # the last one to step has seen all of round 1 already
    del split.files["dora.round2.cbor"]
    package = Dkg.begin(founders.roster.id, 3, 3, 4).round1()
    body = codec.dump(package.to_item())
    data = envelope(founders.identities[2], founders.roster.id, "round1", body)
    split.files["carl.round1.cbor"] = data
    founders.machine(0, folder=split).step()
    founders.folder.files["anna.round2.cbor"] = split.files["anna.round2.cbor"]
    with pytest.raises(Disagreement, match="anna received other round-1 files"):
        founders.machine(1).step()
    # one governor sees a package change
    with pytest.raises(Disagreement, match="two different round-1"):
        founders.machine(0).step()


def test_a_confirmation_of_another_key_is_noticed():
    founders = Founders()
    machines = founders.machines()
    for _ in range(2):
        for machine in machines:
            machine.step()
    founders.forge(1, "confirm", [bytes(32), bytes(32)])
    with pytest.raises(Disagreement, match="ben confirms another key"):
        founders.machine(0).step()
    assert load_seat(founders.stores[0]) is None


@pytest.mark.slow
def test_founding_on_disk(tmp_path):
    governors = found_local("farm", NAMES[:3], 2, tmp_path, KEY)
    again = found_local("farm", NAMES[:3], 2, tmp_path, KEY)
    assert [one.seat for one in again] == [one.seat for one in governors]
    identity = load_identity(tmp_path / "anna" / "identity.key", KEY)
    seat = load_seat(KeyfileStore(tmp_path / "anna" / "seat.key", KEY))
    assert (identity, seat) == (governors[0].identity, governors[0].seat)
    assert DirectoryFolder(tmp_path / "ceremony").names() == sorted(
        ["roster.cbor"]
        + [f"{name}.{step}.cbor" for name in NAMES[:3] for step in ("round1", "round2", "confirm")]
    )
    signatures = sign_local(governors[1:], "t", ITEMS)
    for one, signature in zip(ITEMS, signatures, strict=True):
        assert crypto.ed25519_verify(seat.public.group_key, one.to_be_signed, signature)
    with pytest.raises(FileInTheWay):
        found_local("sea", NAMES[:3], 2, tmp_path, KEY)
    with pytest.raises(FileInTheWay):
        create_identity(tmp_path / "anna" / "identity.key", "anna", KEY)
    with pytest.raises(UsageError):
        found_local("farm", NAMES, 3, tmp_path)


@pytest.mark.parametrize(
    ("threshold", "count"), [(0, 1), (2, 4), (5, 4), (1, 2), (True, 1), (3, 14)]
)
def test_impossible_rosters_are_refused(threshold, count):
    people = [Identity.generate(f"g{i}").public for i in range(count)]
    with pytest.raises(Malformed):
        Roster.create("farm", threshold, people)


KEYS_OF_AN_IDENTITY = ("name", "sign_seed", "seal_seed", "node_private")


def test_a_roster_with_a_duplicate_is_refused():
    anna = Identity.generate("anna")
    fresh = Identity.generate("ben")
    doubles = [replace(fresh, **{key: getattr(anna, key)}) for key in KEYS_OF_AN_IDENTITY]
    for other in (anna, *doubles):
        with pytest.raises(Malformed):
            Roster.create("farm", 2, [anna.public, other.public])
    # the negative of a node key has the same node id
    key = anna.public.node_key
    negative = replace(fresh.public, node_key=bytes((5 - key[0],)) + key[1:])
    with pytest.raises(Malformed, match="node_key"):
        Roster.create("farm", 2, [anna.public, negative])
    Roster.create("farm", 2, [anna.public, fresh.public])


def test_roster_and_seat_round_trip(governors):
    roster = governors[0].seat.roster
    assert Roster.from_bytes(roster.to_bytes()) == roster
    data = governors[0].seat.to_bytes()
    assert Seat.from_bytes(data) == governors[0].seat
    share = governors[0].seat.key.signing_share.to_bytes(32, "little")
    with pytest.raises(Malformed):
        Seat.from_bytes(data.replace(share, bytes(31) + b"\1"))


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_readers_raise_only_host_errors(data):
    for read in (Roster.from_bytes, Seat.from_bytes):
        with pytest.raises(Malformed):
            read(data)
    founders = FUZZED
    founders.folder.files = {"ben.round1.cbor": data, "anna.complaint.cbor": data}
    with pytest.raises(HostError):
        founders.machine(0).step()


FUZZED = Founders()
VALUES = st.recursive(
    st.none() | st.integers(-3, 70000) | st.binary(max_size=33) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES, st.sampled_from(["round1", "complaint"]))
@settings(max_examples=100)
def test_signed_malformed_files_raise_only_host_errors(body, step):
    founders = FUZZED
    founders.folder.files = {}
    founders.stores[0] = MemoryStore()
    founders.forge(1, step, body)
    with pytest.raises(HostError):
        founders.machine(0).step()
