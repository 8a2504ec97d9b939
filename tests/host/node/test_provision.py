"""Capsules that a command installs in the folder of a node."""

from pathlib import Path

import pytest
import signer
from succession_rig import NEW, succession_raw

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import FileFlash, Store
from writ.errors import RolledBack
from writ.startup import load_key
from writ_host.node import provision

SENSOR = 4


class Folder:
    """The folder of a node, and the capsules of a scope with a succession, from the charter on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        provision.make_node(path, "soil", signer.scope())
        self.x, self.odd = crypto.p256_public(load_key(Store(FileFlash(str(path)))))
        first = signer.policy_payload(1, signer.charter_head())
        self.succession = succession_raw(2, capsule.head(first))
        head = capsule.head(capsule.parse(self.succession).payload)
        second = signer.policy_payload(3, head)
        self.before = [signer.charter(), signer.certify(first), self.member(signer.GROUP_SEED)]
        self.chain = [*self.before[:2], self.succession, signer.certify(second, NEW)]
        beacon = signer.beacon_payload(3, capsule.head(second), signer.FOUNDED + 9)
        self.beacon = signer.certify(beacon, NEW)

    def member(self, seed: bytes, more_s: int = 0) -> bytes:
        """The node's capsule, certified by the group key of this seed."""
        exp = signer.EXPIRES + more_s
        payload = signer.member_payload(self.x, "soil", 2, SENSOR, exp, odd=self.odd)
        return bytes(signer.certify(payload, seed))

    def install(self, *raws: bytes) -> list[str]:
        return provision.install(self.path, raws, signer.scope())

    @property
    def authority(self) -> Authority:
        """The node's state, as the next process finds it."""
        return Authority(Store(FileFlash(str(self.path))), self.x)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "soil")


def test_a_node_that_has_the_succession_gets_its_new_capsule(folder: Folder) -> None:
    assert folder.install(*folder.before) == ["charter", "policy", "member"]
    # a peer has brought it the chain, and no member capsule
    assert folder.install(*folder.chain) == ["succession", "policy"]
    mine = folder.member(NEW)
    everything = (*folder.chain, mine, folder.beacon)
    assert folder.install(*everything) == ["member", "beacon"]
    assert folder.install(*everything) == []
    assert folder.authority.me.raw == mine and folder.authority.epoch == 3


def test_a_node_with_a_newer_beacon_gets_the_rest(folder: Folder) -> None:
    folder.install(*folder.before)
    head = folder.authority.head
    newer, older = (
        signer.certify(signer.beacon_payload(1, head, signer.FOUNDED + at)) for at in (9, 5)
    )
    assert folder.install(newer) == ["beacon"]
    assert folder.install(older, folder.succession) == ["succession"]


def test_a_membership_that_ends_earlier_is_refused(folder: Folder) -> None:
    folder.install(*folder.before)
    with pytest.raises(RolledBack):
        folder.install(folder.member(signer.GROUP_SEED, -1))
