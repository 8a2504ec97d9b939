"""The UDP socket between governors: the transport's datagrams, and plain CoAP for foundings.

Incoming messages are handled in the order of the fair queue (fairqueue.py). Outgoing messages wait
in the outbox (outbox.py): early ones leave before the commit, all others after it, so that nothing
is said that a crash could undo. Messages to one peer share datagrams.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Protocol

from writ.errors import Rejection, UsageError

from ...errors import HostError
from ...keys.identity import Identity, PublicIdentity
from ...node.udplink import HostUdpLink
from .addresses import AddressBook
from .bootstrap import FoundingServer, InvitationClient, Serve, is_plain_request, is_plain_response
from .fairqueue import FairQueue
from .outbox import Outbox, Urgency
from .transport import PeerTransport

# Datagrams that are read at one time, so that answers share datagrams and other sockets are served.
DATAGRAMS_AT_ONCE = 256
RECEIVE_BYTES_MAX = 2048
# CPU seconds of this thread. Messages are handled for TURN_S, then devices, operators and timers
# are served. Within a turn the socket is read every LOOK_S, since a flood fills its buffer in some
# milliseconds.
TURN_S = 0.2
LOOK_S = 0.002
# A deferrable message waits for so long, or until the next event.
DEFER_MS = 2
# A burst of catch-up answers from twelve peers; the kernel may grant less.
SOCKET_BYTES = 1 << 20

# The name of the rejection of a datagram from a party without a session, and its source.
OnRefused = Callable[[str, str], None]
# An exception that no datagram should raise, the datagram's source, the datagram.
OnDefect = Callable[[Exception, str, bytes], None]
# Node key of the sender (33 B), message, time in ms.
OnMessage = Callable[[bytes, bytes, int], None]

Datagrams = Iterable[tuple[str, bytes]]


class Durable(Protocol):
    """The store that must be on the disk before messages that depend on it leave."""

    @property
    def failure(self) -> Exception | None:
        """The error of the write that failed, None while the disk works."""

    @property
    def is_dirty(self) -> bool:
        """Whether there are uncommitted writes."""

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        """Commit once, at the end, for all writes inside."""


class PeerEndpoint:
    """The socket, bound to `bound` ("host:port"). Raises `OSError`.

    address_file: peers.toml; store: the ledger; now_ms: the clock, milliseconds that only grow;
    on_message: takes the messages of peers; serve: answers plain requests; on_refused: takes the
    refusals of plain CoAP, which `refused` counts by name; on_defect: takes what a datagram raised
    that no datagram should raise.
    """

    def __init__(
        self,
        bound: str,
        identity: Identity,
        address_file: Path,
        store: Durable,
        now_ms: Callable[[], int],
        on_message: OnMessage,
        serve: Serve,
        on_refused: OnRefused,
        on_defect: OnDefect,
    ) -> None:
        self.transport = PeerTransport(identity.node_private)
        self.address_book = AddressBook(address_file)
        self.peers: dict[bytes, str] = {}  # node key -> "host:port", numeric
        self._outbox = Outbox(self._send)
        self._inbox = FairQueue()
        self._was_served = False  # in this turn of the loop
        self.transport.paused = self._inbox.full
        self._store = store
        self._now_ms = now_ms
        self._on_message = on_message
        self._on_defect = on_defect
        self.refused: dict[str, int] = {}
        self._on_refused = on_refused
        self._founding_server = FoundingServer(serve, self._count)
        self._invitations = InvitationClient(self._count)
        self._link = HostUdpLink(bound, RECEIVE_BYTES_MAX)
        self.socket = self._link.socket
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)

    def close(self) -> None:
        """Close the socket."""
        self._link.close()

    # --- incoming ---------------------------------------------------------------------------------

    def on_readable(self, _: int) -> None:
        """Handle the datagrams that have arrived, with one commit for all of them."""
        self._was_served = True
        with self._store.at_once():
            answers = self._receive()
            answers += self._handle()
            if self._store.is_dirty:
                self.flush_early()
        if self._store.failure is None:
            self._send_datagrams(answers)

    def _handle(self) -> list[tuple[str, bytes]]:
        """Handle queued messages for one turn; the answers to plain requests read meanwhile."""
        answers: list[tuple[str, bytes]] = []
        # reading the thread's clock takes time, and mostly there is only one message
        since_s = time.thread_time() if len(self._inbox) > 1 else 0.0
        looked_s, end_s = since_s, since_s + TURN_S
        while since_s < end_s and (message := self._inbox.next()) is not None:
            self._on_message(*message, self._now_ms())
            if not self._inbox:
                self._inbox.charge(message[0], 0)
                break
            done_s = time.thread_time()
            self._inbox.charge(message[0], done_s - since_s)
            since_s = done_s
            if since_s - looked_s > LOOK_S:
                answers += self._receive()
                looked_s = since_s = time.thread_time()
        return answers

    def _receive(self) -> list[tuple[str, bytes]]:
        """Read the socket; the answers to plain requests. Answers to peers wait for `flush`."""
        answers: list[tuple[str, bytes]] = []
        for _ in range(DATAGRAMS_AT_ONCE):
            found = self._link.receive(0)
            if not found:
                break
            datagram, source = found
            try:
                answers += self._receive_one(datagram, source, self._now_ms())
            except (HostError, OSError):
                # of this machine: its files, its disk
                raise
            except Exception as error:  # noqa: BLE001 - one datagram must not end a governor
                self._on_defect(error, source, datagram)
        return answers

    def _receive_one(self, datagram: bytes, source: str, now_ms: int) -> Datagrams:
        """Handle one datagram; the answers to a plain request."""
        if is_plain_request(datagram):
            return self._founding_server.receive(datagram, source, now_ms)
        if is_plain_response(datagram):
            return self._invitations.receive(datagram, source, now_ms)
        for sender, message in self.transport.receive(datagram, source, now_ms):
            self._inbox.add(sender, message)
        return []

    def _count(self, rejection: Rejection, source: str) -> None:
        name = type(rejection).__name__
        self.refused[name] = self.refused.get(name, 0) + 1
        self._on_refused(name, source)

    # --- outgoing ---------------------------------------------------------------------------------

    def post(self, to: bytes, data: bytes, urgency: Urgency = Urgency.AFTER_COMMIT) -> None:
        """Send a message to the peer with node key `to`, at the time that its class allows."""
        self._outbox.post(to, data, urgency)

    def post_all(self, messages: Iterable[tuple[bytes, bytes]]) -> None:
        """Send several messages (node key, message) after the commit."""
        for to, data in messages:
            self.post(to, data)

    def invite(self, address: str, invitation: bytes) -> None:
        """Bring an invitation to the daemon at "host:port"."""
        resolved = self.address_book.resolve(address)
        if resolved:
            found = self._invitations.invite(resolved, invitation, self._now_ms())
            self._send_datagrams(found)

    def release_deferred(self) -> None:
        """A new turn of the loop has begun: deferrable messages leave with the next `flush`."""
        self._outbox.release_deferred()

    def flush_early(self) -> None:
        """Send the early messages before the commit."""
        if self._store.failure is None:
            self._send_datagrams(self.transport.flush(self._now_ms()))

    def flush(self) -> None:
        """Send all messages but deferrable ones. Raises `LedgerFailed` after a failed write."""
        if self._inbox and not self._was_served:
            # messages that the turn before had no time for
            self.on_readable(0)
        self._was_served = False
        if self._store.failure is not None:
            # any message may depend on the write that failed
            raise self._store.failure
        self._outbox.committed()
        now_ms = self._now_ms()
        self._send_datagrams(self._invitations.tick(now_ms))
        self._send_datagrams(self.transport.flush(now_ms))

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `flush` has work, None for never."""
        if self._inbox:
            return 0
        times = (
            self.transport.next_ms(now_ms),
            self._invitations.next_ms(now_ms),
            DEFER_MS if self._outbox.has_deferred else None,
        )
        return min((one for one in times if one is not None), default=None)

    def _send(self, to: bytes, data: bytes) -> None:
        # a peer without an address gets nothing: every message that matters is repeated
        with contextlib.suppress(UsageError):
            self.transport.send(to, data)

    def _send_datagrams(self, datagrams: Datagrams) -> None:
        for address, datagram in datagrams:
            self._link.send(address, datagram)

    # --- peers ------------------------------------------------------------------------------------

    def set_peers(
        self, governors: Iterable[PublicIdentity], others: dict[bytes, str], trusted: Set[bytes]
    ) -> None:
        """Replace the peers: the governors, and `others` by node key with their addresses.

        `others` that are not in `trusted` may come from invitations of strangers. A key and its
        negative have the same node id: of such keys the first counts, and none that is our own.
        """
        found = self.address_book.of(governors)
        taken = {key[1:] for key in (*found, self.transport.key)}
        for key, address in others.items():
            if key[1:] in taken:
                continue
            resolved = self.address_book.resolve(address, key in trusted)
            if resolved:
                found[key] = resolved
                taken.add(key[1:])
        if found != self.peers:
            self.peers = found
            self.transport.set_peers(found)

    def learn(self, governors: Iterable[PublicIdentity]) -> None:
        """Remember the addresses from which these governors sent last."""
        self.address_book.learn(governors, self.transport.last_seen)
