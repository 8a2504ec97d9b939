"""The link key of a scope, and the frame counter: which key counts; no number comes twice."""

from fakeflash import MemoryFlash
from harness import raises

from writ import cbor
from writ.authority.store import Store
from writ.errors import BadShape, Rejection, StoreFailed
from writ.limits import FRAME_RESERVE, LINK_KEY_OVERLAP_MS
from writ.mesh.frame import DATA, Frame, decode
from writ.mesh.linkkey import LinkKeys, stamp_of

ONE = b"1" * 16
TWO = b"2" * 16
THREE = b"3" * 16


class Policy:
    """What a stamp is made of."""

    def __init__(self, *revoked):
        self.revoked = list(revoked)
        self.void_before = 0
        self.issued = 1000
        self.routes = [[15, 1, 0, 0, 0, 0, 0]]
        self.is_maker = True

    def roles_of(self, member):
        """Roles of a member."""
        return 1 if self.is_maker else 2


OPEN = Policy()
REVOKED = Policy(bytes(8))


class Authority:
    """What a link key needs of an authority. is_maker: whether the policy lets it make keys."""

    epoch = 5
    me = None

    def __init__(self, policy, is_maker=True):
        self.policy = policy
        policy.is_maker = is_maker


def take(keys, payload, now_ms=0, check=lambda *_: None):
    """`receive` under the policy OPEN, with a check of the proof that passes."""
    return keys.receive(payload, Authority(OPEN), now_ms, check)


def give(keys, now_ms=0, policy=OPEN, is_maker=True, welcome=b""):
    """`payload` under a policy."""
    return keys.payload(Authority(policy, is_maker), now_ms, welcome)


def frame(key, counter=70000):
    """A decoded frame with the MIC of `key`."""
    return decode(Frame(1, DATA, 1, 2, counter, b"x").encode(9, key), 9)


def test_the_larger_key_of_the_later_epoch_counts():
    keys = LinkKeys(Store(MemoryFlash()))
    assert keys.is_stale(OPEN) and give(keys) is None
    assert keys.offer(OPEN, 3, TWO, 0)
    assert not keys.offer(OPEN, 3, ONE, 0) and not keys.offer(OPEN, 2, b"9" * 16, 0)
    assert not keys.offer(OPEN, 3, TWO, 0)
    assert keys.key == TWO
    assert keys.offer(OPEN, 4, ONE, 0) and keys.key == ONE


def test_no_key_of_before_a_revocation_counts_after_the_revocation_is_cleaned_up():
    # the revoked member knows it, and a node that has slept meanwhile holds it still
    keys = LinkKeys(Store(MemoryFlash()))
    keys.offer(OPEN, 3, ONE, 0, [1, bytes(64)])
    proven = give(keys)
    cleaned = Policy()
    cleaned.issued += 1
    assert keys.is_stale(cleaned) and give(keys, 0, cleaned) is None
    joined = LinkKeys(Store(MemoryFlash()))
    assert not joined.receive(proven, Authority(cleaned), 0, lambda *_: None)
    assert joined.key is None
    # a new one takes its place
    assert keys.offer(cleaned, 5, TWO, 0) and not keys.is_stale(cleaned)


def test_a_key_is_stale_when_others_are_excluded():
    keys = LinkKeys(Store(MemoryFlash()))
    keys.offer(OPEN, 3, ONE, 0)
    assert not keys.is_stale(OPEN) and keys.is_stale(REVOKED) and not keys.is_stale(None)
    # a stale key is not handed out: the member would keep it as the newest one
    assert give(keys) and give(keys, 0, REVOKED) is None
    keys.offer(REVOKED, 4, TWO, 0)
    assert not keys.is_stale(REVOKED)


def test_a_member_takes_the_key_of_another():
    one, two = LinkKeys(Store(MemoryFlash())), LinkKeys(Store(MemoryFlash()))
    one.offer(OPEN, 5, ONE, 0)
    assert take(two, give(one, 0))
    assert (two.epoch, two.key) == (5, ONE) and not two.is_stale(OPEN)
    assert not take(two, give(one, 0))
    # a key of an epoch that is not in force here yet
    one.offer(OPEN, 6, TWO, 0)
    assert not take(two, give(one, 0)) and two.key == ONE


def test_a_key_that_is_stale_here_is_refused():
    # it would count more than the true one, which has an earlier epoch, and no other node uses it
    true, false, keys = [LinkKeys(Store(MemoryFlash())) for _ in range(3)]
    true.offer(OPEN, 3, ONE, 0)
    false.offer(REVOKED, 5, b"\xff" * 16, 0)
    assert not take(keys, give(false, 0, REVOKED)) and keys.key is None
    assert take(keys, give(true, 0)) and keys.key == ONE


