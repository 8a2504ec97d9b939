"""`writ` calling nodes: MicroPython and CPython processes on the loopback interface."""

import dataclasses
import json
import re
import time

import pytest
from field_rig import (
    GET,
    GUEST,
    OPERATOR,
    RULES,
    SENSOR,
    Field,
    writ,
    writ_json,
    write_book,
)
from interop_rig import Relay, free_port

from writ.errors import NotAllowed, Revoked
from writ.wire import coap, oscore
from writ_host.errors import HostError, NodeInUse
from writ_host.node import addressbook, denial, status
from writ_host.node import client as node_client
from writ_host.node.client import PUT, NodeClient
from writ_host.node.folder import NodeFolder
from writ_host.node.plainclient import PlainClient
from writ_host.target import Target, parse

# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", ["micropython", "cpython"])
def test_read_write_post(field: Field, interpreter: str) -> None:
    if interpreter == "micropython" and field.interpreter != interpreter:
        pytest.skip("no micropython for this platform")
    pump = field.device("pump", interpreter=interpreter)
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    assert writ("get", "pump/temp", "--node", node).stdout == "21.1\n"
    assert writ("put", "pump/note", "one", "--node", node).stdout == "pump: done\n"
    writ("post", "pump/note", "--hex", "20 74 77 6f", "--node", node)
    (field.root / "three").write_bytes(b"\n" * 700)
    writ("post", "pump/note", "--file", field.root / "three", "--node", node)
    told = writ_json("get", "pump/note", WRIT_NODE=str(node))
    assert told["text"] == "one two" + "\n" * 700
    assert (told["node"], told["code"], told["epoch"]) == ("pump", "2.05", 1)
    assert told["address"] == pump.address
    assert writ("get", "pump/blob?cbor", "--node", node).stdout == '{"a": 1}\n'
    assert writ_json("get", "pump/blob?cbor", "--node", node)["cbor"] == {"a": 1}
    assert writ("get", "pump/blob", "--node", node).stdout == "ff00\n"
    assert writ("get", f"coap://{pump.address}/temp", "--node", node).stdout == "21.2\n"
    core = writ("get", "pump/.well-known/core", "--node", node).stdout
    assert core.startswith("</blob>,</level/0>,")


def test_a_refusal_is_explained(field: Field) -> None:
    pump = field.device("pump")
    guest = field.folder("guest", GUEST)
    write_book(guest, pump=pump.address)
    said = writ("get", "pump/temp", "--node", guest, code=1).stderr
    assert said.startswith("writ: pump refused: NotAllowed (40): no rule lets guest GET temp")
    assert "pump is at epoch 1" in said
    assert "writ policy" in said.splitlines()[1]
    error = writ_json("put", "pump/temp", "1", "--node", guest, code=1)["error"]
    assert (error["name"], error["code"]) == ("NotAllowed", NotAllowed.code)
    # the policy allows the request, and the device lacks the resource
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    said = writ("get", "pump/missing", "--node", node, code=1).stderr
    assert said.splitlines()[0] == "writ: pump has no resource missing"


def test_an_empty_list_of_resources_is_explained(field: Field) -> None:
    sensor, other = field.device("pump"), field.folder("other", SENSOR)
    ran = writ("get", f"coap://{sensor.address}/.well-known/core", "--node", other)
    assert ran.stdout == "" and "pump offers other nothing" in ran.stderr
    told = writ_json("get", f"coap://{sensor.address}/.well-known/core", "--node", other)
    assert told["hex"] == ""


def test_a_rate_limit_of_handshakes_is_waited_for(field: Field) -> None:
    pump, node = field.device("pump"), field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    for _ in range(8):
        # as after a restart of a node with a full table
        for record in node.glob("s*.[ab]"):
            record.unlink()
        assert writ("get", "pump/note", "--node", node).stdout == "\n"
    counted = writ_json("status", "pump", "--node", node)["rejected"]
    assert counted["RateLimited"] > 0


