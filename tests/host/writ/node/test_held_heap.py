"""A device that has met an event, such as a succession, holds no more code than before it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import build_mpy
import pytest
from attack_rig import FOUNDED, POST, AttackedField, node_id, own_member, post, wait
from field_rig import OPERATOR, SENSOR, Process
from interop_rig import HOST, PlainKey, commands, free_port

from writ import cbor, crypto
from writ.authority import capsule
from writ.authority.policy import QUORUM
from writ.wire import coap

pytestmark = pytest.mark.skipif(
    build_mpy.find_micropython() is None or build_mpy.find_compiler() is None,
    reason="no micropython or no mpy-cross here",
)
HEAP = "192k"
YEAR_S = 365 * 86400
RENEW = 16
PROGRAM = """
import sys

import writ

node = writ.Node.load(sys.argv[1])
due = []


def done(answer):
    print("done", answer.code)


@node.resource("temp", methods=("PUT",))
def temp(request):
    words = request.payload.decode().split()
    if words[0] == "beacon":
        node.delegate.beacon(done)
    elif words[0] == "renew":
        node.delegate.renew(done)
    elif words[0] == "action":
        node.delegate.ask_action("peer", 2, "note", b"x", done)
    elif words[0] == "meet":
        node.delegate.meet(words[1], done)
    elif words[0] == "ask":
        node.ask("peer", 1, "writ/charter", b"", done)
    due.append(words[0])
    return b""


@node.resource("note", methods=("POST",))
def note(request):
    print("executed")
    return b""


node.open()
while True:
    node.step(200)
    if due and due.pop(0) == "modules":
        print("modules", " ".join(sorted(name for name in sys.modules if name[:5] == "writ.")))
"""


class Rig:
    """A device, and its gateway and host peer in this process."""

    def __init__(self, field: AttackedField, tree: Path) -> None:
        self.field, self.scope = field, field.scope
        self.scope.enact([[OPERATOR, SENSOR, "temp", 4], [OPERATOR, SENSOR, "note", POST, QUORUM]])
        self.peer = field.member("peer")
        self.peer.lie(self.serve)
        self.years = 2
        port = free_port()
        peers = [self.peer.address]
        self.path = field.folder(
            "soil", SENSOR, listen=f"{HOST}:{port}", gateways=peers, governors=peers, renew_days=0
        )
        (tree / "device.py").write_text(PROGRAM)
        (interpreter, *_), environment = commands(tree)["micropython"]
        program = str(tree / "device.py")
        command = [interpreter, "-X", f"heapsize={HEAP}", program, str(self.path)]
        self.device = field._start(Process(self.path, port, command, environment))

    def renewed(self, path: Path) -> bytes:
        """A later member capsule for the node with this folder."""
        me = own_member(path)
        body, key, exp = [me.address, me.roles], (me.x, me.y_is_odd), FOUNDED + self.years * YEAR_S
        return self.scope.certify(
            capsule.build(capsule.MEMBER, body, sub=me.name, exp=exp, key=key)
        )

    def serve(self, request: Any) -> tuple[int, bytes] | None:
        """Certify what the device states."""
        if request.path != "writ/propose" or request.peer is None:
            return None
        operation = cbor.decode(cbor.decode(request.payload)[2])[capsule.WRIT]
        self.years += 1
        if operation[0] == RENEW:
            return coap.CHANGED, self.renewed(self.path)
        target, method, path, payload = operation[4:8]
        body = [target, method, path, crypto.sha256(payload), bytes(8)]
        return coap.CHANGED, self.scope.certify(
            capsule.build(capsule.ACTION, body, exp=FOUNDED + 600)
        )

    def turn(self, text: str, count: int, seconds: float = 30) -> None:
        """Serve until the device has printed `text` so many times."""
        end = time.monotonic() + seconds
        while self.device.output.count(text) < count:
            assert time.monotonic() < end, (text, self.device.output)
            self.peer.step(20)

    def modules(self) -> str:
        """The modules that the device holds while nothing is under way."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            self.peer.step(20)
        count = self.device.output.count("modules ") + 1
        assert self.peer.call(self.device.address, "temp", coap.PUT, b"modules").is_success()
        self.turn("modules ", count)
        lines = [one for one in self.device.output.splitlines() if one.startswith("modules ")]
        return lines[-1]

    def succeed(self) -> None:
        """Change the group key: device and peer get the succession and new capsules."""
        authority = self.peer.authority
        raw = self.scope.succession(key := PlainKey(), authority.epoch + 1, authority.head)
        self.scope._key = key
        self.years += 1
        theirs = self.renewed(self.peer.path)
        assert post(self.device.address, raw, self.renewed(self.path), theirs)[0] == "taken"
        for one in (raw, theirs):
            authority.receive(one, self.peer.now_ms)


@pytest.fixture
def rig(tmp_path: Path, tree: Path) -> Iterator[Rig]:
    field = AttackedField(tmp_path, tree)
    yield Rig(field, tree)
    field.stop()


def test_no_code_of_an_event_is_kept_after_it(rig: Rig) -> None:
    address, fresh = rig.device.address, rig.modules()
    assert "agent" in fresh
    assert post(address, rig.scope.action(node_id(rig.path), b"x")) == ["taken"]
    assert rig.peer.call(address, "note", coap.POST, b"x").is_success()
    wait(lambda: "executed" in rig.device.output)
    assert rig.modules() == fresh
    events = ["beacon", "renew", "ask", "action", "meet " + rig.peer.address]
    for number, event in enumerate(events, 1):
        assert rig.peer.call(address, "temp", coap.PUT, event.encode()).is_success()
        rig.turn("done", number)
        assert rig.modules() == fresh, event
    rig.succeed()
    assert rig.modules() == fresh
