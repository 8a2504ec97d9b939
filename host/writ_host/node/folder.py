"""A node's folder on a host: opened by one process at a time, and called from synchronous code.

The folder is a device's (config.json and the records of writ.store); `book.toml` and `seen.json`
are a host's. Two processes on one folder would use AEAD nonces twice, hence the lock.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from writ import agent, compat
from writ.authority.capsule import Member
from writ.authority.store import FileFlash, Store
from writ.errors import (
    EchoRequired,
    Expired,
    NotMember,
    PeerFailed,
    Rejection,
    Revoked,
    TimedOut,
    UnknownCredential,
    UsageError,
)
from writ.node.client import Answer, Call
from writ.wire import coap

from ..errors import HostError, NodeInUse, NoNode, NotReachable, RefusedByNode, UnknownNode
from ..refusals import advice_for, parse_reason, rejection_text
from ..target import Target
from . import addressbook
from . import config as nodeconfig

GET, POST, PUT, DELETE = coap.GET, coap.POST, coap.PUT, coap.DELETE

# A gateway that is away must not use up all the time there is: the last known address may do.
_GATEWAY_WAIT_S = 3.0
# After an answer: time for the side with the older policy to pull the newer one.
_LINGER_S = 2.0
# An observer that hears nothing for so long asks again: the server may have restarted.
RENEW_S = 60.0


class PrivateFlash(FileFlash):
    """A directory as flash, its files for the owner's eyes only: keys are among them."""

    def write(self, name: str, data: bytes) -> None:
        """Replace the file's content and wait until the medium has it."""
        path = os.path.join(self._directory, name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            compat.sync(file)


class HostNode(agent.Node):
    """An agent that remembers which epoch each member told last: `told`, by node id."""

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        self.told: dict[bytes, int] = {}
        super().__init__(store, config)

    def notice(self, session: Any, epoch: int, now_ms: int) -> list[tuple[str, bytes]]:
        """As the core: an authentic message told the peer's epoch."""
        self.told[session.peer.node_id] = epoch
        out: list[tuple[str, bytes]] = super().notice(session, epoch, now_ms)
        return out


@dataclass(frozen=True)
class Reply:
    """An answer. code: CoAP code; peer: who answered; epoch: the peer's, as far as it told."""

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


class Lock:
    """The exclusive use of a node's folder, until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = open(path / "lock", "a+b")  # noqa: SIM115 - held while it locks
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self._holder()
            self._file.close()
            raise NodeInUse(f"{path} is in use by {holder}") from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} ({' '.join(_command())})".encode()[:200])
        self._file.flush()

    def _holder(self) -> str:
        self._file.seek(0)
        return self._file.read(200).decode("utf-8", "replace") or "another process"

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()


def _command() -> list[str]:
    # verbs only: what follows may be a payload
    return [Path(sys.argv[0]).name, *[word for word in sys.argv[1:3] if word.isalpha()]]


class NodeFolder:
    """An open node folder. node: its agent, a `HostNode`; use as a context manager.

    listen: where an agent's socket is; None for one who only calls, from any free port, and greets
    no gateway.
    books: more folders whose book.toml names addresses.
    """

    def __init__(
        self,
        path: Path,
        listen: str | None = None,
        books: tuple[Path, ...] = (),
        make: Callable[[Store, dict[str, Any]], HostNode] = HostNode,
    ) -> None:
        self.path = path
        self.config = nodeconfig.read(path)
        self.gateways: list[str] = self.config.get("gateways", [])
        self._books = (path, *books)
        self._lock = Lock(path)
        try:
            config = {**self.config, "listen": listen or "0.0.0.0:0"}
            if listen is None:
                config["gateways"] = []
                config["renew_days"] = 0
            self.node = make(Store(PrivateFlash(str(path))), config)
            self._recall()
            self.node.open()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "NodeFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket and let the next process in."""
        if self.node.link:
            self.node.link.close()
        self._lock.release()

    def _recall(self) -> None:
        # sessions outlive a process, addresses do not: a guess, which a wrong peer cannot answer
        for session in self.node.sessions:
            seen = addressbook.read_last_seen(self.path).get(session.peer.name)
            if seen and seen.node_id == session.peer.node_id:
                session.address = seen.address

    # --- calls ------------------------------------------------------------------------------------

    def call(
        self, target: Target, method: int = GET, payload: bytes = b"", timeout_s: float = 15.0
    ) -> Reply:
        """Call a resource and wait for the answer, a refusal included.

        Raises `NotReachable`, `UnknownNode`, `HostError`, or the `Rejection` that ended it here.
        """
        self._check_member()
        deadline = time.monotonic() + timeout_s
        address, wanted = self.locate(target, deadline)
        started = time.monotonic()
        call = self._begin(target, address, wanted, method, payload)
        try:
            answer = self._wait(call, target, deadline)
        except (NotMember, UnknownCredential):
            # the name went to another key since: learn who is there now, and call that one
            if target.name is None:
                raise
            wanted = self._identify(target.name, address, deadline)
            call = self._begin(target, address, wanted, method, payload)
            answer = self._wait(call, target, deadline)
        reply = self._reply(answer, started)
        self._linger(reply)
        return reply

    def observe(
        self, target: Target, timeout_s: float = 15.0, renew_s: float = RENEW_S
    ) -> Generator[Reply]:
        """The resource's value, and each new one, until the caller stops or it is refused."""
        self._check_member()
        address, wanted = self.locate(target, time.monotonic() + timeout_s)
        call = None
        try:
            while True:
                if call and call.call.standing:
                    # the server moves its entry to the new token
                    self.node.stop_observing(*call.call.standing)
                started = time.monotonic()
                call = self._begin(target, address, wanted, GET, b"", observe=True)
                answer: Answer | None = self._wait(call, target, started + timeout_s)
                while answer:
                    reply = self._reply(answer, started)
                    yield reply
                    if reply.observe is None:
                        return
                    answer = self._next(call, renew_s)
        finally:
            if call:
                self._stop(call)

    def locate(self, target: Target, deadline: float) -> tuple[str, bytes | None]:
        """(address, node id that must answer there or None) of a target."""
        if target.name is None:
            return str(target.address), None
        name = target.name
        if name == self.node.name:
            raise HostError(f"{name} is this node itself", "Call it from another node's folder.")
        for folder in self._books:
            if address := addressbook.read(folder).get(name):
                return address, self._known(name) or self._identify(name, address, deadline)
        for gateway in self.gateways:
            until = min(deadline, time.monotonic() + _GATEWAY_WAIT_S)
            if found := self._ask_gateway(name, gateway, until):
                return found
        if seen := addressbook.read_last_seen(self.path).get(name):
            return seen.address, seen.node_id
        asked = f" (asked {', '.join(self.gateways)})" if self.gateways else ""
        raise UnknownNode(f"nobody knows where {name} is{asked}")

    def _check_member(self) -> None:
        if self.node.authority.me is None:
            message = f"{self.node.name} ({self.path}) is not a member yet"
            raise NoNode(message, "Ask for it and have it admitted: writ member request, admit.")

    def _known(self, name: str) -> bytes | None:
        seen = addressbook.read_last_seen(self.path).get(name)
        return seen.node_id if seen else None

    def _identify(self, name: str, address: str, deadline: float) -> bytes:
        # a harmless question to whoever is there, since the call itself must go to nobody else
        target = Target(None, address, "writ/beacon")
        answer = self._wait(self._begin(target, address, None, GET, b""), target, deadline)
        if answer.peer.name != name:
            raise HostError(
                f"at {address} is {answer.peer.name}, not {name}",
                "Correct the address in book.toml.",
            )
        return bytes(answer.peer.node_id)

    def _ask_gateway(self, name: str, gateway: str, until: float) -> tuple[str, bytes] | None:
        found: list[tuple[Member | None, str | None]] = []
        self._now()
        self.node.send(self.node.sync.resolve(name, gateway, lambda *what: found.append(what)))
        while not found and time.monotonic() < until:
            self._step(until)
        member, address = found[0] if found else (None, None)
        if session := self.node.sessions.by_address(gateway):
            addressbook.save_last_seen(self.path, session.peer.name, gateway, session.peer.node_id)
        return (str(address), bytes(member.node_id)) if member and address else None

    # --- one exchange -----------------------------------------------------------------------------

    def _now(self) -> None:
        # a call is judged by, and timed from, this moment
        self.node.now_ms = self.node.clock.now_ms()

    def _step(self, until: float) -> None:
        wait_ms = int(1000 * min(1.0, max(0.0, until - time.monotonic()))) + 1
        self.node.step(wait_ms)

    def _begin(
        self,
        target: Target,
        address: str,
        wanted: bytes | None,
        method: int,
        payload: bytes,
        observe: bool | None = None,
    ) -> "_Waiting":
        answers: list[Answer] = []
        query = list(target.query)
        call = Call(address, wanted, method, target.path, query, payload, observe, answers.append)
        self._now()
        session = self.node.sessions.by_peer(wanted) if wanted else None
        if session:
            # it may have moved since
            session.address = address
        self.node.send(self.node.client.call(call, self.node.now_ms))
        return _Waiting(call, answers)

    def _wait(self, waiting: "_Waiting", target: Target, deadline: float) -> Answer:
        while not waiting.answers:
            if time.monotonic() >= deadline:
                raise NotReachable(f"no answer from {_where(target, waiting.call.address)}")
            self._step(deadline)
        answer = waiting.answers[0]
        if answer.rejection:
            raise _trouble(answer.rejection, target, waiting.call.address)
        return answer

    def _next(self, waiting: "_Waiting", wait_s: float) -> Answer | None:
        waiting.answers.pop(0)
        until = time.monotonic() + wait_s
        while not waiting.answers:
            if time.monotonic() >= until:
                return None
            self._step(until)
        answer = waiting.answers[0]
        if answer.rejection:
            raise answer.rejection
        return answer

    def _stop(self, waiting: "_Waiting") -> None:
        # the server has few places for observers: give this one back
        call = waiting.call
        if not call.standing:
            return
        waiting.answers.clear()
        call.observe = False
        self._now()
        self.node.send(self.node.client.call(call, self.node.now_ms))
        until = time.monotonic() + 1.0
        while not waiting.answers and time.monotonic() < until:
            self._step(until)

    def _reply(self, answer: Answer, started: float) -> Reply:
        peer: Member = answer.peer
        session = self.node.sessions.by_peer(peer.node_id)
        address = str(session.address) if session else ""
        if address:
            addressbook.save_last_seen(self.path, peer.name, address, peer.node_id)
        epoch = self.node.told.get(peer.node_id, 0)
        took_ms = 1000 * (time.monotonic() - started)
        return Reply(answer.code, answer.payload, peer, address, epoch, took_ms, answer.observe)

    def _linger(self, reply: Reply) -> None:
        # the policy rides on traffic: whoever has the older one pulls it from the other now
        until = time.monotonic() + _LINGER_S
        peer = reply.peer.node_id
        if reply.reason in (Expired, Revoked) or peer not in self.node.told:
            # there is nothing to be had from there any more, or ever
            return
        while self.node.told[peer] != self.node.authority.epoch and time.monotonic() < until:
            self._step(until)


@dataclass
class _Waiting:
    # a call and the answers that came to it and are not taken yet
    call: Call
    answers: list[Answer]


def _where(target: Target, address: str) -> str:
    return f"{target.name} at {address}" if target.name else address


def _trouble(rejection: Rejection, target: Target, address: str) -> Exception:
    where = _where(target, address)
    if isinstance(rejection, TimedOut):
        return NotReachable(f"no answer from {where}")
    if isinstance(rejection, PeerFailed):
        kind = parse_reason(getattr(rejection, "text", b""))
        if kind:
            said = f"{where} refused: {rejection_text(kind())}"
            return RefusedByNode(said, advice_for(kind), kind.__name__, kind.code)
        return HostError(f"{where} refused the handshake", "See its log, or writ status of it.")
    if isinstance(rejection, EchoRequired | UsageError):
        return HostError(f"{where} is busy", "Wait a few seconds and try again.")
    return rejection
