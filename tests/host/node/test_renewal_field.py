"""A renewed node and its peer, as processes with sockets: the first membership ends, all goes on.

The device runs on MicroPython and on CPython, as client and as server, renewed or not.
"""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import interop_rig
import pytest
from field_rig import OPERATOR, SENSOR, FieldScope, build_tree
from interop_rig import HOST, commands, free_port, ping

from writ.agent import Node
from writ.authority import capsule
from writ.authority.store import FileFlash, Store
from writ.errors import Rejection
from writ.startup import load_key
from writ.wire import coap

pytestmark = pytest.mark.slow

DAY_S = 86400
BOTH = OPERATOR | SENSOR
PROGRAM = """
import sys
import writ

node = writ.Node.load(sys.argv[1])
node.open()


@node.resource("temp")
def temp(request):
    return b"21.5"


answers = [None]
while True:
    node.step(100)
    if not answers or not node.config["asks"]:
        continue
    answer = answers.pop()
    if answer:
        print(answer.code, answer.payload.decode(), type(answer.rejection).__name__)
    node.send(node.request(1, "temp", address=node.config["asks"], on_answer=answers.append))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device core and the program, for both interpreters."""
    tree = build_tree(tmp_path_factory.mktemp("renewal"))
    (tree / "device.py").write_text(PROGRAM)
    return tree


def exchange(node: Node, address: str, method: int, path: str, payload: bytes = b"") -> object:
    """The code of the answer, or the rejection that ended the call."""
    answers: list[object] = []
    node.now_ms = node.clock.now_ms()
    node.send(node.request(method, path, payload, address=address, on_answer=answers.append))
    deadline = time.monotonic() + 20
    while not answers and time.monotonic() < deadline:
        node.step(50)
    (answer,) = answers
    return answer.rejection or answer.code  # type: ignore[attr-defined]


@contextlib.contextmanager
def device(path: Path, tree: Path, interpreter: str) -> Iterator[list[str]]:
    """A device on `path`; the lines that it prints."""
    command, environment = commands(tree)[interpreter]
    process = subprocess.Popen(
        [*command, str(tree / "device.py"), str(path)],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join()


@pytest.mark.parametrize("caller", ["device", "host"])
@pytest.mark.parametrize("renewed", ["device", "host"])
@pytest.mark.parametrize("interpreter", ["micropython", "cpython"])
def test_a_renewal_reaches_the_peer_over_an_open_session(
    tmp_path: Path, tree: Path, interpreter: str, renewed: str, caller: str
) -> None:
    if interpreter not in commands(tree):
        pytest.skip("no micropython here")
    scope, raws = FieldScope(), {}
    ports = {"device": free_port(), "host": free_port()}
    asks = f"{HOST}:{ports['host']}" if caller == "device" else ""
    for name in ("device", "host"):
        path = tmp_path / name
        scope.folder(path, name, BOTH)
        scope.configure(path, name, listen=f"{HOST}:{ports[name]}", asks=asks)
        store = Store(FileFlash(str(path)))
        me = capsule.Member(capsule.parse(store.load("member")))
        raws[name] = scope.member(load_key(store), name, me.address, BOTH, days=10)
        if name != renewed:
            # it has its long membership from the start
            scope.hand(path, raws[name])
    host = Node.load(str(tmp_path / "host"))
    host.resource("temp")(lambda request: b"19.0")
    host.open()
    address = f"{HOST}:{ports['device']}"
    with device(tmp_path / "device", tree, interpreter) as lines:
        deadline = time.monotonic() + 20
        while not ping(ports["device"]):
            assert time.monotonic() < deadline, lines
            host.step(10)
        assert exchange(host, address, coap.GET, "temp") == coap.CONTENT
        # the renewal comes a day before the end; then the clocks pass it
        if renewed == "host":
            host.authority.receive(raws["host"], host.now_ms)
        else:
            code = exchange(host, address, coap.POST, "writ", raws["device"])
            assert code == coap.CHANGED
        body = [host.authority.epoch, host.authority.head]
        iat = interop_rig.FOUNDED + 2 * DAY_S
        beacon = scope.certify(capsule.build(capsule.BEACON, body, iat=iat))
        assert exchange(host, address, coap.POST, "writ", beacon) == coap.CHANGED
        with contextlib.suppress(Rejection):
            # the device may have asked for a beacon, or this node the device
            host.authority.receive(beacon, host.now_ms)
        assert host.authority.now_s(host.now_ms) >= iat
        count = len(lines)
        if caller == "host":
            for _ in range(2):
                assert exchange(host, address, coap.GET, "temp") == coap.CONTENT
        else:
            deadline = time.monotonic() + 20
            while len(lines) < count + 4 and time.monotonic() < deadline:
                host.step(50)
            assert lines[count + 2 :][:2] == ["69 19.0 NoneType\n"] * 2, lines[count:]
    host.link.close()
    host._lock.close()
