"""The scope node: the governor as a member of its scope, which devices speak with.

It is an ordinary node with three additions. It answers from the ledger what a device's own tables
do not hold. It passes statements of members (docs/wire.md) to the core. It pushes new policies to
members. Its key is the governor's node key, which never reaches the disk unencrypted.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

from writ import cbor
from writ.authority import capsule as capsules
from writ.authority.store import Store
from writ.errors import NotFound, Rejection, UsageError
from writ.limits import ADDRESSES_MAX
from writ.node.context import PREFIX
from writ.node.sync import Sync
from writ.wire import coap

from .. import files
from ..node import config as nodeconfig
from ..node import provision
from ..node.agent import OnEvent, ReportingNode
from ..node.folder import NodeFolder
from .folder import GovernorFolder, Settings
from .push import PolicyPush

PROPOSE = PREFIX + "/propose"
CAPSULE = PREFIX + "/capsule"
MEMBER = PREFIX + "/member"
POLICY = PREFIX + "/policy"
# The digest in a request for a capsule: the first bytes of its SHA-256.
DIGEST_BYTES = 16
# Records that each epoch, or each beacon, replaces.
_FREQUENT = ("policy", "beacon")
# Datagrams that are handled at one time, so that the other sockets have their turn.
DATAGRAMS_AT_ONCE = 64

# Takes a member's statement and the time; returns the CoAP code and the body of the answer.
AnswerStatement = Callable[[bytes, int], tuple[int, bytes]]
# Makes the node from the store of its folder and its configuration.
MakeNode = Callable[[Store, dict[str, Any]], "ScopeNode"]


class CapsuleSource(Protocol):
    """The certified capsules in the ledger (ledger/capsules.py); None for one that is not there."""

    def charter(self) -> bytes | None:
        """The founding charter."""

    def beacon(self) -> bytes | None:
        """The newest beacon."""

    def member(self, node_id: bytes) -> Any:
        """The newest `Member` with this node id (8 B)."""

    def find(self, digest: bytes) -> bytes | None:
        """The capsule whose SHA-256 begins with these 16 bytes."""

    def named(self, name: str) -> list[Any]:
        """The `Member`s that have or had this name, the latest to expire first."""

    def policy_after(self, epoch: int) -> bytes | None:
        """The next capsule for a node in this epoch: succession, amendment or whole policy."""


def open_folder(
    folder: GovernorFolder, settings: Settings, scope: bytes, make: MakeNode
) -> NodeFolder:
    """Create or complete the node's folder for this scope id, and open its socket."""
    path = folder.node
    path.mkdir(mode=0o700, exist_ok=True)
    config = nodeconfig.read(path) if files.exists(path / nodeconfig.NAME) else {}
    config.update(name=settings.name, scope=scope.hex(), listen=settings.listen)
    provision.write_config(path, config)
    return NodeFolder(path, listen=settings.bound(settings.listen), make=make)


class _ScopeNodeStore:
    """A store whose record "key" is the governor's node key (32 bytes), in memory only.

    is_from_ledger: the records saved now are in the ledger too, from which each start takes them.
    So they are written by `write_deferred`, not in each epoch of a burst.
    """

    def __init__(self, store: Store, private: bytes) -> None:
        self.is_from_ledger = False
        self._store = store
        self._private = private
        self._deferred: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        """As `Store.load`."""
        if name == "key":
            return self._private
        return self._deferred.get(name) or self._store.load(name)

    def save(self, name: str, data: bytes, is_kept: bool = True) -> None:
        """As `Store.save`. Raises `UsageError` for the key."""
        if name == "key":
            raise UsageError("the key stays in memory")
        if self.is_from_ledger and name in _FREQUENT:
            self._deferred[name] = data
        else:
            self._deferred.pop(name, None)
            self._store.save(name, data, is_kept)

    def write_deferred(self) -> None:
        """Write the deferred records. After a `StoreFailed` the rest is kept for the next call."""
        while self._deferred:
            name, data = next(iter(self._deferred.items()))
            self._store.save(name, data)
            del self._deferred[name]

    def mend(self, name: str) -> None:
        """As `Store.mend`."""
        self._store.mend(name)

    def reset(self, name: str) -> None:
        """As `Store.reset`."""
        self._store.reset(name)


