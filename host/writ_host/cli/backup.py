"""`writ governor backup` and `restore`."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .. import files, humanize
from ..errors import HostError, NodeInUse, NotReachable
from ..governor import backup as backups
from ..governor.backup import Manifest
from ..governor.control import ControlClient
from ..governor.daemon import DaemonInUse
from ..governor.folder import GovernorFolder
from ..governor.ledger.ledger import Ledger
from ..node.folder import FolderLock
from .output import Output

# A ledger of many megabytes on an SD card, twice.
TIMEOUT_S = 120.0


def save(out: Output, directory: Path, file: Path) -> None:
    """Back up the governor in `directory`, whether its daemon runs or not, into `file`."""
    folder = GovernorFolder(directory)
    settings = folder.read()
    if file.is_dir():
        raise HostError(f"{file} is a folder", f"Name a file: {file / settings.name}.backup")
    try:
        with ControlClient(folder.control, TIMEOUT_S) as client:
            document = client.ask("backup")
        made = folder.path / document.pop("made")
        found = Manifest(**document)
    except NotReachable:
        made = folder.path / backups.ARCHIVE
        with _alone(folder), contextlib.closing(Ledger.open(folder.ledger)) as ledger:
            found = backups.make(folder, settings.name, ledger, made)
    try:
        size = _move(made, file)
    finally:
        made.unlink(missing_ok=True)
    out.ok(f"backed up {found.name} into {file}: {_words(found)}, {size} bytes")
    out.note("it holds the encrypted keys and share, the ledger, the settings")
    out.note("it does not hold what opens them (passphrase or key file): keep that elsewhere")
    out.json({**dataclasses.asdict(found), "file": file, "bytes": size})


@contextlib.contextmanager
def _alone(folder: GovernorFolder) -> Iterator[None]:
    try:
        lock = FolderLock(folder.path)
    except NodeInUse as error:
        # it runs, and does not answer
        raise DaemonInUse(str(error)) from None
    try:
        yield
    finally:
        lock.release()


def _move(made: Path, file: Path) -> int:
    """To another file system, perhaps: whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as target, made.open("rb") as source:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    files.sync_directory(file.parent)
    return size


def load(out: Output, file: Path, directory: Path) -> None:
    """Make the folder that `file` is the backup of."""
    found = backups.restore(file, GovernorFolder(directory))
    out.ok(f"restored {found.name} into {directory}: {_words(found)}")
    out.note("run it nowhere else, and never beside the original:")
    out.note(f"  writ governor run {directory}")
    out.note("it asks the others what it has forgotten since, and fetches what was certified")
    out.json({**dataclasses.asdict(found), "folder": directory})


def _words(found: Manifest) -> str:
    where = f"epoch {found.epoch} of {found.scope}" if found.scope else "without a scope"
    return f"{where}, as of {humanize.moment(found.time_s)}"
