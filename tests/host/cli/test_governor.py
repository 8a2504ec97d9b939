"""A scope of four governors as processes: decisions, outages, changes and the commands for them."""

import base64
import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest
from council_rig import WRIT, Council, finish, free_ports, wait_for
from prometheus_client.parser import text_string_to_metric_families

from writ import cbor
from writ.authority import capsule
from writ.authority.store import FileFlash, Store
from writ.wire import coap
from writ_host.ceremony import keyring
from writ_host.governor.ceremonies.record import Record
from writ_host.governor.control import ControlFailed
from writ_host.governor.proposals.statement import RENEW, Statement
from writ_host.keys.keyfile import KeyFile
from writ_host.node.client import GET, POST, NodeClient, Reply
from writ_host.node.folder import NodeFolder
from writ_host.scope.folder import ScopeFolder
from writ_host.target import Target


def test_the_founded_scope_and_its_status(council: Council) -> None:
    shown = council.writ("scope", "show")
    assert (shown["governors"], shown["threshold"]) == (4, 3)
    assert (shown["tolerates_offline"], shown["tolerates_byzantine"]) == (1, 1)
    assert shown["members"] == 4
    status = council.writ("governor", "status", "b")
    assert (status["state"], status["scope"], status["epoch"]) == ("seated", "farm", 1)
    # operators compare this fingerprint with that of a scope fetched from a network
    assert status["key_fingerprint"] == shown["key_fingerprint"]
    wait_for(lambda: council.ask("b", "status")["online_count"] == 4)
    assert (council.scope / "governor").read_text() == f"{council.path('a')}\n"
    # neither a second founding nor another invitation of its governors is possible
    records = ",".join(f"{name}/{name}.toml" for name in "abcd")
    words = ("scope", "create", "other", "--governors", records)
    error = council.writ(*words, code=1)["error"]
    assert "has a seat in farm" in error["message"] and "another governor" in error["advice"]
    assert council.writ("scope", "create", "farm", "--governors", records, code=1)


def test_a_member_is_admitted_after_one_approval(council: Council) -> None:
    council.writ("member", "request", "pump", "--name", "pump")
    words = ("member", "admit", "pump", "--role", "actuator", "--yes", "--no-deliver")
    command = council.begin(*words, "--wait", "30", "--json")
    wait_for(lambda: council.waiting("c"))
    shown = council.run("governor", "pending", "c").stdout
    assert "member pump" in shown and "approved by 0 of 1 operator: writ governor approve" in shown
    council.approve("c", reason="I know this pump")
    (admitted,) = finish(command)["admitted"]
    assert (admitted["name"], admitted["roles"]) == ("pump", ["actuator"])
    # the signed reason is in the log of each governor
    wait_for(lambda: "I know this pump" in council.run("governor", "log", "d").stdout)
    entries = council.writ("governor", "log", "d")["entries"]
    assert any(one["text"].endswith("I know this pump") for one in entries)
    # the folder verifies the member capsule as a device does
    assert ScopeFolder.open(council.scope).members.find("pump") is not None


def test_a_denied_proposal_fails_the_command(council: Council) -> None:
    council.writ("member", "request", "lamp", "--name", "lamp")
    words = ("member", "admit", "lamp", "--role", "actuator", "--yes", "--no-deliver")
    command = council.begin(*words, "--wait", "30", "--json")
    # with two of four denials no quorum is possible
    for name in "ab":
        wait_for(lambda name=name: council.waiting(name))
        id = council.waiting(name)
        denied = council.run("governor", "deny", name, id, "--yes", "--reason", "who is that?")
        assert denied.returncode == 0, denied.stderr
    assert finish(command, 1)["error"]["name"] == "Denied"
    # an operator cannot decide twice
    again = council.writ("governor", "approve", "a", id, "--yes", code=1)["error"]
    assert "denied" in again["message"] or "refused" in again["message"]


def test_policy_revocation_and_beacon_are_certified(council: Council) -> None:
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
    # the governor's node serves the same policy
    wait_for(lambda: any(one["epoch"] == before + 2 for one in council.events("c", "epoch")))


def test_a_change_with_wrong_governors_is_refused(council: Council) -> None:
    words = ("governor", "change", "a", "--add", council.path("b") / "b.toml", "--yes")
    error = council.writ(*words, code=1)["error"]
    assert "b is a governor already" in error["message"] and not council.waiting("a")
    error = council.writ("governor", "change", "a", "--remove", "zoe", "--yes", code=1)["error"]
    assert "zoe is not a governor" in error["message"] and "a, b, c, d" in error["advice"]
    both = ("--remove", "c", "--remove", "d")
    error = council.writ("governor", "change", "a", *both, "--yes", code=1)["error"]
    assert "threshold 3 is not safe with 2 governors" in error["message"]
    assert "writ governor succeed" in error["advice"] and not council.waiting("a")


def test_one_governor_may_be_offline_and_two_stop_all_decisions(council: Council) -> None:
    council.kill("d")
    council.writ("member", "request", "well", "--name", "well")
    admit = ("member", "admit", "well", "--role", "sensor", "--yes", "--no-deliver")
    assert council.with_approval("b", *admit)["admitted"]
    council.stop("c")
    error = council.writ("scope", "beacon", "--wait", "2", code=3)["error"]
    assert error["name"] == "NotReachable" and "too few governors" in error["message"]
    # both restart and catch up
    council.start("c")
    council.start("d")
    assert council.writ("scope", "beacon", "--wait", "20")
    epoch = council.ask("a", "status")["epoch"]
    wait_for(lambda: council.ask("d", "status")["epoch"] == epoch)
    assert council.ask("d", "status")["members"] == council.ask("a", "status")["members"]


