"""What a node reports of its neighbours to its gateway, loaded when a report is made.

Once an hour, which also shows the gateway the way and the name, and brings a newer beacon and
whether this node is a spreader. After a change a minute after the last report, and twice as long
after it each time.
"""

from ..compat import const
from ..errors import Rejection
from ..limits import REPORTED_MAX
from .routing import PROBE_BYTES

_UNKNOWN_SNR = const(-128)
_REPORT_MS = const(3600000)
_CHANGE_MS = const(30000)


def begin(mesh, kept):
    """The payload of the report that is due. kept: the list that `FrameLinks` has of them."""
    mark = mesh.mark()
    pause_ms = _CHANGE_MS
    if mark != kept[3]:
        pause_ms = min(max(2 * kept[2], 2 * _CHANGE_MS), _REPORT_MS)
    kept[2] = pause_ms
    kept[3] = mark
    beacon = mesh.authority.beacon
    return report_of(mesh, beacon.time if beacon else 0)


def end(mesh, kept, answer, now_ms):
    """Note the answer, and take the beacon in it. Whether there is an answer."""
    if not answer.code:
        # what has changed is reported again
        kept[3] = None
        mesh.is_spreader = None
        return False
    kept[0] = now_ms + _REPORT_MS
    kept[1] = now_ms + kept[2]
    kept[4] = mesh.routing.gateway
    beacon = take_spreading(mesh, answer.payload if answer.is_success() else b"")
    try:
        if beacon:
            mesh.authority.receive(beacon, now_ms, answer.peer.node_id)
    except Rejection as rejection:
        mesh.count(rejection)
    return True


def take_spreading(mesh, payload):
    """Take what the gateway tells of spreading (coverage.py): 1 for a spreader, 0 for another node,
    1 byte, or nothing. Returns what follows in `payload`: a beacon (bytes), or nothing.
    """
    if not payload or payload[0] > 1:
        mesh.is_spreader = None
        return payload
    # a node that sleeps is none, whatever the gateway says
    mesh.is_spreader = payload[0] == 1 and not mesh.is_leaf
    return payload[1:]


def report_of(mesh, beacon_time):
    """The payload of POST writ/neighbours (docs/wire.md). mesh: a `Mesh`.

    The time of the newest beacon here, or 0: 4 bytes. Then for each neighbour that takes frames of
    this node: short address (2 bytes), kind of the link (1), airtime of 50 bytes on it in ms (2),
    share of awaited receipts that came, of 255 (1), SNR in dB, signed (1), -128 for unknown.
    At most limits.REPORTED_MAX, those with the best delivery.
    """
    near = [one for one in mesh.neighbours if one.is_mutual]
    near.sort(key=lambda one: -one.delivered)
    parts = [beacon_time.to_bytes(4, "big")]
    for one in near[:REPORTED_MAX]:
        link = mesh.links[one.link]
        airtime_ms = min(65535, 1 + link.airtime_us(PROBE_BYTES) // 1000)
        snr = _UNKNOWN_SNR if one.snr is None else max(-127, min(127, int(one.snr)))
        parts.append(one.address.to_bytes(2, "big") + bytes((link.kind,)))
        parts.append(airtime_ms.to_bytes(2, "big") + bytes((min(one.delivered, 255), snr & 255)))
    return b"".join(parts)
