"""The program of docs/mesh.md that sleeps deeply, as a process, on a serial line."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import build_mpy
import pytest
from attack_rig import Member
from field_rig import OPERATOR, PUT, RULES, SENSOR, Field, build_tree
from interop_rig import commands, free_port
from pty_rig import Cable

pytestmark = pytest.mark.slow
HEAP = "232k"
ROUTES = (
    [0, 1, OPERATOR, 6, 4, 1000, 7],
    [1, 1, OPERATOR, 6, 4, 1000, 3],
    [15, 1, OPERATOR, 6, 0, 100, 0],
)


def program() -> str:
    """The example of the documentation, with the folder as argument."""
    text = (build_mpy.ROOT / "docs/mesh.md").read_text()
    (found,) = re.findall(r"```python\n(import writ\n.*?deep=True\)\n)```", text, re.DOTALL)
    return "import sys\n" + found.replace('"/node"', "sys.argv[1]")


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    made = Cable(tmp_path)
    yield made
    made.close()


class Sleeper:
    """A device that runs the program anew after each sleep."""

    def __init__(self, field: Field, tree: Path, interpreter: str, port: str) -> None:
        links = [{"kind": "serial", "port": port}]
        listen = f"127.0.0.1:{free_port()}"
        self.path = field.folder("soil", SENSOR, listen=listen, links=links, sleep_s=900)
        (tree / "deep.py").write_text(program())
        command, self._environment = commands(tree, HEAP)[interpreter]
        self._command = [*command, str(tree / "deep.py"), str(self.path)]

    def wake(self, gate: Member) -> None:
        """One run of the program, up to its sleep."""
        process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        try:
            while process.poll() is None:
                assert time.monotonic() < deadline
                gate.step(20)
        finally:
            process.kill()
        output, _ = process.communicate()
        assert (process.returncode, output) == (0, b"")


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_the_program_of_the_documentation(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, cable: Cable, interpreter: str
) -> None:
    tree = build_tree(tmp_path_factory.mktemp("tree"))
    if interpreter not in commands(tree):
        pytest.skip("no micropython here")
    field = Field(tmp_path, tree, ROUTES)
    field.scope.enact([*RULES, [SENSOR, OPERATOR, "level", PUT]])
    links = [{"kind": "serial", "port": str(cable.paths[0])}]
    gate = Member.of(field, "gate", OPERATOR, links=links, mesh_gateway=True)
    # it makes the link key without waiting for others
    gate.frames.keys.offer(gate.authority.policy, 1, bytes(16), 0)  # type: ignore[attr-defined]
    levels: list[bytes] = []

    @gate.resource("level", ("PUT",))
    def level(request: Any) -> bytes:
        levels.append(request.payload)
        return b""

    soil = Sleeper(field, tree, interpreter, str(cable.paths[1]))
    # it joins
    soil.wake(gate)
    assert levels == []
    (session,) = gate.sessions
    for number in range(1, 4):
        before = session.context.window[0]
        soil.wake(gate)
        assert levels == [b"7.1"] * number
        # no number is skipped, no freshness asked for, no handshake made
        assert session.context.window[0] == before + 1
        assert list(gate.sessions) == [session]
    gate.close()
