"""The modules that device/build/fuse.py makes one behave as their members do apart."""

import subprocess
import sys
from pathlib import Path

import pytest

from writ_host.device.build.shrink import Linker

ERRORS = 'class Rejection(Exception):\n    """Base."""\n\n    code = 2\n'
# of both members: a constant, a function, a class, an import and a private name that differ
FIRST = """
import os
from .errors import Rejection

const = int
SIZE = 3
_LIMIT = const(4)
_last = "first"


class Box:
    sort = "first"

    def __init__(self, size=SIZE):
        self._last = size


def pack(value):
    global _last
    _last = value
    return (SIZE, value, Box()._last, os is not None)


def last():
    return _last
"""
SECOND = """
import sys as os
from . import first
from .first import Box as Base
from .first import last as first_last

SIZE = 5
_last = "second"


class Box(Base):
    _ABC = 6

    def __init__(self):
        Base.__init__(self, 2)
        self._mine = SIZE

    def both(self):
        return self._last, self._mine, self.sort


def pack(first_last):
    # a local with the name of a global
    box = [first_last for _ in range(SIZE)]
    return (len(box), first_last, first.pack(1), _last, os.byteorder in ("little", "big"))


def last(find=first_last):
    return find(), _last
"""
BESIDE = """
from writ import first, second
from writ.first import pack as pack_first
from writ.second import Box, last


def tell():
    assert Box().both() == (2, 5, "first") and first.Box().sort == "first"
    assert pack_first(7) == first.pack(7) == (3, 7, 3, True)
    assert first.last() == 7
    found = second.pack(8), last()
    return [found, (first.SIZE, second.SIZE), issubclass(Box, first.Box)]
"""
TOLD = "[((5, 8, (3, 1, 3, True), 'second', True), (1, 'second')), (3, 5), True]\n"


def write(folder: Path) -> Path:
    (folder / "writ").mkdir()
    for name, text in (
        ("__init__", ""),
        ("errors", ERRORS),
        ("first", FIRST),
        ("second", SECOND),
    ):
        (folder / "writ" / f"{name}.py").write_text(text)
    (folder / "beside.py").write_text(BESIDE)
    return folder


def run(folder: Path) -> str:
    code = "import beside; print(beside.tell())"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_fused_modules_behave_as_apart(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert run(folder) == TOLD
    linker = Linker(folder, [folder / "beside.py"], fused=["first second"])
    assert linker.flat_name("writ/first.py") is None
    output = tmp_path / "out"
    (output / "writ").mkdir(parents=True)
    for name in ("__init__", "errors", "second"):
        (output / "writ" / f"{name}.py").write_text(linker.source(f"writ/{name}.py"))
    (output / "beside.py").write_text(linker.link(BESIDE))
    assert run(output) == TOLD
    # mpy-cross would take the attribute for the constant of the other member
    assert linker.short["_LIMIT"] != linker.short["_ABC"]


def test_a_group_names_modules_of_the_package_once(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for groups in (["first third"], ["first second", "first"]):
        with pytest.raises(AssertionError):
            Linker(folder, fused=groups)


def test_a_fused_module_is_never_unloaded(tmp_path: Path) -> None:
    folder = write(tmp_path)
    user = 'from .compat import unload\n\n\ndef end():\n    unload("first")\n'
    (folder / "writ" / "user.py").write_text(user)
    (folder / "writ" / "compat.py").write_text("def unload(name):\n    pass\n")
    linker = Linker(folder, fused=["first second"])
    with pytest.raises(AssertionError, match="is unloaded"):
        linker.source("writ/user.py")
