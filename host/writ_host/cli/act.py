"""`writ act NODE/PATH VALUE`: a command that needs a certified action, from request to answer."""

from pathlib import Path
from typing import Any

import click

from writ.authority import capsule as capsules

from .. import humanize
from ..ceremony import keyring
from ..errors import HostError
from ..governor.client.connection import read_daemon
from ..node import action, denial
from ..target import parse
from .call import facts, open_client, payload_of, shown
from .complete import node_names
from .options import node_option, scope_option
from .output import Output, command

_METHODS = ("put", "post", "delete")


@command(
    epilog="""\b
The node in --node asks its governors ("governors" in config.json) as a member. Operators see the
whole command in  writ governor pending  and approve it; the action then counts once, and for an
hour from the request. VALUE must be readable for them: 512 bytes at most.
"""
)
@click.argument("target", metavar="NODE/PATH", shell_complete=node_names)
@click.argument("payload", metavar="VALUE", required=False, default="")
@click.option("--hex", "is_hex", is_flag=True, help="VALUE is hexadecimal.")
@click.option("--file", type=click.File("rb"), help="Send a file; - is standard input.")
@click.option(
    "--method",
    type=click.Choice(_METHODS),
    default=_METHODS[0],
    show_default=True,
    help="The method of the command.",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(1, action.ACTION_S),
    default=action.ACTION_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for approval.",
)
@node_option
@scope_option
def act(
    out: Output,
    target: str,
    payload: str,
    is_hex: bool,
    file: Any,
    method: str,
    wait_s: float,
    node: Path,
    scope: Path,
) -> None:
    """Have a node carry out a command that operators must approve.

    The rule of the policy for the resource is marked `quorum`.
    """
    goal, body, code = parse(target), payload_of(payload, is_hex, file), action.method_named(method)
    with open_client(node, scope, out) as client:
        try:
            raw = action.request(client, goal, code, body, wait_s, out.note)
        except action.NoGovernors:
            _check_daemons(scope)
            raise
        expires = capsules.Action(capsules.parse(raw)).expires
        out.note(f"certified; it counts until {humanize.moment(expires)}")
        reply = action.carry_out(client, goal, code, body, raw, out.note)
        if not reply.is_success:
            raise denial.refusal(client, goal, reply, code)
    out.ok(f"{reply.peer.name}: done" + (f": {shown(reply.payload)}" if reply.payload else ""))
    out.json({**facts(reply, goal.path), "action": raw, "expires": humanize.moment(expires)})


def _check_daemons(scope: Path) -> None:
    """Raise `HostError` if the governors of this scope are no daemons, which certify no action."""
    if keyring.names_in(scope / "governors") and read_daemon(scope) is None:
        raise HostError(
            f"the governors of {scope} are no daemons (scope create --local), and operators approve"
            " actions at daemons",
            "Found a scope with daemons: writ scope create NAME --governors (docs/governors.md). Or"
            " remove `quorum` from the rule in policy.toml, and certify it.",
        )
