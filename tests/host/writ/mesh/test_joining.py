"""Nodes that join over the air, without an IP address: from the key alone to the first reading."""

import node_rig
import signer
from airfield_rig import RELAY, AirField

from writ.wire import coap


def test_a_member_without_link_key_joins_and_is_read() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("soil", 2)
    assert field.run(lambda: field.frames["soil"].keys.key)
    assert field.frames["soil"].keys.key == field.frames["gate"].keys.key
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    answer = field.ask("gate", "soil", "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")


def test_a_blank_node_gets_all_over_two_hops() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.node("soil", 3, is_blank=True)
    field.line("gate", "hill", "soil")
    # its capsule is certified, and known to the relay
    field.nodes["hill"].authority.receive(node_rig.member("soil", 3, node_rig.SENSOR), 0)
    soil = field.nodes["soil"].authority
    assert field.run(lambda: soil.epoch == 1, 300)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 2, 300)
    answer = field.ask("soil", "gate", "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")
    answer = field.ask("gate", "soil", "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")


def test_the_hourly_request_brings_the_beacon() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    soil = field.node("soil", 2)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    field.run(seconds=60)
    assert soil.authority.beacon is None
    beacon = signer.certify(
        signer.beacon_payload(1, node_rig.head_of(field.policy), signer.FOUNDED + 9)
    )
    field.nodes["gate"].authority.receive(beacon, field.now_ms)
    assert field.run(lambda: soil.authority.beacon, 3700)
