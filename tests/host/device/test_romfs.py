"""ROMFS images are those of MicroPython's own tool, byte for byte."""

import random
from pathlib import Path

import pytest
from mpremote.romfs import VfsRomWriter, make_romfs

from writ_host.device.filetree import BadFiles
from writ_host.device.romfs import romfs_image


def of_folder(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix() + "/" * path.is_dir(): b""
        if path.is_dir()
        else path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("seed", range(20))
def test_an_image_is_that_of_mpremote(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    folders = [tmp_path]
    for number in range(rng.randrange(8)):
        folders.append(rng.choice(folders) / f"{rng.choice('aB_z')}{number}")
        folders[-1].mkdir()
    for number in range(rng.randrange(12)):
        # lengths on both sides of those that need one more byte
        size = rng.choice((0, 1, 100, 126, 127, 128, 129, 16_383, 16_384, 70_001))
        path = rng.choice(folders) / f"{rng.choice('aB_z')}{number}.mpy"
        path.write_bytes(rng.randbytes(size))
    assert romfs_image(of_folder(tmp_path)) == make_romfs(str(tmp_path), mpy_cross=False)


def test_the_order_of_the_files_changes_nothing() -> None:
    files = {"b/x": b"1", "a": b"2", "b/a": b"3", "b.py": b"4"}
    assert romfs_image(files) == romfs_image(dict(reversed(files.items())))


def test_an_image_without_files_is_the_header() -> None:
    assert romfs_image({}) == VfsRomWriter().finalise() == b"\xd2\xcd\x31\x00"


@pytest.mark.parametrize(
    "path",
    ["", "/main.py", "a//b", "../a", "a/./b", "a\\b", "a\nb", "/", "a/" + "b" * 256, "\udcff"],
)
def test_a_path_that_no_board_has_is_refused(path: str) -> None:
    with pytest.raises(BadFiles):
        romfs_image({path: b""})


@pytest.mark.parametrize(
    "files",
    [{"a": b"", "a/": b""}, {"a/": b"", "a": b""}, {"a": b"1", "a/b": b""}, {"a/": b"content"}],
)
def test_a_name_for_a_file_and_a_folder_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(BadFiles):
        romfs_image(files)
