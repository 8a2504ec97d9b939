"""A program at one end of a serial line, for both interpreters: `serial_program.py CONFIG [flood]`.

CONFIG: the JSON of a serial link in config.json. Each frame is returned with its bytes reversed,
but for b"report", whose answer is JSON, and b"stop", which ends the program. With `flood` it sends
until the line takes no more, and prints how many frames the line took.
"""

import gc
import json
import select
import sys
import time

from writ.compat import Clock
from writ.link.serial import SerialLink


def report(link):
    """Counters, and the bytes of the heap in use (0 on CPython)."""
    gc.collect()
    used = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
    return json.dumps({"counters": link.counters, "used": used}).encode()


def wait(link, now_ms, wait_ms):
    """Wait until there is something to receive or to do, `wait_ms` at most."""
    due_ms = link.next_ms(now_ms)
    if due_ms is not None:
        wait_ms = min(wait_ms, due_ms)
    if link.handle is None:
        time.sleep(wait_ms / 1000)
    else:
        poll = select.poll()
        poll.register(link.handle, select.POLLIN)
        poll.poll(wait_ms)


def serve(link):
    """Return frames until b"stop"."""
    clock = Clock()
    answers = []
    while True:
        found = link.receive(clock.now_ms())
        if found:
            frame = found[0]
            if frame == b"stop":
                return
            answers.append(report(link) if frame == b"report" else bytes(reversed(frame)))
        while answers and link.send(answers[0], clock.now_ms()):
            answers.pop(0)
        if not found:
            wait(link, clock.now_ms(), 10 if answers else 1000)


def flood(link):
    """Send frames until the line takes no more, for a while; how many it took."""
    count = refused = 0
    link.receive(0)
    while refused < 100:
        if link.send(bytes(link.mtu), 0):
            count += 1
            refused = 0
        else:
            refused += 1
    return count


if __name__ == "__main__":
    serial = SerialLink(json.loads(sys.argv[1]))
    if sys.argv[2:] == ["flood"]:
        print(flood(serial))
    else:
        serve(serial)
    serial.close()
