"""A gossip folder: which files it keeps, and which it refuses from any peer."""

import pytest
from ceremonies_rig import MemoryFiles

from writ_host.errors import HostError
from writ_host.governor.ceremonies.gossip import (
    GOSSIP_FILE_BYTES_MAX,
    ExpectedFile,
    GossipFolder,
    digest,
)
from writ_host.keys.identity import Identity, envelope


class Folder:
    def __init__(self):
        self.anna, self.ben = Identity.generate("anna"), Identity.generate("ben")
        self.files = MemoryFiles()
        self.id = bytes(range(32))
        self.folder = self.open()

    def open(self):
        expected = {
            f"{one.name}.{step}.cbor": ExpectedFile(one.public, step)
            for one in (self.anna, self.ben)
            for step in ("round1", "round2")
        }
        return GossipFolder(self.id, expected, self.anna.public, self.files)

    def signed(self, identity, step, body):
        return envelope(identity, self.id, step, body)


def test_a_file_is_kept_only_if_its_author_signed_it():
    rig = Folder()
    good = rig.signed(rig.ben, "round1", b"x")
    stranger = Identity.generate("ben")
    for bad in (
        rig.signed(stranger, "round1", b"x"),
        rig.signed(rig.anna, "round1", b"x"),
        rig.signed(rig.ben, "round2", b"x"),
        envelope(rig.ben, bytes(32), "round1", b"x"),
        good[:-1] + bytes((good[-1] ^ 1,)),
        rig.signed(rig.ben, "round1", bytes(GOSSIP_FILE_BYTES_MAX)),
    ):
        with pytest.raises(HostError):
            rig.folder.receive("ben.round1.cbor", bad)
    for name in ("ben.round3.cbor", "eve.round1.cbor", "!raw", "ben.round1.cbor~", "../x"):
        with pytest.raises(HostError):
            rig.folder.receive(name, good)
    assert not rig.files.data
    assert rig.folder.receive("ben.round1.cbor", good)
    assert not rig.folder.receive("ben.round1.cbor", good)
    assert rig.open().read("ben.round1.cbor") == good


def test_equivocation_is_evidence_and_hides_all_files_of_its_author():
    rig = Folder()
    one, two, three = (rig.signed(rig.ben, "round1", body) for body in (b"1", b"2", b"3"))
    rig.folder.receive("ben.round2.cbor", rig.signed(rig.ben, "round2", b"x"))
    rig.folder.receive("ben.round1.cbor", one)
    assert rig.folder.receive("ben.round1.cbor", two)
    assert not rig.folder.receive("ben.round1.cbor", three)
    for folder in (rig.folder, rig.open()):
        assert folder.equivocators == {"ben": "ben.round1.cbor"}
        assert folder.read("ben.round1.cbor") is None and folder.read("ben.round2.cbor") is None
        assert folder.find("ben.round1.cbor", digest(two)) == two
