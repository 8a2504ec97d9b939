"""`writ get|put|post|observe NODE/PATH`: call a resource of another node from this node."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from writ.errors import UsageError
from writ.limits import BODY_BYTES_MAX
from writ.wire import coap

from .. import humanize
from ..errors import NotReachable
from ..node import denial
from ..node.behind import is_behind
from ..node.client import GET, POST, PUT, RENEW_S, NodeClient, Reply
from ..node.folder import NodeFolder
from ..target import Target, parse
from .complete import node_names
from .options import node_option, scope_option, timeout_option
from .output import Output, command, plain

# The resource that lists all others (RFC 6690, section 4).
LINKS = ".well-known/core"
# The period in which `observe` reads a node that cannot notify: that of a bridge.
POLL_S = 60.0
EXAMPLES = """\
\b
TARGET is NODE/PATH, such as pump1/temp, or coap://HOST:PORT/PATH for any node at that address.
The address of NODE comes from book.toml, from a gateway of this node, or from an earlier call.
"""


def open_client(node: Path, scope: Path, out: Output) -> NodeClient:
    """A client that calls from this node, and also reads the scope's address book."""
    client = NodeClient(NodeFolder(node), (scope,))
    client.patience.announce = out.wait
    source = click.get_current_context().get_parameter_source("timeout_s")
    client.patience.is_fixed = source not in (None, ParameterSource.DEFAULT)
    return client


def _call_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        timeout_option,
        scope_option,
        node_option,
        click.argument("target", metavar="TARGET", shell_complete=node_names),
    ):
        function = option(function)
    return function


def _sending_command(name: str, method: int, help: str) -> click.Command:
    """The command `name`, which sends a payload with the CoAP method `method`."""

    @command(name=name, help=help, epilog=EXAMPLES)
    @_call_options
    @click.argument("payload", required=False, default="")
    @click.option("--hex", "is_hex", is_flag=True, help="PAYLOAD is hexadecimal.")
    @click.option("--file", type=click.File("rb"), help="Send a file; - is standard input.")
    def run(
        out: Output,
        target: str,
        payload: str,
        is_hex: bool,
        file: Any,
        node: Path,
        scope: Path,
        timeout_s: float,
    ) -> None:
        _call(out, node, scope, target, method, payload_of(payload, is_hex, file), timeout_s)

    return run


def payload_of(payload: str, is_hex: bool, file: Any) -> bytes:
    """The payload that the arguments of a command name. Raises `UsageError`."""
    if file:
        if payload:
            raise UsageError("give PAYLOAD or --file, not both")
        body = file.read(BODY_BYTES_MAX + 1)
    elif is_hex:
        try:
            body = bytes.fromhex(payload)
        except ValueError:
            raise UsageError(f"{payload!r} is not hexadecimal") from None
    else:
        body = payload.encode()
    if len(body) > BODY_BYTES_MAX:
        raise UsageError(f"a node accepts at most {BODY_BYTES_MAX} bytes in one request")
    return bytes(body)


def facts(reply: Reply, path: str) -> dict[str, object]:
    """The reply as a document for --json."""
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
    """A payload for people: as text, as CBOR in JSON notation, or as hexadecimal digits."""
    text = humanize.as_text(payload)
    if text is not None:
        return text.rstrip("\n")
    item = humanize.as_cbor(payload)
    return payload.hex() if item is None else json.dumps(plain(item), ensure_ascii=False)


def _call(
    out: Output, node: Path, scope: Path, text: str, method: int, body: bytes, timeout_s: float
) -> None:
    goal = parse(text)
    with open_client(node, scope, out) as client:
        reply = client.call(goal, method, body, timeout_s)
        if not reply.is_success:
            raise denial.refusal(client, goal, reply, method)
    if goal.path == LINKS and not reply.payload:
        out.warn(
            f"{reply.peer.name} offers {client.node.name} nothing: its program has no resource, or"
            " no rule allows one. The rules: writ policy show"
        )
    elif reply.payload or method == GET:
        out.line(shown(reply.payload))
    else:
        out.ok(f"{reply.peer.name}: done")
    out.json(facts(reply, goal.path))


@command(epilog=EXAMPLES)
@_call_options
def get(out: Output, target: str, node: Path, scope: Path, timeout_s: float) -> None:
    """Read a resource of a node."""
    _call(out, node, scope, target, GET, b"", timeout_s)


put = _sending_command("put", PUT, "Write a resource of a node.")
post = _sending_command("post", POST, "Post to a resource of a node.")


@command(epilog=EXAMPLES)
@_call_options
@click.option("--count", type=click.IntRange(1), help="Exit after this many values.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(1, 86400),
    metavar="SECONDS",
    help="Where the node does not notify: read it again after so long."
    f" Default: {POLL_S:g} for a node behind a gateway, else end after the first value.",
)
def observe(
    out: Output,
    target: str,
    count: int | None,
    every_s: float | None,
    node: Path,
    scope: Path,
    timeout_s: float,
) -> None:
    """Observe a resource of a node, and print each new value; Ctrl-C ends it.

    After a minute without a notification the command registers again. Notifications do not pass the
    gateway of a mesh: a node behind one is read again and again instead, and the command says so.
    """
    goal = parse(target)
    left = count
    address = ""
    with open_client(node, scope, out) as client:
        try:
            with closing(client.observe(goal, timeout_s, RENEW_S)) as replies:
                for reply in replies:
                    _show_value(out, client, goal, reply)
                    address = reply.address
                    if left is not None:
                        left -= 1
                    if left == 0:
                        return
            if is_behind(address):
                every_s = every_s or POLL_S
                out.wait(
                    "its gateway passes no notifications on: the value is read every"
                    f" {every_s:g} s (--every)"
                )
            if every_s:
                _poll(out, client, goal, every_s, timeout_s, left)
                return
        except KeyboardInterrupt:
            # the normal end of this command
            return
    out.warn(f"{goal} is not observable, or the node has no place for another observer")


def _poll(
    out: Output,
    client: NodeClient,
    goal: Target,
    every_s: float,
    timeout_s: float,
    left: int | None,
) -> None:
    """Read a resource in a period. left: values to print, None for no end."""
    # said once
    client.patience.announce = lambda text: None
    while left is None or left > 0:
        time.sleep(every_s)
        try:
            reply = client.call(goal, GET, b"", timeout_s)
        except NotReachable as error:
            # it sleeps, or a frame was lost: the next read may succeed
            out.warn(str(error), with_json=True)
            continue
        _show_value(out, client, goal, reply)
        left = None if left is None else left - 1


def _show_value(out: Output, client: NodeClient, goal: Target, reply: Reply) -> None:
    if not reply.is_success:
        raise denial.refusal(client, goal, reply, GET)
    at = time.strftime("%H:%M:%S")
    event = {"time": humanize.moment(int(time.time())), **facts(reply, goal.path)}
    out.event({**event, "observe": reply.observe}, f"{at}  {shown(reply.payload)}")
