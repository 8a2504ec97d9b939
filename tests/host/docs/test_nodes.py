"""Compares docs/wire.md with running nodes: access to resources, records on flash, config.json."""

import json
import re
from pathlib import Path
from typing import Any

import action_rig
import node_rig
import pytest
import signer
import succession_rig
from docs_rig import FENCE, HUB, PUMP, WIRE, groups, raw, rows, rule, ticked
from fakeflash import MemoryFlash

from writ import agent, cbor, crypto, framelinks, limits, sleeprecord, startup
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.mesh.linkkey import LinkKeys, stamp_of
from writ.node import asking, delegate, preshared, sync
from writ.node.node import Node
from writ.node.session import Sessions
from writ.wire import coap, exchange

# --- resources ------------------------------------------------------------------------------------


def codes_in(cell: str) -> set[str]:
    return set(re.findall(r"\b\d\.\d\d\b", cell))


RESOURCES = rows(WIRE, "request", "who", "answers")


def plain(net: Any, method: int, path: str, payload: bytes = b"") -> Any:
    """The answer of the node "soil" to a stranger."""
    path, _, query = path.partition("?")
    message = coap.Message(coap.CON, method, 7, b"\x07", payload)
    message.add_path(path)
    if query:
        message.add(coap.URI_QUERY, query)
    ((_, data),) = net.nodes["soil"].receive(message.encode(), "stranger", net.now_ms)
    return coap.decode(data)


@pytest.mark.parametrize("row", RESOURCES, ids=lambda row: f"{row[0]} {row[1]}")
def test_who_may_call_what(row: list[str]) -> None:
    net, _ = node_rig.field()
    soil = net.nodes["soil"].authority
    soil.receive(signer.certify(signer.beacon_payload(1, soil.head, signer.FOUNDED + 5)), 0)
    what, who, answers = row
    if not what.startswith(("GET", "POST")):
        what = "GET `no/such`"
    method = getattr(coap, what.split()[0])
    path = ticked(what)[0].replace("=NAME", "=soil").replace("=N", "=0")
    payload = signer.charter() if path == "writ" else b""
    answer = plain(net, method, path, payload)
    refused = (coap.code_text(answer.code), answer.payload) == ("4.01", b"43 NotMember")
    open_to_strangers = (what, who) != ("GET `.well-known/core`", "member") and who in (
        "stranger",
        "both",
    )
    if (what, who) != ("GET `.well-known/core`", "member"):
        assert refused is not open_to_strangers
    if open_to_strangers:
        assert coap.code_text(answer.code) in codes_in(answers)
        if answer.option_uint(coap.CONTENT_FORMAT) == 40:
            assert answer.payload.decode() in ticked(answers)
    if who != "stranger":
        path, _, query = path.partition("?")
        more = {"query": (query,)} if query else {}
        inner = net.ask("gw", "soil", path, method, payload, **more)
        assert node_rig.code(inner) in codes_in(answers)
        is_lookup = path == "writ" and method == coap.GET and query != "c="
        if path in ("writ/propose", "writ/capsule", "writ/link") or is_lookup:
            # served by governors' nodes or by nodes with frame links only
            assert node_rig.code(inner) == "4.04"
        elif who in ("member", "both"):
            assert inner.is_success()
        else:
            assert inner.payload == b"40 NotAllowed"


def test_a_capsule_is_applied_once() -> None:
    net, _ = node_rig.field()
    head = net.nodes["soil"].authority.head
    amendment = node_rig.amendment(2, head, bytes(8))
    answers = [coap.code_text(plain(net, coap.POST, "writ", amendment).code)]
    net.nodes["soil"].exchanges = type(net.nodes["soil"].exchanges)()
    answers.append(coap.code_text(plain(net, coap.POST, "writ", amendment).code))
    assert answers == ["2.04", "2.03"]


def test_status_has_the_keys_of_its_cddl() -> None:
    status = node_rig.make("soil", 2, node_rig.SENSOR).server.status(0)
    assert re.findall(r'"(\w+)":', rule("status")) == [*status, "mesh"]


# --- sequences ------------------------------------------------------------------------------------


def arrows(number: int) -> list[tuple[str, str]]:
    """The (from, to) of all arrows of diagram `number`."""
    diagrams = [text for language, _, text in FENCE.findall(WIRE) if language == "mermaid"]
    assert len(diagrams) == 3
    return re.findall(r"^ +(\w)->>(\w):", diagrams[number], re.M)


def sent(net: Any, **names: str) -> list[tuple[str, str]]:
    """The (from, to) of all logged datagrams, with the names of the diagram."""
    return [(names[source], names[target]) for source, target, _ in net.log]


