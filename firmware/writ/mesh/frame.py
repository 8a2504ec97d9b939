"""Frames: what travels on a link without IP. A header of at most 16 bytes, its MIC included.

    byte 0      version (high 4 bits) and route class (low 4 bits)
    byte 1      scope tag: the first byte of the scope id
    byte 2      epoch of the transmitter, low 8 bits
    byte 3      shape (2 bits), kind (2 bits), hops left (4 bits); in a DATA frame to a neighbour
                the bytes of the receipt in front of its message
    4, 5        transmitter: short address of the node that sends this hop
    6, 7        receiver: short address, or BROADCAST
    8, 9        far end, in the shapes UP (origin) and DOWN (destination)
    then 2      low 16 bits of the transmitter's frame counter
    then        the payload
    last 4      MIC

The MIC is HMAC-SHA-256 (RFC 2104, section 5: truncated) with the link key, over the high 16 bits of
the counter and all bytes before the MIC. So the counter has 32 bits and 16 of them travel, as in
LoRaWAN (LoRaWAN L2 1.0.4, section 4.3.1.5). A frame of the join class has no MIC: its sender has no
link key yet.

Everything is checked again at each hop: each transmitter writes its own address, counter and MIC.
"""

from .. import crypto
from ..compat import const
from ..errors import BadFrame, WrongScope

_VERSION = const(1)
# Shapes: to a neighbour; to a gateway, by way of parents; from a gateway, by a route in the payload
LOCAL = 0
UP = 1
DOWN = 2
# Kinds: a whole message; a part of one (fragment.py); a receipt for either; the mesh's own
DATA = 0
FRAGMENT = 1
ACK = 2
CONTROL = 3

# The class of nodes without link key
JOIN_CLASS = 15
BROADCAST = 65535
MIC_BYTES = 4
# Header and MIC of a frame of each shape, and of a join frame
HEADER_BYTES = 14
HEADER_BYTES_ROUTED = 16
HEADER_BYTES_JOIN = 10


class Frame:
    """One frame. `far` is None in the shape LOCAL.

    counter: 32 bits when a frame is encoded, the low 16 of them in a decoded one; raw, mic: of a
    decoded one, all bytes without the MIC, and the MIC.
    """

    raw = b""
    mic = b""

    def __init__(
        self,
        route_class,
        kind,
        transmitter,
        receiver,
        counter,
        payload,
        epoch=0,
        shape=LOCAL,
        hops=0,
        far=None,
    ):
        self.route_class = route_class
        self.kind = kind
        self.transmitter = transmitter
        self.receiver = receiver
        self.counter = counter
        self.payload = payload
        self.epoch = epoch
        self.hops = hops
        self.shape = shape
        self.far = far

    def encode(self, tag, key):
        """The frame's bytes. tag: first byte of the scope id; key: link key, None to join."""
        head = self.route_class, self.shape, self.hops, self.far
        ends = self.transmitter, self.receiver
        return encode(tag, key, head, self.kind, ends, self.counter, self.payload, self.epoch)

    def is_authentic(self, key, high):
        """Whether the MIC is that of `key` and of a counter with these high 16 bits."""
        return mic(key, high, self.raw) == self.mic


def encode(tag, key, head, kind, ends, counter, payload, epoch):
    """As `Frame.encode`. head: (route class, shape, hops, far end); ends: transmitter, receiver."""
    route_class, shape, hops, far = head
    transmitter, receiver = ends
    start = (
        _VERSION << 4 | route_class,
        tag,
        epoch & 255,
        shape << 6 | kind << 4 | hops,
        transmitter >> 8,
        transmitter & 255,
        receiver >> 8,
        receiver & 255,
    )
    if shape != LOCAL:
        start += far >> 8, far & 255
    raw = bytes(start + (counter >> 8 & 255, counter & 255)) + payload
    return raw if key is None else raw + mic(key, counter >> 16, raw)


def mic(key, high, raw):
    """The MIC (4 bytes) of the bytes `raw`. key: link key; high: high 16 bits of the counter."""
    return crypto.link_mac(key, high.to_bytes(2, "big") + raw)[:MIC_BYTES]


def has_receipt(frame):
    """Whether a decoded `Frame` has a receipt: it is one, or has one in front of its message."""
    return frame.kind == ACK or (frame.kind == DATA and frame.shape == LOCAL and frame.hops)


def decode(data, tag):
    """The `Frame` in `data`, its MIC not checked yet.

    Raises `BadFrame` (length, version, shape) and `WrongScope` (another tag).
    """
    size = len(data)
    if size < HEADER_BYTES_JOIN or data[0] >> 4 != _VERSION:
        raise BadFrame()
    if data[1] != tag:
        raise WrongScope()
    route_class = data[0] & 15
    shape = data[3] >> 6
    at = 8
    far = None
    end = size
    if route_class == JOIN_CLASS:
        # one hop: it is never forwarded
        if shape != LOCAL or (data[3] & 15 and data[3] >> 4 & 3 != DATA):
            raise BadFrame()
    else:
        end -= MIC_BYTES
        if shape != LOCAL:
            at = 10
            far = data[8] << 8 | data[9]
    if shape > DOWN or end < at + 2:
        raise BadFrame()
    frame = Frame(
        route_class,
        data[3] >> 4 & 3,
        data[4] << 8 | data[5],
        data[6] << 8 | data[7],
        data[at] << 8 | data[at + 1],
        data[at + 2 : end],
        data[2],
        shape,
        data[3] & 15,
        far,
    )
    frame.raw = data[:end]
    frame.mic = data[end:]
    # 0 and the broadcast address are no node's
    if not 0 < frame.transmitter < BROADCAST or not frame.receiver:
        raise BadFrame()
    return frame
