"""Power fails while a succession is written: the old key is in force or the new one, never both."""

import signer
from authority_rig import OWN_X, Remembered, beacon_raw, members_raw, payload_head, policy_raw
from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash
from harness import raises
from succession_rig import NEW, THIRD, by_new, succession_raw

from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import AlreadyKnown


def boot(flash):
    """The Authority that starts on this flash."""
    return Authority(Store(flash), OWN_X, signer.scope())


def story():
    """Capsules in their order: two successions, with policies, amendments and beacons between."""
    told = [signer.charter(), policy_raw(1, signer.charter_head())]
    told.append(members_raw(OWN_X, name="me"))
    told.append(succession_raw(2, payload_head(told[1])))
    told.append(
        signer.certify(signer.amendment_payload(3, payload_head(told[3]), b"12345678"), NEW)
    )
    authority = boot(MemoryFlash())
    for raw in told:
        authority.receive(raw, 0)
    told.append(by_new(members_raw(OWN_X, name="me", exp=signer.EXPIRES + 1)))
    told.append(by_new(beacon_raw(3, authority.head, 60)))
    told.append(succession_raw(4, authority.head, THIRD, NEW, signer.FOUNDED + 90))
    told.append(by_new(policy_raw(5, payload_head(told[-1])), THIRD))
    return told


def state(authority):
    """All of it that flash must keep."""
    return (
        authority.charter and authority.charter.scope,
        authority.group_key,
        authority.key_epoch,
        authority.epoch,
        authority.head,
        authority.policy and authority.policy.payload(),
        authority.me and authority.me.raw,
        authority.beacon and authority.beacon.raw,
        [authority.capsule_for(epoch) for epoch in range(6)],
    )


def test_after_a_cut_anywhere_the_node_starts_with_the_old_state_or_the_new_one():
    with Remembered():
        files = {}
        number = 0
        for raw in story():
            old = boot(MemoryFlash(files))
            before, old_s = state(old), old.now_s(0)
            whole = MemoryFlash(dict(files))
            boot(whole).receive(raw, 0)
            # one record only, so that there is no half of it; its first save lists it in another
            assert whole.writes in (2, 4)
            after = state(boot(whole))
            assert after != before
            changed = [name for name in whole.files if whole.files[name] != files.get(name)]
            changed.sort(key=lambda name: name[:5] == "names")
            size = len(whole.files[changed[0]])
            places = list(range(0, size + 1, 7)) + [size, None]
            for at, byte in [(at, byte) for at in range(whole.writes) for byte in places]:
                number += 1
                torn = TornFlash(dict(files), at, byte, TAILS[number % 4])
                raises(PowerCut, boot(torn).receive, raw, 0)
                node = boot(MemoryFlash(torn.files))
                found = state(node)
                assert found == before or found == after
                assert node.epoch >= old.epoch and node.now_s(0) >= old_s
                try:
                    node.receive(raw, 0)
                except AlreadyKnown:
                    assert found == after
                assert state(node) == after
            files = whole.files
        node = boot(MemoryFlash(files))
        assert node.epoch == 5 and node.group_key == signer.public_key(THIRD) and number > 200
