"""A device process delegates to three host peers: one is offline, one Byzantine, one honest.

They use sockets, with the keys and capsules of a whole scope.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from field_rig import OPERATOR, SENSOR, Field, writ_json
from interop_rig import FOUNDED, HOST, free_port

from writ import cbor, crypto
from writ.agent import Node
from writ.authority import capsule
from writ.authority.capsule import Member
from writ.authority.store import FileFlash, Store
from writ.node.context import PREFIX
from writ.node.sync import Sync
from writ.startup import load_key
from writ.wire import coap

pytestmark = pytest.mark.slow

Ask = Callable[[Member, list], tuple[int, bytes]]
DAY_S = 86400


class _Sync(Sync):
    """As on a device, and accepts statements, whose signature it checks."""

    def __init__(self, node: "Peer", ask: Ask) -> None:
        super().__init__(node)
        self._ask = ask

    def serve(self, request, now_ms):
        if request.path != PREFIX + "/propose" or request.peer is None:
            return super().serve(request, now_ms)
        outer = cbor.decode(request.payload)
        signed = capsule.signing_input(outer[2], capsule.ES256)
        member = request.peer
        assert crypto.es256_verify(member.x, member.y_is_odd, signed, outer[3])
        operation = cbor.decode(outer[2])[capsule.WRIT]
        assert operation[1] == member.node_id
        self._context.statements.append(request.payload)
        return self._ask(member, operation)


class Peer(Node):
    """A host peer in a thread. statements: those that it has received."""

    def __init__(self, path: Path, config: dict, ask: Ask) -> None:
        super().__init__(Store(FileFlash(str(path))), config)
        self.sync = _Sync(self, ask)
        self.statements: list[bytes] = []


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    field = Field(tmp_path, tree)
    yield field
    field.stop()


@contextlib.contextmanager
def peer(field: Field, name: str, ask: Ask) -> Iterator[Peer]:
    """A host peer that answers statements by `ask(member, operation)`, running."""
    port = free_port()
    path = field.folder(name, 0)
    node = Peer(path, {"name": name, "listen": f"{HOST}:{port}"}, ask)
    node.address = f"{HOST}:{port}"
    node.open()
    thread = threading.Thread(target=node.run)
    thread.start()
    try:
        yield node
    finally:
        node.stop()
        thread.join()
        node.link.close()


def wait(what: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def renewal(field: Field, member: Member, exp: int, key: object = None, **changes: object) -> bytes:
    """A certified capsule of this member with another expiry, and other changes."""
    claims = {"name": member.name, "address": member.address, "roles": member.roles, **changes}
    payload = capsule.build(
        capsule.MEMBER,
        [claims["address"], claims["roles"]],
        sub=claims["name"],
        exp=exp,
        key=(member.x, member.y_is_odd),
    )
    return field.scope.certify(payload)


def refused(field: Field, device: object) -> dict[str, int]:
    """What the device has counted, by `writ status`; asked for by an operator."""
    path = field.root / "operator"
    if not path.exists():
        field.folder("operator", OPERATOR)
    found = writ_json("status", f"coap://{device.address}", "--node", path)
    return found["rejected"]


def test_a_device_renews_itself_with_one_peer_offline_and_one_byzantine(field: Field) -> None:
    later = FOUNDED + 400 * DAY_S

    def lie(member: Member, operation: list) -> tuple[int, bytes]:
        # with a role that was not asked for, whatever the signature
        raw = renewal(field, member, later + 1, roles=member.roles | OPERATOR)
        return coap.CHANGED, raw

    answers = []

    def serve(member: Member, operation: list) -> tuple[int, bytes]:
        answers.append(operation)
        if len(answers) == 1:
            return coap.VALID, b""
        return coap.CHANGED, renewal(field, member, later)

    dead = f"{HOST}:{free_port()}"
    with peer(field, "liar", lie) as liar, peer(field, "gate", serve) as gate:
        device = field.device("soil", SENSOR, governors=[dead, liar.address, gate.address])
        wait(lambda: len(answers) > 1)
        wait(lambda: expiry(device.path) == later)
        # the same statement for each peer
        statements = {*liar.statements, *gate.statements}
        assert len(statements) == 1 and len(gate.statements) == 2
        node_id = Member(capsule.parse(mine(device.path))).node_id
        assert answers[0] == [16, node_id, gate.authority.scope, gate.authority.epoch]
        counted = refused(field, device)
        assert counted["TimedOut"] >= 1 and counted["WrongAnswer"] == 1
        # it is not asked for again
        time.sleep(1)
        assert len(gate.statements) == 2


def mine(path: Path) -> bytes:
    return Store(FileFlash(str(path))).load("member")


def expiry(path: Path) -> int:
    return Member(capsule.parse(mine(path))).expires


def test_a_device_without_host_peers_keeps_working(field: Field) -> None:
    dead = [f"{HOST}:{free_port()}" for _ in range(2)]
    device = field.device("soil", SENSOR, governors=dead)
    counted = refused(field, device)
    assert set(counted) <= {"TimedOut"}
    path = field.root / "operator"
    assert writ_json("get", f"coap://{device.address}/temp", "--node", path)["code"] == "2.05"
    assert load_key(Store(FileFlash(str(device.path))))
