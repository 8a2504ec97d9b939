"""The governor as a member of its scope: the node that devices speak with.

The ordinary agent, which besides answers from the ledger what a device's own tables do not hold,
and takes statements of members (docs/wire.md) to the core. Its key is the identity's; it never
reaches the disk in plain.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from writ import cbor
from writ.authority import capsule as capsules
from writ.authority.store import Store
from writ.errors import Rejection, UsageError
from writ.node.context import PREFIX
from writ.node.sync import Sync
from writ.wire import coap

from ..node.agent import OnEvent, ReportingNode
from .push import PolicyPush

PROPOSE = PREFIX + "/propose"
CAPSULE = PREFIX + "/capsule"
MEMBER = PREFIX + "/member"
POLICY = PREFIX + "/policy"
# What a capsule is asked for by: the first bytes of its SHA-256.
DIGEST_BYTES = 16
# Records that change with each epoch, and each beacon.
_OFTEN = ("policy", "beacon")
# Of one wake-up, so that the other sockets have their turn.
DATAGRAMS_AT_ONCE = 64

# Takes a member's statement and the time; the CoAP code and the body of the answer.
Ask = Callable[[bytes, int], tuple[int, bytes]]


class Library(Protocol):
    """What was certified (ledger/capsules.py); None for what is not there."""

    def charter(self) -> bytes | None:
        """The founding charter."""

    def beacon(self) -> bytes | None:
        """The newest beacon."""

    def member(self, node_id: bytes) -> Any:
        """The newest `Member` with this node id (8 B)."""

    def find(self, digest: bytes) -> bytes | None:
        """The capsule whose SHA-256 begins with these 16 bytes."""

    def member_named(self, name: str) -> bytes | None:
        """The newest capsule of the member that has this name."""

    def policy_after(self, epoch: int) -> bytes | None:
        """What takes a node from this epoch on: a succession, an amendment or a whole policy."""


class _NodeStore:
    """A store whose record "key" is the identity's private key (32 bytes), in memory only.

    is_in_ledger: what is saved now is in the ledger too, and every start takes it from there. So
    it is written once in a while, and not in each epoch of a burst.
    """

    def __init__(self, store: Store, private: bytes) -> None:
        self.is_in_ledger = False
        self._store = store
        self._private = private
        self._unsaved: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        """As `Store.load`."""
        if name == "key":
            return self._private
        return self._unsaved.get(name) or self._store.load(name)

    def save(self, name: str, data: bytes) -> None:
        """As `Store.save`. Raises `UsageError` for the key."""
        if name == "key":
            raise UsageError("the key stays in memory")
        if self.is_in_ledger and name in _OFTEN:
            self._unsaved[name] = data
        else:
            self._unsaved.pop(name, None)
            self._store.save(name, data)

    def settle(self) -> None:
        """Write what was not. Raises `StoreFailed`, and keeps what is left for the next time."""
        while self._unsaved:
            name, data = next(iter(self._unsaved.items()))
            self._store.save(name, data)
            del self._unsaved[name]

    def reset(self, name: str) -> None:
        """As `Store.reset`."""
        self._store.reset(name)


class HostSync(Sync):
    """As a device's, and with what only a governor has."""

    def __init__(self, node: "ScopeNode", library: Library, ask: Ask) -> None:
        super().__init__(node)
        self._library = library
        self._ask = ask

    def serve(self, request: Any, now_ms: int) -> tuple[int, bytes] | None:
        """As the core; the additions are for members only."""
        if request.peer is not None:
            if request.method == coap.POST and request.path == PROPOSE:
                return self._ask(request.payload, now_ms)
            if request.method == coap.GET and (raw := self._in_ledger(request)) is not None:
                return (coap.CONTENT, raw) if raw else (coap.NOT_FOUND, b"")
        found: tuple[int, bytes] | None = super().serve(request, now_ms)
        return found

    # names that `Sync` has not: it calls its own

    def _in_ledger(self, request: Any) -> bytes | None:
        """The answer, b"" for none at all, None where the device's own tables may have one."""
        if request.path == CAPSULE:
            return self._capsule_in_ledger(_asked(request.query, "d="))
        if request.path == POLICY:
            return self._library.policy_after(self._requested_epoch(request))
        if request.path == MEMBER:
            return self._member_in_ledger(_asked(request.query, "n="))
        return None

    def _find_succession(self, request: Any) -> bytes | None:
        # for whoever slept through a change of the group key: its own tables end with the process
        return self._lead_in_ledger(_asked(request.query, "i=")) or super()._find_succession(
            request
        )

    def _lead_in_ledger(self, node_id: str) -> bytes | None:
        try:
            member = self._library.member(bytes.fromhex(node_id)) if node_id else None
        except ValueError:
            return None
        return bytes(member.raw) if member else None

    def _capsule_in_ledger(self, digest: str) -> bytes:
        try:
            asked = bytes.fromhex(digest)
        except ValueError:
            return b""
        return (self._library.find(asked) or b"") if len(asked) == DIGEST_BYTES else b""

    def _member_in_ledger(self, name: str) -> bytes | None:
        # [capsule, address or null]: where it was heard last, as devices answer
        raw = self._library.member_named(name) if name else None
        if raw is None:
            return None
        member = self._context.authority.peer_by(raw=raw)
        where = self._context.where(member.node_id) if member else None
        return bytes(cbor.encode([raw, where]))


