"""Whole nodes at the two ends of a serial line: the mesh over `SerialLink`s."""

import pytest
from airfield_rig import RELAY, AirField
from serial_rig import CONFIG, Memory

from writ.link.serial import SerialLink
from writ.wire import coap


class Wire(Memory):
    """A port in memory whose bytes arrive at another one, in pieces of 50."""

    other: "Wire"

    def write(self, data: bytes) -> bool:
        """Send data to the other end."""
        self.other.chunks += [data[at : at + 50] for at in range(0, len(data), 50)]
        return True


def joined() -> tuple[AirField, list[Wire]]:
    """A gateway and a member without link key, which gets into the mesh by a serial line."""
    field = AirField()
    ends = [Wire(), Wire()]
    ends[0].other, ends[1].other = ends[1], ends[0]
    field.node("gate", 1, RELAY, is_gateway=True, link=SerialLink(CONFIG, ends[0]))
    field.node("soil", 2, link=SerialLink(CONFIG, ends[1]))
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    return field, ends


def test_a_node_joins_and_is_read_over_a_serial_line() -> None:
    field, _ = joined()
    for one, other in (("gate", "soil"), ("soil", "gate")):
        answer = field.ask(one, other, "temp")
        assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")
    for name in ("gate", "soil"):
        assert field.frames[name].links[0].counters == {}


def test_noise_on_the_line_delays_and_denies_nothing() -> None:
    field, ends = joined()
    for end in ends:
        end.chunks += [b"\x20" * 256] * 5 + [b"noise\0more"]
    answer = field.ask("gate", "soil", "temp")
    assert (answer.code, answer.payload) == (coap.CONTENT, b"21.5")
    counters = field.frames["soil"].links[0].counters
    assert counters["TooLarge"] == 1 and counters["BadFrame"] >= 1


@pytest.mark.parametrize("size", [100, 600])
def test_a_datagram_goes_in_one_frame(size: int) -> None:
    field, ends = joined()
    sent: list[bytes] = []
    plain = ends[0].write
    ends[0].write = lambda data: sent.append(data) or plain(data)
    gate, soil = field.frames["gate"], field.frames["soil"]
    data = bytes(range(256)) * 3
    gate.send("mesh:0002", data[:size])
    got: list[tuple[str, bytes]] = []
    soil.node.receive = lambda found, address, now_ms: got.append((address, found)) or []
    assert field.run(lambda: got)
    assert got[0] == ("mesh:0001", data[:size])
    assert [len(one) > size for one in sent].count(True) == 1