def beacon(authority: Authority) -> None:
    """Hand over a beacon for the state in force."""
    time = signer.FOUNDED + 60 * authority.epoch
    authority.receive(
        signer.certify(signer.beacon_payload(authority.epoch, authority.head, time)), 0
    )


def test_first_contact_goes_as_drawn() -> None:
    net, _ = node_rig.field()
    hub, pump = net.nodes["gw"].authority, net.nodes["soil"].authority
    hub.receive(node_rig.amendment(2, hub.head, bytes(8)), 0)
    beacon(hub)
    assert net.ask("gw", "soil", "temp", ms=1000).payload == b"21.5"
    assert sent(net, gw="H", soil="P") == arrows(0)
    assert pump.epoch == 2 and pump.beacon.raw == hub.beacon.raw


def test_an_epoch_moves_as_drawn() -> None:
    net, _ = node_rig.field()
    gateway, hub = net.nodes["gw"].authority, net.nodes["soil"]
    net.ask("soil", "gw", "hello")
    gateway.receive(signer.certify(signer.policy_payload(47, bytes(6), node_rig.RULES)), 0)
    beacon(gateway)
    net.log.clear()
    net.send("soil", hub.sync.ask_beacon("gw"))
    net.run(1000)
    assert sent(net, gw="G", soil="H") == arrows(1)
    assert hub.authority.epoch == 47 and hub.authority.beacon.raw == gateway.beacon.raw


def test_a_revocation_goes_as_drawn() -> None:
    net, _ = node_rig.field(old=node_rig.make("old", 3, node_rig.GATEWAY))
    for name in ("gw", "old"):
        assert net.ask(name, "soil", "temp").is_success()
    head = net.nodes["gw"].authority.head
    amendment = node_rig.amendment(2, head, node_rig.node_id("old"))
    net.log.clear()
    posted = coap.Message(coap.CON, coap.POST, 9, b"\x09", amendment)
    posted.add_path("writ")
    net.send("carrier", [("gw", posted.encode())])
    net.run()
    assert net.ask("gw", "soil", "temp", ms=1000).is_success()
    refused = net.ask("old", "soil", "temp")
    assert (node_rig.code(refused), refused.payload) == ("4.03", b"30 Revoked")
    assert sent(net, carrier="W", gw="G", soil="P", old="O") == arrows(2)


def test_times_in_the_text() -> None:
    text = " ".join(WIRE.split())
    sentences = (
        (f"sooner than {sync._PULL_AGAIN_MS // 1000} s after", 1),
        (f"gives one peer {sync._PULL_PATIENCE_MS // 1000} s before", 1),
        (f"asked for its beacon every {agent._HELLO_MS // 1000} s", 1),
        (f"forgotten after {limits.TRANSFER_TIMEOUT_MS // 1000} s", 1),
        (f"{exchange._ACK_TIMEOUT_MS // 1000} s to 3 s for the first", 1),
        ("doubled four times", limits.TRANSMISSIONS_MAX == 5),
        ("four times at most", limits.TRIES_MAX == 4),
        (f"silent for {asking._PATIENCE_MS // 1000} s,", 1),
        (f"off for {(asking._SET_BACK_MS << 1) // 1000} s; if", 1),
        (f"wrong, for {(asking._SET_BACK_MS << asking._STRIKES_WRONG) // 1000} s; and", 1),
        (f"first, for {delegate._BEACON_S} s at most", 1),
        ("34 minutes", asking._SET_BACK_MS << limits.STRIKES_MAX == 2048000),
        (f"after {limits.PAUSE_MS // 1000} s, 4 s and so on", 1),
        (f"on to {limits.PAUSE_MS_MAX // 1000} s;", 1),
        ("every fourth time another peer", limits.PENDING_MAX == 4),
        ("32 minutes at most", sync._PULL_AGAIN_MS << limits.PULL_TRIES_MAX == 1920000),
        ("asked once an hour", agent._RENEW_AGAIN_MS == 3600000),
        ("at most two from handshakes", limits.SESSIONS_A_PEER_MAX == 2),
    )
    for sentence, is_true in sentences:
        assert sentence in text and is_true, sentence


# --- flash and config.json ------------------------------------------------------------------------


