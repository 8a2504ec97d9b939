"""The message layer of CoAP (RFC 7252, section 4), and the matching of answers to requests.

Sans-IO: messages and `now_ms` go in, lists of (address, datagram) come out. `now_ms` only grows
and does not wrap; an address is any hashable value. A token belongs to the side that chose it: our
requests have our tokens, our notifications have the peer's. This module keeps the two apart.
"""

from .. import crypto
from ..compat import const
from ..errors import TableFull
from ..limits import DEDUP_MAX, OBSERVERS_MAX, REQUESTS_MAX, TRANSMISSIONS_MAX
from .coap import ACK, CON, EMPTY, NON, OBSERVE, RST, Message

# RFC 7252, section 4.8; the first timeout is drawn from ACK_TIMEOUT to 1.5 times as much
_ACK_TIMEOUT_MS = const(2000)
_EXCHANGE_LIFETIME_MS = const(247000)
_NON_LIFETIME_MS = const(145000)


class _Sent:
    """A CON that waits for its ACK; or a NON that a reset may answer, then `datagram` is None."""

    def __init__(self, message, address, datagram, due_ms):
        self.address = address
        self.mid = message.mid
        self.token = message.token
        self.is_request = message.is_request()
        self.datagram = datagram
        # time of the next transmission, and number of transmissions; 0 while it waits in the queue
        self.due_ms = due_ms
        self.count = 0
        self.timeout_ms = 0


