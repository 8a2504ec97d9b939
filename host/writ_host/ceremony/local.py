"""Ceremonies of which all governors are on this machine: tests, demonstrations, a small farm.

    governors = found_local(scope, names, threshold, directory=None, key=None)  # [LocalGovernor]
    signatures = sign_local(governors[:threshold], title, items)
    run_local(machines) steps any Founding and Signing objects in turn until all are done

It is the same code as with a process for each governor. `create_identity`, `load_identity` and
`load_seat` serve both.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from writ.errors import UsageError

from .. import files
from ..errors import FileInTheWay, Stalled
from ..keys import keyfile
from ..keys.group import Random
from ..keys.identity import Identity
from ..keys.roster import Roster, Seat
from .founding import Founding
from .progress import Progress
from .request import Item, publish_request
from .signing import Signing
from .storage import CeremonyStore, DirectoryFolder, Folder, KeyfileStore, MemoryFolder, MemoryStore

# More than any ceremony needs: three rounds of founding, or all attempts of a signing.
TURNS_MAX = 64


def create_identity(
    path: Path, name: str, key: keyfile.Unlock, random: Random = os.urandom
) -> Identity:
    """A new identity, encrypted at `path`. Raises `FileInTheWay` rather than replace one."""
    if files.exists(path):
        raise FileInTheWay(f"{path} exists already", "Use it, or move it away first.")
    identity = Identity.generate(name, random)
    keyfile.write(path, "identity", identity.to_bytes(), key)
    return identity


def load_identity(path: Path, key: keyfile.Unlock) -> Identity:
    """The identity at `path`. Raises as `keyfile.read` does."""
    return Identity.from_bytes(keyfile.read(path, "identity", key))


def load_seat(store: CeremonyStore) -> Seat | None:
    """The seat in a governor's store, None before its founding ceremony is done."""
    data = store.load()
    return Seat.from_bytes(data) if data is not None and Seat.is_seat(data) else None


@dataclass(frozen=True)
class LocalGovernor:
    """One of several governors on this machine."""

    identity: Identity
    seat: Seat
    folder: Folder


def run_local(machines: Sequence[Founding | Signing]) -> None:
    """Step all machines in turn until each is done; the results are in `.seat` or `.signatures`.

    Raises `Stalled` when a whole turn changes nothing, and whatever a step raises.
    """
    before: list[Progress] = []
    for _ in range(TURNS_MAX):
        progress = [machine.step() for machine in machines]
        if all(item.is_done for item in progress):
            return
        if progress == before:
            break
        before = progress
    awaited = sorted({name for item in before for name in item.waiting_for})
    raise Stalled(f"no progress; waiting for {', '.join(awaited) or 'no governor'}")


def found_local(
    scope: str,
    names: Sequence[str],
    threshold: int,
    directory: Path | None = None,
    key: keyfile.Unlock | None = None,
    random: Random = os.urandom,
) -> list[LocalGovernor]:
    """Found a scope whose governors are all on this machine; resumes after a crash.

    In memory, or with a `directory` and a `key` for its encrypted files: NAME/identity.key,
    NAME/seat.key, and the shared folder `ceremony` with roster.cbor. Raises `UsageError` for a
    directory without a key.
    """
    if directory is None:
        folder: Folder = MemoryFolder()
        identities = [Identity.generate(name, random) for name in names]
        stores: list[CeremonyStore] = [MemoryStore() for _ in names]
    elif key is None:
        raise UsageError("files on disk need a key")
    else:
        files.make_folder(directory)
        files.make_folder(directory / "ceremony")
        folder = DirectoryFolder(directory / "ceremony")
        identities = [_local_identity(directory / name, name, key, random) for name in names]
        stores = [KeyfileStore(directory / name / "seat.key", key) for name in names]
    data = folder.read("roster.cbor")
    if data is None:
        public = [identity.public for identity in identities]
        data = Roster.create(scope, threshold, public, random).to_bytes()
        folder.publish("roster.cbor", data)
    roster = Roster.from_bytes(data)
    if (roster.scope, roster.names, roster.threshold) != (scope, tuple(names), threshold):
        raise FileInTheWay(
            "the directory holds another scope, or other governors", "Use an empty directory."
        )
    machines = [
        # Nothing to compare by voice: all fingerprints are made in this process.
        Founding(folder, identity, roster, store, lambda _: True, random)
        for identity, store in zip(identities, stores, strict=True)
    ]
    run_local(machines)
    seats = [machine.seat for machine in machines if machine.seat is not None]
    return [
        LocalGovernor(identity, seat, folder)
        for identity, seat in zip(identities, seats, strict=True)
    ]


def _local_identity(home: Path, name: str, key: keyfile.Unlock, random: Random) -> Identity:
    path = home / "identity.key"
    home.mkdir(mode=0o700, exist_ok=True)
    return (
        load_identity(path, key) if files.exists(path) else create_identity(path, name, key, random)
    )


def sign_local(
    governors: Sequence[LocalGovernor], title: str, items: Sequence[Item]
) -> list[bytes]:
    """The group's signatures (64 B each) by these governors, at the request of the first.

    Raises `Stalled` when they are fewer than the threshold.
    """
    first = governors[0]
    request = publish_request(first.folder, first.identity, first.seat, title, items)
    machines = [
        Signing(one.folder, one.identity, one.seat, request, lambda _: True) for one in governors
    ]
    run_local(machines)
    assert machines[0].signatures is not None
    return machines[0].signatures