def test_records_are_those_of_the_table() -> None:
    flash = MemoryFlash()
    store = Store(flash)
    private = startup.load_key(store)
    x, odd = crypto.p256_public(private)
    authority = Authority(store, x, signer.scope())
    authority.receive(signer.charter(), 0)
    authority.receive(signer.certify(signer.member_payload(x, "me", 1, odd=odd)), 0)
    authority.receive(raw("hub"), 0)
    authority.receive(raw("policy"), 0)
    authority.receive(raw("revocation"), 0)
    authority.receive(raw("beacon"), 0)
    sessions = Sessions(store, authority)
    keys = (bytes(16), bytes(8), b"\x01", b"\x02", None)
    sessions.open(authority.peer_by(name=HUB), keys, "192.0.2.7:5683")
    sessions.preshare(raw("hub"), (bytes(16), bytes(8), b"\x03", b"\x04", None))
    body = [capsule.node_id(x), coap.PUT, "gate", crypto.sha256(b"open"), bytes(8)]
    order = signer.certify(capsule.build(capsule.ACTION, body, exp=signer.EXPIRES))
    authority.receive(order, 0)
    authority.actions.spend(action_rig.Request(), 0)
    assert cbor.decode(store.load("acts")) == [0, [[bytes(8), signer.EXPIRES]]]
    succession = succession_rig.succession_raw(3, authority.head)
    authority.receive(succession, 0)
    assert cbor.decode(store.load("keys")) == [succession]
    link_keys = LinkKeys(store)
    for key in (bytes(16), bytes(range(16))):
        link_keys.offer(authority.policy, authority.epoch, key, 0)
    link_keys.next_counter()
    epoch, key, stamp, old_key = cbor.decode(store.load("link"))
    assert (epoch, key, old_key) == (authority.epoch, bytes(range(16)), bytes(16))
    assert stamp == stamp_of(authority.policy)
    assert int.from_bytes(store.load("frames"), "big") == limits.FRAME_RESERVE
    sleeprecord.write(Node(Store(flash), private, "me", signer.scope()), 0, 1000, 0)
    found = {name.partition(".")[0] for name in flash.files}
    table = [ticked(row[0]) for row in rows(WIRE, "record", "content")]
    single = {names[0] for names in table if len(names[0]) > 2}
    assert found > single and ["s0", f"s{limits.SESSIONS_MAX - 1}"] in table and ["p"] in table
    others = sorted(found - single)
    assert others[1] == "s0" and re.fullmatch("p[0-9a-f]{12}", others[0])
    assert {"p" + crypto.sha256(cbor.encode([*keys[:2], b"\x03", None])).hex()[:12]} < found
    payload, base, amendments = cbor.decode(store.load("policy"))
    assert capsule.head(payload) == authority.policy.head()
    assert (base, amendments) == (raw("policy"), [raw("revocation")])
    assert cbor.decode(store.load("s0")) == [raw("hub"), list(keys), True, limits.SEQUENCE_RESERVE]
    assert (store.load("charter"), store.load("beacon")) == (raw("charter"), raw("beacon"))
    assert store.load("key") == private and len(private) == 32
    assert set(Store(flash).load("names").decode().split()) == found - {
        "names",
        "s0",
        "frames",
        "sleep",
    }
    for name in ("policy-record", "session-record", "keys-record", "acts-record"):
        assert rule(name).startswith("[")


def test_the_slot_is_one_record() -> None:
    assert Store(MemoryFlash({"scope.a": raw("slot")})).load("scope") == signer.scope()
    parts = [data for data, _ in groups("slot")]
    assert parts[:4] == [b"W", b"\0\0\0\1", b"\0\x08", signer.scope()]
    assert parts[4] == crypto.sha256(b"".join(parts[:4]))[:8]


def test_config_keys_are_those_that_the_agent_reads() -> None:
    source = "".join(
        Path(str(module.__file__)).read_text() for module in (agent, startup, framelinks)
    )
    named = [ticked(row[0])[0] for row in rows(WIRE, "key", "value")]
    assert set(named) == set(re.findall(r'config\.(?:get|setdefault)\("(\w+)"', source))
    inner = [ticked(row[0])[0] for row in rows(WIRE, "key of an `oscore` entry", "value, in hex")]
    body = Path(preshared.__file__).read_text()
    read = re.findall(r'entry\.get\("(\w+)"', body)
    read += re.findall(r'"(\w+)"', re.findall(r"for key in \((.*?)\)", body)[0])
    assert set(inner) == set(read)


def test_the_config_of_the_example_starts_a_node() -> None:
    (text,) = [text for language, _, text in FENCE.findall(WIRE) if language == "json"]
    config = json.loads(text)
    config["oscore"] = [
        {"member": raw("hub").hex(), "secret": "00" * 16, "salt": "", "id": "01", "peer_id": "02"}
    ]
    flash = MemoryFlash()
    startup.load_key(Store(flash))
    Store(flash).save("charter", raw("charter"))
    started = agent.Node(Store(flash), config)
    assert (started.name, started.authority.scope.hex()) == (PUMP, config["scope"])
    assert len(started.sessions) == 1 and started.counters == {}
