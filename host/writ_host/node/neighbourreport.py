"""The report that a node makes of its neighbours, as its gateway reads it (docs/wire.md)."""

from dataclasses import dataclass

from writ.errors import BadMessage
from writ.limits import REPORTED_MAX
from writ.mesh.frame import BROADCAST

# The share of awaited receipts that came, of 255: half of them make a good link
GOOD = 128
_DELIVERED_MIN = 16
_HEAD_BYTES = 4
_ENTRY_BYTES = 7


@dataclass(frozen=True)
class Near:
    """A neighbour in a report. kind: of the link; cost: of a frame, ms; snr: dB, None unknown;
    is_good: whether most of the awaited receipts came; is_restored: whether it is the gateway's own
    neighbour, not greeted since the start.
    """

    kind: int
    cost: float
    snr: int | None
    is_good: bool
    is_restored: bool = False


def read_report(payload: bytes) -> dict[int, Near]:
    """{short address: the best link to it} of a report (docs/wire.md). Raises `BadMessage`."""
    size = len(payload) - _HEAD_BYTES
    if size < 0 or size % _ENTRY_BYTES or size > REPORTED_MAX * _ENTRY_BYTES:
        raise BadMessage()
    found: dict[int, Near] = {}
    for at in range(_HEAD_BYTES, len(payload), _ENTRY_BYTES):
        entry = payload[at : at + _ENTRY_BYTES]
        address = int.from_bytes(entry[:2], "big")
        if not 0 < address < BROADCAST:
            raise BadMessage()
        airtime_ms = int.from_bytes(entry[3:5], "big")
        snr = int.from_bytes(entry[6:], "big", signed=True)
        cost = link_cost(airtime_ms, entry[5])
        near = Near(entry[2], cost, None if snr == -128 else snr, entry[5] >= GOOD)
        if address not in found or near.cost < found[address].cost:
            found[address] = near
    return found


def link_cost(airtime_ms: float, delivered: int) -> float:
    """The cost of a link in ms: the airtime of a frame of 50 bytes, divided by the share of
    receipts that came. delivered: that share, of 255.
    """
    return 1 + airtime_ms * 255 / max(delivered, _DELIVERED_MIN)
