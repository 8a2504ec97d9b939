"""Bytes and airtime over LoRa: joining, and a protected read of a neighbour, beside Reticulum's.

A node joins at a gateway that has its member capsule, and sends its first protected reading. All
frames of both sides count: receipts, HELLOs and greetings, too. It either knows nothing but the id
of its scope ("join"), or has charter, policy, beacon and its own capsule in flash
("join_provisioned").

Reticulum's announce and link have its own packets, without the byte that an RNode puts in front of
each. They carry no authority, and nothing is sent over the link.
"""

import sys
from collections.abc import Iterator
from typing import Any

from writ.mesh.airtime import time_on_air_us
from writ.mesh.frame import CONTROL, DATA, UP, Frame, decode
from writ.wire import coap

from . import peers
from .airnodes import RELAY, SENSOR, Air
from .row import Row

GOAL = 1.5
GOAL_HEADER = 16
PATIENCE_S = 6 * 3600.0
KINDS = ("data", "fragment", "receipt", "control")


Sent = list[tuple[int, str, bytes, int]]


def _gateway(air: Air) -> Any:
    # a gateway whose HELLOs come seldom by now, and which knows the node "soil"
    capsules = [air.scope.charter, air.policy, air.beacon, air.member("gateway", 1, RELAY)]
    gateway = air.node("gateway", [*capsules, air.member("soil", 17, SENSOR)], True)
    air.run(lambda: False, 900)
    air.sent.clear()
    return gateway


def join(spreading_factor: int, is_blank: bool) -> Sent:
    """The frames of a node that joins, up to its first reading: as `Air.sent`."""
    air = Air(spreading_factor)
    readings: list[bytes] = []
    gateway = _gateway(air)
    resource = gateway.resource("log", methods=("POST",))
    resource(lambda request: readings.append(request.payload))
    capsules = [air.scope.charter, air.policy, air.beacon, air.member("soil", 17, SENSOR)]
    node = air.node("soil", [] if is_blank else capsules)
    links = air.links["soil"]

    def has_joined() -> bool:
        routing = links.mesh.routing
        has_key = not links.mesh.join.is_joining()
        return bool(has_key and routing and routing.parents and node.authority.beacon)

    assert air.run(has_joined, PATIENCE_S), "the node does not join"
    answers: list[Any] = []
    air.ask(node, coap.POST, "log", b"21.5", "mesh:0001", answers.append)
    assert air.run(lambda: readings, PATIENCE_S) and readings == [b"21.5"], answers
    # without its answer, which may be on air
    return [item for item in air.sent if item[0] <= _last_of(air, "soil")]


def _last_of(air: Air, name: str) -> int:
    return max(item[0] for item in air.sent if item[1] == name)


def read() -> Sent:
    """The frames of a protected read of a neighbour, in a session, until both are quiet again."""
    air = Air(7)
    gateway = _gateway(air)
    air.node("soil", [air.scope.charter, air.policy, air.member("soil", 17, SENSOR)])
    air.nodes["soil"].resource("temp")(lambda request: b"21.5")
    answers: list[Any] = []
    mesh = air.links["soil"].mesh
    for _ in range(2):
        assert air.run(lambda: mesh.routing and mesh.routing.parents, PATIENCE_S)
        air.run(lambda: False, 60)
        air.sent.clear()
        answers.clear()
        air.ask(gateway, coap.GET, "temp", b"", "mesh:0011", answers.append)
        assert air.run(lambda: answers, PATIENCE_S) and answers[0].payload == b"21.5"
        air.run(lambda: False, 1)
    # HELLOs come by themselves
    return [item for item in air.sent if decode(item[2], item[2][1]).kind != CONTROL]


def describe(sent: Sent) -> list[str]:
    """A line for each frame."""
    lines = []
    for now_ms, name, data, airtime_us in sent:
        frame = decode(data, data[1])
        lines.append(
            f"{(now_ms - sent[0][0]) / 1000:8.2f} s  {name:8} class {frame.route_class:2} "
            f"{KINDS[frame.kind]:8} {len(data):3} B {airtime_us / 1000:7.1f} ms"
        )
    return lines


def _join_rows(packets: list[int] | None) -> Iterator[Row]:
    for is_blank in (True, False):
        for spreading_factor in (7, 12):
            # frames may collide: the best of three
            took_us = min(
                sum(item[3] for item in join(spreading_factor, is_blank)) for _ in range(3)
            )
            value = round(took_us / 1000, 1)
            name = "join" if is_blank else "join_provisioned"
            row = Row(f"ms.airtime_{name}_sf{spreading_factor}", value, "ms")
            if packets:
                airtimes_us = [time_on_air_us(size, spreading_factor) for size in packets[:4]]
                row.peer = "Reticulum announce and link"
                row.peer_value = round(sum(airtimes_us) / 1000, 1)
                if spreading_factor == 7:
                    row.goal = round(GOAL * row.peer_value, 1)
            yield row


def measure() -> list[Row]:
    """The header of a frame, a read, and the two ways to join at spreading factors 7 and 12."""
    packets = peers.reticulum_packets()
    payload = b"payload"
    routed = Frame(1, DATA, 3, 2, 1, payload, 0, UP, 4, 3).encode(0, bytes(16))
    both = "Reticulum request and response, without receipts"
    return [
        Row("bytes.frame_header", len(routed) - len(payload), "B", GOAL_HEADER),
        Row(
            "bytes.get_on_air",
            sum(len(item[2]) for item in read()),
            "B",
            peer=both if packets else None,
            peer_value=sum(packets[4:]) if packets else None,
        ),
        *_join_rows(packets),
    ]


def main() -> None:
    """Print the frames of a node that joins: `python -m measure.joining SF [provisioned]`."""
    print("\n".join(describe(join(int(sys.argv[1]), "provisioned" not in sys.argv))))


if __name__ == "__main__":
    main()
