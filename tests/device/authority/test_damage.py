"""Damaged records at the start: no start from an older state, and the own capsule again."""

import signer
from authority_rig import OWN_X, Rig, beacon_raw, members_raw, policy_raw
from fakeflash import FailingFlash, MemoryFlash
from harness import raises

from writ.authority.store import Store
from writ.errors import AlreadyKnown, StoreDamaged
from writ.startup import load_key

THIEF = b"thief..."


def ready():
    """A Rig at epoch 2, which revokes the thief, with a key, a beacon and its membership."""
    rig = Rig(charter=False)
    rig.flash = FailingFlash()
    rig.boot()
    assert len(load_key(rig.authority.store)) == 32
    rig.receive(signer.charter())
    rig.with_policy()
    rig.receive(policy_raw(2, rig.authority.head, revoked=[THIEF]))
    rig.receive(members_raw(OWN_X, name="me"))
    rig.receive(beacon_raw(2, rig.authority.head, 60))
    return rig


def test_no_slot_that_cannot_be_read_takes_a_node_back():
    for record in ("charter", "policy", "beacon"):
        for slot in (".a", ".b"):
            rig = ready()
            rig.flash.bad = (record + slot,)
            error = raises(StoreDamaged, rig.boot)
            assert str(error).startswith(record + ":"), str(error)
            rig.flash.bad = ()
            rig.boot()
            assert rig.authority.epoch == 2 and THIEF in rig.authority.policy.revoked


def test_empty_or_broken_slots_are_damage_and_no_first_start():
    for record in ("charter", "policy", "beacon"):
        for rest in (b"", b"rotten"):
            rig = ready()
            rig.flash.files[record + ".a"] = rig.flash.files[record + ".b"] = rest
            error = raises(StoreDamaged, rig.boot)
            assert str(error) == record


def test_one_broken_slot_takes_no_record_back():
    rig = ready()
    for slot in rig.flash.files:
        for rest in (b"", b"rotten", rig.flash.files[slot][:-1]):
            again = Rig(charter=False)
            again.flash = MemoryFlash(dict(rig.flash.files))
            again.flash.files[slot] = rest
            again.boot()
            assert again.authority.epoch == 2 and THIEF in again.authority.policy.revoked
            assert again.authority.me.raw == rig.authority.me.raw
            assert again.authority.beacon.raw == rig.authority.beacon.raw
            assert len(load_key(Store(again.flash))) == 32


def test_a_node_that_lost_its_own_capsule_starts_and_takes_it_again():
    for damage in ("member.a", "member.b", None):
        rig = ready()
        raw = rig.authority.me.raw
        if damage:
            rig.flash.bad = (damage,)
        else:
            rig.flash.files["member.a"] = rig.flash.files["member.b"] = b""
        rig.boot()
        assert rig.authority.me is None and rig.authority.is_member_lost
        assert rig.authority.epoch == 2
        rig.receive(raw)
        rig.flash.bad = ()
        rig.boot()
        assert rig.authority.me.raw == raw and not rig.authority.is_member_lost
        raises(AlreadyKnown, rig.receive, raw)


def test_a_key_is_made_in_a_folder_without_other_records_only():
    rig = ready()
    key = load_key(Store(rig.flash))
    for bad in ("key.a", "key.b"):
        rig.flash.bad = (bad,)
        before = dict(rig.flash.files)
        raises(StoreDamaged, load_key, Store(rig.flash))
        assert rig.flash.files == before
    rig.flash.bad = ()
    # one damaged slot is no loss
    for slot in ("key.a", "key.b"):
        for rest in (b"", b"rotten"):
            flash = MemoryFlash(dict(rig.flash.files))
            flash.files[slot] = rest
            assert load_key(Store(flash)) == key
    # both are; and no record of a key beside other records is a loss, too
    for rests in ((b"", b""), (b"rotten", b"rotten"), (b"", None), (None, None)):
        flash = MemoryFlash(dict(rig.flash.files))
        for slot, rest in zip(("key.a", "key.b"), rests):
            flash.files[slot] = rest
        before = dict(flash.files)
        error = raises(StoreDamaged, load_key, Store(flash))
        assert str(error)[:3] == "key" and flash.files == before
    # a first start that lost power makes its key
    for files in ({}, {"key.a": b""}, {"key.a": b"W\x00"}):
        assert len(load_key(Store(MemoryFlash(files)))) == 32
