"""Power failures around link keys and frame counters: no counter twice, no key that has ended."""

from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash

from writ.authority.store import Store
from writ.limits import FRAME_RESERVE, LINK_KEY_OVERLAP_MS
from writ.mesh.frame import DATA, Frame, decode
from writ.mesh.linkkey import LinkKeys

KEYS = (b"1" * 16, b"2" * 16, b"3" * 16)


class Policy:
    """What a stamp is made of."""

    revoked = []
    void_before = 0
    issued = 1000


def hears(keys, key, now_ms):
    """Whether a frame with the MIC of `key` is authentic."""
    frame = decode(Frame(1, DATA, 1, 2, 70000, b"x").encode(9, key), 9)
    return keys.is_authentic(frame, 1, now_ms)


def life(flash, seen):
    """Start, take each key that is newer than the one in force, and end each overlap.

    seen: gets ("counter", number), ("key", epoch) and ("gone", epoch) once that is so.
    """
    keys = LinkKeys(Store(flash))
    seen.append(("key", keys.epoch))
    now_ms = 0
    for epoch in range(len(KEYS)):
        seen.append(("counter", keys.next_counter()))
        if keys.offer(Policy, epoch, KEYS[epoch], now_ms):
            seen.append(("key", epoch))
        now_ms += LINK_KEY_OVERLAP_MS
        if keys.epoch and not hears(keys, KEYS[keys.epoch - 1], now_ms):
            seen.append(("gone", keys.epoch - 1))
        # as if the reserve were used up
        keys._counter = max(keys._counter, keys._limit - 1)
        seen.append(("counter", keys.next_counter()))


def check(seen):
    """Each counter is larger than all before it, and no key comes back."""
    counters = [value for kind, value in seen if kind == "counter"]
    assert counters == sorted(counters) and len(set(counters)) == len(counters), counters
    epoch = -1
    for kind, value in seen:
        if kind == "key":
            assert value >= epoch, seen
            epoch = value


def test_power_may_fail_at_each_write_of_keys_and_counters():
    flash = MemoryFlash()
    seen = []
    life(flash, seen)
    check(seen)
    assert [value for kind, value in seen if kind == "gone"] == [0, 1]
    writes = flash.writes
    sizes = [len(data) for data in flash.files.values()]
    assert writes >= 12
    for at in range(writes):
        for tail in TAILS:
            for byte in list(range(0, max(sizes) + 1, 7)) + [None]:
                files = {}
                seen = []
                try:
                    life(TornFlash(files, at, byte, tail), seen)
                    raise AssertionError("no power cut")
                except PowerCut:
                    pass
                gone = [value for kind, value in seen if kind == "gone"]
                keys = LinkKeys(Store(MemoryFlash(files)))
                for epoch in gone:
                    assert not hears(keys, KEYS[epoch], 0), (at, byte, epoch)
                # the node goes on, with counters that were never used
                life(MemoryFlash(files), seen)
                check(seen)
                keys = LinkKeys(Store(MemoryFlash(files)))
                assert keys.key == KEYS[-1] and not hears(keys, KEYS[0], 0)
                assert keys.next_counter() <= 4 * FRAME_RESERVE * writes


def test_power_may_fail_while_a_start_erases_the_key_before():
    before = MemoryFlash()
    keys = LinkKeys(Store(before))
    keys.offer(Policy, 0, KEYS[0], 0)
    keys.offer(Policy, 1, KEYS[1], 0)
    size = max([len(data) for data in before.files.values()])
    for tail in TAILS:
        for byte in list(range(size + 1)) + [None]:
            files = dict(before.files)
            keys = LinkKeys(Store(TornFlash(files, 0, byte, tail)))
            try:
                hears(keys, KEYS[0], 0)
                raise AssertionError("no power cut")
            except PowerCut:
                pass
            # the key in force is there, and the key before it for one more start at most
            accepted = 0
            for _ in range(3):
                keys = LinkKeys(Store(MemoryFlash(files)))
                assert hears(keys, KEYS[1], 0), (tail, byte)
                accepted += hears(keys, KEYS[0], 0)
            assert accepted <= 1, (tail, byte)
