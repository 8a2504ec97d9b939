"""Certifying by way of a governor's daemon: it proposes, governors and their operators decide.

People take their time, so the scope's folder is free meanwhile, and what is proposed is kept in it
(scope/pending.py): whoever stops waiting says the same again, and goes on.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import click

from writ.authority import capsule as capsules
from writ.errors import Rejection

from .. import codec, files, humanize
from ..consensus.value import BATCH_MAX, ORDERED, body_of
from ..errors import HostError, Interrupted, NeedsPerson, NotReachable
from ..governor.control import WAIT_S_MAX, ControlClient, ControlFailed, Document
from ..governor.folder import GovernorFolder
from ..governor.proposals.proposal import proposal_id
from ..scope import pending
from ..scope.folder import ScopeFolder, now_s
from ..scope.issuance import Draft, Issuer, WrongGovernors
from ..scope.pending import Pending
from . import governorview as view
from .output import Output

# How long another command may take to put into the folder what it got.
LOCK_WAIT_S = 10.0
# With --no-wait: signatures of daemons that are up, where nobody is to be asked.
NO_WAIT_S = 2.0
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
    layout = GovernorFolder(daemon)
    layout.read()
    return ControlClient(layout.control)


def read_daemon(scope: Path) -> Path | None:
    """The daemon that the scope's folder names."""
    try:
        text = files.read_bounded(scope / POINTER, _POINTER_BYTES_MAX).decode()
    except FileNotFoundError:
        return None
    return Path(text.strip()) if text.strip() else None


def write_daemon(scope: Path, daemon: Path) -> None:
    """Let this daemon certify for the scope's folder from now on."""
    text = f"{daemon.resolve()}\n"
    files.write_atomically(scope / POINTER, text.encode(), 0o644)


def catch_up(folder: ScopeFolder, client: ControlClient) -> int:
    """Take all that was certified and the folder does not know; how many that were.

    The folder is locked for that, and no longer. Raises `WrongGovernors`, `FolderInUse`.
    """
    with folder.lock(LOCK_WAIT_S):
        return _catch_up(folder, client)


def _catch_up(folder: ScopeFolder, client: ControlClient) -> int:
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


class GovernorSigner(Issuer):
    """Has drafts certified by proposing them to a daemon, and waits for what comes of them.

    wait_s: None to wait until Ctrl-C; waits: False to leave once it is proposed; wish: the name of
    what the command wants (scope/pending.py), "" where it is not kept. The scope's folder must be
    up to date (`catch_up`), and is so again when `certified` returns. Raises `NotReachable`,
    `Stale`, `Denied`, `NeedsPerson` or `Interrupted`.
    """

    def __init__(
        self,
        out: Output,
        folder: ScopeFolder,
        daemon: Path,
        wait_s: float | None,
        waits: bool = True,
        wish: str = "",
    ) -> None:
        self._out = out
        self._folder = folder
        self._daemon = daemon
        self._waits = waits
        self._wish = wish
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

    def issue(self, drafts: Sequence[Draft], title: str) -> list[bytes]:
        """The capsules: ordered ones by one proposal, members and actions by others.

        Beacons need no proposal: the governors certify one of their own, now.
        """
        proposals = [part for part in _parts(drafts) if _sort(part[0]) != _BEACON]
        known = {draft.payload: self._taken(draft) for part in proposals for draft in part}
        missing = [part for part in proposals if not all(known[one.payload] for one in part)]
        with connect(self._daemon) as client:
            if missing:
                self._remember(drafts, title or _title(drafts))
            with self._forgetting():
                asked = [self._propose(client, part, title or _title(part)) for part in missing]
                for after in self._wait(client, asked):
                    for raw in map(bytes.fromhex, after["capsules"]):
                        known[bytes(capsules.parse(raw).payload)] = raw
            beacons = [self._beacon(client) for one in drafts if _sort(one) == _BEACON]
            catch_up(self._folder, client)
        self._forget()
        return [
            beacons.pop(0) if _sort(one) == _BEACON else known[one.payload] or self._the_taken(one)
            for one in drafts
        ]

    def _taken(self, draft: Draft) -> bytes | None:
        return pending.issued(self._folder, draft.payload) if self._wish else None

    def _the_taken(self, draft: Draft) -> bytes:
        """Of one that the daemon only knows to be certified."""
        raw = pending.issued(self._folder, draft.payload)
        if raw is None:
            raise Stale(f"{draft.label}: something newer is in force")
        return raw

    def _remember(self, drafts: Sequence[Draft], title: str) -> None:
        if not self._wish:
            return
        known = pending.load(self._folder, self._wish)
        if known is None or known.drafts != list(drafts):
            pending.save(self._folder, self._wish, Pending(title, now_s(), list(drafts)))

    def _forget(self) -> None:
        if self._wish:
            pending.remove(self._folder, self._wish)

    @contextlib.contextmanager
    def _forgetting(self) -> Iterator[None]:
        """What comes to nothing is proposed anew by the next command."""
        try:
            yield
        except (Stale, Denied, ControlFailed):
            self._forget()
            raise

    def _propose(self, client: ControlClient, drafts: list[Draft], title: str) -> Document:
        evidence = [draft.evidence for draft in drafts]
        return client.ask(
            "propose",
            payloads=[draft.payload for draft in drafts],
            title=title,
            evidence=codec.dump(evidence) if any(evidence) else b"",
        )

    def _wait(self, client: ControlClient, asked: list[Document]) -> list[Document]:
        """The proposals when all are certified; meanwhile says whom they wait for."""
        shown = ""
        try:
            while waiting := [one for one in asked if one["state"] == "open"]:
                line = self._awaited(waiting)
                # signatures take a moment, which is not worth a line
                if line != shown and "approve" in line and self._waits:
                    self._out.note(line)
                    shown = line
                first, left_s = waiting[0], self._left_s(asked, line)
                news = client.ask_anew("find", first, left_s, id=first["id"], words=False)
                asked = [news if one is first else self._look(client, one) for one in asked]
        except KeyboardInterrupt:
            raise Interrupted(
                f"not waiting any more: {self._awaited(asked)}", self._advice(asked)
            ) from None
        for one in asked:
            if one["state"] == "stale":
                raise Stale(f"{one['title']}: {one['reason'] or 'the policy moved on'}")
            if one["state"] != "certified":
                raise Denied(f"{one['title']}: {one['reason'] or one['state']}")
        return asked

    def _look(self, client: ControlClient, one: Document) -> Document:
        if one["state"] != "open":
            return one
        return client.ask("find", id=one["id"], words=False)

    def _awaited(self, waiting: Sequence[Document]) -> str:
        lines = [view.awaited(one).replace(" DIR ", f" {self._daemon} ") for one in waiting]
        return "; ".join(dict.fromkeys(line for line in lines if line))

    def _advice(self, asked: Sequence[Document]) -> str:
        id = next((one["id"] for one in asked if one["state"] == "open"), asked[0]["id"])[:8]
        deny = f"writ governor deny {self._daemon} {id} ends it."
        again = "Run the same command again to go on with it; " if self._wish else ""
        return f"It stays proposed, whoever waits. {again}{deny}"

    def _beacon(self, client: ControlClient) -> bytes:
        before = state = client.ask("beacon")
        while state["beacon"] in ("", before["beacon"]):
            state = client.ask_anew("state", state, self._left_s([], ""))
        return bytes.fromhex(state["beacon"])

    def _left_s(self, asked: Sequence[Document], awaited: str) -> float:
        """How long to wait for news. Raises, or leaves, when that is over."""
        if not self._waits:
            if self._end is None:
                self._end = time.monotonic() + NO_WAIT_S
            if "approve" in awaited or time.monotonic() >= self._end:
                self._leave(asked, awaited)
        left_s = WAIT_S_MAX if self._end is None else self._end - time.monotonic()
        if left_s > 0:
            return left_s
        if "approve" in awaited:
            raise NeedsPerson(f"not approved yet: {awaited}", self._advice(asked))
        advice = (
            "Run the same command again when they do: what was proposed stays so."
            if asked
            else "Run the same command again when they do."
        )
        raise NotReachable("too few governors answer: writ governor status shows who", advice)

    def _leave(self, asked: Sequence[Document], awaited: str) -> NoReturn:
        """With --no-wait: say what was proposed, and end the command well."""
        for one in asked:
            self._out.ok(f"proposed {one['id'][:8]}: {one['title']}")
        if awaited:
            self._out.note(awaited)
        if asked:
            self._out.note(f"how far it is:  writ governor pending {self._daemon}")
            self._out.note("the same command, run again, takes what comes of it")
        else:
            self._out.note("asked for: the next command with this scope takes the beacon")
        self._out.json({"proposed": asked})
        click.get_current_context().exit(0)


