"""POLL: the control frame by which a child that sleeps tells its parent that it listens now.

A part of the mesh that only nodes which sleep load. The parent's side is mailbox.py.
"""

from ..errors import NoRoute
from .frame import CONTROL, LOCAL
from .outbox import patience_ms
from .permit import GOVERNANCE
from .routing import POLL
from .transfer import Transfer, Whole

_TENTH_MS = 100
_TENTHS_LAST = 65535


class Poll(Whole):
    """A POLL on its way. waiting: the messages that follow it, None before its receipt."""

    waiting = None

    def acknowledged(self, payload, now_ms):
        """Take a receipt: the low 16 bits of the counter, and the number of messages."""
        Whole.acknowledged(self, payload[:2], now_ms)
        if self.is_done and self.waiting is None:
            self.waiting = payload[2] if len(payload) > 2 else 0


def poll(mesh, window_ms, sleep_s):
    """Queue a POLL to the first parent of `mesh`, behind all messages to it; the `Poll`.

    window_ms: how long this node listens after each frame; sleep_s: how long it sleeps then, 0 if
    it does not sleep any more. Raises `NoRoute` without a parent, `NotRouted` where the policy does
    not let this node send governance frames.
    """
    parents = mesh.routing.parents if mesh.routing else ()
    if not parents:
        raise NoRoute()
    link, address = parents[0].link, parents[0].address
    mesh.permit.check_own(
        mesh.permit.route(GOVERNANCE), True, mesh.links[link].kind, mesh.outbox.now_ms
    )
    tenths = min(-(-window_ms // _TENTH_MS), _TENTHS_LAST)
    content = bytes((POLL,)) + tenths.to_bytes(2, "big") + sleep_s.to_bytes(3, "big")
    parts = Poll(content, patience_ms(mesh.links[link]))
    head = GOVERNANCE, LOCAL, 0, None
    transfer = Transfer(link, address, head, 0, content, None, parts)
    transfer.kind = CONTROL
    mesh.outbox.transfers.insert(transfer)
    return parts
