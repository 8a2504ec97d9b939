"""Attackers for the tests of docs/security.md, and the field that they attack, over real sockets.

An outsider can post any capsule (`post`). A `Member` in this process can answer falsely (`lie`).
Devices are processes (field_rig), under MicroPython if it is installed.
"""

import contextlib
import copy
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import interop_rig
from field_rig import GET, GUEST, OPERATOR, POST, PUT, SENSOR, Field, FieldScope, Process
from interop_rig import HOST, PlainKey, commands, free_port

from writ import cbor, crypto
from writ.agent import Node
from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import ACTION, AMENDMENT, BEACON, POLICY, SUCCESSION
from writ.authority.policy import FRESH, QUORUM, Policy
from writ.authority.store import FileFlash, Store
from writ.node.call import Answer
from writ.node.server import Request, Server
from writ.node.sync import Sync
from writ.startup import load_key
from writ.wire import coap
from writ.wire.blockwise import slice_response
from writ_host.refusals import parse_reason
from writ_host.scope.delivery import post_capsules

FOUNDED = interop_rig.FOUNDED
# The rules of this field: readings, a note to set, one resource that needs a fresh beacon, and one
# method that needs an action.
RULES: list[list[Any]] = [
    [OPERATOR, SENSOR, "temp", GET],
    [OPERATOR, SENSOR, "note", GET | PUT],
    [OPERATOR, SENSOR, "note", POST, QUORUM],
    [OPERATOR, SENSOR, "blob", GET, FRESH],
    [OPERATOR | GUEST, SENSOR, "writ/status", GET],
]
# The rule that an attacker would like
ALL_FOR_ALL: list[list[Any]] = [[1, 1, "*", 127]]


def wait(until: Callable[[], object], seconds: float = 30, every_s: float = 0.05) -> None:
    """Wait until a condition holds. Raises `AssertionError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every_s)


# --- certified capsules ---------------------------------------------------------------------------


class AttackedScope(FieldScope):
    """A scope whose policies follow by amendments. beacon_age_s: how long a beacon is fresh."""

    def __init__(self, beacon_age_s: int = 3600) -> None:
        super().__init__()
        body = ["field", 1, [bytes(32)], self.public, {1: beacon_age_s, 2: 60}]
        payload = capsule.build(capsule.CHARTER, body, iat=FOUNDED)
        self.charter = self.certify(payload)
        self.id, self.head = capsule.scope_id(payload), capsule.head(payload)
        self.policies = []
        self.enact(RULES)
        self._time = FOUNDED

    def rival(self) -> "AttackedScope":
        """A fork: a scope with the same key and state that certifies other policies from now on."""
        other = copy.copy(self)
        other.policies = list(self.policies)
        return other

    @property
    def state(self) -> Policy:
        """The newest policy."""
        return Policy(capsule.parse(self.policies[-1]).claims)

    def amend(self, *ops: object) -> bytes:
        """Certify the next epoch as amendment (returned) and whole policy."""
        before = self.state
        body = check_amendment([AMENDMENT, before.epoch + 1, before.head(), *ops])
        self.policies.append(self.certify(amend(before, body).payload()))
        return self.certify(capsule.build(AMENDMENT, body[1:]))

    def beacon(self, epoch: int = 0, time_s: int = 0) -> bytes:
        """A beacon of an epoch, 0 for the newest; each is a minute after the one before."""
        self._time = time_s or self._time + 60
        policy = Policy(capsule.parse(self.policies[(epoch or len(self.policies)) - 1]).claims)
        return self.certify(capsule.build(BEACON, [policy.epoch, policy.head()], iat=self._time))

    def action(self, target: bytes, payload: bytes, nonce: int = 1, **changes: Any) -> bytes:
        """An action that lets the node `target` execute POST note once."""
        facts = {"method": coap.POST, "path": "note", "exp": FOUNDED + 86400, **changes}
        digest = crypto.sha256(payload)
        body = [target, facts["method"], facts["path"], digest, nonce.to_bytes(8, "big")]
        return self.certify(capsule.build(ACTION, body, exp=facts["exp"]))

    def succession(self, key: PlainKey, epoch: int, previous: bytes) -> bytes:
        """A succession to another key, certified by the key in force."""
        body = [epoch, previous, bytes(32), key.public]
        return self.certify(capsule.build(SUCCESSION, body, iat=FOUNDED + epoch))

    def wishes(self) -> list[bytes]:
        """Payloads that an attacker would like certified, one of each kind but charters."""
        before = self.state
        thief = crypto.p256_generate()
        key = crypto.p256_public(thief)
        return [
            greedy(before),
            capsule.build(AMENDMENT, [before.epoch + 1, before.head(), bytes(8)]),
            capsule.build(capsule.MEMBER, [9, OPERATOR], sub="eve", exp=FOUNDED + 99, key=key),
            capsule.build(BEACON, [before.epoch, before.head()], iat=capsule.TIME_MAX),
            capsule.build(
                SUCCESSION,
                [before.epoch + 1, before.head(), bytes(32), PlainKey().public],
                iat=FOUNDED + 1,
            ),
        ]


def greedy(before: Policy) -> bytes:
    """The payload of a policy after `before` that allows everything."""
    body = [before.epoch + 1, before.head(), ALL_FOR_ALL, [], [], {}]
    payload: bytes = capsule.build(POLICY, body, iat=before.issued + 1)
    return payload


def sealed(key: PlainKey, payload: bytes) -> bytes:
    """A capsule of this payload, signed by this key."""
    raw: bytes = capsule.assemble(payload, key.sign(capsule.signing_input(payload)))
    return raw


def flipped(raw: bytes, at: int) -> bytes:
    """The same bytes with one bit flipped."""
    at %= len(raw)
    return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]


# --- an outsider ----------------------------------------------------------------------------------


def post(address: str, *raws: bytes) -> list[str]:
    """Post capsules without a session: "taken", "known" or a rejection for each."""
    outcomes = post_capsules(address, [("", raw) for raw in raws])
    return [one.reason.__name__ if one.reason else one.text or one.state for one in outcomes]


def send(
    address: str, datagram: bytes, wait_s: float = 5.0, link: socket.socket | None = None
) -> coap.Message | None:
    """Send one datagram from `link` or from a new address; the answer, None for none."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        if link is None:
            link = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        link.settimeout(wait_s)
        link.sendto(datagram, (host, int(port)))
        with contextlib.suppress(TimeoutError):
            return coap.decode(link.recv(2048))
    return None


