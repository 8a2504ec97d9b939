"""A change of governors, followed until it is in force: first its ceremony, then a proposal."""

import time
from pathlib import Path

from ...errors import Interrupted, NeedsPerson
from ..control import ControlFailed, Document
from .following import Following
from .issuer import Announce, StillPending
from .summary import FAILED_STATES, awaited, ceremony_line

POLL_S = 0.5


class ChangeFailed(ControlFailed):
    """A change of governors that has failed or was denied."""


class ChangeFollower:
    """Announces each new state of a change of governors at the daemon of `folder`.

    wait_s: None to wait until Ctrl-C; waits: False to raise `StillPending` at once.
    """

    def __init__(
        self,
        announce: Announce,
        client: Following,
        folder: Path,
        wait_s: float | None,
        waits: bool,
    ) -> None:
        self._announce, self._client, self._folder = announce, client, folder
        self._end = None if wait_s is None else time.monotonic() + wait_s
        self._waits = waits
        self._line = ""  # the newest state

    @property
    def advice(self) -> str:
        """What an operator does about a change that is not in force yet."""
        return (
            f"The change goes on without this command: see writ governor pending {self._folder}."
            f" When it is in force, writ governor status {self._folder} shows the new governors."
        )

    def follow(self, made: Document) -> Document:
        """The ceremony's document, once its result is in force: `in_force` is true then.

        Raises `ChangeFailed`, `StillPending`, `NeedsPerson` after `wait_s`, or `Interrupted` on
        Ctrl-C.
        """
        try:
            done = self._follow_ceremony(made)
            return self._follow_proposal(done)
        except KeyboardInterrupt:
            raise Interrupted(f"not waiting any more: {self._line}", self.advice) from None

    def _follow_ceremony(self, found: Document) -> Document:
        while found["state"] != "done":
            self._show(ceremony_line(found, self._folder))
            if found["state"] in FAILED_STATES:
                raise ChangeFailed(
                    "CeremonyFailed",
                    f"{found['title']}: {found['problem'] or found['state']}",
                    "Nothing has changed: the old key shares are in force. Fix the problem, and run"
                    f" the same command again. Details: writ governor log {self._folder}",
                )
            self._pause(found)
            try:
                found = self._client.ask("find", id=found["id"])
            except ControlFailed:
                if self._client.ask("status")["state"] != "retired":
                    raise
                # this governor was removed by the change, between two requests
                return {**found, "state": "done", "seat_id": ""}
        return found

    def _follow_proposal(self, done: Document) -> Document:
        seen = ""  # the id of the proposal that puts the change in force
        while True:
            found = self._client.ask("in_force", seat_id=done["seat_id"])
            if found["in_force"] or not done["seat_id"]:
                return {**done, "in_force": True}
            proposal = found["proposal"]
            if proposal is None and seen:
                self._check_denied(seen)
            seen = proposal["id"] if proposal else ""
            if proposal is None:
                line = f"{done['title']}: done; the governors will propose to put it in force"
            else:
                waiting = awaited(proposal, self._folder)
                line = f"{proposal['title']}, {proposal['id'][:8]}: {waiting}"
            self._show(line)
            self._pause(proposal or done)

    def _check_denied(self, id: str) -> None:
        try:
            found = self._client.ask("find", id=id)
        except ControlFailed:
            return  # other governors are in force, and do not know the proposal
        if found["state"] == "refused":
            raise ChangeFailed(
                "Denied",
                f"{found['title']}: {found['reason'] or 'refused'}",
                "The old key shares stay in force. For who denied it and why: writ governor log"
                f" {self._folder}. To try again, run the same command again.",
            )

    def _show(self, line: str) -> None:
        if line != self._line:
            self._line = line
            if self._waits:
                self._announce(line)

    def _pause(self, document: Document) -> None:
        if not self._waits:
            raise StillPending([document], self._line)
        if self._end is not None and time.monotonic() >= self._end:
            raise NeedsPerson(f"not in force yet: {self._line}", self.advice)
        time.sleep(POLL_S)
