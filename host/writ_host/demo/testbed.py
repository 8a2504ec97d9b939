"""The demonstration's testbed: a folder, the scope in it, and one process for each node."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from writ import cbor
from writ.wire import coap

from .. import files
from ..errors import HostError
from ..keys.keyfile import KeyFile
from ..node import provision
from ..node.client import NodeClient, Reply
from ..node.folder import NodeFolder
from ..scope.folder import ScopeFolder
from ..target import Target
from . import scenario
from .airwaves import Airwaves
from .board import Board, HostBoard
from .cable import Cable
from .governors import Governors, program
from .loopback import HOST, clean_environment, free_address
from .process import Event, Process, Program
from .wiretap import Wiretap

# A relay has the code of two kinds of link, and sessions with all its neighbours. 256k are enough,
# and 240k are not.
MESH_HEAP = "288k"
# On this 64-bit build the heap holds about what 96 kB hold on a microcontroller; an ESP32 has 110.
HEAP = "192k"
_ROOT = Path(__file__).resolve().parents[3]
_BOARD = _ROOT / "boards/unix"


class Testbed:
    """Folder, processes and sockets. Close the testbed, or use `with`.

    scope: the scope's folder, once it is founded; governors: its governors.
    """

    def __init__(
        self, on_event: Callable[[Process, Event], None] = lambda process, event: None
    ) -> None:
        if not files.is_file(_BOARD / "main.py"):
            raise HostError(
                "the demonstration needs the source tree: boards/unix is not there",
                "Clone the repository and run: make demo",
            )
        self.path = Path(tempfile.mkdtemp(prefix="writ-demo-"))
        self._scope: ScopeFolder | None = None
        self._desk: NodeClient | None = None
        try:
            for name in ("nodes", "governors"):
                files.make_folder(self.path / name, 0o700)
            self.device, self.host = self._programs()
            KeyFile.create(self.key_file)
            self._governor = program(_ROOT, self.key_file)
            self.boards: dict[str, Board] = {}
            for spec in (scenario.GATE, *scenario.DEVICES, *scenario.LATE, *scenario.MESH):
                node_program = self.host if spec is scenario.GATE else self.device
                if spec in scenario.MESH:
                    node_program = with_heap(node_program, MESH_HEAP)
                folder = self.path / "nodes" / spec.name
                board = Board(spec.name, folder, free_address(), node_program, on_event)
                self.boards[spec.name] = board
            run = [*self._governor.command, "-m", "writ_host.demo.child"]
            self.boards[scenario.MAST.name] = HostBoard(
                scenario.MAST.name,
                self.path / "nodes" / scenario.MAST.name,
                free_address(),
                replace(self._governor, command=run),
                on_event,
            )
            self.governors = Governors(self.path, self._governor, on_event)
            self.wiretap = Wiretap(self.boards[scenario.TANK.name].address)
            files.make_folder(self.path / "radio", 0o700)
            modems = [scenario.MAST.name, scenario.HILL.name, scenario.SPRING.name]
            self.airwaves = Airwaves(_ROOT, self.path / "radio", modems, on_event)
            self.cable = Cable(self.path / "radio")
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def __enter__(self) -> "Testbed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, close all sockets, remove the folder and the keys in it."""
        for board in self.boards.values():
            board.stop()
        self.governors.stop()
        self.close_desk()
        self.wiretap.close()
        self.airwaves.stop()
        self.cable.close()
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def key_file(self) -> Path:
        """The key file that protects the governors' keys and key shares."""
        return self.path / "governors.key"

    # --- what is known after a failure ------------------------------------------------------------

    def explain(self, message: str) -> str:
        """An error's message with the name and the state of each node whose address it has."""
        notes = []
        for board in self.boards.values():
            places = {board.address}
            if board.name == scenario.TANK.name:
                places.add(self.wiretap.address)
            if found := [one for one in places if re.search(rf"{re.escape(one)}(?!\d)", message)]:
                state = "runs" if board.pid else "does not run"
                notes.append(f"{found[0]} is {board.name}, which {state}. {board.last_seen}")
        return ". ".join([message, *notes])

    def save_log(self) -> Path:
        """Write what all processes have logged into a file that outlives the testbed."""
        handle, path = tempfile.mkstemp(prefix="writ-demo-", suffix=".log")
        processes: list[Process] = [*self.governors.all.values(), *self.boards.values()]
        processes.append(self.airwaves)
        with open(handle, "w") as log:
            log.writelines(f"{line}\n" for one in processes for line in one.log)
        return Path(path)

    # --- how nodes run ----------------------------------------------------------------------------

    def _programs(self) -> tuple[Program, Program]:
        source = {"PYTHONPATH": str(_ROOT / "firmware")}
        command = [sys.executable, str(_BOARD / "main.py")]
        host = Program(command, clean_environment(**source), "CPython")
        micropython = _beside("micropython")
        if micropython and self._compile():
            command = [micropython, "-X", f"heapsize={HEAP}", "-m", "main"]
            # each module's path takes heap: in the firmware's own folder the paths are short
            environment = clean_environment(MICROPYPATH=":.frozen")
            description = f"MicroPython, {HEAP} heap"
            return Program(command, environment, description, self.path / "firmware"), host
        environment = clean_environment(WRIT_CRYPTO="pure", **source)
        return Program(command, environment, "CPython, pure (no MicroPython here)"), host

    def _compile(self) -> bool:
        # returns False where there is no compiler for this platform; raises HostError
        build = [sys.executable, str(_ROOT / "tools/build_mpy.py"), "--quiet"]
        output = ["--output", str(self.path / "firmware")]
        programs = [str(path) for path in sorted(_BOARD.glob("*.py"))]
        done = subprocess.run(
            [*build, *output, *programs], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return True
        if "mpy-cross is missing" in done.stderr:
            return False
        raise HostError(f"the firmware does not compile: {done.stderr.strip()[-300:]}", "make mpy")

    # --- the nodes --------------------------------------------------------------------------------

    def __getitem__(self, spec: scenario.NodeSpec) -> Board:
        return self.boards[spec.name]

    def address(self, spec: scenario.NodeSpec) -> str:
        """The address at which other nodes reach this node ("host:port")."""
        return self.wiretap.address if spec is scenario.TANK else self[spec].address

    def configure(
        self, spec: scenario.NodeSpec, scope_id: bytes, governors: Sequence[str] = ()
    ) -> None:
        """Configure a node: its name, the scope it trusts, its gateway and its governors.

        governors: names, in place of those of the node's spec.
        """
        gate = self[scenario.GATE].address
        if spec is scenario.TANK:
            gate = self.wiretap.behind(gate)
        self[spec].configure(
            name=spec.name,
            scope=scope_id.hex(),
            listen=self[spec].address,
            gateways=None if spec is scenario.GATE else [gate],
            governors=self.governors.listen(*(governors or spec.governors)) or None,
            serve=list(spec.serve),
            ask=dict(spec.ask) or None,
        )

    def links(self, spec: scenario.NodeSpec) -> list[dict[str, Any]]:
        """The links without IP of a node, as in config.json."""
        found = []
        if spec.name in self.airwaves.names:
            found.append(self.airwaves.link(spec.name))
        if spec in (scenario.HILL, scenario.BARN):
            end = self.cable.ends[spec is scenario.BARN]
            found.append({"kind": "serial", "port": str(end)})
        return found

    # --- the scope --------------------------------------------------------------------------------

    @property
    def scope(self) -> ScopeFolder:
        """The scope's folder."""
        assert self._scope is not None
        return self._scope

    @scope.setter
    def scope(self, folder: ScopeFolder) -> None:
        self._scope = folder

    # --- the operator -----------------------------------------------------------------------------

    @property
    def desk_path(self) -> Path:
        """The folder of the operator's node."""
        return self.path / "nodes" / scenario.DESK.name

    def make_desk(self) -> bytes:
        """Make the operator's node folder; returns the node's request for membership."""
        gateways = [self[scenario.GATE].address]
        return provision.make_node(
            self.desk_path, scenario.DESK.name, self.scope.charter.scope, f"{HOST}:0", gateways
        )

    def add_gateway(self, address: str) -> None:
        """Let the operator's node ask one gateway more for names."""
        self.close_desk()
        path = self.desk_path / "config.json"
        config = json.loads(path.read_text())
        config["gateways"] = [*config["gateways"], address]
        path.write_text(json.dumps(config))

    @property
    def desk(self) -> NodeClient:
        """The operator's node, which runs in this process with a socket of its own."""
        if self._desk is None:
            self._desk = NodeClient(NodeFolder(self.desk_path, f"{HOST}:0"), (self.scope.path,))
        return self._desk

    def close_desk(self) -> None:
        """Close the operator's node, so that other processes may use its folder."""
        if self._desk:
            with contextlib.suppress(OSError):
                self._desk.close()
            self._desk = None

    def call(
        self, spec: scenario.NodeSpec, path: str, method: int = coap.GET, payload: bytes = b""
    ) -> Reply:
        """Call a node as the operator."""
        return self.desk.call(Target(spec.name, None, path), method, payload)

    def status(self, spec: scenario.NodeSpec) -> dict[str, Any]:
        """A node's status document, read by the operator. Raises `HostError`."""
        reply = self.call(spec, "writ/status")
        if not reply.is_success:
            raise HostError(f"{spec.name} refused its status: {reply.payload!r}")
        document: dict[str, Any] = cbor.decode(reply.payload)
        return document

    def rejected(self, spec: scenario.NodeSpec, name: str) -> int:
        """How often a node has counted the rejection of this name."""
        return int(self.status(spec)["rejected"].get(name, 0))


def with_heap(program: Program, heap: str) -> Program:
    """The program with another heap, where it has one."""
    command = [part.replace(f"heapsize={HEAP}", f"heapsize={heap}") for part in program.command]
    return replace(program, command=command)


def _beside(name: str) -> str | None:
    # beside this interpreter, else on PATH
    beside = Path(sys.executable).with_name(name)
    return str(beside) if files.exists(beside) else shutil.which(name)
