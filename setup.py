"""The part of the package's build that pyproject.toml cannot state.

A wheel holds the programs of a board (`boot.py`, `main.py`) as data of the package that builds for
devices. In a checkout they are read where they are, in `firmware/`.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROGRAMS = ("firmware/boot.py", "firmware/main.py")
TARGET = "writ_host/device/build/programs"


class BuildPy(build_py):
    """Copies the programs beside the modules, unless the package is installed as editable."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, TARGET)
        target.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            if Path(name).exists():
                shutil.copy(name, target)


setup(cmdclass={"build_py": BuildPy})
