"""Where a command is to write is checked before anything is certified."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli_rig import Ran, Rig

from writ_host.node.folder import FolderLock


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.create()
    rig.ok("member", "request", tmp_path / "soil", "--name", "soil")
    return rig


def admit(rig: Rig, out: object) -> Ran:
    words = ("member", "admit", "soil", "--no-role", "--yes", "--json", "--out", out)
    return rig.run(*words)


def refused(rig: Rig, out: object) -> str:
    """The error of `member admit --out`, which has certified nothing."""
    before = rig.ok("member", "list")
    ran = admit(rig, out)
    assert ran.code == 1 and rig.ok("member", "list") == before
    return str(ran.error["message"])


def test_a_missing_folder(rig: Rig) -> None:
    assert "missing is not the folder of a node" in refused(rig, rig.path / "missing")
    (rig.path / "empty").mkdir()
    assert "empty is not the folder of a node" in refused(rig, rig.path / "empty")


def test_the_folder_of_another_node(rig: Rig) -> None:
    rig.ok("member", "request", rig.path / "pump", "--name", "pump")
    assert "pump belongs to the node" in refused(rig, rig.path / "pump")
    for record in (rig.path / "pump").glob("key.*"):
        record.unlink()
    assert "key is missing" in refused(rig, rig.path / "pump")
    # a folder with its config.json alone
    for record in (rig.path / "pump").glob("names.*"):
        record.unlink()
    assert "pump has no key" in refused(rig, rig.path / "pump")
    assert not list((rig.path / "pump").glob("key.*"))


def test_the_folder_of_a_node_of_another_scope(rig: Rig) -> None:
    config = rig.path / "soil/config.json"
    changed = {**json.loads(config.read_text()), "scope": "0102030405060708"}
    config.write_text(json.dumps(changed))
    assert "trusts scope 0102030405060708" in refused(rig, rig.path / "soil")


def test_the_folder_of_a_node_that_runs(rig: Rig) -> None:
    lock = FolderLock(rig.path / "soil")
    try:
        assert "soil is in use" in refused(rig, rig.path / "soil")
    finally:
        lock.release()
    assert admit(rig, rig.path / "soil").code == 0


@pytest.mark.parametrize("which", ["soil", "farm"])
def test_a_folder_that_cannot_be_written(
    rig: Rig, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the superuser writes everywhere but on a disk that is mounted read-only
    real: Any = os.access
    locked = str(rig.path / which)

    def access(path: object, mode: int) -> bool:
        return not (mode & os.W_OK and str(path) == locked) and real(path, mode)

    monkeypatch.setattr("os.access", access)
    text = refused(rig, rig.path / "soil")
    assert f"no file can be written in {rig.path / which}" in text
