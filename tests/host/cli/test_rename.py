"""Renaming a member: what nodes refuse stays refused, and the new name is reachable at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cli_rig import Rig
from field_rig import PATHS, Process
from interop_rig import HOST, free_port

from writ_host.cli import rename
from writ_host.node import addressbook
from writ_host.scope.folder import ScopeFolder, now_s

SENSOR = """
import writ

node = writ.Node.load("{folder}")


@node.resource("temp")
def temp(request):
    return b"21.5"


node.run()
"""
# `writ` that is killed, as by a power loss, after the certificate and before the first file
KILLED = """
import os, signal
from writ_host.cli import main, rename
rename.move_files = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def capsules_of(rig: Rig) -> list[bytes]:
    return [one.raw for one in ScopeFolder.open(rig.scope).members.all()]


# --- members that nodes refuse --------------------------------------------------------------------


def revoke(rig: Rig) -> None:
    rig.ok("member", "revoke", "soil", "--yes")


def clean(rig: Rig) -> None:
    rig.ok("policy", "clean", "--yes")


def test_a_revoked_member_is_not_renamed(rig: Rig) -> None:
    revoke(rig)
    before = capsules_of(rig)
    ran = rig.run("member", "rename", "soil", "field-1", "--yes")
    assert ran.code == 1 and "is revoked" in ran.err
    # the name that the member has, and not the one that it would get
    assert "writ member restore soil" in ran.err and "field-1" not in ran.err
    assert capsules_of(rig) == before
    rig.ok("member", "restore", "soil", "--yes")
    rig.ok("member", "rename", "soil", "field-1", "--yes")


def test_a_void_member_is_not_certified_again_by_renaming_it(rig: Rig) -> None:
    revoke(rig)
    clean(rig)
    before = capsules_of(rig)
    for handle in ("soil", ScopeFolder.open(rig.scope).members.all()[0].node_id.hex()):
        ran = rig.run("member", "rename", handle, "field-1", "--yes")
        assert ran.code == 1 and "void" in ran.err, ran.err
        assert "writ member admit soil --name field-1" in ran.err
    assert capsules_of(rig) == before
    # the operator who admits it sees what it was
    told = rig.run("member", "admit", "soil", "--role", "sensor", "--no-deliver", stdin="n\n")
    assert "was void" in told.out and "renewed" not in told.out, told.out


def test_an_expired_member_is_not_renamed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = capsules_of(rig)
    monkeypatch.setattr(rename, "now_s", lambda: now_s() + 366 * 86400)
    ran = rig.run("member", "rename", "soil", "field-1", "--yes")
    assert ran.code == 1 and "has expired" in ran.err, ran.err
    assert "writ member admit soil --name field-1" in ran.err
    assert capsules_of(rig) == before


def test_a_revoked_node_is_named_as_it_is_known(rig: Rig) -> None:
    revoke(rig)
    ran = rig.run("member", "admit", "soil", "--name", "field-1", "--role", "sensor", "--yes")
    assert ran.code == 1 and "soil (" in ran.err and "field-1" not in ran.err
    assert "writ member restore soil" in ran.err
    rig.ok("member", "restore", "soil", "--yes")


# --- files ----------------------------------------------------------------------------------------


def test_a_killed_rename_is_finished_by_the_next_run(rig: Rig) -> None:
    rig.ok("book", "add", "soil", "127.0.0.1:9")
    words = ("member", "rename", "soil", "field-1", "--yes", "--timeout", "0.2")
    names = {"WRIT_SCOPE": str(rig.scope), "WRIT_KEY_FILE": str(rig.key_file)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words],
        env={**os.environ, **PATHS, **names},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    certified = capsules_of(rig)
    ran = rig.run(*words)
    assert ran.code == 3 and "soil is field-1 now" in ran.out, ran.err
    assert capsules_of(rig) == certified
    assert addressbook.read(rig.scope) == {"field-1": "127.0.0.1:9"}
    assert [path.stem for path in ScopeFolder.open(rig.scope).requests()] == ["field-1"]


