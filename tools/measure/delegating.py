"""The smallest heap of a device that delegates to an offline, a Byzantine and an honest peer."""

import hashlib
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from writ import cbor, crypto
from writ.agent import Node
from writ.authority import capsule
from writ.authority.store import FileFlash, Store
from writ.node.context import PREFIX
from writ.node.sync import Sync
from writ.wire import coap
from writ_host.demo.loopback import HOST, clean_environment, free_ports

from .row import Row
from .scope import FOUNDED, TestScope

HERE = Path(__file__).resolve().parent
GOAL_HEAP = 160 * 1024
# An offline peer times out after 10 s, and the machine may be slow. A heap that is just too small
# may succeed once.
TRY_S = 40.0
TRIES = 2
LARGEST = 192 * 1024
YEAR_S = 365 * 86400
STRANGE_ROLE = 16
RENEW, ASK_ACTION = 16, 19


class _Sync(Sync):
    """Accepts statements, and certifies them with the scope's one key, honestly or not."""

    def serve(self, request: Any, now_ms: int) -> Any:
        if request.path != PREFIX + "/propose" or request.peer is None:
            return super().serve(request, now_ms)
        operation = cbor.decode(cbor.decode(request.payload)[2])[capsule.WRIT]
        return coap.CHANGED, self._context.certify(request.peer, operation)


class HostPeer(Node):
    """A host peer of a scope with one key. is_byzantine: it answers with a role not asked for."""

    def __init__(
        self, path: Path, config: dict[str, Any], scope: TestScope, is_byzantine: bool
    ) -> None:
        super().__init__(Store(FileFlash(str(path))), config)
        self.sync = _Sync(self)
        self._scope = scope
        self._is_byzantine = is_byzantine
        self.actions: list[str] = []
        self.open()

    @property
    def node_id(self) -> str:
        """Its node id, in hex."""
        me: Any = self.authority.me
        return str(me.node_id.hex())

    def close(self) -> None:
        """Close the socket."""
        link: Any = self.link
        link.close()

    def certify(self, member: Any, operation: list[Any]) -> bytes:
        """The capsule that this statement requests, or a wrong one."""
        if operation[0] == RENEW:
            key = member.x, member.y_is_odd
            roles = member.roles | (STRANGE_ROLE if self._is_byzantine else 0)
            exp = FOUNDED + 2 * YEAR_S
            body = [member.address, roles]
            payload = capsule.build(capsule.MEMBER, body, sub=member.name, exp=exp, key=key)
        else:
            target, method, path, asked, _ = operation[4:]
            target = bytes(8) if self._is_byzantine else target
            body = [target, method, path, crypto.sha256(asked), bytes(8)]
            payload = capsule.build(capsule.ACTION, body, exp=FOUNDED + 600)
        raw = self._scope.sign(payload)
        self.actions.append(hashlib.sha256(raw).hexdigest())
        return raw


def try_heap(micropython: str, tree: Path, heap: int) -> bool:
    """Whether a device with a heap of `heap` bytes receives all that it requests in TRY_S."""
    with tempfile.TemporaryDirectory() as name:
        folder, scope = Path(name), TestScope()
        ports = free_ports(4)
        offline, *governors = [f"{HOST}:{port}" for port in ports[:3]]
        peers = []
        for number, address in enumerate(governors):
            path = folder / f"peer{number}"
            scope.provision(Store(FileFlash(str(path))), path.name, number + 1, 2)
            config = {"name": path.name, "listen": address}
            peers.append(HostPeer(path, config, scope, is_byzantine=not number))
            peers[-1].authority.receive(scope.beacon(), 0)
        soil = {
            "name": "soil",
            "listen": f"{HOST}:{ports[3]}",
            "governors": [offline, *governors],
            "renew_days": 400,
        }
        scope.provision(Store(FileFlash(str(folder / "soil"))), "soil", 17, 4)
        (folder / "soil/config.json").write_text(json.dumps(soil))
        script, target = str(HERE / "delegating_device.py"), peers[1].node_id
        device = subprocess.Popen(
            [micropython, "-X", f"heapsize={heap}", script, str(folder / "soil"), target],
            env=clean_environment(MICROPYPATH=f"{tree}:.frozen"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _exercise(peers, soil["listen"], device)
        finally:
            device.kill()
            device.wait()
            for peer in peers:
                peer.close()


def _exercise(peers: list[HostPeer], address: Any, device: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + TRY_S
    honest = peers[1]
    answers: list[Any] = []
    asks_s = 0.0
    while time.monotonic() < deadline and device.poll() is None:
        for peer in peers:
            peer.step(10)
        if answers and answers[-1].code == coap.CONTENT:
            told = json.loads(answers.pop().payload)
            if told["expires"] > FOUNDED + YEAR_S and told.get("action") in honest.actions:
                return True
        if honest.actions and time.monotonic() >= asks_s:
            asks_s = time.monotonic() + 0.5
            honest.send(honest.request(coap.GET, "temp", address=address, on_answer=answers.append))
    return False


def measure(micropython: str, tree: Path, low: int) -> list[Row]:
    """The smallest heap. low: a heap, in bytes, that is too small."""
    step = 1024
    few, enough = low // step, LARGEST // step
    while enough - few > 1:
        middle = (few + enough) // 2
        if all(try_heap(micropython, tree, middle * step) for _ in range(TRIES)):
            enough = middle
        else:
            few = middle
    value = enough * step
    name = "bytes.heap_smallest_delegating"
    return [Row(name, value, "B", GOAL_HEAP, interpreter="micropython")]
