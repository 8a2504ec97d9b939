"""Four governors and twenty devices on a `Network`, the load on them, and their crashes."""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import build_mpy
from device_files import ROOT
from measure.committee import Committee, Governor
from netns_rig import Network
from witness import Witness

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.authority import Authority
from writ.authority.capsule import ACTION, AMENDMENT, BEACON, MEMBER, POLICY
from writ.authority.policy import OP_RESTORE, Policy
from writ.authority.store import FileFlash, Store
from writ_host.ceremony.local import LocalGovernor
from writ_host.demo.loopback import clean_environment
from writ_host.demo.process import Process, Program
from writ_host.errors import HostError
from writ_host.governor.folder import GovernorFolder
from writ_host.governor.ledger.ledger import Ledger

GOVERNORS = ("anna", "ben", "carl", "dora")
FIELDS = ("east", "west")
DEVICES = tuple(f"dev{number:02}" for number in range(20))
# (machine, devices) of each process. A process with one device runs MicroPython.
PROCESSES = (
    ("east", DEVICES[0:5]),
    ("east", DEVICES[5:9]),
    ("east", DEVICES[9:10]),
    ("west", DEVICES[10:15]),
    ("west", DEVICES[15:19]),
    ("west", DEVICES[19:20]),
)
HEAP = "192k"
PEERS_PORT, LISTEN_PORT = 5685, 5683
REVOKED_MOST = 8
PROGRAM = Path(__file__).with_name("device_program.py")

POLICY_TOML = """
[roles]
governor = "certifies"
sensor = "measures"

[[rule]]
from = "any"
to = "any"
resource = "temp"
methods = ["GET"]

[[rule]]
from = "sensor"
to = "sensor"
resource = "sluice"
methods = ["PUT"]
quorum = true

[approvals]
operators = 0
"""


