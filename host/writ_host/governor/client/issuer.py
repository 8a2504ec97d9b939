"""Certification by a governor's daemon: it proposes, the governors and their operators decide.

Operators may take days. The scope's folder stays free meanwhile, and it keeps the proposed drafts
(scope/pending.py): the same command, run again, continues with them.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from writ.authority import capsule as capsules

from ... import codec, humanize
from ...consensus.value import BATCH_MAX, ORDERED, body_of
from ...errors import HostError, Interrupted, NeedsPerson, NotReachable
from ...scope import pending
from ...scope.folder import ScopeFolder, now_s
from ...scope.issuance import Draft, Issuer
from ...scope.pending import Pending
from ..control import WAIT_S_MAX, ControlClient, ControlFailed, Document
from ..proposals.proposal import proposal_id
from .connection import connect, sync
from .following import Following
from .summary import awaited, needs_operators

Announce = Callable[[str], None]
# Without waiting for operators: the time for the signatures of governors that are online.
NO_WAIT_S = 2.0


class Stale(HostError):
    """A proposal that does not follow the policy in force any more."""

    advice = "Run the command again: it starts from the policy in force now."


class Denied(HostError):
    """The governors or their operators denied a proposal."""

    advice = "Change it, or speak with them: writ governor log DIR says who denied it and why."


class StillPending(Exception):
    """The drafts are proposed and not certified yet, and the caller does not want to wait.

    proposals: their documents, none for a beacon; awaited: what they wait for, "" for nothing.
    """

    def __init__(self, proposals: Sequence[Document], awaited: str) -> None:
        super().__init__(awaited)
        self.proposals = proposals
        self.awaited = awaited


class GovernorIssuer(Issuer):
    """Proposes drafts to a daemon, and waits until they are certified.

    wait_s: None to wait until Ctrl-C; waits: False to raise `StillPending` once they are proposed;
    intent: the key of the command's intent (scope/pending.py), "" where it is not kept. The
    scope's folder must be in sync, and is so again when `issue` returns. Raises `NotReachable`,
    `Stale`, `Denied`, `NeedsPerson`, `Interrupted` or `StillPending`.
    """

    def __init__(
        self,
        announce: Announce,
        folder: ScopeFolder,
        daemon: Path,
        wait_s: float | None,
        waits: bool = True,
        intent: str = "",
    ) -> None:
        self._announce = announce
        self._folder = folder
        self._daemon = daemon
        self._waits = waits
        self._intent = intent
        self._documents: list[Document] = []  # the open proposals
        self._end = None if wait_s is None else time.monotonic() + wait_s
        with connect(daemon) as client:
            state = client.ask("state")
        if state["epoch"] != folder.epoch:
            raise Stale(f"the policy is at epoch {state['epoch']} by now")
        self._group_key = bytes.fromhex(state["group_key"])

    @property
    def group_key(self) -> bytes:
        """32 bytes."""
        return self._group_key

    def issue(self, drafts: Sequence[Draft], title: str) -> list[bytes]:
        """The capsules: ordered drafts are one proposal, members and actions are others.

        A beacon needs no proposal: the governors certify one of their own at once, unless its time
        is so far after the newest certified one that operators must approve it.
        """
        proposals = [part for part in _parts(drafts) if _sort(part[0]) != _BEACON]
        known = {draft.payload: self._find_taken(draft) for part in proposals for draft in part}
        missing = [part for part in proposals if not all(known[one.payload] for one in part)]
        with Following(self._daemon, self._announce, self._check_time) as client:
            if missing:
                self._remember(drafts, title or _title(drafts))
            with self._forget_on_failure():
                documents = [self._propose(client, part, title or _title(part)) for part in missing]
                for after in self._wait(client, documents):
                    for raw in map(bytes.fromhex, after["capsules"]):
                        known[bytes(capsules.parse(raw).payload)] = raw
            beacons = [self._beacon(client) for one in drafts if _sort(one) == _BEACON]
        with connect(self._daemon) as client_now:
            sync(self._folder, client_now)
        self._forget()
        return [
            beacons.pop(0) if _sort(one) == _BEACON else known[one.payload] or self._taken(one)
            for one in drafts
        ]

    def _find_taken(self, draft: Draft) -> bytes | None:
        return pending.issued(self._folder, draft.payload) if self._intent else None

    def _taken(self, draft: Draft) -> bytes:
        """The folder's capsule of a draft, where the daemon knows only that it was certified."""
        raw = pending.issued(self._folder, draft.payload)
        if raw is None:
            raise Stale(f"{draft.label}: something newer is in force")
        return raw

    # --- the drafts that the folder keeps ---------------------------------------------------------

    def _remember(self, drafts: Sequence[Draft], title: str) -> None:
        if not self._intent:
            return
        known = pending.load(self._folder, self._intent)
        if known is None or known.drafts != list(drafts):
            pending.save(self._folder, self._intent, Pending(title, now_s(), list(drafts)))

    def _forget(self) -> None:
        if self._intent:
            pending.remove(self._folder, self._intent)

    @contextlib.contextmanager
    def _forget_on_failure(self) -> Iterator[None]:
        """Drop the drafts of a failed proposal, so that the next command makes a new one."""
        try:
            yield
        except (Stale, Denied, ControlFailed):
            self._forget()
            raise

    # --- the daemon -------------------------------------------------------------------------------

    def _propose(self, client: Following, drafts: list[Draft], title: str) -> Document:
        evidence = [draft.evidence for draft in drafts]
        return client.ask(
            "propose",
            payloads=[draft.payload for draft in drafts],
            title=title,
            evidence=codec.dump(evidence) if any(evidence) else b"",
        )

    def _check_time(self) -> None:
        """Raises as `_left_s` when the time is over, while the daemon is offline."""
        self._left_s(self._documents)

    def _wait(self, client: Following, documents: list[Document]) -> list[Document]:
        """The proposals once all are certified; announces meanwhile what they wait for."""
        announced = ""
        try:
            while waiting := [one for one in documents if one["state"] == "open"]:
                self._documents = documents
                line = self._awaited(waiting)
                # signatures take a moment, which needs no line
                is_news = line != announced and any(map(needs_operators, waiting))
                if is_news and self._waits:
                    self._announce(line)
                    announced = line
                first, left_s = waiting[0], self._left_s(documents)
                news = client.ask_anew("find", first, left_s, id=first["id"], lines=False)
                documents = [news if one is first else self._look(client, one) for one in documents]
        except KeyboardInterrupt:
            raise Interrupted(
                f"not waiting any more: {self._awaited(documents)}", self._advice(documents)
            ) from None
        for one in documents:
            if one["state"] == "stale":
                raise Stale(f"{one['title']}: {one['reason'] or 'another policy is in force'}")
            if one["state"] != "certified":
                raise Denied(f"{one['title']}: {one['reason'] or one['state']}")
        return documents

    def _look(self, client: Following, one: Document) -> Document:
        if one["state"] != "open":
            return one
        return client.ask("find", id=one["id"], lines=False)

    def _awaited(self, documents: Sequence[Document]) -> str:
        lines = [awaited(one, self._daemon) for one in documents]
        return "; ".join(dict.fromkeys(line for line in lines if line))

    def _advice(self, documents: Sequence[Document]) -> str:
        id = next((one["id"] for one in documents if one["state"] == "open"), documents[0]["id"])
        deny = f"writ governor deny {self._daemon} {id[:8]} ends it."
        again = "Run the same command again to continue; " if self._intent else ""
        return f"The proposal stays open without this command. {again}{deny}"

    def _beacon(self, client: Following) -> bytes:
        before = state = client.ask("beacon")
        if before["proposal"] is not None:
            (done,) = self._wait(client, [before["proposal"]])
            return bytes.fromhex(done["capsules"][0])
        while state["beacon"] in ("", before["beacon"]):
            state = client.ask_anew("state", state, self._left_s([]))
        return bytes.fromhex(state["beacon"])

    def _left_s(self, documents: Sequence[Document]) -> float:
        """How long to wait for the next answer, at most `WAIT_S_MAX`. Raises when time is over."""
        lacks_approval = any(map(needs_operators, documents))
        if not self._waits:
            if self._end is None:
                self._end = time.monotonic() + NO_WAIT_S
            if lacks_approval or time.monotonic() >= self._end:
                raise StillPending(documents, self._awaited(documents))
        left_s = WAIT_S_MAX if self._end is None else self._end - time.monotonic()
        if left_s > 0:
            return left_s
        if lacks_approval:
            message = f"not approved yet: {self._awaited(documents)}"
            raise NeedsPerson(message, self._advice(documents))
        advice = "Run the same command again when more governors are online."
        if documents:
            advice += " The proposal stays open."
        raise NotReachable(
            "too few governors answer: writ governor status shows which are online", advice
        )


