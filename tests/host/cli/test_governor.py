"""Governors as processes: founding, deciding, losing one and two; and the commands for that."""

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from council_rig import WRIT, Council, finish, free_ports, wait_for
from prometheus_client.parser import text_string_to_metric_families

from writ import cbor
from writ.authority import capsule
from writ.authority.store import Store
from writ.wire import coap
from writ_host.ceremony import keyring
from writ_host.governor.ceremonies.record import Record
from writ_host.governor.control import ControlFailed
from writ_host.governor.proposals.statement import RENEW, Statement
from writ_host.keys.dkg import spoken
from writ_host.keys.keyfile import KeyFile
from writ_host.node.client import GET, POST, NodeClient, Reply
from writ_host.node.folder import NodeFolder, PrivateFlash
from writ_host.scope.folder import ScopeFolder
from writ_host.target import Target

# --- without a scope ------------------------------------------------------------------------------


def test_init_makes_what_the_others_need_and_nothing_twice(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    made = council.writ(
        *("governor", "init", "a", "--name", "a"),
        *("--peers", "10.0.0.7:5685", "--listen", "10.0.0.7:5683"),
    )
    record = Record.load(tmp_path / "a/a.toml")
    assert (record.peers, record.listen) == ("10.0.0.7:5685", "10.0.0.7:5683")
    assert made["fingerprint"] == spoken(record.governor.verify_key)
    assert (tmp_path / "a/a.key").stat().st_mode & 0o077 == 0
    secret = (tmp_path / "key").read_bytes()
    for path in tmp_path.glob("a/**/*"):
        assert path.is_dir() or secret not in path.read_bytes()
    again = council.writ("governor", "init", "a", "--name", "a", code=1)
    assert again["error"]["name"] == "FileInTheWay"
    same = ("--peers", "10.0.0.7:5683", "--listen", "10.0.0.7:5683")
    assert council.writ("governor", "init", "b", "--name", "b", *same, code=2)
    assert council.writ("governor", "init", "b", "--name", "B!", code=2)
    # nobody runs, and nobody is there
    gone = council.writ("governor", "status", "a", code=3)["error"]
    assert "writ governor run a" in gone["advice"]
    assert council.writ("governor", "status", "nowhere", code=1)["error"]["name"] == "NoGovernor"


def test_create_says_what_it_wants(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    for words in ((), ("--governors", "4"), ("--governors", "x.toml")):
        error = council.writ("scope", "create", "farm", *words, code=2)["error"]
        assert "--local" in error["message"] or "no file" in error["message"]
    unsafe = council.writ("scope", "create", "f", "--local", "--threshold", "2", code=2)["error"]
    assert "two policies for one epoch" in unsafe["message"]


def test_systemd_is_told_and_a_signal_ends_it(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    peers, listen = free_ports(2)
    council.writ("governor", "init", "a", "--name", "a", "--peers", peers, "--listen", listen)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(20)
        council.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        council.start("a")
        assert ear.recv(100) == b"READY=1"
        # nobody takes the devices' port before there is a scope to serve
        host, port = listen.split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError):
            other.bind((host, int(port)))
        # one daemon a folder
        second = council.writ("governor", "run", "a", code=1)["error"]
        assert second["name"] == "DaemonInUse" and "process" in second["message"]
        assert council.stop("a") == 0
        assert ear.recv(100) == b"STOPPING=1"
    assert not (tmp_path / "a/control.sock").exists()
    assert [one["event"] for one in map(json.loads, council.log("a")().splitlines())] == [
        "started",
        "waiting",
        "stopped",
    ]


def test_a_wrong_key_does_not_start(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    council.writ("governor", "init", "a", "--name", "a")
    (tmp_path / "other").write_bytes(os.urandom(32))
    error = council.writ("governor", "run", "a", "--key-file", "other", code=4)["error"]
    assert error["name"] == "WrongPassphrase" and "a/a.key" in error["message"]
    error = council.writ("governor", "run", "a", "--key-file", "none", code=1)["error"]
    assert "none: no such file" in error["message"] and "made with" in error["advice"]
    (tmp_path / "words").write_text("a passphrase\n")
    del council.environment["WRIT_KEY_FILE"]
    run = ("governor", "run", "a")
    error = council.writ(*run, "--passphrase-file", "words", code=4)["error"]
    assert error["name"] == "WrongPassphrase" and "--key-file" in error["advice"]
    assert council.writ(*run, code=4)["error"]["name"] == "NeedsPerson"


def test_settings_that_are_none_are_told_before_any_key_is_asked_for(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    council.writ("governor", "init", "a", "--name", "a")
    del council.environment["WRIT_KEY_FILE"]
    path = tmp_path / "a/governor.toml"
    text = path.read_text()

    def said(changed: bytes) -> str:
        path.write_bytes(changed)
        error = council.writ("governor", "run", "a", code=1)["error"]
        assert (
            error["name"] == "BadSettings" and str(path.relative_to(tmp_path)) in error["message"]
        )
        return str(error["message"] + error["advice"])

    assert "not UTF-8" in said(b"\xff\xfe")
    assert "line 1" in said(b"name = \n")
    other = said(text.replace('name = "a"', 'name = "b"').encode())
    assert "no b.key" in other and "a.key" in other
    assert "Cannot overwrite" in said((text + 'peers = "127.0.0.1:1"\n').encode())


@pytest.mark.parametrize("taken", [0, 1])
def test_a_port_that_is_taken_is_named_before_a_scope_needs_it(tmp_path: Path, taken: int) -> None:
    council = Council(tmp_path, "")
    ports = free_ports(2)
    addresses = ("--peers", ports[0], "--listen", ports[1])
    council.writ("governor", "init", "a", "--name", "a", *addresses)
    host, port = ports[taken].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((host, int(port)))
        error = council.writ("governor", "run", "a", code=1)["error"]
    assert error["name"] == "AddressUnavailable" and "governor.toml" in error["advice"]
    assert ports[taken] in error["message"] and ("peers", "listen")[taken] in error["message"]


def test_a_founding_that_one_denies_makes_no_scope(tmp_path: Path) -> None:
    council = Council(tmp_path, "abc")
    try:
        records = "a/a.toml,b/b.toml,c/c.toml"
        words = ("scope", "create", "farm", "--governors", records)
        error = council.writ(*words, "--wait", "1", code=4)["error"]
        assert error["name"] == "NeedsPerson" and "Run the same command again" in error["advice"]
        # an invitation is not gone on with where the records, or the policy, were mended
        record = tmp_path / "c/c.toml"
        text = record.read_text()
        record.write_text(text.replace("127.0.0.1", "127.0.0.2"))
        error = council.writ(*words, "--wait", "1", code=1)["error"]
        assert error["name"] == "FileInTheWay" and "other addresses" in error["message"]
        record.write_text(text)
        command = council.begin(*words, "--wait", "40", "--json")
        council.approve("a")
        wait_for(lambda: council.waiting("b"))
        id = council.waiting("b")
        denied = council.writ("governor", "deny", "b", id[:8], "--yes", "--reason", "not this one")
        assert denied["decided"] == "denied"
        error = finish(command, 1)["error"]
        assert error["name"] == "CeremonyFailed" and "refused" in error["message"]
        assert not (council.scope / "charter.cbor").exists()
        assert not council.ask("a", "status").get("scope")
    finally:
        council.stop_all()


# --- with one -------------------------------------------------------------------------------------


def test_what_was_founded(council: Council) -> None:
    shown = council.writ("scope", "show")
    assert (shown["governors"], shown["threshold"]) == (4, 3)
    assert (shown["tolerates_offline"], shown["tolerates_byzantine"]) == (1, 1)
    assert shown["members"] == 4
    status = council.writ("governor", "status", "b")
    assert (status["state"], status["scope"], status["epoch"]) == ("seated", "farm", 1)
    # what people compare, where the scope was fetched from a network
    assert status["key_fingerprint"] == shown["key_fingerprint"]
    wait_for(lambda: council.ask("b", "status")["online_count"] == 4)
    assert (council.scope / "governor").read_text() == f"{council.path('a')}\n"
    # a scope needs no second founding, nor can its governors be invited again
    records = ",".join(f"{name}/{name}.toml" for name in "abcd")
    words = ("scope", "create", "other", "--governors", records, "--wait", "1")
    error = council.writ(*words, code=4)["error"]
    assert "has a seat in farm" in error["message"]
    assert council.writ("scope", "create", "farm", "--governors", records, code=1)


def test_a_member_is_admitted_when_one_operator_agrees(council: Council) -> None:
    council.writ("member", "request", "pump", "--name", "pump")
    words = ("member", "admit", "pump", "--role", "actuator", "--yes", "--no-deliver")
    command = council.begin(*words, "--wait", "30", "--json")
    wait_for(lambda: council.waiting("c"))
    shown = council.run("governor", "pending", "c").stdout
    assert "member pump" in shown and "approved by 0 of 1 operator: writ governor approve" in shown
    council.approve("c", reason="I know this pump")
    (admitted,) = finish(command)["admitted"]
    assert (admitted["name"], admitted["roles"]) == ("pump", ["actuator"])
    # signed, logged, with its reason, at every governor
    wait_for(lambda: "I know this pump" in council.run("governor", "log", "d").stdout)
    entries = council.writ("governor", "log", "d")["entries"]
    assert any(one["text"].endswith("I know this pump") for one in entries)
    # the folder believes it, as a device would
    assert ScopeFolder.open(council.scope).members.find("pump") is not None


def test_a_denied_proposal_is_told_with_its_reason(council: Council) -> None:
    council.writ("member", "request", "lamp", "--name", "lamp")
    words = ("member", "admit", "lamp", "--role", "actuator", "--yes", "--no-deliver")
    command = council.begin(*words, "--wait", "30", "--json")
    # with two of four against it there is no quorum
    for name in "ab":
        wait_for(lambda name=name: council.waiting(name))
        id = council.waiting(name)
        denied = council.run("governor", "deny", name, id, "--yes", "--reason", "who is that?")
        assert denied.returncode == 0, denied.stderr
    assert finish(command, 1)["error"]["name"] == "Denied"
    # nobody can decide twice
    again = council.writ("governor", "approve", "a", id, "--yes", code=1)["error"]
    assert "denied" in again["message"] or "refused" in again["message"]


def test_policy_revocation_and_beacon(council: Council) -> None:
    before = ScopeFolder.open(council.scope).epoch
    revoked = council.with_approval("b", "member", "revoke", "pump", "--yes")
    assert revoked["epoch"] == before + 1 and revoked["capsules"]["beacon"]
    text = (council.scope / "policy.toml").read_text()
    rule = (
        '[[rule]]\nfrom = ["gateway"]\nto = ["sensor"]\nmethods = ["DELETE"]\nresource = "log"\n\n'
    )
    text = text.replace("[[rule]]\n", rule + "[[rule]]\n", 1)
    (council.scope / "policy.toml").write_text(text)
    certified = council.with_approval("d", "policy", "certify", "--yes")
    assert certified["epoch"] == before + 2 and certified["newly_allowed"]
    beacon = council.writ("scope", "beacon", "--wait", "10")
    assert beacon["epoch"] == before + 2
    wait_for(lambda: council.ask("c", "status")["epoch"] == before + 2)
    # the scope node serves the same policy
    wait_for(lambda: any(one["epoch"] == before + 2 for one in council.events("c", "epoch")))


def test_who_governs_already_can_not_come(council: Council) -> None:
    words = ("governor", "change", "a", "--add", council.path("b") / "b.toml", "--yes")
    error = council.writ(*words, code=1)["error"]
    assert "b is a governor already" in error["message"] and not council.waiting("a")
    error = council.writ("governor", "change", "a", "--remove", "zoe", "--yes", code=1)["error"]
    assert "zoe is not a governor" in error["message"] and "a, b, c, d" in error["advice"]
    both = ("--remove", "c", "--remove", "d")
    error = council.writ("governor", "change", "a", *both, "--yes", code=1)["error"]
    assert "threshold 3 is not safe with 2 governors" in error["message"]
    assert "writ governor succeed" in error["advice"] and not council.waiting("a")


def test_with_one_dead_all_goes_on_and_with_two_nothing(council: Council) -> None:
    council.kill("d")
    council.writ("member", "request", "well", "--name", "well")
    admit = ("member", "admit", "well", "--role", "sensor", "--yes", "--no-deliver")
    assert council.with_approval("b", *admit)["admitted"]
    council.stop("c")
    error = council.writ("scope", "beacon", "--wait", "2", code=3)["error"]
    assert error["name"] == "NotReachable" and "too few governors" in error["message"]
    # they come back, and catch up
    council.start("c")
    council.start("d")
    assert council.writ("scope", "beacon", "--wait", "20")
    epoch = council.ask("a", "status")["epoch"]
    wait_for(lambda: council.ask("d", "status")["epoch"] == epoch)
    assert council.ask("d", "status")["members"] == council.ask("a", "status")["members"]


def test_a_device_asks_a_governor(council: Council) -> None:
    folder = council.root / "gate"
    council.writ("member", "request", folder, "--name", "gate")
    request = council.scope / "requests/gate.cbor"
    admit = ("member", "admit", request, "--role", "sensor", "--yes", "--expires", "90d")
    council.with_approval("b", *admit, "--out", folder)
    private = Store(PrivateFlash(str(folder))).load("key")
    governor = Record.load(council.path("c") / "c.toml").listen
    with NodeClient(NodeFolder(folder)) as node:

        def call(path: str, *query: str, payload: bytes = b"") -> Reply:
            target = Target(None, governor, path, query)
            return node.call(target, POST if payload else GET, payload)

        # what a governor's own tables do not hold
        raw, _ = cbor.decode(call("writ/member", "n=pump").payload)
        digest = capsule.parse(raw).digest()[:16]
        assert call("writ/capsule", f"d={digest.hex()}").payload == raw
        for wrong in (bytes(16).hex(), digest.hex()[:30], "x", ""):
            assert call("writ/capsule", f"d={wrong}").code == coap.NOT_FOUND
        assert capsule.parse(call("writ/policy", "e=0").payload).kind == capsule.POLICY
        # renewed without a person, since the policy says so
        statement = Statement.make(private, RENEW, issued=int(time.time())).raw
        answers = []
        wait_for(lambda: answers.append(call("writ/propose", payload=statement)) or _done(answers))
        member = capsule.Member(capsule.parse(answers[-1].payload))
        assert member.name == "gate" and member.expires > time.time() + 300 * 86400
        # nobody speaks for another one
        forged = Statement.make(os.urandom(32), RENEW, issued=int(time.time())).raw
        assert call("writ/propose", payload=forged).code == coap.FORBIDDEN
        assert call("writ/propose", payload=b"x").code == coap.FORBIDDEN


def test_a_new_policy_is_handed_to_who_is_connected(council: Council) -> None:
    governor = Record.load(council.path("c") / "c.toml").listen
    with NodeClient(NodeFolder(council.root / "gate")) as node:
        assert node.call(Target(None, governor, "writ/beacon", ())).is_success
        epoch = node.node.authority.epoch
        council.with_approval("b", "member", "revoke", "well", "--yes")

        def hears() -> bool:
            # it only listens
            node.node.step(100)
            return bool(node.node.authority.epoch == epoch + 1)

        wait_for(hears)


def _done(answers: list[Reply]) -> bool:
    assert answers[-1].code in (coap.VALID, coap.CHANGED), answers
    return answers[-1].code == coap.CHANGED


def test_metrics_and_watching(council: Council) -> None:
    (address,) = free_ports(1)
    council.stop("c")
    council.start("c", "--metrics", address)

    def scrape() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            return str(answer.read().decode())

    wait_for(lambda: "writ_governor_peers_heard 3.0" in scrape(), scrape)
    text = scrape()
    for name in ("epoch", "height", "pending", "beacon_age_seconds", "fsync_seconds_count"):
        assert f"\nwrit_governor_{name} " in text, name
    assert 'writ_governor_bytes_sent_total{governor="a"}' in text
    # as Prometheus reads it: each family has its type and its help, each sample a number
    families = list(text_string_to_metric_families(text))
    assert len(families) > 15
    for family in families:
        assert family.name.startswith("writ_governor_") and family.documentation, family.name
        assert family.type in ("gauge", "counter", "histogram"), family.name
        assert all(isinstance(sample.value, float) for sample in family.samples), family.name
    watcher = subprocess.Popen(
        [*WRIT, "governor", "log", "c", "--watch", "--last", "1", "--json"],
        cwd=council.root,
        env=council.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    json.loads(watcher.stdout.readline())
    council.writ("scope", "beacon", "--wait", "10")
    assert json.loads(watcher.stdout.readline())["event"] == "beacon"
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(10) == 130


def test_an_id_that_is_none_is_told(council: Council) -> None:
    for id in ("zzzzzzzz", "z" * 32):
        with pytest.raises(ControlFailed, match="nothing here has the id"):
            council.ask("a", "find", id=id)


def test_no_secret_is_ever_told(council: Council) -> None:
    for name in "abcd":
        text = council.log(name)()
        assert text
        for line in text.splitlines():
            assert not {"payload", "share", "secret", "key"} & set(json.loads(line))


def test_no_private_key_share_or_passphrase_is_where_it_is_not_encrypted(council: Council) -> None:
    content = (council.root / "key").read_bytes()
    key = KeyFile(content)
    secrets = {b"the key file": content}
    for name in "abcd":
        one = keyring.open_seat(council.path(name), name, key)
        secrets[f"share of {name}".encode()] = one.seat.key.signing_share.to_bytes(32, "little")
        mine = one.identity
        for what in ("sign_seed", "seal_seed", "node_private"):
            secrets[f"{what} of {name}".encode()] = getattr(mine, what)
    said = [
        council.run("governor", do, name, *words).stdout
        for name in "ab"
        for do in ("status", "pending", "log")
        for words in ((), ("--json",))
    ]
    council.writ("governor", "backup", "a", "a.backup")
    told = {f"what commands print ({number})": text.encode() for number, text in enumerate(said)}
    told |= {f"the log of {name}": council.log(name)().encode() for name in "abcd"}
    # all files but node/, which is a node's own folder and holds its key (docs/limits.md)
    paths = [path for name in "abcd" for path in council.path(name).glob("*") if path.is_file()]
    paths += [path for path in council.scope.glob("**/*") if path.is_file()]
    told |= {str(path): path.read_bytes() for path in (*paths, council.root / "a.backup")}
    assert any(name.endswith("ledger.db-wal") for name in told)
    for what, secret in secrets.items():
        number = int.from_bytes(secret, "little"), int.from_bytes(secret, "big")
        forms = [secret, secret.hex().encode(), secret[::-1].hex().encode()]
        forms += [
            base64.b64encode(secret).rstrip(b"="),
            base64.urlsafe_b64encode(secret).rstrip(b"="),
        ]
        forms += [str(one).encode() for one in number]
        for where, data in told.items():
            assert not any(form in data for form in forms), (what, where)


def test_governors_change_while_the_group_key_stays(council: Council) -> None:
    key = ScopeFolder.open(council.scope).group_key
    council.add("e")
    words = ("governor", "change", "a", "--add", "e/e.toml", "--remove", "d", "--yes", "--json")
    command = council.begin(*words)
    council.approve("b", "c", "e")
    # whoever comes waits, and loses nothing of its share when it restarts
    wait_for(lambda: council.events("e", "share"), council.log("e"))
    council.stop("e")
    left = council.path("e") / ".e.seat.abcdefgh"
    left.write_bytes(b"what a write that was cut short has left")
    council.start("e")
    assert not left.exists()
    # two operators put the new shares in force, and see whose they are
    wait_for(lambda: council.waiting("b"))
    shown = council.run("governor", "pending", "b").stdout
    assert (
        "putting in force: adding governor e, removing governor d (farm)" in shown
        and command.poll() is None
    )
    council.approve("b", "c")
    found = finish(command)
    assert (found["state"], found["in_force"]) == ("done", True)
    wait_for(lambda: council.ask("e", "status")["state"] == "seated", council.log("e"))
    wait_for(lambda: council.ask("d", "status")["state"] == "retired", council.log("d"))
    # the newcomer's own node asks to be a member
    council.approve("c")
    assert council.writ("scope", "beacon", "--wait", "20")
    assert ScopeFolder.open(council.scope).group_key == key
    names = [one["name"] for one in council.ask("e", "status")["governors"]]
    assert names == ["a", "b", "c", "e"]
    wait_for(lambda: council.events("e", "expires"), council.log("e"))


def test_a_succession_replaces_the_group_key_and_policies_go_on(council: Council) -> None:
    before = ScopeFolder.open(council.scope)
    records = "a/a.toml,b/b.toml,e/e.toml"
    words = (
        "governor",
        "succeed",
        "a",
        "--governors",
        records,
        "--threshold",
        2,
        "--yes",
        "--json",
    )
    command = council.begin(*words)
    council.approve("a", "b", "e")
    council.approve("b", "c")
    assert finish(command)["in_force"]
    wait_for(lambda: council.ask("c", "status")["state"] == "retired", council.log("c"))
    wait_for(lambda: council.ask("e", "status")["count"] == 3, council.log("e"))
    # the policy in force is certified by the new key at once, without anybody's help
    wait_for(lambda: council.ask("e", "status")["epoch"] == before.epoch + 2, council.log("e"))
    assert council.writ("scope", "beacon", "--wait", "20")
    after = ScopeFolder.open(council.scope)
    assert after.charter.scope == before.charter.scope and after.group_key != before.group_key
    # the policy still names the committee that the change before had made: of no meaning any more
    council.with_approval("b", "member", "revoke", "d", "--yes")
    for name in "abe":
        assert council.ask(name, "status")["state"] == "seated"
    council.stop("b")
    council.start("b")
    assert council.ask("b", "status")["state"] == "seated"
    # the governors' own nodes are certified anew, without anybody's help

    def outdated() -> list[str]:
        council.writ("scope", "beacon", "--wait", "20")
        folder = ScopeFolder.open(council.scope)
        members = [one for one in folder.members.newest() if not folder.is_revoked(one)]
        return [one.name for one in members if folder.is_outdated(one)]

    wait_for(lambda: not outdated(), lambda: str(outdated()), 150)
