"""Governors, folders and power cuts for the tests of ceremonies in a folder."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from writ import cbor, crypto
from writ_host import codec
from writ_host.ceremony.founding import Founding
from writ_host.ceremony.request import Item, publish_request
from writ_host.ceremony.signing import Signing
from writ_host.ceremony.storage import MemoryFolder, MemoryStore
from writ_host.keys.frost import KeyPackage
from writ_host.keys.identity import Identity, envelope
from writ_host.keys.keyfile import Passphrase
from writ_host.keys.roster import Roster, Seat

NAMES = ("anna", "ben", "carl", "dora")
KEY = Passphrase("x", log_n=10)


def yes(_):
    return True


def no(_):
    return False


def item(text):
    return Item(text, cbor.encode(["Signature1", b"\xa1\x01\x27", b"", text.encode()]))


ITEMS = [item("charter"), item("policy 0")]


class Founders:
    """Four governors about to found a scope in one folder."""

    def __init__(self, identities=None):
        self.folder = MemoryFolder()
        self.identities = identities or [Identity.generate(name) for name in NAMES]
        public = [identity.public for identity in self.identities]
        self.roster = Roster.create("farm", 3, public)
        self.stores = [MemoryStore() for _ in NAMES]

    def machine(self, i, compare=yes, folder=None):
        folder = folder or self.folder
        return Founding(folder, self.identities[i], self.roster, self.stores[i], compare)

    def machines(self):
        return [self.machine(i) for i in range(len(NAMES))]

    def forge(self, i, step, body):
        """Write a file of governor `i` with a valid signature and any content."""
        data = envelope(self.identities[i], self.roster.id, step, codec.dump(body))
        self.folder.files[f"{NAMES[i]}.{step}.cbor"] = data


class Signers:
    """Four governors of a founded scope about to sign one request."""

    def __init__(self, governors, folder=None):
        self.governors = governors
        self.folder = folder or MemoryFolder()
        first = governors[0]
        self.request = publish_request(self.folder, first.identity, first.seat, "found", ITEMS)
        self.tag = self.request.tag

    def machine(self, i, approve=yes, folder=None, seat=None):
        one = self.governors[i]
        return Signing(folder or self.folder, one.identity, seat or one.seat, self.request, approve)

    def machines(self, *which):
        return [self.machine(i) for i in which]

    def damaged(self, i):
        """A machine whose share is not the governor's."""
        seat = self.governors[i].seat
        key = seat.key
        wrong = KeyPackage(key.identifier, key.signing_share ^ 1, key.group_key, key.threshold)
        return self.machine(i, seat=Seat(seat.roster, wrong, seat.public))

    def forge(self, i, step, body, name=None):
        data = envelope(self.governors[i].identity, self.request.id, step, codec.dump(body))
        self.folder.files[f"{self.tag}.{name or NAMES[i] + '.' + step}.cbor"] = data

    def check(self, signatures):
        assert len(signatures) == len(ITEMS)
        key = self.request.group_key
        for one, signature in zip(ITEMS, signatures, strict=True):
            assert crypto.ed25519_verify(key, one.to_be_signed, signature)
            Ed25519PublicKey.from_public_bytes(key).verify(signature, one.to_be_signed)


class PowerCut(Exception):
    """The power of a machine fails."""


class Failing:
    """Counts writes to a folder or store, and raises `PowerCut` before or after one of them."""

    def __init__(self, inner, fuse, after):
        self.inner = inner
        self.fuse = fuse
        self.after = after

    def _write(self, call, *args):
        self.fuse[0] -= 1
        if self.fuse[0] == 0 and not self.after:
            raise PowerCut
        call(*args)
        if self.fuse[0] == 0:
            raise PowerCut

    def publish(self, *args):
        self._write(self.inner.publish, *args)

    def publish_first(self, *args):
        self._write(self.inner.publish_first, *args)

    def save(self, *args):
        self._write(self.inner.save, *args)

    def __getattr__(self, name):
        return getattr(self.inner, name)
