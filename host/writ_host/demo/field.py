"""The field: a folder, the scope in it, and a process a node. All of it ends with the demo."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from writ import cbor
from writ.wire import coap

from ..errors import HostError
from ..keys.keyfile import KeyFile
from ..node import provision
from ..node.client import NodeClient, Reply
from ..node.folder import NodeFolder
from ..scope.folder import ScopeFolder
from ..target import Target
from . import farm
from .board import Board
from .governors import Council, program
from .process import Event, Process, Program, clean_environment
from .relay import HOST, Relay, free_port

# On this 64-bit build they hold about what 96 kB do on a microcontroller; an ESP32 has 110.
HEAP = "192k"
_ROOT = Path(__file__).resolve().parents[3]
_BOARD = _ROOT / "boards/unix"


class Field:
    """Folder, processes and sockets. Close it, or use `with`.

    scope: the scope's folder, once it is founded; council: its governors.
    """

    def __init__(
        self, on_event: Callable[[Process, Event], None] = lambda process, event: None
    ) -> None:
        if not (_BOARD / "main.py").is_file():
            raise HostError(
                "the demonstration needs the source tree: boards/unix is not there",
                "Clone the repository and run: make demo",
            )
        self.path = Path(tempfile.mkdtemp(prefix="writ-demo-"))
        self._scope: ScopeFolder | None = None
        self._desk: NodeClient | None = None
        try:
            self.device, self.host = self._programs()
            KeyFile.create(self.key_file)
            self._governor = program(_ROOT, self.key_file)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        self.boards: dict[str, Board] = {}
        for part in (farm.GATE, *farm.DEVICES, *farm.LATE):
            how = self.host if part is farm.GATE else self.device
            address = f"{HOST}:{free_port()}"
            board = Board(part.name, self.path / "nodes" / part.name, address, how, on_event)
            self.boards[part.name] = board
        self.council = Council(self.path, self._governor, on_event)
        self.relay = Relay(self.boards[farm.TANK.name].address)

    def __enter__(self) -> "Field":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, close all sockets, remove the folder and the keys in it."""
        for board in self.boards.values():
            board.stop()
        self.council.stop()
        self.close_desk()
        self.relay.close()
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def key_file(self) -> Path:
        """What unlocks the governors' keys."""
        return self.path / "governors.key"

    # --- how nodes are run ------------------------------------------------------------------------

    def _programs(self) -> tuple[Program, Program]:
        source = {"PYTHONPATH": str(_ROOT / "firmware")}
        command = [sys.executable, str(_BOARD / "main.py")]
        host = Program(command, clean_environment(**source), "CPython")
        micropython = _beside("micropython")
        if micropython and self._compile():
            command = [micropython, "-X", f"heapsize={HEAP}", "-m", "main"]
            # each module's path is kept on the heap, and in its own folder it is short
            environment = clean_environment(MICROPYPATH=":.frozen")
            words = f"MicroPython, {HEAP} heap"
            return Program(command, environment, words, self.path / "firmware"), host
        environment = clean_environment(WRIT_CRYPTO="pure", **source)
        return Program(command, environment, "CPython, pure (no MicroPython here)"), host

    def _compile(self) -> bool:
        # False where there is no compiler for this platform. Raises HostError
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

    def __getitem__(self, part: farm.Part) -> Board:
        return self.boards[part.name]

    def address(self, part: farm.Part) -> str:
        """Where others find this node ("host:port")."""
        return self.relay.address if part is farm.TANK else self[part].address

    def flash(self, part: farm.Part, scope_id: bytes, governors: Sequence[str] = ()) -> None:
        """Give a node what it is born with: its name, the scope it trusts, whom it may ask.

        governors: names, instead of those of its part.
        """
        gate = self[farm.GATE].address
        if part is farm.TANK:
            gate = self.relay.behind(gate)
        self[part].configure(
            name=part.name,
            scope=scope_id.hex(),
            listen=self[part].address,
            gateways=None if part is farm.GATE else [gate],
            governors=self.council.listen(*(governors or part.governors)) or None,
            serve=list(part.serve),
            ask=dict(part.ask) or None,
        )

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
        return self.path / "nodes" / farm.DESK.name

    def make_desk(self) -> bytes:
        """The operator's node folder; gives its request for membership."""
        gateways = [self[farm.GATE].address]
        return provision.make_node(
            self.desk_path, farm.DESK.name, self.scope.charter.scope, f"{HOST}:0", gateways
        )

    @property
    def desk(self) -> NodeClient:
        """The operator's node, in this process, with a socket of its own."""
        if self._desk is None:
            self._desk = NodeClient(NodeFolder(self.desk_path, f"{HOST}:0"), (self.scope.path,))
        return self._desk

    def close_desk(self) -> None:
        """Let other processes use the operator's node."""
        if self._desk:
            with contextlib.suppress(OSError):
                self._desk.close()
            self._desk = None

    def call(
        self, part: farm.Part, path: str, method: int = coap.GET, payload: bytes = b""
    ) -> Reply:
        """Call a node as the operator."""
        return self.desk.call(Target(part.name, None, path), method, payload)

    def status(self, part: farm.Part) -> dict[str, Any]:
        """What a node says of itself when the operator asks."""
        reply = self.call(part, "writ/status")
        if not reply.is_success:
            raise HostError(f"{part.name} refused its status: {reply.payload!r}")
        told: dict[str, Any] = cbor.decode(reply.payload)
        return told

    def rejected(self, part: farm.Part, name: str) -> int:
        """How often a node has counted this rejection."""
        return int(self.status(part)["rejected"].get(name, 0))


def _beside(name: str) -> str | None:
    # in the environment that runs this, else on PATH
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)
