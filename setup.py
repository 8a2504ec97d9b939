"""The part of the package's build that pyproject.toml cannot state.

A wheel holds the programs of a board (`boot.py`, `main.py`) as data of the package that builds for
devices, and the facts of all boards (`board.toml`). In a checkout they are read where they are, in
`firmware/` and `boards/`.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROGRAMS = ("firmware/boot.py", "firmware/main.py")
TARGET = "writ_host/device/build/programs"
BOARDS = "boards/*/board.toml"
BOARDS_TARGET = "writ_host/device"


class BuildPy(build_py):
    """Copies programs and boards beside the modules, unless the package is editable."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, TARGET)
        target.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            if Path(name).exists():
                shutil.copy(name, target)
        for path in Path().glob(BOARDS):
            copy = Path(self.build_lib, BOARDS_TARGET, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


setup(cmdclass={"build_py": BuildPy})
