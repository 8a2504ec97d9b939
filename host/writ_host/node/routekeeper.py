"""Keeps what a gateway knows of the ways in its mesh over a restart, in its folder (waysfile.py).

1. The file is written FIRST_MS after the first report, then at most every PAUSE_MS, and at a clean
   end: a memory card bears that. A power cut leaves the file of before or the new one.
2. At the start each member capsule passes all checks of a node. The reports count as in
   meshroutes.py: their links cost more until the members report anew, once an hour.
3. A file that is damaged or cannot be read or written is a `problem`, and no reason to stop: the
   nodes report by themselves.
"""

import contextlib
from pathlib import Path
from typing import Any

from writ.authority.capsule import Member, parse
from writ.errors import AlreadyKnown, Rejection, RolledBack
from writ.node.sleepers import keep_sleep

from .. import files
from ..errors import HostError
from . import waysfile
from .meshroutes import MeshRoutes

FIRST_MS = 10_000
PAUSE_MS = 300_000
Datagrams = list[tuple[str, bytes]]


class RouteKeeper:
    """The keeper of one gateway; a part of the agent. node: the `HostNode`; folder: its folder.

    problem: why the file is not read or written, else "".
    """

    def __init__(self, node: Any, routes: MeshRoutes, folder: Path) -> None:
        self._node, self._routes, self._folder = node, routes, folder
        self._written = routes.changes  # the changes that the file has
        self._pause_until_ms = 0
        self._due_ms: int | None = None  # when the file is written
        self.problem = ""

    def restore(self, now_ms: int) -> None:
        """Take what the file has. Call it once, at the start."""
        try:
            files.remove_leftovers(self._folder / waysfile.NAME)
            kept = waysfile.read(self._folder)
        except (HostError, OSError) as error:
            self.problem = f"{self._folder / waysfile.NAME}: {error}"
            return
        if kept:
            self._take(kept, now_ms)
        self._written = self._routes.changes

    def _take(self, kept: waysfile.Kept, now_ms: int) -> None:
        authority = self._node.authority
        for one in kept.reports:
            try:
                found = Member(parse(one.capsule))
                # it may be here, from the session with this member, or a newer one
                with contextlib.suppress(AlreadyKnown, RolledBack):
                    authority.receive(one.capsule, now_ms)
                if member := authority.peer(found.node_id):
                    self._routes.restore(member, one.payload, now_ms - 1000 * one.age_s)
                    if one.sleep_s:
                        keep_sleep(self._node.sleepers, member.address, one.sleep_s)
            except Rejection:
                # revoked or expired
                continue
        self._routes.restore_neighbours(kept.neighbours)
        # the first request may come before the first tick
        self._routes.compute(now_ms)

    def save(self) -> None:
        """Write the file, if something has changed."""
        if self._written == self._routes.changes:
            return
        changes, now_ms = self._routes.changes, int(self._node.now_ms)
        try:
            waysfile.write(self._folder, self._content(now_ms))
            self._written, self.problem = changes, ""
        except OSError as error:
            self.problem = str(error)

    def _content(self, now_ms: int) -> waysfile.Kept:
        reports = []
        for member, payload, time_ms in self._routes.reports():
            age_s = min(max(0, now_ms - time_ms) // 1000, waysfile.AGE_S_MAX)
            sleep_s = self._node.sleepers.get(member.address, 0)
            reports.append(waysfile.KeptReport(bytes(member.raw), payload, age_s, sleep_s))
        return waysfile.Kept(self._routes.neighbours(), reports)

    # --- as a part of the agent -------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, link: Any, now_ms: int) -> bool:
        """False: no datagram is its own."""
        return False

    def tick(self, now_ms: int) -> Datagrams:
        """Write the file when that is due."""
        if self._written == self._routes.changes:
            self._due_ms = None
        elif self._due_ms is None:
            self._due_ms = max(now_ms + FIRST_MS, self._pause_until_ms)
        elif now_ms >= self._due_ms:
            self._pause_until_ms = self._due_ms = now_ms + PAUSE_MS
            self.save()
        return []

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has something to do, or None for never."""
        if self._written == self._routes.changes:
            return None
        return max(0, self._due_ms - now_ms) if self._due_ms is not None else 0
