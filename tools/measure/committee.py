"""Governors as in production: one process each, with real ledgers and sockets on loopback.

The group key is made in this process, and it signs the first capsules of the ledgers, since the
founding over the network is not measured. Everything else is the daemon's own code.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from device_files import ROOT

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, MEMBER
from writ.authority.policy import OP_RESTORE, Policy
from writ.authority.store import FileFlash, Store
from writ_host.ceremony import keyring
from writ_host.ceremony.local import LocalGovernor, found_local
from writ_host.demo.loopback import HOST, clean_environment, free_ports
from writ_host.errors import NotReachable
from writ_host.governor.ceremonies.invitation import Invitation
from writ_host.governor.ceremonies.record import Record
from writ_host.governor.control import ControlClient, Document
from writ_host.governor.folder import GovernorFolder
from writ_host.governor.join import write_genesis
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.peering.addresses import AddressBook
from writ_host.keys import keyfile
from writ_host.keys.frost import lagrange
from writ_host.keys.group import (
    ORDER,
    base,
    hash_to_scalar,
    multiply_add,
    random_scalar,
    scalar_to_bytes,
)
from writ_host.node import provision
from writ_host.node.folder import NodeFolder
from writ_host.policy.source import PolicyFile

NAMES = (
    "anna",
    "ben",
    "carl",
    "dora",
    "emil",
    "fay",
    "gus",
    "hal",
    "ida",
    "jan",
    "kim",
    "leo",
    "mia",
)
SCOPE = "hill-farm"
START_S = 120.0
MEMBER_S = 300 * 86400
GOVERNOR, SENSOR = 2, 4

# Neither a policy nor a renewal needs an operator's approval.
POLICY = """
[roles]
governor = "certifies, and asks for readings"
sensor = "measures"

[[rule]]
from = ["governor", "sensor"]
to = "any"
resource = "*"
methods = ["GET"]

[approvals]
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["governor", "sensor"]
renew = true
operators = 0
"""
_COMMAND = "from writ_host.cli import main; main()"


@dataclass(frozen=True)
class Device:
    """A member. private: its P-256 key (32 B); raw: its member capsule."""

    private: bytes
    name: str
    raw: bytes

    @property
    def node_id(self) -> bytes:
        """8 bytes."""
        return bytes(capsules.node_id(crypto.p256_public(self.private)[0]))


@dataclass
class Governor:
    """One governor. process: None until it runs."""

    local: LocalGovernor
    folder: GovernorFolder
    peers: str
    listen: str
    metrics: str
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def ask(self, do: str, **parameters: object) -> Document:
        """The daemon's answer, on a new connection."""
        with ControlClient(self.folder.control) as client:
            return client.ask(do, **parameters)


