"""The proxy of a gateway: it passes requests of members on IP on to nodes behind its mesh.

A request is POST writ/mesh?to=1a2b in the requester's session with the gateway. Its payload is the
CoAP request for the node with that short address, the answer's payload the response of that node
(docs/wire.md). The gateway reads and changes neither: both are protected from end to end, in the
spirit of draft-ietf-core-oscore-capable-proxies. As a radio takes seconds, the answer is a separate
response (RFC 7252, section 5.2.2).

1. The requester must be a member now, with a role that the policy's route of the inner message's
   class lets send. A stranger has no session.
2. Requests under way, and their rate, are limited for each requester and in all.
3. A message for which there is no way or no airtime is refused at once, with the reason.
4. All requesters together get the airtime of one neighbour (writ.mesh.budget): the rest is for the
   gateway's own messages and for governance.
"""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from writ.authority.ratelimit import RateLimiter
from writ.errors import (
    BadMessage,
    BadOption,
    ClassAirtime,
    DutyCycle,
    NeighbourAirtime,
    NoRoute,
    NotRouted,
    RateLimited,
    Rejection,
    Revoked,
    TableFull,
    TimedOut,
    TooLarge,
    UsageError,
)
from writ.mesh.compress import compress
from writ.mesh.frame import BROADCAST, HEADER_BYTES_ROUTED
from writ.mesh.permit import class_of
from writ.mesh.transfer import REQUESTERS
from writ.node.server import Request, refusal
from writ.wire import coap
from writ.wire.coap import Message

from . import asleep
from .requesters import Requesters

# Requests under way, in all and of one requester: a quarter of the requests that a host may have
# open (limits.REQUESTS_MAX), so that the gateway's own ones find room. One is in the air at a time
# for each node.
PASSED_MAX = 16
PASSED_A_REQUESTER_MAX = 4
# Requests that a requester may make at once, and the ms until one more: a handshake takes two, a
# body of 2 kB eight, and some commands follow each other. The airtime of the class limits more.
BURST = 64
REFILL_MS = 250
# Requesters in the gateway's status.
REQUESTERS_REPORTED_MAX = 8
# A request without an answer in this time has failed, before its sender gives up (behind.WAIT_S).
# For a node that sleeps it waits longer, if the sender says so.
TIMEOUT_MS = 38_000
TIMEOUT_MS_MAX = 240_000

# In front of each part of a message (writ.mesh.fragment).
_FRAGMENT_HEAD_BYTES = 2
# 5.04 (RFC 7252, section 5.9.3.5).
GATEWAY_TIMEOUT = 0xA4
_CODES = {
    ClassAirtime.code: coap.UNAVAILABLE,
    DutyCycle.code: coap.UNAVAILABLE,
    NeighbourAirtime.code: coap.UNAVAILABLE,
    NoRoute.code: coap.UNAVAILABLE,
    NotRouted.code: coap.FORBIDDEN,
    TimedOut.code: GATEWAY_TIMEOUT,
}
_DIGITS = re.compile("[0-9]{1,4}")
Datagrams = list[tuple[str, bytes]]


@dataclass(eq=False)
class _Passed:
    """A request under way: the handler of its exchange with the node behind the mesh.

    token, binding: of the request that waits for the answer, in `session`; source: its address.
    """

    proxy: "MeshProxy"
    session: Any
    binding: Any
    token: bytes
    source: str
    message: Message
    address: str
    until_ms: int

    def answered(self, message: Message, address: str, now_ms: int) -> Datagrams:
        """Take the response of the node."""
        return self.proxy.answered(self, message, now_ms)

    def failed(self, rejection: Rejection, now_ms: int) -> Datagrams:
        """Take the end of an exchange without a response."""
        if isinstance(rejection, TimedOut):
            rejection = self.proxy.timed_out(self, now_ms)
        return self.proxy.finish(self, self.proxy.refuse(rejection), now_ms)


