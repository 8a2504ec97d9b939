"""How a node that only commands use gets what it missed: successions, and its own newest capsule.

After a clean-up or a succession other nodes refuse its old capsule, so no session is possible. Any
node answers plain requests for both (docs/wire.md). Sans-IO, as the device's catchup.py.
"""

from typing import Any

from writ.authority.capsule import node_id
from writ.errors import Rejection
from writ.node.context import PREFIX
from writ.wire import coap
from writ.wire.coap import Message

from .folder import HostNode

Datagrams = list[tuple[str, bytes]]

# For one node: its answers, and one repetition of a request that was lost.
FETCH_TIMEOUT_S = 5.0


def is_outdated(node: HostNode) -> bool:
    """Whether the node has no capsule that others accept, by what it knows itself."""
    authority, me = node.authority, node.authority.me
    if me is None or authority.is_outdated(me):
        return True
    return bool(me.expires <= authority.now_s(node.now_ms))


class Fetch:
    """Asks the node at `address`. is_done: whether it has answered all, or does not answer."""

    def __init__(self, node: HostNode, address: str) -> None:
        self.is_done = False
        self._node = node
        self._address = address
        self._queries: list[str] = []  # sent already

    def begin(self, now_ms: int) -> Datagrams:
        """The next request: each succession after the epoch in force, then the own capsule."""
        authority = self._node.authority
        following = f"e={authority.epoch}"
        own = f"i={node_id(authority.own_x).hex()}"
        query = next((one for one in (following, own) if one not in self._queries), None)
        if query is None:
            self.is_done = True
            return []
        self._queries.append(query)
        message = Message(coap.CON, coap.GET)
        message.add_path(PREFIX)
        message.add(coap.URI_QUERY, query)
        out: Datagrams = self._node.client.submit(message, self._address, self, now_ms)
        return out

    def answered(self, message: Any, address: str, now_ms: int) -> Datagrams:
        """Take a capsule, which the node verifies, and ask for the next one."""
        self._node.exchanges.end(address, message.token)
        if message.code == coap.CONTENT:
            try:
                self._node.authority.receive(message.payload, now_ms, address)
            except Rejection as error:
                self._node.count(error)
        for session in self._node.sessions:
            # a peer that has just refused the old capsule is shown the new one at once
            session.show_ms = 0
        return self.begin(now_ms)

    def failed(self, _: Rejection, __: int) -> Datagrams:
        """End: the node does not answer."""
        self.is_done = True
        return []
