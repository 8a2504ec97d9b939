"""A small scope for tests against foreign software: capsules, and devices as processes.

The group key is a plain Ed25519 key of pycryptodome here; a verifier cannot tell the difference.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import build_mpy
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import FileFlash, Store
from writ.startup import load_key
from writ_host.demo import loopback

HERE = Path(__file__).parent
FIRMWARE = HERE.parent.parent / "firmware"
HEAP = "160k"
HOST = "127.0.0.1"
FOUNDED = 1_800_000_000
START_S = 20.0

SENSOR, READER, OTHER = 2, 4, 8
GET, POST, PUT = 1, 2, 4
# the policy of these tests' devices; no rule allows "secret"
RULES: list[list[Any]] = [
    [READER, SENSOR, "temp", GET],
    [READER, SENSOR, "table", GET | POST | PUT],
    [READER, SENSOR, "writ/status", GET],
    [OTHER, SENSOR, "other", GET],
]


def free_port() -> int:
    """A free port of the loopback interface."""
    return loopback.free_ports(1)[0]


@dataclass
class Peer:
    """A peer with a P-256 key, in a member capsule and in the CCS that stock software uses."""

    name: str
    address: int
    private: bytes
    capsule: bytes

    @property
    def x(self) -> bytes:
        """The key's x coordinate, 32 bytes."""
        return crypto.p256_public(self.private)[0]

    @property
    def node_id(self) -> bytes:
        """What revocation names, 8 bytes."""
        return capsule.node_id(self.x)

    def ccs(self) -> dict[int, Any]:
        """{14: CCS}, as aiocoap takes a credential: the kid is the short address, 2 bytes."""
        x, y_is_odd = crypto.p256_public(self.private)
        kid = self.address.to_bytes(2, "big")
        key = {1: 2, 2: kid, -1: 1, -2: x, -3: crypto.p256_y(x, y_is_odd)}
        return {14: {2: self.name, 8: {1: key}}}


class PlainKey:
    """One Ed25519 key in the place of a group's."""

    def __init__(self) -> None:
        self._key = ECC.generate(curve="ed25519")
        self.public: bytes = self._key.public_key().export_key(format="raw")

    def sign(self, message: bytes) -> bytes:
        """A signature, 64 bytes."""
        return eddsa.new(self._key, "rfc8032").sign(message)


class Scope:
    """A charter and its key; makes the capsules of members and policies."""

    def __init__(self, key: Any = None) -> None:
        self._key = key or PlainKey()
        self.public: bytes = self._key.public
        body = ["field", 1, [bytes(32)], self.public, {1: 3600, 2: 60}]
        payload = capsule.build(capsule.CHARTER, body, iat=FOUNDED)
        self.charter = self.certify(payload)
        self.id = capsule.scope_id(payload)
        self.head = capsule.head(payload)
        self.policy_1 = self.policy(1, self.head)
        self._address = 0x0100

    def certify(self, payload: bytes) -> bytes:
        """A capsule of `payload`."""
        return capsule.assemble(payload, self._key.sign(capsule.signing_input(payload)))

    def policy(self, epoch: int, previous: bytes, revoked: tuple[bytes, ...] = ()) -> bytes:
        """A policy capsule with RULES."""
        body = [epoch, previous, RULES, [], sorted(revoked), {}]
        return self.certify(capsule.build(capsule.POLICY, body, iat=FOUNDED + epoch))

    def revoking(self, peer: Peer) -> bytes:
        """The policy after the first one, which revokes `peer`."""
        previous = capsule.head(capsule.parse(self.policy_1).payload)
        return self.policy(2, previous, (peer.node_id,))

    def member(self, private: bytes, name: str, address: int, roles: int, days: int = 1) -> bytes:
        """A member capsule for the key `private`."""
        key = crypto.p256_public(private)
        until = FOUNDED + 86400 * days
        return self.certify(
            capsule.build(capsule.MEMBER, [address, roles], sub=name, exp=until, key=key)
        )

    def admit(self, name: str, roles: int, private: bytes | None = None) -> Peer:
        """A new member, with its own key or a new one."""
        self._address += 1
        private = private or crypto.p256_generate()
        return Peer(name, self._address, private, self.member(private, name, self._address, roles))


