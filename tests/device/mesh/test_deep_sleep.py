"""Deep sleep: the record is used once, and no number comes twice wherever the power fails."""

import sys

import signer
import vectors_node
from fakeflash import TAILS, FailingFlash, MemoryFlash, PowerCut, TornFlash
from harness import raises
from mesh_rig import Link

from writ import crypto, sleeprecord, startup
from writ.authority import capsule
from writ.authority.store import Store
from writ.compat import MICROPYTHON, tidy
from writ.errors import Replayed, SequenceExhausted
from writ.framelinks import FrameLinks
from writ.limits import FRAME_RESERVE, LINK_KEY_OVERLAP_MS, SEQUENCE_RESERVE
from writ.mesh import kept
from writ.node.node import Node

SCOPE = capsule.scope_id(capsule.parse(vectors_node.CHARTER).payload)
MINUTE_MS = 60000


def start(flash, now_ms=0, links=1):
    """The node that starts on this flash, and goes on where it was if there is a record."""
    tidy()
    node = Node(Store(flash), crypto.sha256(b"s"), "s", SCOPE)
    startup.mend(node)
    node.kept = startup.resume(node)
    node.frames = FrameLinks(node, [Link() for _ in range(links)], False, None, 900)
    if node.kept:
        kept.load(node.frames, node.kept[0], now_ms, node.kept[1])
    return node


def member(number):
    """The Member with this short address."""
    payload = signer.member_payload(bytes((number,)) * 32, name="n%d" % number, address=number)
    return capsule.Member(capsule.parse(capsule.assemble(payload, bytes(64))))


def first(flash):
    """A node with two sessions, a link key and a parent that sleeps for the first time."""
    node = start(flash)
    for raw in (vectors_node.CHARTER, vectors_node.SENSOR, vectors_node.POLICY):
        tidy()
        node.authority.receive(raw, 0)
    for number in (1, 2):
        session = node.sessions.open(member(number), secrets(number), "mesh:%04x" % number)
        session.context.accept(7)
    policy = node.authority.policy
    node.frames.keys.offer(policy, 1, b"k" * 16, 0)
    mesh = node.frames.mesh
    mesh.tick(0)
    parent = mesh.neighbours.add(0, 2)
    parent.restart(70000, 0)
    parent.accept(70003)
    parent.is_mutual = True
    parent.rank, parent.cost, parent.gateway = 1, 30, 1
    parent.last_data = 70003
    mesh.routing.rank, mesh.routing.gateway, mesh.routing.parents = 2, 1, [parent]
    return node


def secrets(number):
    """Session keys as EDHOC would give them."""
    return [bytes((number,)) * 16, b"salt", b"\xff", bytes((number,)), None]


def down(node, now_ms=0, seconds=900, clock_s=1000):
    """Write the record, as before a deep sleep."""
    sleeprecord.write(node, now_ms, 1000 * seconds, clock_s)


class Used:
    """The numbers that one node has used, by key; each of them once."""

    def __init__(self, before=None):
        self.numbers = set(before.numbers) if before else set()

    def use(self, node, count=3):
        """Use so many counters, and numbers of each session."""
        for _ in range(count):
            self._note("frame", node.frames.keys.next_counter())
            for session in list(node.sessions):
                number = int.from_bytes(session.context.next_piv(), "big")
                self._note(session.record, number)

    def _note(self, key, number):
        assert (key, number) not in self.numbers, "a number twice"
        self.numbers.add((key, number))


def sleeping():
    """(files of a node in a deep sleep, what it has used)."""
    flash = MemoryFlash()
    used = Used()
    node = first(flash)
    used.use(node)
    down(node)
    return flash.files, used


def test_a_node_goes_on_where_it_was():
    files, _ = sleeping()
    node = start(MemoryFlash(files), 5000)
    assert node.kept and len(node.sessions) == 2
    keys, mesh = node.frames.keys, node.frames.mesh
    # the next numbers, of those that are reserved
    assert keys.next_counter() == 4
    sessions = list(node.sessions)
    assert [session.context.sequence for session in sessions] == [3, 3]
    assert [session.address for session in sessions] == ["mesh:0001", "mesh:0002"]
    assert node.addresses[sessions[0].peer.node_id] == "mesh:0001"
    for session in sessions:
        assert session.context.window_valid and session.shown is node.authority.me
        raises(Replayed, session.context.check_replay, 7)
    routing = mesh.routing
    assert (routing.rank, routing.gateway) == (2, 1)
    (parent,) = routing.parents
    assert (parent.address, parent.is_mutual, parent.last_data) == (2, True, 70003)
    raises(Replayed, parent.check, 70003)
    parent.check(70004)
    assert list(mesh.neighbours) == [parent]


def test_a_record_counts_once():
    files, used = sleeping()
    node = start(MemoryFlash(files))
    assert node.kept
    used.use(node)
    # without a record: all that was reserved is skipped
    node = start(MemoryFlash(files))
    assert not node.kept
    used.use(node)
    assert node.frames.keys.next_counter() > FRAME_RESERVE
    for session in node.sessions:
        assert not session.context.window_valid and session.context.sequence > SEQUENCE_RESERVE


