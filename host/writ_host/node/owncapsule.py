"""How a node that only commands use gets what it missed: successions, and its own newest capsule.

After a clean-up or a succession other nodes refuse its old capsule, so no session is possible. Any
node answers plain requests for both (docs/wire.md).
"""

import time

from writ.node.catchup import CatchUp

from .folder import HostNode

# For one node: its answers, and one repetition of a request that was lost.
_TIMEOUT_S = 5.0


def is_accepted(node: HostNode) -> bool:
    """Whether other nodes accept the node's own capsule, by what the node knows itself."""
    me = node.authority.me
    return me is not None and not node.authority.is_past(me, node.now_ms)


def fetch(node: HostNode, address: str, deadline: float) -> None:
    """Ask the node at `address`, and wait for its answers until this monotonic time at most."""
    until = min(deadline, time.monotonic() + _TIMEOUT_S)
    catch_up = CatchUp(node, address, [], None)
    node.now_ms = node.clock.now_ms()
    node.send(catch_up.begin(node.now_ms))
    while not catch_up.is_done and (left_s := until - time.monotonic()) > 0:
        node.step(int(1000 * min(1.0, left_s)) + 1)
    for session in node.sessions:
        # a peer that has just refused the old capsule is shown the new one at once
        session.show_ms = 0
