"""A ceremony's folder without a shared disk: each daemon keeps the files and brings them to others.

    have = [ 48, ceremony: bstr .size 32, tell: bool, [ * [ * version ] ] ]
    want = [ 49, ceremony, [ * version ] ]
    file = [ 50, ceremony, name, data: bstr ]
    version = [ name: tstr, digest: bstr .size 16 ]

Which files there can be, and who writes each, is known beforehand. A file is kept only when its
author's signature is right, so that nobody can fill or poison a folder that is not a governor
itself. Who signs two different files of one name is a liar: both are kept and shown to all, and
whatever else it wrote reads as if it were not there.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ... import codec
from ...errors import FileInTheWay, Malformed
from ...keys.identity import CEREMONY_BYTES, Governor, open_envelope

HAVE, WANT, FILE = 48, 49, 50
# The largest honest file is a signing's: 32 items at 70 bytes; a deal for 13 has 2 kB.
GOSSIP_FILE_BYTES_MAX = 8192
DIGEST_BYTES = 16
NAME_BYTES_MAX = 80
# Names a message: CBOR arrays hold 128 items, so lists are cut into parts.
_PART = 100
_PARTS_MAX = 8
# Files that one `want` may ask for: with their largest size, a burst of 256 kB.
WANT_MAX = 32
# Have-lists are repeated at once after a change, then ever more slowly.
PAUSE_MIN_MS = 250
PAUSE_MAX_MS = 30000
_EVIDENCE = "~"

# (name, digest) of a file
Listed = tuple[str, bytes]


class Files(Protocol):
    """A daemon's durable files, by ceremony (32 B) and name; the ledger in the end."""

    def get(self, ceremony: bytes, name: str) -> bytes | None:
        """The file, None where there is none."""

    def put(self, ceremony: bytes, name: str, data: bytes) -> None:
        """Keep the file, durably, in place of one of the same name."""

    def list(self, ceremony: bytes) -> list[str]:
        """The names of all files of a ceremony."""

    def drop(self, ceremony: bytes) -> None:
        """Forget all files of a ceremony."""


class MemoryFiles:
    """For tests."""

    def __init__(self) -> None:
        self.data: dict[tuple[bytes, str], bytes] = {}

    def get(self, ceremony: bytes, name: str) -> bytes | None:
        return self.data.get((ceremony, name))

    def put(self, ceremony: bytes, name: str, data: bytes) -> None:
        self.data[ceremony, name] = data

    def list(self, ceremony: bytes) -> "list[str]":
        return sorted(name for kept, name in self.data if kept == ceremony)

    def drop(self, ceremony: bytes) -> None:
        self.data = {key: data for key, data in self.data.items() if key[0] != ceremony}


@dataclass(frozen=True)
class CSend:
    """Send `data` to the governor with this node key (33 B). It may be lost."""

    to: bytes
    data: bytes


@dataclass(frozen=True)
class Place:
    """A file that there can be: its author, and the step that its envelope is for."""

    author: Governor
    step: str


# Raises a `HostError` unless a file proves itself, whoever wrote it.
Proof = Callable[[bytes], None]


