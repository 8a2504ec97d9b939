"""Requests from IP to a node behind a mesh: the gateway's proxy, and what attacks it."""

from collections.abc import Iterator
from typing import Any

import airfield_rig
import node_rig
import pytest
import signer
from airfield_rig import RELAY
from proxy_rig import GATE, GUEST, ROUTES, SOIL, Site, why

from writ import cbor
from writ.errors import UsageError
from writ.node.call import Answer
from writ.wire import coap
from writ_host.node import behind, proxy
from writ_host.node.proxy import MeshProxy


@pytest.fixture
def site() -> Iterator[Site]:
    yield Site()


def test_a_member_on_ip_reads_a_node_two_hops_behind_the_gateway(site: Site) -> None:
    site.desk()
    answer = site.fetch("desk", "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")
    assert answer.peer.name == "soil"
    # the second one needs no handshake
    before = len(site.legs)
    assert site.fetch("desk", "temp").payload == b"21.5"
    # request, acknowledgement, separate response, acknowledgement; sizes are in docs/wire.md
    sizes = [len(data) for _, _, data in site.legs[before:]]
    assert sizes == [70, 4, 47, 4]
    assert site.proxy.passed == 3
    # the node has no way back to the requester but by the answer
    soil = site.nodes["soil"]
    assert soil.address_of(node_rig.node_id("desk")) is None
    assert soil.sessions.by_peer(node_rig.node_id("desk")).address is None


def test_a_body_in_blocks_and_a_long_answer_pass(site: Site) -> None:
    site.desk()
    taken = []
    soil = site.nodes["soil"]

    @soil.resource("temp", methods=("GET", "POST"))
    def temp(request: Any) -> bytes:
        taken.append(request.payload)
        return bytes(range(200)) * 4

    answer = site.fetch("desk", "temp", seconds=300)
    assert answer.payload == bytes(range(200)) * 4


def test_the_name_is_found_at_the_gateway(site: Site) -> None:
    desk = site.desk()
    from writ.node.resolve import resolve

    found: list[Any] = []
    desk.now_ms = site.now_ms
    site.send("desk", resolve(desk, "soil", GATE, lambda *what: found.append(what)))
    assert site.run(lambda: found)
    member, address = found[0]
    assert (member.name, address) == ("soil", SOIL)
    assert behind.check_address(address) == address


# --- attacks --------------------------------------------------------------------------------------


def test_a_stranger_spends_no_airtime(site: Site) -> None:
    site.run(seconds=60)
    gate = site.nodes["gate"]
    before = site.airtime()
    inner = node_rig.datagram(coap.CON, coap.GET, b"", options=[(coap.URI_PATH, b"writ")])
    for mid in range(50):
        message = coap.Message(coap.CON, coap.POST, mid, b"t", inner)
        message.add_path(behind.PATH)
        message.add(coap.URI_QUERY, "to=0003")
        ((_, data),) = gate.receive(message.encode(), "10.0.0.66:1", site.now_ms)
        assert coap.decode(data).payload.startswith(b"43 ")
    assert site.proxy.passed == 0
    assert site.airtime() == before


def test_a_member_without_the_role_is_refused(site: Site) -> None:
    site.desk("guest", 8, GUEST)
    # the handshake is governance, which all may send
    answer = site.fetch("guest", "temp")
    assert why(answer).startswith(b"55 NotRouted")
    assert site.proxy.passed == 1


