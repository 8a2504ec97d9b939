"""A sensor that prints events as lines of JSON: lan_program.py FOLDER. It ends with its stdin.

"watch" in config.json: the address of a node whose temperature it observes.
"""

import json
import select
import sys

from writ.compat import save_heap

save_heap()

from writ.agent import Node  # noqa: E402 - the large pieces of the heap first
from writ.wire import coap  # noqa: E402


def emit(event, **what):
    """Print one event."""
    what["event"] = event
    print(json.dumps(what))


def main(folder):
    """Serve, and observe, until stdin ends."""
    node = Node.load(folder)
    values = []

    @node.resource("temp", period_s=1)
    def temp(request):
        values.append(None)
        return "21." + str(len(values))

    def arrived(answer):
        emit("value", text=answer.payload.decode(), ok=answer.is_success())

    node.open()
    emit("start")
    address = node.config.get("watch")
    if address:
        out = node.request(coap.GET, "temp", address=address, observe=True, on_answer=arrived)
        node.send(out)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    seen = None
    while not poll.poll(0):
        node.step(100)
        now = (node.authority.epoch, list(node.config["gateways"]))
        if now != seen:
            seen = now
            emit("state", epoch=now[0], gateways=now[1])


if __name__ == "__main__":
    main(sys.argv[1])