@dataclass
class Device:
    """One device: a directory, and the process that serves from it."""

    scope: Scope
    directory: Path
    command: list[str]
    environment: dict[str, str]
    peer: Peer
    port: int
    config: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where it is: "coap://127.0.0.1:port"."""
        return f"coap://{HOST}:{self.port}"

    @property
    def output(self) -> str:
        """All that it has printed."""
        return (self.directory / "output").read_text()

    def launch(self) -> None:
        """Start the process."""
        config = {"name": self.peer.name, "scope": self.scope.id.hex(), **self.config}
        config["listen"] = f"{HOST}:{self.port}"
        path = self.directory / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*self.command, str(self.directory)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> Self:
        """Start the process and wait until it answers a ping."""
        self.launch()
        deadline = time.monotonic() + START_S
        while not ping(self.port):
            assert self.process and self.process.poll() is None, self.output
            assert time.monotonic() < deadline, "the device does not answer"
        return self

    def run(self, timeout_s: float) -> None:
        """Start a program that ends by itself, and wait until it has."""
        self.launch()
        assert self.process is not None
        code = self.process.wait(timeout_s)
        self.process = None
        assert code == 0, self.output

    def kill(self) -> None:
        """End the process as a cut of power does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """End the process; it must have run until now, and without a complaint."""
        if self.process is not None:
            code = self.process.poll()
            self.kill()
            assert code is None, self.output
        if (self.directory / "output").exists():
            assert "Traceback" not in self.output, self.output


def ping(port: int, timeout_s: float = 0.2) -> bool:
    """Whether an empty CON is answered by a reset (RFC 7252, section 4.3)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(timeout_s)
        try:
            probe.connect((HOST, port))
            probe.send(b"\x40\x00\xab\xcd")
            return probe.recv(64) == b"\x70\x00\xab\xcd"
        except ConnectionRefusedError:
            time.sleep(0.02)
            return False
        except TimeoutError:
            return False


def provision(scope: Scope, directory: Path, name: str, blank: bool) -> Peer:
    """Make a device's directory: its key, and unless `blank` what the scope has certified."""
    directory.mkdir()
    store = Store(FileFlash(str(directory)))
    peer = scope.admit(name, SENSOR, load_key(store))
    if not blank:
        authority = Authority(store, peer.x, scope.id)
        for raw in (scope.charter, peer.capsule, scope.policy_1):
            authority.receive(raw, 0)
    return peer


class Relay:
    """A UDP relay for one client, which keeps all that went through it.

    datagrams: (whether it came from the device, bytes), in order.
    """

    def __init__(self, port: int) -> None:
        self.datagrams: list[tuple[bool, bytes]] = []
        self._outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outside.bind((HOST, 0))
        self._inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # not connected: a device that is down for a moment must not stop the relay
        self._inside.bind((HOST, 0))
        self._device = (HOST, port)
        self._client: tuple[str, int] | None = None
        self._open = True
        self.port: int = self._outside.getsockname()[1]
        self._threads = [
            threading.Thread(target=self._pump, args=(from_device,)) for from_device in (0, 1)
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, from_device: bool) -> None:
        source, target = self._outside, self._inside
        if from_device:
            source, target = target, source
        source.settimeout(0.05)
        while self._open:
            try:
                data, address = source.recvfrom(2048)
            except TimeoutError:
                continue
            if not from_device:
                self._client = address
            self.datagrams.append((bool(from_device), data))
            where = self._client if from_device else self._device
            if where:
                target.sendto(self.change(bool(from_device), data), where)

    def change(self, from_device: bool, data: bytes) -> bytes:
        """The datagram that arrives in place of this one; the same here."""
        return data

    def close(self) -> None:
        """Stop relaying."""
        self._open = False
        for thread in self._threads:
            thread.join()
        self._inside.close()
        self._outside.close()


def commands(tree: Path, heap: str = HEAP) -> dict[str, tuple[list[str], dict[str, str]]]:
    """{interpreter: (command, environment)}; `tree` holds writ/**.mpy and the programs."""
    found = {
        "cpython": (
            [sys.executable],
            {**os.environ, "PYTHONPATH": str(FIRMWARE), "WRIT_CRYPTO": "pure"},
        )
    }
    micropython = build_mpy.find_micropython()
    if micropython:
        found["micropython"] = (
            [micropython, "-X", f"heapsize={heap}"],
            {**os.environ, "MICROPYPATH": f"{tree}:.frozen"},
        )
    return found
