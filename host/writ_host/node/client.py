"""Synchronous calls from a node's folder to other nodes, by name or by address.

A name is looked up in the address books, at the gateways, and among the addresses at which members
last answered. The handshake then proves that the member of this name answers.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from writ.authority.capsule import Member
from writ.errors import (
    Expired,
    NotMember,
    RateLimited,
    Rejection,
    Revoked,
    UnknownCredential,
)
from writ.node.call import Answer, Call
from writ.node.resolve import resolve
from writ.wire import coap

from ..errors import HostError, NoNode, RefusedByNode
from ..refusals import parse_reason
from ..target import Target
from . import addressbook, behind, callerror, owncapsule
from .behind import Patience
from .folder import NodeFolder
from .resolver import numeric

GET, POST, PUT, DELETE = coap.GET, coap.POST, coap.PUT, coap.DELETE

TIMEOUT_S = 15.0
# An unreachable gateway must not use up the call's timeout: the last known address may still work.
_GATEWAY_TIMEOUT_S = 3.0
# After an answer: time for the side with the older policy to pull the newer one.
_SYNC_TIMEOUT_S = 2.0
# An observer that receives nothing for so long asks again: the server may have restarted.
RENEW_S = 60.0
_CANCEL_TIMEOUT_S = 1.0
# A device makes room for one handshake in four seconds.
_RATE_LIMIT_PAUSE_S = 1.0


@dataclass(frozen=True)
class Reply:
    """An answer. code: CoAP code; peer: the member that answered; epoch: the peer's, 0 if unknown.

    observe: the number of a notification, None for a single answer.
    """

    code: int
    payload: bytes
    peer: Member
    address: str
    epoch: int
    took_ms: float
    observe: int | None = None

    @property
    def is_success(self) -> bool:
        """Whether the code's class is 2.xx."""
        return self.code >> 5 == 2

    @property
    def reason(self) -> type[Rejection] | None:
        """The rejection that a refusal names."""
        return None if self.is_success else parse_reason(self.payload)


@dataclass
class _PendingCall:
    """A call, and the answers that have arrived and are not returned yet."""

    call: Call
    answers: list[Answer]


