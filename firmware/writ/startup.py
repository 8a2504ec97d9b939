"""The start of a node: its config.json, its key, and saves that a power failure has interrupted.

A part of agent.py in a file of its own, which is unloaded after the start.
"""

import json

from . import compat, crypto
from .compat import MICROPYTHON, open_private
from .errors import StoreDamaged, StoreFailed, UsageError

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


def read_config(directory):
    """(config.json as a dict, the folder's lock or None): see `agent.Node.load`."""
    try:
        with open_private(directory + "/config.json", "r") as handle:
            config = json.load(handle)
            if not MICROPYTHON and config.get("oscore") and not compat.is_private(handle):
                raise UsageError("other users can read config.json: chmod 600 it")
    except OSError as error:
        raise UsageError("no config.json in " + directory + ": " + str(error)) from None
    except ValueError:
        raise UsageError("no JSON: config.json in " + directory) from None
    if MICROPYTHON:
        return config, None
    # two processes on one folder would use AEAD nonces twice
    try:
        return config, compat.lock_folder(directory)
    except OSError as error:
        raise UsageError(directory + " is in use: " + str(error)) from None


def mend(node):
    """Complete the saves of `node` that a power failure has interrupted."""
    for name in _RECORDS:
        try:
            node.store.mend(name)
        except StoreFailed as error:
            # the record is in force, and one slot has it
            node.count(error)
