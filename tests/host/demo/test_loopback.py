"""The chooser of loopback ports: processes at the same time are given ports of their own."""

import ipaddress
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from writ_host.demo import loopback

ROOT = Path(__file__).resolve().parents[3]
CHOOSERS = 60
PORTS = 20
# Prints the ports of each choice, one choice for each line of input. All begin with the same block.
CHOOSER = """
import os, sys
os.getpid = lambda: 4242
from writ_host.demo import loopback
loopback.HOST = sys.argv[1]
for line in sys.stdin:
    print(*loopback.free_ports(int(line)), flush=True)
"""
# Prints the ports of a process, and those of its forked child.
FORKED = """
import os, sys
from writ_host.demo import loopback
loopback.HOST = sys.argv[1]
mine = loopback.free_ports(3)
child = os.fork()
ports = mine if child else loopback.free_ports(3)
os.write(1, f"{ports[0]} {ports[1]} {ports[2]}\\n".encode())
if child:
    os.waitpid(child, 0)
"""
Choosers = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def host() -> str:
    """A loopback address of this process: what other tests use at the same time does not matter."""
    if sys.platform != "linux":
        return loopback.HOST
    return str(ipaddress.IPv4Address("127.1.0.0") + os.getpid())


def environment(folder: Path) -> dict[str, str]:
    paths = f"{ROOT / 'firmware'}{os.pathsep}{ROOT / 'host'}"
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": paths}


@pytest.fixture
def choosers(host: str, tmp_path: Path) -> Iterator[Choosers]:
    """Starts choosers, each with a TMPDIR of its own."""
    with ExitStack() as stack:

        def start() -> "subprocess.Popen[str]":
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            made = subprocess.Popen(
                [sys.executable, "-c", CHOOSER, host],
                env=environment(folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(made)
            stack.callback(made.kill)
            return made

        yield start


def ask(one: "subprocess.Popen[str]", count: int = PORTS) -> None:
    assert one.stdin
    one.stdin.write(f"{count}\n")
    one.stdin.flush()


def answer(one: "subprocess.Popen[str]") -> list[int]:
    assert one.stdout
    return [int(word) for word in one.stdout.readline().split()]


def block(ports: list[int]) -> int:
    """The number of the block that all these ports belong to."""
    (found,) = {(port - loopback._FIRST) // loopback._BLOCK for port in ports}
    return found


def test_sixty_processes_at_once_choose_from_blocks_of_their_own(choosers: Choosers) -> None:
    started = [choosers() for _ in range(CHOOSERS)]
    for one in started:
        ask(one)
    found = [answer(one) for one in started]
    assert all(len(ports) == PORTS for ports in found)
    assert len({block(ports) for ports in found}) == CHOOSERS


def test_a_block_is_free_again_when_its_process_has_been_killed(choosers: Choosers) -> None:
    first, second, third = choosers(), choosers(), choosers()
    ask(first)
    before = answer(first)
    ask(second)
    assert block(answer(second)) != block(before)
    first.kill()
    first.wait()
    ask(third)
    assert block(answer(third)) == block(before)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_block_with_one_port_in_use_is_passed_over(
    choosers: Choosers, host: str, kind: socket.SocketKind
) -> None:
    first, second = choosers(), choosers()
    ask(first)
    ports = answer(first)
    first.kill()
    first.wait()
    with socket.socket(socket.AF_INET, kind) as foreign:
        foreign.bind((host, max(ports) + 50))
        if kind == socket.SOCK_STREAM:
            foreign.listen()
        ask(second)
        assert block(answer(second)) != block(ports)


@pytest.fixture
def fresh(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has not chosen yet."""
    monkeypatch.setattr(loopback, "HOST", host)
    monkeypatch.setattr(loopback, "_block", None)


def test_a_process_is_given_each_port_once_and_none_in_use(fresh: None, host: str) -> None:
    (used,) = loopback.free_ports(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, used))
        found = loopback.free_ports(loopback._BLOCK - 2)
        assert len(set(found)) == len(found)
        assert used not in {*found, *loopback.free_ports(3)}


def test_a_forked_process_chooses_from_another_block(host: str, tmp_path: Path) -> None:
    run = [sys.executable, "-c", FORKED, host]
    said = subprocess.check_output(run, env=environment(tmp_path), text=True)
    one, other = ([int(word) for word in line.split()] for line in said.splitlines())
    assert block(one) != block(other)


def test_a_machine_without_a_free_block_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_bound", lambda port: None)
    with pytest.raises(loopback.NoFreePorts, match="no 200 ports in a row are free"):
        loopback._Block()


def test_an_error_that_is_no_port_in_use_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    # 192.0.2.0/24 (RFC 5737) is on no interface
    monkeypatch.setattr(loopback, "HOST", "192.0.2.1")
    with pytest.raises(OSError, match="assign requested address"):
        loopback._Block()