class NodeClient:
    """Calls from an open folder, which is closed with the client. Use as a context manager.

    books: more folders whose book.toml names addresses.
    """

    def __init__(self, folder: NodeFolder, books: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.node = folder.node
        self._books = (folder.path, *books)
        # whether the call that failed last may be made again without an effect of its own
        self._may_repeat = False
        self._address = ""  # of the call that was begun last
        self.patience = Patience(self.node)

    def __enter__(self) -> "NodeClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder."""
        self.folder.close()

    def call(
        self, target: Target, method: int = GET, payload: bytes = b"", timeout_s: float = TIMEOUT_S
    ) -> Reply:
        """Call a resource and wait for the answer, which may be a refusal.

        Raises `NotReachable`, `UnknownNode`, `HostError`, or the `Rejection` that ended the call
        on this side.
        """
        deadline = time.monotonic() + timeout_s
        self._check_member(deadline)
        request = method, payload
        try:
            reply = self._call(target, request, deadline)
        except (Rejection, RefusedByNode) as error:
            self._recover(error, target, deadline)
            if not self._may_repeat:
                raise RefusedByNode(
                    f"{self.node.name} had an old capsule, and has its newest one now",
                    "Run the command again: a request that has left is not repeated.",
                    *(NotMember.__name__, NotMember.code),
                ) from None
        else:
            # refused in a session, and so without effect
            if reply.reason not in (Expired, NotMember) or not self._refresh(deadline):
                return reply
        try:
            return self._call(target, request, deadline)
        except Rejection as error:
            raise self._explained(error, target) from None

    def _call(self, target: Target, request: tuple[int, bytes], deadline: float) -> Reply:
        address, node_id = self.locate(target, deadline)
        deadline = self.patience.extend(target.name, address, deadline)
        started = time.monotonic()
        try:
            answer = self._exchange(target, address, node_id, request, deadline)
        except (NotMember, UnknownCredential):
            # the name may belong to another key by now: learn which, and call that node
            if target.name is None or not self._may_repeat:
                raise
            node_id = self._identify(target.name, address, deadline)
            answer = self._exchange(target, address, node_id, request, deadline)
        reply = self._reply(answer, started)
        self._sync_policy(reply)
        if reply.reason is Revoked and self._is_restored(reply):
            # refused by an older policy, and so without effect; the peer has pulled this node's now
            answer = self._exchange(target, address, node_id, request, deadline)
            reply = self._reply(answer, started)
        return reply

    def observe(
        self, target: Target, timeout_s: float = TIMEOUT_S, renew_s: float = RENEW_S
    ) -> Generator[Reply]:
        """The resource's value, then each new one, until the caller stops or the node refuses."""
        deadline = time.monotonic() + timeout_s
        self._check_member(deadline)
        address, node_id = self.locate(target, deadline)
        timeout_s = self.patience.extend(target.name, address, deadline) - time.monotonic()
        pending, has_recovered = None, False
        try:
            while True:
                if pending and pending.call.observation:
                    # the server moves its entry to the new token
                    self.node.stop_observing(*pending.call.observation)
                started = time.monotonic()
                pending = self._begin(target, address, node_id, GET, b"", observe=True)
                try:
                    answer: Answer | None = self._wait(pending, target, started + timeout_s)
                except (Rejection, RefusedByNode) as error:
                    if has_recovered:
                        raise self._explained(error, target) from None
                    self._recover(error, target, started + timeout_s)
                    has_recovered = True
                    continue
                while answer:
                    reply = self._reply(answer, started)
                    yield reply
                    if reply.observe is None:
                        return
                    answer = self._next(pending, renew_s)
        finally:
            if pending:
                self._cancel(pending)

    def locate(self, target: Target, deadline: float) -> tuple[str, bytes | None]:
        """(address, node id that must answer there, or None for any) of a target."""
        if target.name is None:
            return numeric(str(target.address), deadline - time.monotonic()), None
        name = target.name
        if name == self.node.name:
            raise HostError(f"{name} is this node itself", "Call it from another node's folder.")
        for folder in self._books:
            if found := addressbook.read(folder).get(name):
                address = numeric(found, deadline - time.monotonic())
                return address, self._known(name) or self._identify(name, address, deadline)
        refused = self._refused_count
        member = self._ask_gateways(name, deadline)
        if not member and self._refused_count > refused and self._refresh(deadline):
            member = self._ask_gateways(name, deadline)
        if member:
            return member
        if seen := addressbook.read_last_seen(self.folder.path).get(name):
            return seen.address, seen.node_id
        book = self._books[-1]
        option = "--node" if book == self.folder.path else "--scope"
        file = book / addressbook.BOOK_FILE
        add = f"add it to {file}: writ book add {name} HOST:PORT {option} {book}"
        raise callerror.no_address(name, self.folder, add, target.path)

    def identify(self, target: Target, deadline: float) -> bytes:
        """The node id (8 B) of the target. Raises as `call`."""
        self._check_member(deadline)
        address, node_id = self.locate(target, deadline)
        if node_id is not None:
            return node_id
        return bytes(self._ask_public(address, deadline).peer.node_id)

    def _ask_public(self, address: str, deadline: float) -> Answer:
        """The answer of the node at an address to a request that every member may make."""
        public = Target(None, address, "writ/beacon")
        return self._exchange(public, address, None, (GET, b""), deadline)

    # --- the own membership -----------------------------------------------------------------------

    def _check_member(self, deadline: float) -> None:
        """Get a newer capsule, if others do not accept that of this node; raise without any."""
        self.update_clock()
        if self.node.authority.charter is not None and not owncapsule.is_accepted(self.node):
            self._refresh(deadline)
        if self.node.authority.me is None:
            message = f"{self.node.name} ({self.folder.path}) is not a member yet"
            advice = "Request membership: writ member request, then writ member admit."
            raise NoNode(message, advice)

    def _refresh(self, deadline: float) -> bool:
        """Fetch what this node has missed, from the node called last and from the gateways.

        Returns whether its capsule or the group key is another one now.
        """
        authority = self.node.authority
        before = authority.key_epoch, authority.me
        for address in filter(None, dict.fromkeys([self._address, *self.folder.gateways])):
            owncapsule.fetch(self.node, address, deadline)
            if authority.me is not before[1] and owncapsule.is_accepted(self.node):
                break
        return before != (authority.key_epoch, authority.me)

    def _recover(self, error: Exception, target: Target, deadline: float) -> None:
        """Return if this node has got a newer capsule or key after the error, else raise it."""
        if not (callerror.is_of_capsules(error) and self._refresh(deadline)):
            raise self._explained(error, target) from None

    def _explained(self, error: Exception, target: Target) -> Exception:
        return callerror.explained(error, self.node.name, target, self._address)

    @property
    def _refused_count(self) -> int:
        """How often this node or a peer has ended a call, but for time-outs."""
        names = ("PeerFailed", *(kind.__name__ for kind in callerror.OF_CAPSULES))
        return sum(self.node.counters.get(name, 0) for name in names)

    def _known(self, name: str) -> bytes | None:
        seen = addressbook.read_last_seen(self.folder.path).get(name)
        return seen.node_id if seen else None

    def _identify(self, name: str, address: str, deadline: float) -> bytes:
        # ask for a public resource first: the call itself must reach no other node
        is_open = self.node.sessions.by_address(address) is not None
        answer = self._ask_public(address, deadline)
        if answer.peer.name != name and is_open:
            # renamed, perhaps: a new handshake shows the peer's capsule of today
            for session in list(self.node.sessions):
                if session.peer.node_id == answer.peer.node_id:
                    self.node.sessions.drop(session)
            answer = self._ask_public(address, deadline)
        if answer.peer.name != name:
            raise HostError(
                f"{answer.peer.name} answers at {address}, not {name}",
                "Correct the address in book.toml.",
            )
        return bytes(answer.peer.node_id)

    def _ask_gateways(self, name: str, deadline: float) -> tuple[str, bytes] | None:
        for gateway in self.folder.gateways:
            until = min(deadline, time.monotonic() + _GATEWAY_TIMEOUT_S)
            if found := self._ask_gateway(name, gateway, until):
                return found
        return None

    def _ask_gateway(self, name: str, gateway: str, until: float) -> tuple[str, bytes] | None:
        found: list[tuple[Member | None, str | None]] = []
        self.update_clock()
        self.node.tunnels.silent.add(gateway)
        self.node.send(resolve(self.node, name, gateway, lambda *what: found.append(what)))
        while not found and time.monotonic() < until:
            self.step(until)
        member, address = found[0] if found else (None, None)
        if session := self.node.sessions.by_address(gateway):
            peer = session.peer
            addressbook.save_last_seen(self.folder.path, peer.name, gateway, peer.node_id)
        return (str(address), bytes(member.node_id)) if member and address else None

    # --- one exchange -----------------------------------------------------------------------------

    def update_clock(self) -> None:
        """Set the node's time: a call is judged by, and timed from, this moment."""
        self.node.now_ms = self.node.clock.now_ms()

    def step(self, until: float) -> None:
        """Let the node work for at most a second, or until this monotonic time."""
        wait_ms = int(1000 * min(1.0, max(0.0, until - time.monotonic()))) + 1
        self.node.step(wait_ms)

    def _exchange(
        self,
        target: Target,
        address: str,
        node_id: bytes | None,
        request: tuple[int, bytes],
        deadline: float,
    ) -> Answer:
        """Send a request (method, payload), and wait for its answer.

        A handshake that the node refuses for its rate limit is begun again until the deadline. A
        request that has left is not: the refusal may be forged, and the node may have executed it.
        """
        while True:
            try:
                return self._wait(self._begin(target, address, node_id, *request), target, deadline)
            except RefusedByNode as error:
                again = time.monotonic() + _RATE_LIMIT_PAUSE_S
                if error.code != RateLimited.code or not self._may_repeat or again >= deadline:
                    raise
            while time.monotonic() < again:
                self.step(again)

    def _begin(
        self,
        target: Target,
        address: str,
        node_id: bytes | None,
        method: int,
        payload: bytes,
        observe: bool | None = None,
    ) -> _PendingCall:
        answers: list[Answer] = []
        self._address = address
        query = list(target.query)
        if behind.is_behind(address):
            # notifications find no way through the gateway
            observe = None
        call = Call(address, node_id, method, target.path, query, payload, observe, answers.append)
        self.update_clock()
        session = self.node.sessions.by_peer(node_id) if node_id else None
        if session:
            # the node may have moved since
            session.address = address
        self.node.send(self.node.client.call(call, self.node.now_ms))
        return _PendingCall(call, answers)

    def _wait(self, pending: _PendingCall, target: Target, deadline: float) -> Answer:
        while not pending.answers:
            if time.monotonic() >= deadline:
                silent = self.node.tunnels.silent
                raise callerror.no_answer(target, pending.call.address, silent)
            self.step(deadline)
        answer = pending.answers[0]
        if answer.rejection:
            # an answer that names its peer came in a session, after the request
            self._may_repeat = answer.peer is None or bool(pending.call.may_repeat())
            raise self._error(answer, target, pending.call.address)
        return answer

    def _next(self, pending: _PendingCall, wait_s: float) -> Answer | None:
        pending.answers.pop(0)
        until = time.monotonic() + wait_s
        while not pending.answers:
            if time.monotonic() >= until:
                return None
            self.step(until)
        answer = pending.answers[0]
        if answer.rejection:
            raise self._error(answer, None, pending.call.address)
        return answer

    def _cancel(self, pending: _PendingCall) -> None:
        # the server has few places for observers: give this one back
        call = pending.call
        if not call.observation:
            return
        pending.answers.clear()
        call.observe = False
        self.update_clock()
        self.node.send(self.node.client.call(call, self.node.now_ms))
        until = time.monotonic() + _CANCEL_TIMEOUT_S
        while not pending.answers and time.monotonic() < until:
            self.step(until)

    def _reply(self, answer: Answer, started: float) -> Reply:
        peer: Member = answer.peer
        session = self.node.sessions.by_peer(peer.node_id)
        address = str(session.address) if session else ""
        if address:
            addressbook.save_last_seen(self.folder.path, peer.name, address, peer.node_id)
        epoch = self.node.peer_epochs.get(peer.node_id, 0)
        took_ms = 1000 * (time.monotonic() - started)
        return Reply(answer.code, answer.payload, peer, address, epoch, took_ms, answer.observe)

    def _sync_policy(self, reply: Reply) -> None:
        # the side with the older policy pulls the newer one from the other now
        until = time.monotonic() + _SYNC_TIMEOUT_S
        epochs, peer = self.node.peer_epochs, reply.peer.node_id
        if peer not in epochs:
            # it takes no part in governance
            return
        is_behind = epochs[peer] < self.node.authority.epoch
        if reply.reason is Expired or (reply.reason is Revoked and not is_behind):
            # this peer gives us nothing any more
            return
        while epochs[peer] != self.node.authority.epoch and time.monotonic() < until:
            self.step(until)

    def _is_restored(self, reply: Reply) -> bool:
        """Whether the policy in force here and at the peer does not revoke this node."""
        known = self.node.peer_epochs.get(reply.peer.node_id)
        return known == self.node.authority.epoch and not self.is_revoked

    @property
    def is_revoked(self) -> bool:
        """Whether the policy in force on this node revokes the node itself."""
        policy, me = self.node.authority.policy, self.node.authority.me
        return bool(policy and me and me.node_id in policy.revoked)

    def _error(self, answer: Answer, target: Target | None, address: str) -> Exception:
        """The error for a call that ended without an answer."""
        own = self.node.name
        if isinstance(answer.rejection, Revoked):
            # on this side: a peer's refusal is an answer, or PeerFailed
            name = answer.peer.name if answer.peer else target and target.name
            return callerror.revoked_here(name or address, own, self.node.authority.epoch)
        return callerror.to_error(answer.rejection, own, target, address, self.node.tunnels.silent)
