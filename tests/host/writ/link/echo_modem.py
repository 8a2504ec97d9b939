"""Answers each frame of a link with the same frame reversed; runs on MicroPython and CPython.

Argument: the link's entry of "links", as JSON. It ends when its standard input does.
"""

import json
import select
import sys

from writ.compat import Clock
from writ.link.links import open_link


def main():
    """Run until standard input ends. Prints "ready" when the modem is set up."""
    link = open_link(json.loads(sys.argv[1]))
    clock = Clock()
    waiting = []
    was_ready = False
    while True:
        now_ms = clock.now_ms()
        found = link.receive(now_ms)
        if found:
            waiting.append(bytes(reversed(found[0])))
        if waiting and link.send(waiting[0], now_ms):
            waiting.pop(0)
        if link.error is None and not was_ready:
            was_ready = True
            print("ready")
        wait_ms = link.next_ms(now_ms)
        if waiting or wait_ms is None:
            wait_ms = 10
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        if link.handle is not None:
            poll.register(link.handle, select.POLLIN)
        poll.poll(min(wait_ms, 1000))
        stdin = select.poll()
        stdin.register(sys.stdin, select.POLLIN)
        if stdin.poll(0):
            link.close()
            print(json.dumps(link.counters))
            return


main()
