"""Pulls from a peer with a newer epoch: the chain in a row, and rarely from liars."""

import itertools

import node_rig
import pytest
import signer
from node_rig import GATEWAY, SENSOR, Net

from writ.authority import capsule
from writ.errors import RolledBack
from writ.wire import coap

HOUR_MS = 3600000


def chain(length: int) -> list[bytes]:
    """Policies 1, 2, 3... in whole capsules."""
    found = [node_rig.policy()]
    for epoch in range(2, length + 1):
        found.append(node_rig.policy(epoch, found[-1]))
    return found


def liar_field(serve: object) -> tuple[Net, list[int]]:
    """A sensor at "soil", and a gateway that serves `serve(epoch)`; the list of its requests."""
    net = Net(gw=node_rig.make("gw", 1, GATEWAY), soil=node_rig.make("soil", 2, SENSOR))
    node_rig.serve(net.nodes["soil"])
    asked = []
    gateway = net.nodes["gw"]

    def capsule_for(epoch: int) -> bytes | None:
        asked.append(net.now_ms)
        return serve(epoch)

    gateway.authority.capsule_for = capsule_for
    gateway.notice_option = lambda session, inner, now_ms: []
    return net, asked


def claim(net: Net, epoch: int) -> None:
    """The gateway's next request says that it has this epoch."""
    authority = net.nodes["gw"].authority
    known, authority.epoch = authority.epoch, epoch
    net.ask("gw", "soil", "hello", ms=500)
    authority.epoch = known


@pytest.mark.parametrize("is_empty", [False, True], ids=["old", "nothing"])
def test_a_peer_that_serves_old_capsules_is_asked_more_and_more_rarely(is_empty: bool) -> None:
    old = node_rig.policy()
    net, asked = liar_field(lambda epoch: None if is_empty else old)
    net.nodes["soil"].authority.receive(node_rig.policy(2, old), 0)
    end_ms = net.now_ms + 3 * HOUR_MS
    while net.now_ms < end_ms:
        claim(net, 99)
        net.now_ms += 5000
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps[0] >= 15000 and all(b >= a for a, b in itertools.pairwise(gaps))
    # hours of lies cost a dozen requests
    assert max(gaps) >= 1900000 and len(asked) < 14
    assert net.nodes["soil"].authority.epoch == 2
    refused = net.nodes["gw" if is_empty else "soil"].counters
    assert refused["NotFound" if is_empty else RolledBack.__name__] == len(asked)


def test_a_peer_with_a_right_answer_is_asked_at_once_again() -> None:
    policies = chain(4)
    served = [policies[0], policies[1], policies[2], policies[3]]
    net, asked = liar_field(lambda epoch: served.pop(0))
    claim(net, 4)
    assert net.nodes["soil"].authority.epoch == 1 and len(asked) == 1
    net.now_ms += 16000
    claim(net, 4)
    # one after the other, without waiting
    assert net.nodes["soil"].authority.epoch == 4 and len(asked) == 4
    assert asked[3] - asked[1] < 500


def test_a_chain_of_amendments_is_one_pull() -> None:
    gateway = node_rig.make("gw", 1, GATEWAY)
    for epoch in range(2, 6):
        head = gateway.authority.head
        gateway.authority.receive(node_rig.amendment(epoch, head, bytes((epoch,)) * 8), 0)
    net = Net(gw=gateway, soil=node_rig.make("soil", 2, SENSOR))
    node_rig.serve(net.nodes["soil"])
    net.ask("gw", "soil", "hello", ms=500)
    assert net.nodes["soil"].authority.epoch == 5
    assert net.nodes["soil"].authority.head == gateway.authority.head


def test_a_chain_of_successions_and_a_policy_is_one_pull() -> None:
    seeds = [signer.GROUP_SEED, b"s" * 32, b"t" * 32]
    raws = []
    head, epoch = node_rig.head_of(node_rig.policy()), 1
    for old, new in itertools.pairwise(seeds):
        epoch += 1
        body = [epoch, head, bytes(32), signer.public_key(new)]
        payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + epoch)
        raws.append(signer.certify(payload, old))
        head = capsule.head(payload)
    payload = signer.policy_payload(epoch + 1, head, node_rig.RULES, iat=signer.FOUNDED + 9)
    policy = signer.certify(payload, seeds[-1])
    net, asked = liar_field(lambda epoch: [*raws, policy][epoch - 1])
    claim(net, 4)
    soil = net.nodes["soil"].authority
    assert (soil.epoch, soil.head) == (4, node_rig.head_of(policy))
    assert len(asked) == 3


def test_after_a_succession_a_whole_policy_heals_a_fork_as_before() -> None:
    new = b"s" * 32
    body = [2, node_rig.head_of(node_rig.policy()), bytes(32), signer.public_key(new)]
    payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + 2)
    succession = signer.certify(payload, signer.GROUP_SEED)

    def law(epoch: int, previous: bytes) -> bytes:
        rules = signer.policy_payload(epoch, previous, node_rig.RULES, iat=signer.FOUNDED + epoch)
        return signer.certify(rules, new)

    # one policy after it is here, and what follows another one is there
    gateway, soil = node_rig.make("gw", 1, GATEWAY), node_rig.make("soil", 2, SENSOR)
    for node in (gateway, soil):
        node.authority.receive(succession, 0)
        for name, number, roles in (("gw", 1, GATEWAY), ("soil", 2, SENSOR)):
            raw = capsule.parse(node_rig.member(name, number, roles)).payload
            node.authority.receive(signer.certify(raw, new), 0)
    soil.authority.receive(law(3, capsule.head(payload)), 0)
    gateway.authority.receive(law(5, bytes(6)), 0)
    strange = signer.certify(signer.amendment_payload(4, b"foreig", bytes(8)), new)
    true = gateway.authority.capsule_for
    gateway.authority.capsule_for = lambda epoch: strange if epoch == 3 else true(epoch)
    net = Net(gw=gateway, soil=soil)
    node_rig.serve(soil)
    net.ask("gw", "soil", "hello")
    # for the whole policy the gateway does not begin at old keys
    assert soil.counters == {"WrongPrevious": 1}
    assert soil.authority.epoch == gateway.authority.epoch == 5


def test_statements_are_for_host_peers() -> None:
    net, _ = node_rig.field()
    answer = net.ask("gw", "soil", "writ/propose", coap.POST, b"anything")
    assert node_rig.code(answer) == "4.04"
    # for host peers only: no policy rule is needed
    assert net.nodes["soil"].counters == {"NotFound": 1}
