"""`writ ceremony`: founding and certification by files, with governors on separate machines."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_rig import Ran, Rig

from writ.authority import capsule
from writ.authority.capsule import POLICY
from writ_host.ceremony.keyring import open_seat
from writ_host.ceremony.request import Item, publish_request
from writ_host.ceremony.storage import DirectoryFolder
from writ_host.keys.keyfile import KeyFile
from writ_host.keys.roster import Roster
from writ_host.scope.folder import ScopeFolder

NAMES = ("ada", "bob", "cem")


class Governors(Rig):
    """Three governors, each with its keys in a folder of its own."""

    def as_(self, name: str) -> list[str]:
        return ["--as", name, *self.mine(name)]

    def mine(self, name: str) -> list[str]:
        return ["--keys", str(self.path / name), "--key-file", str(self.path / f"{name}.kf")]

    def together(self, *commands: list[str]) -> list[Ran]:
        """Run commands at the same time, each in its own process, which holds its nonces."""
        code = "from writ_host.cli import main; main()"
        environment = {
            **os.environ,
            "WRIT_SCOPE": str(self.scope),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        running = [
            subprocess.Popen(
                [sys.executable, "-c", code, *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for words in commands
        ]
        found = []
        for one in running:
            out, err = one.communicate(timeout=60)
            found.append(Ran(one.returncode, out, err))
        return found

    def sign(self, *names: str, more: tuple[str, ...] = ()) -> list[Ran]:
        """Sign the one open signing request with these governors."""
        words = ["ceremony", "sign", "--yes", "--wait", "30", "--json", *more]
        return self.together(*[[*words, *self.as_(name)] for name in names])

    def found(self) -> None:
        """Make identities and roster, and found step by step, as with files on a USB stick."""
        self.scope.mkdir()
        for name in NAMES:
            KeyFile.create(self.path / f"{name}.kf")
            self.ok("ceremony", "identity", name, *self.mine(name))
        self.ok("ceremony", "roster", "plant", "--threshold", "2", "--yes")
        for _ in range(4):
            codes = [
                self.run(
                    "ceremony", "found", *self.as_(name), "--wait", "0", "--yes", "--json"
                ).code
                for name in NAMES
            ]
            # exit code 4: the ceremony waits for other governors
            assert set(codes) <= {0, 4}
            if codes == [0, 0, 0]:
                return
        raise AssertionError("the founding does not end")

    def charter(self) -> None:
        """Certify the charter with ada and bob."""
        self.ok("ceremony", "request", "charter", *self.as_("ada"))
        for ran in self.sign("ada", "bob"):
            assert ran.code == 0, ran.out + ran.err

    def propose_raw(self, name: str, *payloads: bytes) -> str:
        """Propose any payloads, as a Byzantine governor may; returns the tag."""
        key = KeyFile.load(self.path / f"{name}.kf")
        roster = Roster.from_bytes((self.scope / "roster.cbor").read_bytes())
        local = open_seat(self.path / name, name, key, roster)
        folder = DirectoryFolder(self.scope / "ceremony")
        items = [Item("harmless", capsule.signing_input(payload)) for payload in payloads]
        return publish_request(folder, local.identity, local.seat, "harmless", items).tag


@pytest.fixture
def governors(tmp_path: Path) -> Governors:
    governors = Governors(tmp_path)
    governors.found()
    return governors


def status_of(governors: Governors) -> Any:
    return governors.ok("ceremony", "status")


def test_a_scope_from_separate_machines(governors: Governors) -> None:
    governors.charter()
    shown = governors.ok("scope", "show")
    assert (shown["name"], shown["threshold"], shown["governors"]) == ("plant", 2, 3)
    assert shown["seats_here"] == [] and shown["epoch"] == 1

    governors.ok("member", "request", governors.path / "n1", "--name", "n1")
    words = ["member", "admit", "n1", "--role", "sensor", "--yes", "--wait", "30", "--json"]
    admitting = [*words, *governors.as_("ada")]
    code = "from writ_host.cli import main; main()"
    environment = {
        **os.environ,
        "WRIT_SCOPE": str(governors.scope),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with subprocess.Popen(
        [sys.executable, "-c", code, *admitting], env=environment, stdout=subprocess.PIPE
    ) as proposing:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if any(one["state"] == "open" for one in status_of(governors)["requests"]):
                break
            time.sleep(0.1)
        (signed,) = governors.sign("cem")
        assert signed.code == 0, signed.out + signed.err
        assert proposing.wait(30) == 0
    assert [one["name"] for one in governors.ok("member", "list")["members"]] == ["n1"]
    assert all(one["state"] == "signed" for one in status_of(governors)["requests"])


def test_one_of_three_governors_cannot_sign(governors: Governors) -> None:
    governors.ok("ceremony", "request", "charter", *governors.as_("ada"))
    ran = governors.run("ceremony", "sign", "--yes", "--wait", "0", "--json", *governors.as_("ada"))
    assert ran.code == 4 and ran.error["name"] == "Stalled"
    (request,) = status_of(governors)["requests"]
    assert request["state"] == "open" and request["awaited"] == ["bob", "cem"]
    assert not (governors.scope / "charter.cbor").exists()
    # the nonces ended with that process; two governors sign in a new attempt
    for ran in governors.sign("ada", "cem"):
        assert ran.code == 0, ran.out + ran.err
    assert governors.ok("scope", "show")["epoch"] == 1


def test_a_refusal_is_visible_to_all_governors(governors: Governors) -> None:
    governors.ok("ceremony", "request", "charter", *governors.as_("ada"))
    for name in ("bob", "cem"):
        ran = governors.run("ceremony", "sign", "--refuse", *governors.as_(name), "--json")
        assert ran.code == 1 and ran.error["name"] == "Refused"
    (request,) = status_of(governors)["requests"]
    assert request["state"] == "refused" and request["refused"] == ["bob", "cem"]
    ran = governors.run("ceremony", "sign", "--yes", "--wait", "0", "--json", *governors.as_("ada"))
    assert ran.code == 1 and "refused by bob, cem" in ran.error["message"]


def test_a_wrong_fingerprint_stops_the_founding(tmp_path: Path) -> None:
    governors = Governors(tmp_path)
    governors.scope.mkdir()
    for name in NAMES:
        KeyFile.create(tmp_path / f"{name}.kf")
        governors.ok("ceremony", "identity", name, *governors.mine(name))
    governors.ok("ceremony", "roster", "plant", "--yes")
    words = ("ceremony", "found", "--wait", "0", "--json", "--fingerprint", "1 2 3")
    rans = [governors.run(*words, *governors.as_(name)) for name in NAMES * 3]
    assert rans[-1].code == 1 and rans[-1].error["name"] == "Refused"
    assert not any(one.code == 0 for one in rans)


def test_a_skipped_comparison_of_fingerprints_is_reported(tmp_path: Path) -> None:
    """With --yes the warning is on stderr, and the document on stdout stays whole."""
    governors = Governors(tmp_path)
    governors.scope.mkdir()
    own = {}
    for name in NAMES:
        KeyFile.create(tmp_path / f"{name}.kf")
        made = governors.ok("ceremony", "identity", name, *governors.mine(name))
        own[name] = made["fingerprint"]
    roster = governors.run("ceremony", "roster", "plant", "--yes", "--json")
    assert roster.document["governors"] == own
    assert roster.err.startswith("warning: --yes: the fingerprint was not compared: ada ")
    assert all(f"{name} {fingerprint}" in roster.err for name, fingerprint in own.items())
    words = ("ceremony", "found", "--wait", "0", "--yes")
    first = [governors.run(*words, *governors.as_(name)) for name in NAMES][-1]
    text = "warning: --yes: the fingerprint was not compared: "
    (shown,) = (line for line in first.out.splitlines() if line.startswith("fingerprint: "))
    fingerprint = shown.removeprefix("fingerprint: ")
    assert f"{text}{fingerprint}\n" in first.err
    again = [governors.run(*words, *governors.as_(name), "--json") for name in NAMES]
    assert all(one.err.startswith(f"{text}{fingerprint}\n") for one in again[:-1])


def test_the_label_of_a_byzantine_proposer_is_not_trusted(governors: Governors) -> None:
    governors.charter()
    folder = ScopeFolder.open(governors.scope)
    everything = [[1, 1, "*", 127]]
    body = [2, folder.head, everything, [], [], {}]
    tag = governors.propose_raw("cem", capsule.build(POLICY, body, iat=folder.policy.issued))
    (ran,) = governors.together(["ceremony", "sign", tag, "--wait", "0", *governors.as_("ada")])
    # the label says "harmless"; the review shows the real content
    assert ran.code == 4 and "any may GET, POST" in ran.out


def test_a_policy_that_does_not_follow_is_not_signed(governors: Governors) -> None:
    governors.charter()
    folder = ScopeFolder.open(governors.scope)
    for epoch, head, words in (
        (1, folder.charter.head, "but epoch 1 is in force"),
        (2, bytes(6), "does not follow"),
        (3, folder.head, "sync first"),
    ):
        body = [epoch, head, [], [], [], {}]
        tag = governors.propose_raw("cem", capsule.build(POLICY, body, iat=folder.policy.issued))
        ran = governors.run(
            "ceremony", "sign", tag, "--yes", "--wait", "0", "--json", *governors.as_("ada")
        )
        assert ran.code == 4 and words in ran.error["message"]


def test_one_governor_does_not_sign_two_policies_for_one_epoch(governors: Governors) -> None:
    governors.charter()
    folder = ScopeFolder.open(governors.scope)
    issued, params = folder.policy.issued, {1: folder.policy.role_names}
    tags = [
        governors.propose_raw(
            name,
            capsule.build(POLICY, [2, folder.head, [[1, 1, path, 1]], [], [], params], iat=issued),
        )
        for name, path in (("bob", "one"), ("cem", "two"))
    ]
    words = ("ceremony", "sign", "--yes", "--wait", "0", "--json", *governors.as_("ada"))
    assert governors.run(*words, tags[0]).error["name"] == "Stalled"
    # the sign guard is on disk, and works also after a crash
    assert governors.run(*words, tags[1]).error["name"] == "DoubleSign"
    assert governors.run(*words, tags[0]).error["name"] == "Stalled"
    assert governors.run(*words, "--supersede", tags[1]).error["name"] == "Stalled"
