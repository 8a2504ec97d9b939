"""The ledger's file: reported writes survive any crash, and damage is detected."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import ledger_writer as writer
import pytest
from ledger_rig import member, policy, reopened

from writ.authority import capsule
from writ.errors import UsageError
from writ_host.consensus.effects import Decide
from writ_host.consensus.value import Value
from writ_host.errors import DamagedFile, HostError
from writ_host.governor.ledger import ledger as ledgers
from writ_host.governor.ledger import schema
from writ_host.governor.ledger.database import LedgerInUse
from writ_host.governor.ledger.failstop import LedgerFailed
from writ_host.governor.ledger.ledger import Ledger

# --- crashes --------------------------------------------------------------------------------------


def check_state(ledger: Ledger, newest: int, at_most: int | None = None) -> int:
    """Check that everything up to `newest` is there, and later writes are whole or absent."""
    height = ledger.height
    assert height >= newest + 1
    assert at_most is None or height <= at_most + 1
    for number in range(max(1, height - ledgers.CHAIN_KEPT), height):
        assert ledger.decision(number) == writer.decide(number)
    if height > 1:
        kept = ledger.capsules.amendment_to(height - 1)
        assert kept is not None and capsule.parse(kept).body[1] == height - 1
        assert capsule.parse(ledger.capsules.policy()).body[1] == height - 1
    record = ledger.hard_state(writer.COMMITTEE)
    assert record in [writer.record(n) for n in (height - 1, height)] or height == 1
    for number in range(1, newest + 1):
        raw = writer.member(number)
        assert ledger.capsules.find(capsule.digest(raw)[:16]) == raw
    return height


@pytest.mark.slow
def test_reported_writes_survive_a_kill_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    luck = random.Random(7)
    height = 1
    for _ in range(20):
        command = [sys.executable, writer.__file__, str(path), str(height)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        reported = height - 1
        for _ in range(luck.randrange(1, 12)):
            reported = int(process.stdout.readline())
        # not at the moment of a report, but somewhere in the writes that follow
        for _ in range(luck.randrange(20000)):
            pass
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        reported = int(rest[-1]) if rest else reported
        ledger = Ledger.open(path)
        height = check_state(ledger, reported)
        ledger.close()
    assert height > 20


def test_a_log_torn_at_any_byte_holds_a_prefix_of_the_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    wal = tmp_path / "ledger.db-wal"
    ledger = Ledger.open(path)
    sizes = [wal.stat().st_size]
    for number in range(1, 8):
        writer.write(ledger, number)
        sizes.append(wal.stat().st_size)
    assert sizes == sorted(set(sizes)), "a checkpoint in between would spoil the test"
    data, log = path.read_bytes(), wal.read_bytes()
    ledger.close()
    luck = random.Random(3)
    for place in range(60):
        cut = luck.randrange(sizes[0], sizes[-1] + 1)
        torn = tmp_path / f"torn{place}"
        torn.mkdir()
        (torn / "ledger.db").write_bytes(data)
        # half of them with a page of rubbish after the cut
        rubbish = luck.randbytes(4096) if place % 2 else b""
        (torn / "ledger.db-wal").write_bytes(log[:cut] + rubbish)
        found = Ledger.open(torn / "ledger.db")
        whole = sum(size <= cut for size in sizes) - 1
        check_state(found, whole, whole + 1)
        found.close()
        shutil.rmtree(torn)


def test_saving_the_hard_state_is_one_small_write(ledger: Ledger) -> None:
    # for a record of the usual size at most two pages go to the log
    wal = ledger.database.path.with_name("ledger.db-wal")
    ledger.save_hard_state(b"c", bytes(1000))
    before = wal.stat().st_size
    ledger.save_hard_state(b"c", bytes(range(250)) * 4)
    assert wal.stat().st_size - before <= 2 * (4096 + 24)


# --- the file -------------------------------------------------------------------------------------


def test_one_process_opens_it_and_one_user_reads_it(ledger: Ledger) -> None:
    assert stat.S_IMODE(ledger.database.path.stat().st_mode) == 0o600
    wal = ledger.database.path.with_name("ledger.db-wal")
    assert stat.S_IMODE(wal.stat().st_mode) == 0o600
    with pytest.raises(LedgerInUse):
        Ledger.open(ledger.database.path)
    # the first process can still write
    ledger.save_hard_state(b"c", b"still")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, writer.__file__, str(ledger.database.path), "1"]
    found = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert b"LedgerInUse" in found.stderr


def test_durable_means_synchronous_full_in_wal_mode(ledger: Ledger) -> None:
    assert ledger.database.value("PRAGMA synchronous") == 2
    assert ledger.database.value("PRAGMA journal_mode") == "wal"
    assert ledger.database.value("PRAGMA locking_mode") == "exclusive"
    assert ledger.database.value("PRAGMA secure_delete") == 1


def spoil(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE promises SET record = x'00'",
        "UPDATE chain SET decide = x'00'",
        "UPDATE capsules SET raw = x'00' WHERE kind = 1",
    ],
)
def test_a_bit_that_the_disk_changed_is_detected(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(path)
    writer.write(ledger, 1)
    ledger.close()
    spoil(path, statement)
    with pytest.raises(DamagedFile) as caught:
        Ledger.open(path)
    assert "backup" in caught.value.advice


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    rubbish, other, newer = (tmp_path / name for name in ("rubbish", "other", "newer"))
    rubbish.write_bytes(b"not a database" * 400)
    spoil(other, "CREATE TABLE cats (name TEXT)")
    Ledger.open(newer).close()
    spoil(newer, "PRAGMA user_version = 99")
    for path, kind in ((rubbish, DamagedFile), (other, DamagedFile), (newer, HostError)):
        before = path.read_bytes()
        with pytest.raises(kind):
            Ledger.open(path)
        if path is rubbish:
            assert path.read_bytes() == before
    with pytest.raises(HostError, match="format 99"):
        Ledger.open(newer)


# The table of reservations in the format 1.
OLDER = """
DROP TABLE pledges;
CREATE TABLE pledges (key TEXT PRIMARY KEY, node BLOB NOT NULL, address INTEGER,
  until INTEGER NOT NULL);