class LedgerSync(Sync):
    """The resources of a device, plus what only a governor can answer."""

    def __init__(
        self, node: "ScopeNode", capsule_source: CapsuleSource, answer_statement: AnswerStatement
    ) -> None:
        super().__init__(node)
        self._capsule_source = capsule_source
        self._answer_statement = answer_statement

    def serve(self, request: Any, now_ms: int) -> tuple[int, bytes] | None:
        """As `Sync.serve`; the additions are for members only."""
        if request.peer is not None:
            if request.method == coap.POST and request.path == PROPOSE:
                return self._answer_statement(request.payload, now_ms)
            if request.method == coap.GET and (raw := self._ledger_answer(request)) is not None:
                if not raw:
                    raise NotFound()
                return coap.CONTENT, raw
        found: tuple[int, bytes] | None = super().serve(request, now_ms)
        return found

    # these method names must differ from those of `Sync`, which calls its own

    def _ledger_answer(self, request: Any) -> bytes | None:
        """The ledger's answer; b"" for "not found", None if the device's tables may have one."""
        if request.path == CAPSULE:
            return self._ledger_capsule(_query_value(request.query, "d="))
        if request.path == POLICY:
            return self._capsule_source.policy_after(self._requested_epoch(request))
        if request.path == MEMBER:
            return self._ledger_member(_query_value(request.query, "n="))
        return None

    def _find_succession(self, request: Any) -> bytes | None:
        # for a device that slept through a change of the group key: the node's own table of such
        # capsules is lost with the process
        node_id = _query_value(request.query, "i=")
        return self._ledger_succession(node_id) or super()._find_succession(request)

    def _ledger_succession(self, node_id: str) -> bytes | None:
        try:
            member = self._capsule_source.member(bytes.fromhex(node_id)) if node_id else None
        except ValueError:
            return None
        return bytes(member.raw) if member else None

    def _ledger_capsule(self, digest_hex: str) -> bytes:
        try:
            digest = bytes.fromhex(digest_hex)
        except ValueError:
            return b""
        if len(digest) != DIGEST_BYTES:
            return b""
        return self._capsule_source.find(digest) or b""

    def _ledger_member(self, name: str) -> bytes | None:
        # [capsule, last known address or null], as devices answer
        found = self._capsule_source.named(name) if name else []
        if not found:
            return None
        authority = self._context.authority
        revoked = authority.policy.revoked if authority.policy else ()
        # a node with a new key has the name of the revoked one before it
        raw = bytes(next((one for one in found if one.node_id not in revoked), found[0]).raw)
        member = authority.peer_by(raw=raw)
        address = self._context.address_of(member.node_id) if member else None
        return bytes(cbor.encode([raw, address]))


def _query_value(query: list[str], prefix: str) -> str:
    return next((item[len(prefix) :] for item in query if item.startswith(prefix)), "")