# --- members in this process ----------------------------------------------------------------------

Serve = Callable[[Request], tuple[int, bytes] | None]


class _Sync(Sync):
    """Answers as `serve` does, or as every node where that returns None."""

    def __init__(self, node: "Member", serve: Serve) -> None:
        super().__init__(node)
        self._serve = serve

    def serve(self, request: Request, now_ms: int) -> tuple[int, bytes] | None:
        found = self._serve(request) if request.peer is not None else None
        return found or super().serve(request, now_ms)


class _Server(Server):
    # sends blocks of its node's own size
    def respond(self, request: coap.Message, found: tuple[int, bytes], *rest: int) -> coap.Message:
        response: coap.Message = super().respond(request, found, *rest)
        szx = self.context.szx
        if szx is not None and found[0] == coap.CONTENT:
            response.options = []
            response.payload, options = slice_response(found[1], request.option(coap.BLOCK2), szx)
            for number, option in options:
                response.add(number, option)
        return response


class Member(Node):
    """A node in this process, driven by the test (`call`) or by a thread (`background`), not both.

    asked: the paths that members requested of it; delay_ms: how long it delays what it sends; szx:
    the size of its blocks, None for the default.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        super().__init__(Store(FileFlash(str(path))), config)
        self.server = _Server(self)
        self.path = path
        self.address: str = config["listen"]
        self.asked: list[str] = []
        self.delay_ms = 0
        self.szx: int | None = None
        self._late: list[tuple[int, list[Any]]] = []
        self.open()

    @classmethod
    def of(cls, field: Field, name: str, roles: int, **config: Any) -> Self:
        """A new member of the field's scope."""
        address = f"{HOST}:{free_port()}"
        path = field.folder(name, roles, listen=address, **config)
        return cls(path, {"name": name, "listen": address, **config})

    @classmethod
    def at(cls, path: Path, name: str = "thief") -> Self:
        """The node whose records are in this folder, at a new address."""
        return cls(path, {"name": name, "listen": f"{HOST}:{free_port()}"})

    @property
    def node_id(self) -> bytes:
        """The id of this node, 8 bytes."""
        found: bytes = capsule.node_id(crypto.p256_public(self.private)[0])
        return found

    def lie(self, serve: Serve) -> None:
        """Answer every request with `serve(request)` from now on, unless that is None."""

        def noted(request: Request) -> tuple[int, bytes] | None:
            self.asked.append(request.path)
            return serve(request)

        self.sync = _Sync(self, noted)

    def send(self, datagrams: list[Any]) -> None:
        """Send datagrams, at once or delayed."""
        if self.delay_ms:
            self._late.append((self.clock.now_ms() + self.delay_ms, list(datagrams)))
        else:
            super().send(datagrams)

    def step(self, wait_ms: int = 1000) -> None:
        """Step as every node does, and send the delayed datagrams that are due."""
        now_ms = self.clock.now_ms()
        due = [datagrams for at_ms, datagrams in self._late if at_ms <= now_ms]
        self._late = [one for one in self._late if one[0] > now_ms]
        for datagrams in due:
            super().send(datagrams)
        super().step(min(wait_ms, 20) if self._late else wait_ms)

    def call(
        self, to: str, path: str, method: int = coap.GET, payload: bytes = b"", **more: Any
    ) -> Answer:
        """Send a request to the node at "host:port"; the answer."""
        answers: list[Answer] = []
        self.now_ms = self.clock.now_ms()
        self.send(self.request(method, path, payload, to, on_answer=answers.append, **more))
        # a request may take 93 s before it fails (MAX_TRANSMIT_WAIT, RFC 7252, section 4.8.2)
        deadline = time.monotonic() + 95
        while not answers:
            assert time.monotonic() < deadline, f"no answer to {path}"
            self.step(20)
        return answers[0]

    def say(self, *call: Any, **more: Any) -> str:
        """Send a request; the payload of a success, or the name of the rejection."""
        answer = self.call(*call, **more)
        if answer.rejection:
            text = getattr(answer.rejection, "text", b"") or b""
            return name_of(text) or type(answer.rejection).__name__
        said = bytes(answer.payload)
        return said.decode("latin-1") if answer.is_success() else name_of(said) or repr(said)

    @contextlib.contextmanager
    def background(self) -> Iterator[Self]:
        """Serve in a thread."""
        thread = threading.Thread(target=self.run)
        thread.start()
        # `run` sets what `stop` unsets
        wait(lambda: self._running, every_s=0.001)
        try:
            yield self
        finally:
            self.stop()
            thread.join()

    def close(self) -> None:
        """Close its socket."""
        if self.link:
            self.link.close()
            self.link = None


