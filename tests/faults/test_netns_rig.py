"""The cuts cut, and only what they should: else the test of faults would prove nothing."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from netns_rig import Network, NotPermitted

PORT = 5683
WAIT_S = 0.5
EAR = f"""
import socket
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("0.0.0.0", {PORT}))
ear.settimeout({WAIT_S})
print("listening", flush=True)
try:
    print(ear.recv(64).decode())
except TimeoutError:
    print("nothing")
"""
MOUTH = f"""
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


def hears(net: Network, one: str, other: str) -> bool:
    """Whether a datagram of `other` reaches `one`."""
    ear = subprocess.Popen(
        [*net.on(one), sys.executable, "-c", EAR], stdout=subprocess.PIPE, text=True
    )
    assert ear.stdout and ear.stdout.readline() == "listening\n"
    mouth = [*net.on(other), sys.executable, "-c", MOUTH, net.address(one)]
    subprocess.run(mouth, check=True, timeout=20)
    return ear.communicate(timeout=20)[0] == "hello\n"


def test_islands(net: Network) -> None:
    assert hears(net, "a", "b") and hears(net, "c", "a")
    net.split(("a", "b"), ("c",))
    assert hears(net, "a", "b") and not hears(net, "c", "a")
    # who is named nowhere is alone
    net.split(("a", "c"))
    assert hears(net, "c", "a") and not hears(net, "b", "a")
    net.heal()
    assert hears(net, "b", "a")


def test_one_way(net: Network) -> None:
    net.mute("a", "b")
    assert not hears(net, "b", "a")
    assert hears(net, "a", "b") and hears(net, "c", "a")
    net.heal()
    assert hears(net, "b", "a")


def test_cable(net: Network) -> None:
    net.unplug("a")
    net.mute("a", "b")
    assert not hears(net, "a", "b") and hears(net, "c", "b")
    net.heal()
    assert hears(net, "a", "b") and hears(net, "b", "a")
