"""A device that slept while its membership became void gets the new capsule from its peers."""

import node_rig
import pytest
import signer
from node_rig import EXPIRES, GATEWAY, SENSOR, Net, code, node_id, private

from writ import crypto
from writ.authority.policy import PARAM_VOID_BEFORE
from writ.wire import coap


def certified(name: str, number: int, roles: int, epoch: int) -> bytes:
    x, odd = crypto.p256_public(private(name))
    exp = EXPIRES + epoch
    return signer.certify(signer.member_payload(x, name, number, roles, exp, odd=odd, epoch=epoch))


def cleaned(is_renewed: bool = True, is_told: bool = False) -> Net:
    """A hub whose policy of epoch 2 voids the membership of a sensor that slept at epoch 1."""
    hub, soil = node_rig.make("gw", 1, GATEWAY), node_rig.make("soil", 2, SENSOR)
    payload = signer.policy_payload(
        2, hub.authority.head, node_rig.RULES, params={PARAM_VOID_BEFORE: 1}
    )
    for raw in (certified("gw", 1, GATEWAY, 1), signer.certify(payload)):
        hub.authority.receive(raw, 0)
    if is_renewed:
        hub.authority.receive(certified("soil", 2, SENSOR, 1), 0)
    if is_told:
        soil.authority.receive(signer.certify(payload), 0)
    net = Net(gw=hub, soil=soil)
    for node in net.nodes.values():
        node_rig.serve(node)
    return net


@pytest.mark.parametrize("is_told", [False, True])
def test_it_is_a_member_again_with_its_renewed_capsule(is_told: bool) -> None:
    net = cleaned(is_told=is_told)
    assert net.ask("soil", "gw", "hello", ms=1000).payload == b"soil"
    # a peer that has the renewed capsule knows the node by it; the device renews it at host peers
    assert net.ask("gw", "soil", "temp", ms=1000).payload == b"21.5"


@pytest.mark.parametrize("is_told", [False, True])
def test_it_stays_out_without_one(is_told: bool) -> None:
    net = cleaned(is_renewed=False, is_told=is_told)
    assert not net.ask("soil", "gw", "hello", ms=100000).is_success()
    assert node_id("soil") not in net.nodes["gw"].authority.peers
    # and asks only a few times
    assert len([1 for source, _, _ in net.log if source == "soil"]) <= 6


def test_an_open_session_ends_with_the_policy_that_voids_it() -> None:
    net, _ = node_rig.field()
    hub = net.nodes["gw"]
    node_rig.serve(hub)
    assert net.ask("soil", "gw", "hello").is_success()
    payload = signer.policy_payload(
        2, hub.authority.head, node_rig.RULES, params={PARAM_VOID_BEFORE: 1}
    )
    hub.authority.receive(signer.certify(payload), 0)
    answer = net.ask("soil", "gw", "hello", ms=1000)
    assert answer.code == coap.UNAUTHORIZED or code(answer) == "NotMember"
