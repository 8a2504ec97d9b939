"""Actions from a node on a host: asked for at host peers, handed to the target, and used.

The delegate of the device core asks (writ.node.delegate). It verifies the answer and compares it
with the request, so no host peer is trusted.
"""

import time
from collections.abc import Callable
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.policy import METHODS
from writ.errors import TimedOut, UsageError
from writ.limits import ACTION_PAYLOAD_BYTES_MAX
from writ.wire import coap

from ..errors import HostError, Interrupted, NeedsPerson, NoNode, NotReachable
from ..humanize import duration
from ..refusals import parse_reason, rejection_text
from ..target import Target
from .client import POST, NodeClient, Reply

# How long an action is valid, from the time of the statement that requests it. Governors refuse
# another expiry.
ACTION_S = 3600
# How long the target has for one answer, and the pause before an unreachable one is tried again.
_TRY_S = 15.0
_PAUSE_S = 5.0
WAITS_FOR_APPROVAL = "waiting for approval: operators see it in  writ governor pending"

Announce = Callable[[str], None]


class NoGovernors(NoNode):
    """A node whose config.json names no governor to ask."""


def check(target: Target, payload: bytes) -> None:
    """Raise `UsageError` for what no action can cover."""
    if target.query:
        raise UsageError(f"{target}: an action covers no query; put everything into the payload")
    if len(payload) > ACTION_PAYLOAD_BYTES_MAX:
        raise UsageError(f"an action's payload has at most {ACTION_PAYLOAD_BYTES_MAX} bytes")


def request(
    client: NodeClient,
    target: Target,
    method: int,
    payload: bytes,
    wait_s: float,
    announce: Announce,
) -> bytes:
    """Ask the host peers for an action, and wait until it is certified; the capsule.

    announce(text): called when the request waits for something else. Raises `NeedsPerson` without
    approval in `wait_s`, `NoGovernors`, `NotReachable`, `Interrupted`, or `HostError` if it was
    refused.
    """
    check(target, payload)
    node, deadline = client.node, time.monotonic() + wait_s
    peers = client.folder.config.get("governors") or client.folder.gateways
    if not peers:
        raise NoGovernors(
            f"{node.name} knows no governor",
            f"Name them: writ member request {client.folder.path} --governors HOST:PORT,...",
        )
    # a client's node has no gateways of its own
    node.config["governors"] = peers
    node_id = client.identify(target, min(deadline, time.monotonic() + _TRY_S))
    answers: list[Any] = []
    client.update_clock()
    node.delegate.ask_action(
        node_id, method, target.path, payload, answers.append, max(1, int(wait_s))
    )
    announced, state = "", ""
    try:
        while not answers:
            client.step(deadline + 1)
            state = _state(node) or state
            if state and state != announced:
                announced = state
                announce(state)
    except KeyboardInterrupt:
        raise Interrupted(
            "not waiting any more",
            "The governors may still certify the request, but only this command had it carried"
            " out. Run it again to ask anew.",
        ) from None
    return _action(answers[0], state, wait_s)


def _state(node: Any) -> str:
    for operation in node.operations:
        if operation.statement:
            return "asking the governors for the time"
        if operation.code == coap.VALID:
            return WAITS_FOR_APPROVAL
        if operation.code == coap.UNAVAILABLE:
            return "waiting: too few governors are online"
        if operation.peer:
            return f"asking {operation.peer}"
    return ""


def _action(answer: Any, state: str, wait_s: float) -> bytes:
    if answer.is_success():
        return bytes(answer.payload)
    if answer.code == coap.FORBIDDEN:
        text = answer.payload.decode("utf-8", "replace")
        kind = parse_reason(answer.payload)
        message = f"the governors refused: {rejection_text(kind()) if kind else text}"
        raise HostError(message, "The log of a governor says who and why: writ governor log.")
    if state == WAITS_FOR_APPROVAL:
        raise NeedsPerson(
            f"not approved within {duration(wait_s)}",
            "Run the command again when the operators are there: it asks for another action.",
        )
    if isinstance(answer.rejection, TimedOut):
        raise NotReachable(
            f"no governor answered within {duration(wait_s)}",
            'Check "governors" in config.json, and that they run.',
        )
    raise answer.rejection


def carry_out(
    client: NodeClient,
    target: Target,
    method: int,
    payload: bytes,
    action: bytes,
    announce: Announce,
) -> Reply:
    """Hand a certified action to its target, then make the request that it allows; the answer.

    An unreachable target is tried until the action ends. Raises as `NodeClient.call`.
    """
    place = Target(target.name, target.address, "writ")
    reply = _reach(client, place, POST, action, action, announce)
    if not reply.is_success:
        return reply
    return _reach(client, target, method, payload, action, announce)


def _reach(
    client: NodeClient, target: Target, method: int, body: bytes, action: bytes, announce: Announce
) -> Reply:
    expires = capsules.Action(capsules.parse(action)).expires
    while True:
        try:
            return client.call(target, method, body, _TRY_S)
        except NotReachable:
            # a request that was carried out meanwhile is refused: its action is spent
            if time.time() + _PAUSE_S >= expires:
                raise
            announce(f"{target.name or target.address} does not answer; trying again")
            time.sleep(_PAUSE_S)


def method_named(name: str) -> int:
    """The CoAP code of a method that changes something: "put", "post"."""
    return next(bit.bit_length() for bit, known in METHODS.items() if known == name.upper())
