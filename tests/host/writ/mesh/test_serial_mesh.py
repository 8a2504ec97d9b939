"""A device on a serial line: real processes and ptys, from the link key to a revocation."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import build_mpy
import pytest
from attack_rig import Member, node_id
from field_rig import GET, OPERATOR, PUT, RULES, SENSOR, Field, Process, build_tree
from interop_rig import commands, free_port
from pty_rig import Cable

from writ import cbor
from writ.errors import Rejection
from writ.wire import coap

pytestmark = pytest.mark.slow
# of a device with a mesh, docs/memory.md
HEAP = "232k"
# operators forward, on serial lines and by radio
ROUTES = (
    [0, 1, OPERATOR, 6, 4, 1000, 7],
    [1, 1, OPERATOR, 6, 4, 1000, 3],
    [15, 1, OPERATOR, 6, 0, 100, 0],
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    made = Field(tmp_path, tree, ROUTES, HEAP)
    yield made
    made.stop()


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    made = Cable(tmp_path)
    yield made
    made.close()


def until(member: Member, condition: Callable[[], object], seconds: float = 60) -> None:
    """Run the member in this process until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        member.step(20)


def gateway(field: Field, cable: Cable) -> Member:
    """The gateway in this process, at one end of the cable."""
    links = [{"kind": "serial", "port": str(cable.paths[0])}]
    return Member.of(field, "gate", OPERATOR, links=links, mesh_gateway=True)


def far_device(field: Field, cable: Cable, interpreter: str = "", **config: Any) -> Process:
    """A device at the other end of the cable."""
    if interpreter and interpreter not in commands(field._tree):
        pytest.skip("no micropython here")
    links = [{"kind": "serial", "port": str(cable.paths[1])}]
    return field.device("soil", interpreter=interpreter, links=links, **config)


def test_a_host_node_is_a_gateway(field: Field, cable: Cable) -> None:
    # its config.json has the line; the device knows no other way to it
    links = [{"kind": "serial", "port": str(cable.paths[0])}]
    scope = field.scope
    device = far_device(field, cable)
    operator = Member.of(field, "operator", OPERATOR)
    assert scope.routes == ROUTES
    scope.enact([*RULES, [OPERATOR, OPERATOR, "temp", GET]])
    field.host_node("gate", OPERATOR, "--serve", "none", links=links, mesh_gateway=True)
    until(operator, lambda: _epoch(operator, device.address) == 2)
    operator.close()


def _epoch(operator: Member, address: str) -> int:
    answer = operator.call(address, "writ/status")
    assert answer.is_success(), (answer.code, answer.rejection)
    found: int = cbor.decode(answer.payload)["epoch"]
    return found


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_device_is_read_over_a_serial_line(field: Field, cable: Cable, interpreter: str) -> None:
    device = far_device(field, cable, interpreter)
    gate = gateway(field, cable)
    frames = gate.frames  # type: ignore[attr-defined]
    mesh = frames.mesh
    # it joins by itself, and the two know each other
    until(gate, lambda: [one for one in mesh.neighbours if one.is_mutual])
    (neighbour,) = mesh.neighbours
    address = f"mesh:{neighbour.address:04x}"
    answer = gate.call(address, "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.1")
    # a body in blocks, over a cable that is pulled out meanwhile
    assert gate.call(address, "note", coap.PUT, b"x" * 1500).is_success()
    cable.unplug(0)
    cable.plug(0)
    until(gate, lambda: frames.links[0].handle is not None)
    assert gate.call(address, "note").payload == b"x" * 1500
    # a policy is pulled, and decides from then on
    gate.authority.receive(field.scope.enact([[OPERATOR, SENSOR, "note", GET]]), gate.now_ms)
    until(gate, lambda: gate.say(address, "temp") == "NotAllowed")
    assert gate.say(address, "note") == "x" * 1500
    # a revoked device is refused, and gets no other link key
    before = frames.keys.key
    gate.authority.receive(field.scope.enact(RULES, (node_id(device.path),)), gate.now_ms)
    until(gate, lambda: frames.keys.key != before)
    refused = gate.call(address, "temp")
    assert isinstance(refused.rejection, Rejection)
    assert "Revoked" in (type(refused.rejection).__name__, *gate.counters)
    gate.close()


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_device_that_sleeps_is_read(field: Field, cable: Cable, interpreter: str) -> None:
    device = far_device(field, cable, interpreter, sleep_s=3)
    gate = gateway(field, cable)
    mesh = gate.frames.mesh  # type: ignore[attr-defined]
    until(gate, lambda: mesh.outbox.mailbox and "awake" in device.output)
    (neighbour,) = mesh.neighbours
    address = f"mesh:{neighbour.address:04x}"
    for _ in range(2):
        # it arrives while the device sleeps, and waits
        until(gate, lambda: mesh.outbox.next_ms(0) is None)
        answer = gate.call(address, "temp")
        assert (answer.code, answer.payload[:3]) == (coap.CONTENT, b"21.")
    # a policy is pulled in the next window
    gate.authority.receive(field.scope.enact([[OPERATOR, SENSOR, "note", GET]]), gate.now_ms)
    until(gate, lambda: gate.say(address, "temp") == "NotAllowed")
    assert "awake" in device.output and "NoRoute" not in gate.counters
    gate.close()


def program() -> str:
    """The example of the documentation, with the folder as argument."""
    text = (build_mpy.ROOT / "docs/mesh.md").read_text()
    (found,) = re.findall(r"```python\n(import writ\n.*?deep=True\)\n)```", text, re.DOTALL)
    return "import sys\n" + found.replace('"/node"', "sys.argv[1]")


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
def test_the_program_of_the_documentation_sleeps_deeply(
    field: Field, tree: Path, cable: Cable, interpreter: str
) -> None:
    if interpreter not in commands(tree):
        pytest.skip("no micropython here")
    field.scope.enact([*RULES, [SENSOR, OPERATOR, "level", PUT]])
    gate = gateway(field, cable)
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
