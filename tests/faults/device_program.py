"""Devices in one process, on CPython or MicroPython: device_program.py FOLDER...

Each device calls its neighbours, renews its membership, and requests actions for its neighbours.
It prints events as lines of JSON. The process ends at the end of stdin.
"""

import json
import random
import select
import sys

from writ.compat import save_heap

save_heap()

from writ.agent import Node  # noqa: E402, I001 - the large pieces of the heap first
from writ.wire import coap  # noqa: E402
from writ.errors import WritError  # noqa: E402

CALL_MS = 1500
# A device remembers few executed actions until they expire, so wishes are rare.
WISH_MS = 12000
WISHES = 6
ALIVE_MS = 5000
WISH_S = 20
# A membership that ends earlier is renewed; at first all do.
LONG_S = 330 * 86400


def emit(event, **what):
    """Print one event."""
    what["event"] = event
    print(json.dumps(what))


class Device:
    """One agent, the requests it makes and the state it has reported."""

    def __init__(self, folder):
        node = self.node = Node.load(folder)
        self.neighbours = node.config["neighbours"]
        self.asked = []  # neighbours that have not answered yet
        self.wishes = WISHES
        self.reported = None
        self.alive_ms = 0
        self.call_ms = random.randrange(CALL_MS)
        self.wish_ms = random.randrange(WISH_MS)
        node.resource("temp")(lambda request: b"21.5")
        node.resource("sluice", ("PUT",))(self.move)
        node.open()

    def emit(self, event, **what):
        """Print an event of this device."""
        emit(event, name=self.node.name, **what)

    def move(self, request):
        """A resource whose use needs an action."""
        self.emit("moved", order=request.payload.decode())
        return b""

    def turn(self, wait_ms):
        """Step the agent, report its state, and make the requests that are due."""
        node = self.node
        node.step(wait_ms)
        authority = node.authority
        state = (authority.epoch, authority.head, authority.me.expires)
        if state != self.reported:
            self.reported = state
            self.emit("state", epoch=state[0], head=state[1].hex(), expires=state[2])
        if node.now_ms >= self.alive_ms:
            self.alive_ms = node.now_ms + ALIVE_MS
            self.emit("alive", counters=node.counters)
        try:
            if node.now_ms >= self.call_ms:
                self.call_ms = node.now_ms + CALL_MS
                self.call(random.choice(self.neighbours))
            if node.now_ms >= self.wish_ms:
                self.wish_ms = node.now_ms + WISH_MS
                self.wish(random.choice(self.neighbours))
        except WritError as error:
            self.emit("error", text=type(error).__name__)

    def call(self, name):
        """Ask a neighbour for its temperature."""
        if name in self.asked:
            return

        def arrived(answer):
            self.asked.remove(name)
            if answer.rejection:
                self.emit("call", to=name, text=type(answer.rejection).__name__)
            else:
                self.emit("call", to=name, text=coap.code_text(answer.code))

        self.asked.append(name)
        self.node.ask(name, coap.GET, "temp", b"", arrived)

    def wish(self, name):
        """Request something of the governors: a renewal first, then a few actions."""
        node = self.node
        authority = node.authority
        if authority.me.expires - authority.now_s(node.now_ms) < LONG_S:
            node.delegate.renew(self.certified, WISH_S)
            return
        member = authority.peer_by(name=name)
        if member is None or not self.wishes:
            return
        self.wishes -= 1
        order = f"{node.name} {random.getrandbits(30):08x}"

        def arrived(answer):
            self.emit("ordered", order=order, text=coap.code_text(answer.code))

        def certified(answer):
            if self.certified(answer):
                node.delegate.act(name, coap.PUT, "sluice", order.encode(), answer.payload, arrived)

        node.delegate.ask_action(
            member.node_id, coap.PUT, "sluice", order.encode(), certified, WISH_S
        )

    def certified(self, answer):
        """Report the governors' answer; whether it is a capsule."""
        if answer.rejection or not answer.is_success():
            text = type(answer.rejection).__name__ if answer.rejection else "refused"
            self.emit("wish", text=text, raw=answer.payload.hex())
            return False
        self.emit("certified", raw=answer.payload.hex())
        return True


def main(folders):
    """Serve and call until stdin ends."""
    devices = [Device(folder) for folder in folders]
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    emit("start")
    while not poll.poll(0):
        for device in devices:
            device.turn(20 // len(devices))


if __name__ == "__main__":
    main(sys.argv[1:])