def test_a_revoked_requester_is_refused(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    passed = site.proxy.passed
    site.policy = site.next_policy(ROUTES, revoked=(node_rig.node_id("desk"),))
    site.nodes["gate"].authority.receive(site.policy, site.now_ms)
    answer = site.fetch("desk", "temp")
    assert b"30 Revoked" in why(answer)
    assert site.proxy.passed == passed


def test_a_flood_is_limited_for_each_requester(site: Site) -> None:
    site.desk()
    site.desk("other", 8)
    assert site.fetch("desk", "temp").payload == b"21.5"
    assert site.fetch("other", "temp").payload == b"21.5"
    site.run(seconds=30)
    desk = site.desks["desk"][1]
    inner = node_rig.datagram(coap.CON, coap.GET, b"", options=[(coap.URI_PATH, b"writ")])
    answers: list[Answer] = []
    desk.now_ms = site.now_ms
    before = site.proxy.passed
    for _ in range(30):
        out = desk.request(
            coap.POST, behind.PATH, inner, GATE, query=["to=0003"], on_answer=answers.append
        )
        site.send("desk", out)
    # the other one gets its answer meanwhile
    assert site.fetch("other", "temp").payload == b"21.5"
    assert site.run(lambda: len(answers) == 30, 300)
    assert site.proxy.passed - before <= 2 * proxy.PASSED_A_REQUESTER_MAX
    assert {answer.code for answer in answers} >= {coap.UNAVAILABLE}


def test_the_rate_of_a_requester_is_limited(site: Site) -> None:
    site.desk()
    inner = node_rig.datagram(coap.CON, coap.GET, b"", options=[(coap.URI_PATH, b"writ")])
    answers = [
        site.fetch("desk", behind.PATH, GATE, coap.POST, inner, query=["to=0042"], seconds=1)
        for _ in range(proxy.BURST + 3)
    ]
    assert {answer.payload for answer in answers} == {b"56 NoRoute", b"32 RateLimited"}


@pytest.mark.parametrize(
    ("inner", "refusal"),
    [
        pytest.param(b"", "BadMessage", id="nothing"),
        pytest.param(b"\xff" * 20, "BadMessage", id="noise"),
        pytest.param(b"\x60\x00\x00\x01", "BadMessage", id="acknowledgement"),
        pytest.param(b"\x40\x45\x00\x01", "BadMessage", id="response"),
        pytest.param(b"\x40\x00\x00\x01", "BadMessage", id="ping"),
        # notifications find no way back
        pytest.param(b"\x40\x01\x00\x01\x60", "BadOption", id="observe"),
        pytest.param(b"\x40\x01\x00\x01" + b"\xd1\x0e" * 40, "TooLarge", id="options"),
    ],
)
def test_what_is_no_request_is_refused(site: Site, inner: bytes, refusal: str) -> None:
    site.desk()
    answer = site.fetch("desk", behind.PATH, GATE, coap.POST, inner, query=["to=0003"])
    assert refusal.encode() in answer.payload, answer.payload
    assert site.proxy.passed == 0


@pytest.mark.parametrize(
    "to", ["", "to=", "to=0000", "to=ffff", "to=0001", "to=3", "to=00x3", "to=0042"]
)
def test_an_address_without_a_way_is_refused_at_once(site: Site, to: str) -> None:
    site.desk()
    inner = node_rig.datagram(coap.CON, coap.GET, b"", options=[(coap.URI_PATH, b"writ")])
    answer = site.fetch("desk", behind.PATH, GATE, coap.POST, inner, query=[to], seconds=5)
    assert (answer.code, answer.payload) == (coap.UNAVAILABLE, b"56 NoRoute")


def test_without_airtime_the_request_is_refused_at_once(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    budget = site.frames["gate"].mesh.outbox.budgets[0]
    budget.charge(site.now_ms, 3_600_000_000, 1, None)
    routes = [list(route) for route in ROUTES]
    routes[1][5] = 10
    site.policy = site.next_policy(routes)
    site.nodes["gate"].authority.receive(site.policy, site.now_ms)
    site.run(seconds=2)
    answer = site.fetch("desk", "temp")
    assert why(answer).startswith(b"46 ClassAirtime")


def test_a_node_that_does_not_answer_is_named_before_the_requester_gives_up(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    site.cut |= {("soil", "hill"), ("hill", "soil")}
    start_ms = site.now_ms
    answer = site.fetch("desk", "temp")
    assert why(answer).startswith(b"84 TimedOut")
    assert site.now_ms - start_ms <= 1000 * behind.WAIT_S
    # nothing is left of it
    assert site.proxy.next_ms(site.now_ms) is None
    assert not site.desks["desk"][1].exchanges.pending


def test_a_post_is_carried_out_once_over_a_restart_of_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the requester repeats its request to the gateway, which has forgotten that it passed it on:
    # the node gets the same protected request again, with the same Partial IV
    monkeypatch.setattr(airfield_rig, "RULES", (*airfield_rig.RULES, [1, 1, "pump", coap.POST]))
    site = Site()
    site.desk()
    flash = site.nodes["gate"].store._flash
    calls: list[bytes] = []
    site.nodes["soil"].resource("pump", ("POST",))(lambda request: calls.append(request.payload))
    assert site.fetch("desk", "temp").payload == b"21.5"
    # the answers to the requester are lost
    site.alter = lambda source, to, data: [] if source == GATE else [data]
    answers = site.begin("desk", "pump", method=coap.POST, payload=b"on")
    assert site.run(lambda: calls)
    gate = site.node("gate", 1, RELAY, is_gateway=True, is_blank=True, flash=flash)
    site.proxy = MeshProxy(gate, site.frames["gate"])
    gate.server.proxy = site.proxy.serve
    # as after a greeting, which would take longer than the requester waits
    mesh = site.frames["gate"].mesh
    hill = mesh.neighbours.add(0, 2)
    hill.restart(site.frames["hill"].keys._counter, site.now_ms)
    hill.is_mutual = True
    mesh.learn(3, [2])
    site.alter = lambda source, to, data: [data]
    replayed = site.nodes["soil"].counters.get("Replayed", 0)
    assert site.run(lambda: answers, 300)
    assert site.nodes["soil"].counters["Replayed"] == replayed + 1
    assert calls == [b"on"] and len(answers) == 1
    # it was told that it does not know the outcome
    assert answers[0].rejection is not None


def test_the_answer_of_another_node_is_refused(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    # the gateway hands requests to the relay, which answers them: handshakes, too
    site.proxy._check = lambda *what: "mesh:0002"  # type: ignore[method-assign]
    answer = site.fetch("desk", "temp", wanted=node_rig.node_id("soil"), seconds=300)
    assert answer.rejection is not None and not answer.payload


class Liar:
    """Alters the separate responses of the gateway before OSCORE protects that leg."""

    def __init__(self, site: Site, change: Any) -> None:
        answered = site.proxy.answered

        def lie(passed: Any, message: Any, now_ms: int) -> Any:
            change(message)
            return answered(passed, message, now_ms)

        site.proxy.answered = lie  # type: ignore[method-assign]


def test_a_gateway_that_alters_an_answer_is_noticed(site: Site) -> None:
    desk = site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"

    def flip(message: Any) -> None:
        message.payload = bytes((message.payload[0] ^ 1,)) + message.payload[1:]

    Liar(site, flip)
    answers = site.begin("desk", "temp")
    assert site.run(lambda: desk.counters.get("DecryptionFailed"))
    assert not answers
    # it ends by its own time-out
    # the first time-out is up to half longer (RFC 7252, section 4.8)
    assert site.run(lambda: answers, 1.5 * behind.TIMEOUT_MS / 1000 + 1)
    assert answers[0].rejection is not None


def test_a_gateway_that_repeats_an_earlier_answer_is_noticed(site: Site) -> None:
    desk = site.desk()
    kept: list[bytes] = []
    Liar(site, lambda message: kept.append(message.payload))
    assert site.fetch("desk", "temp").payload == b"21.5"

    def repeat(message: Any) -> None:
        message.payload = kept[-2]

    Liar(site, repeat)
    answers = site.begin("desk", "temp")
    assert site.run(lambda: desk.counters.get("DecryptionFailed"))
    assert not answers


def test_a_gateway_that_makes_up_an_answer_is_noticed(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    gate = site.nodes["gate"]
    gate.server.proxy = lambda *what: coap.Message(coap.ACK, coap.CHANGED, payload=b"\xff\x00")
    assert site.fetch("desk", "temp").rejection is not None
    made_up = coap.Message(coap.ACK, coap.CONTENT, 0, b"", b"99.9").encode()
    gate.server.proxy = lambda *what: coap.Message(coap.ACK, coap.CHANGED, payload=made_up)
    answers = site.begin("desk", "temp")
    site.run(seconds=10)
    assert not [one for one in answers if one.payload == b"99.9"]


def test_a_requester_of_a_newer_epoch_is_not_pulled_from_through_the_gateway(site: Site) -> None:
    desk = site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    site.policy = site.next_policy(ROUTES)
    desk.authority.receive(site.policy, site.now_ms)
    assert site.fetch("desk", "temp").payload == b"21.5"
    # the gateway pulls it, and the mesh follows
    soil = site.nodes["soil"]
    assert site.run(lambda: soil.authority.epoch == site.epoch, 300)
    assert "UnknownContext" not in site.nodes["gate"].counters
    assert signer.scope() == soil.authority.scope


@pytest.mark.parametrize("text", ["mesh:12", "mesh:12g4", "mesh:0003 via ", "mesh:0003 via a b"])
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(UsageError):
        behind.check_address(text)


def test_a_request_to_a_revoked_node_names_the_reason(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    gate = site.nodes["gate"].authority
    gate.receive(node_rig.amendment(2, gate.head, node_rig.node_id("soil")), site.now_ms)
    assert why(site.fetch("desk", "temp")) == b"30 Revoked"


# --- who spends the airtime -----------------------------------------------------------------------


def test_the_airtime_of_requests_is_counted_by_requester(site: Site) -> None:
    site.desk()
    site.desk("other", 8)
    for _ in range(3):
        assert site.fetch("desk", "temp").payload == b"21.5"
    assert site.fetch("other", "temp").payload == b"21.5"
    # a request of the gateway itself counts for no requester
    site.ask("gate", "soil", "temp")
    report = site.proxy.report(site.now_ms)
    (first, first_ms, first_count), (second, second_ms, second_count) = report["requesters"]
    assert (first, first_count, second, second_count) == (9, 4, 8, 2)
    assert first_ms > second_ms > 0
    cbor.encode(report)
    # not more than all that the gateway has sent
    all_ms = site.frames["gate"].mesh.outbox.budgets[0].used_us(site.now_ms) / 1000
    assert first_ms + second_ms < all_ms
    assert site.proxy.report(site.now_ms + 2 * 3_600_000) == {}


def test_a_body_in_fragments_is_counted_whole(site: Site) -> None:
    site.desk()
    assert site.fetch("desk", "temp").payload == b"21.5"
    budget = site.frames["gate"].mesh.outbox.budgets[0]

    def spent() -> tuple[float, float]:
        (row,) = site.proxy.report(site.now_ms)["requesters"]
        return row[1], budget.used_us(site.now_ms) / 1000

    before = spent()
    site.fetch("desk", "level", method=coap.PUT, payload=b"x" * 400, seconds=300)
    after = spent()
    mine_ms, all_ms = (two - one for one, two in zip(before, after, strict=True))
    # the rest are receipts
    assert 0.7 * all_ms < mine_ms <= all_ms
