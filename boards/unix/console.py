"""The board's console: commands on stdin, one a line, and events as JSON lines on stdout.

    get NAME/PATH      put NAME/PATH VALUE      observe NAME/PATH      cut RECORD
    act NAME/PATH VALUE      renew [SECONDS]      beacon

NAME may be a host:port. `act` is a PUT that needs an action, which the console asks host peers for.
"""

import json
import select
import sys

from writ.errors import UsageError
from writ.wire import coap


def emit(event, **what):
    """Print one event."""
    what["event"] = event
    print(json.dumps(what))


def lines():
    """Yield the next line of stdin, or None if there is none yet; ends with stdin."""
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
    """Execute one command; its answer is printed as an event when it comes."""
    words = line.split(None, 2)
    if len(words) > 1 and words[0] == "cut":
        flash.cut = words[1]
        emit("cut", path=words[1])
    elif len(words) > 1 and words[0] in ("get", "put", "observe"):
        call(node, words[0], words[1], words[2] if len(words) > 2 else "")
    elif len(words) > 2 and words[0] == "act":
        act(node, words[1], words[2])
    elif words[:1] == ["renew"] and len(words) < 3:
        wait_s = int(words[1]) if len(words) > 1 else 600
        node.delegate.renew(_emitter(node, "renew", node.name), wait_s)
    elif words == ["beacon"]:
        node.delegate.beacon(_emitter(node, "beacon", node.name))
    else:
        emit("error", text=line)


def call(node, verb, target, payload=""):
    """Call `target` ("soil/load", "127.0.0.1:5683/load"); the answer is an event when it comes."""
    arrived = _emitter(node, verb, target)
    name, _, path = target.partition("/")
    method = coap.PUT if verb == "put" else coap.GET
    if ":" not in name and verb != "observe":
        return node.ask(name, method, path, payload.encode(), arrived)
    member = node.authority.peer_by(name=name)
    wanted = member and member.node_id
    address = node.address_of(wanted) if member else name
    if not address or ":" not in address:
        raise UsageError("no address known of " + name)
    observe = True if verb == "observe" else None
    return node.send(
        node.request(
            method, path, payload.encode(), address, wanted, observe=observe, on_answer=arrived
        )
    )


def act(node, target, payload):
    """Have `target` ("sluice/gate") execute a command that needs an action; an event at the end."""
    arrived = _emitter(node, "act", target)
    name, _, path = target.partition("/")
    payload = payload.encode()

    def certified(answer):
        if answer.rejection or not answer.is_success():
            return arrived(answer)
        emit("action", target=target, raw=answer.payload.hex())
        return node.delegate.act(name, coap.PUT, path, payload, answer.payload, arrived)

    member = node.authority.peer_by(name=name)
    if member is None:
        raise UsageError("no member of this name is known here: " + name)
    node.delegate.ask_action(member.node_id, coap.PUT, path, payload, certified)


def _emitter(node, verb, target):
    # a function that prints an answer as an event
    def arrived(answer):
        what = {"method": verb, "target": target, "epoch": node.authority.epoch}
        if answer.rejection:
            what["text"] = type(answer.rejection).__name__
            # the text of an unprotected answer, which is not authenticated
            what["raw"] = getattr(answer.rejection, "text", b"").hex()
        else:
            what["code"] = coap.code_text(answer.code)
            what["observe"] = answer.observe
            try:
                what["text"] = answer.payload.decode()
            except UnicodeError:
                what["raw"] = answer.payload.hex()
        emit("answer", **what)

    return arrived
