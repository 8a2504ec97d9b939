"""A ceremony's folder without a shared disk: the daemons keep its files and exchange them.

    have = [ 48, ceremony: bstr .size 32, reply: bool, [ * [ * version ] ] ]
    want-files = [ 49, ceremony, [ * version ] ]
    file = [ 50, ceremony, file-name, data: bstr ]
    version = [ file-name, digest: bstr .size 16 ]

The possible files, and the author of each, are known beforehand. A daemon keeps a file only if its
author's signature is valid, so an outsider cannot fill or poison a folder. An author that signs two
different files of one name equivocates: all daemons keep and exchange both as evidence, and ignore
all other files of that author.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ... import codec
from ...errors import FileInTheWay, Malformed
from ...keys.identity import CEREMONY_BYTES, PublicIdentity, open_envelope

HAVE, WANT, FILE = 48, 49, 50
# The largest honest file belongs to a signing: 32 items at 70 bytes; a deal for 13 has 2 kB.
GOSSIP_FILE_BYTES_MAX = 8192
DIGEST_BYTES = 16
NAME_BYTES_MAX = 80
# Names in a part of a list: CBOR arrays hold 128 items, so longer lists are cut into parts.
_PART = 100
_PARTS_MAX = 8
# Files that one `want` may ask for: with their largest size, a burst of 256 kB.
WANT_MAX = 32
# Have-lists are repeated soon after a change, then at growing intervals.
PAUSE_MIN_MS = 250
PAUSE_MAX_MS = 30000
_EVIDENCE = "~"

# (name, digest) of a file
FileVersion = tuple[str, bytes]


class Files(Protocol):
    """A daemon's durable files, by ceremony (32 B) and name. The ledger implements it."""

    def get(self, ceremony: bytes, name: str) -> bytes | None:
        """The file, None where there is none."""

    def put(self, ceremony: bytes, name: str, data: bytes) -> None:
        """Keep the file, durably, in place of one of the same name."""

    def list(self, ceremony: bytes) -> list[str]:
        """The names of all files of a ceremony."""

    def drop(self, ceremony: bytes) -> None:
        """Delete all files of a ceremony."""


@dataclass(frozen=True)
class CeremonySend:
    """Send `data` to the governor with this node key (33 B). The message may be lost."""

    to: bytes
    data: bytes


@dataclass(frozen=True)
class ExpectedFile:
    """A file that a ceremony can have: its author, and the step in its envelope."""

    author: PublicIdentity
    step: str


# Checks a file that proves itself and needs no author; raises `HostError`.
Proof = Callable[[bytes], None]


