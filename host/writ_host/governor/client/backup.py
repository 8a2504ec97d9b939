"""A backup of a governor's folder, whether its daemon runs or not."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ... import files
from ...errors import HostError, NodeInUse, NotReachable
from ...node.folder import FolderLock
from .. import backup
from ..backup import Manifest
from ..control import ControlClient
from ..daemon import DaemonInUse
from ..folder import GovernorFolder
from ..ledger.ledger import Ledger

# Time to copy a ledger of many megabytes on an SD card, twice.
TIMEOUT_S = 120.0


def save(directory: Path, file: Path) -> tuple[Manifest, int]:
    """Back up the governor in `directory` into `file`; returns the manifest and the file's size.

    A running daemon makes the archive itself. Raises `HostError`.
    """
    folder = GovernorFolder(directory)
    settings = folder.read()
    if file.is_dir():
        raise HostError(f"{file} is a folder", f"Name a file: {file / settings.name}.backup")
    try:
        with ControlClient(folder.control, TIMEOUT_S) as client:
            document = client.ask("backup")
        made = folder.path / document.pop("made")
        manifest = Manifest(**document)
    except NotReachable:
        made = folder.path / backup.ARCHIVE
        with _locked(folder), contextlib.closing(Ledger.open(folder.ledger)) as ledger:
            manifest = backup.make(folder, settings.name, ledger, made)
    try:
        return manifest, _move(made, file)
    finally:
        made.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: GovernorFolder) -> Iterator[None]:
    try:
        lock = FolderLock(folder.path)
    except NodeInUse as error:
        # the daemon runs, and does not answer
        raise DaemonInUse(str(error)) from None
    try:
        yield
    finally:
        lock.release()


def _move(made: Path, file: Path) -> int:
    """Move the archive to `file`, perhaps on another file system, atomically; returns its size."""
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
