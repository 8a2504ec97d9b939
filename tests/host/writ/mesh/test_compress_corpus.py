"""Header compression of what nodes really send: each scene is recorded from whole nodes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import node_rig
import pytest
import signer
from fakeflash import MemoryFlash
from hypothesis import example, given, settings
from hypothesis import strategies as st
from node_rig import GATEWAY, SENSOR, Net

from writ import crypto
from writ.authority import capsule
from writ.errors import BadMessage, Rejection, TooLarge
from writ.limits import HANDSHAKE_BURST
from writ.mesh import compress as module
from writ.mesh.compress import compress, expand
from writ.node.node import Node
from writ.node.onboard import meet, welcome
from writ.wire import coap

RULES = module._RULES.count(b"|")
# Sent by stock peers only: a message_3 without a request, and other forms of message_1
FOREIGN = {33, 34, 37}
# Only begin other rules: what a node sends always goes on
PREFIXES = {5, 10, 15, 25, 32, 41, 44}


def served(name: str, number: int, roles: int) -> Any:
    node = node_rig.make(name, number, roles)
    node_rig.serve(node)
    return node


def pair() -> Net:
    return Net(gw=served("gw", 1, GATEWAY), soil=served("soil", 2, SENSOR))


def requests() -> Net:
    """First contact, requests that are allowed and denied, blocks in both directions."""
    net = pair()
    for method, payload in ((coap.GET, b""), (coap.POST, b"on"), (coap.PUT, b"on")):
        net.ask("gw", "soil", "temp", method, payload)
    net.ask("gw", "soil", "big")
    net.ask("gw", "soil", "big", coap.POST, bytes(700))
    net.ask("gw", "soil", "no/such")
    return net


def old_sessions() -> Net:
    """Partial IVs of two and three bytes."""
    net = pair()
    net.ask("gw", "soil", "temp")
    for number in (300, 70000):
        for node in net.nodes.values():
            (session,) = node.sessions
            session.context.sequence = session.context.limit = number
        net.ask("gw", "soil", "temp")
        net.call("gw", "soil", "temp", observe=True)
        net.run()
        net.ask("gw", "soil", "temp", observe=False)
    return net


def observations() -> Net:
    """Notifications, confirmable or not, with numbers and partial IVs of every length; the end."""
    net = pair()
    net.ask("gw", "soil", "temp")
    net.call("gw", "soil", "temp", observe=True)
    net.run()
    for number in (2, 300, 70000):
        soil = net.nodes["soil"]
        (session,) = soil.sessions
        session.context.sequence = session.context.limit = number
        for _ in range(9 if number < 300 else 300 if number == 300 else 2):
            net.send("soil", soil.notify("temp", net.now_ms))
            net.run()
    net.ask("gw", "soil", "temp", observe=False)
    net.nodes["gw"].exchanges.pending.clear()
    # the observer does not know the next one
    net.call("soil", "gw", "hello")
    net.run()
    return net


def restarts() -> Net:
    """The server has restarted with its session: an Echo; and without it: 60 UnknownContext."""
    net = pair()
    net.ask("gw", "soil", "temp")
    for number in (1, 300, 70000):
        soil = node_rig.start("soil", net.nodes["soil"].store._flash)
        node_rig.serve(soil)
        (session,) = soil.sessions
        session.context.sequence = session.context.limit = number
        net.nodes["soil"] = soil
        net.ask("gw", "soil", "temp")
    (session,) = net.nodes["soil"].sessions
    net.nodes["soil"].sessions.drop(session)
    net.ask("gw", "soil", "temp")
    return net


def handshakes() -> Net:
    """By kid, by value, under load with an Echo, at once with an observation, and one refused."""
    net = pair()
    net.ask("gw", "soil", "temp")
    for by_kid in (True, False):
        for is_busy in (True, False):
            for node in net.nodes.values():
                for session in list(node.sessions):
                    node.sessions.drop(session)
            if not by_kid:
                net.nodes["gw"].authority.peers.clear()
            # all but two of the handshakes that may follow each other are used up
            net.nodes["soil"].handshaker._limit.tokens = 2 if is_busy else HANDSHAKE_BURST
            wanted = node_rig.node_id("soil")
            net.call("gw", "soil", "temp", observe=True, wanted=wanted)
            net.run()
    net.nodes["else"] = served("else", 3, GATEWAY)
    net.nodes["else"].authority.scope = bytes(8)
    net.ask("else", "soil", "temp")
    return net


def newcomer() -> Net:
    """A node without records: its request, its capsules, and one in blocks."""
    net = pair()
    net.nodes["new"] = Node(
        node_rig.Store(MemoryFlash()), node_rig.private("new"), "new", signer.scope()
    )
    gateway = net.nodes["gw"]
    steps: tuple[Callable[[], None], ...] = (
        lambda: meet(gateway, "new", None),
        lambda: welcome(gateway, "new", node_rig.member("new", 9, SENSOR), None),
        lambda: welcome(gateway, "new", node_rig.member("new", 9, SENSOR), None),
        lambda: welcome(gateway, "new", node_rig.policy(rules=[[2, 4, "x" * 40, 3]] * 9), None),
    )
    for step in steps:
        step()
        net.run(1000)
    return net


def succession() -> Net:
    """The group key has changed: the successions and the own capsule, and news of an epoch."""
    new = b"s" * 32
    net = pair()
    gateway = net.nodes["gw"]
    body = [2, gateway.authority.head, bytes(32), signer.public_key(new)]
    payload = capsule.build(capsule.SUCCESSION, body, iat=signer.FOUNDED + 2)
    gateway.authority.receive(signer.certify(payload), 0)
    for name, number, roles in (("gw", 1, GATEWAY), ("soil", 2, SENSOR)):
        x, odd = crypto.p256_public(node_rig.private(name))
        later = node_rig.EXPIRES + 1
        raw = signer.certify(signer.member_payload(x, name, number, roles, later, odd=odd), new)
        gateway.authority.receive(raw, 0)
    policy = signer.policy_payload(
        3, capsule.head(payload), node_rig.RULES, iat=signer.FOUNDED + 99
    )
    gateway.authority.receive(signer.certify(policy, new), 0)
    net.ask("soil", "gw", "hello", ms=1000)
    return net


SCENES = (requests, old_sessions, observations, restarts, handshakes, newcomer, succession)


@functools.cache
def recorded(scene: Callable[[], Net]) -> tuple[bytes, ...]:
    return tuple(data for _, _, data in scene().log)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_nodes_send_comes_back_and_is_shorter(scene: Callable[[], Net]) -> None:
    datagrams = recorded(scene)
    assert len(datagrams) > 8
    for datagram in datagrams:
        data = compress(datagram)
        assert expand(data) == datagram
        # a 2.03 is as long as before
        assert data[0] and len(data) <= len(datagram) - (len(datagram) > 5), datagram.hex()


def test_nodes_send_something_for_every_rule() -> None:
    used = {compress(data)[0] & 63 for scene in SCENES for data in recorded(scene)}
    assert used - PREFIXES == set(range(1, RULES + 1)) - PREFIXES - FOREIGN


def test_protected_messages_lose_all_that_is_fixed() -> None:
    # message id, token, partial IV and kid stay
    sealed = [data for data in recorded(requests) if b"edhoc" not in data]
    saved = [len(data) - len(compress(data)) for data in sealed]
    assert len(sealed) > 20 and min(saved) >= 3


heads = st.sampled_from([data[:n] for data in recorded(requests) for n in (1, 5, 9, 12, 40)])


@settings(max_examples=500)
@given(st.binary(max_size=640) | st.builds(bytes.__add__, heads, st.binary(max_size=600)))
@example(b"")
def test_every_datagram_comes_back(datagram: bytes) -> None:
    data = compress(datagram)
    assert len(data) <= len(datagram) + 1
    assert expand(data) == datagram


@settings(max_examples=1000)
@given(st.binary(max_size=700))
def test_foreign_bytes_are_a_datagram_or_a_rejection(data: bytes) -> None:
    try:
        datagram = expand(data)
    except Rejection as rejection:
        assert isinstance(rejection, (BadMessage, TooLarge))
    else:
        assert len(datagram) <= 640 and expand(compress(datagram)) == datagram