def test_an_older_record_is_refused():
    files, used = sleeping()
    stale = {name: files[name] for name in files if name[:6] == "sleep."}
    assert sorted(stale) == ["sleep.a", "sleep.b"]
    for _ in range(3):
        node = start(MemoryFlash(files))
        used.use(node)
        # copied back while the node is awake, or while it sleeps
        assert not start(MemoryFlash(dict(files, **stale))).kept
        down(node)
        assert not start(MemoryFlash(dict(files, **stale))).kept
    assert start(MemoryFlash(files)).kept


def test_a_record_is_refused_after_any_other_record_has_changed():
    for name in ("wake", "link", "frames", "s0", "s1"):
        files, used = sleeping()
        store = Store(MemoryFlash(files))
        store.save(name, store.load(name) + b"\0")
        node = Node(Store(MemoryFlash(files)), crypto.sha256(b"s"), "s", SCOPE)
        assert startup.resume(node) is None, name
    for name in ("wake.a", "wake.b", "frames.a", "s0.a", "sleep.a", "sleep.b"):
        files, used = sleeping()
        files[name] = b"rotten"
        node = start(MemoryFlash(files))
        used.use(node)
        down(node)
        assert start(MemoryFlash(files)).kept, name


def test_a_damaged_mark_costs_an_ordinary_start():
    for bad in (("wake.a", "wake.b"), ("sleep.a", "sleep.b")):
        files, used = sleeping()
        for name in bad:
            files[name] = b"rotten"
        node = start(MemoryFlash(files))
        assert not node.kept
        used.use(node)
        down(node)
        node = start(MemoryFlash(files))
        assert node.kept
        used.use(node)
    files, used = sleeping()
    flash = FailingFlash(files)
    flash.bad = ("wake.a", "sleep.b")
    assert not start(flash).kept


def wake_and_sleep(flash, used):
    """One wake of a node on a flash that may lose its power."""
    node = start(flash)
    used.use(node)
    down(node)


def test_no_number_comes_twice_wherever_the_power_fails():
    files, before = sleeping()
    flash = MemoryFlash(dict(files))
    wake_and_sleep(flash, Used(before))
    # the mark in both slots, and the record
    assert flash.writes == 3
    sizes = [len(flash.files[name]) for name in ("wake.a", "wake.b", "sleep.a")]
    outcomes = set()
    for at in range(flash.writes):
        # a start takes MicroPython ten times as long
        for byte in list(range(0, sizes[at] + 1, 11 if MICROPYTHON else 1)) + [None]:
            torn = TornFlash(dict(files), at, byte, TAILS[(byte or 0) % 4])
            used = Used(before)
            raises(PowerCut, wake_and_sleep, torn, used)
            node = start(MemoryFlash(torn.files))
            outcomes.add((at, node.kept is not None))
            used.use(node)
            if not (byte or 0) % 16:
                # and the next one, from flash alone
                used.use(start(MemoryFlash(torn.files)))
    # until the mark is on flash the record counts, and the new one as soon as it is whole
    assert outcomes == {(0, True), (0, False), (1, False), (2, True), (2, False)}


def test_the_power_may_fail_between_the_mark_and_the_first_use():
    files, used = sleeping()
    for _ in range(3):
        # nothing was used, and nothing is taken twice
        start(MemoryFlash(files))
    used.use(start(MemoryFlash(files)))


def test_a_mark_that_was_half_written_brings_no_record_back():
    for other in ("wake.a", "wake.b"):
        files, before = sleeping()
        torn = TornFlash(files, 0, None)
        raises(PowerCut, start, torn)
        # no number was used, but the next start uses those above the limit
        used = Used(before)
        node = start(MemoryFlash(files))
        assert not node.kept
        used.use(node, 1)
        # one slot decays, and the other one may have the mark before
        files[other] = b"rotten"
        assert not start(MemoryFlash(files)).kept


def test_a_flash_that_takes_no_write_costs_ordinary_starts():
    files, _ = sleeping()
    flash = MemoryFlash(files)
    plain, flash.write = flash.write, fail
    node = start(flash)
    assert not node.kept and node.counters["StoreFailed"] == 1
    flash.write = plain
    # the mark is the same: nothing was used meanwhile
    assert start(flash).kept
    node = start(flash)
    flash.write = fail
    down(node)
    assert node.counters["StoreFailed"] == 1
    raises(SequenceExhausted, node.frames.keys.next_counter)


def fail(name, data):
    """A write of a flash that is full."""
    raise OSError(28)


def test_a_program_that_goes_on_uses_no_number():
    flash = MemoryFlash()
    node = first(flash)
    used = Used()
    used.use(node)
    down(node)
    raises(SequenceExhausted, node.frames.keys.next_counter)
    for session in node.sessions:
        raises(SequenceExhausted, session.context.next_piv)
        # an answer has the nonce of its request
        raises(Replayed, session.context.check_replay, (1 << 40) - 1)
    used.use(start(flash))


