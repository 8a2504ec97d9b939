"""The UDP socket of governors among themselves: peering, and plain requests of those who found.

Messages are handed on as they come, by turns of the peers (fairqueue.py); what is to be said
waits for `flush`, when all that it follows from is durable, so that messages to one peer share
datagrams. What follows from nothing that is still to be written leaves before the disk is
waited for.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from writ.errors import UsageError
from writ.link import udp

from ...keys.identity import Governor, Identity
from ..ledger.ledger import Ledger
from .addresses import Addresses
from .bootstrap import FoundingServer, InvitationClient, Serve, is_plain_request, is_plain_response
from .fairqueue import FairQueue
from .transport import Peering

# Of one wake-up, so that answers share datagrams and nobody starves the other sockets.
DATAGRAMS_AT_ONCE = 256
DATAGRAM_BYTES_MAX = 2048
# Seconds of this thread, not of a busy machine. Messages are handled for so long before devices,
# operators and time have their turn; and so long before the socket is looked at again, whose buffer
# a flood fills in some ms.
TURN_S = 0.2
LOOK_S = 0.002
# A burst of catch-up from twelve peers; the kernel grants what it is configured to.
SOCKET_BYTES = 1 << 20

# Node key of the sender (33 B), message, time in ms.
OnMessage = Callable[[bytes, bytes, int], None]

Datagrams = Iterable[tuple[str, bytes]]


class PeerEndpoint:
    """Bound to `bound` ("host:port"). serve: who answers plain requests. Raises `OSError`.

    now_ms: what tells the time; on_message: whom messages of peers are given to; known: the file
    with the peers' addresses.
    """

    def __init__(
        self,
        bound: str,
        identity: Identity,
        known: Path,
        ledger: Ledger,
        now_ms: Callable[[], int],
        on_message: OnMessage,
        serve: Serve,
    ) -> None:
        self.peering = Peering(identity.node_private, identity.name)
        self.addresses = Addresses(known)
        self.peers: dict[bytes, str] = {}
        self._late: list[tuple[bytes, bytes]] = []
        self._turns = FairQueue()
        self._has_had_turn = False
        self.peering.unread = self._turns.full
        self._ledger = ledger
        self._now_ms = now_ms
        self._on_message = on_message
        self._front = FoundingServer(serve)
        self._inviter = InvitationClient()
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        try:
            host, port = udp.split(bound)
            self.link.bind((host, port))
        except OSError:
            self.link.close()
            raise
        self.link.setblocking(False)

    def close(self) -> None:
        """Close the socket."""
        self.link.close()

    # --- what comes in ----------------------------------------------------------------------------

    def ready(self, _: int) -> None:
        """The selector says that datagrams are there: one fsync for what all of them bring."""
        self._has_had_turn = True
        with self._ledger.at_once():
            answers = self._receive()
            answers += self._handle()
            if self._ledger.is_dirty:
                self.send_early()
        self._send_all(answers)

    def _handle(self) -> list[tuple[str, bytes]]:
        """Hand on what waits, as much as fits a turn; what strangers are answered meanwhile."""
        answers: list[tuple[str, bytes]] = []
        # to ask for the thread's time takes time, and mostly there is one message
        since_s = time.thread_time() if len(self._turns) > 1 else 0.0
        looked_s, end_s = since_s, since_s + TURN_S
        while since_s < end_s and (found := self._turns.next()) is not None:
            self._on_message(*found, self._now_ms())
            if not self._turns:
                self._turns.took(found[0], 0)
                break
            done_s = time.thread_time()
            self._turns.took(found[0], done_s - since_s)
            since_s = done_s
            if since_s - looked_s > LOOK_S:
                answers += self._receive()
                looked_s = since_s = time.thread_time()
        return answers

    def _receive(self) -> list[tuple[str, bytes]]:
        """What strangers are answered; what peers are told waits for `flush`."""
        answers: list[tuple[str, bytes]] = []
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                datagram, (host, port, *_rest) = self.link.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                # an ICMP error of an earlier datagram
                continue
            source, now_ms = f"{host}:{port}", self._now_ms()
            if is_plain_request(datagram):
                answers += self._front.receive(datagram, source, now_ms)
            elif is_plain_response(datagram):
                answers += self._inviter.receive(datagram, source, now_ms)
            else:
                for sender, message in self.peering.receive(datagram, source, now_ms):
                    self._turns.add(sender, message)
        return answers

    # --- what goes out ----------------------------------------------------------------------------

    def post(self, to: bytes, data: bytes, early: bool = False) -> None:
        """A message for the peer with this node key, with the next `flush` at the latest.

        early: nothing that is still to be written came before it.
        """
        if not early:
            self._late.append((to, data))
            return
        # who has no address yet is told later: all that matters is repeated
        with contextlib.suppress(UsageError):
            self.peering.send(to, data)

    def post_all(self, found: Iterable[tuple[bytes, bytes]]) -> None:
        """Several: (node key, message)."""
        for to, data in found:
            self.post(to, data)

    def invite(self, address: str, data: bytes) -> None:
        """Bring an invitation to whoever is at "host:port"."""
        resolved = self.addresses.resolve(address)
        if resolved:
            self._send_all(self._inviter.invite(resolved, data, self._now_ms()))

    def send_early(self) -> None:
        """Send what was posted as early; after this it is too late to keep it back."""
        if self._ledger.failure is None:
            self._send_all(self.peering.flush(self._now_ms()))

    def flush(self) -> None:
        """Send what waits. Raises `LedgerFailed` when the disk failed."""
        if self._turns and not self._has_had_turn:
            # what did not fit the turn before
            self.ready(0)
        self._has_had_turn = False
        if self._ledger.failure is not None:
            # whatever was to be said may depend on what is not there
            raise self._ledger.failure
        late, self._late = self._late, []
        for to, data in late:
            self.post(to, data, early=True)
        now_ms = self._now_ms()
        self._send_all(self._inviter.tick(now_ms))
        self._send_all(self.peering.flush(now_ms))

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `flush` has something to do, None for never."""
        if self._turns:
            return 0
        times = (self.peering.next_ms(now_ms), self._inviter.next_ms(now_ms))
        return min((one for one in times if one is not None), default=None)

    def _send_all(self, datagrams: Datagrams) -> None:
        for address, datagram in datagrams:
            # what cannot be sent now is lost, as on any network
            with contextlib.suppress(OSError):
                host, port = udp.split(address)
                self.link.sendto(datagram, (host, port))

    # --- who the peers are ------------------------------------------------------------------------

    def set_peers(self, governors: Iterable[Governor], others: dict[bytes, str]) -> None:
        """The governors, where they were last; and `others`, by node key, where they say."""
        found = self.addresses.of(governors)
        for key, address in others.items():
            resolved = self.addresses.resolve(address)
            if resolved:
                found.setdefault(key, resolved)
        if found != self.peers:
            self.peers = found
            self.peering.set_peers(found)

    def learn(self, governors: Iterable[Governor]) -> None:
        """Remember where these were heard last."""
        self.addresses.learn(governors, self.peering.heard)
