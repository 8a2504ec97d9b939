"""Link keys that gateways have made, over Byzantine relays, in whole nodes."""

import node_rig
import pytest
from airfield_rig import RELAY, ROUTES, AirField

from writ import cbor
from writ.wire import coap

GATEWAY = 32
# relays answer those who join, and gateways make the key
ROWS = (*ROUTES[:2], [15, GATEWAY, RELAY | GATEWAY, 6, 0, 100, 0])


def line(**more: object) -> AirField:
    """A gateway and two relays in a line; the first relay has joined at the gateway."""
    field = AirField(routes=ROWS, **more)
    field.node("gate", 1, RELAY | GATEWAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.line("gate", "hill", "soil")
    assert field.run(lambda: field.frames["hill"].keys.key, 300)
    return field


def lie(field: AirField, name: str, maker: int = 1) -> bytes:
    """Let a relay hand on a made-up key of the present epoch, in the name of another member."""
    keys = field.frames[name].keys
    made_up = b"\xff" * 16

    def payload(authority: object, now_ms: int, welcome: bytes = b"") -> bytes:
        signature = keys.proof[1] if keys.proof else bytes(64)
        return bytes(
            cbor.encode([field.epoch, made_up, keys.stamp, 600, welcome, maker, signature])
        )

    keys.payload = payload
    return made_up


@pytest.mark.parametrize("mtu", [222, 51])
def test_a_node_behind_a_relay_gets_a_key_and_its_proof(mtu: int) -> None:
    field = line(mtu=mtu)
    # no byte of a proof is on air as long as it is not needed
    assert not field.frames["hill"].keys.proof
    field.node("soil", 3, RELAY)
    keys = field.frames["soil"].keys
    assert field.run(lambda: keys.key, 300)
    assert keys.key == field.frames["gate"].keys.key
    assert keys.proof == field.frames["gate"].keys.proof
    assert field.nodes["soil"].counters["UnknownOrigin"] > 0
    answer = field.ask("soil", "gate", "temp", 600)
    assert answer.code == coap.CONTENT


@pytest.mark.parametrize(("maker", "reason"), [(1, "BadSignature"), (99, "UnknownOrigin")])
def test_a_relay_that_lies_about_the_key_is_left_for_another_one(maker: int, reason: str) -> None:
    field = line()
    made_up = lie(field, "hill", maker)
    field.node("soil", 3, RELAY)
    field.run(seconds=60)
    assert field.frames["soil"].keys.key is None
    assert field.nodes["soil"].counters[reason] > 0
    # beside an honest one it does no harm
    field.node("dale", 4, RELAY)
    field.cut |= {("dale", "hill"), ("hill", "dale")}
    assert field.run(lambda: field.frames["soil"].keys.key, 900)
    assert field.frames["soil"].keys.key == field.frames["gate"].keys.key != made_up


def test_a_parent_that_lies_after_a_revocation_replaces_no_key() -> None:
    field = line()
    field.node("soil", 3, RELAY)
    field.node("thief", 4)
    assert field.run(lambda: field.frames["soil"].mesh.routing.parents, 300)
    old = field.frames["soil"].keys.key
    made_up = lie(field, "hill")
    raw = field.next_policy(revoked=[node_rig.node_id("thief")])
    field.nodes["gate"].authority.receive(raw, field.now_ms)
    soil = field.nodes["soil"]
    assert field.run(lambda: soil.counters.get("BadSignature"), 3000)
    assert field.frames["soil"].keys.key == old
    # the honest relay hands on the next key, with its proof
    del field.frames["hill"].keys.payload
    assert field.run(lambda: field.frames["soil"].keys.key != old, 3000)
    assert field.frames["soil"].keys.key == field.frames["gate"].keys.key != made_up
    assert field.frames["soil"].keys.proof == field.frames["gate"].keys.proof


def test_a_gateway_whose_role_makes_no_keys_makes_none() -> None:
    field = AirField(routes=ROWS)
    field.node("gate", 1, RELAY, is_gateway=True)
    field.run(seconds=20)
    assert field.frames["gate"].keys.key is None
    assert field.nodes["gate"].counters["NotRouted"] > 0
