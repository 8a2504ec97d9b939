"""The files of a node with every kept record, and a start on them."""

import signer
from authority_rig import OWN_X, Rig, beacon_raw, members_raw, policy_raw
from fakeflash import MemoryFlash
from succession_rig import succession_raw

from writ.authority.store import Store
from writ.startup import load_key

THIEF = b"thief..."
KEPT = ("key", "charter", "policy", "keys", "beacon")


def ready(is_member=True):
    """The files of a node at epoch 3, after a succession; epoch 2 has revoked the thief."""
    rig = Rig(charter=False)
    load_key(rig.authority.store)
    rig.receive(signer.charter())
    rig.with_policy()
    rig.receive(policy_raw(2, rig.authority.head, revoked=[THIEF]))
    if is_member:
        rig.receive(members_raw(OWN_X, name="me"))
    rig.receive(beacon_raw(2, rig.authority.head, 60))
    rig.receive(succession_raw(3, rig.authority.head))
    return rig.flash.files


def start(files):
    """The Rig of a node that starts on these files."""
    rig = Rig(charter=False)
    rig.flash = MemoryFlash(files)
    load_key(Store(rig.flash))
    rig.boot()
    return rig
