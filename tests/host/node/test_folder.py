"""The folder of a node: its lock, the modes of its files, and damage that is no absence."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop_rig import FIRMWARE

from writ import agent, compat
from writ.authority.store import FileFlash, Store
from writ.errors import StoreDamaged, UsageError
from writ_host import files
from writ_host.errors import HostError, NodeInUse
from writ_host.keys.keyfile import KeyFile
from writ_host.node import config as nodeconfig
from writ_host.node.folder import FolderLock, NodeFolder
from writ_host.node.provision import make_node

SECRETS = ("key.a", "key.b", "s0.a", "s0.b", "p0.a", "config.json", "lock")


@pytest.fixture(params=[0o022, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """A usual umask, and one that forbids nothing."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_modes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The modes with which files are created from now on."""
    found = []
    plain = os.open

    def watched(path: object, flags: int, mode: int = 0o777, **more: object) -> int:
        if flags & os.O_CREAT:
            found.append(mode)
        return plain(path, flags, mode, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", watched)
    return found


def test_secrets_of_a_device_folder_are_private_from_their_creation(
    tmp_path: Path, umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "soil"
    path.mkdir()
    (path / "config.json").write_text('{"name": "soil"}')
    modes = open_modes(monkeypatch)
    node = agent.Node.load(str(path))
    for record in ("s0", "p0"):
        node.store.save(record, b"secret")
    assert modes and set(modes) == {0o600}
    for name in set(SECRETS) - {"config.json", "p0.b"}:
        assert mode(path / name) == 0o600, name
    # a program that had no such mode made this one
    (path / "s0.a").chmod(0o644)
    node.store.save("s0", b"secret")
    node.store.save("s0", b"secret")
    assert mode(path / "s0.a") == 0o600


def test_a_folder_that_is_provisioned_is_private(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "soil"
    make_node(path, "soil")
    assert mode(path) == 0o700
    for one in path.iterdir():
        assert mode(one) == 0o600, one.name
    FileFlash(str(tmp_path / "made"))
    assert mode(tmp_path / "made") == 0o700


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "soil"
    make_node(path, "soil")
    for bits in (0o604, 0o640, 0o660):
        (path / "key.a").chmod(bits)
        with pytest.raises(UsageError, match="chmod 600"):
            agent.Node.load(str(path))
        with pytest.raises(UsageError, match="chmod 600"):
            NodeFolder(path)
    (path / "key.a").chmod(0o600)
    NodeFolder(path).close()


def test_a_key_file_of_a_governor_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = KeyFile.create(path)
    for bits in (0o604, 0o640):
        path.chmod(bits)
        with pytest.raises(HostError, match="other users can read") as found:
            KeyFile.load(path)
        assert "chmod 600" in found.value.advice
    path.chmod(0o400)
    assert KeyFile.load(path) == made


def test_a_config_with_secrets_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "soil"
    make_node(path, "soil")
    config = {**nodeconfig.read(path), "oscore": [{"secret": "00" * 16}]}
    file = path / "config.json"
    file.write_text(json.dumps(config))
    file.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        agent.Node.load(str(path))
    with pytest.raises(HostError, match="other users can read"):
        nodeconfig.read(path)
    file.write_text('{"name": "soil"}')
    assert nodeconfig.read(path) == {"name": "soil"}


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "soil"
    make_node(path, "soil")
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    for name in ("s0.a", "lock", "policy.a"):
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        FolderLock(path)
    store = Store(FileFlash(str(path)))
    for name in ("s0", "policy"):
        with pytest.raises(StoreDamaged, match=f"^{name}: .*symbolic links"):
            store.load(name)
    with pytest.raises(OSError, match="symbolic links"):
        FileFlash(str(path)).write("s0.a", b"secret")
    assert target.read_bytes() == b"precious"
    # where others may write, a key file may be a link to theirs
    key = tmp_path / "key"
    KeyFile.create(key)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "key").symlink_to(key)
    assert KeyFile.load(shared / "key")
    shared.chmod(0o777)
    with pytest.raises(OSError, match="symbolic links"):
        KeyFile.load(shared / "key")


def test_a_write_is_on_the_medium_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    plain = os.fsync

    def watched(handle: int) -> None:
        found = os.readlink(f"/proc/self/fd/{handle}")
        synced.append((Path(found).name, os.fstat(handle).st_size))
        plain(handle)

    monkeypatch.setattr(os, "fsync", watched)
    flash = FileFlash(str(tmp_path / "soil"))
    flash.write("x.a", b"12345678")
    # the entry of a new file, then its content
    assert [name for name, _ in synced] == ["soil", "x.a"] and synced[-1] == ("x.a", 8)
    flash.write("x.a", b"123")
    assert synced[2:] == [("x.a", 3)]


def test_an_error_of_the_disk_is_no_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise OSError(5, "Input/output error")

    path = tmp_path / "f"
    assert not files.exists(path) and not files.exists(path / "below")
    path.write_bytes(b"")
    assert files.exists(path) and not files.exists(path / "below")
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", broken)
        with pytest.raises(OSError, match="Input/output"):
            files.exists(path)


SENSOR = """
import sys
import writ
node = writ.Node.load(sys.argv[1])
node.run()
"""


def test_a_sensor_program_and_a_command_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "soil"
    make_node(path, "soil", listen="127.0.0.1:0")
    config = {**nodeconfig.read(path), "listen": "127.0.0.1:0"}
    (path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-c", SENSOR, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(FIRMWARE), "PYTHONUNBUFFERED": "1"}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("soil, node id")
        with pytest.raises(NodeInUse, match=f"in use by process {first.pid}"):
            NodeFolder(path)
        second = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert second.returncode and f"UsageError: {path} is in use" in second.stderr
    finally:
        first.kill()
        first.communicate()
    with NodeFolder(path):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert f"UsageError: {path} is in use" in done.stderr
    assert compat.lock_folder(str(path))


def test_a_lock_that_cannot_be_opened_is_no_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "lock").mkdir()
    with pytest.raises(UsageError, match=r"/lock: .*Is a directory"):
        agent.Node.load(str(tmp_path))


def test_a_config_that_cannot_be_read_is_no_absent_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(UsageError, match=r"config\.json: .*Is a directory"):
        agent.Node.load(str(tmp_path))
