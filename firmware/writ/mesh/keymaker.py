"""Makes the link key at a gateway, and signs it. No other node loads this module.

A gateway signs a key that another one has made, too, if it has no proof of it: it vouches for it.
"""

from .. import crypto
from ..compat import const
from ..errors import NotRouted, Rejection
from ..limits import PAUSE_MS
from .linkkey import KEY_BYTES, may_make, stamp_of, statement

# A gateway without a link key makes one if it has heard no other node for so long, or if those that
# it has heard have not helped for so long
_ALONE_MS = const(6000)
_HELPLESS_MS = const(60000)


def prove(node, epoch, key, stamp):
    """The proof [own short address, ES256 signature] of a link key that this `Node` makes.

    Raises `NotRouted` unless the policy lets it make keys.
    """
    authority = node.authority
    if not may_make(authority.policy, authority.me):
        raise NotRouted()
    signature = crypto.es256_sign(node.private, statement(authority.scope, epoch, key, stamp))
    return [authority.me.address, signature]


class KeyMaker:
    """node: the `Node` of a gateway; mesh: its `Mesh`."""

    def __init__(self, node, mesh):
        self._node = node
        self._mesh = mesh
        self._key_ms = 0  # when it may make a link key: the flash may have failed
        self._member_ms = None  # when this node was seen to be a member

    def tick(self, now_ms):
        """Make a key where there is none, or it is stale; prove one that has no proof."""
        authority = self._node.authority
        keys = self._mesh.keys
        is_stale = keys.is_stale(authority.policy)
        if not authority.me or not authority.policy or now_ms < self._key_ms:
            return
        if keys.proof and not is_stale:
            return
        if keys.key is None:
            # others may have one: of two gateways without a common neighbour each would keep its
            # own
            if self._member_ms is None:
                self._member_ms = now_ms
            alone_ms = _HELPLESS_MS if self._mesh.join.candidates else _ALONE_MS
            if now_ms - self._member_ms < alone_ms:
                return
        self._key_ms = now_ms + PAUSE_MS
        try:
            if is_stale:
                self._make(authority, now_ms)
            else:
                keys.prove(prove(self._node, keys.epoch, keys.key, keys.stamp))
        except Rejection as rejection:
            self._node.count(rejection)

    def _make(self, authority, now_ms):
        # of gateways that do this at one time, the larger key wins
        key = crypto.random_bytes(KEY_BYTES)
        policy, epoch = authority.policy, authority.epoch
        proof = prove(self._node, epoch, key, stamp_of(policy))
        self._mesh.keys.offer(policy, epoch, key, now_ms, proof)