class MeshProxy:
    """The proxy of one gateway; `serve` is the `proxy` of its server. A part of the agent.

    node: the gateway's `Node`; frames: its `FrameLinks`. passed: requests passed on so far.
    """

    def __init__(self, node: Any, frames: Any) -> None:
        self._node, self._mesh = node, frames.mesh
        self._under_way: list[_Passed] = []
        self._limiter = RateLimiter(BURST, REFILL_MS)
        self.passed = 0
        self.requesters = Requesters()

    def serve(
        self, session: Any, message: Message, request: Request, binding: Any, now_ms: int
    ) -> Message | None:
        """The response to a request, or None where a separate response follows."""
        try:
            authority = self._node.authority
            authority.check_member(request.peer, now_ms, True)
            body, early = self._node.server.uploads.receive(request.peer.node_id, message, now_ms)
            if early:
                return early
            self._limit(session, now_ms)
            address = self._check(request, body, now_ms)
        except Rejection as rejection:
            return self.refuse(rejection)
        inner = coap.decode(body)
        inner.type, inner.mid, inner.token = coap.CON, None, b""
        until_ms = now_ms + self._wait_ms(request.query, address, now_ms)
        passed = _Passed(
            self, session, binding, message.token, request.address, inner, address, until_ms
        )
        self._under_way.append(passed)
        self._node.later(self._submit, passed)
        return None

    def _limit(self, session: Any, now_ms: int) -> None:
        requester = session.peer.node_id
        mine = sum(one.session.peer.node_id == requester for one in self._under_way)
        if mine >= PASSED_A_REQUESTER_MAX or len(self._under_way) >= PASSED_MAX:
            raise TableFull()
        if not self._limiter.take(requester, now_ms):
            raise RateLimited()

    def _check(self, request: Request, body: bytes, now_ms: int) -> str:
        """The address of the node; raises unless the request may be passed on, and can be."""
        inner = coap.decode(body)
        if not inner.is_request():
            raise BadMessage()
        if inner.option(coap.OBSERVE) is not None:
            # notifications would find no way back
            raise BadOption()
        target = _target(request.query)
        mesh, authority = self._mesh, self._node.authority
        if authority.me and target == authority.me.address:
            raise NoRoute()
        route_class = class_of(body)
        route = mesh.permit.route(route_class)
        if not authority.policy.roles_of(request.peer) & route[1]:
            raise NotRouted()
        member = authority.peer_by(address=target)
        if member and member.node_id in authority.policy.revoked:
            # no way leads there any more, and this says why
            raise Revoked()
        packed = compress(body)
        neighbour, _, _, packed = mesh.way_to(target, route_class, packed, now_ms)
        link = mesh.links[neighbour.link]
        airtime_us = link.airtime_us(min(link.mtu, len(packed) + HEADER_BYTES_ROUTED))
        mesh.outbox.budgets[neighbour.link].check(now_ms, airtime_us, route_class, REQUESTERS)
        return f"mesh:{target:04x}"

    def _wait_ms(self, query: list[str], address: str, now_ms: int) -> int:
        """How long a request waits: a sender that waits for the window of a node says so."""
        asked = [item[5:] for item in query if item.startswith("wait=")]
        if asked and _DIGITS.fullmatch(asked[0]) and self._sleep_of(address, now_ms):
            return min(max(TIMEOUT_MS, 1000 * int(asked[0])), TIMEOUT_MS_MAX)
        return TIMEOUT_MS

    def _sleep_of(self, address: str, now_ms: int) -> asleep.Sleep | None:
        return asleep.known(self._node, self._mesh, int(address[5:9], 16), now_ms)

    def timed_out(self, passed: _Passed, now_ms: int) -> TimedOut:
        """The end of a request without an answer: it names the sleep of a node that sleeps."""
        sleep = self._sleep_of(passed.address, now_ms)
        return TimedOut(sleep.text) if sleep else TimedOut()

    def _submit(self, passed: _Passed, now_ms: int) -> Datagrams:
        self.passed += 1
        out: Datagrams = self._node.client.submit(passed.message, passed.address, passed, now_ms)
        return out

    def sending(self, address: str, datagram: bytes, now_ms: int) -> int | None:
        """Charge a datagram that leaves for a node in the mesh to the member that it is for.

        Returns the `source` for `Mesh.send`: all requesters are one, as a neighbour is.
        """
        token = datagram[4 : 4 + (datagram[0] & 15)]
        for passed in self._under_way:
            if (passed.address, passed.message.token) == (address, token):
                with contextlib.suppress(Rejection):
                    airtime_us = self._airtime_us(int(address[5:9], 16), datagram, now_ms)
                    self.requesters.charge(passed.session.peer.address, airtime_us, now_ms)
                return REQUESTERS
        return None

    def _airtime_us(self, target: int, datagram: bytes, now_ms: int) -> int:
        """The airtime of all frames of a datagram on the gateway's link, sent once."""
        neighbour, _, _, packed = self._mesh.way_to(
            target, class_of(datagram), compress(datagram), now_ms
        )
        link = self._mesh.links[neighbour.link]
        room = link.mtu - HEADER_BYTES_ROUTED
        if len(packed) <= room:
            return int(link.airtime_us(len(packed) + HEADER_BYTES_ROUTED))
        count, rest = divmod(len(packed), room - _FRAGMENT_HEAD_BYTES)
        last_us = link.airtime_us(rest + link.mtu - room + _FRAGMENT_HEAD_BYTES) if rest else 0
        return int(count * link.airtime_us(link.mtu) + last_us)

    def report(self, now_ms: int) -> dict[str, Any]:
        """What the gateway's `writ/status` says of it: who has spent most (docs/wire.md)."""
        rows = [
            [address, -(-us // 1000), count] for address, us, count in self.requesters.spent(now_ms)
        ]
        return {"requesters": rows[:REQUESTERS_REPORTED_MAX]} if rows else {}

    def answered(self, passed: _Passed, message: Message, now_ms: int) -> Datagrams:
        """Give the response of a node to the requester."""
        message.type, message.mid, message.token = coap.ACK, 0, b""
        response = Message(coap.CON, coap.CHANGED, payload=message.encode())
        return self.finish(passed, response, now_ms)

    def refuse(self, rejection: Rejection) -> Message:
        """Count a rejection. Returns the response that names it."""
        self._node.count(rejection)
        response: Message = refusal(rejection)
        response.code = _CODES.get(rejection.code, response.code)
        return response

    def finish(self, passed: _Passed, response: Message, now_ms: int) -> Datagrams:
        """Send the separate response to a request, which ends with it."""
        node, session = self._node, passed.session
        node.exchanges.end(passed.address, passed.message.token)
        if passed not in self._under_way:
            return []
        self._under_way.remove(passed)
        if not node.sessions.is_open(session):
            return []
        response.type, response.token = coap.CON, passed.token
        response.add(coap.EPOCH, node.authority.epoch)
        source = session.address or passed.source
        try:
            # a number of its own: the request's nonce may have been used for a duplicate
            sealed = session.context.protect_response(response, passed.binding, own_piv=True)
            out: Datagrams = node.exchanges.send(sealed, source, now_ms)
            return out
        except Rejection as rejection:
            node.count(rejection)
        except UsageError:
            # the node's response is too long for a datagram around it
            node.count(TooLarge())
        return []

    # --- as a part of the agent -------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, link: Any, now_ms: int) -> bool:
        """False: no datagram is the proxy's own."""
        return False

    def tick(self, now_ms: int) -> Datagrams:
        """Refuse the requests whose time is over."""
        out: Datagrams = []
        for passed in [one for one in self._under_way if one.until_ms <= now_ms]:
            out += passed.failed(TimedOut(), now_ms)
        return out

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has something to do, or None for never."""
        times = [max(0, one.until_ms - now_ms) for one in self._under_way]
        return min(times, default=None)


def _target(query: list[str]) -> int:
    """The short address that a query names. Raises `NoRoute`."""
    for item in query:
        key, _, digits = item.partition("=")
        if key == "to" and len(digits) == 4 and not digits.strip("0123456789abcdef"):
            address = int(digits, 16)
            if 0 < address < BROADCAST:
                return address
    raise NoRoute()