def test_no_answer_is_reported(field: Field) -> None:
    node = field.folder("laptop", OPERATOR, gateways=[f"127.0.0.1:{free_port()}"])
    words = ("get", f"coap://127.0.0.1:{free_port()}/temp", "--timeout", "0.5", "--node", node)
    assert "no answer from 127.0.0.1" in writ(*words, code=3).stderr
    error = writ_json("get", "pump/temp", "--timeout", "0.5", "--node", node, code=1)["error"]
    assert (error["name"], error["exit_code"]) == ("UnknownNode", 1)


def test_a_node_that_is_no_member_cannot_call(field: Field) -> None:
    folder = field.root / "new"
    folder.mkdir()
    (folder / "config.json").write_text('{"name": "new"}')
    said = writ("get", "coap://127.0.0.1/temp", "--node", folder, code=1).stderr
    assert "not a member yet" in said
    assert "writ member request" in said
    # only the owner may read the key files
    assert {p.stat().st_mode & 0o077 for p in folder.glob("key.*")} == {0}


# --- names and addresses --------------------------------------------------------------------------


def test_a_wrong_address_does_not_write_to_another_node(field: Field) -> None:
    pump, valve = field.device("pump"), field.device("valve")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=valve.address)
    said = writ("put", "pump/note", "open", "--node", node, code=1).stderr
    assert f"valve answers at {valve.address}, not pump" in said
    # also not while a session with the right node is open
    write_book(node, pump=pump.address)
    writ("put", "pump/note", "right", "--node", node)
    write_book(node, pump=valve.address, valve=valve.address)
    writ("put", "pump/note", "wrong", "--node", node, code=1)
    assert writ("get", "valve/note", "--node", node).stdout == "\n"