def test_what_is_no_answer_is_refused():
    keys = LinkKeys(Store(MemoryFlash()))
    stamp = stamp_of(OPEN)
    for fields in ([], [1, ONE, stamp], [1, ONE, stamp, 0, 0], [-1, ONE, stamp, 0]):
        raises(BadShape, take, keys, cbor.encode(fields))
    for fields in ([1, ONE[1:], stamp, 0], [1, ONE, stamp, 601], [1, ONE, stamp, -1]):
        raises(BadShape, take, keys, cbor.encode(fields))
    for fields in (
        1,
        None,
        {1: ONE},
        [b"", ONE, stamp, 0],
        [1, "k" * 16, stamp, 0],
        [1, ONE, 4, 0],
    ):
        raises(BadShape, take, keys, cbor.encode(fields))
    raises(Rejection, take, keys, b"\xff")
    assert keys.key is None


def test_the_key_before_is_accepted_for_the_overlap():
    flash = MemoryFlash()
    keys = LinkKeys(Store(flash))
    assert not keys.is_authentic(frame(ONE), 1, 0)
    keys.offer(OPEN, 1, ONE, 0)
    assert keys.is_authentic(frame(ONE), 1, 0) and not keys.is_authentic(frame(TWO), 1, 0)
    keys.offer(OPEN, 2, TWO, 1000)
    end_ms = 1000 + LINK_KEY_OVERLAP_MS
    for now_ms in (1000, end_ms - 1):
        assert keys.is_authentic(frame(ONE), 1, now_ms) and keys.is_authentic(frame(TWO), 1, now_ms)
    restarted = LinkKeys(Store(flash))
    assert not keys.is_authentic(frame(ONE), 1, end_ms) and keys.is_authentic(frame(TWO), 1, end_ms)
    # after a restart half of it: it is unknown how long the power was off
    keys = restarted
    assert keys.sending(50) == TWO and keys.is_authentic(frame(ONE), 1, 50)
    assert not keys.is_authentic(frame(ONE), 1, 50 + LINK_KEY_OVERLAP_MS // 2)
    assert keys.is_authentic(frame(TWO), 1, 50 + LINK_KEY_OVERLAP_MS // 2)


def understand(one, other, now_ms):
    """Whether each accepts what the other sends now."""
    return one.is_authentic(frame(other.sending(now_ms)), 1, now_ms) and other.is_authentic(
        frame(one.sending(now_ms)), 1, now_ms
    )


def test_two_changes_within_an_overlap_part_no_neighbours():
    # a policy and a revocation 11 seconds after it
    maker, member = LinkKeys(Store(MemoryFlash())), LinkKeys(Store(MemoryFlash()))
    maker.offer(OPEN, 1, ONE, 0)
    take(member, give(maker))
    begin_ms = LINK_KEY_OVERLAP_MS
    maker.offer(OPEN, 2, TWO, begin_ms)
    assert understand(maker, member, begin_ms)
    take(member, give(maker, begin_ms + 5000), begin_ms + 5000)
    assert understand(maker, member, begin_ms + 5000)
    maker.offer(OPEN, 3, THREE, begin_ms + 11000)
    assert understand(maker, member, begin_ms + 11000)
    take(member, give(maker, begin_ms + 60000), begin_ms + 60000)
    for now_ms in range(begin_ms + 60000, begin_ms + LINK_KEY_OVERLAP_MS + 60000, 10000):
        assert understand(maker, member, now_ms)
    # and the first key ends as if there had been one change
    for keys in (maker, member):
        assert keys.sending(now_ms) == THREE
        assert not keys.is_authentic(frame(ONE), 1, begin_ms + LINK_KEY_OVERLAP_MS)


def test_a_change_in_the_second_half_of_an_overlap_keeps_the_key_in_use():
    keys = LinkKeys(Store(MemoryFlash()))
    keys.offer(OPEN, 1, ONE, 0)
    keys.offer(OPEN, 2, TWO, 1000)
    now_ms = 1000 + LINK_KEY_OVERLAP_MS // 2
    keys.offer(OPEN, 3, THREE, now_ms)
    assert keys.sending(now_ms) == TWO and not keys.is_authentic(frame(ONE), 1, now_ms)
    assert keys.is_authentic(frame(TWO), 1, now_ms + LINK_KEY_OVERLAP_MS - 1)
    assert not keys.is_authentic(frame(TWO), 1, now_ms + LINK_KEY_OVERLAP_MS)


def test_the_key_before_does_not_outlive_a_restart():
    # a revoked member that has it waits, and speaks when the power was off
    flash = MemoryFlash()
    keys = LinkKeys(Store(flash))
    keys.offer(OPEN, 1, ONE, 0)
    keys.offer(OPEN, 2, TWO, 0)
    keys = LinkKeys(Store(flash))
    # what this node sends or hears begins the time, whether that key was used or not
    assert keys.sending(0) == TWO
    assert not keys.is_authentic(frame(ONE), 1, LINK_KEY_OVERLAP_MS // 2)
    keys = LinkKeys(Store(flash))
    assert not keys.is_authentic(frame(ONE), 1, 0) and keys.is_authentic(frame(TWO), 1, 0)


def test_a_start_after_the_overlap_has_no_key_before():
    flash = MemoryFlash()
    keys = LinkKeys(Store(flash))
    keys.offer(OPEN, 1, ONE, 0)
    keys.offer(OPEN, 2, TWO, 0)
    assert not keys.is_authentic(frame(ONE), 1, LINK_KEY_OVERLAP_MS)
    keys = LinkKeys(Store(flash))
    assert not keys.is_authentic(frame(ONE), 1, 0) and keys.is_authentic(frame(TWO), 1, 0)


def test_starts_that_follow_each_other_soon_do_not_prolong_the_overlap():
    # a watchdog, a brown-out, a switch that the thief of another node holds
    flash = MemoryFlash()
    keys = LinkKeys(Store(flash))
    keys.offer(OPEN, 1, ONE, 0)
    keys.offer(REVOKED, 2, TWO, 0)
    half_ms = LINK_KEY_OVERLAP_MS // 2
    for accepted in (True, False, False):
        keys = LinkKeys(Store(flash))
        for now_ms in (0, half_ms - 1):
            assert keys.is_authentic(frame(ONE), 1, now_ms) == accepted
            assert keys.is_authentic(frame(TWO), 1, now_ms)


def test_a_proof_does_not_bring_back_the_key_before():
    flash = MemoryFlash()
    keys = LinkKeys(Store(flash))
    keys.offer(OPEN, 1, ONE, 0)
    keys.offer(REVOKED, 2, TWO, 0)
    keys = LinkKeys(Store(flash))
    proof = [7, bytes(64)]
    assert keys.is_authentic(frame(ONE), 1, 0)
    keys.prove(proof)
    assert keys.is_authentic(frame(ONE), 1, 1)
    keys = LinkKeys(Store(flash))
    assert not keys.is_authentic(frame(ONE), 1, 0) and keys.is_authentic(frame(TWO), 1, 0)
    assert keys.proof == proof


def test_all_members_change_the_key_at_one_time():
    half_ms = LINK_KEY_OVERLAP_MS // 2
    one, two = LinkKeys(Store(MemoryFlash())), LinkKeys(Store(MemoryFlash()))
    for keys in (one, two):
        assert keys.sending(0) is None
        keys.offer(OPEN, 1, ONE, 0)
        # the first key has none before it
        assert keys.sending(0) == ONE
    one.offer(OPEN, 2, TWO, 1000)
    # the other one gets it four minutes later, and has another clock
    assert take(two, give(one, 241000), 7241000)
    for keys, start_ms in ((one, 1000), (two, 7001000)):
        assert keys.sending(start_ms + half_ms - 1) == ONE
        assert keys.sending(start_ms + half_ms) == TWO
        assert keys.is_authentic(frame(ONE), 1, start_ms + 2 * half_ms - 1)
        assert not keys.is_authentic(frame(ONE), 1, start_ms + 2 * half_ms)
    # one that comes late uses it at once
    late = LinkKeys(Store(MemoryFlash()))
    late.offer(OPEN, 1, ONE, 0)
    assert take(late, give(one, 10**9), 0)
    assert late.sending(0) == TWO and not late.is_authentic(frame(ONE), 1, 0)


def test_no_counter_is_used_twice():
    # the last write of each boot is lost after it seemed done: its slot is as it was before
    used = []
    flash = MemoryFlash()
    for count in (1, 1, FRAME_RESERVE, FRAME_RESERVE + 1, 1, 1, 3 * FRAME_RESERVE, 1):
        last = []
        write = flash.write

        def note(name, data, last=last):
            last[:] = [name, flash.files.get(name)]
            MemoryFlash.write(flash, name, data)

        flash.write = note
        keys = LinkKeys(Store(flash))
        used += [keys.next_counter() for _ in range(count)]
        flash.write = write
        if last and last[1] is not None:
            flash.files[last[0]] = last[1]
    assert used == sorted(used) and len(set(used)) == len(used)


def test_a_counter_that_cannot_be_reserved_is_not_used():
    flash = MemoryFlash()
    keys = LinkKeys(Store(flash))
    write = flash.write

    def fail(name, data):
        raise OSError(5)

    flash.write = fail
    for _ in range(2):
        raises(StoreFailed, keys.next_counter)
    flash.write = write
    assert keys.next_counter() == 1
