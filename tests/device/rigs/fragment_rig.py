"""A link between a sender of fragments and a reassembly, which loses what the test says."""

from writ.mesh.fragment import Reassembly, Sender

ACK_MS = 1000
TIMEOUT_MS = 3600000


def body(size):
    """A message in which no two neighbouring tiles are equal."""
    return bytes([(7 * i + (i >> 5)) & 255 for i in range(size)])


def tiles(number, message, size):
    """All fragments of a message with tiles of `size` bytes, in order."""
    sender = Sender(number, message, size + 2, ACK_MS, TIMEOUT_MS)
    found = []
    while sender.next_ms(0) == 0:
        found.append(sender.next_frame(0))
    return found


class Link:
    """One message over a link. lost: function of the number of a transmission of either side."""

    def __init__(self, message, room, lost=None, number=1):
        self.sender = Sender(number, message, room, ACK_MS, TIMEOUT_MS)
        self.reassembly = Reassembly(TIMEOUT_MS, 1)
        self.lost = lost or (lambda n: False)
        self.now_ms = 0
        self.count = 0  # transmissions of both sides
        self.frames = 0  # of the sender

    def _transmit(self):
        self.count += 1
        return not self.lost(self.count - 1)

    def run(self):
        """Run until the sender ends; the messages that have arrived."""
        sender = self.sender
        arrived = []
        while not sender.is_done and not sender.is_failed:
            frame = sender.next_frame(self.now_ms)
            if frame is None:
                self.now_ms += sender.next_ms(self.now_ms) or 0
                continue
            self.frames += 1
            if not self._transmit():
                continue
            message, ack = self.reassembly.receive(1, frame, self.now_ms)
            if message is not None:
                arrived.append(message)
            if ack is not None and self._transmit():
                sender.acknowledged(ack, self.now_ms)
        return arrived
