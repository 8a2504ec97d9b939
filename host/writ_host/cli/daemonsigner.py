"""Certifying by way of a governor's daemon: it proposes, governors and their operators decide."""

import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from writ import capsule as capsules
from writ.errors import Rejection

from .. import keyfile, wire
from ..certify import Broker, Draft, WrongGovernors
from ..consensus.value import BATCH_MAX, ORDERED, body_of
from ..errors import HostError, NeedsPerson, NotReachable
from ..governor.control import ControlClient, Document
from ..governor.layout import Layout
from ..scopefolder import ScopeFolder
from . import governorview as view
from .output import Output

POLL_S = 0.1
# A file of the scope's folder: which daemon certifies, and how far the folder is.
POINTER = "governor"
_POINTER_BYTES_MAX = 4096


class Stale(HostError):
    """What was proposed does not fit what is in force any more."""

    advice = "Run the command again: it begins with what is in force now."


class Denied(HostError):
    """The governors, or their operators, said no."""

    advice = "Change it, or speak with them: writ governor log DIR says who and why."


def connect(daemon: Path) -> ControlClient:
    """The daemon of a governor's folder. Raises `HostError`."""
    layout = Layout(daemon)
    layout.read()
    return ControlClient(layout.control)


def read_daemon(scope: Path) -> Path | None:
    """The daemon that the scope's folder names."""
    try:
        text = keyfile.read_bounded(scope / POINTER, _POINTER_BYTES_MAX).decode()
    except FileNotFoundError:
        return None
    return Path(text.strip()) if text.strip() else None


def write_daemon(scope: Path, daemon: Path) -> None:
    """Let this daemon certify for the scope's folder from now on."""
    text = f"{daemon.resolve()}\n"
    keyfile.write_atomically(scope / POINTER, text.encode(), 0o644)


def catch_up(folder: ScopeFolder, client: ControlClient) -> int:
    """Take all that was certified and the folder does not know; how many that were.

    Raises `WrongGovernors`.
    """
    state = client.ask("state")
    if state["scope_id"] != bytes(folder.charter.scope).hex():
        raise WrongGovernors(f"that daemon governs {state['scope']}, not {folder.charter.name}")
    taken, cursor = 0, 0
    while True:
        page = client.ask("capsules", cursor=cursor)
        for raw in page["capsules"]:
            try:
                taken += folder.take(bytes.fromhex(raw))
            except Rejection:
                # older than what the folder has: the ledger keeps its past
                continue
        if page["cursor"] == cursor or not page["capsules"]:
            return taken
        cursor = page["cursor"]


class GovernorSigner(Broker):
    """Has drafts certified by proposing them to a daemon, and waits for what comes of them.

    wait_s: None to wait until Ctrl-C. The scope's folder must be up to date (`catch_up`). Raises
    `NotReachable`, `Stale`, `Denied` or `NeedsPerson`.
    """

    def __init__(
        self, out: Output, folder: ScopeFolder, daemon: Path, wait_s: float | None
    ) -> None:
        self._out = out
        self._daemon = daemon
        self._end = None if wait_s is None else time.monotonic() + wait_s
        with connect(daemon) as client:
            state = client.ask("state")
        if state["epoch"] != folder.epoch:
            raise Stale(f"the policy moved to epoch {state['epoch']} meanwhile")
        self._group_key = bytes.fromhex(state["group_key"])

    @property
    def group_key(self) -> bytes:
        """32 bytes."""
        return self._group_key

    def certified(self, drafts: Sequence[Draft], title: str) -> list[bytes]:
        """The capsules: ordered ones by one proposal, members and actions by others.

        Beacons need no proposal: the governors certify one of their own, now.
        """
        found: list[bytes] = []
        with connect(self._daemon) as client:
            for kind, group in groupby(drafts, _sort):
                listed = list(group)
                if kind == _BEACON:
                    found += [self._beacon(client) for _ in listed]
                    continue
                for start in range(0, len(listed), BATCH_MAX):
                    part = listed[start : start + BATCH_MAX]
                    found += self._by_proposal(client, part, title or _title(part))
        return found

    def _by_proposal(self, client: ControlClient, drafts: list[Draft], title: str) -> list[bytes]:
        evidence = [draft.evidence for draft in drafts]
        proposal = client.ask(
            "propose",
            payloads=[draft.payload for draft in drafts],
            title=title,
            evidence=wire.dump(evidence) if any(evidence) else b"",
        )
        after = self._wait(client, proposal)
        raws = [bytes.fromhex(one) for one in after["capsules"]]
        by_payload = {bytes(capsules.parse(raw).payload): raw for raw in raws}
        return [by_payload[draft.payload] for draft in drafts]

    def _wait(self, client: ControlClient, found: Document) -> Document:
        """The proposal when it is certified; meanwhile says whom it waits for."""
        shown = ""
        while found["state"] == "open":
            line = view.awaited(found).replace(" DIR ", f" {self._daemon} ")
            # signatures take a moment, which is not worth a line
            if line != shown and "approve" in line:
                self._out.note(line)
                shown = line
            self._sleep(line)
            found = client.ask("find", id=found["id"])
        if found["state"] == "stale":
            raise Stale(f"{found['title']}: {found['reason'] or 'the policy moved on'}")
        if found["state"] != "certified":
            raise Denied(f"{found['title']}: {found['reason'] or found['state']}")
        return found

    def _beacon(self, client: ControlClient) -> bytes:
        before = client.ask("beacon")
        while True:
            state = client.ask("state")
            if state["beacon"] and state["beacon"] != before["beacon"]:
                return bytes.fromhex(state["beacon"])
            self._sleep("")

    def _sleep(self, awaited: str) -> None:
        if self._end is None or time.monotonic() < self._end:
            time.sleep(POLL_S)
            return
        advice = (
            "What is proposed stays so: when it is certified, the next command with this scope"
            " takes it."
        )
        if "approve" in awaited:
            raise NeedsPerson(f"not approved yet: {awaited}", advice)
        raise NotReachable("too few governors answer: writ governor status shows who", advice)


def _title(drafts: Sequence[Draft]) -> str:
    more = len(drafts) - 1
    return drafts[0].label + (f" and {more} more" if more else "")


_ORDERED, _UNORDERED, _BEACON = range(3)


def _sort(draft: Draft) -> int:
    kind = body_of(draft.payload)[0]
    if kind == capsules.BEACON:
        return _BEACON
    return _ORDERED if kind in ORDERED else _UNORDERED
