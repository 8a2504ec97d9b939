"""Power failures in writes of the link key and of the frame counter (mesh/linkkey.py)."""

from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash

from writ.authority.store import Store
from writ.limits import FRAME_RESERVE
from writ.mesh.linkkey import LinkKeys

ONE = b"1" * 16
TWO = b"2" * 16


class Policy:
    """What a stamp is made of. revoked: ids of nodes."""

    void_before = 0

    def __init__(self, revoked):
        self.revoked = revoked


OPEN = Policy([])
REVOKED = Policy([bytes(8)])


def boot(flash):
    """The keys that a node has after its start on this flash."""
    return LinkKeys(Store(flash))


def torn_flashes(files, work):
    """Flashes that lose power at each byte of each write of `work` (a function of a flash)."""
    whole = MemoryFlash(dict(files))
    work(whole)
    size = max([len(data) for data in whole.files.values()])
    assert whole.writes >= 2
    for at in range(whole.writes):
        # before each byte, and after all of them
        for byte in list(range(size + 1)) + [None]:
            yield TornFlash(dict(files), at, byte, TAILS[(at + (byte or 0)) % len(TAILS)])


def test_the_key_is_the_old_or_the_new_one_wherever_power_fails():
    flash = MemoryFlash()
    boot(flash).offer(OPEN, 1, ONE, 0)
    found = set()

    def replace(flash):
        boot(flash).offer(REVOKED, 2, TWO, 0)

    for torn in torn_flashes(flash.files, replace):
        try:
            replace(torn)
        except PowerCut:
            pass
        keys = boot(MemoryFlash(torn.files))
        found.add((keys.epoch, keys.key, keys.is_stale(REVOKED)))
        # the next one takes its place
        assert keys.offer(REVOKED, 3, ONE, 0)
        assert boot(MemoryFlash(torn.files)).key == ONE
    assert found == {(1, ONE, True), (2, TWO, False)}


def test_the_first_key_is_there_or_not_wherever_power_fails():
    def make(flash):
        boot(flash).offer(OPEN, 1, ONE, 0)

    found = set()
    for torn in torn_flashes({}, make):
        try:
            make(torn)
        except PowerCut:
            pass
        found.add(boot(MemoryFlash(torn.files)).key)
    assert found == {None, ONE}


def test_no_counter_is_used_twice_wherever_power_fails():
    flash = MemoryFlash()
    before = boot(flash).next_counter()

    def count(flash, used=None):
        keys = boot(flash)
        for _ in range(FRAME_RESERVE + 2):
            number = keys.next_counter()
            if used is not None:
                used.append(number)

    for torn in torn_flashes(flash.files, count):
        used = [before]
        try:
            count(torn, used)
        except PowerCut:
            pass
        assert boot(MemoryFlash(torn.files)).next_counter() > used[-1] >= before