def _asked(query: list[str], prefix: str) -> str:
    return next((item[len(prefix) :] for item in query if item.startswith(prefix)), "")


class ScopeNode(ReportingNode):
    """A running node of a governor. Driven by the daemon's loop, not by `run`.

    private: its P-256 key (32 bytes); library: the ledger's capsules; ask: the core's ear.
    """

    def __init__(
        self,
        store: Store,
        config: dict[str, Any],
        on_event: OnEvent,
        private: bytes,
        library: Library,
        ask: Ask,
    ) -> None:
        self._own_store = _NodeStore(store, private)
        super().__init__(cast(Store, self._own_store), config, on_event)
        self.sync = HostSync(self, library, ask)
        self._library = library
        self._spread = PolicyPush(self, library)
        self._is_touched = True  # since the last turn
        self._due_ms: int | None = None  # by its own clock

    @property
    def socket(self) -> Any:
        """What the daemon's selector waits for."""
        assert self.link is not None
        return self.link._socket

    def serve_ready(self) -> None:
        """Handle the datagrams that have come."""
        assert self.link is not None
        self._is_touched = True
        for _ in range(DATAGRAMS_AT_ONCE):
            found = self.link.receive(0)
            if not found:
                return
            try:
                self.send(self.receive(found[0], found[1], self.clock.now_ms()))
            except Exception as error:  # noqa: BLE001 - a device's message must not end a governor
                self.count(error)
                self.report("bug", f"bug in writ: {error!r}", address=found[1])

    def turn(self) -> None:
        """Do what is due, and tell what has changed; nothing where nothing has."""
        if self.wait_ms() != 0:
            return
        self._is_touched = False
        self.send(self.tick(self.clock.now_ms()))
        self.send(self._spread.turn())
        self.report_changes()
        now_ms = self.clock.now_ms()
        wait_ms = self.next_ms(now_ms)
        self._due_ms = None if wait_ms is None else now_ms + wait_ms

    def wait_ms(self) -> int | None:
        """Milliseconds until `turn` has something to do, None for never."""
        if self._is_touched:
            return 0
        return None if self._due_ms is None else max(0, self._due_ms - self.clock.now_ms())

    def take(self, raw: bytes) -> None:
        """Believe what the governors certified, as any node does; what is old by now is no news.

        Nobody's ration is charged, since it comes from the ledger.
        """
        self._is_touched = True
        self._own_store.is_in_ledger = True
        try:
            with contextlib.suppress(Rejection):
                self.authority.receive(raw, self.clock.now_ms())
        finally:
            self._own_store.is_in_ledger = False

    def settle(self) -> None:
        """Write what is only in the ledger so far, for those who look into this node's folder."""
        with contextlib.suppress(Rejection):
            self._own_store.settle()

    def catch_up(self) -> None:
        """Take from the ledger all that this node does not know yet."""
        authority, library = self.authority, self._library
        charter = library.charter()
        if charter is not None and authority.charter is None:
            self.take(charter)
        while (raw := library.policy_after(authority.epoch)) is not None:
            before = authority.epoch
            self.take(raw)
            if authority.epoch == before:
                break
        own = library.member(capsules.node_id(authority.own_x))
        beacon = library.beacon()
        for found in (own and own.raw, beacon):
            if found is not None:
                self.take(found)
