"""The agent after its membership has ended: a gateway has the new one, or it asks for a renewal."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import signer
from agent_rig import Restarted, Spy
from fakeflash import MemoryFlash
from node_rig import EXPIRES, GATEWAY, RULES, SENSOR, Net, make, private, serve

from writ import crypto
from writ.authority import capsule
from writ.authority.policy import PARAM_VOID_BEFORE
from writ.node import delegate

# The end of the sensor's first membership
SOON = signer.FOUNDED + 600


def cleaned(previous: bytes) -> bytes:
    """The policy of epoch 2, which voids the memberships that name an earlier one."""
    params = {PARAM_VOID_BEFORE: 2}
    return signer.certify(signer.policy_payload(2, previous, RULES, params=params))


def renewed(name: str, how: str) -> bytes:
    x, odd = crypto.p256_public(private(name))
    number, roles = (1, GATEWAY) if name == "gw" else (2, SENSOR)
    epoch = 2 if how == "void" else 0
    payload = signer.member_payload(x, name, number, roles, EXPIRES + 1, odd=odd, epoch=epoch)
    return signer.certify(payload)


@pytest.mark.parametrize("has_session", [False, True])
@pytest.mark.parametrize("knows", [False, True])
@pytest.mark.parametrize("how", ["expired", "void"])
def test_a_node_whose_membership_ended_while_it_was_off_gets_its_new_one(
    how: str, knows: bool, has_session: bool
) -> None:
    # knows: whether time and policy had reached the node before it went off
    flash = MemoryFlash()
    before = make("soil", 2, SENSOR, exp=SOON if how == "expired" else EXPIRES, flash=flash)
    gateway = make("gw", 1, GATEWAY)
    head = gateway.authority.head
    if has_session:
        serve(gateway)
        net = Net(gw=gateway, soil=before)
        assert net.ask("soil", "gw", "hello").payload == b"soil"
    news = [cleaned(head)] if how == "void" else []
    if not news:
        news.append(signer.certify(signer.beacon_payload(1, head, SOON + 9)))
    for raw in news:
        gateway.authority.receive(raw, 0)
        if knows:
            before.authority.receive(raw, 0)
    gateway.authority.receive(renewed("gw", how), 0)
    new = renewed("soil", how)
    gateway.authority.receive(new, 0)
    soil = Restarted(flash, gateway)
    assert len(soil.node.sessions) == has_session
    for _ in range(20):
        soil.step(4000)
    assert soil.node.authority.me.raw == new
    serve(gateway)
    assert soil.net.ask("soil", "gw", "hello", ms=1000).payload == b"soil"


@pytest.mark.parametrize("how", ["expired", "void"])
def test_a_node_without_a_new_membership_asks_seldom(how: str) -> None:
    flash = MemoryFlash()
    before = make("soil", 2, SENSOR, exp=SOON if how == "expired" else EXPIRES, flash=flash)
    gateway = make("gw", 1, GATEWAY)
    head = gateway.authority.head
    raw = cleaned(head)
    if how == "expired":
        raw = signer.certify(signer.beacon_payload(1, head, SOON + 9))
    for node in (gateway, before):
        node.authority.receive(raw, 0)
    soil = Restarted(flash, gateway)
    for _ in range(60):
        soil.step(1000)
    # a succession and the capsule are asked for at the start and after 30 s, without a handshake
    sent = [data for source, _, data in soil.net.log if source == "soil"]
    assert len(sent) == 4 and not [data for data in sent if b"edhoc" in data]


def successions(node: Any) -> Iterator[bytes]:
    """Two changes of the group key after the policy of the node."""
    seeds = [signer.GROUP_SEED, b"s" * 32, b"t" * 32]
    head, epoch = node.authority.head, node.authority.epoch
    for old, new in itertools.pairwise(seeds):
        epoch += 1
        body = [epoch, head, bytes(32), signer.public_key(new)]
        payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + epoch)
        yield signer.certify(payload, old)
        head = capsule.head(payload)


@pytest.mark.parametrize("what", ["succession", "clean-up"])
def test_what_ends_a_membership_ends_the_wait_for_the_next_request_of_renewal(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash = MemoryFlash()
    made = make("soil", 2, SENSOR, flash=flash)
    news = list(successions(made)) if what == "succession" else [cleaned(made.authority.head)]
    soil = Restarted(flash, make("gw", 1, GATEWAY), renew_days=30)
    spy = Spy()
    monkeypatch.setattr(delegate, "Delegate", spy)
    spy.node = soil.node
    # it has asked a moment ago, since its membership ends soon
    soil.node._renew_s = EXPIRES
    soil.step()
    assert len(spy.renewed) == 1
    soil.node._renew_s = 86400
    for number, raw in enumerate(news):
        soil.node.authority.receive(raw, soil.net.now_ms)
        for _ in range(3):
            soil.step(1000)
        assert len(spy.renewed) == 2 + number
    soil.step(3600000)
    assert len(spy.renewed) == 2 + len(news)
