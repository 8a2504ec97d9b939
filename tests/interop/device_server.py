"""A device as server of foreign clients: `device_server.py DIRECTORY`. Both interpreters."""

import sys

import writ

node = writ.Node.load(sys.argv[1])
state = {"reading": 0, "table": b""}


@node.resource("temp", period_s=0.15)
def temp(request):
    """A value that changes with each read."""
    state["reading"] += 1
    reading = state["reading"]
    return f"21.{reading}"


@node.resource("table", ("GET", "PUT", "POST"))
def table(request):
    """PUT replaces the table, POST appends to it, GET returns it."""
    if request.method == 1:
        return state["table"]
    before = b"" if request.method == 3 else state["table"]
    table = state["table"] = before + request.payload
    return f"{len(table)} bytes from {request.peer.name}"


@node.resource("secret")
def secret(request):
    """No rule allows this resource."""
    return "the policy was not asked"


@node.resource("other")
def other(request):
    """A resource for another role."""
    return "role 3"


node.run()
