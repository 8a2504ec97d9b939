"""The files of a ceremony: the folder that governors share, and each governor's own secret store.

The shared folder may be a network share, a synchronised directory or a USB stick that is handed
round. Its content is not trusted: an attacker who writes to it can only delay the ceremony.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Protocol

from .. import files
from ..codec import FILE_BYTES_MAX
from ..errors import FileInTheWay
from ..keys import keyfile


class Folder(Protocol):
    """Named files of at most 64 KiB, written whole."""

    def read(self, name: str) -> bytes | None:
        """The file, or None where there is none yet. Raises `Malformed` for one too large."""

    def publish(self, name: str, data: bytes) -> None:
        """Write a file; the same data again is fine. `FileInTheWay` if it holds other data."""

    def publish_first(self, name: str, data: bytes) -> None:
        """Write a file unless it exists; `read` then returns the first writer's data."""

    def names(self) -> list[str]:
        """The names of all files, sorted."""


class CeremonyStore(Protocol):
    """One governor's own secret state between steps; encrypted where it reaches a disk."""

    def load(self) -> bytes | None:
        """The data that was saved last, or None."""

    def save(self, data: bytes) -> None:
        """Replace the stored data by `data`, durably."""


class SeatStore(CeremonyStore, Protocol):
    """The store of a governor's seat; stores beside it hold seats that may replace it."""

    def beside(self, suffix: str) -> CeremonyStore:
        """The store with this suffix beside this one; the same one for each call."""


class MemoryFolder:
    """A folder in memory, for tests and for governors in one process."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def publish(self, name: str, data: bytes) -> None:
        if self.files.setdefault(name, data) != data:
            raise FileInTheWay(f"{name} in the folder differs from what this governor wrote")

    def publish_first(self, name: str, data: bytes) -> None:
        self.files.setdefault(name, data)

    def names(self) -> list[str]:
        return sorted(self.files)


class DirectoryFolder:
    """A directory on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        path = self.path / name
        # Reading anything but a plain file (a pipe, say) might block.
        if not files.is_file(path):
            return None
        return files.read_bounded(path, FILE_BYTES_MAX)

    def publish(self, name: str, data: bytes) -> None:
        known = self.read(name)
        if known is None:
            files.write_atomically(self.path / name, data, 0o644)
        elif known != data:
            raise FileInTheWay(f"{name} in the folder differs from what this governor wrote")

    def publish_first(self, name: str, data: bytes) -> None:
        with files.naming(self.path / name):
            self._publish_first(name, data)

    def _publish_first(self, name: str, data: bytes) -> None:
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._link(temporary, name)
        finally:
            os.unlink(temporary)
        files.sync_directory(self.path)

    def _link(self, temporary: str, name: str) -> None:
        try:
            # A link, unlike a rename, fails where a file is already.
            os.link(temporary, self.path / name)
        except FileExistsError:
            return
        except OSError:
            # FAT has no links. A lost race costs one attempt, but no signature.
            with contextlib.suppress(FileInTheWay):
                self.publish(name, Path(temporary).read_bytes())

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir() if entry.name[0] != ".")


class MemoryStore:
    """A store in memory, for tests and for governors that live as long as the process."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data
        self.others: dict[str, MemoryStore] = {}

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        self.data = data

    def beside(self, suffix: str) -> "MemoryStore":
        return self.others.setdefault(suffix, MemoryStore())


class KeyfileStore:
    """An encrypted file (keyfile.py) of kind "seat"."""

    KIND = "seat"

    def __init__(self, path: Path, key: keyfile.Unlock) -> None:
        self.path = path
        self._key = key

    def load(self) -> bytes | None:
        if not files.exists(self.path):
            return None
        return keyfile.read(self.path, self.KIND, self._key)

    def save(self, data: bytes) -> None:
        keyfile.write(self.path, self.KIND, data, self._key)

    def beside(self, suffix: str) -> "KeyfileStore":
        return KeyfileStore(self.path.with_name(f"{self.path.name}.{suffix}"), self._key)
