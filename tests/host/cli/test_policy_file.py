"""policy.toml names the policy that it was made from; it restores no member."""

import json
import re
from pathlib import Path

import pytest
from cli_rig import Rig

from writ_host.policy.edit import remove_revoked, set_base
from writ_host.policy.source import PolicyFile
from writ_host.policy.strict_toml import PolicyError
from writ_host.policy.template import template
from writ_host.scope.folder import ScopeFolder


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.create()
    rig.admit("gw", "gateway")
    rig.admit("thief", "sensor")
    return rig


def file_of(rig: Rig) -> Path:
    return rig.scope / "policy.toml"


def base_of(rig: Rig) -> tuple[int, bytes] | None:
    return PolicyFile.load(file_of(rig)).base


def state(rig: Rig) -> tuple[int, bytes]:
    folder = ScopeFolder.open(rig.scope)
    return folder.epoch, folder.head


def test_last_months_file_restores_no_thief(rig: Rig) -> None:
    old = file_of(rig).read_text()
    rig.ok("member", "revoke", "thief", "--yes")
    file_of(rig).write_text(old)
    ran = rig.run("policy", "certify", "--yes", "--json")
    assert ran.code == 1 and ran.error["name"] == "StalePolicyFile"
    assert "made from epoch 1" in ran.error["message"]
    assert any("revoked: thief" in line for line in ran.error["details"])
    assert "writ policy rebase" in ran.error["advice"]
    told = rig.run("policy", "certify", "--yes").err.splitlines()
    assert told[0].endswith("has changed since:") and any(
        "revoked: thief" in line for line in told[1:]
    )
    shown = rig.ok("policy", "diff")
    assert shown["restored"] and "made from epoch 1" in shown["refused"]
    assert ScopeFolder.open(rig.scope).revoked_names() == ["thief"]
    # the way on: the file starts from what is in force, and lists the thief again
    assert rig.ok("policy", "rebase")["epoch"] == 2
    assert not rig.ok("policy", "diff")["changes"]


def test_a_file_of_the_present_epoch_restores_nobody_either(rig: Rig) -> None:
    rig.ok("member", "revoke", "thief", "--yes")
    text = remove_revoked(file_of(rig).read_text(), [rig.ok("member", "show", "thief")["node_id"]])
    assert text is not None
    file_of(rig).write_text(text)
    ran = rig.run("policy", "certify", "--yes", "--json")
    assert ran.code == 1 and ran.error["name"] == "RestoresMembers"
    assert "thief" in ran.error["message"] and "writ member restore" in ran.error["advice"]
    assert rig.ok("member", "show", "thief")["state"] == "revoked"


def test_restoring_is_a_command_of_its_own(rig: Rig) -> None:
    rig.ok("member", "revoke", "thief", "--reason", "seen in town", "--yes")
    ran = rig.run("member", "restore", "thief", "--json")
    assert ran.code == 4 and "Restore thief" in ran.error["message"]
    done = rig.ok("member", "restore", "thief", "--yes")
    assert done["epoch"] == 3 and done["noted"]
    assert rig.ok("member", "show", "thief")["state"] == "ok"
    assert "seen in town" not in file_of(rig).read_text()
    assert not rig.ok("policy", "diff")["changes"] and base_of(rig) == state(rig)
    assert rig.ok("member", "restore", "thief", "--yes")["epoch"] == 3
    assert "restored already: thief" in rig.run("member", "restore", "thief", "--yes").out


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", 'base = { epoch = 1, head = "00" }\n'])
def test_an_empty_file_is_refused(rig: Rig, text: str) -> None:
    if "00" in text:
        text = text.replace("00", state(rig)[1].hex())
    file_of(rig).write_text(text)
    for words in (("policy", "certify", "--yes"), ("policy", "diff"), ("policy", "check")):
        ran = rig.run(*words, "--json")
        assert ran.code == 1 and "the file is empty" in ran.error["message"]
    assert state(rig)[0] == 1


