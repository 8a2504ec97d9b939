"""Records on flash: after a power failure at any byte there is the old record or the new one."""

from fakeflash import TAILS, FailingFlash, MemoryFlash, PowerCut, TornFlash, garbage
from harness import raises

from writ.authority.store import FileFlash, Store
from writ.errors import StoreDamaged, StoreFailed, UsageError
from writ.limits import RECORD_BYTES_MAX

RECORDS = (b"one", b"the second", b"", b"4" * 40, b"fifth")


def test_what_is_saved_is_loaded():
    flash = MemoryFlash()
    store = Store(flash)
    assert store.load("a") is None
    for data in RECORDS:
        store.save("a", data)
        assert store.load("a") == data and Store(flash).load("a") == data
    assert store.load("b") is None and Store(flash).load("b") is None


def test_names_are_kept_apart():
    flash = MemoryFlash()
    store = Store(flash)
    for i in range(3):
        for name in ("policy", "beacon", "s0", "s1"):
            store.save(name, (name + str(i)).encode())
    for name in ("policy", "beacon", "s0", "s1"):
        assert Store(flash).load(name) == (name + "2").encode()


class Watched(MemoryFlash):
    """A flash that checks that no write hits the only slot with the newest record."""

    known = ()

    def write(self, name, data):
        """Replace the bytes of the slot."""
        files = dict(self.files)
        files[name] = b"rotten"
        assert Store(MemoryFlash(files)).load("a") in self.known
        MemoryFlash.write(self, name, data)


def test_a_save_never_touches_the_only_slot_with_the_newest_record():
    flash = Watched()
    for data in RECORDS:
        flash.known = (Store(flash).load("a"), data)
        # each time by a store that starts anew: it must find out which slot is which
        Store(flash).save("a", data)
    flash.known = flash.known[1:]
    assert Store(flash).load("a") == RECORDS[-1]


