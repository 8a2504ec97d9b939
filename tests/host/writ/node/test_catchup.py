"""A device that missed a change of the group key catches up, and learns nothing else."""

import itertools

import node_rig
import pytest
import signer
from node_rig import EXPIRES, GATEWAY, SENSOR, Net, code, node_id, private

from writ import crypto
from writ.authority import capsule
from writ.errors import BadSignature, KnownBad
from writ.wire import coap

SEEDS = [signer.GROUP_SEED, b"s" * 32, b"t" * 32, b"u" * 32]


def renewed(name: str, number: int, roles: int, seed: bytes) -> bytes:
    x, odd = crypto.p256_public(private(name))
    payload = signer.member_payload(x, name, number, roles, EXPIRES + 1, odd=odd)
    return signer.certify(payload, seed)


def slept(changes: int, own: bool = True) -> Net:
    """A hub after so many changes of the key and a new policy, which a sensor has missed."""
    hub = node_rig.make("gw", 1, GATEWAY)
    head, epoch = hub.authority.head, 1
    for old, new in itertools.pairwise(SEEDS[: changes + 1]):
        epoch += 1
        body = [epoch, head, bytes(32), signer.public_key(new)]
        payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + epoch)
        hub.authority.receive(signer.certify(payload, old), 0)
        head = capsule.head(payload)
    seed = SEEDS[changes]
    hub.authority.receive(renewed("gw", 1, GATEWAY, seed), 0)
    if own:
        hub.authority.receive(renewed("soil", 2, SENSOR, seed), 0)
    payload = signer.policy_payload(epoch + 1, head, node_rig.RULES, iat=signer.FOUNDED + 99)
    hub.authority.receive(signer.certify(payload, seed), 0)
    net = Net(gw=hub, soil=node_rig.make("soil", 2, SENSOR))
    for node in net.nodes.values():
        node_rig.serve(node)
    return net


@pytest.mark.parametrize("changes", [1, 2, 3])
def test_it_catches_up_with_the_key_in_force(changes: int) -> None:
    net = slept(changes)
    hub, soil = net.nodes["gw"].authority, net.nodes["soil"]
    assert net.ask("soil", "gw", "hello", ms=1000).payload == b"soil"
    assert (soil.authority.group_key, soil.authority.epoch) == (hub.group_key, hub.epoch)
    assert soil.authority.me.key_epoch == hub.key_epoch
    # and is reached again from there
    assert net.ask("gw", "soil", "temp", ms=1000).payload == b"21.5"


def test_it_catches_up_without_known_peers() -> None:
    net = slept(1)
    soil = net.nodes["soil"]
    # the peer's former capsule is here, so that the handshake begins by its kid
    soil.authority.receive(node_rig.member("gw", 1, GATEWAY), 0)
    answer = net.ask("soil", "gw", "hello", ms=1000, wanted=node_id("gw"))
    assert answer.payload == b"soil"


def test_without_a_new_membership_it_learns_the_key() -> None:
    net = slept(2, own=False)
    soil = net.nodes["soil"]
    answer = net.ask("soil", "gw", "hello", ms=100000)
    assert not answer.is_success()
    assert soil.authority.group_key == net.nodes["gw"].authority.group_key
    # what is certified now can be handed to it
    posted = coap.Message(coap.CON, coap.POST, 9, b"\x09", renewed("soil", 2, SENSOR, SEEDS[2]))
    posted.add_path("writ")
    net.send("carrier", [("soil", posted.encode())])
    net.run()
    net.nodes["gw"].authority.receive(renewed("soil", 2, SENSOR, SEEDS[2]), 0)
    assert net.ask("soil", "gw", "hello", ms=1000).payload == b"soil"


def test_a_peer_without_a_new_membership_hands_over_capsules() -> None:
    new = SEEDS[1]
    net, _ = node_rig.field()
    gateway, soil = net.nodes["gw"], net.nodes["soil"]
    node_rig.serve(gateway)
    assert net.ask("soil", "gw", "hello").is_success()
    body = [2, soil.authority.head, bytes(32), signer.public_key(new)]
    payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + 2)
    for node in (gateway, soil):
        node.authority.receive(signer.certify(payload, signer.GROUP_SEED), 0)
    soil.authority.receive(renewed("soil", 2, SENSOR, new), 0)
    (session,) = soil.sessions
    # a call is refused, whatever the outcome of its handshake
    assert not net.ask("soil", "gw", "hello", ms=100000).is_success()
    assert session in list(soil.sessions)
    # the session continues for capsules
    del net.log[:]
    assert net.ask("soil", "gw", "writ/charter").payload == signer.charter()
    assert not [data for _, _, data in net.log if b"edhoc" in data]
    # with a new capsule the peer is accepted again
    gateway.authority.receive(renewed("gw", 1, GATEWAY, new), 0)
    assert net.ask("soil", "gw", "hello", ms=100000).payload == b"soil"


