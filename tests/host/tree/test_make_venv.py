"""Two `make` in one folder: the second one waits for the environment that the first one makes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from device_files import ROOT

# In place of the installation: it ends when its standard input does.
PROGRAM = """
import sys, make_venv
def make(folder):
    folder.mkdir()
    print("makes", flush=True)
    sys.stdin.read()
    (folder / "stamp").touch()
make_venv.make = make
make_venv.main()
"""


def start(tree: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, ".venv"],
        env={**os.environ, "PYTHONPATH": str(tree / "tools")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_second_make_waits_for_the_first_one_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/make_venv.py", tmp_path / "tools")
    for source in ("requirements.lock", "pyproject.toml"):
        (tmp_path / source).touch()
    first = start(tmp_path)
    assert line(first) == "makes\n"
    second = start(tmp_path)
    assert line(second).startswith("Waiting for another make")
    # neither folder nor file of the first one is gone
    assert (tmp_path / ".venv").is_dir() and second.poll() is None
    first.communicate()
    rest, _ = second.communicate()
    assert (first.returncode, second.returncode, rest) == (0, 0, "")
    # changed sources make a new one; the lock of a process that was killed is gone
    os.utime(tmp_path / "pyproject.toml", (2**31, 2**31))
    shutil.rmtree(tmp_path / ".venv")
    killed = start(tmp_path)
    assert line(killed) == "makes\n"
    killed.kill()
    killed.wait()
    shutil.rmtree(tmp_path / ".venv")
    third = start(tmp_path)
    assert line(third) == "makes\n"
    third.communicate()
    assert third.returncode == 0
