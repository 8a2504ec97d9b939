"""The files of ceremonies, in the ledger. ceremonies/gossip.py says which files there can be."""

from ... import codec
from .database import Database, LedgerFull

# Founding, re-sharing and succession among 13 governors leave some 60 files each, or 300 if attempt
# after attempt fails.
FILES_MAX = 512
NAME_CHARS_MAX = 128
# The daemon drops the files of ended ceremonies; this limit holds if it should fail to.
CEREMONIES_MAX = 64


class CeremonyFiles:
    """Files by ceremony (32 B) and name. What is written is durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, ceremony: bytes, name: str) -> bytes | None:
        """The file, None where there is none."""
        found: bytes | None = self._database.value(
            "SELECT data FROM files WHERE ceremony = ? AND name = ?", ceremony, name
        )
        return found

    def put(self, ceremony: bytes, name: str, data: bytes) -> None:
        """Keep the file, in place of one of the same name. Raises `LedgerFull`."""
        if len(data) > codec.FILE_BYTES_MAX or len(name) > NAME_CHARS_MAX:
            raise LedgerFull(f"{name[:40]} is too large for a file of a ceremony")
        database = self._database
        with database.together():
            if self.get(ceremony, name) is None:
                count = database.value("SELECT count(*) FROM files WHERE ceremony = ?", ceremony)
                others = database.value("SELECT count(DISTINCT ceremony) FROM files")
                if count >= FILES_MAX or (not count and others >= CEREMONIES_MAX):
                    raise LedgerFull("too many files of ceremonies")
            database.write(
                "INSERT OR REPLACE INTO files (ceremony, name, data) VALUES (?, ?, ?)",
                *(ceremony, name, data),
            )

    def list(self, ceremony: bytes) -> "list[str]":
        """The names of all files of a ceremony, sorted."""
        select = "SELECT name FROM files WHERE ceremony = ? ORDER BY name"
        return [name for (name,) in self._database.rows(select, ceremony)]

    def drop(self, ceremony: bytes) -> None:
        """Delete all files of a ceremony."""
        self._database.write("DELETE FROM files WHERE ceremony = ?", ceremony)
