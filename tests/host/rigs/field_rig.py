"""A field on the loopback: node folders of one scope, devices as processes, `writ` as a command."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import build_mpy
import interop_rig
from click.testing import CliRunner, Result
from interop_rig import FIRMWARE, HOST, Scope, commands, free_port, ping

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import FileFlash, Store
from writ.startup import load_key
from writ_host.cli import main

# Role bits: 0 is every member's
OPERATOR, SENSOR, GUEST = 2, 4, 8
ROLE_NAMES = ["operator", "sensor", "guest"]
GET, POST, PUT = 1, 2, 4
RULES: list[list[Any]] = [
    [OPERATOR, SENSOR, "temp", GET],
    [OPERATOR, SENSOR, "note", GET | POST | PUT],
    [OPERATOR, SENSOR, "blob", GET],
    [OPERATOR, SENSOR, "missing", GET],
    [OPERATOR | GUEST, SENSOR, "writ/status", GET],
    [OPERATOR, SENSOR, "load", GET],
    [OPERATOR, SENSOR, "level/*", GET],
]
WRIT = [sys.executable, "-c", "from writ_host.cli import main; main()"]
PATHS = {
    **os.environ,
    "PYTHONPATH": f"{FIRMWARE}:{FIRMWARE.parent / 'host'}",
    "PYTHONUNBUFFERED": "1",
}
PROGRAM = """
import sys
import writ

node = writ.Node.load(sys.argv[1])
state = {"temp": 0, "note": b""}


@node.resource("temp", period_s=0.1)
def temp(request):
    state["temp"] += 1
    return "21.%d" % state["temp"]


@node.resource("note", ("GET", "PUT", "POST"))
def note(request):
    if request.method == 1:
        return state["note"]
    state["note"] = (b"" if request.method == 3 else state["note"]) + request.payload
    return b""


@node.resource("blob")
def blob(request):
    return b"\\xa1\\x61a\\x01" if request.query else b"\\xff\\x00"


for number in range(5):
    node.resource("level/%d" % number)(lambda request: b"full")

if node.config.get("sleep_s"):
    node.announce()
while node.config.get("sleep_s"):
    node.sleep()
    print("awake")
node.run()
"""


class FieldScope(Scope):
    """A scope with role names, and policies with different rules and revoked nodes.

    routes: of its policies, for frames: ([class, send, relay, links, hops, airtime, priority], ...)
    """

    def __init__(self, routes: tuple[list[int], ...] = ()) -> None:
        super().__init__()
        self.routes = routes
        self.policies = [self.next_policy(RULES)]

    def next_policy(self, rules: list[list[Any]], revoked: tuple[bytes, ...] = ()) -> bytes:
        """The policy capsule that follows the last one of `policies`."""
        policies = getattr(self, "policies", [])
        head = capsule.head(capsule.parse(policies[-1]).payload) if policies else self.head
        epoch = len(policies) + 1
        body = [epoch, head, rules, list(self.routes), sorted(revoked), {1: ROLE_NAMES}]
        payload = capsule.build(capsule.POLICY, body, iat=interop_rig.FOUNDED + epoch)
        return self.certify(payload)

    def enact(self, rules: list[list[Any]], revoked: tuple[bytes, ...] = ()) -> bytes:
        """Certify the next policy; returns its capsule."""
        self.policies.append(self.next_policy(rules, revoked))
        return self.policies[-1]

    def folder(self, path: Path, name: str, roles: int, **config: Any) -> bytes:
        """Make a node's folder; its node id."""
        path.mkdir()
        peer = self.admit(name, roles, load_key(Store(FileFlash(str(path)))))
        self.hand(path, self.charter, peer.capsule, self.policies[-1])
        self.configure(path, name, **config)
        return peer.node_id

    def hand(self, path: Path, *capsules: bytes) -> None:
        """Put capsules into a node's folder while no process runs on it."""
        store = Store(FileFlash(str(path)))
        authority = Authority(store, crypto.p256_public(load_key(store))[0], self.id)
        for raw in capsules:
            authority.receive(raw, 0)

    def configure(self, path: Path, name: str, **config: Any) -> None:
        """Write a node's config.json."""
        config = {"name": name, "scope": self.id.hex(), **config}
        (path / "config.json").write_text(json.dumps(config))


