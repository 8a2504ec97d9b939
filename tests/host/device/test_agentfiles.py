"""Compiled modules are bytecode of the version that boards load, and keep the app's API."""

import ast
from pathlib import Path

import build_mpy
import pytest
from device_files import FIRMWARE, device_files

from writ_host.device.build import freenames, modules
from writ_host.device.build.agentfiles import (
    WrongVersion,
    check_version,
    module_files,
    startup_files,
)
from writ_host.device.build.compiler import compile_texts

needs_compiler = pytest.mark.skipif(build_mpy.find_compiler() is None, reason="no mpy-cross here")
HEADER = bytes.fromhex("4d06001f")


@needs_compiler
def test_modules_are_bytecode_for_every_chip() -> None:
    found = module_files()
    assert len(found) > 80 and "writ/__init__.mpy" in found
    for content in found.values():
        # version 6, no architecture, integers of 31 bits
        assert content[:2] == b"M\x06" and content[2] >> 2 == 0 and content[3] == 31


def test_the_programs_of_a_board_are_sources() -> None:
    found = startup_files()
    assert found["main.py"] == (FIRMWARE / "main.py").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"M",
        HEADER[:3],
        b"C" + HEADER[1:],
        b"M\x05\x00\x1f",
        b"M\x07\x00\x1f",
        b"M\x06\x00\x3f",
    ],
)
def test_a_file_that_a_board_does_not_load_is_refused(content: bytes) -> None:
    check_version("a.mpy", HEADER)
    with pytest.raises(WrongVersion):
        check_version("a.mpy", content)


@needs_compiler
def test_native_code_is_refused(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "fast.py").write_text("@micropython.native\ndef add(a, b):\n    return a + b\n")
    command = [str(build_mpy.find_compiler()), "-march=xtensawin", "fast.py"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.raises(WrongVersion, match="native"):
        check_version("fast.mpy", (tmp_path / "fast.mpy").read_bytes())
    compile_texts({"slow.py": "def add(a, b):\n    return a + b\n"}, tmp_path)
    check_version("slow.mpy", (tmp_path / "slow.mpy").read_bytes())


def arguments(tree: ast.Module, classes: set[str]) -> dict[str, list[str]]:
    """{"Node.request": the names of its arguments} of public methods and functions."""
    return {
        f"{cls.name}.{item.name}": [argument.arg for argument in item.args.args]
        for cls in tree.body
        if isinstance(cls, ast.ClassDef) and cls.name in classes
        for item in cls.body
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
    }


def test_an_app_may_name_each_argument_of_the_api() -> None:
    link = modules.linker()
    known = freenames._APP_CLASSES
    sources: dict[str, list[list[str]]] = {}
    linked: dict[str, list[list[str]]] = {}
    for name in device_files():
        module = link.module(Path(name))
        if module in known:
            tree = ast.parse((FIRMWARE / name).read_text())
            for key, value in arguments(tree, known[module]).items():
                sources.setdefault(key, []).append(value)
        if link.flat_name(name):
            tree = ast.parse(link.source(name))
            classes = {
                link.fusion.name(home, one)
                for home, names in known.items()
                for one in names
                if link.fusion.home(home) == module
            }
            for key, value in arguments(tree, classes).items():
                linked.setdefault(key.partition(".")[2], []).append(value)
    assert ["self", "path", "methods", "period_s"] in [v[:4] for v in sources["Node.resource"]]
    assert len(sources) > 40
    for key, values in sources.items():
        for value in values:
            assert value in linked[key.partition(".")[2]], key