def test_a_host_name_is_an_address_for_commands(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    address = f"localhost:{pump.port}"
    assert writ("get", f"coap://{address}/temp", "--node", node).stdout.startswith("21.")
    write_book(node, pump=address)
    assert writ("get", "pump/temp", "--node", node).stdout.startswith("21.")
    said = writ("get", "coap://pump.invalid/temp", "--node", node, code=3).stderr
    assert "pump.invalid" in said and "no answer" not in said


def test_a_node_does_not_start_with_a_host_name_for_a_gateway(field: Field) -> None:
    node = field.folder("laptop", OPERATOR, gateways=["localhost:5683"])
    assert "localhost:5683" in writ("node", "run", node, code=1).stderr
    new = field.root / "new"
    words = ("member", "request", new, "--name", "new", "--gateway", "gate.local:5683")
    assert "no host names itself" in writ(*words, code=2).stderr and not new.exists()


def test_a_name_that_moved_to_a_new_key_is_found(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    writ("get", "pump/temp", "--node", node)
    pump.kill()
    # the board is replaced: same name, same address, another key
    pump.path.rename(field.root / "broken")
    field.scope.folder(pump.path, "pump", SENSOR, listen=pump.address)
    pump.start()
    assert writ("get", "pump/temp", "--node", node).stdout == "21.1\n"
    # the new key is remembered
    seen = addressbook.read_last_seen(node)
    assert seen["pump"].node_id == status.read_folder_status(pump.path).node


def test_names_are_resolved_by_a_gateway_and_remembered(field: Field) -> None:
    gateway = field.host_node("gateway", SENSOR)
    pump = field.device("pump", gateways=[gateway.address])
    node = field.folder("laptop", OPERATOR, gateways=[gateway.address])
    # the device greets its gateway at some moment
    deadline = time.monotonic() + 10
    while writ_json("get", "pump/temp", "--node", node, code=None).get("error"):
        assert time.monotonic() < deadline
    said = writ("get", "unknown/temp", "--node", node, code=1).stderr
    assert f"no address is known for unknown (asked {gateway.address})" in said
    assert "writ book add unknown HOST:PORT --scope" in said and "book.toml" in said
    assert "is this node itself" in writ("get", "laptop/temp", "--node", node, code=1).stderr
    assert writ("get", "gateway/load", "--node", node).stdout.count(".") == 3
    gateway.kill()
    told = writ_json("get", "pump/temp", "--node", node)
    assert told["address"] == pump.address


# --- policies travel with traffic -----------------------------------------------------------------


def test_a_call_carries_a_newer_policy_to_the_device(field: Field) -> None:
    pump = field.device("pump")
    node, guest = field.folder("laptop", OPERATOR), field.folder("guest", GUEST)
    for folder in (node, guest):
        write_book(folder, pump=pump.address)
    writ("get", "pump/temp", "--node", guest, code=1)
    field.scope.hand(node, field.scope.enact([*RULES, [GUEST, SENSOR, "temp", GET]]))
    writ("ping", "pump", "--node", node)
    assert "epoch 2, as here" in writ("ping", "pump", "--node", node).stdout
    writ("get", "pump/temp", "--node", guest)
    # the caller with the older policy has the newer one now
    assert status.read_folder_status(guest).epoch == 2


def test_a_revoked_node_is_refused_at_once(field: Field) -> None:
    pump, valve = field.device("pump"), field.device("valve")
    node, guest = field.folder("laptop", OPERATOR), field.folder("guest", GUEST)
    for folder in (node, guest):
        write_book(folder, pump=pump.address, valve=valve.address)
    writ("status", "pump", "--node", guest)
    revoked = field.scope.enact(RULES, (status.read_folder_status(guest).node,))
    field.scope.hand(node, revoked)
    for name in ("pump", "valve"):
        writ("ping", name, "--node", node)
        # in the open session, and in a handshake
        for _ in range(2):
            error = writ_json("status", name, "--node", guest, code=1)["error"]
            assert (error["name"], error["code"]) == ("Revoked", Revoked.code)


def test_a_refusal_says_which_side_has_which_epoch(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the device pulls the newer policy in this time
    monkeypatch.setattr(node_client, "_SYNC_TIMEOUT_S", 20.0)
    pump, guest = field.device("pump"), field.folder("guest", GUEST)
    write_book(guest, pump=pump.address)
    writ("status", "pump", "--node", guest)
    id = status.read_folder_status(guest).node
    with PlainClient(pump.address) as client:
        client.post("writ", field.scope.enact(RULES, (id,)))
    error = writ_json("status", "pump", "--node", guest, code=1)["error"]
    assert "the policy of epoch 2 there revokes guest" in error["message"]
    assert "pump is at epoch 2, guest at epoch 1" in error["message"]
    assert error["advice"] == "To restore it: writ member restore guest"
    # restored; the device learns of it from the request that it refuses
    field.scope.hand(guest, field.scope.policies[-1], field.scope.enact(RULES))
    told = writ_json("status", "pump", "--node", guest)
    assert told["epoch"] == 3


def test_a_node_with_an_older_policy_is_named(field: Field) -> None:
    pump, guest = field.device("pump"), field.folder("guest", GUEST)
    field.scope.hand(guest, field.scope.enact(RULES))
    goal = parse(f"coap://{pump.address}/temp")
    with NodeClient(NodeFolder(guest)) as client:
        refused = client.call(goal)
        # as it answers before it has pulled the newer policy
        error = denial.refusal(client, goal, dataclasses.replace(refused, epoch=1), GET)
    assert "pump is at epoch 1, guest at epoch 2" in str(error)
    assert error.advice.endswith("writ member deliver pump")


def test_a_revoked_node_is_not_trusted_as_a_server(field: Field) -> None:
    pump = field.device("pump")
    node, other = field.folder("laptop", OPERATOR), field.folder("other", OPERATOR)
    for folder in (node, other):
        write_book(folder, pump=pump.address)
    writ("get", "pump/temp", "--node", other)
    watch = field.spawn("observe", "pump/temp", "--node", node)
    assert watch.stdout and watch.stdout.readline()
    # a stolen device still answers
    revoked = field.scope.enact(RULES, (status.read_folder_status(pump.path).node,))
    field.scope.hand(other, revoked)
    for _ in range(2):
        error = writ_json("get", "pump/temp", "--node", other, code=1)["error"]
        assert (error["name"], error["code"]) == ("Revoked", Revoked.code)
        assert "pump is revoked by the policy of epoch 2, which other has" in error["message"]
        assert error["advice"] == "To restore it: writ member restore pump"
    # capsules are signed, so even the revoked device may deliver its revocation
    with PlainClient(pump.address) as client:
        client.post("writ", revoked)
    _, said = watch.communicate(timeout=10)
    assert (watch.returncode, "Revoked (30)" in said) == (1, True), said


def test_separate_commands_use_no_sequence_number_twice(field: Field) -> None:
    pump = field.device("pump")
    relay = Relay(pump.port)
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=f"127.0.0.1:{relay.port}")
    try:
        for _ in range(4):
            writ("get", "pump/temp", "--node", node)
    finally:
        relay.close()
    used = []
    for from_device, datagram in relay.datagrams:
        message = coap.decode(datagram)
        if not from_device and message.is_request() and message.option(coap.OSCORE):
            kid, piv, _ = oscore.decode_option(message.option(coap.OSCORE))
            used.append((kid, piv))
    assert len(used) >= 4
    assert len(set(used)) == len(used)


# --- health ---------------------------------------------------------------------------------------


def test_ping_and_status(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    lines = writ("ping", "pump", "--count", "3", "--interval", "0", "--node", node).stdout
    assert lines.count("answered in") == 3
    assert "3 of 3 answered" in lines
    writ("get", "pump/secret", "--node", node, code=1)
    told = writ_json("status", "pump", "--node", node)
    assert (told["name"], told["epoch"]) == ("pump", 1)
    # the own policy confirms the refusal, so the request is not repeated
    assert told["rejected"]["NotAllowed"] == 1
    words = writ("status", "pump", "--node", node).stdout
    assert "epoch     1 (as here)" in words
    assert "policy    of 2027-01-15 08:00:01Z, at least" in words
    pump.kill()
    writ("ping", "pump", "--timeout", "0.5", "--node", node, code=3)


def test_status_of_this_node(field: Field) -> None:
    node = field.folder("laptop", OPERATOR, gateways=["10.0.0.1:5683"])
    told = writ_json("status", "--node", node)
    assert (told["name"], told["roles"], told["epoch"]) == ("laptop", ["operator"], 1)
    assert told["node"] == status.read_folder_status(node).node.hex()
    words = writ("status", "--node", node).stdout
    assert "member    until 2027-01-16" in words
    # the status is readable while the node runs
    with NodeFolder(node):
        writ("status", "--node", node)
    field.scope.hand(node, field.scope.enact(RULES, (bytes.fromhex(told["node"]),)))
    assert "member    revoked" in writ("status", "--node", node).stdout


# --- the folder, and `node run` -------------------------------------------------------------------


def test_a_node_folder_belongs_to_one_process(field: Field) -> None:
    gateway = field.host_node("gateway", SENSOR)
    error = writ_json("get", "pump/temp", "--node", gateway.path, code=1)["error"]
    assert error["name"] == "NodeInUse"
    assert gateway.process and str(gateway.process.pid) in error["message"]
    writ("node", "run", gateway.path, code=1)
    gateway.kill()
    # the lock ends with its process
    with NodeFolder(gateway.path), pytest.raises(NodeInUse):
        NodeFolder(gateway.path)
    NodeFolder(gateway.path).close()


def test_a_failed_start_leaves_no_lock(field: Field) -> None:
    node = field.folder("laptop", OPERATOR)
    other = field.host_node("gateway", SENSOR)
    with pytest.raises(OSError, match="in use"):
        NodeFolder(node, listen=other.address)
    NodeFolder(node).close()


def test_node_run_serves_logs_and_stops(field: Field) -> None:
    gateway = field.host_node("gateway", SENSOR, "--serve", "load,uptime", "--json")
    node, guest = field.folder("laptop", OPERATOR), field.folder("guest", GUEST)
    for folder in (node, guest):
        write_book(folder, gateway=gateway.address)
    load = writ("get", "gateway/load", "--node", node).stdout
    assert all(float(word) >= 0 for word in load.split())
    writ("get", "gateway/load", "--node", guest, code=1)
    assert gateway.process
    gateway.process.terminate()
    assert gateway.process.wait(5) == 0
    events = [json.loads(line) for line in gateway.output.splitlines()]
    names = [event["event"] for event in events]
    assert names[:2] == ["started", "member"]
    assert names[-1] == "stopped"
    assert events[0]["serves"] == ["load", "uptime"]
    request = events[names.index("request")]
    assert (request["peer"], request["request"]) == ("laptop", "GET load")
    refused = events[names.index("refused")]
    assert (refused["peer"], refused["reason"]) == ("guest", "NotAllowed")
    # told once, not again by the counter
    assert "rejected" not in names


def test_node_run_reports_rejected_strangers(field: Field) -> None:
    gateway = field.host_node("gateway", SENSOR)
    stranger = Field(field.root / "elsewhere", field.root)
    stranger.root.mkdir()
    node = stranger.folder("eve", OPERATOR)
    writ("get", f"coap://{gateway.address}/load", "--node", node, code=1)
    gateway.wait_for("rejected from 127.0.0.1")
    field.scope.hand(node := field.folder("laptop", OPERATOR), field.scope.enact(RULES))
    writ("ping", f"coap://{gateway.address}", "--node", node)
    gateway.wait_for("policy epoch 2 is in force")


def test_node_run_refuses_invalid_settings(field: Field) -> None:
    node = field.folder("laptop", OPERATOR)
    assert "unknown sensor 'x'" in writ("node", "run", node, "--serve", "x", code=2).stderr
    assert "config.json" in writ("node", "run", field.root, code=1).stderr
    assert "HOST:PORT" in writ("node", "run", node, "--listen", "::1:x", code=2).stderr
    (node / "config.json").write_text('{"name": "No Name"}')
    assert '"name" is not a name' in writ("node", "run", node, code=1).stderr


def test_the_client_returns_refusals_and_raises_other_errors(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    with NodeClient(NodeFolder(node)) as client:
        reply = client.call(parse(f"coap://{pump.address}/temp"), PUT, b"1")
        assert reply.reason is NotAllowed
        assert not reply.is_success
        with pytest.raises(HostError):
            client.call(Target("unknown", None, "temp"))


# --- links without IP -----------------------------------------------------------------------------


def test_a_node_says_that_the_policy_silences_its_links(field: Field) -> None:
    link = {"kind": "serial", "port": str(field.root / "no-port")}
    hub = field.host_node("hub", SENSOR, "--serve", "none", links=[link])
    hub.wait_for("config.json has links, but the policy has no route of class 0: no frame is sent")
    field.scope.routes = ([0, 1, 1, 2, 4, 100, 7],)
    node = field.folder("laptop", OPERATOR)
    field.scope.hand(node, field.scope.enact(RULES))
    writ("ping", f"coap://{hub.address}", "--node", node)
    hub.wait_for("the policy has a route of class 0: the links of config.json are in use")
    assert hub.output.count("config.json has links") == 1


def test_status_shows_the_mesh_of_a_node(field: Field) -> None:
    lora = {
        "kind": "lora", "modem": "rylr998", "port": str(field.root / "no-port"),
        "frequency_khz": 868300, "spreading_factor": 7, "bandwidth_khz": 125, "coding_rate": 5,
        "power_dbm": 14,
    }  # fmt: skip
    field.scope.routes = ([0, 1, 1, 6, 4, 100, 7],)
    field.scope.enact(RULES)
    hub = field.host_node("hub", SENSOR, "--serve", "none", links=[lora], mesh_gateway=True)
    node = field.folder("laptop", OPERATOR)
    said = writ("status", f"coap://{hub.address}", "--node", node).stdout
    assert re.search(r"^mesh +gateway$", said, re.M)
    budget = r"lora: \[\.{20}\] 0.0% of the budget: 0.0 s of 36.0 s in the last \d+ s"
    assert re.search(rf"^link 0 +{budget}$", said, re.M)
    assert re.search(r"^link 0 problem +\S", said, re.M)
    told = writ_json("status", f"coap://{hub.address}", "--node", node)["mesh"]
    assert told["rank"] == 0 and told["neighbours"] == []
    assert told["links"][0]["kind"] == "lora" and told["links"][0]["budget_ms"] == 36000
