"""Governors as processes, with real ledgers and sockets, and a thief with the keys of one."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attack_rig import AttackedField, wait
from field_rig import FieldScope
from interop_rig import HOST
from measure.committee import Committee
from measure.committee import Governor as Process

from writ import crypto
from writ.authority import capsule
from writ.authority.capsule import BEACON
from writ.authority.policy import Policy
from writ.authority.store import FileFlash, Store
from writ_host import codec
from writ_host.errors import HostError
from writ_host.governor.control import Document
from writ_host.governor.peering.transport import PeerTransport

POLICY = """
[roles]
operator = "reads and sets"
sensor = "measures"
guest = "looks"

[[rule]]
from = "operator"
to = "sensor"
resource = ["temp", "note", "writ/status"]
methods = ["GET"]

[[rule]]
from = "operator"
to = "sensor"
resource = "note"
methods = ["POST"]
quorum = true

[approvals]
operators = 2

[[approvals.rule]]
kind = "beacon"
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["operator", "sensor"]
renew = true
operators = 0
"""
DAY_S = 86400


class CommitteeScope(FieldScope):
    """The scope of a committee, for use by `field_rig` and `attack_rig`.

    It signs with the key shares of three governors, without asking their processes.
    """

    def __init__(self, committee: Committee) -> None:
        self.committee = committee
        self.charter = committee.genesis[0]
        parsed = capsule.parse(self.charter)
        self.id, self.head = capsule.scope_id(parsed.payload), capsule.head(parsed.payload)
        self.public = parsed.body[4]
        self.policies = [committee.genesis[1]]
        self._address = 1000

    def certify(self, payload: bytes) -> bytes:
        """A capsule of `payload`."""
        return self.committee.sign([payload])[0]

    @property
    def state(self) -> Policy:
        """The newest policy."""
        return Policy(capsule.parse(self.policies[-1]).claims)

    def member(self, private: bytes, name: str, address: int, roles: int, days: int = 1) -> bytes:
        """A member capsule for the key `private`."""
        until, key = int(time.time()) + days * DAY_S, crypto.p256_public(private)
        body = [address, roles]
        return self.certify(capsule.build(capsule.MEMBER, body, sub=name, exp=until, key=key))

    def beacon(self) -> bytes:
        """A beacon of the newest epoch with the present time."""
        body = [self.state.epoch, self.state.head()]
        return self.certify(capsule.build(BEACON, body, iat=int(time.time())))

    def folder(self, path: Path, name: str, roles: int, **config: Any) -> bytes:
        """Make a node's folder; a device of the committee keeps its key."""
        for device in self.committee.devices:
            if device.name == name:
                path.mkdir()
                Store(FileFlash(str(path))).save("key", device.private)
                self.hand(path, self.charter, device.raw, self.policies[-1])
                self.configure(path, name, **config)
                return device.node_id
        return super().folder(path, name, roles, **config)


class CommitteeField(AttackedField):
    """A field of a `CommitteeScope`."""

    scope: CommitteeScope  # type: ignore[assignment]

    def __init__(self, root: Path, tree: Path, committee: Committee) -> None:
        super().__init__(root, tree)
        self.scope = CommitteeScope(committee)


# --- operators ------------------------------------------------------------------------------------


def decide(committee: Committee, payloads: Sequence[bytes], *approving: int) -> Document:
    """Propose at the first governor of `approving`, approve at all; the closed proposal."""
    first = committee.governors[approving[0]]
    id = propose(committee, payloads, *approving)
    wait(lambda: known(first, id)["state"] != "open")
    return known(first, id)


def propose(committee: Committee, payloads: Sequence[bytes], *approving: int) -> str:
    """Propose at the first governor of `approving`, approve at all; the proposal's id."""
    first = committee.governors[approving[0]]
    made = first.ask("propose", payloads=list(payloads), title="a change", evidence=b"")
    for index in approving:
        one = committee.governors[index]
        wait(lambda one=one: known(one, made["id"]))
        one.ask("decide", id=made["id"], yes=True, reason="seen")
    id: str = made["id"]
    return id


def known(one: Process, id: str) -> Document:
    """A proposal as a governor knows it, {} if it does not."""
    try:
        return one.ask("find", id=id)
    except HostError:
        return {}


def is_up(one: Process) -> bool:
    """Whether its daemon runs and takes part in consensus."""
    try:
        return bool(one.ask("status")["is_active"])
    except HostError:
        return False


def counters(one: Process) -> dict[str, int]:
    """What a governor's core has counted."""
    found: dict[str, int] = one.ask("status")["counters"]
    return found


def accusations(one: Process) -> set[str]:
    """The accusations in a governor's log: "NAME what it did"."""
    entries = one.ask("log", last=1000)["entries"]
    return {entry["text"] for entry in entries if entry["event"] == "accused"}


# --- a thief --------------------------------------------------------------------------------------


class StolenGovernor:
    """A thief with all keys of a governor that is offline, at its address. Use `with`.

    heard: the messages received, [(number of the governor, items)].
    """

    def __init__(self, committee: Committee, index: int) -> None:
        mine = committee.governors[index]
        self.local = mine.local
        self.heard: list[tuple[int, list[Any]]] = []
        self._numbers = {
            one.local.identity.public.node_key: number
            for number, one in enumerate(committee.governors, 1)
            if one is not mine
        }
        self._transport = PeerTransport(self.local.identity.node_private)
        peers = {
            one.local.identity.public.node_key: one.peers
            for one in committee.governors
            if one is not mine
        }
        self._transport.set_peers(peers)
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.bind((HOST, int(mine.peers.rpartition(":")[2])))
        self._link.settimeout(0.02)

    def __enter__(self) -> "StolenGovernor":
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def say(self, *items: Any, to: Sequence[int] = ()) -> None:
        """Send a message to these governors, by default to all others."""
        for key, number in self._numbers.items():
            if not to or number in to:
                self._transport.send(key, codec.dump(list(items)))

    def listen(self, until: Callable[[], object], seconds: float = 30) -> None:
        """Send and receive until a condition holds. Raises `AssertionError` after `seconds`."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "it did not happen in time"
            self._turn()

    @contextlib.contextmanager
    def repeating(self, *items: Any) -> Iterator[None]:
        """Repeat a message in a thread, as often as the network takes it."""
        stopped = threading.Event()

        def flood() -> None:
            while not stopped.is_set():
                for _ in range(8):
                    self.say(*items)
                self._turn()

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _turn(self) -> None:
        now_ms = int(time.monotonic() * 1000)
        for address, datagram in self._transport.flush(now_ms):
            host, _, port = address.rpartition(":")
            self._link.sendto(datagram, (host, int(port)))
        try:
            datagram, source = self._link.recvfrom(2048)
        except (TimeoutError, OSError):
            return
        where = f"{source[0]}:{source[1]}"
        for key, data in self._transport.receive(datagram, where, now_ms):
            self.heard.append((self._numbers[key], codec.a_list(codec.load(data))))
