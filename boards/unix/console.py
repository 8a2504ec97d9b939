"""The board's console: one command a line on stdin, what happens as JSON lines on stdout.

    get NAME/PATH      put NAME/PATH VALUE      observe NAME/PATH      cut RECORD

NAME may be a host:port.
"""

import json
import select
import sys

from writ import coap


def tell(event, **what):
    """Print one event."""
    what["event"] = event
    print(json.dumps(what))


def lines():
    """What stdin has: the next line, or None where there is none yet; ends with stdin."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    # unbuffered, or poll would not see a line that was read ahead
    source = sys.stdin if sys.implementation.name == "micropython" else open(0, "rb", 0)
    while True:
        if poll.poll(0):
            line = source.readline()
            if not line:
                return
            yield (line if isinstance(line, str) else line.decode()).strip()
        else:
            yield None


def command(node, flash, line):
    """Do what the line says; the answer is told when it comes."""
    words = line.split(None, 2)
    if len(words) > 1 and words[0] == "cut":
        flash.cut = words[1]
        tell("cut", path=words[1])
    elif len(words) > 1 and words[0] in ("get", "put", "observe"):
        call(node, words[0], words[1], words[2] if len(words) > 2 else "")
    else:
        tell("error", text=line)


def call(node, verb, target, payload=""):
    """Call `target` ("soil/load", "127.0.0.1:5683/load"); the answer is told when it comes."""

    def arrived(answer):
        what = {"method": verb, "target": target, "epoch": node.authority.epoch}
        if answer.rejection:
            what["text"] = type(answer.rejection).__name__
            # what the peer said without protection; its word only
            what["raw"] = getattr(answer.rejection, "text", b"").hex()
        else:
            what["code"] = coap.code_text(answer.code)
            what["observe"] = answer.observe
            try:
                what["text"] = answer.payload.decode()
            except UnicodeError:
                what["raw"] = answer.payload.hex()
        tell("answer", **what)

    name, _, path = target.partition("/")
    method = coap.PUT if verb == "put" else coap.GET
    if ":" not in name and verb != "observe":
        return node.ask(name, method, path, payload.encode(), arrived)
    member = node.authority.peer_by(name=name)
    wanted = member and member.node_id
    address = node.where(wanted) if member else name
    if ":" not in address:
        return arrived(None)
    observe = True if verb == "observe" else None
    return node.send(
        node.request(
            method, path, payload.encode(), address, wanted, observe=observe, on_answer=arrived
        )
    )
