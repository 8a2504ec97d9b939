"""The systemd units: their sandbox, as systemd understands it."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from writ_host.cli.bridge import group as bridge_group
from writ_host.cli.governor import group as governor_group
from writ_host.cli.node import group as node_group

BOARD = Path(__file__).parents[2] / "boards/linux"
UNITS = ["writ-governor", "writ-bridge", "writ-node"]
# These services need little of the system: the units must set all of these.
SANDBOX = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "SocketBindDeny": "any",
    "SocketBindAllow": "udp",
    "CapabilityBoundingSet": "",
    "LimitCORE": "0",
    "UMask": "0077",
    "Type": "notify",
}


def unit_lines(unit: str) -> list[tuple[str, str, str]]:
    """(section, key, value) of each line of the unit, read strictly."""
    found, section = [], ""
    for line in (BOARD / f"{unit}@.service").read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            assert section in ("Unit", "Service", "Install"), line
            key, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"[A-Z][A-Za-z]+", key) and value == value.strip(), line
            found.append((section, key, value))
    return found


def service(unit: str, **other: str) -> dict[str, str]:
    """The keys of the unit's section Service, the sandbox checked. other: what differs."""
    found = {key: value for section, key, value in unit_lines(unit) if section == "Service"}
    for key, value in {**SANDBOX, **other}.items():
        assert found[key] == value, key
    return found


def test_the_governors_unit_has_its_sandbox() -> None:
    found = service("writ-governor")
    assert found["RestrictAddressFamilies"] == "AF_INET AF_INET6 AF_NETLINK AF_UNIX"
    # the command exists, and the key file comes as a credential
    words = found["ExecStart"].split()
    assert words[1:4] == ["governor", "run", "%S/writ/%i"]
    assert words[4:6] == ["--key-file", "%d/key"] and found["LoadCredential"].startswith("key:")
    assert governor_group.get_command(click.Context(governor_group), "run") is not None


def test_the_bridges_unit_has_its_sandbox() -> None:
    found = service("writ-bridge")
    # the broker may have an IPv6 address only; without AF_NETLINK a search reaches no interface
    assert found["RestrictAddressFamilies"] == "AF_INET AF_INET6 AF_NETLINK AF_UNIX"
    assert found["ExecStart"].split()[1:] == ["bridge", "run", "%S/writ/%i", "--json"]
    assert bridge_group.get_command(click.Context(bridge_group), "run") is not None


def test_the_nodes_unit_has_its_sandbox_and_serial_ports() -> None:
    found = service("writ-node", PrivateDevices="no")
    assert found["DevicePolicy"] == "closed"
    allowed = [value for _, key, value in unit_lines("writ-node") if key == "DeviceAllow"]
    assert all(re.fullmatch("char-tty[A-Z]+ rw", one) for one in allowed) and allowed
    assert found["ExecStart"].split()[1:] == ["node", "run", "%S/writ/%i", "--json"]
    assert node_group.get_command(click.Context(node_group), "run") is not None


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_understands_the_unit(tmp_path: Path, unit: str) -> None:
    text = (BOARD / f"{unit}@.service").read_text().replace("/usr/local/bin/writ ", "/bin/true ")
    path = tmp_path / f"{unit}@a.service"
    path.write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
        capture_output=True,
        text=True,
    )
    # exposure: at most 2.0 of 10
    assert ran.returncode == 0, ran.stdout
