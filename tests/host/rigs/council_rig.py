"""A council: governor processes on the loopback interface, driven by `writ` commands."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from writ_host.demo import loopback
from writ_host.governor.control import ControlClient, Document

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]
# In the place of a wrong clock of the machine.
CLOCK = """
import os, time
_real, _ahead = time.time, int(os.environ.get("AHEAD_S", "0"))
time.time = lambda: _real() + _ahead
"""
WRIT = [sys.executable, "-c", "from writ_host.cli import main; main()"]


class Council:
    """Folders and daemons below `root`, one for each of `names`; the scope's folder is `farm`."""

    def __init__(self, root: Path, names: str = "abcd") -> None:
        self.root = root
        self.scope = root / "farm"
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'firmware'}:{ROOT / 'host'}",
            "PYTHONUNBUFFERED": "1",
            "WRIT_KEY_FILE": str(root / "key"),
            "WRIT_SCOPE": str(self.scope),
        }
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Create a governor and start it."""
        peers, listen = free_ports(2)
        self.writ("governor", "init", name, "--name", name, "--peers", peers, "--listen", listen)
        self.start(name)

    def path(self, name: str) -> Path:
        """A governor's folder."""
        return self.root / name

    # --- processes --------------------------------------------------------------------------------

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever its exit code."""
        return subprocess.run(
            [*WRIT, *map(str, words)],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def writ(self, *words: object, code: int = 0) -> Any:
        """Run a command that must end with this exit code; its JSON document."""
        ran = self.run(*words, "--json")
        assert ran.returncode == code, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def begin(self, *words: object) -> "subprocess.Popen[str]":
        """Start a command that waits for approvals."""
        return subprocess.Popen(
            [*WRIT, *map(str, words)],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, name: str, *options: str) -> None:
        """Start a governor's daemon, and wait until it answers."""
        with (self.root / f"{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [*WRIT, "governor", "run", name, "--json", *options],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: (self.path(name) / "control.sock").exists(), self.log(name))
        self.ask(name, "status")

    def kill(self, name: str) -> None:
        """Kill the daemon with SIGKILL."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        (self.path(name) / "control.sock").unlink()

    def stop(self, name: str) -> int:
        """Stop the daemon with SIGTERM; its exit code."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(signal.SIGTERM)
        return daemon.wait(10)

    def set_clocks(self, ahead_s: int) -> None:
        """Set the clock of all machines, and start the governors again."""
        folder = self.root / "clock"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(CLOCK)
        if str(folder) not in self.environment["PYTHONPATH"]:
            self.environment["PYTHONPATH"] = f"{folder}:{self.environment['PYTHONPATH']}"
        self.environment["AHEAD_S"] = str(ahead_s)
        names = list(self.daemons)
        for name in names:
            self.stop(name)
        for name in names:
            self.start(name)

    def stop_all(self) -> None:
        """Kill all daemons."""
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait()

    def log(self, name: str) -> Callable[[], str]:
        """A function that returns the daemon's output so far."""
        return lambda: (self.root / f"{name}.log").read_text()

    def events(self, name: str, event: str) -> list[Any]:
        """The events of this name in the daemon's output."""
        lines = [json.loads(line) for line in self.log(name)().splitlines()]
        return [line for line in lines if line["event"] == event]

    # --- approvals --------------------------------------------------------------------------------

    def ask(self, name: str, do: str, **parameters: object) -> Document:
        """Send one request to a daemon; its answer."""
        with ControlClient(self.path(name) / "control.sock") as client:
            return client.ask(do, **parameters)

    def waiting(self, name: str) -> str:
        """The id of a proposal or ceremony that waits for this governor's operator, "" for none."""
        found = self.ask(name, "pending")
        asks = [one["id"] for one in found["ceremonies"] if one["needs_decision"]]
        me = self.ask(name, "status")["name"]
        for one in found["proposals"]:
            decided = {approval["governor"]: approval["yes"] for approval in one["approvals"]}
            if me not in decided and sum(decided.values()) < one["operators"] < 14:
                asks.append(one["id"])
        return asks[0] if asks else ""

    def approve(self, *names: str, reason: str = "") -> None:
        """For each governor in turn, wait until something needs its approval, and approve it."""
        for name in names:
            wait_for(lambda name=name: self.waiting(name), self.log(name))
            id = self.waiting(name)
            words = ("governor", "approve", name, id[:12], "--yes", "--reason", reason)
            assert self.writ(*words)["decided"] == "approved"

    def found(self, names: str = "abcd", *options: object) -> Any:
        """Found the scope; the JSON document of the command."""
        records = ",".join(f"{name}/{name}.toml" for name in names)
        words = ("scope", "create", "farm", "--governors", records, "--wait", "60", "--json")
        command = self.begin(*words, *options)
        self.approve(*names)
        return finish(command)

    def with_approval(self, by: Sequence[str], *words: object) -> Any:
        """Run a command that needs these operators' approval; its JSON document."""
        command = self.begin(*words, "--wait", "30", "--json")
        self.approve(*by)
        return finish(command)


@contextlib.contextmanager
def founded(root: Path, policy: str = "") -> Iterator[Council]:
    """A council of four that has founded its scope; policy: the text of its policy file."""
    council = Council(root)
    options: tuple[str, ...] = ()
    if policy:
        (root / "first.toml").write_text(policy)
        options = ("--policy", "first.toml")
    try:
        council.found("abcd", *options)
        yield council
    finally:
        council.stop_all()


def finish(command: "subprocess.Popen[str]", code: int = 0) -> Any:
    """Wait for a command that `begin` started; its JSON document."""
    out, err = command.communicate(timeout=60)
    assert command.returncode == code, out + err
    return json.loads(out)


def wait_for(
    check: Callable[[], object], describe: Callable[[], str] = str, timeout_s: float = 20
) -> None:
    """Wait until `check` is true; `describe` explains a timeout."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.05)


def free_ports(count: int) -> list[str]:
    """Addresses of UDP ports that are free at this moment."""
    return [f"{HOST}:{port}" for port in loopback.free_ports(count)]
