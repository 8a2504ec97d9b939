"""The spool: order, bounds, and nothing lost that was acknowledged, whenever the process dies."""

import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from field_rig import PATHS

from writ_host.bridge.spool import Message, Spool, SpoolDamaged, SpoolFailed

WRITER = Path(__file__).parents[1] / "rigs/spool_writer.py"


def opened(path: Path, bytes_max: int = 1 << 20, age_max_s: int = 3600) -> Spool:
    """The spool of a test."""
    return Spool(path / "spool.db", bytes_max, age_max_s)


def payloads(spool: Spool) -> list[bytes]:
    """All payloads that wait, in their order."""
    return [one.payload for one in spool.after(0, 1000)]


def test_messages_wait_in_their_order_and_survive(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.add("a", b"1", True, 1000)
    spool.add("b", b"2", False, 1000)
    assert payloads(spool) == []
    spool.commit(1000)
    assert stat.S_IMODE(os.stat(spool.path).st_mode) == 0o600
    spool.close()
    spool = opened(tmp_path)
    assert spool.after(0, 1) == [Message(1, "a", b"1", True)]
    assert spool.after(1, 9) == [Message(2, "b", b"2", False)]
    assert (spool.count, spool.bytes) == (2, 2 * (1 + 1 + 64))
    spool.remove(1)
    spool.add("a", b"3", True, 1000)
    spool.commit(1000)
    # an id is never used again: an acknowledgement that comes late removes no other message
    assert [one.id for one in spool.after(0, 9)] == [2, 3]
    spool.close()


def test_a_full_spool_drops_its_oldest_readings(tmp_path: Path) -> None:
    spool = opened(tmp_path, bytes_max=10 * 67)
    for n in range(25):
        spool.add("t", b"%02d" % n, False, 1000)
        spool.commit(1000)
    assert payloads(spool) == [b"%02d" % n for n in range(15, 25)]
    assert (spool.dropped, spool.count) == (15, 10)
    spool.close()


def test_what_waits_is_counted(tmp_path: Path) -> None:
    chance, spool = random.Random(1), opened(tmp_path, bytes_max=3000, age_max_s=50)
    for n in range(300):
        for _ in range(chance.randrange(4)):
            spool.add("t" * chance.randrange(1, 9), bytes(chance.randrange(99)), False, 1000 * n)
        for one in spool.after(0, chance.randrange(3)):
            spool.remove(one.id)
            # an acknowledgement may come twice
            spool.remove(one.id)
        spool.commit(1000 * n)
        rows = spool.after(0, 1000)
        assert spool.count == len(rows)
        assert spool.bytes == sum(len(one.topic) + len(one.payload) + 64 for one in rows) <= 3000
    spool.close()
    again = opened(tmp_path)
    assert (again.count, again.bytes) == (spool.count, spool.bytes)
    again.close()


def test_readings_expire(tmp_path: Path) -> None:
    spool = opened(tmp_path, age_max_s=60)
    spool.add("t", b"old", False, 1_000)
    spool.add("t", b"new", False, 50_000)
    spool.commit(61_000)
    assert payloads(spool) == [b"old", b"new"]
    spool.add("t", b"newer", False, 61_001)
    spool.commit(61_001)
    assert payloads(spool) == [b"new", b"newer"]
    assert spool.dropped == 1
    spool.close()


def test_announcements_are_remembered(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.announce("x", b"1")
    spool.announce("y", b"2")
    spool.announce("x", b"3")
    spool.commit(0)
    spool.announce("y", b"")
    spool.commit(0)
    spool.close()
    spool = opened(tmp_path)
    assert spool.announced() == {"x": b"3"}
    spool.close()


def test_capsules_are_kept_whatever_the_readings_take(tmp_path: Path) -> None:
    spool = opened(tmp_path, bytes_max=500)
    for n in range(50):
        spool.keep(f"member/{n}", bytes(150))
        spool.add("t", bytes(100), False, 0)
        spool.commit(0)
    spool.keep("member/7", b"renewed")
    spool.keep("member/8", b"")
    spool.commit(0)
    spool.close()
    spool = opened(tmp_path)
    kept = spool.kept()
    assert (len(kept), kept["member/7"]) == (49, b"renewed")
    assert spool.count == 3
    spool.close()


def test_two_processes_do_not_share_a_spool(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(SpoolFailed, match="locked"):
        opened(tmp_path)
    spool.close()


def test_a_damaged_file_is_named_and_not_overwritten(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for n in range(200):
        spool.add("topic", b"%d" % n * 50, False, 0)
    spool.commit(0)
    spool.close()
    file = tmp_path / "spool.db"
    data = bytearray(file.read_bytes())
    data[4096:12288] = os.urandom(8192)
    file.write_bytes(data)
    with pytest.raises(SpoolDamaged, match=r"spool\.db is damaged") as raised:
        opened(tmp_path)
    assert "Move spool.db away" in raised.value.advice
    file.write_bytes(b"not a database, but long enough to be mistaken for one" * 99)
    with pytest.raises(SpoolDamaged):
        opened(tmp_path)
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE x (y)")
    with pytest.raises(SpoolDamaged, match="no spool of this version"):
        opened(tmp_path)


def test_a_full_disk_loses_new_readings_only(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.add("t", b"kept", False, 0)
    spool.add("t", b"acknowledged", False, 0)
    spool.commit(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = max(one.stat().st_size for one in tmp_path.iterdir())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        spool.add("t", bytes(200_000), False, 0)
        spool.remove(2)
        with pytest.raises(SpoolFailed, match=r"spool\.db"):
            spool.commit(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (payloads(spool), spool.dropped) == ([b"kept", b"acknowledged"], 1)
    # the broker's acknowledgement goes into the next commit
    spool.add("t", b"later", False, 0)
    spool.commit(0)
    assert payloads(spool) == [b"kept", b"later"]
    spool.close()


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    added: set[int] = set()
    removed: set[str] = set()
    killed = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, str(WRITER), str(path), "400"],
            env=PATHS,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        # killed at the same moment as a commit, at a different one each time
        lines = [process.stdout.readline() for _ in range(chance.randrange(1, 200))]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        killed += "done\n" not in lines
        spool = Spool(path, 1 << 20, 3600)
        there = [one.payload.decode() for one in spool.after(0, 1_000_000)]
        for kind, _, what in (line[:-1].partition(" ") for line in lines if line[-1] == "\n"):
            if kind == "added":
                added.add(int(what))
            elif kind == "removed":
                removed.add(what)
        # of a commit everything is there, or nothing
        numbers = [one.partition(".")[0] for one in there]
        assert there == sorted(there, key=lambda one: tuple(map(int, one.split(".")))), seed
        assert all(numbers.count(one) == 3 for one in numbers[3:]), seed
        assert not removed & set(there), seed
        assert numbers, seed
        assert not {n for n in added if n > int(numbers[0]) and str(n) not in numbers}, seed
        spool.close()
    assert killed > 6