def wait_until(condition: Callable[[], object], text: str, timeout_s: float = 60.0) -> None:
    """Wait until a condition holds. Raises `AssertionError` after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"timeout after {timeout_s:g} s: {text}"
        time.sleep(0.1)


class Council(Committee):
    """The governors, each on its machine. Leaving `with` kills them."""

    def __init__(self, network: Network) -> None:
        self._network = network
        super().__init__(len(GOVERNORS), DEVICES, POLICY_TOML)

    def __getitem__(self, name: str) -> Governor:
        return self.governors[GOVERNORS.index(name)]

    def _governor(self, local: LocalGovernor) -> Governor:
        name = local.seat.name
        host = self._network.address(name)
        peers, listen = f"{host}:{PEERS_PORT}", f"{host}:{LISTEN_PORT}"
        return Governor(local, GovernorFolder(self.path / name), peers, listen, metrics="")

    def start(self, one: Governor, program: Sequence[str] = ("-m", "writ_host.demo.child")) -> None:
        """Run a daemon in its namespace; it ends with this process. Its output goes to DIR/log."""
        paths = os.pathsep.join(str(ROOT / part) for part in ("firmware", "host"))
        command = [*self._network.on(one.local.seat.name), sys.executable, *program]
        arguments = ["governor", "run", str(one.folder.path), "--key-file", str(self.key_path)]
        with open(one.folder.path / "log", "ab") as log:
            one.process = subprocess.Popen(
                [*command, *arguments],
                env=clean_environment(PYTHONPATH=paths),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @staticmethod
    def kill(one: Governor) -> None:
        """Kill a daemon with SIGKILL, at an arbitrary point of its work."""
        if one.process is not None:
            assert one.process.poll() is None, f"{one.local.seat.name} has ended by itself"
            one.process.kill()
            one.process.wait()
            one.process = None

    @property
    def running(self) -> list[str]:
        """The names of the governors that run."""
        return [name for name in GOVERNORS if self[name].process is not None]

    def epoch(self, name: str) -> int:
        """The epoch in force at a governor, 0 if it does not answer."""
        with contextlib.suppress(HostError):
            return int(self[name].ask("state")["epoch"])
        return 0

    @contextlib.contextmanager
    def ledger(self, name: str) -> Iterator[Ledger]:
        """The ledger of a governor that does not run."""
        ledger = Ledger.open(self[name].folder.ledger)
        try:
            yield ledger
        finally:
            ledger.close()

    def logs(self, lines: int = 25) -> str:
        """The last lines of all logs."""
        return "\n".join(
            f"--- {name}\n" + "\n".join(_tail(self[name].folder.path / "log", lines))
            for name in GOVERNORS
        )


def _tail(path: Path, lines: int) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []


class Field:
    """The devices, several in one process. Use `with`."""

    def __init__(self, network: Network, council: Council, witness: Witness) -> None:
        self._council = council
        self.path = council.path / "devices"
        self.addresses = {
            name: f"{network.address(field)}:{6000 + DEVICES.index(name)}"
            for field, names in PROCESSES
            for name in names
        }
        tree = council.path / "firmware"
        has_micropython = build_mpy.find_micropython() and build_mpy.find_compiler()
        if has_micropython:
            build_mpy.build(tree)
            build_mpy.build_programs(PROGRAM.parent, tree, [PROGRAM.name])
        self.processes = [
            Process(
                f"{names[0]} to {names[-1]}",
                self.path,
                _program(network.on(field), tree if has_micropython and not names[1:] else None),
                lambda process, event: witness.record(event.what),
            )
            for field, names in PROCESSES
        ]
        self._runs = [False] * len(PROCESSES)
        self.path.mkdir()
        for device in council.devices:
            self._provision(device.name, device.private, device.raw)

    def _provision(self, name: str, private: bytes, raw: bytes) -> None:
        folder, number = self.path / name, DEVICES.index(name)
        folder.mkdir()
        ring = len(DEVICES)
        # the devices spread their first requests over all governors
        listed = [one.listen for one in self._council.governors]
        listed = listed[number % 4 :] + listed[: number % 4]
        config = {
            "name": name,
            "scope": capsules.scope_id(capsules.parse(self._council.genesis[0]).payload).hex(),
            "listen": self.addresses[name],
            "gateways": listed,
            "governors": listed,
            "neighbours": [DEVICES[(number + step) % ring] for step in (1, -1)],
        }
        (folder / "config.json").write_text(json.dumps(config))
        Store(FileFlash(str(folder))).save("key", private)
        authority = self.authority(name, private)
        for one in (self._council.genesis[0], raw, self._council.genesis[1]):
            authority.receive(one, 0)

    def authority(self, name: str, private: bytes | None = None) -> Authority:
        """The state on the flash of a device that does not run."""
        store = Store(FileFlash(str(self.path / name)))
        x, _ = crypto.p256_public(private or store.load("key"))
        scope = capsules.scope_id(capsules.parse(self._council.genesis[0]).payload)
        return Authority(store, x, scope)

    def start(self, number: int) -> None:
        """Start one of the processes."""
        _, names = PROCESSES[number]
        self.processes[number].launch(*(str(self.path / name) for name in names))
        self._runs[number] = True

    def kill(self, number: int) -> None:
        """Kill a process with SIGKILL, as a power cut does."""
        self._runs[number] = False
        self.processes[number].kill()

    def __enter__(self) -> "Field":
        with contextlib.ExitStack() as stack:
            for number, process in enumerate(self.processes):
                stack.callback(process.stop)
                self.start(number)
            for process in self.processes:
                process.wait_for("start")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kill_all(self) -> None:
        """Kill all processes that run."""
        for number, runs in enumerate(self._runs):
            if runs:
                self.kill(number)

    def complaints(self) -> list[str]:
        """Output of devices that is no event, such as a traceback, and processes that crashed."""
        found = [f"{one.name}: {line}" for one in self.processes for line in one.noise]
        return found + [f"{name} ended by itself" for name in self._crashed()]

    def _crashed(self) -> list[str]:
        running = [one for one, runs in zip(self.processes, self._runs, strict=True) if runs]
        return [one.name for one in running if one.pid is None]


def _program(on: list[str], tree: Path | None) -> Program:
    if tree is None:
        # with the limits of a device
        paths = {"PYTHONPATH": str(ROOT / "firmware"), "WRIT_LIMITS": "device"}
        return Program([*on, sys.executable, str(PROGRAM)], clean_environment(**paths), "CPython")
    micropython = build_mpy.find_micropython()
    assert micropython is not None
    command = [*on, micropython, "-X", f"heapsize={HEAP}", "-m", PROGRAM.stem]
    return Program(command, clean_environment(MICROPYPATH=":.frozen"), "MicroPython", tree)


class Load(threading.Thread):
    """Proposes a policy change each `period_s` at a random governor, and reads certified capsules.

    A change needs no operator: it revokes an unknown node id or restores one. A governor that is
    killed before it answers is counted in `unanswered`, a refusal in `refused`.
    """

    def __init__(
        self, council: Council, witness: Witness, seed: int, period_s: float = 0.7
    ) -> None:
        super().__init__(daemon=True)
        self._council = council
        self._witness = witness
        self._random = random.Random(seed)
        self.period_s = period_s
        self._cursors = dict.fromkeys(GOVERNORS, 0)
        self._policies: dict[str, Policy] = {}
        self._ended = threading.Event()
        self.proposed = self.refused = self.unanswered = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Propose until `stop`."""
        try:
            while not self._ended.wait(self.period_s * self._random.uniform(0.5, 1.5)):
                self.turn(self._random.choice(GOVERNORS))
        except BaseException as error:
            self.failure = error
            raise

    def stop(self) -> None:
        """Stop proposing."""
        self._ended.set()
        if self.is_alive():
            self.join(60)
        assert self.failure is None, self.failure

    def turn(self, name: str) -> str | None:
        """Propose once at a governor: the proposal's id, None if it was not accepted."""
        try:
            self.look(name)
            amendment, policy = self._change(self._policies[name])
            asked = {"payloads": [amendment, policy], "title": "load", "evidence": b""}
            id = str(self._council[name].ask("propose", **asked)["id"])
        except HostError as error:
            if type(error).__name__ == "ControlFailed":
                self.refused += 1
            else:
                self.unanswered += 1
            return None
        self.proposed += 1
        return id

    def _change(self, policy: Policy) -> tuple[bytes, bytes]:
        revoked = list(policy.revoked)
        op: object = self._random.randbytes(8)
        if len(revoked) >= REVOKED_MOST:
            op = [OP_RESTORE, self._random.choice(revoked)]
        body = check_amendment([AMENDMENT, policy.epoch + 1, policy.head(), op])
        return capsules.build(AMENDMENT, body[1:]), amend(policy, body).payload()

    def look(self, name: str) -> None:
        """Report a governor's state and new capsules to the witness. Raises `HostError`."""
        found = self._council[name].ask("state")
        self._witness.state(name, found["epoch"], found["head"])
        self._cursors[name], listed = self._read(name, self._cursors[name])
        for capsule in listed:
            if capsule.kind == POLICY:
                self._policies[name] = Policy(capsule.claims)

    def contents(self, name: str) -> set[bytes]:
        """The payloads of a governor's members and actions, and of its newest beacon."""
        _, listed = self._read(name, 0)
        beacons = [capsules.Beacon(one).time for one in listed if one.kind == BEACON]
        return {
            bytes(one.payload)
            for one in listed
            if one.kind in (MEMBER, ACTION)
            or (one.kind == BEACON and capsules.Beacon(one).time == max(beacons))
        }

    def _read(self, name: str, cursor: int) -> tuple[int, list[Any]]:
        listed = []
        while True:
            page = self._council[name].ask("capsules", cursor=cursor)
            for text in page["capsules"]:
                self._witness.certified(name, bytes.fromhex(text))
                listed.append(capsules.parse(bytes.fromhex(text)))
            cursor = int(page["cursor"])
            if not page["capsules"]:
                return cursor, listed

    def find(self, name: str, id: str) -> str:
        """The state of a proposal; its capsules go to the witness. Raises `HostError`."""
        found = self._council[name].ask("find", id=id)
        for text in found["capsules"]:
            self._witness.certified(name, bytes.fromhex(text))
        return str(found["state"])
