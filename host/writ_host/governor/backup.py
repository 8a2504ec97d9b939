"""A governor's backup: one tar file of everything that cannot be recreated, and its restoration.

    backup.json                                  {"name", "time", "scope", "epoch"}
    governor.toml  peers.toml  NAME.toml         settings and addresses
    NAME.key  NAME.seat  NAME.seat.next          encrypted (keys/keyfile.py)
    ledger.db                                    a consistent copy

The passphrase or key file is not in it. Neither is node/: an old copy of session keys would reuse
nonces, and the daemon creates the folder again. A restored governor detects what it has forgotten
(docs/consensus.md, Old backups).
"""

import io
import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from writ.authority.capsule import Charter, parse

from .. import files, textfile
from ..errors import FileInTheWay, HostError, Malformed
from ..keys import keyfile
from ..keys.identity import check_name
from .folder import GovernorFolder
from .ledger.ledger import Ledger

MANIFEST = "backup.json"
# The daemon writes the archive into its own folder, since it may write nowhere else.
ARCHIVE = ".backup.tar"
_LEDGER_COPY = ".backup.db"
# Keys, seats and settings are far smaller.
FILE_BYTES_MAX = keyfile.KEYFILE_BYTES_MAX
# A ledger with all its tables at their limits is far smaller.
LEDGER_BYTES_MAX = 1 << 28


class NoBackup(HostError):
    """The file is not a governor's backup, or is damaged."""

    advice = "Use another backup file. To make one: writ governor backup DIR FILE."


@dataclass(frozen=True)
class Manifest:
    """The description of a backup. time_s: Unix seconds; without a scope: scope "", epoch 0."""

    name: str
    time_s: int
    scope: str
    epoch: int


def names(name: str) -> tuple[str, ...]:
    """The names of the files that a backup contains if they exist, besides the ledger."""
    kept = ("governor.toml", "peers.toml", f"{name}.toml")
    return (*kept, f"{name}.key", f"{name}.seat", f"{name}.seat.next")


def make(folder: GovernorFolder, name: str, ledger: Ledger, path: Path) -> Manifest:
    """Write the archive at `path`, mode 0600, atomically. ledger: open in this process.

    Nothing else may change the folder meanwhile, so the daemon does this between two messages.
    Raises `HostError`, `OSError`.
    """
    with files.naming(path):
        return _write(folder, name, ledger, path)


def _write(folder: GovernorFolder, name: str, ledger: Ledger, path: Path) -> Manifest:
    charter = ledger.capsules.charter()
    scope = "" if charter is None else str(Charter(parse(charter)).name)
    manifest = Manifest(name, ledger.clock_s(), scope, ledger.height - 1)
    copy = folder.path / _LEDGER_COPY
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        ledger.database.backup(copy)
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                _add(archive, MANIFEST, _to_json(manifest))
                for one in names(name):
                    if files.exists(folder.path / one):
                        data = files.read_bounded(folder.path / one, FILE_BYTES_MAX)
                        _add(archive, one, data)
                archive.add(copy, folder.ledger.name, filter=_plain)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        copy.unlink(missing_ok=True)
    files.sync_directory(path.parent)
    return manifest


def restore(file: Path, folder: GovernorFolder) -> Manifest:
    """Restore a governor's folder, completely or not at all. Does not start the governor.

    Raises `NoBackup`, `FileInTheWay` if the folder is not empty, and as `Ledger.open`.
    """
    path = folder.path
    if files.exists(path) and (not files.is_folder(path) or any(path.iterdir())):
        raise FileInTheWay(
            f"{folder.path} exists already",
            "Choose a new folder, or move this one away: it may be newer than the backup.",
        )
    files.check_parent(folder.path)
    with files.naming(folder.path):
        return _restore(file, folder)


def _restore(file: Path, folder: GovernorFolder) -> Manifest:
    parent = folder.path.absolute().parent
    unpacked = Path(tempfile.mkdtemp(prefix=f".{folder.path.name}.", dir=parent))
    try:
        manifest = _unpack(file, GovernorFolder(unpacked))
        # checks that the ledger is undamaged
        Ledger.open(GovernorFolder(unpacked).ledger).close()
        os.rename(unpacked, folder.path)
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    files.sync_directory(parent)
    return manifest


def _unpack(file: Path, unpacked: GovernorFolder) -> Manifest:
    try:
        with files.open_file(file) as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
            first = archive.next()
            if first is None or first.name != MANIFEST:
                raise NoBackup(f"{file} is not a governor's backup")
            manifest = _from_json(_read(archive, first, FILE_BYTES_MAX), file)
            wanted = {*names(manifest.name), unpacked.ledger.name}
            while (member := archive.next()) is not None:
                if member.name not in wanted:
                    raise NoBackup(f"{file}: {member.name[:80]!r} does not belong in a backup")
                wanted.remove(member.name)
                is_ledger = member.name == unpacked.ledger.name
                data = _read(archive, member, LEDGER_BYTES_MAX if is_ledger else FILE_BYTES_MAX)
                mode = 0o644 if member.name.endswith(".toml") else 0o600
                files.write_atomically(unpacked.path / member.name, data, mode)
    except (tarfile.TarError, EOFError) as error:
        raise NoBackup(f"{file} is damaged: {error}") from None
    if missing := sorted(wanted & {"governor.toml", f"{manifest.name}.key", unpacked.ledger.name}):
        raise NoBackup(f"{file} is incomplete: {missing[0]} is missing")
    if unpacked.read().name != manifest.name:
        raise NoBackup(f"{file}: its settings belong to another governor")
    return manifest


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, bytes_max: int) -> bytes:
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or member.size > bytes_max:
        raise NoBackup(f"{member.name[:80]!r} in the backup is not a file, or too large")
    data = content.read(bytes_max)
    if len(data) != member.size:
        raise NoBackup(f"{member.name[:80]!r} in the backup is truncated")
    return data


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(_plain(member), io.BytesIO(data))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode, member.uid, member.gid, member.uname, member.gname = 0o600, 0, 0, "", ""
    return member


def _to_json(manifest: Manifest) -> bytes:
    document = {
        "name": manifest.name,
        "time": manifest.time_s,
        "scope": manifest.scope,
        "epoch": manifest.epoch,
    }
    return json.dumps(document).encode()


def _from_json(data: bytes, file: Path) -> Manifest:
    try:
        manifest = textfile.parse_json(data.decode(), MANIFEST)
        name = check_name(manifest["name"])
        return Manifest(name, int(manifest["time"]), str(manifest["scope"]), int(manifest["epoch"]))
    except (ValueError, TypeError, KeyError, RecursionError, Malformed):
        raise NoBackup(f"{file}: {MANIFEST} is damaged") from None
