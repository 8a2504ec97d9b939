"""Durable and secret files: atomic replacement, directory syncs, modes and bounded reads.

Encrypted files (keys/keyfile.py), TOML files, address books and capsules are all written here.
"""

import contextlib
import errno
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from . import codec
from .errors import HostError, Malformed

# The errors that mean absence. All others, such as EIO, EACCES and ELOOP, are errors of the disk,
# and the methods of `Path` (exists, is_file, is_dir, glob) take some or all of them for absence.
ABSENT = (FileNotFoundError, NotADirectoryError)
_NOT_REGULAR = "not a regular file"


def exists(path: Path) -> bool:
    """Whether there is a file or folder. Raises `OSError` for an error of the disk."""
    return _mode(path) is not None


def is_taken(path: Path) -> bool:
    """Whether there is a directory entry, also a link to nothing. Raises as `exists`."""
    return _mode(path, follow=False) is not None


def is_file(path: Path) -> bool:
    """Whether there is a regular file. Raises as `exists`."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Whether there is a folder. Raises as `exists`."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path, follow: bool = True) -> int | None:
    try:
        return path.stat(follow_symlinks=follow).st_mode
    except ABSENT:
        return None


def in_folder(folder: Path, suffix: str) -> list[Path]:
    """The files with this suffix (".cbor"), without hidden ones, by name; [] without the folder.

    Raises `OSError` for an error of the disk.
    """
    try:
        names = sorted(os.listdir(folder))
    except ABSENT:
        return []
    return [folder / name for name in names if name.endswith(suffix) and name[0] != "."]


def check_parent(path: Path) -> None:
    """Check that `path` can be made: its parent must exist. Raises `HostError`.

    A folder made in place of one that is not mounted would be on another disk.
    """
    parent = path.absolute().parent
    if not is_folder(parent):
        raise HostError(
            f"there is no folder {parent}",
            "Mount the disk that it is on, or make the folder; then run the command again.",
        )


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder where there is none. Raises as `check_parent`, or `OSError`."""
    check_parent(path)
    path.mkdir(mode=mode, exist_ok=True)


def check_writable(folder: Path) -> None:
    """Check that files can be made in `folder`. Raises `HostError`, also where it is no folder."""
    if not is_folder(folder):
        raise HostError(f"there is no folder {folder}", "Make it first, or mount its disk.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HostError(
            f"no file can be written in {folder}",
            "Check its owner and mode, and whether its disk is mounted read-only.",
        )


def open_file(path: Path, mode: str = "rb", flags: int = 0) -> BinaryIO:
    """`open` with more `flags`; raises `OSError` for a pipe, a socket or a device, too.

    Such a file in place of a regular one could keep the process waiting for ever. Below /dev it is
    what the user has named: a shell's <(...) is /dev/fd/63.
    """
    is_named = path.is_relative_to("/dev")

    def opener(name: str, more: int) -> int:
        try:
            handle = os.open(name, more | flags | (0 if is_named else os.O_NONBLOCK), 0o666)
        except OSError as error:
            # a socket, or a pipe to write that no process reads
            if error.errno == errno.ENXIO:
                raise OSError(errno.EINVAL, _NOT_REGULAR, name) from None
            raise
        kind = os.fstat(handle).st_mode
        # `open` refuses a folder
        if not (is_named or stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            os.close(handle)
            raise OSError(errno.EINVAL, _NOT_REGULAR, name)
        return handle

    return cast(BinaryIO, open(path, mode, opener=opener))


def open_secret(path: Path) -> BinaryIO:
    """Open a key or passphrase file to read.

    Raises `HostError` if other users can read or replace it, and `OSError` as `open_file` does.
    """
    # where others may write, they could put a link in the file's place
    others_write = path.parent.stat().st_mode & 0o022
    file = open_file(path, flags=os.O_NOFOLLOW if others_write else 0)
    found = os.fstat(file.fileno())
    # as ssh does: the file of another owner, and a pipe, are that owner's business
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_mode & 0o077:
        file.close()
        raise HostError(f"other users can read {path}", f"Run: chmod 600 {path}")
    return file


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`: after a crash there is the old file or the new one, whole.

    The temporary file begins with a dot and stands beside `path`; an `OSError` names `path`.
    """
    with naming(path):
        _write_atomically(path, data, mode)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside, an `OSError` that names no file, such as that of a full disk, gets this one.

    So does one that names a temporary file of `path`, which no operator knows.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        is_temporary = isinstance(name, str) and Path(name).name.startswith(f".{path.name}.")
        if error.errno is None or not (name is None or is_temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_atomically(path: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_directory(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of `write_atomically(path, ...)` that a crash left behind.

    A leftover may hold an old secret. Only the single process that writes `path` may call this:
    the temporary file of another running process looks the same.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        # mkstemp adds eight characters, and no dot
        if "." not in left.name.removeprefix(f".{path.name}."):
            left.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make renames and new files in this directory survive a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bounded(path: Path, bytes_max: int, is_secret: bool = False) -> bytes:
    """The file's bytes.

    Raises `Malformed` above `bytes_max`, and as `open_file` or, for a secret, `open_secret` does.
    """
    with open_secret(path) if is_secret else open_file(path) as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise Malformed(f"{path.name} is longer than {bytes_max} bytes")
    return data


def read_versioned(path: Path, version: int, size: int, bytes_max: int) -> list[object] | None:
    """The items after the version in a file of CBOR [version, ...], None without the file.

    size: of the list, with the version. Raises `Malformed` for another content, `OSError` for a
    file that cannot be read.
    """
    try:
        data = read_bounded(path, bytes_max)
    except ABSENT:
        return None
    items = codec.a_list(codec.load(data, bytes_max), size)
    codec.an_int(items[0], version, version)
    return items[1:]