INSERT INTO pledges VALUES ('n/soil', x'0102030405060708', NULL, 4000000000);
PRAGMA user_version = 1;
"""


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of each table, and the names of the indices."""
    with sqlite3.connect(path) as database:
        listed = database.execute("SELECT type, name FROM sqlite_schema").fetchall()
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        found = {name: list(database.execute(f"PRAGMA table_info ({name})")) for _, name in listed}
    database.close()
    return found


def test_a_ledger_of_the_format_1_is_opened_and_updated(tmp_path: Path) -> None:
    new, older = tmp_path / "new.db", tmp_path / "older.db"
    for path in (new, older):
        Ledger.open(path).close()
    with sqlite3.connect(older) as database:
        database.executescript(OLDER)
    database.close()
    for _ in range(2):
        ledger = Ledger.open(older)
        (row,) = ledger.reservations.after("", 0, 9)
        assert (row.key, row.until, row.epoch) == ("n/soil", 4000000000, None)
        ledger.close()
    assert tables(older) == tables(new)


def test_an_update_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    with sqlite3.connect(path) as database:
        database.executescript(OLDER)
    database.close()
    steps = (*schema.MIGRATIONS[1], "CREATE TABLE meta (key)")
    monkeypatch.setitem(schema.MIGRATIONS, 1, steps)
    with pytest.raises(HostError):
        Ledger.open(path)
    monkeypatch.undo()
    Ledger.open(path).close()
    assert "reported" in tables(path)


def test_pages_full_of_zeros_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(path)
    for number in range(1, 40):
        writer.write(ledger, number)
    ledger.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096, 3):
        data[4096 * page : 4096 * (page + 1)] = bytes(4096)
    path.write_bytes(data)
    with pytest.raises(DamagedFile):
        Ledger.open(path)


