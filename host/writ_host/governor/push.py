"""Handing a new policy to the members that this node speaks with, as soon as it is in force.

They would hear of it with their next message; who is told at once obeys at once. A few at a time,
once each: who does not answer pulls it later, as everybody can.
"""

from typing import Any, Protocol

from writ.node.context import PREFIX
from writ.wire import coap

# Requests under way: others have their turn on a slow link.
AT_ONCE = 16

Datagrams = list[tuple[str, bytes]]


class Library(Protocol):
    """What was certified."""

    def policy_after(self, epoch: int) -> bytes | None:
        """What takes a node from this epoch on."""


class PolicyPush:
    """node: the scope node, whose `told` says which epoch each member told last."""

    def __init__(self, node: Any, library: Library) -> None:
        self._node = node
        self._library = library
        self._epoch = 0
        self._waiting: list[bytes] = []
        self._busy = 0

    def turn(self) -> Datagrams:
        """What to send now."""
        node = self._node
        if node.authority.epoch > self._epoch:
            self._epoch = node.authority.epoch
            self._waiting = [one.peer.node_id for one in node.sessions if self._is_behind(one)]
        out: Datagrams = []
        while self._waiting and self._busy < AT_ONCE:
            out += self._hand_over(self._waiting.pop(0))
        return out

    def _is_behind(self, session: Any) -> bool:
        told = self._node.peer_epochs.get(session.peer.node_id, 0)
        return bool(session.is_writ and session.address and told < self._epoch)

    def _hand_over(self, member: bytes) -> Datagrams:
        node = self._node
        session = node.sessions.by_peer(member)
        if session is None or not self._is_behind(session):
            return []
        told = node.peer_epochs.get(member, 0)
        raw = self._library.policy_after(told)
        if raw is None:
            return []
        self._busy += 1

        def answered(answer: Any) -> None:
            self._busy -= 1
            if answer.is_success() and told < node.peer_epochs.get(member, 0) < self._epoch:
                # a succession or an amendment; there is more
                self._waiting.append(member)

        found: Datagrams = node.request(
            coap.POST, PREFIX, raw, address=session.address, wanted=member, on_answer=answered
        )
        return found
