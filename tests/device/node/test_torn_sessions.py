"""Sessions on a flash that loses power: no partial IV is ever used twice under one key."""

import signer
from authority_rig import OWN_X, Remembered, members_raw
from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash
from harness import raises

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import UnknownContext
from writ.limits import SEQUENCE_RESERVE, SESSIONS_MAX
from writ.node.session import Sessions


def boot(flash):
    """The Authority that starts on this flash."""
    return Authority(Store(flash), OWN_X, signer.scope())


def member(i):
    """The Member number `i`; a session is opened with a verified member only."""
    payload = signer.member_payload(bytes((i,)) * 32, name="n%d" % i, address=i)
    return capsule.Member(capsule.parse(capsule.assemble(payload, bytes(64))))


def keys(i):
    """Session keys as EDHOC would give them, different for each `i`."""
    return [bytes((i,)) * 16, b"salt", b"\xff", bytes((i,)), None]


class Used:
    """The highest partial IV that left the node under each key: each next one must be above it."""

    def __init__(self):
        self.last = {}
        self.count = 0

    def send(self, session, count):
        """Use so many numbers of a session."""
        key = bytes(session.keys[0]) + bytes(session.keys[2])
        for _ in range(count):
            try:
                number = int.from_bytes(session.context.next_piv(), "big")
            except UnknownContext:
                # closed: it gives the reserved numbers and no more
                return
            assert number > self.last.get(key, -1), "a partial IV twice"
            self.last[key] = number
            self.count += 1


def live(sessions, used, first=1):
    """The work of a busy node: more sessions than slots, and old ones still in use."""
    opened = []
    for i in range(first, first + SESSIONS_MAX + 2):
        opened.append(sessions.open(member(i), keys(i), "address"))
        used.send(opened[-1], 2)
    used.send(opened[-1], 2 * SEQUENCE_RESERVE)
    # a dropped session, and one whose slot has a new owner: both are still in use
    used.send(opened[0], SEQUENCE_RESERVE)
    used.send(opened[-2], SEQUENCE_RESERVE)
    used.send(opened[1], 1)
    used.send(opened[-1], SEQUENCE_RESERVE)
    sessions.drop(opened[-1])
    used.send(opened[-1], SEQUENCE_RESERVE)


def restart(files):
    """Sessions as they are after a start on these files."""
    flash = MemoryFlash(files)
    return Sessions(Store(flash), boot(flash)), flash


def test_no_partial_iv_is_used_twice_whatever_write_loses_power():
    sessions, flash = restart({})
    live(sessions, Used())
    writes = flash.writes
    assert writes >= SESSIONS_MAX + 6
    number = 0
    for at in range(writes):
        for byte in (0, 1, 6, 20, 60, 120, 240, None):
            number += 1
            torn = TornFlash({}, at, byte, TAILS[number % 4])
            used = Used()
            raises(PowerCut, live, Sessions(Store(torn), boot(torn)), used)
            sessions, _ = restart(torn.files)
            for session in sessions:
                used.send(session, 3)
            # the second start finds what the first one reserved
            sessions, _ = restart(torn.files)
            for session in list(sessions):
                used.send(session, 3)


def test_no_partial_iv_is_used_twice_over_many_restarts():
    files = {}
    used = Used()
    sessions, _ = restart(files)
    sessions.open(member(1), keys(1), "address")
    for i in range(60):
        torn = TornFlash(files, i % 3, i % 50 if i % 5 else None, TAILS[i % 4])
        try:
            sessions = Sessions(Store(torn), boot(torn))
            assert len(sessions) == 1
            for session in sessions:
                used.send(session, (i * 37) % 200)
        except PowerCut:
            pass
    assert used.count > 1000


def test_no_partial_iv_is_used_twice_where_the_last_write_of_each_boot_is_lost():
    # after it seemed done: its slot is as it was before
    files = {}
    used = Used()
    for count in (1, 1, SEQUENCE_RESERVE, SEQUENCE_RESERVE + 1, 1, 3 * SEQUENCE_RESERVE, 1, 1):
        sessions, flash = restart(files)
        if not len(sessions):
            sessions.open(member(1), keys(1), "address")
        last = []
        write = flash.write

        def note(name, data, last=last, write=write, flash=flash):
            last[:] = [name, flash.files.get(name)]
            write(name, data)

        flash.write = note
        for session in sessions:
            used.send(session, count)
        if last:
            files[last[0]] = last[1]
    assert used.count > 5 * SEQUENCE_RESERVE