def test_a_file_without_a_base_is_refused_until_it_has_one(rig: Rig) -> None:
    text = template("farm").replace('["GET"]', '["GET", "DELETE"]', 1)
    file_of(rig).write_text(text)
    ran = rig.run("policy", "certify", "--yes", "--json")
    assert ran.code == 1 and "does not say" in ran.error["message"]
    rig.ok("policy", "rebase")
    assert rig.ok("policy", "certify", "--yes")["epoch"] == 2


def test_the_base_follows_what_the_commands_certify(rig: Rig) -> None:
    assert base_of(rig) == state(rig)
    text = file_of(rig).read_text()
    file_of(rig).write_text(text.replace('["GET"]', '["GET", "DELETE"]', 1))
    # a revocation between the edit and its certification takes the edit along
    rig.ok("member", "revoke", "thief", "--yes")
    assert base_of(rig) == state(rig)
    assert rig.ok("policy", "certify", "--yes")["epoch"] == 3
    assert base_of(rig) == state(rig)
    # a stale file stays stale, whatever else is certified
    file_of(rig).write_text(text)
    rig.ok("member", "revoke", "gw", "--yes")
    assert base_of(rig) == PolicyFile.parse(text).base
    assert rig.run("policy", "certify", "--yes").code == 1


def test_a_copy_elsewhere_is_checked_as_the_scopes_own(rig: Rig) -> None:
    copy = rig.path / "copy.toml"
    copy.write_text(file_of(rig).read_text())
    rig.ok("member", "revoke", "thief", "--yes")
    assert rig.run("policy", "certify", copy, "--yes").code == 1
    rig.ok("policy", "rebase", copy)
    assert not rig.ok("policy", "diff", copy)["changes"]


@pytest.mark.parametrize(
    ("before", "gone", "after"),
    [
        ("revoked = ['a', 'b']\n", ["a"], ["b"]),
        ('revoked = [\n  "a",  # stolen, ] here\n  "b"\n]\n[roles]\nx = "a"\n', ["a"], ["b"]),
        ('revoked = ["a"]\n', ["a", "z"], []),
        ('revoked = ["ab", "a"]  # "a"\n', ["a"], ["ab"]),
        ("[roles]\na = 'x'\n", ["a"], []),
    ],
)
def test_entries_leave_the_list_and_nothing_else_changes(
    before: str, gone: list[str], after: list[str]
) -> None:
    changed = remove_revoked(before, gone)
    assert changed is not None
    assert list(PolicyFile.parse(changed).revoked) == after
    assert PolicyFile.parse(changed).roles == PolicyFile.parse(before).roles


def test_a_base_is_written_once() -> None:
    text = set_base(template("farm"), 3, b"123456")
    assert text is not None
    again = set_base(text, 4, b"abcdef")
    assert again is not None and again.count("base =") == 1
    assert PolicyFile.parse(again).base == (4, b"abcdef")
    assert again.replace("epoch = 4", "epoch = 3").replace(b"abcdef".hex(), b"123456".hex()) == text
    for text in ('base = { epoch = 1, head = "xy" }\n', "base = 3\n", "base = { epoch = 1 }\n"):
        with pytest.raises(PolicyError):
            PolicyFile.parse(text)


def test_a_node_with_links_needs_routes(rig: Rig) -> None:
    node = rig.path / "gw"
    config = json.loads((node / "config.json").read_text())

    def warned(*words: object) -> list[str]:
        return list(rig.ok("policy", "check", *words)["warnings"])

    assert not any("no route" in text for text in warned("--node", node))
    config["links"] = [{"kind": "serial", "port": "/dev/ttyUSB0"}]
    (node / "config.json").write_text(json.dumps(config))
    assert any("no route has class 0: the mesh is silent" in one for one in warned("--node", node))
    # by another folder nothing is known of links
    assert not any("no route" in text for text in warned("--node", rig.scope))
    # the node of another scope
    config["scope"] = "00" * 8
    (node / "config.json").write_text(json.dumps(config))
    assert not any("no route" in text for text in warned("--node", node))
    file_of(rig).write_text(re.sub(r"^#(?=\S)", "", file_of(rig).read_text(), flags=re.M))
    config["scope"] = ScopeFolder.open(rig.scope).charter.scope.hex()
    (node / "config.json").write_text(json.dumps(config))
    assert not any("no route" in text for text in warned("--node", node))