def digest(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256: the name of one version of a file."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


class GossipFolder:
    """One ceremony's `folder.Folder`, as far as this daemon has its files.

    places: by name, whose files there can be; proofs: the files without an author. What is written
    is durable, in `files`, before anybody else can learn of it.
    """

    def __init__(
        self,
        ceremony: bytes,
        places: Mapping[str, Place],
        me: Governor,
        files: Files,
        proofs: Mapping[str, Proof] | None = None,
    ) -> None:
        self.id = ceremony
        self.places = places
        self.proofs = proofs or {}
        self.me = me
        self.fresh: list[str] = []
        # by name: what its author signed as well
        self.evidence: dict[str, bytes] = {}
        self._files = files
        self._data: dict[str, bytes] = {}
        for name in files.list(ceremony):
            data = files.get(ceremony, name)
            plain = name.removesuffix(_EVIDENCE)
            if data is not None and (plain in places or plain in self.proofs):
                (self._data if plain == name else self.evidence)[plain] = data

    @property
    def liars(self) -> dict[str, str]:
        """By name of a governor: the file of which it signed two versions."""
        return {self.places[name].author.name: name for name in self.evidence}

    # --- as a machine sees it ---------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        place = self.places.get(name)
        if self.evidence and place is not None and place.author.name in self.liars:
            return None
        return self._data.get(name)

    def publish(self, name: str, data: bytes) -> None:
        known = self._data.get(name)
        if known is None:
            self._keep(name, data)
            self.fresh.append(name)
        elif known != data:
            raise FileInTheWay(f"{name} in the folder is not what we wrote")

    def publish_first(self, name: str, data: bytes) -> None:
        """As `publish`, where it is ours to write and not there yet; nothing otherwise."""
        place = self.places.get(name)
        if name not in self._data and (place is None or place.author == self.me):
            self.publish(name, data)

    def names(self) -> list[str]:
        return sorted(self._data)

    # --- as the others see it ---------------------------------------------------------------------

    def take(self, name: str, data: bytes) -> bool:
        """Keep a file that somebody sent, if it is what it should be; False for nothing new.

        Raises `Malformed`, or what `open_envelope` or the proof raises.
        """
        place, proof, known = self.places.get(name), self.proofs.get(name), self._data.get(name)
        if len(data) > GOSSIP_FILE_BYTES_MAX:
            raise Malformed(f"{name} is longer than {GOSSIP_FILE_BYTES_MAX} bytes")
        if known == data or name in self.evidence or (proof and known):
            return False
        if proof:
            proof(data)
        elif place:
            author = {place.author.name: place.author}
            open_envelope(data, author, self.id, place.author.name, place.step)
        else:
            raise Malformed(f"{name[:NAME_BYTES_MAX]!a} is no file of this ceremony")
        if known is None:
            self._keep(name, data)
        else:
            self._files.put(self.id, name + _EVIDENCE, data)
            self.evidence[name] = data
        return True

    def listing(self) -> list[Listed]:
        """All files and all evidence."""
        found = [(name, digest(data)) for name, data in sorted(self._data.items())]
        return found + [(name, digest(data)) for name, data in sorted(self.evidence.items())]

    def find(self, name: str, version: bytes) -> bytes | None:
        """This version of a file."""
        for data in (self._data.get(name), self.evidence.get(name)):
            if data is not None and digest(data) == version:
                return data
        return None

    def lacks(self, theirs: Iterable[Listed]) -> list[Listed]:
        """What we do not have of their list."""
        return [
            (name, version)
            for name, version in theirs
            if (name in self.places or (name in self.proofs and name not in self._data))
            and name not in self.evidence
            and self.find(name, version) is None
        ]

    def is_covered(self, theirs: Collection[Listed]) -> bool:
        """Whether they have all that we have; of a liar's file, any two versions."""
        names = [name for name, _ in theirs]
        return all(
            listed in theirs or listed[0] in self.proofs or names.count(listed[0]) > 1
            for listed in self.listing()
        ) and all(name in names for name in self.proofs if name in self._data)

    def _keep(self, name: str, data: bytes) -> None:
        self._files.put(self.id, name, data)
        self._data[name] = data


class Gossip:
    """Brings a folder to the other participants (node keys, 33 B), and theirs to us.

    heard: who takes part, as far as known since we started; covered: who has all that we have.
    """

    def __init__(self, folder: GossipFolder, peers: Iterable[bytes]) -> None:
        self.folder = folder
        self.peers = frozenset(peers)
        self.heard: set[bytes] = set()
        self.covered: set[bytes] = set()
        self.is_over = False
        self._pause_ms = PAUSE_MIN_MS
        self._due_ms: int | None = 0

    def receive(self, sender: bytes, items: list[object], now_ms: int) -> list[CSend]:
        """A message [type, ceremony, ...] of a participant. Raises `HostError` for a bad one."""
        self.heard.add(sender)
        if items[0] == HAVE:
            return self._take_list(sender, items)
        if items[0] == WANT:
            return self._serve(sender, items)
        _, _, name, data = codec.a_list(items, 4)
        checked = codec.a_text(name, NAME_BYTES_MAX)
        if self.folder.take(checked, codec.some_bytes(data, size_max=GOSSIP_FILE_BYTES_MAX)):
            self.hurry(now_ms)
        return []

    def tick(self, now_ms: int) -> list[CSend]:
        """What is new of ours, and from time to time what we have, ever more rarely."""
        sends = []
        for name in self.folder.fresh:
            data = self.folder.read(name)
            if data is not None:
                sends += [CSend(peer, self._file(name, data)) for peer in sorted(self.peers)]
        if self.folder.fresh:
            self.folder.fresh.clear()
            self.hurry(now_ms)
        if self._due_ms is None or now_ms < self._due_ms:
            return sends
        awaited = self.peers - self.covered if self.is_over else self.peers
        if not awaited:
            self._due_ms = None
            return sends
        self._due_ms = now_ms + self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, PAUSE_MAX_MS)
        return sends + [CSend(peer, self._have(True)) for peer in sorted(awaited)]

    @property
    def next_ms(self) -> int | None:
        """When to call `tick` next."""
        return 0 if self.folder.fresh else self._due_ms

    def hurry(self, now_ms: int) -> None:
        """Something changed: tell it soon."""
        self.covered.clear()
        self._pause_ms = PAUSE_MIN_MS
        self._due_ms = min(self._due_ms or now_ms + PAUSE_MIN_MS, now_ms + PAUSE_MIN_MS)

    def _take_list(self, sender: bytes, items: list[object]) -> list[CSend]:
        _, _, tell, parts = codec.a_list(items, 4)
        theirs: list[Listed] = []
        for part in codec.a_list(parts, size_max=_PARTS_MAX):
            theirs += _listed(part, _PART)
        (self.covered.add if self.folder.is_covered(theirs) else self.covered.discard)(sender)
        sends = []
        if wanted := self.folder.lacks(theirs)[:WANT_MAX]:
            sends.append(CSend(sender, codec.dump([WANT, self.folder.id, wanted])))
        if tell is True:
            sends.append(CSend(sender, self._have(False)))
        return sends

    def _serve(self, sender: bytes, items: list[object]) -> list[CSend]:
        _, _, listed = codec.a_list(items, 3)
        found = [(name, self.folder.find(name, one)) for name, one in _listed(listed, WANT_MAX)]
        return [CSend(sender, self._file(name, data)) for name, data in found if data is not None]

    def _have(self, tell: bool) -> bytes:
        listed = self.folder.listing()
        parts = [listed[i : i + _PART] for i in range(0, len(listed), _PART)]
        return codec.dump([HAVE, self.folder.id, tell, parts])

    def _file(self, name: str, data: bytes) -> bytes:
        return codec.dump([FILE, self.folder.id, name, data])


def _listed(item: object, size_max: int) -> list[Listed]:
    pairs = [codec.a_list(pair, 2) for pair in codec.a_list(item, size_max=size_max)]
    return [
        (codec.a_text(name, NAME_BYTES_MAX), codec.some_bytes(version, DIGEST_BYTES))
        for name, version in pairs
    ]


def ceremony_of(items: list[object]) -> bytes:
    """Which ceremony a message of gossip belongs to. Raises `Malformed`."""
    return codec.some_bytes(items[1] if len(items) > 1 else None, CEREMONY_BYTES)
