"""Folders and files of commands: none is made for a missing disk, and no error is hidden."""

from pathlib import Path
from typing import Any

import pytest
from cli_rig import Rig

OUTPUTS = {
    "governor init": ("governor", "init", "{missing}/anna", "--name", "anna"),
    "scope create": ("scope", "create", "farm", "--local", "--folder", "{missing}/farm"),
    "member request": ("member", "request", "{missing}/soil", "--name", "soil"),
    "ceremony identity": ("ceremony", "identity", "anna", "--scope", "{missing}/farm"),
    "ceremony roster": ("ceremony", "roster", "farm", "--scope", "{missing}/farm", "--yes"),
    "ceremony keys": ("ceremony", "identity", "anna", "--keys", "{missing}/keys"),
    "key file": ("scope", "create", "farm", "--local", "--key-file", "{missing}/seats.key"),
}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize("command", OUTPUTS)
def test_no_command_makes_the_folder_that_a_missing_disk_would_have(
    rig: Rig, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rig.path)
    missing = rig.path / "stick/writ"
    ran = rig.run(*(word.format(missing=missing) for word in OUTPUTS[command]), "--json")
    assert ran.code == 1, ran.out
    assert f"there is no folder {missing}" in ran.error["message"]
    assert ran.error["advice"].startswith("Mount the disk")
    assert not (rig.path / "stick").exists()
    # before a key file is made
    assert not rig.key_file.exists()


def test_a_backup_is_not_restored_in_place_of_a_missing_disk(rig: Rig) -> None:
    rig.ok("governor", "init", rig.path / "anna", "--name", "anna")
    (rig.path / "anna.backup").write_bytes(b"")
    ran = rig.run(
        "governor", "restore", rig.path / "anna.backup", rig.path / "stick/anna", "--json"
    )
    assert ran.code == 1 and "there is no folder" in ran.error["message"]
    assert not (rig.path / "stick").exists()


def test_a_founding_with_daemons_needs_the_parent_of_its_folder(rig: Rig) -> None:
    rig.ok("governor", "init", rig.path / "anna", "--name", "anna")
    words: tuple[Any, ...] = ("--governors", rig.path / "anna/anna.toml", "--threshold", 1)
    ran = rig.run("scope", "create", "x", *words, "--folder", rig.path / "stick/x", "--json")
    assert ran.code == 1 and "there is no folder" in ran.error["message"]
    assert not (rig.path / "stick").exists()


def test_keys_and_defaults_are_made_in_a_new_home(rig: Rig) -> None:
    home = {"HOME": str(rig.path), "XDG_CONFIG_HOME": ""}
    rig.ok("ceremony", "identity", "anna", env=home)
    assert (rig.path / ".config/writ/anna.key").exists()


LOOPS = {
    "book": ("seen.json", "book", "list"),
    "request": ("farm/requests/soil.cbor", "member", "admit", "soil"),
    "rename": ("farm/requests/soil.cbor", "member", "rename", "soil", "field-1", "--yes"),
    "mark": ("node/config.json", "use", "--node", "node"),
    "config": ("node/config.json", "member", "request", "node", "--name", "x"),
    "key file": ("loop.key", "beacon"),
    "policies": ("farm/policies", "policy", "show"),
    "roster": ("ceremony/roster.cbor", "ceremony", "status", "--scope", "ceremony"),
}


@pytest.mark.parametrize("case", LOOPS)
def test_a_file_that_cannot_be_read_is_named_and_not_absent(
    rig: Rig, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a link to itself: ELOOP, which Path.exists takes for absence
    rig.create()
    rig.admit("soil", "sensor")
    monkeypatch.chdir(rig.path)
    name, *words = LOOPS[case]
    path = rig.path / name
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        path.rename(rig.path / "moved")
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)
    if case == "key file":
        words = ["scope", "beacon", "--local", "--key-file", str(path)]
    ran = rig.run(*words, "--json")
    assert ran.code == 1, ran.out
    assert path.name in ran.error["message"] and "symbolic links" in ran.error["message"]
