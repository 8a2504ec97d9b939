"""Nodes of one scope on the machines of a `Network`: real processes, whose addresses may change."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import build_mpy
import pytest
from field_rig import GET, OPERATOR, PATHS, SENSOR, WRIT, FieldScope
from netns_rig import Network, NotPermitted

from writ_host.demo.process import Process, Program

RULES: list[list[Any]] = [[OPERATOR | SENSOR, OPERATOR | SENSOR, "temp", GET]]
# Hosts with the limits of hosts, whatever the tests have.
ENVIRONMENT = {key: value for key, value in PATHS.items() if key != "WRIT_LIMITS"}
PROGRAM = Path(__file__).with_name("lan_program.py")
HEAP = "192k"


class Lan:
    """The network, and the processes and folders of one scope. Use `with`."""

    def __init__(self, root: Path, machines: tuple[str, ...]) -> None:
        self.net = Network(machines)
        self.scope = FieldScope()
        self.scope.enact(RULES)
        self.root = root
        self._tree = root / "tree"
        self._stack = contextlib.ExitStack()
        self.node_ids: dict[str, bytes] = {}

    def __enter__(self) -> "Lan":
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.net)
            if build_mpy.find_micropython() and build_mpy.find_compiler():
                build_mpy.build(self._tree)
                build_mpy.build_programs(PROGRAM.parent, self._tree, [PROGRAM.name])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def folder(self, name: str, roles: int = SENSOR, **config: Any) -> Path:
        """A provisioned folder of a node with this name."""
        path = self.root / name
        self.node_ids[name] = self.scope.folder(path, name, roles, **config)
        return path

    def writ(self, machine: str, *words: object, code: int = 0) -> str:
        """Run `writ` on a machine; its stdout."""
        command = [*self.net.on(machine), *WRIT, *[str(word) for word in words]]
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def writ_json(self, machine: str, *words: object) -> Any:
        """Run `writ` on a machine with --json; the document."""
        return json.loads(self.writ(machine, *words, "--json"))

    def run_node(self, name: str, *options: str) -> Process:
        """`writ node run` on the folder `name`, on the machine of that name."""
        command = [*WRIT, "node", "run", str(self.root / name), "--json", *options]
        return self._start(name, command, ENVIRONMENT, "started")

    def device(self, name: str, interpreter: str) -> Process:
        """The program above on the folder `name`, on the machine of that name."""
        command, environment = [sys.executable, str(PROGRAM)], ENVIRONMENT
        if interpreter == "micropython":
            if not (self._tree / "writ").is_dir():
                pytest.skip("no micropython or no mpy-cross here")
            command = [str(build_mpy.find_micropython()), "-X", f"heapsize={HEAP}"]
            command += ["-m", PROGRAM.stem]
            environment = {**os.environ, "MICROPYPATH": ":.frozen"}
        program = [*command, str(self.root / name)]
        return self._start(name, program, environment, "start")

    def _start(
        self, name: str, command: list[str], environment: dict[str, str], first: str
    ) -> Process:
        # the tree is the folder in which MicroPython looks for modules
        self._tree.mkdir(exist_ok=True)
        program = Program([*self.net.on(name), *command], environment, "a node", self._tree)
        process = Process(name, self.root, program)
        self._stack.callback(process.stop)
        process.launch()
        process.wait_for(first)
        return process


@contextlib.contextmanager
def lan(root: Path, *machines: str) -> Iterator[Lan]:
    """A `Lan`; the test is skipped where namespaces are not permitted."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(Lan(root, machines))
        except NotPermitted as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield made
