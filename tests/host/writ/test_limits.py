"""The limits of a device and of a host: plain numbers there, larger tables here."""

import ast
import json
import os
import subprocess
import sys

import build_mpy
import pytest
from device_files import device_files
from docs_rig import rows

from writ import limits

# The limits that are larger on a host than on a device
HOST = {
    "SESSIONS_MAX": 256,
    "PEERS_MAX": 1024,
    "ADDRESSES_MAX": 1024,
    "INTRODUCED_MAX": 1024,
    "CLAIMANTS_MAX": 1024,
    "LINK_ADDRESSES_MAX": 1024,
    "HANDSHAKES_MAX": 16,
    "HANDSHAKE_BURST": 64,
    "HANDSHAKE_REFILL_MS": 50,
    "GROUP_ANSWER_REFILL_MS": 200,
    "GROUP_ANSWERS_MAX": 64,
    "SIGNATURE_BURST": 64,
    "SIGNATURE_REFILL_MS": 50,
    "DEDUP_MAX": 512,
    "REQUESTS_MAX": 64,
    "OBSERVERS_MAX": 128,
    "TRANSFERS_MAX": 64,
    "RATE_LIMIT_SOURCES_MAX": 512,
    "AIRTIME_NEIGHBOURS_MAX": 256,
    "REASSEMBLIES_MAX": 64,
    "JOIN_REASSEMBLIES_MAX": 16,
    "NEIGHBOURS_MAX": 256,
    "ORIGINS_MAX": 4096,
    "TRANSFERS_MESH_MAX": 64,
    "GREETING_BURST": 32,
    "GREETING_REFILL_MS": 200,
    "JOINERS_MAX": 64,
    "URGENT_MAX": 32,
    "MISSING_MAX": 64,
    "PARKED_MAX": 32,
    "SLEEPERS_MAX": 1024,
    "MAILBOX_MESSAGES_MAX": 16,
    "MAILBOX_BYTES_MAX": 262144,
    "ROUTES_KEPT_MAX": 4096,
}


def run(code: str, **environment: str) -> str:
    """The output of `code` in a process of its own with this environment."""
    inherited = {name: value for name, value in os.environ.items() if name != "WRIT_LIMITS"}
    paths = [str(build_mpy.FIRMWARE), str(build_mpy.ROOT / "tests/device/rigs")]
    inherited["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def limits_with(**environment: str) -> dict[str, int]:
    code = (
        "import json; from writ import limits; "
        "print(json.dumps({k: v for k, v in vars(limits).items() if k.isupper() and k != "
        "'MICROPYTHON'}))"
    )
    found: dict[str, int] = json.loads(run(code, **environment))
    return found


def test_a_host_has_larger_tables_and_all_else_as_a_device() -> None:
    device = limits_with(WRIT_LIMITS="device")
    assert limits_with() == device | HOST
    assert limits_with(WRIT_LIMITS="host") == device | HOST
    for name, value in HOST.items():
        if name.endswith("_MS"):
            assert value < device[name], name
        else:
            assert value > device[name], name


def test_tests_run_with_those_of_a_device() -> None:
    device = limits_with(WRIT_LIMITS="device")
    assert {name: getattr(limits, name) for name in device} == device


def test_a_device_is_linked_with_its_own_numbers() -> None:
    linker = build_mpy.linker()
    for name, value in limits_with(WRIT_LIMITS="device").items():
        assert linker.constant("writ.limits", name) == value, name
    for name in filter(linker.flat_name, device_files()):
        imported = [
            node.module or [alias.name for alias in node.names]
            for node in ast.walk(ast.parse(linker.source(name)))
            if isinstance(node, ast.ImportFrom)
        ]
        assert "limits" not in imported and ["limits"] not in imported, name


FIELD = """
import signer
from authority_rig import Rig, members_raw
from writ import crypto
from writ.authority import capsule
from writ.limits import PEERS_MAX
rig = Rig()
rig.with_policy()
crypto.ed25519_verify = lambda *_: True
def raw(i):
    x = i.to_bytes(32, "big")
    return capsule.assemble(signer.member_payload(x, "n%d" % i, i), bytes(64))
for i in range(1, PEERS_MAX + 1):
    rig.receive(raw(i), b"%d" % i)
assert len(rig.authority.peers) == PEERS_MAX
for i in range(1, PEERS_MAX + 1):
    rig.now_ms += 100
    assert rig.authority.peer_by(address=i).name == "n%d" % i
    assert rig.authority.capsule_by_digest(capsule.digest(raw(i))[:16]) == raw(i)
print(len(rig.authority.peers))
"""


@pytest.mark.parametrize(("environment", "count"), [({}, 1024), ({"WRIT_LIMITS": "device"}, 16)])
def test_a_host_knows_a_thousand_members(environment: dict[str, str], count: int) -> None:
    code = FIELD.replace("    rig.receive(raw", "    rig.now_ms += 2000\n    rig.receive(raw")
    assert run(code, **environment) == f"{count}\n"


def test_the_table_in_the_docs_is_the_code() -> None:
    device, host = limits_with(WRIT_LIMITS="device"), limits_with()
    text = (build_mpy.ROOT / "docs/memory.md").read_text()
    table = rows(text, "table", "device", "host")
    names = [name for name in HOST if name.endswith("_MAX")]
    pairs = {(str(device[name]), f"{host[name]:,}") for name in names}
    for what in ("HANDSHAKE", "SIGNATURE", "GREETING", "GROUP_ANSWER"):
        keys = (f"{what}_BURST", f"{what}_REFILL_MS")
        pairs.add((f"{device[keys[0]]}, {device[keys[1]]}", f"{host[keys[0]]}, {host[keys[1]]}"))
    assert {(row[1], row[2]) for row in table} == pairs and len(table) == len(names) + 4