def resume(out: Output, folder: ScopeFolder, daemon: Path | None, wish: str) -> list[Draft] | None:
    """The drafts that were proposed for this wish and may still be certified, or are by now.

    The folder is up to date. Raises `Denied` where they were refused since: once.
    """
    kept = None if daemon is None else pending.load(folder, wish)
    if daemon is None or kept is None:
        return None
    since = humanize.moment(kept.time_s)
    wanted = [draft for draft in kept.drafts if _sort(draft) != _BEACON]
    if all(pending.issued(folder, draft.payload) for draft in wanted):
        out.note(f"proposed {since}, and certified since: {kept.title}")
        return kept.drafts
    with connect(daemon) as client:
        found = [_look(client, part) for part in _parts(wanted)]
    states = {one["state"] for one in found if one}
    if "open" in states and states <= {"open", "certified"} and None not in found:
        ids = ", ".join(one["id"][:8] for one in found if one)
        out.note(f"going on with {ids}, proposed {since}: {kept.title}")
        return kept.drafts
    pending.remove(folder, wish)
    for one in found:
        if one and one["state"] == "refused":
            raise Denied(
                f"{one['title']}: {one['reason'] or 'refused'}",
                "The same command, run again, proposes it anew. Who said no, and why:"
                f" writ governor log {daemon}",
            )
    return None


def _look(client: ControlClient, drafts: Sequence[Draft]) -> Document | None:
    try:
        return client.ask("find", id=proposal_id([draft.payload for draft in drafts]).hex())
    except ControlFailed:
        return None  # forgotten


def _parts(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """What is proposed together."""
    found = []
    for _, group in groupby(drafts, _sort):
        listed = list(group)
        found += [listed[at : at + BATCH_MAX] for at in range(0, len(listed), BATCH_MAX)]
    return found


def _title(drafts: Sequence[Draft]) -> str:
    more = len(drafts) - 1
    return drafts[0].label + (f" and {more} more" if more else "")


_ORDERED, _UNORDERED, _BEACON = range(3)


def _sort(draft: Draft) -> int:
    kind = body_of(draft.payload)[0]
    if kind == capsules.BEACON:
        return _BEACON
    return _ORDERED if kind in ORDERED else _UNORDERED
