"""A connection that outlives its daemon: commands that follow a governor wait while it is offline.

A daemon restarts after an update or a power failure, and what it does lives in its ledger. So a
command that follows it says "governor offline, waiting", connects again, and goes on. The first
connection fails without a daemon: its folder may be the wrong one.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import HostError, NotReachable
from ..control import WAIT_S_MAX, ControlClient, Document
from .connection import connect

RETRY_S = 0.5
OFFLINE = "governor offline, waiting"
ONLINE = "governor online again"


class Following:
    """The daemon of a governor's folder, across its restarts. A context manager.

    announce(text): called with OFFLINE and with ONLINE; check(): called while the daemon is
    offline, and may raise to end the wait. Raises `NotReachable` if no daemon runs at first.
    """

    def __init__(
        self,
        daemon: Path,
        announce: Callable[[str], None],
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self._daemon = daemon
        self._announce = announce
        self._check = check
        self._client = connect(daemon)

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def ask(self, do: str, **parameters: object) -> Document:
        """As `ControlClient.ask`; asked again after a restart, so it must do nothing twice."""
        while True:
            try:
                return self._client.ask(do, **parameters)
            except NotReachable:
                self._reconnect()

    def ask_anew(
        self, do: str, seen: Document, wait_s: float = WAIT_S_MAX, **parameters: object
    ) -> Document:
        """As `ControlClient.ask_anew`."""
        while True:
            try:
                return self._client.ask_anew(do, seen, wait_s, **parameters)
            except NotReachable:
                self._reconnect()

    def watch(self) -> Iterator[Document]:
        """The events of the daemon, without those while this command was not connected."""
        while True:
            # it may stop before it answers
            with contextlib.suppress(NotReachable):
                yield from self._client.watch()
            self._reconnect()

    def _reconnect(self) -> None:
        self._client.__exit__()
        self._announce(OFFLINE)
        while True:
            self._check()
            time.sleep(RETRY_S)
            client = self._try()
            if client is not None:
                self._client = client
                self._announce(ONLINE)
                return

    def _try(self) -> ControlClient | None:
        """A connection to a daemon that answers, None while it does not."""
        try:
            client = connect(self._daemon)
        except NotReachable:
            return None
        try:
            client.ask("status")
        except HostError:
            client.__exit__()
            return None
        return client
