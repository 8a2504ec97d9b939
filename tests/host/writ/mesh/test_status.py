"""A node's status over the air: longer than a block, and other numbers at each moment."""

from airfield_rig import RELAY, AirField

from writ import cbor
from writ.wire import coap


def test_a_status_of_several_blocks_is_the_one_of_its_first_block() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    soil = field.node("soil", 2)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    soil.counters.update({f"Rejection{number:02}": number for number in range(30)})
    answer = field.ask("gate", "soil", "writ/status")
    assert answer.rejection is None and answer.code == coap.CONTENT
    assert len(answer.payload) > 512
    first = cbor.decode(answer.payload)
    assert first["mesh"]["links"][0][1] > 0
    # nothing is kept after the last block, and the next one is new
    assert soil.server._status is None
    second = cbor.decode(field.ask("gate", "soil", "writ/status").payload)
    assert second["mesh"]["links"][0][1] > first["mesh"]["links"][0][1]


def test_a_status_in_one_block_is_not_kept() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    soil = field.node("soil", 2)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    soil.mesh_report = None
    assert len(field.ask("gate", "soil", "writ/status").payload) <= 256
    assert soil.server._status is None
