"""Following a change of governors to its end: its ceremony, then what puts it in force."""

import time
from pathlib import Path
from typing import NoReturn

import click

from ..errors import Interrupted, NeedsPerson
from ..governor.control import ControlClient, ControlFailed, Document
from . import governorview as view
from .output import Output

POLL_S = 0.5
# What did not come to be certified.
_LOST = ("failed", "refused")


class ChangeFailed(ControlFailed):
    """A change of governors that comes to nothing."""


class Follower:
    """Shows how far a change is, at the daemon in `folder`, each time that this is news.

    wait_s: None to wait until Ctrl-C; waits: False to leave at once.
    """

    def __init__(
        self, out: Output, client: ControlClient, folder: Path, wait_s: float | None, waits: bool
    ) -> None:
        self._out, self._client, self._folder = out, client, folder
        self._end = None if wait_s is None else time.monotonic() + wait_s
        self._waits = waits
        self._line = ""

    def follow(self, made: Document) -> Document:
        """The ceremony's document, once what came of it is in force: `in_force` is true then.

        Raises `ChangeFailed`, `NeedsPerson` after `wait_s`, `Interrupted` on Ctrl-C.
        """
        try:
            done = self._ceremony(made)
            return self._put_in_force(done)
        except KeyboardInterrupt:
            raise Interrupted(f"not waiting any more: {self._line}", self._advice()) from None

    def _ceremony(self, found: Document) -> Document:
        while found["state"] != "done":
            self._say(found, view.ceremony_line(found))
            if found["state"] in _LOST:
                raise ChangeFailed(
                    "CeremonyFailed",
                    f"{found['title']}: {found['problem'] or found['state']}",
                    "Nothing has changed: the old shares are in force. Mend that, and run the same"
                    f" command again. More: writ governor log {self._folder}",
                )
            self._pause(found)
            try:
                found = self._client.ask("find", id=found["id"])
            except ControlFailed:
                if self._client.ask("status")["state"] != "retired":
                    raise
                # it has left, as was wanted, between two looks
                return {**found, "state": "done", "seat_id": ""}
        return found

    def _put_in_force(self, done: Document) -> Document:
        seen = ""
        while True:
            found = self._client.ask("force", names=done["seat_id"])
            if found["in_force"] or not done["seat_id"]:
                self._out.ok(f"in force: {done['title']}")
                return {**done, "in_force": True}
            proposal = found["proposal"]
            if proposal is None and seen:
                self._check_refused(seen, done)
            seen = proposal["id"] if proposal else ""
            if proposal is None:
                line = f"{done['title']}: done; the governors will propose to put it in force"
            else:
                waiting = view.awaited(proposal)
                line = f"{proposal['title']}, {proposal['id'][:8]}: {waiting}"
            self._say(proposal or done, line)
            self._pause(proposal or done)

    def _check_refused(self, id: str, done: Document) -> None:
        try:
            found = self._client.ask("find", id=id)
        except ControlFailed:
            return  # other governors are in force, and know nothing of it
        if found["state"] == "refused":
            raise ChangeFailed(
                "Denied",
                f"{found['title']}: {found['reason'] or 'refused'}",
                "The old shares stay in force. Who said no, and why: writ governor log"
                f" {self._folder}. To try again, run the same command again.",
            )

    def _say(self, document: Document, line: str) -> None:
        line = line.replace(" DIR ", f" {self._folder} ")
        if line != self._line:
            self._line = line
            if self._waits:
                self._out.note(line)

    def _pause(self, document: Document) -> None:
        if not self._waits:
            self._leave(document)
        if self._end is not None and time.monotonic() >= self._end:
            raise NeedsPerson(f"not in force yet: {self._line}", self._advice())
        time.sleep(POLL_S)

    def _advice(self) -> str:
        return (
            f"It goes on without this command: see writ governor pending {self._folder}. When it is"
            f" in force, writ governor status {self._folder} shows the new governors."
        )

    def _leave(self, document: Document) -> NoReturn:
        self._out.note(self._line)
        self._out.note(self._advice())
        self._out.json({**document, "in_force": False})
        click.get_current_context().exit(0)
