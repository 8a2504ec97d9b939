"""Defaults, address books, renaming and completion: what saves people from typing paths and ids."""

import os
from pathlib import Path
from typing import Any

import pytest
from cli_rig import Ran, Rig
from click.testing import CliRunner

from writ_host.cli import main
from writ_host.cli import rename as cli_rename
from writ_host.scope.folder import ScopeFolder


def run(rig: Rig, *words: object) -> Ran:
    """A command without any variable, whose user has the home `rig.path`."""
    base = {"HOME": str(rig.path), "XDG_CONFIG_HOME": "", "WRIT_KEY_FILE": str(rig.key_file)}
    gone = dict.fromkeys(("WRIT_SCOPE", "WRIT_NODE", "WRIT_GOVERNOR"), "")
    result = CliRunner().invoke(main, [str(word) for word in words], env={**base, **gone})
    return Ran(result.exit_code, result.stdout, result.stderr)


def complete(rig: Rig, words: str, **more: str) -> list[str]:
    """What bash is offered for the last word."""
    environment = {
        "_WRIT_COMPLETE": "bash_complete",
        "COMP_WORDS": f"writ {words}",
        "COMP_CWORD": str(len(words.split(" "))),
        "WRIT_SCOPE": str(rig.scope),
        **more,
    }
    done = CliRunner().invoke(main, [], env=environment, prog_name="writ")
    return [line.removeprefix("plain,") for line in done.stdout.split()]


# --- writ use -------------------------------------------------------------------------------------