def digest(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256, which identify one version of a file."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


class GossipFolder:
    """The `storage.Folder` of one ceremony, with the files that this daemon has.

    expected: the possible files by name; proofs: the checks of files without an author; unsent: our
    new files; evidence: by name, a second version that its author signed. A file is durable, in
    `files`, before it is sent.
    """

    def __init__(
        self,
        ceremony: bytes,
        expected: Mapping[str, ExpectedFile],
        me: PublicIdentity,
        files: Files,
        proofs: Mapping[str, Proof] | None = None,
    ) -> None:
        self.id = ceremony
        self.expected = expected
        self.proofs = proofs or {}
        self.me = me
        self.unsent: list[str] = []
        self.evidence: dict[str, bytes] = {}
        self._files = files
        self._data: dict[str, bytes] = {}
        for name in files.list(ceremony):
            data = files.get(ceremony, name)
            plain = name.removesuffix(_EVIDENCE)
            if data is not None and (plain in expected or plain in self.proofs):
                (self._data if plain == name else self.evidence)[plain] = data

    @property
    def equivocators(self) -> dict[str, str]:
        """By governor's name: the file of which it signed two versions."""
        return {self.expected[name].author.name: name for name in self.evidence}

    # --- the interface of a Folder ----------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        file = self.expected.get(name)
        if self.evidence and file is not None and file.author.name in self.equivocators:
            return None
        return self._data.get(name)

    def publish(self, name: str, data: bytes) -> None:
        known = self._data.get(name)
        if known is None:
            self._keep(name, data)
            self.unsent.append(name)
        elif known != data:
            raise FileInTheWay(f"{name} in the folder differs from what this governor wrote")

    def publish_first(self, name: str, data: bytes) -> None:
        """As `publish` if the file is missing and we are its author; does nothing otherwise."""
        file = self.expected.get(name)
        if name not in self._data and (file is None or file.author == self.me):
            self.publish(name, data)

    def names(self) -> list[str]:
        return sorted(self._data)

    # --- exchange with the others -----------------------------------------------------------------

    def receive(self, name: str, data: bytes) -> bool:
        """Check and keep a file that a peer sent; returns False if we have it already.

        Raises `Malformed`, or what `open_envelope` or the proof raises.
        """
        file, proof = self.expected.get(name), self.proofs.get(name)
        known = self._data.get(name)
        if len(data) > GOSSIP_FILE_BYTES_MAX:
            raise Malformed(f"{name} is longer than {GOSSIP_FILE_BYTES_MAX} bytes")
        if known == data or name in self.evidence or (proof and known):
            return False
        if proof:
            proof(data)
        elif file:
            author = {file.author.name: file.author}
            open_envelope(data, author, self.id, file.author.name, file.step)
        else:
            raise Malformed(f"{name[:NAME_BYTES_MAX]!a} is not a file of this ceremony")
        if known is None:
            self._keep(name, data)
        else:
            self._files.put(self.id, name + _EVIDENCE, data)
            self.evidence[name] = data
        return True

    def listing(self) -> list[FileVersion]:
        """The versions of all files and all evidence."""
        found = [(name, digest(data)) for name, data in sorted(self._data.items())]
        return found + [(name, digest(data)) for name, data in sorted(self.evidence.items())]

    def find(self, name: str, version: bytes) -> bytes | None:
        """This version of a file."""
        for data in (self._data.get(name), self.evidence.get(name)):
            if data is not None and digest(data) == version:
                return data
        return None

    def missing(self, theirs: Iterable[FileVersion]) -> list[FileVersion]:
        """The entries of a peer's list that we do not have."""
        return [
            (name, version)
            for name, version in theirs
            if (name in self.expected or (name in self.proofs and name not in self._data))
            and name not in self.evidence
            and self.find(name, version) is None
        ]

    def is_covered(self, theirs: Collection[FileVersion]) -> bool:
        """Whether a peer has all our files; of an equivocator's file, any two versions."""
        names = [name for name, _ in theirs]
        return all(
            listed in theirs or listed[0] in self.proofs or names.count(listed[0]) > 1
            for listed in self.listing()
        ) and all(name in names for name in self.proofs if name in self._data)

    def _keep(self, name: str, data: bytes) -> None:
        self._files.put(self.id, name, data)
        self._data[name] = data


class Gossip:
    """Exchanges a folder's files with the other participants (node keys, 33 B).

    seen: peers that have sent a message since the start; synced: peers that have all our files;
    is_ended: whether the ceremony is over, and only unsynced peers are still sent lists.
    """

    def __init__(self, folder: GossipFolder, peers: Iterable[bytes]) -> None:
        self.folder = folder
        self.peers = frozenset(peers)
        self.seen: set[bytes] = set()
        self.synced: set[bytes] = set()
        self.is_ended = False
        self._pause_ms = PAUSE_MIN_MS
        self._due_ms: int | None = 0

    def receive(self, sender: bytes, items: list[object], now_ms: int) -> list[CeremonySend]:
        """Handle a message [type, ceremony, ...] of a participant. Raises `HostError`."""
        self.seen.add(sender)
        if items[0] == HAVE:
            return self._receive_list(sender, items)
        if items[0] == WANT:
            return self._serve(sender, items)
        _, _, name, data = codec.a_list(items, 4)
        checked = codec.a_text(name, NAME_BYTES_MAX)
        if self.folder.receive(checked, codec.some_bytes(data, size_max=GOSSIP_FILE_BYTES_MAX)):
            self._send_soon(now_ms)
        return []

    def tick(self, now_ms: int) -> list[CeremonySend]:
        """Send our new files at once, and the list of all our files at growing intervals."""
        sends = []
        for name in self.folder.unsent:
            data = self.folder.read(name)
            if data is not None:
                sends += [CeremonySend(peer, self._file(name, data)) for peer in sorted(self.peers)]
        if self.folder.unsent:
            self.folder.unsent.clear()
            self._send_soon(now_ms)
        if self._due_ms is None or now_ms < self._due_ms:
            return sends
        awaited = self.peers - self.synced if self.is_ended else self.peers
        if not awaited:
            self._due_ms = None
            return sends
        self._due_ms = now_ms + self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, PAUSE_MAX_MS)
        return sends + [CeremonySend(peer, self._have(True)) for peer in sorted(awaited)]

    @property
    def next_ms(self) -> int | None:
        """When to call `tick` next."""
        return 0 if self.folder.unsent else self._due_ms

    def _send_soon(self, now_ms: int) -> None:
        """After a change: send our list soon."""
        self.synced.clear()
        self._pause_ms = PAUSE_MIN_MS
        self._due_ms = min(self._due_ms or now_ms + PAUSE_MIN_MS, now_ms + PAUSE_MIN_MS)

    def _receive_list(self, sender: bytes, items: list[object]) -> list[CeremonySend]:
        _, _, reply, parts = codec.a_list(items, 4)
        theirs: list[FileVersion] = []
        for part in codec.a_list(parts, size_max=_PARTS_MAX):
            theirs += _listed(part, _PART)
        (self.synced.add if self.folder.is_covered(theirs) else self.synced.discard)(sender)
        sends = []
        if wanted := self.folder.missing(theirs)[:WANT_MAX]:
            sends.append(CeremonySend(sender, codec.dump([WANT, self.folder.id, wanted])))
        if reply is True:
            sends.append(CeremonySend(sender, self._have(False)))
        return sends

    def _serve(self, sender: bytes, items: list[object]) -> list[CeremonySend]:
        _, _, listed = codec.a_list(items, 3)
        found = [(name, self.folder.find(name, one)) for name, one in _listed(listed, WANT_MAX)]
        return [
            CeremonySend(sender, self._file(name, data)) for name, data in found if data is not None
        ]

    def _have(self, reply: bool) -> bytes:
        listed = self.folder.listing()
        parts = [listed[i : i + _PART] for i in range(0, len(listed), _PART)]
        return codec.dump([HAVE, self.folder.id, reply, parts])

    def _file(self, name: str, data: bytes) -> bytes:
        return codec.dump([FILE, self.folder.id, name, data])


def _listed(item: object, size_max: int) -> list[FileVersion]:
    pairs = [codec.a_list(pair, 2) for pair in codec.a_list(item, size_max=size_max)]
    return [
        (codec.a_text(name, NAME_BYTES_MAX), codec.some_bytes(version, DIGEST_BYTES))
        for name, version in pairs
    ]


def ceremony_of(items: list[object]) -> bytes:
    """The ceremony that a gossip message belongs to. Raises `Malformed`."""
    return codec.some_bytes(items[1] if len(items) > 1 else None, CEREMONY_BYTES)