def test_preshared_keys_never_count_from_0_again():
    # preshared at each start, as the agent does; the keys never change
    with Remembered():
        raw = members_raw(b"q" * 32, name="stock")
        files = {}
        boot(MemoryFlash(files)).receive(signer.charter(), 0)
        used = Used()
        for i in range(80):
            torn = TornFlash(files, i % 5, i % 50 if i % 5 else None, TAILS[i % 4])
            try:
                session = Sessions(Store(torn), boot(torn)).preshare(raw, keys(1))
                used.send(session, (i * 37) % 200)
            except PowerCut:
                pass
        assert used.count > 1000


def test_one_flash_write_serves_many_messages():
    sessions, flash = restart({})
    session = sessions.open(member(1), keys(1), "address")
    used = Used()
    used.send(session, SEQUENCE_RESERVE)
    assert flash.writes == 2
    used.send(session, 1)
    assert flash.writes == 3


def test_a_session_that_survives_must_prove_freshness_first():
    files = {}
    sessions, _ = restart(files)
    session = sessions.open(member(1), keys(1), "address", is_writ=False)
    assert session.context.window_valid and session.echo is None
    sessions, _ = restart(files)
    assert len(sessions) == 1
    for session in sessions:
        assert not session.context.window_valid and len(session.echo) == 8
        assert session.peer.name == "n1" and session.address is None and not session.is_writ
        assert session.context.sequence >= SEQUENCE_RESERVE
    assert sessions.by_kid(b"\x01") and sessions.by_kid(b"\x02") is None


def test_a_damaged_session_costs_a_handshake_and_nothing_else():
    files = {}
    sessions, _ = restart(files)
    for i in range(1, 4):
        sessions.open(member(i), keys(i), "address")
    files["s1.a"] = b"W" * 40
    files["s1.b"] = b"W" * 40
    sessions, _ = restart(files)
    assert sorted([session.peer.name for session in sessions]) == ["n1", "n3"]
    files["s0.a"] = files["s0.b"] = b""
    sessions, _ = restart(files)
    assert [session.peer.name for session in sessions] == ["n3"]


def test_no_partial_iv_is_used_twice_after_a_lost_write():
    # a card that loses its last write, or a slot that decays
    with Remembered():
        raw = members_raw(b"q" * 32, name="stock")
        for count in (1, SEQUENCE_RESERVE, SEQUENCE_RESERVE + 1, 3 * SEQUENCE_RESERVE):
            for slot in ("a", "b"):
                for kind in ("s", "p"):
                    used = Used()
                    flash = MemoryFlash({})
                    boot(flash).receive(signer.charter(), 0)
                    sessions = Sessions(Store(flash), boot(flash))
                    if kind == "s":
                        sessions.open(member(1), keys(1), "address")
                    for _ in range(2):
                        if kind == "p":
                            sessions.preshare(raw, keys(9))
                        for session in list(sessions):
                            used.send(session, count)
                        for name in list(flash.files):
                            if name[0] == kind and name.endswith("." + slot):
                                flash.files[name] = b"rotten"
                        sessions, flash = restart(flash.files)


def test_a_restart_gives_new_ephemeral_keys_though_the_random_generator_repeats_itself():
    plain = crypto.random_bytes
    crypto.random_bytes = lambda count: bytes(count)
    keys_1 = keys(1)
    made = set()
    files = {}
    try:
        for _ in range(3):
            crypto._pool = b""
            sessions, flash = restart(files)
            made.add(crypto.p256_generate(b"static key"))
            # a session that the node made, or only used
            session = list(sessions)[0] if len(sessions) else sessions.open(member(1), keys_1, "a")
            Used().send(session, SEQUENCE_RESERVE + 1)
            files = flash.files
    finally:
        crypto.random_bytes = plain
    assert len(made) == 3


def test_the_newest_capsule_of_a_peer_counts_after_a_restart():
    def capsule_of(exp):
        payload = signer.member_payload(bytes(32), name="n", address=1, exp=exp)
        return capsule.Member(capsule.parse(capsule.assemble(payload, bytes(64))))

    old, new = capsule_of(signer.EXPIRES), capsule_of(signer.EXPIRES + 1)
    for first, second in ((old, new), (new, old)):
        flash = MemoryFlash()
        boot(flash).receive(signer.charter(), 0)
        sessions = Sessions(Store(flash), boot(flash))
        sessions.open(first, keys(1), "a")
        sessions.open(second, keys(2), "a")
        authority = boot(flash)
        restored = list(Sessions(Store(flash), authority))
        assert len(restored) == 2
        # whichever record came first
        assert authority.peer(new.node_id).raw == new.raw
        assert restored[1].peer.raw == new.raw