def test_an_at_once_block_is_durable_even_after_an_exception(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.at_once():
        ledger.save_hard_state(b"c", b"x")
        with pytest.raises(UsageError), ledger.together():
            ledger.log("a", "b")
            raise UsageError("this part is undone")
        with ledger.at_once():
            ledger.set_meta("k", b"v")
        raise ZeroDivisionError
    ledger = reopened(ledger)
    assert (
        ledger.hard_state(b"c") == b"x" and ledger.meta("k") == b"v" and ledger.log_entries(9) == []
    )
    ledger.close()


def test_an_at_once_block_is_one_commit(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "timed.db")
    commits: list[float] = []
    ledger.database.failstop.observe = commits.append
    with ledger.at_once():
        for number in range(5):
            ledger.save_hard_state(bytes([number]), b"x")
        assert ledger.height == 1 and commits == []
    assert len(commits) == 1
    with ledger.at_once():
        assert ledger.hard_state(b"\0") == b"x"
    # a block without a write is no commit
    assert len(commits) == 1
    ledger.save_hard_state(b"\0", b"y")
    assert len(commits) == 2
    ledger.close()


def test_a_full_disk_is_remembered_as_the_failure(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "timed.db")
    ledger.database.rows(f"PRAGMA max_page_count = {ledger.database.value('PRAGMA page_count')}")
    with contextlib.suppress(HostError), ledger.at_once():
        for number in range(64):
            with contextlib.suppress(HostError):
                ledger.save_hard_state(bytes([number]), bytes(4096))
    assert isinstance(ledger.failure, LedgerFailed)
    ledger.close()


def test_the_height_follows_a_rollback(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.together():
        value = Value((bytes(capsule.parse(policy(1)).payload),))
        ledger.add_decision(Decide(1, value, (bytes(64),)))
        assert ledger.height == 2
        raise ZeroDivisionError
    assert ledger.height == 1


def test_a_write_to_a_full_disk_raises_and_leaves_no_trace(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.save_hard_state(b"c", b"before")
    ledger.database.rows(f"PRAGMA max_page_count = {ledger.database.value('PRAGMA page_count')}")
    with pytest.raises(LedgerFailed):
        ledger.capsules.add([member(f"m{i}", i + 1) for i in range(64)])
    assert ledger.capsules.member_count() == 0
    ledger.database.rows("PRAGMA max_page_count = 1000000")
    ledger.save_hard_state(b"c", b"after")
    assert ledger.hard_state(b"c") == b"after"


def test_a_together_block_is_all_or_none(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.together():
        ledger.save_hard_state(b"c", b"x")
        with ledger.together():
            ledger.log("a", "b")
        raise ZeroDivisionError
    assert ledger.hard_state(b"c") is None and ledger.log_entries(9) == []
    with ledger.together():
        ledger.save_hard_state(b"c", b"x")
        ledger.capsules.add([member("soil")])
    ledger = reopened(ledger)
    assert ledger.hard_state(b"c") == b"x" and ledger.capsules.member_count() == 1
    ledger.close()


def test_an_at_once_block_keeps_whole_together_blocks(ledger: Ledger) -> None:
    wal = ledger.database.path.with_name("ledger.db-wal")
    before = wal.stat().st_size
    with pytest.raises(ZeroDivisionError), ledger.at_once():
        ledger.save_hard_state(b"c", b"x")
        with pytest.raises(KeyError), ledger.together():
            ledger.log("undone", "undone")
            raise KeyError
        with ledger.together():
            ledger.log("done", "done")
        assert wal.stat().st_size == before
        raise ZeroDivisionError
    assert wal.stat().st_size > before
    ledger = reopened(ledger)
    # messages that depend on the hard state may have been sent: it stays after the exception
    assert ledger.hard_state(b"c") == b"x"
    assert [line["event"] for line in ledger.log_entries(9)] == ["done"]
    ledger.close()


def test_a_backup_holds_the_state_of_its_moment(ledger: Ledger, tmp_path: Path) -> None:
    writer.write(ledger, 1)
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"an older one")
    ident = ledger.ident
    ledger.database.backup(copy)
    writer.write(ledger, 2)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "copy.db",
        "ledger.db",
        "ledger.db-wal",
    ]
    restored = Ledger.open(copy)
    check_state(restored, 1, 1)
    # a peer with a cursor into the other ledger starts again
    assert restored.ident != ident == ledger.ident
    assert restored.ident == restored.ident
    restored.close()
