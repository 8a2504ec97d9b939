"""The tables of the ledger's SQLite file, and the check that a file holds them undamaged.

SQLite does not notice a bit that the disk changed. The rows that matter most are therefore kept
beside their own hash.
"""

import hashlib
import sqlite3

SCHEMA_VERSION = 2
# "Writ" in the file's header: another program's database is not mistaken for a ledger.
APPLICATION_ID = 0x57726974
SUM_BYTES = 8

SCHEMA = """
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
  until INTEGER NOT NULL, epoch INTEGER, reporter BLOB);
CREATE INDEX reported ON pledges (reporter) WHERE reporter IS NOT NULL;
CREATE TABLE proposals (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, item BLOB NOT NULL,
  proposer INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE approvals (id BLOB NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
  number INTEGER NOT NULL, item BLOB NOT NULL, PRIMARY KEY (id, number));
CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,
  event TEXT NOT NULL, text TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE files (ceremony BLOB NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (ceremony, name));
"""

# By the format of an older file: the statements that lead to the next format.
MIGRATIONS = {
    1: (
        "ALTER TABLE pledges ADD COLUMN epoch INTEGER",
        "ALTER TABLE pledges ADD COLUMN reporter BLOB",
        "CREATE INDEX reported ON pledges (reporter) WHERE reporter IS NOT NULL",
    ),
}


def checksum(data: bytes) -> bytes:
    """The hash that a row keeps beside its `data`, SUM_BYTES."""
    return hashlib.sha256(data).digest()[:SUM_BYTES]


def damage(connection: sqlite3.Connection) -> str | None:
    """What is damaged in the file, None for nothing."""
    # Checks pages and rows, but not whether each index matches, which takes far longer.
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        return f"SQLite says: {found[0] if found else 'nothing'}"
    for table, column in (("promises", "record"), ("chain", "decide")):
        for data, kept in connection.execute(f"SELECT {column}, sum FROM {table}"):
            if checksum(data) != kept:
                return f"a row of {table} has changed since it was written"
    for raw, digest in connection.execute("SELECT raw, digest FROM capsules"):
        if hashlib.sha256(raw).digest()[: len(digest)] != digest:
            return "a capsule has changed since it was written"
    return None
