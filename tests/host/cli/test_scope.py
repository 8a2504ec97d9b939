"""Commands on a scope of this machine, from founding to revocation, and their failures."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from cli_rig import Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from writ import crypto
from writ.agent import Node
from writ.authority.capsule import parse
from writ.errors import Rejection, WrongScope
from writ.node.statement import member_request
from writ_host import files
from writ_host.ceremony import keyring
from writ_host.cli import secret
from writ_host.cli.output import Output
from writ_host.keys import keyfile
from writ_host.node import addressbook, provision
from writ_host.scope import change as change_
from writ_host.scope import issuance
from writ_host.scope.admission import read_request
from writ_host.scope.folder import ScopeFolder


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.create()
    return rig


def change_policy(rig: Rig, old: str, new: str) -> None:
    path = rig.scope / "policy.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_from_founding_to_revocation(rig: Rig) -> None:
    shown = rig.ok("scope", "show")
    assert (shown["governors"], shown["threshold"]) == (4, 3)
    assert (shown["tolerates_offline"], shown["tolerates_byzantine"]) == (1, 1)
    assert shown["epoch"] == 1 and len(shown["seats_here"]) == 4

    rig.admit("gw", "gateway", "--out", rig.path / "gw")
    admitted = rig.admit("t1", "sensor")["admitted"][0]
    assert (admitted["short_address"], admitted["roles"]) == (2, ["sensor"])
    assert len(admitted["capsule"]) // 2 <= 150

    change_policy(rig, 'methods = ["GET"]', 'methods = ["GET", "DELETE"]')
    preview = rig.ok("policy", "diff")
    assert preview["changes"] and preview["amendment"] and not preview["newly_forbidden"]
    assert "may DELETE *" in preview["newly_allowed"][0]
    made = rig.ok("policy", "certify", "--yes")
    assert made["epoch"] == 2
    assert not rig.ok("policy", "diff")["changes"]
    # the amendment and the whole policy, certified together, lead to the same state
    amendment, whole = (bytes.fromhex(made["capsules"][kind]) for kind in ("amendment", "policy"))
    one = ScopeFolder(rig.path, (rig.scope / "charter.cbor").read_bytes()).authority
    two = ScopeFolder(rig.path, (rig.scope / "charter.cbor").read_bytes()).authority
    one.receive((rig.scope / "policies/00001.cbor").read_bytes(), 0)
    one.receive(amendment, 0)
    two.receive(whole, 0)
    assert one.head == two.head and one.policy.payload() == two.policy.payload()

    done = rig.ok("member", "revoke", "t1", "--reason", "stolen", "--yes")
    assert done["epoch"] == 3 and done["noted"]
    assert len(done["capsules"]["amendment"]) // 2 <= 100
    assert [one["state"] for one in rig.ok("member", "list")["members"]] == ["ok", "revoked"]
    assert "# t1: stolen" in (rig.scope / "policy.toml").read_text()
    # revocation wrote the certified change into policy.toml
    assert not rig.ok("policy", "diff")["changes"]

    beacon = rig.ok("scope", "beacon")
    assert beacon["epoch"] == 3 and len(beacon["capsule"]) // 2 <= 96


def test_a_node_folder_runs_on_what_it_was_given(rig: Rig) -> None:
    rig.admit("gw", "gateway", "--out", rig.path / "gw")
    node = Node.load(str(rig.path / "gw"))
    assert node.authority.epoch == 1 and node.authority.me.name == "gw"
    assert node.authority.beacon is not None
    assert (
        json.loads((rig.path / "gw/config.json").read_text())["scope"] == node.authority.scope.hex()
    )
    assert (rig.path / "gw/key.a").stat().st_mode & 0o077 == 0


def test_a_repeated_request_keeps_the_key(rig: Rig) -> None:
    first = rig.ok("member", "request", rig.path / "gw", "--name", "gw")
    assert rig.ok("member", "request", rig.path / "gw")["node_id"] == first["node_id"]
    ran = rig.run("member", "request", rig.path / "gw", "--name", "other", "--json")
    assert ran.code == 1 and "belongs to the node gw" in ran.error["message"]


def test_renewal_keeps_address_and_roles(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    for words in ("11y", "2099-01-01"):
        ran = rig.run("member", "admit", "t1", "--expires", words, "--yes")
        assert ran.code == 1 and "A membership lasts ten years at most" in ran.err
    again = rig.ok("member", "admit", "t1", "--expires", "2y", "--yes")["admitted"][0]
    assert (again["short_address"], again["roles"]) == (1, ["sensor"])
    ran = rig.run("member", "admit", "t1", "--expires", "1d", "--yes", "--json")
    assert ran.code == 1 and "expires later" in ran.error["message"]


def test_many_are_admitted_in_one_ceremony(rig: Rig) -> None:
    names = [f"n{number}" for number in range(5)]
    for name in names:
        rig.ok("member", "request", rig.path / name, "--name", name)
    found = rig.ok("member", "admit", *names, "--role", "sensor", "--role", "gateway", "--yes")
    assert [one["short_address"] for one in found["admitted"]] == [1, 2, 3, 4, 5]


def test_a_name_belongs_to_one_valid_member(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    rig.ok("member", "request", rig.path / "other", "--name", "t1")
    ran = rig.run("member", "admit", "t1", "--role", "sensor", "--yes", "--json")
    assert ran.code == 1 and "another member has the name t1" in ran.error["message"]
    rig.ok("member", "revoke", "t1", "--yes")
    # a replaced device: the name belongs to another key, the old key stays known and revoked
    found = rig.ok("member", "admit", "t1", "--role", "sensor", "--yes")["admitted"][0]
    assert found["short_address"] == 2
    states = [one["state"] for one in rig.ok("member", "list", "--all")["members"]]
    assert states == ["revoked", "ok"]
    assert rig.ok("policy", "check")["ok"]


def test_a_skipped_comparison_of_node_ids_is_reported(rig: Rig) -> None:
    def request(name: str) -> str:
        return str(rig.ok("member", "request", rig.path / name, "--name", name)["node_id"])

    ids = [request("t1"), request("t2")]
    words = ("member", "admit", "t1", "t2", "--role", "sensor", "--yes")
    for more in ((), ("--json",)):
        ran = rig.run(*words, "--expires", "2y" if more else "1y", *more)
        assert ran.code == 0
        listed = f"t1 {ids[0]}, t2 {ids[1]}"
        warning = f"warning: --yes: the node id was not compared: {listed}\n"
        # the key of a renewed member is known: there is nothing to compare
        assert (warning in ran.err) == (more == ())
    # nothing is skipped without --yes
    request("t3")
    ran = rig.run("member", "admit", "t3", "--role", "sensor")
    assert ran.code != 0 and "was not compared" not in ran.err
    ran = rig.run("member", "admit", "t3", "--role", "sensor", "--yes", "--json")
    assert "the node id was not compared: t3 " in ran.err and ran.document["admitted"]


def test_a_revoked_key_is_not_admitted_again(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    rig.ok("member", "revoke", "t1", "--yes")
    ran = rig.run("member", "admit", "t1", "--expires", "2y", "--yes", "--json")
    assert ran.code == 1 and "is revoked" in ran.error["message"]
    assert "writ member restore t1" in ran.error["advice"]


def test_a_request_signed_by_another_key_is_refused(rig: Rig) -> None:
    rig.ok("member", "request", rig.path / "gw", "--name", "gw")
    path = rig.scope / "requests/gw.cbor"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    ran = rig.run("member", "admit", "gw", "--role", "gateway", "--yes", "--json")
    assert ran.code == 1 and "BadSignature" in ran.error["message"]
    assert not rig.ok("member", "list")["members"]


def test_failing_tests_stop_a_policy(rig: Rig) -> None:
    change_policy(rig, 'expect = "deny"', 'expect = "allow"')
    ran = rig.run("policy", "check", "--json")
    assert ran.code == 1 and not ran.document["ok"]
    ran = rig.run("policy", "certify", "--yes", "--json")
    assert ran.code == 1 and "tests fail" in ran.error["message"]
    assert rig.ok("scope", "show")["epoch"] == 1


def test_nothing_is_certified_without_confirmation(rig: Rig) -> None:
    change_policy(rig, 'methods = ["GET"]', 'methods = ["GET", "DELETE"]')
    ran = rig.run("policy", "certify", "--json")
    assert ran.code == 4 and "--yes" in ran.error["advice"]
    ran = rig.run("policy", "certify")
    assert ran.code == 4 and "newly allowed" in ran.out and "Traceback" not in ran.err
    assert rig.ok("scope", "show")["epoch"] == 1


def test_an_unknown_role_is_reported_with_the_known_ones(rig: Rig) -> None:
    rig.ok("member", "request", rig.path / "gw", "--name", "gw")
    ran = rig.run("member", "admit", "gw", "--role", "gatway", "--yes")
    assert ran.code == 1
    assert "the certified policy has no role 'gatway'" in ran.err and "'gateway'" in ran.err


def test_a_passphrase_is_asked_at_a_terminal_only(rig: Rig) -> None:
    none = {"WRIT_KEY_FILE": ""}
    ran = rig.run("scope", "beacon", "--json", env=none)
    assert ran.code == 4 and "passphrase" in ran.error["message"]
    wrong = rig.path / "wrong"
    wrong.write_text("wrong\n")
    wrong.chmod(0o644)
    ran = rig.run("scope", "beacon", "--passphrase-file", wrong, "--json", env=none)
    assert ran.code == 1 and f"other users can read {wrong}" in ran.error["message"]
    wrong.chmod(0o600)
    ran = rig.run("scope", "beacon", "--passphrase-file", wrong, "--json", env=none)
    assert ran.code == 4 and ran.error["name"] == "WrongPassphrase"


def test_a_scope_locked_with_a_passphrase(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    secret = tmp_path / "pass"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    env = {"WRIT_KEY_FILE": "", "WRIT_PASSPHRASE_FILE": str(secret)}
    words = ("scope", "create", "farm", "--local", "--governors", "1", "--folder", rig.scope)
    made = rig.ok(*words, env=env)
    assert (made["governors"], made["threshold"], made["tolerates_byzantine"]) == (1, 1, 0)
    assert rig.ok("scope", "beacon", env=env)["epoch"] == 1
    assert rig.run(*words, "--json", env=env).error["name"] == "FileInTheWay"


@pytest.mark.parametrize(
    "words",
    [
        ("scope", "create", "farm", "--local", "--folder", "new"),
        ("ceremony", "identity", "anna", "--keys", "new"),
        ("governor", "init", "new", "--name", "anna"),
    ],
)
def test_a_short_passphrase_protects_nothing_new(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "pass"
    secret.write_text("abc\n")
    secret.chmod(0o600)
    ran = Rig(tmp_path).run(*words, "--passphrase-file", secret, env={"WRIT_KEY_FILE": ""})
    assert ran.code == 4 and "3 characters; a new one has at least 8" in ran.err, ran.err
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]


def test_names_are_checked_before_the_command_runs(rig: Rig) -> None:
    for words in (
        ("scope", "create", "My Farm", "--local"),
        ("scope", "create", "x", "--local", "--names", "a,b,a"),
        ("member", "request", rig.path / "A b", "--name", "A b"),
        ("member", "request", rig.path / "A b"),
        ("ceremony", "identity", "../x"),
    ):
        ran = rig.run(*words)
        assert ran.code == 2 and ("is not a valid name" in ran.err or "twice" in ran.err)
    assert not (rig.path / "A b").exists()


def test_an_open_request_is_recognised_by_its_key(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    assert rig.ok("member", "list")["requests"] == []
    rig.ok("member", "request", rig.path / "new", "--name", "t1")
    assert rig.ok("member", "list")["requests"] == ["t1"]


@given(st.binary(max_size=300))
def test_random_bytes_as_a_request_raise_a_rejection(raw: bytes) -> None:
    with pytest.raises(Rejection):
        read_request(raw)


@settings(max_examples=60)
@given(st.integers(0, 123), st.integers(1, 255))
def test_no_altered_request_is_taken(place: int, flip: int) -> None:
    raw = bytearray(member_request(crypto.sha256(b"t1"), "t1"))
    raw[place % len(raw)] ^= flip
    with pytest.raises(Rejection):
        read_request(bytes(raw))


def test_commands_without_a_scope_fail_with_advice(tmp_path: Path) -> None:
    ran = Rig(tmp_path).run("scope", "show")
    assert ran.code == 1 and "writ scope create" in ran.err and not ran.out
    ran = Rig(tmp_path).run("scope", "create", "farm")
    assert ran.code == 2 and "--local" in ran.err
    ran = Rig(tmp_path).run("scope", "create", "farm", "--local", "--threshold", "2")
    assert ran.code == 2 and "above half" in ran.err


def test_a_tampered_folder_is_rejected(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    for name in ("beacon.cbor", "policies/00001.cbor", "members/t1.cbor", "charter.cbor"):
        path = rig.scope / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        ran = rig.run("member", "list", "--json")
        assert ran.code == 1 and name in ran.error["message"] and "Bad" in ran.error["message"]
        path.write_bytes(whole)
    assert rig.run("member", "list").code == 0


def test_capsules_of_another_scope_are_rejected(rig: Rig, tmp_path: Path) -> None:
    rig.ok("member", "request", rig.path / "gw", "--name", "gw")
    other = Rig(tmp_path / "second")
    other.path.mkdir()
    other.create()
    folder = ScopeFolder.open(other.scope)
    with pytest.raises(WrongScope):
        provision.install(rig.path / "gw", folder.capsules(), folder.charter.scope)
    ran = other.run("member", "request", rig.path / "gw", "--json")
    assert ran.code == 1 and "trusts scope" in ran.error["message"]
    assert other.run("scope", "beacon", "--keys", rig.scope / "governors", "--json").code != 0


def test_inspect_explains_each_byte_and_verifies(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    for name, kind in (
        ("charter.cbor", "charter"),
        ("policies/00001.cbor", "policy"),
        ("members/t1.cbor", "member"),
        ("beacon.cbor", "beacon"),
        ("requests/t1.cbor", "request"),
    ):
        raw = (rig.scope / name).read_bytes()
        found = rig.ok("capsule", "inspect", rig.scope / name)
        assert (found["kind"], found["signature"], found["ok"]) == (kind, "valid", True)
        assert rig.ok("capsule", "inspect", raw.hex())["digest"] == found["digest"]
        # each byte has an explanation
        covered: set[int] = set()
        for one in found["parts"]:
            covered.update(range(one["offset"], one["offset"] + one["size"]))
        assert covered == set(range(len(raw)))
        damaged = raw[:-1] + bytes([raw[-1] ^ 1])
        ran = rig.run("capsule", "inspect", damaged.hex(), "--json")
        assert ran.code == 1 and ran.document["signature"] == "invalid"
        ran = rig.run("capsule", "inspect", raw[:-30].hex())
        assert ran.code == 1 and "Truncated (11)" in ran.out
    assert rig.run("capsule", "inspect", "zz").code == 1


def test_an_amendment_has_no_head_of_its_own(rig: Rig) -> None:
    rig.admit("t1", "sensor")
    rig.ok("member", "revoke", "t1", "--yes")
    found = rig.ok("capsule", "inspect", rig.scope / "amendments/00002.cbor")
    assert found["kind"] == "amendment" and found["head"] is None
    assert any(one["meaning"] == "revoke: node t1" for one in found["parts"])


def test_an_address_book_keeps_its_comments(rig: Rig) -> None:
    book = rig.scope / "book.toml"
    book.write_text('# ours\n"a.b" = "10.0.0.1:1"\n\n[notes]\nt1 = "by the door"\n')
    folder = ScopeFolder.open(rig.scope)
    addressbook.write(folder.path, "a.b", "10.0.0.2:2")
    addressbook.write(folder.path, "t1", "10.0.0.3:3")
    assert addressbook.read(folder.path) == {"a.b": "10.0.0.2:2", "t1": "10.0.0.3:3"}
    assert "by the door" in book.read_text() and book.read_text().startswith("# ours\n")


def test_a_crash_at_any_write_leaves_one_whole_state(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.admit("t1", "sensor")
    key = keyfile.KeyFile.load(rig.key_file)
    signer = issuance.LocalSigner(keyring.open_quorum(rig.scope / "governors", key))
    write = files.write_atomically
    epochs = set()
    for cut in range(4):
        copy = rig.path / f"copy{cut}"
        shutil.copytree(rig.scope, copy)
        folder = ScopeFolder.open(copy)
        left = [cut]

        def failing(*args: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise OSError("no power")
            left[0] -= 1
            write(*args)

        change = change_.revocation(folder, folder.members.newest())
        monkeypatch.setattr(files, "write_atomically", failing)
        with contextlib.suppress(OSError):
            issuance.issue(folder, change.drafts, signer)
        monkeypatch.setattr(files, "write_atomically", write)
        again = ScopeFolder.open(copy)
        epochs.add(again.epoch)
        assert again.policy_capsule() is not None
        # the lost change is certified again
        if again.epoch == 1:
            change = change_.revocation(again, again.members.newest())
            issuance.issue(again, change.drafts, signer)
        assert ScopeFolder.open(copy).revoked_names() == ["t1"]
    assert epochs == {1, 2}


def test_the_newest_policy_is_the_highest_number_not_the_last_name(rig: Rig) -> None:
    newest = rig.scope / "policies/00001.cbor"
    # sorted as text, 100000 comes before 99999
    shutil.copy(newest, rig.scope / "policies/100000.cbor")
    (rig.scope / "policies/99999.cbor").write_bytes(b"older, and not read at all")
    assert rig.ok("scope", "show")["epoch"] == 1


def test_a_folder_is_locked_while_one_command_certifies(rig: Rig) -> None:
    with ScopeFolder.open(rig.scope).lock():
        assert rig.run("scope", "beacon", "--json").error["name"] == "FolderInUse"
    assert parse((rig.scope / "beacon.cbor").read_bytes()).kind == 4


def test_a_short_passphrase_is_refused_before_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["short", "several random words", "several other words"]
    typed += ["several random words"] * 2
    asked: list[str] = []

    def prompt(text: str, **_: object) -> str:
        asked.append(text)
        return typed.pop(0)

    monkeypatch.setattr(click, "prompt", prompt)
    found = secret._ask_new(Output(False))
    assert found.text == "several random words" and not typed
    assert [one.startswith("Repeat") for one in asked] == [False, False, True, False, True]
    assert asked[0] == f"{secret.PROMPT} (at least 8 characters)"
    said = capsys.readouterr()
    assert "refused: the passphrase has 5 characters" in said.out and "warning" not in said.err
