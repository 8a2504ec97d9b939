"""The file below the ledger: one SQLite database, opened alone, checked, durable at each commit.

SQLite's write-ahead log makes a commit whole or absent, whenever power fails. What it does not
notice is a bit that the disk changed, so what matters most is kept beside its own hash.
"""

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ... import files
from ...errors import DamagedFile, HostError

# "Writ" in the file's header: nobody else's database is taken for a ledger.
APPLICATION_ID = 0x57726974
SCHEMA_VERSION = 1
SUM_BYTES = 8
# A log that grew in a burst is cut down to this at the next checkpoint, for SD cards.
_WAL_BYTES_MAX = 4 << 20
_PRAGMAS = (
    # one process: a second one is refused, and the log's index needs no shared memory file
    "locking_mode = EXCLUSIVE",
    # readers do not wait, and a commit is one append and one fsync instead of three or four
    "journal_mode = WAL",
    # in WAL mode FULL, and nothing below, syncs the log at each commit: write before send
    "synchronous = FULL",
    # macOS: fsync alone leaves data in the drive's cache; elsewhere without effect
    "fullfsync = ON",
    "foreign_keys = ON",
    # what made an old share, though it is sealed, is overwritten when it is forgotten
    "secure_delete = ON",
    f"journal_size_limit = {_WAL_BYTES_MAX}",
)

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE cursors (peer BLOB PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE promises (committee BLOB PRIMARY KEY, record BLOB NOT NULL, sum BLOB NOT NULL);
CREATE TABLE chain (height INTEGER PRIMARY KEY, decide BLOB NOT NULL, sum BLOB NOT NULL,
  kind INTEGER NOT NULL);
CREATE TABLE capsules (seq INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL,
  content BLOB NOT NULL, kind INTEGER NOT NULL, epoch INTEGER, time INTEGER, node BLOB, name TEXT,
  address INTEGER, era INTEGER NOT NULL, raw BLOB NOT NULL,
  UNIQUE (content, era));
CREATE INDEX capsules_digest ON capsules (digest);
CREATE INDEX capsules_kind ON capsules (kind, epoch);
CREATE INDEX capsules_node ON capsules (node) WHERE node IS NOT NULL;
CREATE INDEX capsules_name ON capsules (name) WHERE name IS NOT NULL;
CREATE INDEX capsules_address ON capsules (address) WHERE address IS NOT NULL;
CREATE TABLE pledges (key TEXT PRIMARY KEY, node BLOB NOT NULL, address INTEGER,
  until INTEGER NOT NULL);
CREATE TABLE proposals (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, item BLOB NOT NULL,
  proposer INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE approvals (id BLOB NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
  number INTEGER NOT NULL, item BLOB NOT NULL, PRIMARY KEY (id, number));
CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,
  event TEXT NOT NULL, text TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE files (ceremony BLOB NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (ceremony, name));
"""

_ADVICE = (
    "Put a backup in its place (writ governor run checks it): the other governors tell this one"
    " what it has forgotten since. The damaged file is of no use to anybody else."
)

L = TypeVar("L", bound="LedgerFile")


class LedgerInUse(HostError):
    """Another process has the ledger open: two of them would break each other's promises."""

    advice = "Stop the other governor that runs in this folder."


class LedgerFailed(HostError):
    """The disk did not take a write: nothing may be promised that is not there."""

    advice = "Is the disk full, or failing? Mend that, then start the governor again."


class TableFull(HostError):
    """A table of the ledger is at its limit."""

    advice = "Approve or deny what is open: writ governor pending."


def now_s() -> int:
    """This machine's time, Unix seconds."""
    return int(time.time())


def checksum(data: bytes) -> bytes:
    """What `data` is kept beside, SUM_BYTES."""
    return hashlib.sha256(data).digest()[:SUM_BYTES]


class _AtOnce:
    """The outermost block of `LedgerFile.at_once`; no generator, since each message is in one."""

    def __init__(self, ledger: "LedgerFile") -> None:
        self._ledger = ledger

    def __enter__(self) -> None:
        self._ledger._depth = 1

    def __exit__(self, *_: object) -> None:
        self._ledger._end()


_INSIDE = contextlib.nullcontext()


class LedgerFile:
    """An open database. Made by `open`; one thread at a time. clock_s: Unix seconds."""

    def __init__(
        self, path: Path, database: sqlite3.Connection, clock_s: Callable[[], int]
    ) -> None:
        self.path = path
        self.clock_s = clock_s
        self._database = database
        self._depth = 0

    @classmethod
    def open(cls: type[L], path: Path, clock_s: Callable[[], int] = now_s) -> L:
        """The ledger at `path`, made where there is none (mode 0600).

        Raises `DamagedFile`, `LedgerInUse`, or `HostError` for one that a newer Writ wrote.
        """
        if not path.exists():
            # before SQLite does, which would let others read it; -wal gets the same mode
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            files.sync_directory(path.parent)
        # no implicit transactions: `together` says where each begins and ends
        database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        ledger = cls(path, database, clock_s)
        try:
            with ledger._explained():
                ledger._prepare()
                ledger._check()
        except BaseException:
            database.close()
            raise
        return ledger

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._database.execute(f"PRAGMA {pragma}").fetchall()
        with self.together():
            self._begin()
            (application,) = self.row("PRAGMA application_id") or (0,)
            (version,) = self.row("PRAGMA user_version") or (0,)
            (tables,) = self.row("SELECT count(*) FROM sqlite_schema") or (0,)
            if not tables and not application and not version:
                for statement in _SCHEMA.split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif application != APPLICATION_ID:
                raise DamagedFile(f"{self.path} is another program's database", _ADVICE)
            elif version != SCHEMA_VERSION:
                raise HostError(
                    f"{self.path} has the format {version}, this Writ knows {SCHEMA_VERSION}",
                    "Run the Writ that wrote it, or a newer one.",
                )

    def _check(self) -> None:
        # pages and rows hang together; not whether each index matches, which takes far longer
        found = self.row("PRAGMA quick_check(1)")
        if found != ("ok",):
            raise self._damaged(f"SQLite says: {found[0] if found else 'nothing'}")
        for table, what in (("promises", "record"), ("chain", "decide")):
            for data, kept in self._database.execute(f"SELECT {what}, sum FROM {table}"):
                if checksum(data) != kept:
                    raise self._damaged(f"a row of {table} has changed since it was written")
        for raw, digest in self._database.execute("SELECT raw, digest FROM capsules"):
            if hashlib.sha256(raw).digest()[: len(digest)] != digest:
                raise self._damaged("a capsule has changed since it was written")

    def _damaged(self, words: str) -> DamagedFile:
        return DamagedFile(f"{self.path} is damaged: {words}", _ADVICE)

    def close(self) -> None:
        """The last checkpoint, and the lock given up. Nothing is lost without it."""
        self._database.close()

    def backup(self, path: Path) -> None:
        """A copy as of now, one file, mode 0600, in place of what was at `path`.

        To be restored as it is. A governor that comes back with it is told by the others what it
        has promised since, and takes no part until then (docs/consensus.md).
        """
        handle = path.with_name(f".{path.name}.new")
        handle.unlink(missing_ok=True)
        os.close(os.open(handle, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(handle)) as copy, self._explained():
            self._database.backup(copy)
            # what is restored is another ledger to those who remember how far they read in this
            copy.execute("DELETE FROM meta WHERE key = 'ident'")
            copy.commit()
            copy.execute("PRAGMA journal_mode = DELETE")
        descriptor = os.open(handle, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(handle, path)
        files.sync_directory(path.parent)

    # --- transactions and rows --------------------------------------------------------------------

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Several writes, one commit, one fsync: all of them or none.

        Inside another one, or `at_once`, it is a part of that: what was raised inside undoes the
        part, and all of it where it goes on.
        """
        if self._depth:
            with self._part():
                yield
            return
        self._depth = 1
        try:
            yield
            self._commit()
        except BaseException:
            self._undo("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def at_once(self) -> "contextlib.AbstractContextManager[None]":
        """What is written inside is durable when the block ends, however it ends: one fsync.

        Nothing that follows from it may be said before. Each `together` inside is all or none.
        """
        return _INSIDE if self._depth else _AtOnce(self)

    def _end(self) -> None:
        self._depth = 0
        try:
            self._commit()
        except BaseException:
            self._undo("ROLLBACK")
            raise

    @property
    def is_dirty(self) -> bool:
        """Whether something was written that is not durable yet."""
        return self._database.in_transaction

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._execute("BEGIN IMMEDIATE")

    def _undo(self, statement: str) -> None:
        # an error may have rolled back already
        if self._database.in_transaction:
            self._execute(statement)

    def _commit(self) -> None:
        if self._database.in_transaction:
            self._execute("COMMIT")

    @contextlib.contextmanager
    def _part(self) -> Iterator[None]:
        self._begin()
        self._execute("SAVEPOINT part")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._undo("ROLLBACK TO part")
            raise
        finally:
            self._depth -= 1
            # an error that ended the transaction has ended its parts
            if self._database.in_transaction:
                self._execute("RELEASE part")

    def _explain(self, error: sqlite3.DatabaseError) -> HostError:
        if not isinstance(error, sqlite3.OperationalError):
            return self._damaged(str(error))
        if "locked" in str(error):
            return LedgerInUse(f"another process has {self.path} open")
        return LedgerFailed(f"{self.path}: {error}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from None

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from None

    def write(self, statement: str, *values: Any) -> int:
        """One statement, durable when this returns unless inside a block: rows changed."""
        if not self._depth:
            with self.together():
                return self.write(statement, *values)
        self._begin()
        return self._execute(statement, *values).rowcount

    def row(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query."""
        found: tuple[Any, ...] | None = self._execute(statement, *values).fetchone()
        return found

    def rows(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """All rows of a query."""
        with self._explained():
            return self._execute(statement, *values).fetchall()

    def value(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, None for no row."""
        found = self.row(statement, *values)
        return found[0] if found else None
