"""The ledger as the daemon runs it: durable writes are timed, and a failed one ends the daemon."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import HostError
from .ledger import Ledger


class TimedLedger(Ledger):
    """observe(seconds) is told of each commit; failure: the disk's last word, None while it works.

    What was to follow from a write that failed must not be said, whoever caught the error.
    """

    def __init__(self, path: Path, *rest: Any) -> None:
        super().__init__(path, *rest)
        self.observe: Callable[[float], None] = lambda _: None
        self.failure: HostError | None = None

    def _commit(self) -> None:
        if self._database.in_transaction:
            since = time.perf_counter()
            super()._commit()
            self.observe(time.perf_counter() - since)

    def _explain(self, error: sqlite3.DatabaseError) -> HostError:
        self.failure = super()._explain(error)
        return self.failure
