"""The status of many members at once: each one is asked for `writ/status` by this node.

1. A member is looked for as by `client.py`: in the address books, in the own mesh, at the gateways,
   and where it last answered.
2. AT_ONCE members are asked at a time, and THROUGH_MAX of them through one gateway, which passes no
   more on for one requester.
3. Each member has a time limit of its own, which begins when it is asked.
"""

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.authority.capsule import Member
from writ.errors import RateLimited, Rejection, TableFull, TimedOut
from writ.limits import REQUESTS_MAX
from writ.node.call import Answer
from writ.node.resolve import resolve
from writ.wire import coap

from .. import humanize, inet
from ..refusals import parse_reason, peer_rejection
from . import addressbook, asleep, behind
from .folder import NodeFolder
from .proxy import PASSED_A_REQUESTER_MAX
from .resolver import Resolver

PATH = "writ/status"
# Half of the requests that a node may have open: those that are given up end a moment later.
AT_ONCE = REQUESTS_MAX // 2
# One of the places of a requester is left for another command.
THROUGH_MAX = PASSED_A_REQUESTER_MAX - 1
# The problem of a member behind a mesh that was left out.
NOT_ASKED = "not asked"
# The problem where another member has answered. No rejection has this name.
OTHER_NODE = "OtherNode"
_GATEWAY_S = 3.0
_AGAIN_S = 1.0
_STEP_MS = 50
_Task = Generator[None, None, "Found"]


@dataclass(frozen=True)
class Found:
    """What a member has answered.

    peer: the member that answered, None for none; status: its `writ/status`, None without one;
    epoch: its epoch, 0 where unknown; problem: the name of the rejection that ended the call, or
    NOT_ASKED, or OTHER_NODE if another member has answered, "" for none; sleep: what its gateway
    knows of its sleep; address: "" where none is known; took_ms: until the answer, None without.
    """

    address: str = ""
    peer: Member | None = None
    status: dict[str, Any] | None = None
    epoch: int = 0
    problem: str = ""
    sleep: asleep.Sleep | None = None
    took_ms: float | None = None