def test_a_peer_without_the_succession_is_no_help() -> None:
    # to the device it looks like a peer with another scope's key
    net = slept(1)
    hub = net.nodes["gw"]
    hub.sync._find_succession = lambda request: None
    before = dict(net.nodes["soil"].store._flash.files)
    answer = net.ask("soil", "gw", "hello", ms=400000)
    assert code(answer) == "BadSignature"
    assert net.nodes["soil"].store._flash.files == before
    assert len([1 for source, _, _ in net.log if source == "soil"]) <= 3


def test_wrong_answers_end_the_catch_up() -> None:
    net = slept(2)
    hub, soil = net.nodes["gw"], net.nodes["soil"]
    true = hub.sync._find_succession
    lies = [
        lambda request: signer.forge(true(request)),
        lambda request: node_rig.policy(),
        lambda request: node_rig.member("gw", 1, GATEWAY),
        lambda request: b"\xff" * 100,
    ]
    for lie in lies:
        hub.sync._find_succession = lie
        net.log.clear()
        answer = net.ask("soil", "gw", "hello", ms=400000)
        assert isinstance(answer.rejection, BadSignature | KnownBad)
        assert soil.authority.epoch == 1 and soil.authority.key_epoch == 0
        assert len([1 for source, _, _ in net.log if source == "soil"]) <= 4
    # no node is locked out by it
    net.now_ms += 100000
    hub.sync._find_succession = true
    assert net.ask("soil", "gw", "hello", ms=1000).payload == b"soil"


def test_no_answer_at_all() -> None:
    net = slept(1)
    plain = []

    def change(source: str, target: str, data: bytes) -> tuple[bytes, ...]:
        if source == "soil" and b"writ" in data[:20]:
            plain.append(data)
            return ()
        return (data,)

    net.change = change
    answer = net.ask("soil", "gw", "hello", ms=400000)
    assert code(answer) == "BadSignature" and len(plain) <= 10


def test_strangers_learn_keys_and_capsules_by_id_only() -> None:
    net = slept(1)
    hub = net.nodes["gw"]

    def plain(*query: str) -> coap.Message:
        message = coap.Message(coap.CON, coap.GET, len(plain_mids), b"\x07")
        plain_mids.append(0)
        message.add_path("writ")
        for item in query:
            message.add(coap.URI_QUERY, item)
        ((_, data),) = hub.receive(message.encode(), "stranger", net.now_ms)
        return coap.decode(data)

    plain_mids: list[int] = []
    found = plain("e=0")
    assert found.code == coap.CONTENT
    assert capsule.parse(found.payload).kind == capsule.SUCCESSION
    assert plain("e=1").payload == found.payload
    assert plain(f"i={node_id('soil').hex()}").payload == renewed("soil", 2, SENSOR, SEEDS[1])
    # no policy, no list of members, no lookup by name
    for query in (("e=2",), ("e=99",), ("n=soil",), (f"i={node_id('stranger').hex()}",), ("i=",)):
        expected = coap.CONTENT if query == ("n=soil",) else coap.NOT_FOUND
        assert plain(*query).code == expected
        if expected == coap.CONTENT:
            # no epoch said: the first succession, as for any newcomer
            assert plain(*query).payload == found.payload


def test_a_forged_refusal_during_a_change_of_the_key_repeats_no_post() -> None:
    net, calls = node_rig.field()
    gateway, soil = net.nodes["gw"], net.nodes["soil"]
    # the answer to the first request of a session is held back
    net.change = lambda source, _, data: (
        () if source == "soil" and coap.decode(data).option(coap.OSCORE) is not None else (data,)
    )
    answers = net.call("gw", "soil", "temp", coap.POST, b"on")
    net.run()
    assert calls == [("temp", coap.POST, b"on")] and not answers
    net.change = None
    body = [2, soil.authority.head, bytes(32), signer.public_key(SEEDS[1])]
    payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + 2)
    for node in (gateway, soil):
        node.authority.receive(signer.certify(payload, signer.GROUP_SEED), 0)
    soil.authority.receive(renewed("soil", 2, SENSOR, SEEDS[1]), 0)
    soil.authority.receive(renewed("gw", 1, GATEWAY, SEEDS[1]), 0)
    ((_, token),) = gateway.exchanges.pending
    forged = coap.Message(coap.NON, coap.UNAUTHORIZED, 77, token, b"")
    net.inject("soil", "gw", forged.encode())
    net.run(10000)
    assert calls == [("temp", coap.POST, b"on")]
    assert [code(answer) for answer in answers] == ["PeerFailed"]
    # the gateway has its new capsule all the same
    assert gateway.authority.me.raw == renewed("gw", 1, GATEWAY, SEEDS[1])
    assert net.ask("gw", "soil", "temp", coap.POST, b"off", ms=1000).is_success()
