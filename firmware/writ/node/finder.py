"""The search for gateways on the local network, by multicast (RFC 7252, sections 8 and 12.8).

1. A round asks all CoAP nodes for the resource `writ` of this node's scope.
2. An address that answers is a hint: the agent greets it, and the handshake decides.
3. The next round forgets an address with which there is no session by then, and one that has not
   answered for some rounds. So a gateway whose address changes is found again.
4. A node that answers at several addresses is greeted at one of them. A new one counts once the old
   one is silent for a round.
5. Where many answer, a newcomer takes the place of one without a session, by chance: no stranger
   displaces a gateway that has proven itself, or keeps others out for good.

A part of agent.py in a file of its own, for nodes with the gateway "discover" in config.json.
Sans-IO.
"""

from .. import crypto
from ..authority.capsule import node_id
from ..compat import const
from ..errors import Rejection
from ..limits import GATEWAYS_FOUND_MAX
from ..wire import coap
from ..wire.coap import Message
from .context import CORE

# All CoAP Nodes: IPv4, link-local and site-local IPv6 (RFC 7252, section 12.8). A link sends to
# those of its kind
GROUPS = ("224.0.1.187:5683", "[ff02::fd]:5683", "[ff05::fd]:5683")

# Rounds: the first pause is longer than the leisure of an answer and a handshake; it doubles while
# no gateway is found. A gateway that moved is found within the longest one
_ROUND_MS = const(15000)
_LONGEST_ROUND_MS = const(300000)
# Rounds without an answer: multicast is lost more often than other datagrams
_SILENT_ROUNDS = const(3)
# The agent greets its gateways now
FOUND = 2
_EP = b'ep="'
_TOKEN_BYTES = const(8)
_NON_WITH_TOKEN = const(0x58)  # version 1, non-confirmable, a token of 8 bytes


class Finder:
    """Finds gateways for one agent. gateways: the agent's list of addresses, changed in place."""

    def __init__(self, node, gateways):
        self._node = node
        self._gateways = gateways
        self._found = {}  # address -> [rounds since its last answer, the node id it claims]
        self._token = None
        self._due_ms = 0
        self._pause_ms = _ROUND_MS

    def receive(self, datagram, source, link, now_ms):
        """Whether this datagram answers the round under way; FOUND if it names a new gateway."""
        token = self._token
        if datagram[:1] != bytes((_NON_WITH_TOKEN,)) or datagram[4 : 4 + _TOKEN_BYTES] != token:
            return False
        try:
            message = coap.decode(datagram)
        except Rejection as rejection:
            self._node.count(rejection)
            return True
        if message.code == coap.CONTENT and b'rt="writ"' in message.payload:
            at = message.payload.find(_EP) + len(_EP)
            claimed = message.payload[at : at + 16] if at >= len(_EP) else None
            own_id = node_id(self._node.authority.own_x).hex().encode()
            # a node that is discoverable itself hears its own request
            if claimed != own_id and self._add(source, claimed):
                return FOUND
        return True

    def _add(self, address, claimed):
        found = self._found
        if address not in found:
            if address in self._gateways or not self._has_place(claimed):
                # the former is named in config.json
                return False
            self._gateways.append(address)
        is_new = address not in found
        found[address] = [0, claimed]
        return is_new

    def _has_place(self, claimed):
        # whether the newcomer has a place, maybe that of another one
        found = self._found
        rivals = [address for address in found if claimed and found[address][1] == claimed]
        for address in rivals:
            if self._is_proven(address) and found[address][0] < 2:
                return False
        if not rivals and len(found) < GATEWAYS_FOUND_MAX:
            return True
        random = crypto.random_bytes(2)
        rivals = [one for one in rivals or found if rivals or not self._is_proven(one)]
        if not rivals or random[0] & 1:
            return False
        self._forget(rivals[random[1] % len(rivals)])
        return True

    def _is_proven(self, address):
        session = self._node.sessions.by_address(address)
        return session and session.is_proven

    def _forget(self, address):
        del self._found[address]
        self._gateways.remove(address)

    def tick(self, now_ms):
        """Begin the round that is due. [(address, datagram)]."""
        if now_ms < self._due_ms:
            return []
        for address in list(self._found):
            self._found[address][0] += 1
            if self._found[address][0] > _SILENT_ROUNDS or not self._is_proven(address):
                self._forget(address)
        # as long as it is searching, a node asks soon again
        self._pause_ms = min(2 * self._pause_ms, _LONGEST_ROUND_MS)
        if not self._due_ms:
            self._pause_ms = _ROUND_MS
        self._due_ms = now_ms + (_LONGEST_ROUND_MS if self._found else self._pause_ms)
        self._token = crypto.random_bytes(_TOKEN_BYTES)
        message = Message(coap.NON, coap.GET, token=self._token)
        message.add_path(CORE)
        scope = self._node.authority.scope
        message.add(coap.URI_QUERY, "scope=" + scope.hex() if scope else "rt=writ")
        out = []
        for group in GROUPS:
            message.mid = None
            out += self._node.exchanges.send(message, group, now_ms)
        return out

    def next_ms(self, now_ms):
        """Milliseconds until the next round."""
        return max(0, self._due_ms - now_ms)