class Exchanges:
    """The exchanges of one node with all other nodes.

    `random_bytes`: where message ids, tokens and timeouts come from, for a seeded simulation.
    """

    def __init__(self, random_bytes=None):
        self._random = random_bytes or crypto.random_bytes
        # (address) -> ms of the first time-out, or None for that of RFC 7252: of a slower link
        self.timeout_of = None
        start = self._random(3)
        self._mid = start[0] << 8 | start[1]
        self._token = start[2]
        # _Sent: confirmable, oldest first; and the last non-confirmable ones
        self._confirmable = []
        self._loose = []
        # [address, digest, expires_ms, datagram that answered or None]: received, least recent
        # first. Those of members, in the second list, are displaced by members only. The digest is
        # of the whole datagram: a forged message with the id of a true one is another message
        self.seen = ([], [])
        # the open requests, (address, token): [handler, expires_ms or None]
        self.pending = {}
        self.failed = []  # (address, token, handler): reported by the next `tick`

    # --- requests and their answers

    def begin(self, request, address, handler):
        """Give `request` a token, unless it has one, and remember `handler` (not None) for it.

        Call it before `send`. A request under way with the same token is replaced (as a cancelled
        observation is). Raises `TableFull` beyond REQUESTS_MAX.
        """
        pending = self.pending
        if (address, request.token) not in pending and len(pending) >= REQUESTS_MAX:
            raise TableFull()
        while not request.token:
            self._token = (self._token + 1) & 255
            token = bytes((self._token,))
            if (address, token) not in pending:
                request.token = token
        pending[(address, request.token)] = [handler, None]

    def match(self, response, address):
        """The handler of the request that `response` answers, or None.

        The request stays open, since the answer is not verified yet: then call `end`.
        """
        entry = self.pending.get((address, response.token))
        return entry[0] if entry else None

    def end(self, address, token, until_ms=None):
        """End a request that has a verified answer or needs none: it is not sent again.

        until_ms: for an observation, which stays open for more answers and fails at this time.
        """
        for sent in self._confirmable:
            if sent.is_request and sent.address == address and sent.token == token:
                self._confirmable.remove(sent)
                break
        entry = self.pending.pop((address, token), None)
        if until_ms and entry:
            entry[1] = until_ms
            self.pending[(address, token)] = entry

    # --- sending

    def send(self, message, address, now_ms):
        """[(address, datagram)] to send now; gives `message` an id if it has none.

        A CON is sent again until it is acknowledged. While another CON to this address is
        unacknowledged, the list is empty and `tick` sends the new one later (NSTART 1, RFC 7252,
        4.7). Raises `TableFull`.
        """
        datagram = self._encode(message)
        entry = message.is_request() and self.pending.get((address, message.token))
        if entry:
            # of a slow link, or of a peer that sleeps: until after the third time-out
            longest_ms = 4 * self._timeout_ms(address)
            entry[1] = now_ms + max(_EXCHANGE_LIFETIME_MS, longest_ms)
        if message.type != CON:
            sent = _Sent(message, address, None, now_ms)
            sent.count = 1
            self._loose = self._loose[1 - DEDUP_MAX :] + [sent]
            return [(address, datagram)]
        if len(self._confirmable) >= REQUESTS_MAX + OBSERVERS_MAX:
            raise TableFull()
        sent = _Sent(message, address, datagram, now_ms)
        self._confirmable.append(sent)
        return [self._transmit(sent, now_ms)] if sent in self._heads() else []

    def _encode(self, message):
        if message.mid is None:
            self._mid = (self._mid + 1) & 0xFFFF
            message.mid = self._mid
        return message.encode()

    def is_waiting(self, address):
        """Whether a CON to this address is unacknowledged: another one would have to wait."""
        return any([sent.address == address for sent in self._confirmable])

    def is_idle(self):
        """Whether no CON waits for its ACK or its answer."""
        return not (self._confirmable or self.failed)

    def _timeout_ms(self, address):
        return (self.timeout_of and self.timeout_of(address)) or _ACK_TIMEOUT_MS

    def _transmit(self, sent, now_ms):
        if not sent.count:
            timeout_ms = self._timeout_ms(sent.address)
            sent.timeout_ms = timeout_ms + (timeout_ms * self._random(1)[0] >> 9)
        sent.due_ms = now_ms + (sent.timeout_ms << sent.count)
        sent.count += 1
        return sent.address, sent.datagram

    def answer(self, request, response, address, now_ms):
        """[(address, datagram)] that answers `request` at once: in its ACK, or as a NON.

        The answer to a CON is kept and given again to each duplicate. For a later answer call
        `acknowledge` now, and `send` a CON with the request's token then (RFC 7252, 5.2.2).
        """
        response.token = request.token
        if request.type != CON:
            response.type = NON
            response.mid = None
            if response.option(OBSERVE) is None:
                # a reset of it would mean nothing: it must not displace a notification's record
                return [(address, self._encode(response))]
            return self.send(response, address, now_ms)
        return self._reply(ACK, request, response, address)

    def acknowledge(self, message, address):
        """[(address, datagram)]: the empty ACK of a CON, nothing for a NON."""
        if message.type != CON:
            return []
        return self._reply(ACK, message, Message(ACK, EMPTY), address)

    def reset(self, message, address):
        """[(address, datagram)]: the RST that refuses a CON or NON, such as an unknown answer."""
        return self._reply(RST, message, Message(RST, EMPTY), address)

    def _reply(self, kind, message, reply, address):
        reply.type = kind
        reply.mid = message.mid
        datagram = reply.encode()
        if message.seen:
            message.seen[3] = datagram
        return [(address, datagram)]

    # --- receiving

    def receive(self, message, address, now_ms, datagram=None):
        """(verdict, [(address, datagram)] to send) for a decoded message and its datagram.

        "new": the caller handles it, and calls `trust` if it is authentic; "duplicate": it was
        handled before, and its answer is repeated; "done": this layer has handled it. The next
        `tick` reports a reset or time-out.
        """
        if message.type >= ACK:
            return self._concluded(message, address), []
        if message.code == EMPTY:
            # a ping (RFC 7252, section 4.3)
            return "done", [(address, Message(RST, EMPTY, message.mid).encode())]
        digest = crypto.sha256(datagram or message.encode())[:8]
        for table in self.seen:
            for seen in table:
                if seen[1] == digest and seen[0] == address and seen[2] > now_ms:
                    table.remove(seen)
                    table.append(seen)
                    return "duplicate", [(address, seen[3])] if seen[3] else []
        lifetime_ms = _EXCHANGE_LIFETIME_MS if message.type == CON else _NON_LIFETIME_MS
        message.seen = [address, digest, now_ms + lifetime_ms, None]
        self._remember(0, message.seen, now_ms)
        return "new", []

    def _remember(self, which, entry, now_ms):
        fresh = [seen for seen in self.seen[which] if seen[2] > now_ms]
        self.seen[which][:] = fresh[1 - DEDUP_MAX :] + [entry]

    def trust(self, message, now_ms):
        """Remember a received message as a member's: no stranger displaces it or its answer."""
        if message.seen in self.seen[0]:
            self._remember(1, message.seen, now_ms)
            self.seen[0].remove(message.seen)

    def forget(self, message):
        """Forget a message that could not be handled: a retransmission is a new one."""
        for table in self.seen:
            if message.seen in table:
                table.remove(message.seen)

    def _concluded(self, message, address):
        # An ACK or RST that fits nothing is ignored (RFC 7252, section 4.2).
        for sent in self._confirmable + self._loose:
            if sent.address != address or sent.mid != message.mid or not sent.count:
                continue
            table = self._confirmable if sent.datagram else self._loose
            if message.type == RST:
                table.remove(sent)
                self._fail(sent)
            elif sent.datagram and message.code == EMPTY:
                table.remove(sent)
            # a piggybacked answer has the request's token too (section 5.3.2). The request is sent
            # again until `end`, since this answer may be forged
            elif sent.datagram and sent.is_request and message.token == sent.token:
                return "new"
        return "done"

    def give_up(self, kind):
        """Let the CONs to addresses that begin with `kind` fail in the next `tick`."""
        for sent in [one for one in self._confirmable if one.address.startswith(kind)]:
            self._confirmable.remove(sent)
            self._fail(sent)

    # --- time

    def _fail(self, sent):
        handler = None
        if sent.is_request:
            entry = self.pending.pop((sent.address, sent.token), None)
            if entry is None:
                return
            handler = entry[0]
        self.failed.append((sent.address, sent.token, handler))

    def tick(self, now_ms):
        """([(address, datagram)] to send, [(address, token, handler)] of failed messages).

        A message has failed when it timed out or the peer reset it. The handler is that of our
        request, which is forgotten now, or None for a response or notification of ours.
        """
        datagrams = []
        for sent in self._heads():
            if sent.due_ms > now_ms:
                continue
            if sent.count < TRANSMISSIONS_MAX:
                datagrams.append(self._transmit(sent, now_ms))
            else:
                self._confirmable.remove(sent)
                self._fail(sent)
        for address, token in list(self.pending):
            handler, expires_ms = self.pending[(address, token)]
            if expires_ms is not None and expires_ms <= now_ms:
                self.end(address, token)
                self.failed.append((address, token, handler))
        failed = self.failed
        self.failed = []
        return datagrams, failed

    def _heads(self):
        # the oldest confirmable message to each address: the only one that may be in flight
        heads = []
        for sent in self._confirmable:
            if sent.address not in [head.address for head in heads]:
                heads.append(sent)
        return heads

    def next_ms(self, now_ms):
        """Milliseconds until `tick` has something to do, or None for never."""
        if self.failed:
            return 0
        times = [sent.due_ms for sent in self._heads()]
        times += [entry[1] for entry in self.pending.values() if entry[1] is not None]
        return max(0, min(times) - now_ms) if times else None
