"""Durable files: atomic replacement, directory syncs and bounded reads.

Encrypted files (keys/keyfile.py), TOML files, address books and capsules are all written here.
"""

import contextlib
import glob
import os
import tempfile
from pathlib import Path

from .errors import Malformed


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`: after a crash there is the old file or the new one, whole.

    The temporary file begins with a dot and stands beside `path`.
    """
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


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """The file's bytes. Raises `Malformed` above `bytes_max`, `FileNotFoundError` as open does."""
    with open(path, "rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise Malformed(f"{path.name} is longer than {bytes_max} bytes")
    return data
