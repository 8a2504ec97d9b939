"""Each fault of the network rig cuts what it should, and nothing else."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from netns_rig import Network, NotPermitted

PORT = 5683
# How long a datagram may travel: three requests of ARP, which an interface that was down may lose
WAIT_S = 3.5
# Receives until its standard input is closed
RECEIVER = f"""
import select, socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("0.0.0.0", {PORT}))
print("listening", flush=True)
readable, _, _ = select.select([link, sys.stdin], [], [])
print(link.recv(64).decode() if link in readable else "nothing")
"""
SENDER = f"""
import contextlib, socket, sys
with contextlib.suppress(OSError):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", (sys.argv[1], {PORT}))
"""


@pytest.fixture
def net() -> Iterator[Network]:
    with contextlib.ExitStack() as stack:
        try:
            network = stack.enter_context(Network(("a", "b", "c")))
        except NotPermitted as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield network


def receives(net: Network, one: str, other: str) -> bool:
    """Whether a datagram of `other` reaches `one`."""
    command = [*net.on(one), sys.executable, "-c", RECEIVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as receiver:
        assert receiver.stdout and receiver.stdout.readline() == "listening\n"
        sender = [*net.on(other), sys.executable, "-c", SENDER, net.address(one)]
        subprocess.run(sender, check=True, timeout=60)
        with contextlib.suppress(subprocess.TimeoutExpired):
            receiver.wait(WAIT_S)
        return receiver.communicate(timeout=60)[0] == "hello\n"


def test_machines_reach_only_their_island(net: Network) -> None:
    assert receives(net, "a", "b") and receives(net, "c", "a")
    net.split(("a", "b"), ("c",))
    assert receives(net, "a", "b") and not receives(net, "c", "a")
    # a machine in no group is alone
    net.split(("a", "c"))
    assert receives(net, "c", "a") and not receives(net, "b", "a")
    net.heal()
    assert receives(net, "b", "a")


def test_a_muted_machine_still_receives(net: Network) -> None:
    net.mute("a", "b")
    assert not receives(net, "b", "a")
    assert receives(net, "a", "b") and receives(net, "c", "a")
    net.heal()
    assert receives(net, "b", "a")


def test_an_unplugged_machine_receives_nothing(net: Network) -> None:
    net.unplug("a")
    net.mute("a", "b")
    assert not receives(net, "a", "b") and receives(net, "c", "b")
    net.heal()
    assert receives(net, "a", "b") and receives(net, "b", "a")


def test_a_machine_that_was_muted_and_then_unplugged_is_healed(net: Network) -> None:
    net.mute("a", "b", "c")
    net.unplug("a")
    assert not receives(net, "b", "a")
    net.heal()
    assert receives(net, "a", "b") and receives(net, "b", "a")
    assert receives(net, "c", "a")