def test_a_sleep_before_the_node_is_a_member_keeps_its_numbers():
    flash = MemoryFlash()
    node = start(flash)
    node.authority.receive(vectors_node.CHARTER, 0)
    counter = node.frames.keys.next_counter()
    down(node)
    node = start(flash)
    assert node.kept and node.frames.keys.next_counter() == counter + 1


def test_times_go_on_by_the_duration_of_the_sleep():
    flash = MemoryFlash()
    node = first(flash)
    keys = node.frames.keys
    keys.offer(node.authority.policy, 1, b"l" * 16, MINUTE_MS)
    node.frames._reports = [70 * MINUTE_MS, 50 * MINUTE_MS, 60000, 5, 1]
    before_s = node.authority.now_s(2 * MINUTE_MS)
    sleeprecord.write(node, 2 * MINUTE_MS, 900000, int(startup.time.time()) - 301)
    # the clock of a start begins with 0
    node = start(flash, 7)
    slept_ms = node.kept[1]
    assert 300000 <= slept_ms < 310000
    assert node.authority.now_s(0) == before_s + slept_ms // 1000
    reports = node.frames._reports
    assert reports[0] == 68 * MINUTE_MS - slept_ms + 7 and reports[2:] == [60000, 5, 1]
    # one minute before the sleep, and five in it: the second half of the overlap
    keys = node.frames.keys
    assert keys._since_ms == 7 - slept_ms - MINUTE_MS
    assert keys.sending(7) == b"l" * 16 and keys._old_key == b"k" * 16
    keys.sending(LINK_KEY_OVERLAP_MS - slept_ms - MINUTE_MS + 7)
    assert keys._old_key is None


def test_the_duration_of_a_sleep_is_a_lower_bound():
    passed = sleeprecord.passed_ms
    # both seconds may have begun
    assert passed(900000, 1000, 1900) == 899000
    # a pin has woken it
    assert passed(900000, 1000, 1060) == 59000 and passed(900000, 1000, 1000) == 0
    # a clock that was set meanwhile, and one that began anew
    assert passed(900000, 1000, 800000000) == 900000 and passed(900000, 1000, 5) == 900000


def test_other_links_are_no_links_of_the_record():
    files, used = sleeping()
    node = start(MemoryFlash(files), 0, 2)
    assert node.kept and not list(node.frames.mesh.neighbours)
    used.use(node)


class Rtc:
    """What MicroPython documents of machine.RTC on ESP32: memory of 2048 bytes."""

    data = b""

    def memory(self, data=None):
        """Read or replace it."""
        if data is None:
            return Rtc.data
        if len(data) > 2048:
            raise ValueError("buffer too long")
        Rtc.data = bytes(data)
        return None


class Machine:
    """In the place of the module `machine`."""

    RTC = Rtc


def test_a_chip_keeps_the_record_in_its_rtc():
    before, sleeprecord._rtc = sleeprecord._rtc, Rtc
    # on MicroPython each start loads the module anew, and that has the double
    machine = sys.modules.get("machine")
    sys.modules["machine"] = Machine
    try:
        flash = MemoryFlash()
        used = Used()
        node = first(flash)
        used.use(node)
        down(node)
        # the mark once, and no record on flash
        assert Rtc.data and "wake.a" in flash.files and "sleep.a" not in flash.files
        writes = flash.writes
        for _ in range(5):
            node = start(flash)
            assert node.kept and not Rtc.data
            used.use(node)
            down(node)
        assert flash.writes == writes
        # it is torn, or lost with the power
        whole = Rtc.data
        for end in (0, 7, 8, len(whole) // 2, len(whole) - 1):
            Rtc.data = whole[:end]
            assert not start(MemoryFlash(dict(flash.files))).kept
            assert not Rtc.data
        used.use(start(flash))
        # of another life of this flash
        Rtc.data = whole
        assert not start(MemoryFlash()).kept
        # too little room
        Rtc.memory, plain = refuse, Rtc.memory
        node = start(flash)
        used.use(node)
        down(node)
        Rtc.memory = plain
        Rtc.data = b""
        node = start(flash)
        assert node.kept
        used.use(node)
    finally:
        sleeprecord._rtc = before
        Rtc.data = b""
        del sys.modules["machine"]
        if machine:
            sys.modules["machine"] = machine


def refuse(rtc, data=None):
    """The memory of a chip that has too little of it."""
    if data is None:
        return b""
    if data:
        raise ValueError("buffer too long")
    return None


def test_a_restart_gives_new_ephemeral_keys_though_the_random_generator_repeats_itself():
    plain = crypto.random_bytes
    crypto.random_bytes = lambda count: bytes(count)
    made = set()
    flash = MemoryFlash()
    try:
        node = first(flash)
        for _ in range(4):
            Used().use(node, 1)
            down(node)
            crypto._pool = b""
            node = start(flash)
            assert node.kept
            made.add(crypto.p256_generate(b"static key"))
    finally:
        crypto.random_bytes = plain
    assert len(made) == 4