class Committee:
    """`count` governors in a temporary folder, and members without processes. Use `with`.

    The threshold is the least that is safe with a third of the governors Byzantine. policy: the
    text of policy.toml. Raises `SystemExit` if a governor does not start.
    """

    def __init__(self, count: int, device_names: Sequence[str] = (), policy: str = POLICY) -> None:
        self._stack = contextlib.ExitStack()
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="writ-bench-"))
        self.path = Path(name)
        self.key_path = self.path / "key"
        self._key = keyfile.KeyFile.create(self.key_path)
        local = found_local(SCOPE, NAMES[:count], 2 * count // 3 + 1)
        self.governors = [self._governor(one) for one in local]
        self._found(device_names, policy)

    def __enter__(self) -> "Committee":
        try:
            for one in self.governors:
                self.start(one)
            self._meet()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.governors:
            if one.process is not None:
                one.process.kill()
                one.process.wait()
        self._stack.close()

    # --- files ------------------------------------------------------------------------------------

    def _governor(self, local: LocalGovernor) -> Governor:
        name = local.seat.name
        peers, listen, metrics = (f"{HOST}:{port}" for port in free_ports(3))
        return Governor(local, GovernorFolder(self.path / name), peers, listen, metrics)

    def _found(self, device_names: Sequence[str], text: str) -> None:
        records = [
            Record(one.local.identity.public, one.peers, one.listen) for one in self.governors
        ]
        policy = PolicyFile.parse(text).policy(1, bytes(6), int(time.time()))
        seat = self.governors[0].local.seat
        invitation = Invitation.create(
            SCOPE, seat.public.threshold, records, policy, int(time.time()), GOVERNOR
        )
        payloads = invitation.payloads(seat.public.group_key)
        privates = [crypto.p256_generate() for _ in device_names]
        for number, pair in enumerate(zip(device_names, privates, strict=True), 100):
            payloads.append(_member(number, *pair))
        raws = self.sign(payloads)
        self.policy = Policy(capsules.parse(raws[1]).claims)
        self.genesis = raws
        made = raws[len(raws) - len(privates) :]
        self.devices = [Device(*found) for found in zip(privates, device_names, made, strict=True)]
        for one in self.governors:
            self._make_folder(one, {record.governor.name: record.peers for record in records})

    def _make_folder(self, one: Governor, addresses: dict[str, str]) -> None:
        name, folder = one.local.seat.name, one.folder
        folder.create(name, one.peers, one.listen)
        first = self.governors[0].folder.ledger
        if one.folder.ledger == first:
            ledger = Ledger.open(first)
            write_genesis(ledger, one.local.seat, self.genesis)
            ledger.close()
        else:
            shutil.copy(first, one.folder.ledger)
        path = keyring.identity_path(folder.path, name)
        keyfile.write(path, "identity", one.local.identity.to_bytes(), self._key)
        keyring.seat_store(folder.path, name, self._key).save(one.local.seat.to_bytes())
        AddressBook(folder.peers).set({key: at for key, at in addresses.items() if key != name})

    def sign(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Capsules signed with the key that the shares reconstruct, a thousand in a moment."""
        keys = [one.local.seat.key for one in self.governors]
        numbers = [key.identifier for key in keys[: keys[0].threshold]]
        shares = zip(numbers, keys, strict=False)
        secret = sum(lagrange(n, numbers) * key.signing_share for n, key in shares) % ORDER
        return [_signed(payload, secret, keys[0].group_key) for payload in payloads]

    def provision(self, device: Device, path: Path, listen: str) -> None:
        """Make the folder of a node: its key, its config.json, and its capsules."""
        scope = bytes(capsules.scope_id(capsules.parse(self.genesis[0]).payload))
        path.mkdir()
        config = {"name": device.name, "scope": scope.hex(), "listen": listen}
        provision.write_config(path, config)
        Store(FileFlash(str(path))).save("key", device.private)
        provision.install(path, [*self.genesis[:2], device.raw], scope)

    def node_folder(self, device: Device) -> NodeFolder:
        """Provision `device` as a node of this host, at a free port of the loopback interface."""
        path = self.path / device.name
        self.provision(device, path, f"{HOST}:{free_ports(1)[0]}")
        return NodeFolder(path)

    # --- processes --------------------------------------------------------------------------------

    def start(self, one: Governor, program: Sequence[str] = ("-c", _COMMAND)) -> None:
        """Start a daemon; its output goes to DIR/log."""
        command = [sys.executable, *program, "governor", "run", str(one.folder.path)]
        options = ["--key-file", str(self.key_path), "--metrics", one.metrics]
        paths = os.pathsep.join(str(ROOT / part) for part in ("firmware", "host"))
        with open(one.folder.path / "log", "ab") as log:
            one.process = subprocess.Popen(
                [*command, *options],
                env=clean_environment(PYTHONPATH=paths),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _meet(self) -> None:
        """Wait until each governor is connected to all others and takes part in consensus."""
        for one in self.governors:
            self.wait(functools.partial(self._is_ready, one), f"{one.folder.path.name} to be ready")

    def _is_ready(self, one: Governor) -> bool:
        for other in self.governors:
            if other.process is not None and other.process.poll() is not None:
                log = (other.folder.path / "log").read_text(errors="replace")
                raise SystemExit(f"governor {other.folder.path.name} has ended:\n{log[-2000:]}")
        with contextlib.suppress(NotReachable):
            status = one.ask("status")
            return status.get("online_count") == len(self.governors) and bool(status["is_active"])
        return False

    def wait(self, until: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
        """Wait until `until()` is true. Raises `SystemExit` after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > end:
                raise SystemExit(f"timeout after {timeout_s:g} s, waiting for {what}")
            time.sleep(0.02)

    def traffic(self) -> dict[str, float]:
        """Sums of the governors' metrics, by name; a second old at most."""
        total: dict[str, float] = {}
        for one in self.governors:
            with urllib.request.urlopen(f"http://{one.metrics}/metrics", timeout=5) as answer:
                for line in answer.read().decode().splitlines():
                    if line.startswith("writ_"):
                        name, _, value = line.rpartition(" ")
                        name = name.partition("{")[0]
                        total[name] = total.get(name, 0.0) + float(value)
        return total

    # --- proposals --------------------------------------------------------------------------------

    def revocation(self, node_id: bytes) -> list[bytes]:
        """The amendment and the whole policy that revoke a node, or restore a revoked one.

        They are the payloads that `writ member revoke` proposes. The new state counts as in force
        from then on.
        """
        op: object = [OP_RESTORE, node_id] if node_id in self.policy.revoked else node_id
        head = self.policy.head()
        body = check_amendment([AMENDMENT, self.policy.epoch + 1, head, op])
        self.policy = amend(self.policy, body)
        return [capsules.build(AMENDMENT, body[1:]), self.policy.payload()]


def _member(address: int, name: str, private: bytes) -> bytes:
    exp, key = int(time.time()) + MEMBER_S, crypto.p256_public(private)
    made: bytes = capsules.build(MEMBER, [address, SENSOR], sub=name, exp=exp, key=key)
    return made


def _signed(payload: bytes, secret: int, group_key: bytes) -> bytes:
    # Ed25519 (RFC 8032, section 5.1.6) with a random nonce
    nonce = random_scalar()
    commitment = base(nonce)
    challenge = hash_to_scalar(commitment, group_key, capsules.signing_input(payload))
    signature = commitment + scalar_to_bytes(multiply_add(secret, challenge, nonce))
    made: bytes = capsules.assemble(payload, signature)
    return made


class Watch:
    """A daemon's events, from the creation of this object. Use `with`."""

    def __init__(self, governor: Governor) -> None:
        self._client = ControlClient(governor.folder.control)
        self._events = self._client.watch()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def wait_for(self, event: str, **facts: object) -> Document:
        """The next event of this name with these facts."""
        for found in self._events:
            if found["event"] == event and all(found.get(k) == v for k, v in facts.items()):
                return found
        raise SystemExit("a governor has stopped")
