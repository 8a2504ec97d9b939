"""The start of a node: its key, and saves that a power failure has interrupted.

A part of agent.py in a file of its own, which is unloaded after the start.
"""

from . import crypto
from .errors import StoreDamaged, StoreFailed

# what a power failure may have cut; a session may go back by one save (node/session.py)
_RECORDS = ("key", "charter", "policy", "keys", "member", "beacon")


def load_key(store):
    """The node's P-256 private key (32 bytes) from its store; made on the first start.

    Raises `StoreDamaged` if the key is lost: a store with other records had one.
    """
    private = store.load("key")
    if not private:
        for name in ("charter", "policy", "member"):
            if store.load(name):
                raise StoreDamaged("key")
        private = crypto.p256_generate()
        store.save("key", private)
    return private


def mend(node):
    """Complete the saves of `node` that a power failure has interrupted."""
    for name in _RECORDS:
        try:
            node.store.mend(name)
        except StoreFailed as error:
            # the record is in force, and one slot has it
            node.count(error)
