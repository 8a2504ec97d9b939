"""Keeps the airtime of a host's LoRa links over a restart, in its folder (airtimefile.py).

The duty cycle is a limit of the law: a node that restarts again and again must not exceed it.

1. The file is written with the first frame after a start, then at most every PAUSE_MS, or as soon
   as a link has sent for more than its reserve since: a 60th of what it may send in an hour. A
   clean end closes the file.
2. A start charges the reserve where the file is open: a process that was killed has sent no more
   since, except for the frames of its last step.
3. What is older than an hour by the wall clock is forgotten. A clock that went back frees nothing.
   If the clock is set while the node runs, the file is written anew.
4. A damaged file counts as an hour that is spent. No file is a first start.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from writ.mesh.kept import dump_budget, load_budget

from .. import files
from ..errors import HostError
from . import airtimefile
from .airtimefile import HOUR_S

PAUSE_MS = 60_000
_RESERVES_AN_HOUR = 60
# By how much the wall clock may differ from the running time
_CLOCK_STEP_S = 5
Datagrams = list[tuple[str, bytes]]


class AirtimeKeeper:
    """A part of the agent. budgets: the `Budget` of each link, before any use; folder: the node's.

    problem: why the file is not read or written, else "". clock_s: the wall clock.
    """

    def __init__(
        self, budgets: list[Any], folder: Path, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._budgets, self._folder, self._clock_s = budgets, folder, clock_s
        self._unwritten = [0] * len(budgets)  # µs of each link that the file lacks
        self._is_open = False  # whether the file is open
        self._has_file = False
        self._offset_s = 0.0  # from the running time to the wall clock, as in the file
        self._pause_until_ms = 0
        self._known_s = 0  # before the start
        self._start_ms = 0
        self.problem = ""

    def restore(self, now_ms: int) -> None:
        """Take what the file has, and count what is charged from now on. Call it once."""
        self._start_ms = now_ms
        try:
            files.remove_leftovers(self._folder / airtimefile.NAME)
            kept = airtimefile.read(self._folder)
        except (HostError, OSError) as error:
            self.problem = f"{self._folder / airtimefile.NAME}: {error}; it counts as a spent hour"
            self._known_s = HOUR_S
            for budget in self._limited():
                # no account has this form: an hour is charged
                load_budget(budget, [b"", []], now_ms, 0)
        else:
            if kept:
                self._take(kept, now_ms)
        for number, budget in enumerate(self._budgets):
            self._follow(number, budget)

    def _limited(self) -> list[Any]:
        return [one for one in self._budgets if one.limit_us < HOUR_S * 1_000_000]

    def _take(self, kept: airtimefile.Kept, now_ms: int) -> None:
        # both seconds have begun
        passed_s = max(0, int(self._clock_s()) - kept.time_s - 1)
        self._known_s = min(HOUR_S, kept.known_s + passed_s)
        for budget, account in zip(self._budgets, kept.accounts, strict=False):
            load_budget(budget, account, now_ms, 1000 * passed_s)
        if kept.is_open:
            for budget in self._limited():
                rest_us = budget.limit_us - budget.used_us(now_ms)
                budget._all.add(now_ms, min(_reserve_us(budget), max(0, rest_us)))
            # the next start finds the reserve in the accounts
            self._write(now_ms, False)
        self._has_file = True
        self._offset_s = self._clock_s() - now_ms / 1000

    def _follow(self, number: int, budget: Any) -> None:
        charge = budget.charge

        def counted(now_ms: int, airtime_us: int, route_class: int, neighbour: int | None) -> None:
            charge(now_ms, airtime_us, route_class, neighbour)
            self._unwritten[number] += airtime_us

        budget.charge = counted

    def known_s(self, now_ms: int) -> int:
        """For how many seconds before now the airtime is known, at most an hour."""
        return min(HOUR_S, self._known_s + (now_ms - self._start_ms) // 1000)

    def _write(self, now_ms: int, is_open: bool) -> None:
        wall_s = self._clock_s()
        accounts = []
        for budget in self._budgets:
            duty, classes = dump_budget(budget, now_ms)
            accounts.append((duty, classes))
        kept = airtimefile.Kept(max(0, int(wall_s)), self.known_s(now_ms), is_open, accounts)
        self._pause_until_ms = now_ms + PAUSE_MS
        try:
            airtimefile.write(self._folder, kept)
        except OSError as error:
            self.problem = str(error)
            return
        self._unwritten = [0] * len(self._budgets)
        self._is_open, self._has_file, self.problem = is_open, True, ""
        self._offset_s = wall_s - now_ms / 1000

    def save(self, now_ms: int) -> None:
        """Close the file at a clean end, if something was sent since the start."""
        if self._is_open or any(self._unwritten):
            self._write(now_ms, False)

    # --- as a part of the agent -------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, link: Any, now_ms: int) -> bool:
        """False: no datagram is its own."""
        return False

    def tick(self, now_ms: int) -> Datagrams:
        """Write the file when that is due."""
        if self.next_ms(now_ms) == 0:
            self._write(now_ms, self._is_open or any(self._unwritten))
        return []

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has something to do, or None for never."""
        is_new = any(self._unwritten)
        if not self.problem:
            if is_new and not self._is_open:
                return 0
            for budget, unwritten_us in zip(self._budgets, self._unwritten, strict=True):
                if unwritten_us > _reserve_us(budget):
                    return 0
        if is_new or (self._has_file and self._is_clock_set(now_ms)):
            return max(0, self._pause_until_ms - now_ms)
        return None

    def _is_clock_set(self, now_ms: int) -> bool:
        return abs(self._clock_s() - now_ms / 1000 - self._offset_s) > _CLOCK_STEP_S


def _reserve_us(budget: Any) -> int:
    return int(budget.limit_us) // _RESERVES_AN_HOUR
