"""The ledger: what returned is there, whatever died afterwards; and nothing grows for ever."""

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
import signer
from ledger_rig import NOW, Clock, decide_succession, member, member_payload, policy, raw, reopened

from writ import capsule, limits
from writ.errors import UsageError
from writ_host.consensus.effects import Decide
from writ_host.consensus.promise import RECORD_BYTES_MAX
from writ_host.consensus.value import Value
from writ_host.errors import DamagedFile, HostError
from writ_host.governor import ceremonyfiles, ledgerfile
from writ_host.governor import ledger as ledgers
from writ_host.governor.approvals import Approval
from writ_host.governor.ledger import Ledger
from writ_host.governor.ledgerfile import LedgerInUse, TableFull
from writ_host.governor.proposals import Proposal
from writ_host.governor.timedledger import TimedLedger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock):
    found = Ledger.open(tmp_path / "ledger.db", clock)
    yield found
    found.close()


# --- death ----------------------------------------------------------------------------------------


def check_state(ledger: Ledger, newest: int, at_most: int | None = None) -> int:
    """Everything up to `newest` is there, and what comes after it is whole or absent."""
    height = ledger.height
    assert height >= newest + 1
    assert at_most is None or height <= at_most + 1
    for number in range(max(1, height - ledgers.CHAIN_KEPT), height):
        assert ledger.decision(number) == writer.decide(number)
    if height > 1:
        kept = ledger.amendment_to(height - 1)
        assert kept is not None and capsule.parse(kept).body[1] == height - 1
        assert capsule.parse(ledger.policy_capsule()).body[1] == height - 1
    promised = ledger.promise(writer.COMMITTEE)
    assert promised in [writer.record(n) for n in (height - 1, height)] or height == 1
    for number in range(1, newest + 1):
        raw = writer.member(number)
        assert ledger.capsule(capsule.digest(raw)[:16]) == raw
    return height


def test_what_was_reported_survives_kill_nine_at_any_moment(tmp_path: Path) -> None:
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


def test_a_log_torn_at_any_byte_shows_a_beginning_of_what_was_written(tmp_path: Path) -> None:
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
        # half of them with a page of rubbish where the write was under way
        rubbish = luck.randbytes(4096) if place % 2 else b""
        (torn / "ledger.db-wal").write_bytes(log[:cut] + rubbish)
        found = Ledger.open(torn / "ledger.db")
        whole = sum(size <= cut for size in sizes) - 1
        check_state(found, whole, whole + 1)
        found.close()
        shutil.rmtree(torn)


def test_a_promise_is_one_small_write(ledger: Ledger) -> None:
    # a record of the usual size: so many pages and no more go to the log for each
    wal = ledger.path.with_name("ledger.db-wal")
    ledger.save_promise(b"c", bytes(1000))
    before = wal.stat().st_size
    ledger.save_promise(b"c", bytes(range(250)) * 4)
    assert wal.stat().st_size - before <= 2 * (4096 + 24)


# --- the file -------------------------------------------------------------------------------------


def test_one_process_and_nobody_else_reads_it(ledger: Ledger) -> None:
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    wal = ledger.path.with_name("ledger.db-wal")
    assert stat.S_IMODE(wal.stat().st_mode) == 0o600
    with pytest.raises(LedgerInUse):
        Ledger.open(ledger.path)
    # the one that was there first goes on
    ledger.save_promise(b"c", b"still")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, writer.__file__, str(ledger.path), "1"]
    found = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert b"LedgerInUse" in found.stderr


def test_durable_means_synchronous_full_in_wal_mode(ledger: Ledger) -> None:
    assert ledger.value("PRAGMA synchronous") == 2
    assert ledger.value("PRAGMA journal_mode") == "wal"
    assert ledger.value("PRAGMA locking_mode") == "exclusive"
    assert ledger.value("PRAGMA secure_delete") == 1


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
def test_a_bit_that_the_disk_changed_is_noticed(tmp_path: Path, statement: str) -> None:
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


def test_pages_full_of_zeros_are_noticed(tmp_path: Path) -> None:
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


