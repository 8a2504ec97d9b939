"""The Debian package on a Debian machine: install, start, upgrade, remove, purge."""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from build_deb import build
from deb.target import Target
from deb_machine import DebMachine, lacking

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
SUITE = SUITES.get(sys.version_info[:2])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(lacking()), reason=f"the machine of Debian needs {lacking()}"),
    pytest.mark.skipif(not SUITE, reason="this Python is of no release that has a package"),
]
# Where changes are not the package's
_OTHERS = ("/proc", "/sys", "/run", "/tmp", "/var/cache", "/var/log", "/var/lib/dpkg")
_PATHS = [f"{path}/*" for path in (*_OTHERS, "/var/lib/systemd")] + ["/test.*"]
LIST = "find / -xdev " + " ".join(f"-not -path '{path}'" for path in _PATHS)
NODE = "writ-node@gate"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(Target(SUITE, MACHINES[platform.machine()]), tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def machine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> DebMachine:
    found = DebMachine(tmp_path_factory.mktemp("machine") / "root", SUITE)
    shutil.copy(package, found.folder / "one.deb")
    newer(package, found.folder / "two.deb")
    return found


def newer(package: Path, output: Path) -> None:
    """The same package with a higher version."""
    folder = output.with_suffix(".dir")
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(folder)], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+next", control.read_text()))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(folder), str(output)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(folder)


def test_the_same_tree_makes_the_same_package(package: Path, tmp_path: Path) -> None:
    again = build(Target(SUITE, MACHINES[platform.machine()]), tmp_path)
    assert again.read_bytes() == package.read_bytes()


@pytest.mark.skipif(not shutil.which("lintian"), reason="no lintian")
def test_lintian_finds_nothing(package: Path) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(package)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0 and not found.stdout, found.stdout


def test_a_machine_installs_upgrades_and_purges_it(machine: DebMachine) -> None:
    printed = machine.boot(f"""
{LIST} | sort > /tmp/before
dpkg --install /one.deb
writ --version
test "$(stat -c '%a %U' /var/lib/writ /etc/writ | tr '\\n' ' ')" = "700 writ 700 root "
runuser -u writ -- writ member request /var/lib/writ/gate --name gate --listen 127.0.0.1:5683 --json
systemctl enable --now {NODE}
systemctl is-active {NODE}
systemd-analyze security --threshold=25 {NODE} | tail -1
systemd-analyze security --threshold=25 writ-bridge@x | tail -1
systemd-analyze security --threshold=25 writ-governor@x | tail -1
test -f /usr/share/man/man1/writ-node-run.1.gz
bash -c '. /usr/share/bash-completion/completions/writ && complete -p writ'
before=$(systemctl show -p MainPID --value {NODE})
dpkg --install /two.deb
systemctl is-active {NODE}
after=$(systemctl show -p MainPID --value {NODE})
test "$before" != "$after" && test "$after" != 0 && echo restarted
dpkg --purge writ
systemctl is-active {NODE} || true
{LIST} | sort > /tmp/after
echo left:; comm -13 /tmp/before /tmp/after; echo end
getent passwd writ
dpkg --install /one.deb
systemctl start {NODE} && systemctl is-active {NODE}
rm -r /var/lib/writ/gate
dpkg --purge writ
{LIST} | sort > /tmp/after
echo left:; comm -13 /tmp/before /tmp/after; echo end
getent passwd writ || echo no user
""")
    assert printed.endswith("no user\ndone\n"), printed
    assert printed.count("\nactive\n") == 3 and "\nrestarted\n" in printed, printed
    assert printed.count("Overall exposure level") == 3, printed
    with_data, without = re.findall(r"left:\n(.*?)end\n", printed, re.DOTALL)
    # keys and records stay, with their owner; nothing else does
    lines = with_data.splitlines()
    assert lines and all(line.startswith("/var/lib/writ") for line in lines), with_data
    assert "\nwrit:x:" in printed
    assert not without, without