@dataclass
class Process:
    """A node as a process of its own."""

    path: Path
    port: int
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def address(self) -> str:
        """host:port."""
        return f"{HOST}:{self.port}"

    @property
    def output(self) -> str:
        """Everything that the process printed."""
        return (self.path / "output").read_text()

    def start(self) -> Self:
        """Start the process and wait until the node answers a ping."""
        with (self.path / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 20
        while not ping(self.port):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, "it does not answer"
        return self

    def wait_for(self, text: str, timeout_s: float = 10) -> None:
        """Wait until the output contains `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.output}"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the process, as a power loss does."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Field:
    """Folders below `root`, and the processes that run on them.

    routes: as in `FieldScope`; heap: of devices on MicroPython.
    """

    def __init__(
        self,
        root: Path,
        tree: Path,
        routes: tuple[list[int], ...] = (),
        heap: str = interop_rig.HEAP,
    ) -> None:
        self.root = root
        self.scope = FieldScope(routes)
        self._tree = tree
        self.heap = heap
        # without MicroPython for this platform the same program runs on CPython
        self.interpreter = "micropython" if "micropython" in commands(tree) else "cpython"
        self._processes: list[Process] = []
        self._commands: list[subprocess.Popen[str]] = []
        (tree / "device.py").write_text(PROGRAM)

    def folder(self, name: str, roles: int, **config: Any) -> Path:
        """A provisioned node folder."""
        path = self.root / name
        self.scope.folder(path, name, roles, **config)
        return path

    def device(
        self, name: str, roles: int = SENSOR, interpreter: str = "", **config: Any
    ) -> Process:
        """A device with the resources of PROGRAM, running."""
        port = free_port()
        path = self.folder(name, roles, listen=f"{HOST}:{port}", **config)
        found = commands(self._tree, self.heap)
        command, environment = found[interpreter or self.interpreter]
        program = str(self._tree / "device.py")
        return self._start(Process(path, port, [*command, program, str(path)], environment))

    def host_node(self, name: str, roles: int, *options: str, **config: Any) -> Process:
        """`writ node run` on a new folder, running."""
        port = free_port()
        path = self.folder(name, roles, listen=f"{HOST}:{port}", **config)
        return self._start(Process(path, port, [*WRIT, "node", "run", str(path), *options], PATHS))

    def spawn(self, *words: object) -> subprocess.Popen[str]:
        """`writ` with these arguments as a separate process; its stdout and stderr are pipes."""
        process = subprocess.Popen(
            [*WRIT, *[str(word) for word in words]],
            env=PATHS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._commands.append(process)
        return process

    def _start(self, process: Process) -> Process:
        self._processes.append(process)
        return process.start()

    def stop(self) -> None:
        """End all processes; fail if one has printed a traceback."""
        for command in self._commands:
            command.kill()
            command.communicate()
        for process in self._processes:
            process.kill()
            assert "Traceback" not in process.output, process.output


def build_tree(tree: Path) -> Path:
    """Compile the firmware to .mpy in `tree`, if a compiler is installed."""
    if build_mpy.find_compiler():
        build_mpy.build(tree)
    return tree


def writ(*words: object, code: int | None = 0, **environment: str) -> Result:
    """Run `writ` with these arguments; code: the expected exit code, None for any."""
    result = CliRunner().invoke(main, [str(word) for word in words], env=environment)
    assert code in (None, result.exit_code), (result.exit_code, result.output)
    assert "Traceback" not in result.output
    return result


def writ_json(*words: object, code: int | None = 0, **environment: str) -> Any:
    """The JSON document that a command prints, which must be its whole stdout."""
    return json.loads(writ(*words, "--json", code=code, **environment).stdout)


def write_book(folder: Path, **entries: str) -> None:
    """Write the address book of a node's folder: names and addresses."""
    (folder / "book.toml").write_text("".join(f'{n} = "{a}"\n' for n, a in entries.items()))
