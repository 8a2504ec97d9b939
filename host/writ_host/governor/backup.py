"""A governor's backup: one tar file of all that cannot be made again, and the way back from it.

    backup.json                                  {"name", "time", "scope", "epoch"}
    governor.toml  peers.toml  NAME.toml         settings and addresses
    NAME.key  NAME.seat  NAME.seat.next          encrypted (keyfile.py)
    ledger.db                                    as of now, whole

What opens the keys is not in it. Nor is node/: an old copy of session keys would use nonces again,
and the daemon makes it anew. A governor that comes back finds out what it has forgotten
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

from .. import files
from ..errors import FileInTheWay, HostError, Malformed
from ..keys import keyfile
from ..keys.identity import check_name
from .folder import GovernorFolder
from .ledger.ledger import Ledger

MANIFEST = "backup.json"
# The daemon makes the archive here, in its own folder: it may write nowhere else.
MADE = ".backup.tar"
_LEDGER_COPY = ".backup.db"
# Keys, seats, settings: each far smaller.
FILE_BYTES_MAX = keyfile.KEYFILE_BYTES_MAX
# What a ledger with all its tables at their limits stays well below.
LEDGER_BYTES_MAX = 1 << 28


class NoBackup(HostError):
    """A file that is not a governor's backup, or not whole."""

    advice = "Use another one. writ governor backup DIR FILE makes them."


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. time_s: Unix seconds; scope "" and epoch 0 without a scope."""

    name: str
    time_s: int
    scope: str
    epoch: int


def names(name: str) -> tuple[str, ...]:
    """The files of a governor's folder that are in its backup, where they exist; and the ledger."""
    kept = ("governor.toml", "peers.toml", f"{name}.toml")
    return (*kept, f"{name}.key", f"{name}.seat", f"{name}.seat.next")


def make(folder: GovernorFolder, name: str, ledger: Ledger, path: Path) -> Manifest:
    """Write the archive at `path`, mode 0600, atomically; `ledger` is open, in this process.

    Nothing else may change the folder meanwhile: the daemon does this between two turns. Raises
    `HostError`, `OSError`.
    """
    charter = ledger.capsules.charter()
    scope = "" if charter is None else str(Charter(parse(charter)).name)
    found = Manifest(name, ledger.clock_s(), scope, ledger.height - 1)
    copy = folder.path / _LEDGER_COPY
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        ledger.database.backup(copy)
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                _add(archive, MANIFEST, _to_json(found))
                for one in names(name):
                    if (folder.path / one).exists():
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
    return found


def restore(file: Path, folder: GovernorFolder) -> Manifest:
    """A governor's folder as it was: whole, or not there at all. Nothing is run.

    Raises `NoBackup`, `FileInTheWay` where something is in the folder, and what opening a ledger
    raises.
    """
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise FileInTheWay(
            f"{folder.path} is there already",
            "Name a new folder, or move this one away: it may hold what is newer than the backup.",
        )
    parent = folder.path.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.path.name}.", dir=parent))
    try:
        found = _unpack(file, GovernorFolder(made))
        # sees that it is whole
        Ledger.open(GovernorFolder(made).ledger).close()
        os.rename(made, folder.path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    files.sync_directory(parent)
    return found


def _unpack(file: Path, made: GovernorFolder) -> Manifest:
    try:
        with tarfile.open(file, mode="r:") as archive:
            first = archive.next()
            if first is None or first.name != MANIFEST:
                raise NoBackup(f"{file} is not a governor's backup")
            found = _from_json(_read(archive, first, FILE_BYTES_MAX), file)
            wanted = {*names(found.name), made.ledger.name}
            while (member := archive.next()) is not None:
                if member.name not in wanted:
                    raise NoBackup(f"{file}: {member.name[:80]!r} has no place in a backup")
                wanted.remove(member.name)
                is_ledger = member.name == made.ledger.name
                data = _read(archive, member, LEDGER_BYTES_MAX if is_ledger else FILE_BYTES_MAX)
                mode = 0o644 if member.name.endswith(".toml") else 0o600
                files.write_atomically(made.path / member.name, data, mode)
    except (tarfile.TarError, EOFError) as error:
        raise NoBackup(f"{file} is not a whole backup: {error}") from None
    if missing := sorted(wanted & {"governor.toml", f"{found.name}.key", made.ledger.name}):
        raise NoBackup(f"{file} is not whole: {missing[0]} is missing")
    if made.read().name != found.name:
        raise NoBackup(f"{file}: its settings are another governor's")
    return found


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, bytes_max: int) -> bytes:
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or member.size > bytes_max:
        raise NoBackup(f"{member.name[:80]!r} in it is no file, or too large")
    data = content.read(bytes_max)
    if len(data) != member.size:
        raise NoBackup(f"{member.name[:80]!r} in it is cut short")
    return data


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(_plain(member), io.BytesIO(data))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode, member.uid, member.gid, member.uname, member.gname = 0o600, 0, 0, "", ""
    return member


def _to_json(found: Manifest) -> bytes:
    document = {
        "name": found.name,
        "time": found.time_s,
        "scope": found.scope,
        "epoch": found.epoch,
    }
    return json.dumps(document).encode()


def _from_json(data: bytes, file: Path) -> Manifest:
    try:
        found = json.loads(data)
        name = check_name(found["name"])
        return Manifest(name, int(found["time"]), str(found["scope"]), int(found["epoch"]))
    except (ValueError, TypeError, KeyError, RecursionError, Malformed):
        raise NoBackup(f"{file}: {MANIFEST} is damaged") from None
