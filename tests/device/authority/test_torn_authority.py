"""A whole Authority on a flash that loses power: it starts with the old state or with the new."""

import signer
from authority_rig import OWN_X, Remembered, beacon_raw, members_raw, payload_head, policy_raw
from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash
from harness import raises

from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import AlreadyKnown
from writ.limits import AMENDMENTS_MAX

NODES = [bytes((i,)) * 8 for i in range(20)]


def boot(flash):
    """The Authority that starts on this flash."""
    return Authority(Store(flash), OWN_X, signer.scope())


def story():
    """Capsules that a node takes in this order: every kind, and amendments past what is kept."""
    told = [signer.charter(), policy_raw(1, signer.charter_head())]
    told.append(beacon_raw(1, payload_head(told[1]), 60))
    told.append(members_raw(OWN_X, name="me"))
    authority = boot(MemoryFlash())
    for raw in told:
        authority.receive(raw, 0)
    for i in range(1, AMENDMENTS_MAX + 2):
        payload = signer.amendment_payload(authority.epoch + 1, authority.head, NODES[i])
        told.append(signer.certify(payload))
        authority.receive(told[-1], 0)
    told.append(signer.certify(authority.policy.payload()))
    told.append(members_raw(OWN_X, name="me", exp=signer.EXPIRES + 1))
    told.append(beacon_raw(authority.epoch, authority.head, 120))
    told.append(policy_raw(47, b"\xab" * 6))
    return told


def state(authority):
    """All of it that flash must keep."""
    return (
        authority.charter and authority.charter.scope,
        authority.epoch,
        authority.policy and authority.policy.payload(),
        authority.me and authority.me.raw,
        authority.beacon and authority.beacon.raw,
        [authority.capsule_for(epoch) for epoch in range(8)],
    )


def cuts(size):
    """Where to cut a write of `size` bytes: around its ends at each byte, elsewhere now and then.

    test_store.py cuts at each byte; a tail and a cut go round together.
    """
    found = [i for i in range(size + 1) if i < 9 or i > size - 12 or i % 17 == 0]
    return found + [None]


def test_after_a_cut_anywhere_the_node_starts_with_the_old_state_or_the_new_one():
    with Remembered():
        files = {}
        number = 0
        for raw in story():
            old = boot(MemoryFlash(files))
            before, old_s = state(old), old.now_s(0)
            whole = MemoryFlash(dict(files))
            boot(whole).receive(raw, 0)
            # one record only; its first save lists it in another
            assert whole.writes in (2, 4)
            after = state(boot(whole))
            assert after != before
            changed = [name for name in whole.files if whole.files[name] != files.get(name)]
            changed.sort(key=lambda name: name[:5] == "names")
            places = cuts(len(whole.files[changed[0]]))
            for at, byte in [(at, byte) for at in range(whole.writes) for byte in places]:
                number += 1
                torn = TornFlash(dict(files), at, byte, TAILS[number % 4])
                raises(PowerCut, boot(torn).receive, raw, 0)
                node = boot(MemoryFlash(torn.files))
                found = state(node)
                assert found == before or found == after
                assert node.epoch >= old.epoch and node.now_s(0) >= old_s
                if byte is None or at:
                    assert found == after
                # and it is not lost: the same capsule, brought again, is in force in the end
                try:
                    node.receive(raw, 0)
                except AlreadyKnown:
                    assert found == after
                assert state(node) == after
            files = whole.files
        assert boot(MemoryFlash(files)).epoch == 47 and number > 300


def test_a_write_that_fails_without_a_restart_leaves_the_state_in_memory_as_it_was():
    with Remembered():
        files = {}
        for raw in story():
            torn = TornFlash(dict(files), 0, 20)
            node = boot(torn)
            before = state(node)
            raises(PowerCut, node.receive, raw, 0)
            assert state(node) == before
            node.receive(raw, 0)
            assert state(boot(MemoryFlash(torn.files))) == state(node) != before
            files = torn.files