def test_power_may_fail_at_every_byte_of_every_write():
    for tail in TAILS:
        # each record is written into both slots, and the first one is listed in two more
        for write in range(2 * len(RECORDS) + 2):
            at = max(0, write // 2 - 1)
            size = len(RECORDS[at]) + 15
            for byte in list(range(size + 1)) + [None]:
                flash = TornFlash({}, write, byte, tail)
                store = Store(flash)
                for data in RECORDS[:at]:
                    store.save("a", data)
                raises(PowerCut, store.save, "a", RECORDS[at])
                found = Store(MemoryFlash(flash.files)).load("a")
                old = RECORDS[at - 1] if at else None
                assert found in (old, RECORDS[at]), (tail.__name__, write, byte)
                if byte is None or write % 2 or 2 <= write < 4:
                    assert found == RECORDS[at]
                # and the next save works, whatever was left behind
                after = Store(MemoryFlash(flash.files))
                after.save("a", b"next")
                assert Store(MemoryFlash(flash.files)).load("a") == b"next"


def test_power_may_fail_many_times_in_a_row():
    files = {}
    Store(MemoryFlash(files)).save("a", b"first")
    for i in range(40):
        flash = TornFlash(files, 0, i % 30, TAILS[i % 4])
        raises(PowerCut, Store(flash).save, "a", b"never whole, of some length")
        assert Store(MemoryFlash(files)).load("a") == b"first"
    Store(MemoryFlash(files)).save("a", b"second")
    assert Store(MemoryFlash(files)).load("a") == b"second"


def test_no_damaged_bit_of_a_slot_takes_a_record_back():
    files = {}
    store = Store(MemoryFlash(files))
    store.save("a", b"old")
    store.save("a", b"new")
    for name in files:
        for i in range(8 * len(files[name])):
            damaged = dict(files)
            changed = bytearray(files[name])
            changed[i >> 3] ^= 1 << (i & 7)
            damaged[name] = bytes(changed)
            assert Store(MemoryFlash(damaged)).load("a") == b"new"


def test_two_damaged_slots_stop_the_node():
    # the node stops rather than continues from an unknown state
    for one, two in ((b"x", b"y"), (b"\xff" * 40, b"W"), (b"\x00", b"W" * 15)):
        store = Store(MemoryFlash({"a.a": one, "a.b": two}))
        raises(StoreDamaged, store.load, "a")
        raises(StoreDamaged, store.save, "a", b"data")


def test_the_first_record_cut_short_was_never_saved():
    for rest in (b"", b"W", b"\xff" * 64):
        store = Store(MemoryFlash({"a.a": rest}))
        assert store.load("a") is None
        store.save("a", b"first")
        assert store.load("a") == b"first"
    # slot a is written first, so slot b alone is what damage has left
    for rest in (b"", b"W", b"\xff" * 64):
        raises(StoreDamaged, Store(MemoryFlash({"a.b": rest})).load, "a")


def test_a_record_has_two_slots_from_its_first_save_on():
    files = {}
    Store(MemoryFlash(files)).save("a", b"only")
    assert sorted(files) == ["a.a", "a.b", "names.a", "names.b"]
    for name in ("a.a", "a.b"):
        for rest in (b"", b"rotten", files[name][:-1]):
            damaged = dict(files)
            damaged[name] = rest
            assert Store(MemoryFlash(damaged)).load("a") == b"only"
    # a save that was interrupted after the first slot is completed by the next one
    files = {"a.a": files["a.a"]}
    Store(MemoryFlash(files)).save("a", b"next")
    assert "a.b" in files and Store(MemoryFlash(files)).load("a") == b"next"


def test_two_empty_slots_are_no_record_that_was_never_saved():
    raises(StoreDamaged, Store(MemoryFlash({"a.a": b"", "a.b": b""})).load, "a")


def test_an_error_of_the_medium_is_no_absent_record():
    # the slot that cannot be read may have the newest record
    flash = FailingFlash()
    store = Store(flash)
    for data in (b"old", b"new"):
        store.save("policy", data)
    for bad in ("policy.a", "policy.b"):
        flash.bad = (bad,)
        error = raises(StoreDamaged, Store(flash).load, "policy")
        assert str(error).startswith("policy: ") and "5" in str(error)
        raises(StoreDamaged, Store(flash).save, "policy", b"newer")
    # an empty flash that fails is not empty
    empty = FailingFlash()
    empty.bad = ("policy.a",)
    raises(StoreDamaged, Store(empty).load, "policy")
    flash.bad = ()
    assert Store(flash).load("policy") == b"new"


class Full(MemoryFlash):
    """A flash whose writes fail after some bytes, without a restart, while `is_full`."""

    is_full = False

    def write(self, name, data):
        """Replace the bytes of the slot, or leave half of them."""
        if self.is_full:
            self.files[name] = data[:9]
            raise OSError(28)
        MemoryFlash.write(self, name, data)


def test_two_torn_writes_in_one_run_never_hit_the_newest_slot():
    for saves in (1, 2, 3):
        flash = Full()
        store = Store(flash)
        for i in range(saves):
            store.save("a", b"%d" % i)
        flash.is_full = True
        for _ in range(3):
            error = raises(StoreFailed, store.save, "a", b"never whole")
            assert str(error).startswith("a: ")
            assert Store(MemoryFlash(dict(flash.files))).load("a") == b"%d" % (saves - 1)
        flash.is_full = False
        store.save("a", b"last")
        assert Store(MemoryFlash(flash.files)).load("a") == b"last"


def test_a_file_of_any_content_loads_or_is_no_record():
    files = {}
    Store(MemoryFlash(files)).save("a", b"data")
    raw = files["a.a"]
    for other in (
        raw + b"\x00",
        raw[:-1],
        raw + raw,
        garbage(raw, 3, b""),
        raw[1:],
        b"X" + raw[1:],
    ):
        assert Store(MemoryFlash({"a.a": raw, "a.b": other})).load("a") == b"data"
        assert Store(MemoryFlash({"a.a": other, "a.b": raw})).load("a") == b"data"


def test_records_have_a_largest_size():
    store = Store(MemoryFlash())
    store.save("a", bytes(RECORD_BYTES_MAX))
    assert len(store.load("a")) == RECORD_BYTES_MAX
    raises(UsageError, store.save, "a", bytes(RECORD_BYTES_MAX + 1))
    assert len(store.load("a")) == RECORD_BYTES_MAX


def test_a_write_that_fails_leaves_a_store_that_goes_on():
    flash = TornFlash({}, 4, 5)
    store = Store(flash)
    store.save("a", b"one")
    raises(PowerCut, store.save, "a", b"two")
    assert store.load("a") == b"one"
    store.save("a", b"three")
    assert store.load("a") == b"three" and Store(MemoryFlash(flash.files)).load("a") == b"three"


def test_files_are_a_flash():
    import os

    # several processes may run this at once
    directory = "test_store_flash_" + os.urandom(4).hex()
    flash = FileFlash(directory)
    assert FileFlash(directory).read("none.a") is None
    try:
        flash.write("x.a", b"longer content")
        flash.write("x.a", b"short")
        assert FileFlash(directory).read("x.a") == b"short"
        store = Store(flash)
        store.save("r", bytes(RECORD_BYTES_MAX))
        store.save("r", b"2")
        assert Store(FileFlash(directory)).load("r") == b"2"
        # a file that is no record is read only as far as a record may go
        flash.write("big.a", bytes(3 * RECORD_BYTES_MAX))
        assert len(flash.read("big.a")) <= RECORD_BYTES_MAX + 64
        assert store.load("big") is None
    finally:
        for name in os.listdir(directory):
            os.remove(directory + "/" + name)
        os.rmdir(directory)


def test_a_file_that_cannot_be_read_is_no_absent_file():
    import os

    directory = "test_store_flash_" + os.urandom(4).hex()
    flash = FileFlash(directory)
    try:
        # a folder in the file's place: any error but ENOENT
        os.mkdir(directory + "/x.a")
        raises(StoreDamaged, Store(flash).load, "x")
        raises(StoreDamaged, Store(flash).save, "x", b"data")
        os.rmdir(directory + "/x.a")
        assert Store(flash).load("x") is None
    finally:
        os.rmdir(directory)
