"""Requests fetched from devices, and capsules delivered to them, over real sockets."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import Rig
from device_rig import Device
from interop_rig import free_port

from writ.errors import EpochGap, RolledBack
from writ_host.errors import NotReachable
from writ_host.scope.delivery import post_capsules, post_policy
from writ_host.scope.folder import ScopeFolder


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.create()
    return rig


@pytest.fixture
def device(rig: Rig) -> Iterator[Device]:
    scope = rig.ok("scope", "show")["scope"]
    device = Device(rig.path / "device", "pump1", scope)
    yield device
    device.stop()


def test_a_device_is_admitted_and_told_of_a_revocation(rig: Rig, device: Device) -> None:
    found = rig.ok("member", "request", "--from", device.address)
    assert found["name"] == "pump1"
    assert bytes.fromhex(found["node_id"]) != b""
    # the address is known now: `admit` delivers all capsules
    done = rig.ok("member", "admit", "pump1", "--role", "actuator", "--yes")
    assert [one["what"] for one in done["delivered"][0]["capsules"]] == [
        "charter",
        "policy",
        "member",
        "beacon",
    ]
    assert all(one["state"] == "taken" for one in done["delivered"][0]["capsules"])
    authority = device.node.authority
    assert authority.me.name == "pump1" and authority.epoch == 1 and authority.beacon

    rig.admit("t1", "sensor")
    done = rig.ok("member", "revoke", "t1", "--yes", "--deliver", "pump1")
    assert [one["what"] for one in done["delivered"][0]["capsules"]] == ["amendment", "beacon"]
    assert authority.epoch == 2 and len(authority.policy.revoked) == 1
    again = rig.ok("scope", "beacon", "--deliver", "all")
    assert again["delivered"][0]["ok"] and authority.beacon.time == again["time"]


def test_a_device_two_epochs_behind_gets_the_whole_policy(rig: Rig, device: Device) -> None:
    rig.ok("member", "request", "--from", device.address)
    rig.ok("member", "admit", "pump1", "--role", "actuator", "--yes")
    for name in ("t1", "t2"):
        rig.admit(name, "sensor")
        rig.ok("member", "revoke", name, "--yes")
    folder = ScopeFolder.open(rig.scope)
    whole, amendment = folder.policy_capsule(), folder.amendment_capsule()
    assert whole and amendment
    found = post_policy(device.address, whole, amendment)
    assert [(one.label, one.state) for one in found] == [("policy", "taken")]
    assert device.node.authority.epoch == 3
    first = (rig.scope / "policies/00001.cbor").read_bytes()
    assert post_capsules(device.address, [("policy", first)])[0].reason is RolledBack
    early = post_capsules(device.address, [("amendment", amendment)])[0]
    assert early.state in ("known", "refused") and early.reason is not EpochGap


def test_a_capsule_of_many_blocks_is_delivered(rig: Rig, device: Device) -> None:
    folder = ScopeFolder.open(rig.scope)
    assert post_capsules(device.address, [("charter", folder.charter_raw)])[0].state == "taken"
    text = (rig.scope / "policy.toml").read_text()
    rules = "".join(
        f'[[rule]]\nfrom = "gateway"\nto = "sensor"\nresource = "a/rather/long/path/{number}"\n'
        'methods = ["POST"]\n'
        for number in range(15)
    )
    (rig.scope / "policy.toml").write_text(text.replace("# fresh:", rules + "\n# fresh:", 1))
    rig.ok("policy", "certify", "--yes")
    folder = ScopeFolder.open(rig.scope)
    whole = folder.policy_capsule()
    assert whole and len(whole) > 512
    assert post_capsules(device.address, [("policy", whole)])[0].state == "taken"
    assert device.node.authority.epoch == 2


def test_a_device_of_another_scope_refuses(rig: Rig) -> None:
    device = Device(rig.path / "device", "pump1", "00" * 8)
    try:
        rig.ok("member", "request", "--from", device.address)
        ran = rig.run("member", "admit", "pump1", "--role", "sensor", "--yes", "--json")
    finally:
        device.stop()
    assert ran.code == 1
    states = {one["what"]: one["reason"] for one in ran.document["delivered"][0]["capsules"]}
    assert states["charter"] == "WrongScope" and states["member"] == "NoScope"
    # the certified capsule is kept all the same
    assert len(rig.ok("member", "list")["members"]) == 1


def test_a_wrong_node_at_the_address_gets_nothing(rig: Rig, device: Device) -> None:
    rig.ok("member", "request", rig.path / "t1", "--name", "t1")
    words = ("member", "admit", "t1", "--role", "sensor", "--yes", "--json")
    ran = rig.run(*words, "--deliver", device.address)
    assert ran.code == 1 and "is the node" in ran.document["delivered"][0]["error"]
    assert device.node.authority.charter is None
    assert rig.ok("member", "list")["members"][0]["address"] is None


def test_no_answer_is_reported(rig: Rig) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(NotReachable):
        post_capsules(address, [("beacon", b"x")], timeout_s=0.3)
    ran = rig.run("member", "request", "--from", address, "--timeout", "0.3", "--json")
    assert ran.code == 3 and ran.error["name"] == "NotReachable"
    (rig.scope / "book.toml").write_text(f'gone = "{address}"\n')
    ran = rig.run("scope", "beacon", "--deliver", "gone", "--timeout", "0.3", "--json")
    assert ran.code == 3 and ran.document["capsule"]
    assert ran.document["delivered"][0]["error"] == f"no answer from {address}"
    ran = rig.run("scope", "beacon", "--deliver", "unknown", "--json")
    assert ran.code == 1 and ran.error["name"] == "UnknownNode"


def test_noise_from_the_port_is_no_answer(rig: Rig) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", port))

        def babble() -> None:
            _, source = one.recvfrom(1000)
            for text in (
                b"",
                b"hello",
                b"\x60\x45\x00\x00",
                b"\x61\x45\x12\x34\x00",
                b"\xff" * 600,
            ):
                one.sendto(text, source)

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        with pytest.raises(NotReachable):
            post_capsules(f"127.0.0.1:{port}", [("beacon", b"x")], timeout_s=0.5)
        thread.join(5)