def test_chosen_folders_are_used_without_options(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert run(rig, "scope", "show").code == 1 and run(rig, "status").code == 1
    assert run(rig, "use", "--scope", tmp_path).code == 1
    shown = run(rig, "use", "--scope", rig.scope, "--node", tmp_path / "soil")
    assert shown.code == 0 and str(rig.scope) in shown.out
    assert run(rig, "scope", "show").code == 0 and "soil" in run(rig, "status").out
    # an option has priority
    assert run(rig, "scope", "show", "--scope", tmp_path).code == 1
    run(rig, "governor", "init", tmp_path / "anna", "--name", "anna")
    assert run(rig, "governor", "status").code == 2
    run(rig, "use", "--governor", tmp_path / "anna")
    assert "no daemon runs in" in run(rig, "governor", "status").err
    assert "no daemon runs in" in run(rig, "governor", "approve", "12345678").err
    assert run(rig, "use").out.count(str(tmp_path)) == 3
    forgotten = run(rig, "use", "--forget").out
    assert forgotten.count("not chosen (was") == 3
    assert run(rig, "scope", "show").code == 1
    # what it names undoes it
    undo = forgotten.split("to undo: writ ")[1].split()
    assert run(rig, *undo).code == 0 and run(rig, "use").out.count(str(tmp_path)) == 3


def test_a_folder_is_used_for_what_it_is(rig: Rig, tmp_path: Path) -> None:
    said = run(rig, "use", rig.scope, tmp_path / "soil").out
    assert f"scope     {rig.scope} (was not chosen)" in said
    assert f"node      {tmp_path / 'soil'} (was not chosen)" in said
    assert "to undo: writ use --forget\n" in said
    assert "was" not in run(rig, "use").out
    ran = run(rig, "use", tmp_path)
    assert ran.code == 1 and "is not the folder of one scope, node or governor" in ran.err
    shadowed = rig.run("use", env={"HOME": str(rig.path), "WRIT_SCOPE": "/elsewhere"})
    assert "WRIT_SCOPE is set, and has priority: /elsewhere" in shadowed.err


def test_a_broken_file_of_defaults_is_named(rig: Rig) -> None:
    file = rig.path / ".config/writ/defaults.toml"
    file.parent.mkdir(parents=True)
    for text in ("scope = 7\n", "x = 'y'\n", "scope = \n", "\ufeff"):
        file.write_text(text)
        ran = run(rig, "scope", "show")
        assert ran.code == 1 and str(file) in ran.err, ran.err
    assert run(rig, "use", "--forget").code == 0


# --- address books --------------------------------------------------------------------------------


def test_addresses_are_added_listed_and_removed(rig: Rig, tmp_path: Path) -> None:
    rig.ok("book", "add", "soil", "10.0.0.7")
    rig.ok("book", "add", "pump.2", "10.0.0.8:7")
    rig.ok("book", "add", "soil", "10.0.0.9:5683", "--node", tmp_path / "soil")
    assert (rig.scope / "book.toml").read_text().count("\n") == 3
    listed = rig.ok("book", "list", "--node", tmp_path / "soil")["addresses"]
    assert [(one["name"], one["address"], one["from"]) for one in listed] == [
        ("pump.2", "10.0.0.8:7", "scope"),
        ("soil", "10.0.0.7:5683", "scope"),
        ("soil", "10.0.0.9:5683", "node"),
    ]
    rig.ok("book", "remove", "pump.2")
    assert rig.run("book", "remove", "pump.2").code == 1
    assert rig.run("book", "add", "soil", "1:2:3").code == 2
    assert rig.run("book", "add", "soil", "10.0.0.7", "--scope", tmp_path).code == 1
    assert "pump" not in (rig.scope / "book.toml").read_text()


# --- renaming -------------------------------------------------------------------------------------


def test_a_renamed_member_keeps_key_address_and_roles(rig: Rig) -> None:
    (before,) = rig.ok("member", "list")["members"]
    rig.ok("book", "add", "soil", "127.0.0.1:9")
    ran = rig.run("member", "rename", "soil", "field-1", "--yes", "--timeout", "0.2")
    # certified, but nothing answers at its address
    assert ran.code == 3 and "soil is field-1 now" in ran.out
    (after,) = rig.ok("member", "list")["members"]
    assert (after["name"], after["address"]) == ("field-1", "127.0.0.1:9")
    assert after["expires"] == before["expires"] + 1
    for key in ("node_id", "short_address", "roles"):
        assert after[key] == before[key]
    folder = ScopeFolder.open(rig.scope)
    assert [path.stem for path in folder.requests()] == ["field-1"]
    assert rig.run("member", "rename", "soil", "x", "--yes").code == 1
    assert rig.run("member", "rename", "field-1", "field-1", "--yes").code == 1
    assert rig.run("member", "rename", "field-1", "all", "--yes").code == 2
    # the renamed member is renewed by its new name
    rig.ok("member", "admit", "field-1", "--yes", "--expires", "2y", "--no-deliver")


def test_a_rename_that_ended_before_its_files_is_finished_by_the_next_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.ok("book", "add", "soil", "127.0.0.1:9")
    words = ("member", "rename", "soil", "zebra", "--yes", "--timeout", "0.2")
    with monkeypatch.context() as broken:
        # after the certificate, before the first file
        broken.setattr(cli_rename, "move_files", lambda *_: os.close(-1))
        assert rig.run(*words).code == 1
    folder = ScopeFolder.open(rig.scope)
    certified = folder.members.find("zebra")
    assert certified is not None and [path.stem for path in folder.requests()] == ["soil"]
    ran = rig.run(*words)
    assert ran.code == 3 and "soil is zebra now" in ran.out, ran.err
    folder = ScopeFolder.open(rig.scope)
    assert [path.stem for path in folder.requests()] == ["zebra"]
    # nothing was certified once more
    assert folder.members.find("zebra").raw == certified.raw  # type: ignore[union-attr]
    (after,) = rig.ok("member", "list")["members"]
    assert (after["name"], after["address"]) == ("zebra", "127.0.0.1:9")
    assert rig.run(*words).code == 1


def test_a_rename_is_finished_by_node_id_from_its_last_file(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_id = rig.ok("member", "list")["members"][0]["node_id"]
    rig.ok("book", "add", "soil", "127.0.0.1:9")
    words = ("member", "rename", node_id, "field-1", "--yes", "--timeout", "0.2")
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", lambda *_: os.close(-1))
        assert rig.run(*words).code == 1
    assert rig.run(*words).code == 3
    assert [path.stem for path in ScopeFolder.open(rig.scope).requests()] == ["field-1"]


def test_of_two_capsules_that_a_crash_left_the_newer_names_the_member(rig: Rig) -> None:
    former = rig.scope / "members/soil.cbor"
    raw = former.read_bytes()
    rig.ok("member", "rename", "soil", "field-1", "--yes")
    former.write_bytes(raw)
    (found,) = rig.ok("member", "list")["members"]
    assert found["name"] == "field-1"


# --- completion -----------------------------------------------------------------------------------


def test_completion_offers_names_roles_and_requests(rig: Rig, tmp_path: Path) -> None:
    rig.ok("member", "request", tmp_path / "spare", "--name", "spare")
    assert complete(rig, "member show ") == ["soil"]
    assert complete(rig, "member revoke s") == ["soil"]
    assert complete(rig, "member rename s") == ["soil"]
    assert "spare" in complete(rig, "member admit s")
    assert "sensor" in complete(rig, "member admit spare --role s")
    assert complete(rig, "ping so") == ["soil"]
    assert complete(rig, "node link x --lora ry") == ["rylr998"]
    # a broken folder offers nothing, and prints nothing
    (rig.scope / "charter.cbor").write_bytes(b"x")
    assert complete(rig, "member show ") == []


def test_completion_offers_pending_ids(council: Any) -> None:
    council.writ("member", "request", "spare", "--name", "spare")
    command = council.begin("member", "admit", "spare", "--no-role", "--yes", "--no-deliver")
    try:
        from council_rig import wait_for

        wait_for(lambda: council.waiting("b"))
        id = council.waiting("b")[:8]
        offered = council_words(council, "governor approve b ", 4)
        assert offered == [id]
        assert council_words(council, "governor deny ", 3, "b") == [id]
    finally:
        command.kill()
        command.communicate()


def council_words(council: Any, words: str, count: int, governor: str = "") -> list[str]:
    environment = {
        "_WRIT_COMPLETE": "bash_complete",
        "COMP_WORDS": f"writ {words}",
        "COMP_CWORD": str(count),
        "WRIT_GOVERNOR": str(council.path(governor)) if governor else "",
    }
    before = os.getcwd()
    os.chdir(council.root)
    try:
        done = CliRunner().invoke(main, [], env=environment, prog_name="writ")
    finally:
        os.chdir(before)
    return [
        line.removeprefix("plain,")
        for line in done.stdout.splitlines()
        if line.startswith("plain,")
    ]


def test_a_missing_folder_of_a_governor_names_its_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    ran = Rig(tmp_path).run("governor", "pending", env={"WRIT_GOVERNOR": ""})
    assert ran.code == 2 and "writ use --governor DIR, or WRIT_GOVERNOR" in ran.err
