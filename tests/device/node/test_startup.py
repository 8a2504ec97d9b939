"""The start of a node completes what a power failure has interrupted."""

import signer
from authority_rig import Remembered, Rig, policy_raw
from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash
from harness import raises
from lost_rig import KEPT, THIEF, ready, start

from writ.agent import Node
from writ.authority.store import Store
from writ.errors import StoreDamaged
from writ.startup import load_key


def node_on(flash):
    """A node of the agent, as it is after its start on this flash."""
    return Node(Store(flash), {"name": "me", "scope": signer.scope().hex()})


def test_after_a_power_cut_and_a_start_no_slot_alone_is_older():
    with Remembered():
        old = Rig(charter=False)
        load_key(old.authority.store)
        old.receive(signer.charter())
        old.with_policy()
        raw = policy_raw(2, old.authority.head, revoked=[THIEF])
        for at in (0, 1):
            for number, byte in enumerate((0, 1, 7, 60, 150, None)):
                files = dict(old.flash.files)
                rig = Rig(charter=False)
                rig.flash = TornFlash(files, at, byte, TAILS[number % 4])
                rig.boot()
                raises(PowerCut, rig.receive, raw)
                epoch = node_on(MemoryFlash(files)).authority.epoch
                assert epoch == 2 or (not at and byte is not None)
                for slot in ("policy.a", "policy.b"):
                    rest = dict(files)
                    rest[slot] = b"rotten"
                    assert start(rest).authority.epoch == epoch


def test_a_start_lists_what_a_power_cut_left_unlisted():
    # also the folder of a version without a list
    files = ready(is_member=False)
    del files["names.a"], files["names.b"]
    node_on(MemoryFlash(files))
    for record in KEPT:
        rest = dict(files)
        del rest[record + ".a"], rest[record + ".b"]
        raises(StoreDamaged, start, rest)


class Full(MemoryFlash):
    """A flash that takes no write."""

    def write(self, name, data):
        """Fail, and leave nothing of the slot."""
        self.files[name] = b""
        raise OSError(28)


def test_a_full_flash_does_not_keep_a_node_from_its_start():
    files = ready(is_member=False)
    # a save that was cut between the slots, or whose first slot was cut short
    files["policy.b"] = b""
    node = node_on(Full(files))
    assert node.authority.epoch == 3 and node.counters == {"StoreFailed": 1}
    assert start(files).authority.epoch == 3