def test_what_is_written_at_once_is_durable_however_it_ends(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.at_once():
        ledger.save_promise(b"c", b"x")
        with pytest.raises(UsageError), ledger.together():
            ledger.log("a", "b")
            raise UsageError("this part is undone")
        with ledger.at_once():
            ledger.set_meta("k", b"v")
        raise ZeroDivisionError
    ledger = reopened(ledger)
    assert ledger.promise(b"c") == b"x" and ledger.meta("k") == b"v" and ledger.entries(9) == []
    ledger.close()


def test_what_is_written_at_once_is_one_commit(tmp_path: Path) -> None:
    ledger = TimedLedger.open(tmp_path / "timed.db")
    commits: list[float] = []
    ledger.observe = commits.append
    with ledger.at_once():
        for number in range(5):
            ledger.save_promise(bytes([number]), b"x")
        assert ledger.height == 1 and commits == []
    assert len(commits) == 1
    with ledger.at_once():
        assert ledger.promise(b"\0") == b"x"
    # nothing was written
    assert len(commits) == 1
    ledger.save_promise(b"\0", b"y")
    assert len(commits) == 2
    ledger.close()


def test_whoever_catches_it_a_full_disk_is_remembered(tmp_path: Path) -> None:
    ledger = TimedLedger.open(tmp_path / "timed.db")
    ledger.rows(f"PRAGMA max_page_count = {ledger.value('PRAGMA page_count')}")
    with contextlib.suppress(HostError), ledger.at_once():
        for number in range(64):
            with contextlib.suppress(HostError):
                ledger.save_promise(bytes([number]), bytes(4096))
    assert isinstance(ledger.failure, ledgerfile.LedgerFailed)
    ledger.close()


def test_the_height_is_not_that_of_a_decision_that_was_undone(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.together():
        value = Value((bytes(capsule.parse(policy(1)).payload),))
        ledger.add_decision(Decide(1, value, (bytes(64),)))
        assert ledger.height == 2
        raise ZeroDivisionError
    assert ledger.height == 1


def test_a_full_disk_is_no_promise(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.save_promise(b"c", b"before")
    ledger.rows(f"PRAGMA max_page_count = {ledger.value('PRAGMA page_count')}")
    with pytest.raises(ledgerfile.LedgerFailed):
        ledger.add_capsules([member(f"m{i}", i + 1) for i in range(64)])
    assert ledger.member_count() == 0
    ledger.rows("PRAGMA max_page_count = 1000000")
    ledger.save_promise(b"c", b"after")
    assert ledger.promise(b"c") == b"after"


def test_several_writes_are_one_or_none(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.together():
        ledger.save_promise(b"c", b"x")
        with ledger.together():
            ledger.log("a", "b")
        raise ZeroDivisionError
    assert ledger.promise(b"c") is None and ledger.entries(9) == []
    with ledger.together():
        ledger.save_promise(b"c", b"x")
        ledger.add_capsules([member("soil")])
    ledger = reopened(ledger)
    assert ledger.promise(b"c") == b"x" and ledger.member_count() == 1
    ledger.close()


def test_at_once_is_one_commit_and_each_part_whole(ledger: Ledger) -> None:
    wal = ledger.path.with_name("ledger.db-wal")
    before = wal.stat().st_size
    with pytest.raises(ZeroDivisionError), ledger.at_once():
        ledger.save_promise(b"c", b"x")
        with pytest.raises(KeyError), ledger.together():
            ledger.log("undone", "undone")
            raise KeyError
        with ledger.together():
            ledger.log("done", "done")
        assert wal.stat().st_size == before
        raise ZeroDivisionError
    assert wal.stat().st_size > before
    ledger = reopened(ledger)
    # what was promised may have been said: it stays, whatever came after it
    assert ledger.promise(b"c") == b"x"
    assert [line["event"] for line in ledger.entries(9)] == ["done"]
    ledger.close()


def test_a_backup_is_a_ledger_as_of_then(ledger: Ledger, tmp_path: Path) -> None:
    writer.write(ledger, 1)
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"an older one")
    ident = ledger.ident
    ledger.backup(copy)
    writer.write(ledger, 2)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "copy.db",
        "ledger.db",
        "ledger.db-wal",
    ]
    restored = Ledger.open(copy)
    check_state(restored, 1, 1)
    # whoever remembers how far it read in the other one must begin anew
    assert restored.ident != ident == ledger.ident
    assert restored.ident == restored.ident
    restored.close()


# --- promises and the chain -----------------------------------------------------------------------


def test_promises_by_committee(ledger: Ledger) -> None:
    assert ledger.promise(b"one") is None
    ledger.save_promise(b"one", b"1")
    ledger.save_promise(b"two", b"2")
    ledger.save_promise(b"one", b"3")
    ledger = reopened(ledger)
    assert (ledger.promise(b"one"), ledger.promise(b"two")) == (b"3", b"2")
    with pytest.raises(UsageError):
        ledger.save_promise(b"one", bytes(RECORD_BYTES_MAX + 1))
    # of the newest committees only
    for number in range(ledgers.PROMISES_KEPT):
        assert ledger.promise(b"two") == b"2" or number == ledgers.PROMISES_KEPT - 1
        ledger.save_promise(b"n%d" % number, b"x")
    assert ledger.promise(b"one") is None is ledger.promise(b"two")
    assert ledger.promise(b"n0") == b"x"
    ledger.close()


def test_the_chain_has_no_gaps_and_no_second_opinions(ledger: Ledger) -> None:
    assert ledger.height == 1 and ledger.decision(1) is None
    for number in (1, 2):
        made = ledger.add_decision(writer.decide(number))
        assert [capsule.parse(one).kind for one in made] == [capsule.AMENDMENT, capsule.POLICY]
    for number in (0, 1, 2, 4):
        with pytest.raises(UsageError):
            ledger.add_decision(writer.decide(number))
    ledger = reopened(ledger)
    assert ledger.height == 3 and ledger.heights() == [1, 2]
    assert ledger.decision(2) == writer.decide(2)
    assert capsule.parse(ledger.amendment_to(2)).body[1] == 2 and ledger.amendment_to(3) is None
    ledger.close()


def test_the_chain_is_cut_but_not_its_successions(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "CHAIN_KEPT", 5)
    for number in range(1, 21):
        ledger.add_decision(decide_succession(3) if number == 3 else writer.decide(number))
    assert ledger.heights() == [3, 16, 17, 18, 19, 20] and ledger.height == 21
    assert ledger.decision(15) is None and ledger.decision(3) == decide_succession(3)
    # the policy that the succession found is among them
    assert [one.height for one in ledger.decisions_that_matter()] == [2, 3, 20]


def test_a_chain_may_begin_where_ceremonies_ended(ledger: Ledger) -> None:
    ledger.add_capsules([policy(6)])
    ledger.skip_to(7)
    assert ledger.height == 7
    (state,) = ledger.decisions_that_matter()
    assert state.height == 6 and state.value.payloads == (capsule.parse(policy(6)).payload,)
    ledger.add_decision(decide_succession(7))
    ledger.add_decision(decide_succession(8))
    assert [one.height for one in ledger.decisions_that_matter()] == [6, 7, 8]
    with pytest.raises(UsageError):
        ledger.skip_to(8)
    ledger.add_decision(writer.decide(9))
    ledger = reopened(ledger)
    assert ledger.height == 10
    assert [one.height for one in ledger.decisions_that_matter()] == [6, 7, 8, 9]
    ledger.close()


# --- proposals, approvals, log, files, small things -----------------------------------------------


def proposal(number: int = 1, proposer: int = 2) -> Proposal:
    payload = member_payload(f"m{number}", number)
    return Proposal((payload,), f"admit m{number}", b"e", proposer, NOW + number)


def approval(number: int, yes: bool = True) -> Approval:
    return Approval(number, yes, "looked at it", NOW, bytes(64))


def test_proposals_and_what_was_said_of_them(ledger: Ledger) -> None:
    one, two = proposal(1), proposal(2)
    ledger.save_proposal(one)
    ledger.save_proposal(two)
    ledger.save_approval(one.id, approval(3))
    ledger.save_approval(one.id, approval(3, False))
    ledger.save_approval(one.id, approval(1, False))
    # of what is not there nothing is kept
    ledger.save_approval(bytes(16), approval(1))
    ledger = reopened(ledger)
    found = ledger.open_proposals()
    assert [one.to_item() for one in found] == [one.to_item(), two.to_item()]
    assert [one.id for one in found] == [one.id, two.id] and found[0].proposer == 2
    assert found[0].approvals == {1: approval(1, False), 3: approval(3)}
    ledger.save_proposal(one)
    assert len(ledger.approvals(one.id)) == 2
    ledger.close_proposal(one.id, "refused", "nobody wants it")
    ledger.close_proposal(bytes(16), "stale", "never kept")
    assert [one.id for one in ledger.open_proposals()] == [two.id]
    (done,) = ledger.done_proposals(9)
    assert (done.state, done.reason, len(done.approvals)) == ("refused", "nobody wants it", 2)
    # proposed again it is judged again, by people too
    ledger.save_proposal(one)
    assert ledger.open_proposals()[-1].approvals == {} and ledger.done_proposals(9) == []
    assert ledger.value("SELECT count(*) FROM approvals") == 0
    ledger.close()


def test_what_was_decided_before_it_was_kept_is_remembered_all_the_same(ledger: Ledger) -> None:
    ledger.keep_done(proposal(1), "certified", "soon")
    (done,) = ledger.done_proposals(9)
    assert (done.id, done.state, done.reason) == (proposal(1).id, "certified", "soon")
    assert ledger.open_proposals() == []
    ledger.keep_done(proposal(1), "stale")
    assert [one.state for one in ledger.done_proposals(9)] == ["stale"]


def test_proposals_are_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "OPEN_MAX", 3)
    monkeypatch.setattr(ledgers, "DONE_KEPT", 2)
    for number in range(1, 10):
        ledger.save_proposal(proposal(number))
        ledger.close_proposal(proposal(number).id, "certified")
        ledger.keep_done(proposal(number), "certified")
    assert [one.title for one in ledger.done_proposals(9)] == ["admit m9", "admit m8"]
    for number in range(20, 23):
        ledger.save_proposal(proposal(number))
    with pytest.raises(TableFull):
        ledger.save_proposal(proposal(30))


def test_the_log_says_what_was_done_and_is_bounded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.log("decided", "epoch 4 is certified", epoch=4, who="anna")
    assert reopened(ledger).entries(5) == [
        {
            "seq": 1,
            "time_s": NOW,
            "event": "decided",
            "text": "epoch 4 is certified",
            "facts": {"epoch": 4, "who": "anna"},
        }
    ]


def test_the_log_forgets_its_oldest_lines(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "LOG_KEPT", 20)
    monkeypatch.setattr(ledgers, "LOG_SLACK", 10)
    with ledger.together():
        for number in range(100):
            ledger.log("x", f"line {number}" + "!" * 1000, size="s" * 5000)
    lines = ledger.entries(999)
    assert 20 <= len(lines) <= 30 and lines[-1]["seq"] == 100 and lines[-1]["facts"] == {}
    assert all(len(str(line["text"])) <= ledgers.TEXT_CHARS_MAX for line in lines)
    assert [line["seq"] for line in ledger.entries(2, before=95)] == [93, 94]


def test_files_of_ceremonies(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ledger.files
    files.put(b"one", "anna.deal", b"1")
    files.put(b"one", "ben.deal", b"2")
    files.put(b"one", "anna.deal", b"3")
    files.put(b"two", "x", b"4")
    ledger = reopened(ledger)
    files = ledger.files
    assert (
        files.list(b"one") == ["anna.deal", "ben.deal"] and files.get(b"one", "anna.deal") == b"3"
    )
    assert files.get(b"one", "x") is None
    files.drop(b"one")
    assert files.list(b"one") == [] and files.get(b"two", "x") == b"4"
    with pytest.raises(TableFull):
        files.put(b"two", "large", bytes(65537))
    monkeypatch.setattr(ceremonyfiles, "FILES_MAX", 2)
    monkeypatch.setattr(ceremonyfiles, "CEREMONIES_MAX", 2)
    files.put(b"two", "y", b"")
    files.put(b"three", "x", b"")
    files.put(b"two", "y", b"again")
    for ceremony, name in ((b"two", "z"), (b"four", "x")):
        with pytest.raises(TableFull):
            files.put(ceremony, name, b"")
    ledger.close()


def test_small_things(ledger: Ledger) -> None:
    assert ledger.meta("a") is None
    ledger.set_meta("a", b"1")
    ledger.set_meta("a", b"2")
    ident = ledger.ident
    ledger = reopened(ledger)
    assert ledger.meta("a") == b"2" and ledger.ident == ident and len(ident) == 8
    ledger.set_meta("a", None)
    assert ledger.meta("a") is None
    with pytest.raises(UsageError):
        ledger.set_meta("a", bytes(5000))
    assert ledger.peer_cursor(b"p") == 0
    ledger.save_peer_cursor(b"p", 7)
    ledger.save_peer_cursor(b"p", 9)
    assert ledger.peer_cursor(b"p") == 9
    for number in range(ledgers.CURSORS_MAX + 9):
        ledger.save_peer_cursor(b"q%d" % number, number)
    assert ledger.peer_cursor(b"p") == 0 and ledger.peer_cursor(b"q9") == 9
    ledger.close()


def test_capsules_of_the_largest_size(ledger: Ledger) -> None:
    rules = [[1, 1, f"{i:02}".ljust(limits.PATH_BYTES_MAX - 12, "x"), 1] for i in range(28)]
    large = raw(signer.policy_payload(1, bytes(6), rules=rules))
    assert 1200 < len(large) <= limits.CAPSULE_BYTES_MAX
    ledger.add_capsules([large])
    assert reopened(ledger).policy_capsule() == large
