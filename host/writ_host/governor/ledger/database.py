"""The SQLite file below the ledger: opened by one process, checked, durable at each commit.

SQLite's write-ahead log makes a commit whole or absent, whenever the power fails.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ... import files
from ...errors import DamagedFile, HostError
from .failstop import FailStop, LedgerFailed
from .schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION, damage

# A log that grew in a burst is cut down to this at the next checkpoint, for SD cards.
_WAL_BYTES_MAX = 4 << 20
_PRAGMAS = (
    # one process: a second one is refused, and the log's index needs no shared memory file
    "locking_mode = EXCLUSIVE",
    # readers do not wait, and a commit is one append and one fsync instead of three or four
    "journal_mode = WAL",
    # in WAL mode only FULL syncs the log at each commit: write before send
    "synchronous = FULL",
    # macOS: fsync alone leaves data in the drive's cache; elsewhere without effect
    "fullfsync = ON",
    "foreign_keys = ON",
    # messages that made an old share, though they are sealed, are overwritten when deleted
    "secure_delete = ON",
    f"journal_size_limit = {_WAL_BYTES_MAX}",
)

_ADVICE = (
    "Put a backup in its place (writ governor run checks it): this governor then fetches from the"
    " others what the backup lacks. The damaged file is not needed any more."
)


class LedgerInUse(HostError):
    """Another process has the ledger open; two governors with one ledger could equivocate."""

    advice = "Stop the other governor that runs in this folder."


# The governor must stop: what it has said may not be on the disk. No refusal of a message is one of
# these, so a handler of refusals lets them pass.
LEDGER_ERRORS = (DamagedFile, LedgerFailed, LedgerInUse)


class LedgerFull(HostError):
    """A table of the ledger is at its limit."""

    advice = "Approve or deny open proposals: writ governor pending."


class _AtOnce:
    """The outermost block of `Database.at_once`: a class, which is faster than a generator."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database._depth = 1

    def __exit__(self, *_: object) -> None:
        self._database._end()


_INSIDE = contextlib.nullcontext()


class Database:
    """An open database. Made by `open`; used by one thread at a time.

    failstop: watches the commits; on_rollback: functions that drop what was cached of rows that a
    rollback may have undone.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.failstop = FailStop(path)
        self.on_rollback: list[Callable[[], None]] = []
        self._connection = connection
        self._depth = 0  # of nested blocks; 0 outside of any

    @classmethod
    def open(cls, path: Path) -> "Database":
        """The database at `path`, created where there is none (mode 0600); an older one is updated.

        Raises `DamagedFile`, `LedgerInUse`, or `HostError` for one that a newer Writ wrote.
        """
        if not files.exists(path):
            # before SQLite does, which would let others read it; -wal gets the same mode
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            files.sync_directory(path.parent)
        # no implicit transactions: `together` says where each begins and ends
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        database = cls(path, connection)
        try:
            with database._explained():
                database._prepare()
                if (text := damage(connection)) is not None:
                    raise database.damaged(text)
        except BaseException:
            connection.close()
            raise
        return database

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        with self.together():
            self._begin()
            (application,) = self.row("PRAGMA application_id") or (0,)
            (version,) = self.row("PRAGMA user_version") or (0,)
            (tables,) = self.row("SELECT count(*) FROM sqlite_schema") or (0,)
            if not tables and not application and not version:
                for statement in SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif application != APPLICATION_ID:
                raise DamagedFile(f"{self.path} is another program's database", _ADVICE)
            elif version != SCHEMA_VERSION:
                self._migrate(version)

    def _migrate(self, version: int) -> None:
        """Bring a file of the format `version` to the present one, in the caller's transaction."""
        if version not in MIGRATIONS:
            raise HostError(
                f"{self.path} has the format {version}, this Writ knows {SCHEMA_VERSION}",
                "Run the Writ that wrote it, or a newer one.",
            )
        for older in range(version, SCHEMA_VERSION):
            for statement in MIGRATIONS[older]:
                self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def damaged(self, text: str) -> DamagedFile:
        """The error for rows that this program cannot have written."""
        return DamagedFile(f"{self.path} is damaged: {text}", _ADVICE)

    def close(self) -> None:
        """Run the last checkpoint and release the lock. Nothing is lost without it."""
        self._connection.close()

    def backup(self, path: Path) -> None:
        """Write a copy as of now, one file, mode 0600, in place of what was at `path`.

        The copy is restored as it is. A governor that returns with it fetches its newer hard state
        from the others, and takes no part until then (docs/consensus.md).
        """
        handle = path.with_name(f".{path.name}.new")
        handle.unlink(missing_ok=True)
        os.close(os.open(handle, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(handle)) as copy, self._explained():
            self._connection.backup(copy)
            # Peers keep a cursor into each ledger, so a restored one must count as another ledger.
            copy.execute("DELETE FROM meta WHERE key = 'ident'")
            copy.commit()
            copy.execute("PRAGMA journal_mode = DELETE")
        descriptor = os.open(handle, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(handle, path)
        files.sync_directory(path.parent)

    # --- transactions -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Group several writes into one commit with one fsync: all of them or none.

        Inside another `together` or `at_once` the block is a savepoint: an exception undoes the
        block, and the outer `together` too if the exception leaves it.
        """
        if self._depth:
            with self._savepoint():
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
        """Make all writes inside durable when the block ends, with or without an exception.

        The block costs one fsync. No message that depends on the writes may be sent before it
        ends. Each `together` inside is all or none.
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
        """Whether there are writes that are not durable yet."""
        return self._connection.in_transaction

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._execute("BEGIN IMMEDIATE")

    def _undo(self, statement: str) -> None:
        for forget in self.on_rollback:
            forget()
        # an error may have rolled back already
        if self._connection.in_transaction:
            self._execute(statement)

    def _commit(self) -> None:
        if self._connection.in_transaction:
            start = time.perf_counter()
            self._execute("COMMIT")
            self.failstop.after_commit(time.perf_counter() - start)

    @contextlib.contextmanager
    def _savepoint(self) -> Iterator[None]:
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
            # an error that ended the transaction has ended its savepoints
            if self._connection.in_transaction:
                self._execute("RELEASE part")

    # --- statements and errors --------------------------------------------------------------------

    @property
    def failure(self) -> HostError | None:
        """The newest error of the disk or the database, None while they work."""
        return self.failstop.failure

    def explain(self, error: sqlite3.DatabaseError) -> HostError:
        """The error that operators read for one of SQLite's; it also becomes the `failure`."""
        if not isinstance(error, sqlite3.OperationalError):
            found: HostError = self.damaged(str(error))
        elif "locked" in str(error):
            found = LedgerInUse(f"another process has {self.path} open")
        else:
            found = LedgerFailed(f"{self.path}: {error}")
        self.failstop.failure = found
        return found

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self.explain(error) from None

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise self.explain(error) from None

    def write(self, statement: str, *values: Any) -> int:
        """Run one statement and return the number of rows changed.

        The change is durable on return, unless inside a block.
        """
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
