"""Durable replacement: the data is synced before the rename, and the folder after it, everywhere.

Without the first, a power cut may leave an empty file under the name; without the second, the old
one, after messages that depend on the new one have left.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from writ_host import codec, files
from writ_host.errors import Malformed
from writ_host.governor import backup
from writ_host.governor.folder import GovernorFolder
from writ_host.governor.ledger.database import Database
from writ_host.governor.ledger.ledger import Ledger
from writ_host.keys import keyfile
from writ_host.keys.keyfile import KeyFile


class Disk:
    """The syncs and renames of one folder, in order: ("sync", name), ("rename", name)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str]] = []
        fsync, replace, rename = os.fsync, os.replace, os.rename

        def synced(handle: int) -> None:
            self.calls.append(("sync", str(os.fstat(handle).st_ino)))
            fsync(handle)

        def moved(move: Callable[..., None], source: Path | str, target: Path | str) -> None:
            self.calls.append(("rename", str(os.stat(source).st_ino)))
            move(source, target)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", lambda *names: moved(replace, *names))
        monkeypatch.setattr(os, "rename", lambda *names: moved(rename, *names))

    def check_replaced(self, path: Path) -> None:
        """The content of `path` was synced, then it was renamed, then its folder was synced."""
        file, folder = (str(one.stat().st_ino) for one in (path, path.parent))
        calls = [call for call in self.calls if call[1] in (file, folder)]
        assert ("rename", file) in calls
        at = calls.index(("rename", file))
        assert ("sync", file) in calls[:at], "the content is not synced before the rename"
        assert ("sync", folder) in calls[at:], "the folder is not synced after the rename"

    def check_made(self, path: Path) -> None:
        """The content of a new file was synced, and its folder after it was made."""
        file, folder = (str(one.stat().st_ino) for one in (path, path.parent))
        assert ("sync", file) in self.calls and ("sync", folder) in self.calls


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_replaced_file_is_durable(disk: Disk, tmp_path: Path) -> None:
    for data in (b"old", b"new"):
        files.write_atomically(tmp_path / "file", data)
        disk.check_replaced(tmp_path / "file")
        disk.calls.clear()


def test_an_encrypted_file_is_durable(disk: Disk, tmp_path: Path) -> None:
    keyfile.write(tmp_path / "seat", "seat", b"a key share", KeyFile(bytes(32)))
    disk.check_replaced(tmp_path / "seat")


def test_a_new_key_file_is_durable(disk: Disk, tmp_path: Path) -> None:
    KeyFile.create(tmp_path / "key")
    disk.check_made(tmp_path / "key")


def test_the_copy_of_a_ledger_is_durable(disk: Disk, tmp_path: Path) -> None:
    database = Database.open(tmp_path / "ledger.db")
    for _ in range(2):
        database.backup(tmp_path / "copy.db")
        disk.check_replaced(tmp_path / "copy.db")
        disk.calls.clear()
    database.close()


def test_a_new_ledger_stays_after_a_power_cut(disk: Disk, tmp_path: Path) -> None:
    Ledger.open(tmp_path / "ledger.db").close()
    assert ("sync", str(tmp_path.stat().st_ino)) in disk.calls


def test_a_backup_and_what_is_restored_of_it_are_durable(disk: Disk, tmp_path: Path) -> None:
    folder = GovernorFolder(tmp_path / "anna")
    folder.create("anna", "127.0.0.1:5685", "127.0.0.1:5683")
    keyfile.write(folder.path / "anna.key", "identity", b"an identity", KeyFile(bytes(32)))
    ledger = Ledger.open(folder.ledger)
    backup.make(folder, "anna", ledger, tmp_path / "backup.tar")
    ledger.close()
    disk.check_replaced(tmp_path / "backup.tar")
    disk.calls.clear()
    restored = GovernorFolder(tmp_path / "again")
    backup.restore(tmp_path / "backup.tar", restored)
    inodes = [name for kind, name in disk.calls if kind == "rename"]
    assert inodes[-1] == str(restored.path.stat().st_ino)
    for name in ("governor.toml", "anna.key", "ledger.db"):
        disk.check_replaced(restored.path / name)
    assert disk.calls[-1] == ("sync", str(tmp_path.stat().st_ino))


STEPS = ("fchmod", "fsync", "replace")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", [*STEPS, "open"])
def test_an_error_of_a_replacement_names_the_file_that_the_operator_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"old")

    def fail(*names: object, **_: object) -> None:
        named = [name for name in names if isinstance(name, str)]
        raise OSError(number, os.strerror(number), *named[:1])

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="policy") as caught:
            files.write_atomically(path, b"new")
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert str(caught.value) == f"[Errno {number}] {os.strerror(number)}: {str(path)!r}"
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["policy.toml"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("none/file", FileNotFoundError),
        ("plain/file", NotADirectoryError),
        ("folder", IsADirectoryError),
    ],
)
def test_a_place_that_takes_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[OSError]
) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), tmp_path / name):
        with pytest.raises(kind) as caught:
            files.write_atomically(path, b"new")
        assert caught.value.filename == str(path) and caught.value.filename2 is None


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    # the limit of a process, as that of a disk, strikes inside a write
    code = (
        "import resource, signal, sys; from pathlib import Path; from writ_host import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "files.write_atomically(Path(sys.argv[1]), bytes(20000))\n"
    )
    path = tmp_path / "roster.cbor"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert ran.stderr.rstrip().endswith(f"File too large: {str(path)!r}"), ran.stderr
    assert not os.listdir(tmp_path)


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(FileNotFoundError) as caught, files.naming(tmp_path / "archive"):
        other.read_bytes()
    assert caught.value.filename == str(other)


def test_a_versioned_file_is_absent_or_has_its_form(tmp_path: Path) -> None:
    path = tmp_path / "kept.cbor"
    assert files.read_versioned(path, 1, 3, 100) is None
    path.write_bytes(codec.dump([1, 5, [b"x"]]))
    assert files.read_versioned(path, 1, 3, 100) == [5, [b"x"]]
    # another version, other sizes, no list, no CBOR, too long
    for bad in ([2, 5, []], [1, 5], [], [1, 5, 6, 7], None, 1, [1, 5, bytes(100)]):
        path.write_bytes(codec.dump(bad))
        with pytest.raises(Malformed):
            files.read_versioned(path, 1, 3, 100)
    path.write_bytes(b"")
    with pytest.raises(Malformed):
        files.read_versioned(path, 1, 3, 100)
