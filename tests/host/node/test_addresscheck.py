"""A governor whose fixed address vanishes says so, and which bind would survive it."""

import shutil
import subprocess
import sys

import pytest
from council_rig import ROOT

from writ_host.node.addresscheck import CHECK_MS, AddressCheck

# In a network namespace of its own: an address that comes, goes and comes back.
SCRIPT = """
import subprocess, sys
from writ_host.node.addresscheck import CHECK_MS, AddressCheck
def ip(*words): subprocess.run(["ip", *words], check=True)
ip("link", "set", "lo", "up")
ip("addr", "add", "10.9.9.7/32", "dev", "lo")
check = AddressCheck("10.9.9.7", "Bind another one.")
said = [check.tick(0)]
ip("addr", "del", "10.9.9.7/32", "dev", "lo")
said += [check.tick(1), check.tick(CHECK_MS), check.tick(2 * CHECK_MS)]
assert check.problem == said[2]
ip("addr", "add", "10.9.9.7/32", "dev", "lo")
said += [check.tick(3 * CHECK_MS)]
assert check.problem == ""
print(*said, sep="\\n")
"""


def test_an_address_that_vanishes_is_reported_once() -> None:
    unshare = shutil.which("unshare")
    if not unshare or not shutil.which("ip"):
        pytest.skip("needs unshare and ip")
    allowed = subprocess.run([unshare, "-rn", "true"], capture_output=True)
    if allowed.returncode:
        pytest.skip("network namespaces are not permitted here")
    done = subprocess.run(
        [unshare, "-rn", sys.executable, "-c", SCRIPT],
        env={"PYTHONPATH": f"{ROOT / 'firmware'}:{ROOT / 'host'}", "PATH": "/usr/sbin:/usr/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, early, gone, again, back = done.stdout.splitlines()
    assert first == early == again == ""
    assert "no longer has the address 10.9.9.7" in gone
    assert gone.endswith("Bind another one.")
    assert back == "this machine has the address 10.9.9.7 again"


def test_every_address_and_a_present_one_are_no_problem() -> None:
    for host in ("0.0.0.0", "127.0.0.1", "::"):
        check = AddressCheck(host, "")
        assert check.tick(0) == check.tick(CHECK_MS) == check.problem == ""
