"""Fail-stop for the ledger: times each commit and remembers the first reason to stop the daemon.

After a failed write a governor must send nothing that depends on it, whichever code caught the
error. The daemon therefore checks `failure` before it sends, and ends when it is set.
"""

import os
from collections.abc import Callable
from pathlib import Path

from ...errors import HostError


class LedgerFailed(HostError):
    """The disk did not take a write: the governor must not act on data that is not stored."""

    advice = "Is the disk full, or failing? Fix that, then start the governor again."


class LedgerGone(LedgerFailed):
    """The ledger's file was removed or replaced while a daemon writes to it."""

    advice = "Put the folder back as it was, or restore a backup, then start the governor again."


class FailStop:
    """Watches the commits to one database file.

    observe(seconds) is called after each commit; failure: the newest error of the database, None
    while it works.
    """

    def __init__(self, path: Path) -> None:
        self.observe: Callable[[float], None] = lambda _: None
        self.failure: HostError | None = None
        self._path = path
        self._inode = path.stat().st_ino

    def after_commit(self, seconds: float) -> None:
        """Report a commit that took `seconds`. Raises `LedgerGone`."""
        self.observe(seconds)
        self.check_file()

    def check_file(self) -> None:
        """Raises `LedgerGone` unless the file is still where the next start will look for it."""
        try:
            is_there = os.stat(self._path).st_ino == self._inode
        except OSError:
            is_there = False
        if not is_there:
            self.failure = LedgerGone(f"{self._path} is gone, or another file is in its place")
            raise self.failure