def test_an_admission_by_another_name_takes_request_and_address_with_it(rig: Rig) -> None:
    rig.ok("book", "add", "soil", "127.0.0.1:9")
    words = ("member", "admit", "soil", "--name", "field-1", "--yes", "--timeout", "0.2")
    ran = rig.run(*words, "--expires", "2y")
    assert ran.code == 3, ran.err
    assert addressbook.read(rig.scope) == {"field-1": "127.0.0.1:9"}
    assert [path.stem for path in ScopeFolder.open(rig.scope).requests()] == ["field-1"]


def test_a_request_of_another_folder_is_kept_for_the_renewal(rig: Rig) -> None:
    outside = rig.path / "outside"
    made = rig.ok("member", "request", outside, "--name", "pump", env={"WRIT_SCOPE": str(outside)})
    rig.ok("member", "admit", made["request"], "--role", "sensor", "--yes")
    assert rig.ok("member", "list")["requests"] == []
    rig.ok("member", "rename", "pump", "pump-2", "--yes")


# --- on a device ----------------------------------------------------------------------------------


@pytest.fixture
def device(rig: Rig) -> Iterator[Process]:
    port, folder = free_port(), rig.path / "pump"
    rig.ok("member", "request", folder, "--name", "pump", "--listen", f"{HOST}:{port}")
    rig.ok("member", "admit", "pump", "--role", "sensor", "--yes", "--out", folder)
    rig.admit("laptop", "gateway", "--out", rig.path / "laptop")
    program = rig.path / "sensor.py"
    program.write_text(SENSOR.format(folder=folder))
    made = Process(folder, port, [sys.executable, str(program)], PATHS).start()
    yield made
    made.kill()


def test_a_renamed_member_is_reachable_once_it_is_delivered(rig: Rig, device: Process) -> None:
    laptop = {"WRIT_NODE": str(rig.path / "laptop")}

    def get(name: str) -> str:
        return rig.run("get", f"{name}/temp", env=laptop).out

    # a session, and the address at which it last answered
    assert rig.run("get", f"coap://{device.address}/temp", env=laptop).out == "21.5\n"
    assert get("pump") == "21.5\n"
    ran = rig.run("member", "rename", "pump", "field-1", "--yes")
    assert ran.code == 0 and "writ member deliver field-1 --deliver" in ran.out
    expires = {one.expires for one in ScopeFolder.open(rig.scope).members.all()}
    delivered = rig.ok("member", "deliver", "field-1", "--deliver", device.address)
    states = {one["what"]: one["state"] for one in delivered["delivered"][0]["capsules"]}
    assert states["member"] == "taken"
    assert {one.expires for one in ScopeFolder.open(rig.scope).members.all()} == expires
    assert addressbook.read(rig.scope) == {"field-1": device.address}
    assert get("field-1") == "21.5\n"
    assert set(addressbook.read_last_seen(rig.path / "laptop")) == {"field-1"}
    ran = rig.run("get", "pump/temp", env=laptop)
    assert ran.code == 1 and "no address is known for pump" in ran.err
    # once more: by now the client has the records of two sessions with it
    rig.ok("member", "rename", "field-1", "field-2", "--yes")
    assert get("field-2") == "21.5\n"


def test_a_member_without_an_address_is_not_delivered_to(rig: Rig) -> None:
    ran = rig.run("member", "deliver", "soil")
    assert ran.code == 1 and "--deliver HOST:PORT" in ran.err
    assert rig.run("member", "deliver", "sand").code == 1
    assert rig.run("member", "deliver", "soil", "all", "--deliver", "127.0.0.1:9").code == 2
    rig.ok("member", "rename", "soil", "field-1", "--yes")
    done = rig.ok("member", "deliver", "field-1", "--out", rig.path / "soil")
    assert done["installed"] == ["member"]