class Survey:
    """Asks members from an open folder. books: more folders with a book.toml.

    timeout_s: for each member; has_timeout: whether the operator has said so, else a member behind
    a mesh has `behind.WAIT_S`; asks_mesh: whether members behind a mesh are asked, which costs
    airtime.
    """

    def __init__(
        self,
        folder: NodeFolder,
        books: tuple[Path, ...],
        timeout_s: float,
        has_timeout: bool = False,
        asks_mesh: bool = True,
    ) -> None:
        self._folder, self._node = folder, folder.node
        self._timeout_s, self._has_timeout, self._asks_mesh = timeout_s, has_timeout, asks_mesh
        self._book: dict[str, str] = {}
        for path in reversed((folder.path, *books)):
            self._book |= addressbook.read(path)
        self._seen = addressbook.read_last_seen(folder.path)
        self._resolver = Resolver(lambda: int(self._node.now_ms))
        self._silent: set[str] = set()  # gateways
        self._through: dict[str, int] = {}  # members that are asked through each gateway
        self.found: dict[str, Found] = {}

    def run(self, names: Iterable[str], advance: Callable[[], None]) -> None:
        """Ask these members; `found` has each one that is done, which `advance` is called for."""
        waiting = list(names)
        tasks: dict[str, _Task] = {}
        while waiting or tasks:
            while waiting and len(tasks) < AT_ONCE:
                name = waiting.pop(0)
                tasks[name] = self._ask(name)
            for name, task in list(tasks.items()):
                self._node.now_ms = self._node.clock.now_ms()
                try:
                    next(task)
                except StopIteration as end:
                    del tasks[name]
                    self.found[name] = end.value
                    advance()
            if tasks:
                self._node.step(_STEP_MS)

    # --- one member -------------------------------------------------------------------------------

    def _ask(self, name: str) -> _Task:
        address, node_id = yield from self._locate(name)
        if not address:
            return Found()
        if not behind.is_behind(address):
            return (yield from self._call(name, address, node_id))
        if not self._asks_mesh:
            return Found(address, problem=NOT_ASKED)
        gateway = behind.gateway_of(address)
        while self._through.get(gateway, 0) >= THROUGH_MAX:
            yield
        self._through[gateway] = self._through.get(gateway, 0) + 1
        try:
            return (yield from self._call(name, address, node_id))
        finally:
            self._through[gateway] -= 1

    def _locate(self, name: str) -> Generator[None, None, tuple[str, bytes | None]]:
        seen = self._seen.get(name)
        known = self._node.authority.peer_by(name=name)
        node_id = bytes(known.node_id) if known else seen.node_id if seen else None
        if name in self._book:
            return (yield from self._numeric(self._book[name])), node_id
        if own := self._node.mesh_address(name):
            return own
        for gateway in self._folder.gateways:
            if gateway in self._silent:
                continue
            asked: list[tuple[Member | None, str | None]] = []
            request = resolve(self._node, name, gateway, lambda *two: asked.append(two))  # noqa: B023
            self._node.send(request)
            yield from _until(lambda: asked, _GATEWAY_S)  # noqa: B023
            if not asked:
                self._silent.add(gateway)
            elif asked[0][0] and asked[0][1]:
                return str(asked[0][1]), bytes(asked[0][0].node_id)
        return (seen.address, seen.node_id) if seen else ("", None)

    def _numeric(self, address: str) -> Generator[None, None, str]:
        if inet.is_numeric(address):
            return address
        host, port = inet.split(address)
        yield from _until(lambda: self._resolver.resolve(host), _GATEWAY_S)
        numeric = self._resolver.resolve(host)
        return inet.join(numeric, port) if numeric else ""

    def _call(self, name: str, address: str, node_id: bytes | None) -> _Task:
        limit_s = self._timeout_s
        in_mesh = address.startswith("mesh:")
        if in_mesh and not self._has_timeout:
            limit_s = max(limit_s, behind.WAIT_S)
        start = time.monotonic()
        while True:
            answers: list[Answer] = []
            node = self._node
            if node_id and (session := node.sessions.by_peer(node_id)):
                # the node may have moved since
                session.address = address
            node.send(node.request(coap.GET, PATH, b"", address, node_id, on_answer=answers.append))
            yield from _until(lambda: answers, start + limit_s - time.monotonic())  # noqa: B023
            if not answers:
                # its place among the open requests is free for another member
                node.exchanges.give_up(address)
                return Found(address, problem=TimedOut.__name__)
            answer = answers[0]
            reason = _reason(answer)
            left_s = start + limit_s - time.monotonic()
            if not isinstance(reason, TableFull | RateLimited) or left_s < _AGAIN_S:
                return self._found(name, address, answer, reason, 1000 * (time.monotonic() - start))
            yield from _until(lambda: False, _AGAIN_S)

    def _found(
        self, name: str, address: str, answer: Answer, reason: Rejection | None, took_ms: float
    ) -> Found:
        peer = answer.peer if answer.code else None
        problem = type(reason).__name__ if reason else ""
        sleep = asleep.parse(str(reason)) if isinstance(reason, TimedOut) else None
        if peer is None or peer.name != name:
            return Found(address, None, None, 0, problem if peer is None else OTHER_NODE, sleep)
        session = self._node.sessions.by_peer(peer.node_id)
        address = str(session.address if session and session.address else address)
        addressbook.save_last_seen(self._folder.path, name, address, bytes(peer.node_id))
        status = humanize.as_cbor(bytes(answer.payload)) if answer.is_success() else None
        if not answer.is_success():
            refused = parse_reason(bytes(answer.payload))
            problem = refused.__name__ if refused else coap.code_text(answer.code)
        epoch = self._node.peer_epochs.get(peer.node_id, 0)
        fields = status if isinstance(status, dict) else None
        return Found(address, peer, fields, epoch, problem, None, round(took_ms, 1))


def _reason(answer: Answer) -> Rejection | None:
    rejection = answer.rejection
    return (peer_rejection(rejection) or rejection) if rejection else None


def _until(condition: Callable[[], object], seconds: float) -> Generator[None, None, None]:
    """Wait until the condition holds, for at most so long."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        yield
