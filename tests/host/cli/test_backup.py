"""Backups of governors: made atomically, also while they run, and restored."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from council_rig import Council, wait_for

from writ_host.errors import FileInTheWay, HostError
from writ_host.governor import backup
from writ_host.governor.backup import NoBackup
from writ_host.governor.folder import GovernorFolder
from writ_host.scope.folder import ScopeFolder


def change(council: Council, by: str) -> int:
    """Make one more decision; returns its epoch."""
    path = council.scope / "policy.toml"
    rule = '[[rule]]\nfrom = "gateway"\nto = "sensor"\nmethods = ["GET"]\nresource = "r%d"\n\n'
    epoch = ScopeFolder.open(council.scope).epoch
    path.write_text(path.read_text().replace("[[rule]]\n", rule % epoch + "[[rule]]\n", 1))
    return int(council.with_approval(by, "policy", "certify", "--yes")["epoch"])


def test_a_restored_governor_catches_up_and_decides_again(council: Council) -> None:
    file = council.root / "backups" / "d.backup"
    file.parent.mkdir()
    made = council.writ("governor", "backup", "d", file)
    assert (made["name"], made["scope"], made["epoch"]) == ("d", "farm", 1)
    assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_size == made["bytes"]
    assert not list(council.path("d").glob(".backup*"))
    # the governor votes and decides after the backup
    newest = [change(council, "b") for _ in range(3)][-1]
    wait_for(lambda: council.ask("d", "status")["epoch"] == newest)
    council.kill("d")
    shutil.move(council.path("d"), council.root / "d.lost")
    restored = council.writ("governor", "restore", file, "d")
    assert restored["epoch"] == 1 and not (council.path("d") / "node").exists()
    assert (council.path("d") / "d.key").stat().st_mode & 0o777 == 0o600
    council.start("d")
    # the restored governor learns of the epochs since the backup
    wait_for(lambda: council.ask("d", "status")["epoch"] == newest, council.log("d"))
    assert council.ask("d", "status")["state"] == "seated"
    wait_for(lambda: council.ask("d", "status")["online_count"] == 4, council.log("d"))
    # the others decide an epoch without it; then the quorum needs it again
    following = change(council, "b")
    wait_for(lambda: council.ask("d", "status")["epoch"] == following, council.log("d"))
    council.stop("c")
    assert change(council, "d") == following + 1
    council.start("c")
    assert not council.ask("a", "status")["accused"]


def test_a_stopped_governor_is_backed_up(council: Council) -> None:
    epoch = council.ask("c", "status")["epoch"]
    council.stop("c")
    council.environment["WRIT_GOVERNOR"] = str(council.path("c"))
    made = council.writ("governor", "backup", "c.backup")
    del council.environment["WRIT_GOVERNOR"]
    council.start("c")
    assert made["name"] == "c" and made["epoch"] == epoch
    # the backup contains neither the key file nor session keys
    with tarfile.open(council.root / "c.backup") as archive:
        names = archive.getnames()
    assert names[0] == "backup.json" and {"c.key", "c.seat", "ledger.db"} < set(names)
    assert not [name for name in names if "node" in name or "sock" in name]
    secret = (council.root / "key").read_bytes()
    assert secret not in (council.root / "c.backup").read_bytes()


def test_a_backup_is_restored_into_a_new_folder_only(council: Council) -> None:
    council.writ("governor", "backup", "a", "a.backup")
    error = council.writ("governor", "restore", "a.backup", "a", code=1)["error"]
    assert error["name"] == "FileInTheWay" and "move this one away" in error["advice"]
    error = council.writ("governor", "backup", "a", council.root, code=1)["error"]
    assert "is a folder" in error["message"]
    assert (
        council.writ("governor", "backup", "nowhere", "x", code=1)["error"]["name"] == "NoGovernor"
    )
    assert council.writ("governor", "backup", "a", code=2)


def test_a_backup_neither_makes_a_folder_nor_replaces_a_file(council: Council) -> None:
    # the folder of a stick that is not mounted would be made on the SD card
    stick = council.root / "media" / "stick"
    error = council.writ("governor", "backup", "a", stick / "a.backup", code=1)["error"]
    assert f"there is no folder {stick}" in error["message"] and "Mount" in error["advice"]
    assert not stick.parent.exists()
    kept = council.root / "kept.backup"
    kept.write_bytes(b"the only copy")
    error = council.writ("governor", "backup", "a", kept, code=1)["error"]
    assert error["name"] == "FileInTheWay" and "--force" in error["advice"]
    assert kept.read_bytes() == b"the only copy"
    # a stopped governor is backed up by the command itself, by the same rule
    link = council.root / "dangling"
    link.symlink_to(council.root / "nowhere")
    assert council.writ("governor", "backup", "a", link, code=1)["error"]["name"] == "FileInTheWay"
    assert council.writ("governor", "backup", "a", kept, "--force")["bytes"] == kept.stat().st_size
    assert not list(council.path("a").glob(".backup*"))


# --- what is no backup ----------------------------------------------------------------------------

Member = tuple[tarfile.TarInfo, bytes]


def members(file: Path) -> list[Member]:
    with tarfile.open(file) as archive:
        found = []
        for one in archive.getmembers():
            content = archive.extractfile(one)
            found.append((one, content.read() if content else b""))
        return found


def repacked(file: Path, listed: list[Member]) -> Path:
    with tarfile.open(file, "w") as archive:
        for one, data in listed:
            archive.addfile(one, io.BytesIO(data))
    return file


def stranger(name: str, kind: bytes = tarfile.REGTYPE) -> Member:
    one = tarfile.TarInfo(name)
    one.type, one.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return one, b""


def _out_of_the_folder(listed: list[Member]) -> list[Member]:
    return [*listed, stranger("../evil")]


def _a_link(listed: list[Member]) -> list[Member]:
    kept = [pair for pair in listed if pair[0].name != "peers.toml"]
    return [*kept, stranger("peers.toml", tarfile.SYMTYPE)]


def _twice(listed: list[Member]) -> list[Member]:
    return [*listed, listed[1]]


def _without_its_key(listed: list[Member]) -> list[Member]:
    return [pair for pair in listed if pair[0].name != "a.key"]


def _another_name(listed: list[Member]) -> list[Member]:
    one, data = listed[0]
    data = json.dumps({**json.loads(data), "name": "../../a"}).encode()
    one.size = len(data)
    return [(one, data), *listed[1:]]


def _no_manifest(listed: list[Member]) -> list[Member]:
    return listed[1:]


def _a_broken_ledger(listed: list[Member]) -> list[Member]:
    one, data = listed[-1]
    return [*listed[:-1], (one, data[:4096] + bytes(len(data) - 4096))]


@pytest.mark.parametrize(
    "alter",
    [
        _out_of_the_folder,
        _a_link,
        _twice,
        _without_its_key,
        _another_name,
        _no_manifest,
        _a_broken_ledger,
    ],
)
def test_an_invalid_backup_leaves_nothing_behind(
    council: Council, tmp_path: Path, alter: Callable[[list[Member]], list[Member]]
) -> None:
    file = tmp_path / "a.backup"
    council.writ("governor", "backup", "a", file)
    repacked(file, alter(members(file)))
    with pytest.raises(HostError) as caught:
        backup.restore(file, GovernorFolder(tmp_path / "new"))
    assert not isinstance(caught.value, FileInTheWay)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.backup"]


def test_a_truncated_backup_is_rejected(council: Council, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    council.writ("governor", "backup", "a", whole)
    data = whole.read_bytes()
    end = len(data.rstrip(b"\0"))
    for size in (0, 100, 512, 1024, 3000, end // 2, end - 1):
        file = tmp_path / "cut"
        file.write_bytes(data[:size])
        with pytest.raises(NoBackup):
            backup.restore(file, GovernorFolder(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_put_back", [False, True])
def test_a_governor_without_its_ledger_does_not_take_part(
    tmp_path: Path, is_put_back: bool
) -> None:
    council = Council(tmp_path, "a")
    try:
        folder = council.path("a")
        if is_put_back:
            # a copied ledger in its place, as after a restore by hand
            council.writ("governor", "backup", "a", "a.backup")
            council.writ("governor", "restore", "a.backup", "copy")
            shutil.move(tmp_path / "copy/ledger.db", folder / "ledger.db")
        else:
            shutil.rmtree(folder)
        assert council.daemons.pop("a").wait(30) == 1
        assert '"LedgerGone"' in council.log("a")() and "restore a backup" in council.log("a")()
    finally:
        council.stop_all()
