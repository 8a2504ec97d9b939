"""The governors: `writ governor run`, a process each, and the people who decide at them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import BEACON

from .. import codec
from ..consensus.value import body_of
from ..errors import HostError
from ..governor.control import ControlClient, ControlFailed, Document
from ..scope.issuance import Draft, Issuer
from . import farm
from .process import START_S, Event, NoAnswer, Process, Program, clean_environment
from .relay import HOST, free_port

POLL_S = 0.05
# A proposal that all agree to takes milliseconds; some rounds, while one of them lies.
CERTIFY_S = 60.0
# Key generation takes seconds: everybody waits for everybody, several times.
CEREMONY_S = 60.0


class Governor(Process):
    """A governor's process and the operator in front of it.

    peers, listen: "host:port" of its two sockets; is_liar: whether it runs with a liar's core.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        program: Program,
        on_event: Callable[[Process, Event], None] = lambda process, event: None,
    ) -> None:
        super().__init__(name, folder, program, on_event)
        self.peers, self.listen = (f"{HOST}:{free_port()}" for _ in range(2))
        self.is_liar = False
        self._is_wanted = False
        self._mark = 0

    @property
    def record(self) -> Path:
        """The file that the other governors have of it."""
        return self.folder / f"{self.name}.toml"

    def start(self, lying: bool = False) -> None:
        """Run it, with the core of `demo/liar.py` if it is to lie."""
        self._mark = self.mark()
        self._is_wanted = True
        self.is_liar = lying
        module = "liar" if lying else "lifeline"
        words = ("-m", f"writ_host.demo.{module}", "governor", "run", str(self.folder), "--json")
        self.launch(*words)

    def kill(self) -> int:
        """As `Process.kill`."""
        self._is_wanted = False
        return super().kill()

    def stop(self) -> None:
        """As `Process.stop`."""
        self._is_wanted = False
        super().stop()

    def check(self) -> None:
        """Raises `NoAnswer` where it has ended and nobody ended it."""
        if self._is_wanted and not self.pid:
            raise NoAnswer(f"{self.name} has ended: {'; '.join(self.noise[-5:])}")

    def wait_until_started(self) -> None:
        """Until then it cannot be asked anything. Raises `NoAnswer`."""
        self.wait_for("started", self._mark, START_S)

    def ask(self, do: str, **parameters: object) -> Document:
        """What its daemon says to an operator's command. Raises `HostError`."""
        with ControlClient(self.folder / "control.sock") as client:
            return client.ask(do, **parameters)

    def find(self, id: str, timeout_s: float = CERTIFY_S) -> Document:
        """A proposal or ceremony, once it is known here. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                return self.ask("find", id=id)
            except ControlFailed as error:
                if time.monotonic() > until:
                    raise NoAnswer(f"{self.name}: {error}") from None
            time.sleep(POLL_S)

    def agree(self, id: str, reason: str = "") -> Document:
        """Its operator says yes, once it is known here; how it stands then."""
        self.find(id)
        return self.ask("decide", id=id, yes=True, reason=reason)

    def ceremony(self, timeout_s: float = CEREMONY_S) -> Document:
        """What its operator is asked to compare and agree to. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            for found in self.ask("pending")["ceremonies"]:
                if found["asks"]:
                    return dict(found)
            if time.monotonic() > until:
                raise NoAnswer(f"{self.name} is asked nothing")
            time.sleep(POLL_S)

    def proposed(self, kind: str, words: str = "", timeout_s: float = CERTIFY_S) -> str:
        """The id of a proposal of this kind, with these words, open here. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            for found in self.ask("pending")["proposals"]:
                if found["kind"] == kind and words in found["title"]:
                    return str(found["id"])
            if time.monotonic() > until:
                raise NoAnswer(f"{self.name} knows of no proposal of the kind {kind}")
            time.sleep(POLL_S)

    def state(self) -> tuple[int, str]:
        """(epoch, head in hex) in force here; (0, "") before there is any."""
        try:
            found = self.ask("state")
        except ControlFailed:
            return 0, ""
        return found["epoch"], found["head"]


class Council(Issuer):
    """All governors of the field. Certifies by proposals to the first of those who are awake.

    agreed: whose operators approved what was certified last; took_s: and how long that took.
    """

    def __init__(
        self, path: Path, program: Program, on_event: Callable[[Process, Event], None]
    ) -> None:
        self._program = program
        names = (*farm.GOVERNORS, farm.SUCCESSOR)
        self.all = {
            name: Governor(name, path / "governors" / name, program, on_event) for name in names
        }
        self._commands: list[subprocess.Popen[str]] = []
        self.agreed: list[str] = []
        self.took_s = 0.0

    def __getitem__(self, name: str) -> Governor:
        return self.all[name]

    @property
    def awake(self) -> list[Governor]:
        """Those who run and do not lie. Raises `NoAnswer` where one has ended by itself."""
        for one in self.all.values():
            one.check()
        return [one for one in self.all.values() if one.pid and not one.is_liar]

    def listen(self, *names: str) -> list[str]:
        """Where devices find these governors."""
        return [self.all[name].listen for name in names]

    # --- commands ---------------------------------------------------------------------------------

    def command(self, *words: object) -> subprocess.Popen[str]:
        """`writ` with these words, and --json, as a process."""
        module = ("-m", "writ_host.demo.lifeline")
        made = subprocess.Popen(
            [*self._program.command, *module, *map(str, words), "--json"],
            env=self._program.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._commands.append(made)
        return made

    def make(self, names: Iterable[str]) -> None:
        """`writ governor init` for each, then run them. Raises `HostError`."""
        made = [self.all[name] for name in names]
        commands = []
        for one in made:
            where = ("--peers", one.peers, "--listen", one.listen)
            init = ("governor", "init", one.folder, "--name", one.name)
            commands.append(self.command(*init, *where))
        for command in commands:
            finish(command)
        self.start(*(one.name for one in made))

    def start(self, *names: str, lying: bool = False) -> None:
        """Run these governors, and wait until all can be asked."""
        for name in names:
            self.all[name].start(lying)
        for name in names:
            self.all[name].wait_until_started()

    # --- certifying -------------------------------------------------------------------------------

    @property
    def group_key(self) -> bytes:
        """32 bytes, as the first who is awake knows it."""
        return bytes.fromhex(self.awake[0].ask("state")["group_key"])

    def issue(self, drafts: Sequence[Draft], title: str) -> list[bytes]:
        """A capsule for each draft; as many operators approve as have to. Raises `HostError`."""
        started = time.monotonic()
        raws: list[bytes] = []
        self.agreed = []
        for is_beacon, group in groupby(drafts, lambda one: body_of(one.payload)[0] == BEACON):
            listed = list(group)
            if is_beacon:
                raws += [self.beacon() for _ in listed]
            else:
                id = self.propose(listed, title)
                raws += self.take(self.wait(self.approve(id)), listed)
        self.took_s = time.monotonic() - started
        return raws

    def propose(self, drafts: Sequence[Draft], title: str) -> str:
        """Propose them together; the proposal's id."""
        evidence = [draft.evidence for draft in drafts]
        made = self.awake[0].ask(
            "propose",
            payloads=[draft.payload for draft in drafts],
            title=title or drafts[0].label,
            evidence=codec.dump(evidence) if any(evidence) else b"",
        )
        return str(made["id"])

    def approve(self, id: str) -> str:
        """As many operators agree as the policy wants, each at a governor of their own."""
        wanted = self.awake[0].find(id)["operators"]
        for one in self.awake[:wanted]:
            one.agree(id, "seen by eye")
            self.agreed.append(one.name)
        return id

    def wait(self, id: str, timeout_s: float = CERTIFY_S) -> Document:
        """The proposal, once it is certified. Raises `NoAnswer`, or `HostError` where it is not."""
        until = time.monotonic() + timeout_s
        while (found := self.awake[0].find(id))["state"] == "open":
            if time.monotonic() > until:
                raise NoAnswer(f"{found['title']}: still open after {timeout_s:g} s")
            time.sleep(POLL_S)
        if found["state"] != "certified":
            raise HostError(f"{found['title']}: {found['state']} {found['reason']}")
        return found

    @staticmethod
    def take(found: Document, drafts: Sequence[Draft]) -> list[bytes]:
        """The capsules of a certified proposal, in the order of its drafts."""
        raws = [bytes.fromhex(one) for one in found["capsules"]]
        by_payload = {bytes(capsules.parse(raw).payload): raw for raw in raws}
        return [by_payload[draft.payload] for draft in drafts]

    def everything(self) -> list[bytes]:
        """All that was ever certified, oldest first."""
        raws: list[bytes] = []
        cursor = 0
        while True:
            page = self.awake[0].ask("capsules", cursor=cursor)
            raws += [bytes.fromhex(one) for one in page["capsules"]]
            if page["cursor"] == cursor or not page["capsules"]:
                return raws
            cursor = page["cursor"]

    def beacon(self) -> bytes:
        """A new beacon, certified now."""
        one = self.awake[0]
        before = one.ask("beacon")["beacon"]
        until = time.monotonic() + CERTIFY_S
        while (found := one.ask("state")["beacon"]) in ("", before):
            if time.monotonic() > until:
                raise NoAnswer("no beacon was certified")
            time.sleep(POLL_S)
        return bytes.fromhex(found)

    def wait_for_epoch(self, epoch: int, timeout_s: float = CERTIFY_S) -> dict[str, str]:
        """The head (hex) at each who is awake, once all have this epoch. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            states = {one.name: one.state() for one in self.awake}
            if all(found == epoch for found, _ in states.values()):
                return {name: head for name, (_, head) in states.items()}
            if time.monotonic() > until:
                raise NoAnswer(f"not all governors came to epoch {epoch}: {states}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End all of them, and all commands."""
        for one in self.all.values():
            one.stop()
        for command in self._commands:
            if command.poll() is None:
                command.kill()
                command.communicate()


def finish(command: subprocess.Popen[str], timeout_s: float = CEREMONY_S) -> Any:
    """The document of a command that succeeds. Raises `HostError` with what it said."""
    try:
        out, errors = command.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{' '.join(map(str, command.args[3:6]))} goes on") from None  # type: ignore[index]
    finally:
        if command.poll() is None:
            command.kill()
            command.communicate()
    if command.returncode != 0:
        raise HostError(f"writ failed: {(errors or out).strip()[-300:]}")
    return json.loads(out)


def program(root: Path, key_file: Path) -> Program:
    """How governors and commands are run: this Python, the source at `root`, their key file."""
    paths = os.pathsep.join(str(root / part) for part in ("firmware", "host"))
    environment = clean_environment(PYTHONPATH=paths, WRIT_KEY_FILE=str(key_file))
    return Program([sys.executable], environment, "CPython")
