"""A device with ever smaller heaps, until it does not start: what it answers is right.

MicroPython with `heapsize`, over real sockets: handshakes in both roles, a revocation that is
pulled, notifications, an action and a renewal. The device uses no nonce twice, its epoch never goes
back, and its process goes on. With memory again, on the same folder, everything succeeds.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import build_mpy
import pytest
from attack_rig import FOUNDED, AttackedField, Member, node_id, own_member, post
from field_rig import SENSOR, Process
from interop_rig import HOST, commands, free_port

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import FileFlash, Store
from writ.node.call import Answer
from writ.startup import load_key
from writ.wire import coap
from writ_host.errors import HostError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        build_mpy.find_micropython() is None or build_mpy.find_compiler() is None,
        reason="no micropython or no mpy-cross here",
    ),
]
# In kB; about where the scenarios fail in small steps
HEAPS = (160, 156, 154, 152, 150, 147, 138, 126, 112, 96, 72)
ENOUGH = 320
PATIENCE_S = 4.0
# A peer that got no answer repeats its request after up to 40 s (RFC 7252, section 4.2)
PATIENT_S = 100.0
YEAR_S = 365 * 86400
PROGRAM = """
import sys

import writ

node = writ.Node.load(sys.argv[1])
note = []


@node.resource("temp", period_s=1)
def temp(request):
    return b"21.5"


@node.resource("note", methods=("GET", "POST"))
def set_note(request):
    if request.method == 2:
        note.append(request.payload)
        print("note", request.payload)
    return b"".join(note)


node.run()
"""


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[AttackedField]:
    field = AttackedField(tmp_path, tree)
    (tree / "device.py").write_text(PROGRAM)
    yield field
    field.stop()


@pytest.fixture(autouse=True)
def nonces(monkeypatch: pytest.MonkeyPatch) -> dict[Any, bytes]:
    """What the peers of the device decrypt: one ciphertext for each key and nonce."""
    plain, used = crypto.aes_ccm_decrypt, {}

    def decrypt(key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        opened: bytes = plain(key, nonce, aad, ciphertext)
        first = used.setdefault((bytes(key), bytes(nonce)), bytes(ciphertext))
        assert first == ciphertext, "a nonce was used twice"
        return opened

    monkeypatch.setattr(crypto, "aes_ccm_decrypt", decrypt)
    return used


def ask(
    member: Member,
    address: str,
    patience_s: float,
    path: str,
    method: int = coap.GET,
    payload: bytes = b"",
) -> Answer | None:
    """The answer to a request, None if there is none in time."""
    answers: list[Answer] = []
    member.now_ms = member.clock.now_ms()
    member.send(member.request(method, path, payload, address, on_answer=answers.append))
    end = time.monotonic() + patience_s
    while not answers and time.monotonic() < end:
        member.step(20)
    return answers[0] if answers else None


def start(field: AttackedField, path: Path, port: int, heap: int) -> Process | None:
    """The device with a heap of so many kB, None if it does not start."""
    (interpreter, *_), environment = commands(field._tree)["micropython"]
    program = str(field._tree / "device.py")
    command = [interpreter, "-X", f"heapsize={heap}k", program, str(path)]
    process = Process(path, port, command, environment)
    field._processes.append(process)
    try:
        return process.start()
    except AssertionError:
        # it says why, and has changed nothing
        assert "MemoryError" in process.output, process.output
        (path / "output").write_text("")
        return None


def epoch_of(path: Path, scope: bytes) -> int:
    """The epoch in the records of a node that does not run."""
    store = Store(FileFlash(str(path)))
    return int(Authority(store, crypto.p256_public(load_key(store))[0], scope).epoch)


class Tour:
    """All scenarios with one device; results: by scenario, whether it succeeded."""

    def __init__(self, field: AttackedField, heap: int) -> None:
        self.field, self.scope = field, field.scope
        self.name = f"soil{heap}"
        self.port = free_port()
        self.peer = field.member(f"peer{heap}")
        options = {"governors": [self.peer.address], "renew_days": 40000}
        self.path = field.folder(self.name, SENSOR, listen=f"{HOST}:{self.port}", **options)
        self.peer.lie(self.serve)
        self.epoch = len(self.scope.policies)
        self.note = b"%d;" % heap

    def serve(self, request: Any) -> tuple[int, bytes] | None:
        """The renewal that the device asks for."""
        if request.path != "writ/propose" or request.peer is None:
            return None
        me, exp = own_member(self.path), FOUNDED + 40 * YEAR_S
        body, key = [me.address, me.roles], (me.x, me.y_is_odd)
        payload = capsule.build(capsule.MEMBER, body, sub=me.name, exp=exp, key=key)
        return coap.CHANGED, self.scope.certify(payload)

    def run(self, process: Process, patience_s: float) -> dict[str, bool]:
        """Try everything; each answer that comes must be right."""
        peer, address = self.peer, process.address
        results = {}
        found = ask(peer, address, patience_s, "temp")
        results["handshake"] = found is not None and found.is_success()
        assert not results["handshake"] or found.payload == b"21.5"
        # a revocation, which the device pulls when it hears of the epoch
        peer.authority.receive(self.scope.amend(crypto.random_bytes(8)), peer.now_ms)
        values: list[Answer] = []
        peer.send(
            peer.request(coap.GET, "temp", b"", address, observe=True, on_answer=values.append)
        )
        self.turn(4)
        good = [one for one in values if one.is_success()]
        assert all(one.payload == b"21.5" for one in good)
        results["observe"] = len(good) > 1
        action = self.scope.action(node_id(self.path), self.note)
        with contextlib.suppress(HostError):
            post(address, action)
        ask(peer, address, patience_s, "note", coap.POST, self.note)
        self.turn(1)
        results["renewal"] = own_member(self.path).expires > FOUNDED + 30 * YEAR_S
        assert process.process is not None and process.process.poll() is None, process.output
        process.kill()
        # once in all runs
        assert process.output.count("note ") <= 1, process.output
        results["action"] = process.output.count("note ") == 1
        epoch = epoch_of(self.path, self.scope.id)
        assert epoch >= self.epoch
        results["revocation"] = epoch == len(self.scope.policies)
        self.epoch = epoch
        return results

    def turn(self, seconds: float) -> None:
        """Serve for some seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.peer.step(20)


def test_ever_smaller_heaps(field: AttackedField, nonces: dict[Any, bytes]) -> None:
    complete, partial = [], []
    for heap in HEAPS:
        tour = Tour(field, heap)
        process = start(field, tour.path, tour.port, heap)
        if process is not None:
            results = tour.run(process, PATIENCE_S)
            (complete if all(results.values()) else partial).append(heap)
        # with memory again, what was not done can be done
        again = start(field, tour.path, tour.port, ENOUGH)
        assert again is not None
        results = tour.run(again, PATIENT_S)
        assert all(results.values()), (heap, results)
        if process is None:
            break
    else:
        raise AssertionError("it started with every heap")
    assert complete and partial and len(nonces) > 50
