"""Slots and records that a file system loses, which no power failure does: named, and no start."""

from fakeflash import MemoryFlash, PowerCut, TornFlash
from harness import raises
from lost_rig import KEPT, ready, start

from writ.authority.store import Store
from writ.errors import StoreDamaged, StoreFailed


def test_a_missing_slot_of_a_record_is_named():
    files = ready()
    for record in KEPT:
        for slot in (".a", ".b"):
            rest = dict(files)
            del rest[record + slot]
            if record + slot in ("key.b", "charter.b", "keys.b", "beacon.b"):
                # what a power failure leaves of the first save
                assert start(rest).authority.epoch == 3
                continue
            before = dict(rest)
            error = raises(StoreDamaged, start, rest)
            assert str(error) == record + slot + " is missing" and rest == before


def test_a_missing_record_is_no_record_that_was_never_saved():
    files = ready()
    for record in KEPT:
        rest = dict(files)
        del rest[record + ".a"], rest[record + ".b"]
        before = dict(rest)
        error = raises(StoreDamaged, start, rest)
        assert str(error) == record + " is missing" and rest == before
        # nor is a first slot that was cut short
        rest[record + ".a"] = b"W"
        raises(StoreDamaged, start, rest)
    # its own capsule is asked for again
    for slots in ((".a",), (".a", ".b")):
        rest = dict(files)
        for slot in slots:
            del rest["member" + slot]
        rig = start(rest)
        assert rig.authority.me is None and rig.authority.is_member_lost


def test_a_charter_is_missing_beside_other_records_of_an_older_folder():
    for record in ("policy", "member", "beacon"):
        files = ready()
        rest = {name: files[name] for name in files if name[:4] == "key."}
        for slot in (".a", ".b"):
            rest[record + slot] = files[record + slot]
        error = raises(StoreDamaged, start, rest)
        assert str(error) == "charter is missing"


def test_no_key_is_made_beside_other_records_of_an_older_folder():
    for record in ("charter", "policy", "member"):
        files = ready()
        rest = {name: files[name] for name in files if name[:-2] == record}
        before = dict(rest)
        error = raises(StoreDamaged, start, rest)
        assert str(error) == "key" and rest == before


class Bad:
    """A flash some of whose slots cannot be read (EIO)."""

    def __init__(self, flash, bad):
        self._flash = flash
        self._bad = bad

    def read(self, name):
        """The bytes of the slot, or None, or an error of the medium."""
        if name in self._bad:
            raise OSError(5)
        return self._flash.read(name)

    def write(self, name, data):
        """Replace the bytes of the slot."""
        self._flash.write(name, data)


def damaged(damage, slot, is_kept):
    """(files, slots that cannot be read) of a record with four saves and a damaged slot."""
    files = {}
    store = Store(MemoryFlash(files))
    for data in (b"1", b"2", b"3", b"4"):
        store.save("r", data, is_kept)
    if damage == "missing":
        del files["r" + slot]
    elif damage == "rotten":
        files["r.a"] = files["r.b"] = b"rotten"
    return files, ["r" + slot] if damage == "error" else []


def test_a_record_that_was_given_up_does_not_come_back_from_an_older_slot():
    cases = [
        (d, s, k) for d in ("error", "missing", "rotten") for s in (".a", ".b") for k in (0, 1)
    ]
    for damage, slot, is_kept in cases:
        files, bad = damaged(damage, slot, is_kept)
        raises(StoreDamaged, Store(Bad(MemoryFlash(files), bad)).load, "r")
        for at, byte in [(at, byte) for at in (0, 1) for byte in (0, 9, None)]:
            torn = TornFlash(dict(files), at, byte)
            store = Store(Bad(torn, bad))
            store.reset("r")
            raises(PowerCut, store.save, "r", b"new", is_kept)
            try:
                found = Store(torn).load("r")
            except StoreDamaged:
                continue
            if damage == "error":
                # the error is gone: a session that goes back by one save skips numbers
                assert found in (b"new", b"4") or (not is_kept and found == b"3")
            else:
                assert found in (b"new", None)
        store = Store(Bad(MemoryFlash(files), bad))
        store.reset("r")
        store.save("r", b"new", is_kept)
        for rest in ("r.a", "r.b"):
            after = dict(files)
            after[rest] = b"rotten"
            assert Store(MemoryFlash(after)).load("r") == b"new"


def test_the_second_slot_of_a_save_may_fail():
    class Half(MemoryFlash):
        is_full = False

        def write(self, name, data):
            if self.is_full and name == "a.b":
                self.files[name] = b""
                raise OSError(28)
            MemoryFlash.write(self, name, data)

    flash = Half()
    store = Store(flash)
    store.save("a", b"old")
    flash.is_full = True
    raises(StoreFailed, store.save, "a", b"new")
    # slot a is the only whole one now, and the next save begins with the other one
    raises(StoreFailed, store.save, "a", b"newer")
    assert Store(MemoryFlash(dict(flash.files))).load("a") == b"new"
    flash.is_full = False
    store.save("a", b"newest")
    assert flash.files["a.a"] == flash.files["a.b"]
