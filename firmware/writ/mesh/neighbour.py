"""Neighbours: the nodes that this node hears, how well, and which of their frames are fresh.

1. Counters of a neighbour only grow, within a window. So a recorded frame is refused while its
   transmitter is in the table.
2. A transmitter that is not in the table may be a recording. It must return a nonce first, in a
   greeting of three control frames: GREET (nonce of A), ANSWER (that nonce, nonce of B), PROOF
   (nonce of B), which is acknowledged. Each of the three carries the high bits of its counter, so
   that the other end learns them.
3. Nonces are computed, not stored: a flood of greetings fills no table. A nonce counts once, and
   for two minutes at most. It depends on how often the neighbour has returned one; when the table
   forgets that, all nonces change.
"""

from ..compat import const, random_bytes
from ..crypto import hmac_sha256
from ..errors import Replayed
from ..limits import FRAME_RESERVE, NEIGHBOURS_MAX

NONCE_BYTES = 4
# Control frames of a greeting: this byte, the counter's high 16 bits, and nonces
GREET = 0
ANSWER = 1
PROOF = 2
# A nonce is accepted for this long, and as long again
_NONCE_MS = const(60000)
# Frames may overtake each other: those of another priority, and repeated ones
_WINDOW_BITS = const(16)
_COUNTER_LAST = const(0xFFFFFFFF)
# What a new sample weighs in an average: 1 / 2 ** 3
_SHIFT = const(3)


class Neighbour:
    """One transmitter on one link.

    link: number of the link; address: short address; counter: the highest accepted, 32 bits;
    proofs: how often it has returned a nonce; is_mutual: whether it takes our frames; last_data:
    counter of its last DATA frame, -1 for none; receipts: how often it was acknowledged again;
    snr: average in dB, None where unknown; delivered: share of awaited receipts that came, 0..256;
    heard_ms: arrival of its last authentic frame; active_ms: that of its last frame for
    any receiver, not checked; epoch: low 8 bits of its epoch, -1 for unknown;
    rank, cost, gateway, parent: of its last HELLO, rank 255 for none (routing.py).
    """

    def __init__(self, link, address):
        self.link = link
        self.address = address
        self.counter = 0
        self._window = 0
        self.proofs = 0
        self.is_mutual = False
        self.last_data = -1
        self.snr = None
        self.delivered = 256
        self.heard_ms = 0
        self.active_ms = 0
        self.epoch = -1
        self.rank = 255
        self.cost = 0
        self.gateway = 0
        self.parent = 0
        self.receipts = 0

    def full(self, low):
        """The 32-bit counter that is nearest to the last one and has these low 16 bits."""
        counter = (self.counter & ~65535) | low
        if counter + 32768 < self.counter and counter + 65536 <= _COUNTER_LAST:
            return counter + 65536
        return counter - 65536 if counter > self.counter + 32768 and counter > 65535 else counter

    def check(self, counter):
        """Raise `Replayed` unless this counter is new."""
        back = self.counter - counter
        if back >= 0 and (back >= _WINDOW_BITS or self._window >> back & 1):
            raise Replayed()

    def accept(self, counter):
        """Mark a counter as used."""
        back = self.counter - counter
        if back >= 0:
            self._window |= 1 << back
        else:
            self._window = (self._window << min(-back, _WINDOW_BITS) | 1) & (1 << _WINDOW_BITS) - 1
            self.counter = counter

    def restart(self, counter, now_ms):
        """Begin with the counter of a frame that has returned a nonce."""
        self.proofs += 1
        if (
            self.proofs > 1
            and 0 <= self.counter - counter < FRAME_RESERVE
            and now_ms - self.heard_ms < 2 * _NONCE_MS
        ):
            # that frame is late: those after it were accepted, and must not be again
            return
        self.counter = counter
        # no earlier frame is accepted
        self._window = (1 << _WINDOW_BITS) - 1

    def measure(self, snr):
        """Count the signal-to-noise ratio of a frame, in dB."""
        if snr is not None:
            self.snr = snr if self.snr is None else self.snr + (snr - self.snr >> _SHIFT)

    def count_delivery(self, is_acknowledged):
        """Count a receipt of this neighbour that came, or one that was awaited in vain."""
        self.delivered += ((256 if is_acknowledged else 0) - self.delivered) >> _SHIFT


class Neighbours:
    """The table, at most limits.NEIGHBOURS_MAX; the one that was silent longest goes first."""

    def __init__(self):
        self._all = []  # least recently heard first
        self._secret = random_bytes(16)

    def __iter__(self):
        return iter(self._all)

    def __len__(self):
        return len(self._all)

    def find(self, link, address):
        """The `Neighbour`, or None."""
        for one in self._all:
            if one.address == address and one.link == link:
                return one
        return None

    def add(self, link, address):
        """The `Neighbour`, new in the table or not; one that is not proven makes room first."""
        found = self.find(link, address)
        if found is None:
            if len(self._all) >= NEIGHBOURS_MAX:
                unproven = [one for one in self._all if not one.proofs]
                self.drop((unproven or self._all)[0])
            found = Neighbour(link, address)
            self._all.append(found)
        return found

    def drop(self, neighbour):
        """Forget a neighbour."""
        if neighbour in self._all:
            self._all.remove(neighbour)
            if neighbour.proofs:
                # its recorded PROOF would bring it back with an old counter
                self._secret = random_bytes(16)

    def heard(self, neighbour, snr, now_ms):
        """Note an authentic frame."""
        neighbour.heard_ms = neighbour.active_ms = now_ms
        neighbour.measure(snr)
        if self._all[-1] is not neighbour:
            self._all.remove(neighbour)
            self._all.append(neighbour)

    def nonce(self, link, address, now_ms, ago=0):
        """The nonce (4 bytes) that this transmitter has to return now."""
        found = self.find(link, address)
        proofs = found.proofs if found else 0
        text = "%d %d %d %d" % (link, address, proofs, now_ms // _NONCE_MS - ago)
        return hmac_sha256(self._secret, text.encode())[:NONCE_BYTES]

    def is_returned(self, link, address, nonce, now_ms):
        """Whether `nonce` was given to this transmitter at most two minutes ago."""
        return nonce in (
            self.nonce(link, address, now_ms),
            self.nonce(link, address, now_ms, 1),
        )
