"""The installed package builds a device's modules without a checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from device_files import FIRMWARE, ROOT, device_files

from writ_host.device.board import board_names
from writ_host.device.build import sources
from writ_host.device.build.compiler import find_compiler

pytestmark = pytest.mark.slow
PROGRAM = """
import sys
from pathlib import Path
from writ_host.device.build import modules, sources
assert "site" in sources.FIRMWARE.parts, sources.FIRMWARE
print(*sources.program_files(), sep="\\n")
if len(sys.argv) > 1:
    modules.build(modules.linker(), Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel of this tree installs."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "tree"
    copy.mkdir()
    for name in (
        "firmware",
        "host",
        "boards",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "setup.py",
    ):
        # the copy is what setuptools writes its intermediate files into
        subprocess.run(["cp", "-R", str(ROOT / name), str(copy)], check=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(copy)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> list[Path]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def test_a_wheel_holds_the_boards(site: Path) -> None:
    program = (
        "from writ_host.device.board import BOARDS, board_names, load_board\n"
        "print(BOARDS)\nfor name in board_names(): print(load_board(name).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(site / "writ_host/device/boards"), *board_names()]


def test_a_wheel_holds_the_sources_and_the_programs_of_a_board(site: Path) -> None:
    found = run(site)
    assert [path.name for path in found] == [path.name for path in sources.program_files()]
    for path in found:
        assert site in path.parents
        assert path.read_bytes() == (FIRMWARE / path.name).read_bytes()
    for name in device_files():
        assert (site / name).read_bytes() == (FIRMWARE / name).read_bytes()


@pytest.mark.skipif(find_compiler() is None, reason="no mpy-cross here")
def test_the_installed_package_compiles_the_same_modules(site: Path, tmp_path: Path) -> None:
    from writ_host.device.build import modules

    run(site, str(tmp_path / "installed"))
    modules.build(modules.linker(), tmp_path / "tree")
    trees = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "installed", tmp_path / "tree")
    ]
    assert len(trees[0]) > 80 and trees[0] == trees[1]
