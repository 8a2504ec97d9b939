"""Policy push: sends a new policy to the members that the scope node has sessions with.

A member would pull the policy after its next message; the push makes it obey at once. Each member
is sent a policy once, a few members at a time. A member that does not answer pulls it later.
"""

from typing import Any, Protocol

from writ.node.context import PREFIX
from writ.wire import coap

# Requests under way, so that a slow link keeps room for other messages.
AT_ONCE = 16

Datagrams = list[tuple[str, bytes]]


class PolicySource(Protocol):
    """The certified policies in the ledger."""

    def policy_after(self, epoch: int) -> bytes | None:
        """The next capsule for a node in this epoch, None in the newest one."""


class PolicyPush:
    """node: the scope node, whose `peer_epochs` has the epoch that each member reported last."""

    def __init__(self, node: Any, policy_source: PolicySource) -> None:
        self._node = node
        self._policy_source = policy_source
        self._epoch = 0
        self._waiting: list[bytes] = []  # node ids
        self._under_way = 0  # requests

    def turn(self) -> Datagrams:
        """The datagrams to send now."""
        node = self._node
        if node.authority.epoch > self._epoch:
            self._epoch = node.authority.epoch
            self._waiting = [one.peer.node_id for one in node.sessions if self._is_behind(one)]
        out: Datagrams = []
        while self._waiting and self._under_way < AT_ONCE:
            out += self._push(self._waiting.pop(0))
        return out

    def _is_behind(self, session: Any) -> bool:
        epoch = self._node.peer_epochs.get(session.peer.node_id, 0)
        return bool(session.is_writ and session.address and epoch < self._epoch)

    def _push(self, member: bytes) -> Datagrams:
        node = self._node
        session = node.sessions.by_peer(member)
        if session is None or not self._is_behind(session):
            return []
        epoch = node.peer_epochs.get(member, 0)
        raw = self._policy_source.policy_after(epoch)
        if raw is None:
            return []
        self._under_way += 1

        def on_answer(answer: Any) -> None:
            self._under_way -= 1
            if answer.is_success() and epoch < node.peer_epochs.get(member, 0) < self._epoch:
                # it took a succession or an amendment, and needs the next capsule
                self._waiting.append(member)

        found: Datagrams = node.request(
            coap.POST, PREFIX, raw, address=session.address, wanted=member, on_answer=on_answer
        )
        return found