def test_a_device_sends_statements_to_a_governor(council: Council) -> None:
    folder = council.root / "gate"
    council.writ("member", "request", folder, "--name", "gate")
    request = council.scope / "requests/gate.cbor"
    admit = ("member", "admit", request, "--role", "sensor", "--yes", "--expires", "90d")
    council.with_approval("b", *admit, "--out", folder)
    private = Store(FileFlash(str(folder))).load("key")
    governor = Record.load(council.path("c") / "c.toml").listen
    with NodeClient(NodeFolder(folder)) as node:

        def call(path: str, *query: str, payload: bytes = b"") -> Reply:
            target = Target(None, governor, path, query)
            return node.call(target, POST if payload else GET, payload)

        # the governor's node finds in the ledger what its own tables lack
        raw, _ = cbor.decode(call("writ/member", "n=pump").payload)
        digest = capsule.parse(raw).digest()[:16]
        assert call("writ/capsule", f"d={digest.hex()}").payload == raw
        for wrong in (bytes(16).hex(), digest.hex()[:30], "x", ""):
            assert call("writ/capsule", f"d={wrong}").code == coap.NOT_FOUND
        assert capsule.parse(call("writ/policy", "e=0").payload).kind == capsule.POLICY
        # the policy allows a renewal without an operator
        place = {"scope": node.node.authority.scope, "epoch": 1, "issued": int(time.time())}
        statement = Statement.make(private, RENEW, **place).raw
        answers = []
        wait_for(lambda: answers.append(call("writ/propose", payload=statement)) or _done(answers))
        member = capsule.Member(capsule.parse(answers[-1].payload))
        assert member.name == "gate" and member.expires > time.time() + 300 * 86400
        # a node cannot send the statement of another node
        forged = Statement.make(os.urandom(32), RENEW, **place).raw
        assert call("writ/propose", payload=forged).code == coap.FORBIDDEN
        assert call("writ/propose", payload=b"x").code == coap.FORBIDDEN


def test_a_new_policy_is_pushed_to_connected_nodes(council: Council) -> None:
    governor = Record.load(council.path("c") / "c.toml").listen
    with NodeClient(NodeFolder(council.root / "gate")) as node:
        assert node.call(Target(None, governor, "writ/beacon", ())).is_success
        epoch = node.node.authority.epoch
        council.with_approval("b", "member", "revoke", "well", "--yes")

        def hears() -> bool:
            # this node observes only
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
    # in Prometheus' format: each family has its type and its help, each sample a number
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


def test_an_unknown_id_is_reported(council: Council) -> None:
    for id in ("zzzzzzzz", "z" * 32):
        with pytest.raises(ControlFailed, match="nothing here has the id"):
            council.ask("a", "find", id=id)


def test_no_event_has_a_secret(council: Council) -> None:
    for name in "abcd":
        text = council.log(name)()
        assert text
        for line in text.splitlines():
            assert not {"payload", "share", "secret", "key"} & set(json.loads(line))


def test_no_key_share_or_passphrase_is_written_or_printed_in_clear(council: Council) -> None:
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


def test_a_change_of_governors_keeps_the_group_key(council: Council) -> None:
    key = ScopeFolder.open(council.scope).group_key
    council.add("e")
    words = ("governor", "change", "a", "--add", "e/e.toml", "--remove", "d", "--yes", "--json")
    command = council.begin(*words)
    council.approve("b", "c", "e")
    # the added governor keeps its new share across a restart
    wait_for(lambda: council.events("e", "share"), council.log("e"))
    council.stop("e")
    left = council.path("e") / ".e.seat.abcdefgh"
    left.write_bytes(b"what a write that was cut short has left")
    council.start("e")
    assert not left.exists()
    # two operators approve the policy that puts the new shares in force
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
    # the node of the added governor requests membership
    council.approve("c")
    assert council.writ("scope", "beacon", "--wait", "20")
    assert ScopeFolder.open(council.scope).group_key == key
    names = [one["name"] for one in council.ask("e", "status")["governors"]]
    assert names == ["a", "b", "c", "e"]
    wait_for(lambda: council.events("e", "expires"), council.log("e"))


def test_a_succession_replaces_the_group_key(council: Council) -> None:
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
    # the new key certifies the policy in force at once, without an operator
    wait_for(lambda: council.ask("e", "status")["epoch"] == before.epoch + 2, council.log("e"))
    assert council.writ("scope", "beacon", "--wait", "20")
    after = ScopeFolder.open(council.scope)
    assert after.charter.scope == before.charter.scope and after.group_key != before.group_key
    shown = council.writ("scope", "show")
    assert (shown["threshold"], shown["governors"]) == (2, 3) and shown["tolerates_offline"] == 1
    # without a daemon only the founding is known
    (council.scope / "governor").rename(council.root / "pointer")
    assert "3 of 4 certify at the founding; changed since" in council.run("scope", "show").stdout
    (council.root / "pointer").rename(council.scope / "governor")
    # the policy still names the committee of the change before, which has no effect any more
    council.with_approval("b", "member", "revoke", "d", "--yes")
    for name in "abe":
        assert council.ask(name, "status")["state"] == "seated"
    council.stop("b")
    council.start("b")
    assert council.ask("b", "status")["state"] == "seated"
    # the new key certifies the governors' own nodes, without an operator

    def outdated() -> list[str]:
        council.writ("scope", "beacon", "--wait", "20")
        folder = ScopeFolder.open(council.scope)
        members = [one for one in folder.members.newest() if not folder.is_revoked(one)]
        return [one.name for one in members if folder.is_of_former_key(one)]

    wait_for(lambda: not outdated(), lambda: str(outdated()), 150)
