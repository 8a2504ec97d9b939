"""`writ get|put|post|observe NODE/PATH`: call a resource of another node, as this node."""

import functools
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from writ.errors import UsageError
from writ.limits import BODY_BYTES_MAX
from writ.wire import coap

from .. import humanize
from ..node import addressbook, denial
from ..node.client import GET, POST, PUT, RENEW_S, NodeClient, Reply
from ..node.folder import NodeFolder
from ..target import parse
from .options import node_option, scope_option, timeout_option
from .output import Output, command, plain

EXAMPLES = """\
\b
TARGET is NODE/PATH, such as pump1/temp, or coap://HOST:PORT/PATH for whoever is there.
A node's address comes from book.toml, from a gateway of this node, or from an earlier call.
"""


def complete_node(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of nodes that this one knows, for the shell."""
    node = Path(ctx.params.get("node") or ".")
    scope = Path(ctx.params.get("scope") or ".")
    names = {*addressbook.read(node), *addressbook.read_last_seen(node), *addressbook.read(scope)}
    return sorted(name for name in names if name.startswith(incomplete))


def open_client(node: Path, scope: Path) -> NodeClient:
    """A client that calls from this node, and also reads the scope's address book."""
    return NodeClient(NodeFolder(node), (scope,))


def _caller(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        timeout_option,
        scope_option,
        node_option,
        click.argument("target", metavar="TARGET", shell_complete=complete_node),
    ):
        function = option(function)
    return function


def _sender(function: Callable[..., None]) -> Callable[..., None]:
    # a command's function takes what is sent as `body`
    @click.argument("payload", required=False, default="")
    @click.option("--hex", "is_hex", is_flag=True, help="PAYLOAD is hexadecimal.")
    @click.option("--file", type=click.File("rb"), help="Send a file; - is standard input.")
    @functools.wraps(function)
    def wrapped(*arguments: Any, payload: str, is_hex: bool, file: Any, **options: Any) -> None:
        function(*arguments, body=_body(payload, is_hex, file), **options)

    return _caller(wrapped)


def _body(payload: str, is_hex: bool, file: Any) -> bytes:
    if file:
        if payload:
            raise UsageError("either PAYLOAD or --file, not both")
        body = file.read(BODY_BYTES_MAX + 1)
    elif is_hex:
        try:
            body = bytes.fromhex(payload)
        except ValueError:
            raise UsageError(f"{payload!r} is not hexadecimal") from None
    else:
        body = payload.encode()
    if len(body) > BODY_BYTES_MAX:
        raise UsageError(f"a node takes at most {BODY_BYTES_MAX} bytes at one time")
    return bytes(body)


def facts(reply: Reply, path: str) -> dict[str, object]:
    """What a program wants to know of a reply."""
    return {
        "node": reply.peer.name,
        "address": reply.address,
        "path": path,
        "code": coap.code_text(reply.code),
        "text": humanize.as_text(reply.payload),
        "cbor": plain(humanize.as_cbor(reply.payload)),
        "hex": reply.payload,
        "epoch": reply.epoch,
        "ms": round(reply.took_ms, 1),
    }


def shown(payload: bytes) -> str:
    """A payload for people: its text, what its CBOR says, or hexadecimal."""
    text = humanize.as_text(payload)
    if text is not None:
        return text.rstrip("\n")
    item = humanize.as_cbor(payload)
    return payload.hex() if item is None else json.dumps(plain(item), ensure_ascii=False)


def _call(
    out: Output, node: Path, scope: Path, text: str, method: int, body: bytes, timeout_s: float
) -> None:
    goal = parse(text)
    with open_client(node, scope) as client:
        reply = client.call(goal, method, body, timeout_s)
        if not reply.is_success:
            raise denial.refusal(client, goal, reply, method)
    if reply.payload or method == GET:
        out.line(shown(reply.payload))
    else:
        out.ok(f"{reply.peer.name} did it")
    out.json(facts(reply, goal.path))


@command(epilog=EXAMPLES)
@_caller
def get(out: Output, target: str, node: Path, scope: Path, timeout_s: float) -> None:
    """Read a resource of a node."""
    _call(out, node, scope, target, GET, b"", timeout_s)


@command(epilog=EXAMPLES)
@_sender
def put(out: Output, target: str, body: bytes, node: Path, scope: Path, timeout_s: float) -> None:
    """Write a resource of a node."""
    _call(out, node, scope, target, PUT, body, timeout_s)


@command(epilog=EXAMPLES)
@_sender
def post(out: Output, target: str, body: bytes, node: Path, scope: Path, timeout_s: float) -> None:
    """Post to a resource of a node."""
    _call(out, node, scope, target, POST, body, timeout_s)


@command(epilog=EXAMPLES)
@_caller
@click.option("--count", type=click.IntRange(1), help="End after so many values.")
def observe(
    out: Output, target: str, count: int | None, node: Path, scope: Path, timeout_s: float
) -> None:
    """Follow a resource of a node as it changes; Ctrl-C ends it.

    After a minute of silence the node is asked again.
    """
    goal = parse(target)
    left = count
    with (
        open_client(node, scope) as client,
        closing(client.observe(goal, timeout_s, RENEW_S)) as replies,
    ):
        try:
            for reply in replies:
                if not reply.is_success:
                    raise denial.refusal(client, goal, reply, GET)
                at = time.strftime("%H:%M:%S")
                event = {"time": humanize.moment(int(time.time())), **facts(reply, goal.path)}
                out.event({**event, "observe": reply.observe}, f"{at}  {shown(reply.payload)}")
                if left is not None:
                    left -= 1
                if left == 0:
                    return
        except KeyboardInterrupt:
            # how a person ends it
            return
    out.warn(f"{goal} has no more places for observers, or tells nothing by itself")
