"""Capsules for other nodes: the next one after an epoch, or one by its digest.

A part of authority.py that is loaded when another node asks; one that missed a change of the group
key asks without a session (catchup.py).
"""

from . import capsule as capsules
from .policy import epoch_of


def following(authority, epoch):
    """The capsule (bytes) that takes a node from `epoch` on, or None.

    It is the amendment that follows `epoch` if that is here, else the whole policy if it is newer.
    A succession in between comes first, since later capsules are signed with its key.
    """
    _, base, amendments = authority.policy_record()
    for raw in amendments:
        if epoch_of(raw) == epoch + 1:
            return raw
    newest = epoch_of(base)
    if authority.key_epoch > epoch:
        from .succession import after

        key = after(authority.store, epoch)
        if newest <= epoch or key.epoch < newest:
            return key.raw
    return base if newest > epoch else None


def by_digest(authority, start):
    """The capsule (bytes) whose digest begins with `start` (16 bytes), or None."""
    _, base, amendments = authority.policy_record()
    held = [authority.store.load("charter"), base] + amendments
    members = [authority.me, authority.beacon] + list(authority.peers.values())
    held += [item.raw for item in members if item]
    if authority.key_epoch:
        from .succession import chain

        held += chain(authority.store)
    for raw in held:
        if raw and capsules.digest(raw)[:16] == start:
            return raw
    return None


def missed(authority, query, epoch):
    """The capsule (bytes) that a node of this epoch needs next, or None.

    "i=" and a node id in hex, or "a=" and a short address in hex: the member capsule of that node;
    "c=": the charter; else the succession after `epoch`.
    """
    for item in query:
        if item == "c=":
            return authority.store.load("charter")
        if item[:2] == "a=":
            for member in [authority.me] + list(authority.peers.values()):
                if member and "%04x" % member.address == item[2:]:
                    return member.raw
            return None
        if item[:2] == "i=":
            for member in [authority.me] + list(authority.peers.values()):
                if member and member.node_id.hex() == item[2:]:
                    return member.raw
            return None
    if authority.key_epoch <= epoch:
        return None
    from .succession import after

    return after(authority.store, epoch).raw
