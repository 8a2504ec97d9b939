"""firmware/main.py on MicroPython, as on a board: its file system and its search order."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import build_mpy
import pytest
from interop_rig import free_port

MICROPYTHON = build_mpy.find_micropython()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        MICROPYTHON is None or build_mpy.find_compiler() is None,
        reason="no micropython or no mpy-cross here",
    ),
]

# Boards look in the root folder first, where the data folder is, too
BOARD = """
import os
import sys

os.umount("/")
os.mount(os.VfsPosix({root!r}), "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
with open("/main.py") as handle:
    exec(handle.read())
"""
APP = """
def setup(node):
    print("app of", node.name)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root folder of a board with main.py, app.py, the core in /lib, and its data folder."""
    root = tmp_path / "board"
    build_mpy.build(root / "lib")
    shutil.copy(build_mpy.FIRMWARE / "main.py", root)
    (root / "app.py").write_text(APP)
    (root / "node").mkdir()
    config = {"name": "soil", "listen": f"127.0.0.1:{free_port()}"}
    (root / "node/config.json").write_text(json.dumps(config))
    return root


def start(root: Path, lines: int) -> list[str]:
    """The first `lines` lines that the board prints."""
    script = root.parent / "board.py"
    script.write_text(BOARD.format(root=str(root)))
    board = subprocess.Popen(
        [str(MICROPYTHON), "-X", "heapsize=160k", str(script)],
        env={**os.environ, "MICROPYPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert board.stdout is not None
        return [board.stdout.readline() for _ in range(lines)]
    finally:
        board.kill()
        board.communicate()


def test_a_board_starts_with_the_search_order_of_boards(root: Path) -> None:
    lines = start(root, 4)
    assert lines[:3] == [
        "start after unknown, 0 before it failed\n",
        "normal mode\n",
        "app of soil\n",
    ]
    assert lines[3].startswith("soil, node id ")
    # key and records are in the data folder, which is no package
    assert sorted(path.name for path in (root / "node").glob("key.?")) != []
    assert not (root / "writ").exists()


def test_a_data_folder_with_the_name_of_the_package_would_hide_it(root: Path) -> None:
    (root / "writ").mkdir()
    assert "no module named 'writ.board'" in "".join(start(root, 4))