def resume(
    announce: Announce, folder: ScopeFolder, daemon: Path | None, intent: str
) -> list[Draft] | None:
    """The drafts that an earlier command proposed for this intent, unless the proposal has failed.

    The folder must be in sync. None where there are none. Raises `Denied`, once, where they were
    denied since.
    """
    kept = None if daemon is None else pending.load(folder, intent)
    if daemon is None or kept is None:
        return None
    since = humanize.moment(kept.time_s)
    wanted = [draft for draft in kept.drafts if _sort(draft) != _BEACON]
    if all(pending.issued(folder, draft.payload) for draft in wanted):
        announce(f"proposed {since}, and certified since: {kept.title}")
        return kept.drafts
    with connect(daemon) as client:
        found = [_find(client, part) for part in _parts(wanted)]
    states = {one["state"] for one in found if one}
    if "open" in states and states <= {"open", "certified"} and None not in found:
        ids = ", ".join(one["id"][:8] for one in found if one)
        announce(f"continuing with {ids}, proposed {since}: {kept.title}")
        return kept.drafts
    pending.remove(folder, intent)
    for one in found:
        if one and one["state"] == "refused":
            raise Denied(
                f"{one['title']}: {one['reason'] or 'refused'}",
                "The same command, run again, makes a new proposal. For who denied this one and"
                f" why: writ governor log {daemon}",
            )
    return None


def _find(client: ControlClient, drafts: Sequence[Draft]) -> Document | None:
    """The proposal of these drafts; None where the daemon has forgotten it."""
    try:
        return client.ask("find", id=proposal_id([draft.payload for draft in drafts]).hex())
    except ControlFailed:
        return None


def _parts(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """The drafts in groups, each of which is one proposal."""
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
