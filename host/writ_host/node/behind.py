"""Nodes behind a mesh, as a host on IP reaches them: by the proxy of their gateway (proxy.py).

The address of such a node is "mesh:1a2b via 192.0.2.7:5683": its short address, and where its
gateway answers. A look-up of its name at that gateway gives it. OSCORE protects each message from
end to end; the leg to the gateway has a session of its own, so that only members spend airtime.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from writ.errors import PeerFailed, Rejection, UsageError
from writ.node.call import Answer
from writ.wire import coap

from .. import target

# The resource of the proxy (docs/wire.md).
PATH = "writ/mesh"
# How long a call waits unless the operator says otherwise: the proxy gives up before it
# (proxy.TIMEOUT_MS).
WAIT_S = 40.0
# The longest wait for a node that sleeps: the request to the gateway lives 247 s (RFC 7252, 4.8.2).
WAIT_S_MAX = 240.0
# The gateway gives up this long before the caller does, so that its answer arrives in time.
_BEFORE_S = 2.0
# CoAP's first time-out of a message in the tunnel, longer than any wait: such a message is never
# repeated, since the requests on both legs are.
TIMEOUT_MS = 300_000
_VIA = " via "
_MESH = "mesh:"
_DIGITS = 4


class NotPassedOn(PeerFailed):
    """The gateway did not pass a request on.

    via: the gateway's address; text: its refusal (bytes).
    """

    via = ""


Datagrams = list[tuple[str, bytes]]


def is_behind(address: str | None) -> bool:
    """Whether an address is of a node behind a mesh that its gateway's proxy reaches."""
    return address is not None and _VIA in address


def gateway_of(address: str) -> str:
    """ "host:port" of the gateway in such an address."""
    return address.partition(_VIA)[2]


def check_address(text: str) -> str:
    """`text` as "host:port", or as the address of a node in a mesh. Raises `UsageError`."""
    if not text.startswith(_MESH):
        return target.check_address(text)
    place, via, gateway = text.partition(_VIA)
    digits = place.removeprefix(_MESH)
    if len(digits) != _DIGITS or digits.strip("0123456789abcdef"):
        raise UsageError(f"{text!r} is no address in a mesh")
    return f"{place}{via}{target.check_address(gateway)}" if via else place


class Patience:
    """How long a call waits: longer for a node behind a mesh, once its address is known.

    node: the `HostNode` that calls; announce: called with a text about the wait; is_fixed: whether
    the operator has said how long.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self.announce: Callable[[str], None] = lambda text: None
        self.is_fixed = False

    def extend(self, name: str | None, address: str, deadline: float) -> float:
        """The deadline (monotonic time) of a call to the member `name` at this address."""
        if not is_behind(address):
            return deadline
        if not self.is_fixed:
            gateway = gateway_of(address)
            session = self._node.sessions.by_address(gateway)
            where = session.peer.name if session else gateway
            self.announce(f"{name or address} is behind {where}: up to {WAIT_S:g} s")
            deadline = max(deadline, time.monotonic() + WAIT_S)
        self._node.tunnels.deadline = deadline
        return deadline


class Behind:
    """The tunnels of one node to nodes behind meshes. node: a `writ.node.node.Node`.

    deadline: until when the caller waits (monotonic time), None for as long as the gateway does.
    silent: addresses of gateways that have sent nothing since this node asked them last.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self.silent: set[str] = set()
        self.deadline: float | None = None

    def wrap(self, address: str, datagram: bytes) -> Datagrams:
        """What to send instead of a datagram for a node behind a mesh."""
        message = coap.decode(datagram)
        if not message.is_request():
            # an acknowledgement: the gateway has given its own
            return []
        place, _, gateway = address.partition(_VIA)
        self.silent.add(gateway)
        out: Datagrams = self._node.request(
            coap.POST,
            PATH,
            datagram,
            address=gateway,
            query=[f"to={place.removeprefix(_MESH)}", *self._patience()],
            on_answer=partial(self._answered, address, message),
        )
        return out

    def _patience(self) -> list[str]:
        """The query that asks a gateway to wait longer for a node that sleeps."""
        if self.deadline is None:
            return []
        wait_s = min(WAIT_S_MAX, self.deadline - time.monotonic()) - _BEFORE_S
        return [f"wait={int(wait_s)}"] if wait_s > WAIT_S else []

    def _answered(self, address: str, request: coap.Message, answer: Answer) -> None:
        if answer.code == coap.CHANGED:
            try:
                response = coap.decode(answer.payload)
                response.type, response.mid, response.token = coap.ACK, request.mid, request.token
                self._node.later(self._node.receive, response.encode(), address)
                return
            except (Rejection, UsageError):
                # from a gateway that makes it up
                pass
        rejection = answer.rejection or NotPassedOn()
        if isinstance(rejection, NotPassedOn):
            rejection.via, rejection.text = gateway_of(address), bytes(answer.payload)
        self._node.later(self._fail, request, address, rejection)

    def _fail(
        self, request: coap.Message, address: str, rejection: Rejection, now_ms: int
    ) -> Datagrams:
        exchanges = self._node.exchanges
        handler = exchanges.match(request, address)
        if handler is None:
            return []
        exchanges.end(address, request.token)
        out: Datagrams = handler.failed(rejection, now_ms)
        return out