class ScopeNode(ReportingNode):
    """The scope node of a running governor. The daemon's loop drives it, not `run`.

    private: the governor's node key (32 bytes); capsule_source: the ledger; answer_statement: the
    core. queue: new capsules that the node has not taken yet.
    """

    # the governor says it, for both of its sockets
    reports_address = False

    def __init__(
        self,
        store: Store,
        config: dict[str, Any],
        on_event: OnEvent,
        private: bytes,
        capsule_source: CapsuleSource,
        answer_statement: AnswerStatement,
    ) -> None:
        self._scope_store = _ScopeNodeStore(store, private)
        super().__init__(cast(Store, self._scope_store), config, on_event)
        self.sync = LedgerSync(self, capsule_source, answer_statement)
        self.queue: deque[bytes] = deque()
        self._capsule_source = capsule_source
        self._policy_push = PolicyPush(self, capsule_source)
        self._heard: dict[bytes, int] = {}  # node id -> Unix seconds of its last authentic message
        self._has_changed = True  # since the last turn
        self._due_ms: int | None = None  # when `turn` has work, by the node's own clock

    @property
    def sockets(self) -> Any:
        """The UDP sockets, for the daemon's selector."""
        assert self.link is not None
        return self.link.sockets

    def join_groups(self) -> None:
        """As `HostNode`, but a failure at the start is final: the selector has the sockets then."""
        if not self.undiscoverable:
            super().join_groups()

    def on_readable(self) -> None:
        """Handle the datagrams that have arrived."""
        assert self.link is not None
        self._has_changed = True
        for _ in range(DATAGRAMS_AT_ONCE):
            found = self.link.receive(0)
            if not found:
                return
            self.send(self.receive(found[0], found[1], self.clock.now_ms()))

    def turn(self) -> None:
        """Do what is due, and report changes; nothing if `wait_ms` is not 0."""
        if self.wait_ms() != 0:
            return
        self._has_changed = False
        self.send(self.tick(self.clock.now_ms()))
        self.send(self._policy_push.turn())
        self.report_changes()
        now_ms = self.clock.now_ms()
        wait_ms = self.next_ms(now_ms)
        self._due_ms = None if wait_ms is None else now_ms + wait_ms

    def wait_ms(self) -> int | None:
        """Milliseconds until `turn` has work, None for never."""
        if self._has_changed:
            return 0
        return None if self._due_ms is None else max(0, self._due_ms - self.clock.now_ms())

    # --- what was heard of members ----------------------------------------------------------------

    def mark_seen(self, session: Any, address: str) -> None:
        """As `NodeContext.mark_seen`; notes the time, too."""
        super().mark_seen(session, address)
        node_id = session.peer.node_id
        self._heard.pop(node_id, None)
        self._heard[node_id] = int(time.time())
        if len(self._heard) > ADDRESSES_MAX:
            del self._heard[next(iter(self._heard))]

    def heard(self) -> dict[str, dict[str, object]]:
        """{node id (hex): address, epoch if known, and Unix seconds of its last message}."""
        found: dict[str, dict[str, object]] = {}
        for node_id, heard in self._heard.items():
            session = self.sessions.by_peer(node_id)
            epoch = session.seen_epoch if session else 0
            address = self.address_of(node_id)
            found[node_id.hex()] = {"address": address, "epoch": epoch or None, "heard": heard}
        return found

    # --- capsules from the ledger -----------------------------------------------------------------

    def enqueue(self, raw: bytes) -> None:
        """Keep a new capsule of the ledger for `take_next`."""
        self.queue.append(raw)

    def take_next(self) -> None:
        """Take one capsule from the queue, which costs a signature check and a write."""
        if self.queue:
            self.take(self.queue.popleft())

    def take(self, raw: bytes) -> None:
        """Verify a capsule of the ledger and apply it, as any node does; a stale one is ignored.

        No rate limit is charged for it.
        """
        self._has_changed = True
        self._scope_store.is_from_ledger = True
        try:
            with contextlib.suppress(Rejection):
                self.authority.receive(raw, self.clock.now_ms())
        finally:
            self._scope_store.is_from_ledger = False

    def write_deferred(self) -> None:
        """Write the records that are only in the ledger so far, for readers of the folder."""
        with contextlib.suppress(Rejection):
            self._scope_store.write_deferred()

    def catch_up(self) -> None:
        """Take all capsules of the ledger that this node lacks."""
        authority, source = self.authority, self._capsule_source
        charter = source.charter()
        if charter is not None and authority.charter is None:
            self.take(charter)
        while (raw := source.policy_after(authority.epoch)) is not None:
            before = authority.epoch
            self.take(raw)
            if authority.epoch == before:
                break
        own = source.member(capsules.node_id(authority.own_x))
        beacon = source.beacon()
        for found in (own and own.raw, beacon):
            if found is not None:
                self.take(found)
