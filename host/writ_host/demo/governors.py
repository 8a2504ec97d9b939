"""The testbed's governors: one `writ governor run` process each, and their operators."""

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
from . import scenario
from .lines import plain_output
from .loopback import clean_environment, free_address
from .process import START_S, Event, NoAnswer, Process, Program

POLL_S = 0.05
# A proposal takes milliseconds among honest governors, and some rounds with a Byzantine one.
CERTIFY_S = 60.0
# Key generation takes seconds: each governor waits for all others in each of several rounds.
CEREMONY_S = 60.0


class GovernorProcess(Process):
    """A governor's process and its operator.

    peers, listen: "host:port" of its two sockets; is_byzantine: whether it runs the Byzantine core.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        program: Program,
        on_event: Callable[[Process, Event], None] = lambda process, event: None,
    ) -> None:
        super().__init__(name, folder, program, on_event)
        self.peers, self.listen = free_address(), free_address()
        self.is_byzantine = False
        self._is_wanted = False  # whether the process should be running now
        self._mark = 0

    @property
    def record(self) -> Path:
        """The governor's public record, which the other governors need."""
        return self.folder / f"{self.name}.toml"

    def start(self, is_byzantine: bool = False) -> None:
        """Start the process, with the core of `byzantine_governor.py` if it is to be Byzantine."""
        self._mark = self.mark()
        self._is_wanted = True
        self.is_byzantine = is_byzantine
        module = "byzantine_governor" if is_byzantine else "child"
        command = ("-m", f"writ_host.demo.{module}", "governor", "run", str(self.folder), "--json")
        self.launch(*command)

    def kill(self) -> int:
        """As `Process.kill`."""
        self._is_wanted = False
        return super().kill()

    def stop(self) -> None:
        """As `Process.stop`."""
        self._is_wanted = False
        super().stop()

    def check(self) -> None:
        """Raises `NoAnswer` where the process should run and has ended."""
        if self._is_wanted and not self.pid:
            raise NoAnswer(f"{self.name} has ended. {self.last_seen}")

    def wait_until_started(self) -> None:
        """Wait until the daemon answers requests. Raises `NoAnswer`."""
        self.wait_for("started", self._mark, START_S)

    def ask(self, do: str, **parameters: object) -> Document:
        """The daemon's answer to an operator's request. Raises `HostError`."""
        with ControlClient(self.folder / "control.sock") as client:
            return client.ask(do, **parameters)

    def find(self, id: str, timeout_s: float = CERTIFY_S) -> Document:
        """A proposal or ceremony, once this governor knows it. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                return self.ask("find", id=id)
            except ControlFailed as error:
                if time.monotonic() > until:
                    raise NoAnswer(f"{self.name}: {error}") from None
            time.sleep(POLL_S)

    def approve(self, id: str, reason: str = "") -> Document:
        """Approve a proposal or ceremony, once this governor knows it; returns its document."""
        self.find(id)
        return self.ask("decide", id=id, yes=True, reason=reason)

    def find_ceremony(self, timeout_s: float = CEREMONY_S) -> Document:
        """The ceremony that waits for this governor's operator. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            for found in self.ask("pending")["ceremonies"]:
                if found["needs_decision"]:
                    return dict(found)
            if time.monotonic() > until:
                raise NoAnswer(f"no ceremony waits for the operator of {self.name}")
            time.sleep(POLL_S)

    def find_proposal(self, kind: str, title: str = "", timeout_s: float = CERTIFY_S) -> str:
        """The id of an open proposal of this kind, with `title` in its title. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            for found in self.ask("pending")["proposals"]:
                if found["kind"] == kind and title in found["title"]:
                    return str(found["id"])
            if time.monotonic() > until:
                raise NoAnswer(f"{self.name} knows of no proposal of the kind {kind}")
            time.sleep(POLL_S)

    def state(self) -> tuple[int, str]:
        """(epoch, head in hex) in force at this governor; (0, "") before the first policy."""
        try:
            found = self.ask("state")
        except ControlFailed:
            return 0, ""
        return found["epoch"], found["head"]


class Governors(Issuer):
    """All governors of the testbed. Certifies by proposals to the first honest one that runs.

    approvers: the governors whose operators approved the last certification; took_s: its duration.
    """

    def __init__(
        self, path: Path, program: Program, on_event: Callable[[Process, Event], None]
    ) -> None:
        self._program = program
        names = (*scenario.GOVERNORS, scenario.SUCCESSOR)
        self.all = {
            name: GovernorProcess(name, path / "governors" / name, program, on_event)
            for name in names
        }
        self._commands: list[subprocess.Popen[str]] = []
        self.approvers: list[str] = []
        self.took_s = 0.0

    def __getitem__(self, name: str) -> GovernorProcess:
        return self.all[name]

    @property
    def honest(self) -> list[GovernorProcess]:
        """The honest governors that run. Raises `NoAnswer` where one has ended by itself."""
        for one in self.all.values():
            one.check()
        return [one for one in self.all.values() if one.pid and not one.is_byzantine]

    def listen(self, *names: str) -> list[str]:
        """The addresses at which devices reach these governors."""
        return [self.all[name].listen for name in names]

    # --- commands ---------------------------------------------------------------------------------

    def command(self, *arguments: object) -> subprocess.Popen[str]:
        """Start `writ` with these arguments and --json as a process."""
        module = ("-m", "writ_host.demo.child")
        made = subprocess.Popen(
            [*self._program.command, *module, *map(str, arguments), "--json"],
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
        """Run `writ governor init` for each name, then start all of them. Raises `HostError`."""
        made = [self.all[name] for name in names]
        commands = []
        for one in made:
            where = ("--peers", one.peers, "--listen", one.listen)
            init = ("governor", "init", one.folder, "--name", one.name)
            commands.append(self.command(*init, *where))
        for command in commands:
            finish(command)
        self.start(*(one.name for one in made))

    def start(self, *names: str, is_byzantine: bool = False) -> None:
        """Start these governors, and wait until all answer requests."""
        for name in names:
            self.all[name].start(is_byzantine)
        for name in names:
            self.all[name].wait_until_started()

    # --- certifying -------------------------------------------------------------------------------

    @property
    def group_key(self) -> bytes:
        """32 bytes, as the first honest governor knows it."""
        return bytes.fromhex(self.honest[0].ask("state")["group_key"])

    def issue(self, drafts: Sequence[Draft], title: str) -> list[bytes]:
        """A capsule for each draft, approved by as many operators as needed. Raises `HostError`."""
        started = time.monotonic()
        raws: list[bytes] = []
        self.approvers = []
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
        """Propose these drafts together; returns the proposal's id."""
        evidence = [draft.evidence for draft in drafts]
        made = self.honest[0].ask(
            "propose",
            payloads=[draft.payload for draft in drafts],
            title=title or drafts[0].label,
            evidence=codec.dump(evidence) if any(evidence) else b"",
        )
        return str(made["id"])

    def approve(self, id: str) -> str:
        """Approve with as many operators as the policy needs, each at another governor."""
        wanted = self.honest[0].find(id)["operators"]
        for one in self.honest[:wanted]:
            one.approve(id, "checked in person")
            self.approvers.append(one.name)
        return id

    def wait(self, id: str, timeout_s: float = CERTIFY_S) -> Document:
        """The proposal, once it is certified. Raises `NoAnswer`, or `HostError` if it ends else."""
        until = time.monotonic() + timeout_s
        while (found := self.honest[0].find(id))["state"] == "open":
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
        """All capsules that were ever certified, oldest first."""
        raws: list[bytes] = []
        cursor = 0
        while True:
            page = self.honest[0].ask("capsules", cursor=cursor)
            raws += [bytes.fromhex(one) for one in page["capsules"]]
            if page["cursor"] == cursor or not page["capsules"]:
                return raws
            cursor = page["cursor"]

    def beacon(self) -> bytes:
        """A new beacon, certified now."""
        one = self.honest[0]
        before = one.ask("beacon")["beacon"]
        until = time.monotonic() + CERTIFY_S
        while (found := one.ask("state")["beacon"]) in ("", before):
            if time.monotonic() > until:
                raise NoAnswer("no beacon was certified")
            time.sleep(POLL_S)
        return bytes.fromhex(found)

    def wait_for_epoch(self, epoch: int, timeout_s: float = CERTIFY_S) -> dict[str, str]:
        """The head (hex) at each honest governor, once all have this epoch. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        while True:
            states = {one.name: one.state() for one in self.honest}
            if all(found == epoch for found, _ in states.values()):
                return {name: head for name, (_, head) in states.items()}
            if time.monotonic() > until:
                raise NoAnswer(f"not all governors reached epoch {epoch}: {states}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End all governors and all commands."""
        for one in self.all.values():
            one.stop()
        for command in self._commands:
            if command.poll() is None:
                command.kill()
                command.communicate()


def finish(command: subprocess.Popen[str], timeout_s: float = CEREMONY_S) -> Any:
    """The JSON document of a command. Raises `HostError` with its output where it fails."""
    try:
        out, errors = command.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        name = " ".join(map(str, command.args[3:6]))  # type: ignore[index]
        raise NoAnswer(f"{name} has not ended in {timeout_s:g} s") from None
    finally:
        if command.poll() is None:
            command.kill()
            command.communicate()
    if command.returncode != 0:
        name = " ".join(map(str, command.args[3:6]))  # type: ignore[index]
        raise HostError(f"writ {name} failed: {plain_output(errors or out)[-600:]}")
    return json.loads(out)


def program(root: Path, key_file: Path) -> Program:
    """The program of governors and commands: this Python, the source at `root`, their key file."""
    paths = os.pathsep.join(str(root / part) for part in ("firmware", "host"))
    environment = clean_environment(PYTHONPATH=paths, WRIT_KEY_FILE=str(key_file))
    return Program([sys.executable], environment, "CPython")
