"""How often a node opens its serial ports: each open may reset a modem by DTR."""

import ctypes
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from field_rig import OPERATOR, Field, build_tree, writ
from interop_rig import commands, ping
from pty_rig import Cable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's"),
]
# sys/inotify.h
IN_OPEN, IN_CLOSE = 0x20, 0x18
EVENT = struct.Struct("iIII")


class Opens:
    """The opens and closes of a file from now on, by inotify(7)."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._handle = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert library.inotify_add_watch(self._handle, bytes(path), IN_OPEN | IN_CLOSE) > 0
        self._seen: list[int] = []

    def seen(self) -> list[str]:
        """The events so far; equal ones that follow each other may count as one."""
        while True:
            try:
                data = os.read(self._handle, 4096)
            except BlockingIOError:
                return ["open" if mask & IN_OPEN else "close" for mask in self._seen]
            self._seen += [mask for _, mask, _, _ in EVENT.iter_unpack(data)]

    def close(self) -> None:
        """End the watch."""
        os.close(self._handle)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    made = Field(tmp_path, tree, ([0, 1, OPERATOR, 6, 4, 1000, 7],), "320k")
    yield made
    made.stop()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[tuple[Path, Opens]]:
    """An end of a cable, watched."""
    folder = tmp_path / "cable"
    folder.mkdir()
    cable = Cable(folder)
    opens = Opens(cable.paths[0])
    yield cable.paths[0], opens
    opens.close()
    cable.close()


@pytest.mark.parametrize("kind", ["serial", "rylr998"])
@pytest.mark.parametrize("where", ["host", "micropython", "cpython"])
def test_a_node_opens_its_port_once(
    field: Field, tree: Path, port: tuple[Path, Opens], where: str, kind: str
) -> None:
    path, opens = port
    if where != "host" and where not in commands(tree):
        pytest.skip("no such interpreter here")
    link = {"kind": "serial", "port": str(path)}
    if kind != "serial":
        link |= {"kind": "lora", "modem": kind}
        link |= {"frequency_khz": 869525, "spreading_factor": 7, "bandwidth_khz": 125}
        link |= {"coding_rate": 5, "power_dbm": 14}
    if where == "host":
        node = field.host_node("gate", OPERATOR, links=[link])
    else:
        node = field.device("gate", OPERATOR, interpreter=where, links=[link])
    deadline = time.monotonic() + 30
    while not opens.seen():
        assert time.monotonic() < deadline, node.output
        time.sleep(0.05)
    # further steps
    assert ping(node.port) and ping(node.port)
    assert opens.seen() == ["open"]
    assert node.process
    files = Path(f"/proc/{node.process.pid}/fd").iterdir()
    assert len([one for one in files if one.resolve() == path.resolve()]) == 1


def test_commands_open_no_port(field: Field, port: tuple[Path, Opens]) -> None:
    path, opens = port
    gate = field.folder("gate", OPERATOR)
    words = ("--lora", f"rylr998:{path}", "--frequency", "869525")
    shown = writ("node", "link", gate, *words)
    assert "869.525 MHz" in shown.stdout
    writ("node", "link", gate)
    assert opens.seen() == []
