"""Calls of the bridge's node to other members by name, without waiting for them.

The order is that of `writ_host.node.client`: address books, gateways, the address at which the
member was last seen. A name that is known by its address alone is identified first by a request
that every member may make, so that no other node gets the call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.authority.capsule import Member
from writ.errors import NotMember, Rejection, TimedOut, UnknownCredential
from writ.node.call import Answer
from writ.node.resolve import resolve
from writ.wire import coap

from .. import inet
from ..node import addressbook
from ..node.asleep import parse
from ..node.behind import is_behind
from ..node.folder import HostNode, NodeFolder
from ..node.resolver import Resolver
from ..node.survey import OTHER_NODE
from ..refusals import parse_rejection, peer_rejection
from ..textfile import BadText

# The book's files may change while the bridge runs.
_BOOK_PERIOD_MS = 60_000


@dataclass(frozen=True)
class Outcome:
    """The end of a call, or a notification.

    code: of the answer, 0 without one; member: that answered, or None; problem: the rejection's
    name, "" for a success; number: the rejection's code, 0 if it has none; observed: whether more
    notifications follow; is_asleep: whether the gateway of the member knows that it sleeps.
    """

    code: int = 0
    payload: bytes = b""
    member: Member | None = None
    problem: str = ""
    number: int = 0
    observed: bool = False
    is_asleep: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the node has answered."""
        return self.code != 0


OnOutcome = Callable[[Outcome], None]


@dataclass(frozen=True)
class _Request:
    """A call to a member that is located."""

    name: str
    method: int
    path: str
    payload: bytes
    observe: bool | None
    on_outcome: OnOutcome


