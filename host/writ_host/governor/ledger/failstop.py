"""The ledger as the daemon runs it: durable writes are timed, and a failed one ends the daemon."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import HostError
from .database import LedgerFailed
from .ledger import Ledger


class LedgerGone(LedgerFailed):
    """Somebody took the ledger away from under a daemon that writes to it."""

    advice = "Put the folder back as it was, or restore a backup, then start the governor again."


class TimedLedger(Ledger):
    """observe(seconds) is told of each commit; failure: the disk's last word, None while it works.

    What was to follow from a write that failed must not be said, whoever caught the error.
    """

    def __init__(self, path: Path, *rest: Any) -> None:
        super().__init__(path, *rest)
        self.observe: Callable[[float], None] = lambda _: None
        self.failure: HostError | None = None

        self._inode = path.stat().st_ino

    def _commit(self) -> None:
        if self._database.in_transaction:
            since = time.perf_counter()
            super()._commit()
            self.observe(time.perf_counter() - since)
            self.check_there()

    def check_there(self) -> None:
        """Raises `LedgerGone` unless what was written is where the next start will look for it."""
        try:
            is_there = os.stat(self.path).st_ino == self._inode
        except OSError:
            is_there = False
        if not is_there:
            self.failure = LedgerGone(f"{self.path} is gone, or another file is in its place")
            raise self.failure

    def _explain(self, error: sqlite3.DatabaseError) -> HostError:
        self.failure = super()._explain(error)
        return self.failure
