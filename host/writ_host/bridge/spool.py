"""What must survive a restart: readings that wait for the broker, the discovery that was announced,
and the member capsules of others, which a node keeps in memory only.

1. A message is acknowledged to its source when `commit` returns: from then on it survives a crash.
2. A message is removed when the broker has acknowledged it (QoS 1), in the next commit. A crash in
   between publishes it a second time, as QoS 1 allows; nothing else does.
3. Messages leave in the order in which they came, so each topic's order is kept.
4. Capsules are never dropped to make room: they are as many as the node's cache of members.
5. Above the limit of bytes the oldest readings are dropped, and so are those above the age limit.

SQLite's write-ahead log with `synchronous = FULL` makes each commit whole or absent.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..errors import HostError

NAME = "spool.db"
# What a row costs beside topic and payload, about.
_ROW_BYTES = 64
_APPLICATION_ID = 0x57425350  # "WBSP"
_VERSION = 1
_PRAGMAS = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",
    f"journal_size_limit = {4 << 20}",
)
_SCHEMA = (
    "CREATE TABLE message (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
    " payload BLOB NOT NULL, retain INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) STRICT",
    # for the age limit
    "CREATE INDEX message_time ON message (time_ms)",
    "CREATE TABLE announced (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT",
)
# In a statement of its own: a file from before capsules were kept lacks it.
_KEPT = "CREATE TABLE IF NOT EXISTS kept (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT"
_DELETE = "DELETE FROM message WHERE"
_ADVICE = "Move {} away and start again: readings that wait there are lost, nothing else is."


class SpoolDamaged(HostError):
    """The spool's file is damaged, or another program's."""


class SpoolFailed(HostError):
    """The disk did not take what was to be spooled."""

    advice = "Check the disk: full, read-only or failing."


@dataclass(frozen=True)
class Message:
    """A message that waits. id: grows with each message."""

    id: int
    topic: str
    payload: bytes
    retain: bool


class Spool:
    """The spool at `path`, created where there is none (mode 0600). Used by one thread.

    bytes_max: above it the oldest readings are dropped; age_max_s: likewise by age. dropped: how
    many were, since the start; bytes, count: of what waits, commits included.
    """

    def __init__(self, path: Path, bytes_max: int, age_max_s: int) -> None:
        self.path = path
        self.dropped = 0
        self._bytes_max, self._age_max_ms = bytes_max, 1000 * age_max_s
        self._acked: list[int] = []
        self._added: list[tuple[str, bytes, bool, int]] = []
        self._announced: list[tuple[str, bytes]] = []
        self._kept: list[tuple[str, bytes]] = []
        if not files.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            files.sync_directory(path.parent)
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            with self._explained():
                self._prepare()
                row = "SELECT coalesce(sum(bytes), 0), count(*) FROM message"
                self.bytes, self.count = self._connection.execute(row).fetchone()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables and not application:
            with self._transaction():
                for statement in _SCHEMA:
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif (application, version) != (_APPLICATION_ID, _VERSION):
            raise SpoolDamaged(f"{self.path} is no spool of this version", self._advice)
        self._connection.execute(_KEPT)
        if self._connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise SpoolDamaged(f"{self.path} is damaged", self._advice)

    @property
    def _advice(self) -> str:
        return _ADVICE.format(self.path.name)

    def close(self) -> None:
        """Close the file. What was not committed is lost."""
        self._connection.close()

    # --- what changes -----------------------------------------------------------------------------

    def add(self, topic: str, payload: bytes, retain: bool, time_ms: int) -> None:
        """Add a reading to the next commit. time_ms: Unix time in milliseconds."""
        self._added.append((topic, payload, retain, time_ms))

    def remove(self, id: int) -> None:
        """Remove a message, which the broker has acknowledged, in the next commit."""
        self._acked.append(id)

    def announce(self, topic: str, payload: bytes) -> None:
        """Remember the announcement at a topic; b"" forgets it. In the next commit."""
        self._announced.append((topic, payload))

    def keep(self, slot: str, raw: bytes) -> None:
        """Keep a capsule in place of the one at its slot; b"" removes that. In the next commit."""
        self._kept.append((slot, raw))

    def commit(self, now_ms: int) -> None:
        """Write all changes durably. Raises `SpoolFailed`: then the new readings are lost."""
        added, acked = self._added, self._acked
        pairs = {"announced": self._announced, "kept": self._kept}
        if not (added or acked or any(pairs.values())):
            return
        self._added, self._acked, self._announced, self._kept = [], [], [], []
        try:
            with self._explained(), self._transaction():
                self._write_pairs(pairs)
                done = self._write(added, acked, now_ms)
        except SpoolFailed:
            self.dropped += len(added)
            # the others are not lost: they go into the next commit
            self._acked += acked
            self._announced[:0], self._kept[:0] = pairs["announced"], pairs["kept"]
            raise
        self.bytes, self.count, dropped = done
        self.dropped += dropped

    def _write_pairs(self, pairs: dict[str, list[tuple[str, bytes]]]) -> None:
        for table, items in pairs.items():
            for key, value in items:
                self._connection.execute(f"DELETE FROM {table} WHERE topic = ?", (key,))
                if value:
                    self._connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (key, value))

    def _write(
        self,
        added: list[tuple[str, bytes, bool, int]],
        acked: list[int],
        now_ms: int,
    ) -> tuple[int, int, int]:
        """Make the changes; (bytes, messages) that wait then, and how many were dropped."""
        run = self._connection.execute
        # counted as it goes: a sum over all rows would take longer the longer the outage
        gone = [row for id in acked for row in run(f"{_DELETE} id = ? RETURNING bytes", (id,))]
        self._connection.executemany(
            "INSERT INTO message (topic, payload, retain, time_ms, bytes) VALUES (?, ?, ?, ?, ?)",
            [
                (topic, payload, retain, time_ms, _size(topic, payload))
                for topic, payload, retain, time_ms in added
            ],
        )
        old_ms = now_ms - self._age_max_ms
        old = run(f"{_DELETE} time_ms < ? RETURNING bytes", (old_ms,)).fetchall()
        size = self.bytes + sum(_size(topic, payload) for topic, payload, _, _ in added)
        size -= sum(row[0] for row in gone + old)
        # the oldest first, one by one: a commit adds few
        while size > self._bytes_max:
            row = run(f"{_DELETE} id = (SELECT min(id) FROM message) RETURNING bytes").fetchone()
            old.append(row)
            size -= row[0]
        return size, self.count + len(added) - len(gone) - len(old), len(old)

    # --- what is there ----------------------------------------------------------------------------

    def after(self, id: int, limit: int) -> list[Message]:
        """At most `limit` committed messages after the one with this id, oldest first."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT id, topic, payload, retain FROM message WHERE id > ? ORDER BY id LIMIT ?",
                (id, limit),
            ).fetchall()
        return [Message(id, topic, payload, bool(retain)) for id, topic, payload, retain in rows]

    def announced(self) -> dict[str, bytes]:
        """{topic: payload} of all announcements."""
        with self._explained():
            return dict(self._connection.execute("SELECT topic, payload FROM announced").fetchall())

    def kept(self) -> dict[str, bytes]:
        """{slot: capsule} of all that are kept."""
        with self._explained():
            return dict(self._connection.execute("SELECT topic, payload FROM kept").fetchall())

    # --- transactions and errors ------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # an error may have rolled back already
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise SpoolFailed(f"{self.path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise SpoolDamaged(f"{self.path} is damaged: {error}", self._advice) from None


def _size(topic: str, payload: bytes) -> int:
    return len(topic.encode()) + len(payload) + _ROW_BYTES