def name_of(text: bytes) -> str:
    """The name of the rejection in a refusal, "" for none."""
    kind = parse_reason(bytes(text))
    return kind.__name__ if kind else ""


# --- the field ------------------------------------------------------------------------------------


class AttackedField(Field):
    """A field of an `AttackedScope`. `operator`: a member that may read the status of devices."""

    scope: AttackedScope

    def __init__(self, root: Path, tree: Path, beacon_age_s: int = 3600) -> None:
        super().__init__(root, tree)
        self.scope = AttackedScope(beacon_age_s)
        self._members: list[Member] = []
        self._operator: Member | None = None

    def member(self, name: str, roles: int = OPERATOR, **config: Any) -> Member:
        """Add a member in this process."""
        return self.keep(Member.of(self, name, roles, **config))

    def keep(self, member: Member) -> Member:
        """Close a member when the field stops."""
        self._members.append(member)
        return member

    @property
    def operator(self) -> Member:
        """The operator, created on first use."""
        if self._operator is None:
            self._operator = self.member("operator")
        return self._operator

    def blank(self, name: str) -> Process:
        """Start a device that has only its key and the id of its scope."""
        port = free_port()
        path = self.root / name
        path.mkdir()
        self.scope.configure(path, name, listen=f"{HOST}:{port}")
        return self.run(path, port)

    def run(self, path: Path, port: int) -> Process:
        """Start the device program on this folder."""
        command, environment = commands(self._tree, self.heap)[self.interpreter]
        program = str(self._tree / "device.py")
        return self._start(Process(path, port, [*command, program, str(path)], environment))

    def status(self, device: Process) -> dict[str, Any]:
        """The status that a device reports."""
        answer = self.operator.call(device.address, "writ/status")
        assert answer.is_success(), (answer.code, answer.rejection)
        found: dict[str, Any] = cbor.decode(answer.payload)
        return found

    def refused(self, device: Process) -> dict[str, int]:
        """The rejections that a device has counted."""
        found: dict[str, int] = self.status(device)["rejected"]
        return found

    def stop(self) -> None:
        """Stop devices and members."""
        for member in self._members:
            member.close()
        super().stop()


def node_id(path: Path) -> bytes:
    """The id of the node with this folder, 8 bytes."""
    x, _ = crypto.p256_public(load_key(Store(FileFlash(str(path)))))
    found: bytes = capsule.node_id(x)
    return found


def own_member(path: Path) -> capsule.Member:
    """The member capsule of the node with this folder."""
    return capsule.Member(capsule.parse(Store(FileFlash(str(path))).load("member")))
