"""A backup of a governor's folder, whether its daemon runs or not."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ... import files
from ...errors import FileInTheWay, HostError, NodeInUse, NotReachable
from ...node.folder import FolderLock
from .. import backup
from ..backup import Manifest
from ..control import ControlClient
from ..daemon import DaemonInUse
from ..folder import GovernorFolder
from ..ledger.ledger import Ledger

# Time to copy a ledger of many megabytes on an SD card, twice.
TIMEOUT_S = 120.0


def save(directory: Path, file: Path, replace: bool = False) -> tuple[Manifest, int]:
    """Back up the governor in `directory` into `file`; returns the manifest and the file's size.

    replace: whether `file` may exist. A running daemon makes the archive itself. Raises
    `HostError`, before the archive is made where the file is in the way or its folder is missing.
    """
    folder = GovernorFolder(directory)
    settings = folder.read()
    _check_target(file, settings.name, replace)
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
        with files.naming(file):
            return manifest, _move(made, file, replace)
    finally:
        made.unlink(missing_ok=True)


def _check_target(file: Path, name: str, replace: bool) -> None:
    if files.is_folder(file):
        raise HostError(f"{file} is a folder", f"Name a file: {file / name}.backup")
    files.check_parent(file)
    if not replace:
        _check_free(file)


def _check_free(file: Path) -> None:
    # also a dangling link, which is not followed
    if files.is_taken(file):
        raise FileInTheWay(
            f"{file} exists already", "Name another file, or give --force to replace it."
        )


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


def _move(made: Path, file: Path, replace: bool) -> int:
    """Move the archive to `file`, perhaps on another file system, atomically; returns its size."""
    with files.naming(file):
        return _copy(made, file, replace)


def _copy(made: Path, file: Path, replace: bool) -> int:
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as target, made.open("rb") as source:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        if not replace:
            # another command may have written it meanwhile
            _check_free(file)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    files.sync_directory(file.parent)
    return size