class Members:
    """Calls from an open folder. books: more folders with a book.toml.

    Every method is called in the loop that steps the node, and each call ends with one outcome.
    """

    def __init__(self, folder: NodeFolder, books: tuple[Path, ...] = ()) -> None:
        self._folder, self._books = folder, (folder.path, *books)
        self._node: HostNode = folder.node
        self._resolver = Resolver(lambda: int(self._node.now_ms))
        self._addresses: dict[str, str] = {}  # of the books
        self._read_ms: int | None = None
        self._in_mesh: set[str] = set()  # members that were found in a mesh
        try:
            self._seen = addressbook.read_last_seen(folder.path)
        except (BadText, OSError):
            # addresses are learned again
            self._seen = {}

    def call(
        self,
        name: str,
        method: int,
        path: str,
        payload: bytes,
        on_outcome: OnOutcome,
        observe: bool | None = None,
    ) -> None:
        """Call a resource of a member: `on_outcome` is called once, or for each notification."""
        request = _Request(name, method, path, payload, observe, on_outcome)
        node = self._node
        node.now_ms = node.clock.now_ms()
        if address := self._book_address(name):
            self._identify(request, address)
        elif own := node.mesh_address(name):
            self._send(request, *own)
        elif self._folder.gateways:
            self._look_up(request, list(self._folder.gateways))
        else:
            self._call_seen(request)

    def is_in_mesh(self, name: str) -> bool:
        """Whether a member was found in a mesh, where an answer takes longer."""
        return name in self._in_mesh

    def _book_address(self, name: str) -> str | None:
        now_ms = int(self._node.now_ms)
        if self._read_ms is None or now_ms - self._read_ms >= _BOOK_PERIOD_MS:
            self._read_ms = now_ms
            found: dict[str, str] = {}
            for path in reversed(self._books):
                try:
                    found |= addressbook.read(path)
                except (BadText, OSError):
                    # a book that is being edited: what was read before stays
                    found |= self._addresses
            self._addresses = found
        address = self._addresses.get(name)
        if address is None:
            return None
        if inet.is_numeric(address):
            return address
        host, port = inet.split(address)
        numeric = self._resolver.resolve(host)
        return inet.join(numeric, port) if numeric else None

    # --- one call, step by step -------------------------------------------------------------------

    def _identify(self, request: _Request, address: str) -> None:
        """Call the member at an address of the book, once it is known to be this member."""
        seen = self._seen.get(request.name)
        known = self._node.authority.peer_by(name=request.name)
        node_id = known.node_id if known else seen.node_id if seen else None
        if node_id is not None:
            self._send(request, address, node_id)
            return

        def identified(answer: Answer) -> None:
            if answer.peer is None:
                request.on_outcome(_failed(answer.rejection))
            elif answer.peer.name != request.name:
                request.on_outcome(Outcome(problem=OTHER_NODE, member=answer.peer))
            else:
                self._remember(answer.peer, address)
                self._node.later(self._continue, request, address, answer.peer.node_id)

        self._begin("writ/beacon", coap.GET, b"", address, None, None, identified)

    def _continue(self, request: _Request, address: str, node_id: bytes, _: int) -> list[Any]:
        self._send(request, address, node_id)
        return []

    def _look_up(self, request: _Request, gateways: list[str]) -> None:
        """Ask the gateways, one after the other, then call."""
        gateway = gateways.pop(0)

        def found(member: Member | None, address: str | None) -> None:
            if member is not None and address:
                self._node.later(self._continue, request, address, member.node_id)
            else:
                self._node.later(self._look_up_next, request, gateways)

        self._node.send(resolve(self._node, request.name, gateway, found))

    def _look_up_next(self, request: _Request, gateways: list[str], _: int) -> list[Any]:
        if gateways:
            self._look_up(request, gateways)
        else:
            self._call_seen(request)
        return []

    def _call_seen(self, request: _Request) -> None:
        seen = self._seen.get(request.name)
        if seen is None:
            request.on_outcome(Outcome(problem="UnknownNode"))
        else:
            self._send(request, seen.address, seen.node_id)

    def _send(self, request: _Request, address: str, node_id: bytes) -> None:
        session = self._node.sessions.by_peer(node_id)
        if session:
            # the node may have moved since
            session.address = address
        if address.startswith("mesh:"):
            self._in_mesh.add(request.name)
        else:
            self._in_mesh.discard(request.name)

        def answered(answer: Answer) -> None:
            if answer.peer is not None and answer.code:
                self._remember(answer.peer, address)
            elif isinstance(answer.rejection, NotMember | UnknownCredential):
                # the name may belong to another key by now: the next call learns which
                self._seen.pop(request.name, None)
            request.on_outcome(_outcome(answer))

        self._begin(
            request.path,
            request.method,
            request.payload,
            address,
            node_id,
            # notifications find no way through a gateway
            None if is_behind(address) else request.observe,
            answered,
        )

    def _begin(
        self,
        path: str,
        method: int,
        payload: bytes,
        address: str,
        wanted: bytes | None,
        observe: bool | None,
        on_answer: Callable[[Answer], None],
    ) -> None:
        self._node.send(
            self._node.request(
                method,
                path,
                payload,
                address=address,
                wanted=wanted,
                observe=observe,
                on_answer=on_answer,
            )
        )

    def _remember(self, member: Member, address: str) -> None:
        session = self._node.sessions.by_peer(member.node_id)
        address = str(session.address) if session and session.address else address
        entry = addressbook.LastSeen(address, bytes(member.node_id))
        if self._seen.get(member.name) != entry:
            self._seen[member.name] = entry
            addressbook.save_last_seen(self._folder.path, member.name, address, entry.node_id)


def _outcome(answer: Answer) -> Outcome:
    if answer.rejection:
        return _failed(answer.rejection)
    observed = answer.observe is not None
    if answer.is_success():
        return Outcome(answer.code, bytes(answer.payload), answer.peer, observed=observed)
    rejection = parse_rejection(bytes(answer.payload))
    return Outcome(
        answer.code,
        bytes(answer.payload),
        answer.peer,
        type(rejection).__name__ if rejection else coap.code_text(answer.code),
        rejection.code if rejection else 0,
    )


def _failed(rejection: Rejection | None) -> Outcome:
    """The outcome of a call that ended without an answer."""
    found = (peer_rejection(rejection) if rejection else None) or rejection
    is_asleep = isinstance(found, TimedOut) and parse(str(found)) is not None
    number = getattr(found, "code", 0)
    return Outcome(problem=type(found).__name__, number=number, is_asleep=is_asleep)
