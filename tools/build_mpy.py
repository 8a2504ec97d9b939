"""Compile the device's modules to build/mpy/writ/**.mpy, for mip too, and print the size of each.

The build is writ_host/device/build. Here it keeps the names that the programs of the tree use: the
device suite, the boards and the benchmarks. `--lines` (-O0) keeps line numbers and asserts.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from device_files import FIRMWARE, ROOT, device_files

from writ_host.device.build import modules
from writ_host.device.build.compiler import OPTIMISATION, compile_files, find_compiler
from writ_host.device.build.shrink import Linker
from writ_host.errors import HostError

__all__ = ["FIRMWARE", "OPTIMISATION", "ROOT", "compile_files", "device_files", "find_compiler"]


def find_micropython() -> str | None:
    """MicroPython's unix port: beside this interpreter, else on PATH."""
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


@cache
def linker() -> Linker:
    """The linker of the device's modules, with the device suite and the boards as callers."""
    callers = [*(ROOT / "tests/device").rglob("*.py"), *(ROOT / "boards").rglob("*.py")]
    callers.append(ROOT / "tools/measure/on_device.py")
    unlinked = [*(ROOT / "tests/interop").glob("device_*.py")]
    unlinked += (
        ROOT / f"tools/measure/{name}_device.py" for name in ("heap", "delegating", "flooding")
    )
    return modules.linker(callers, unlinked)


def build(output: Path, optimisation: int = OPTIMISATION) -> dict[str, int]:
    """Compile every device module into `output`, and delete stale modules there."""
    return modules.build(linker(), output, optimisation)


def build_programs(
    source: Path, output: Path, names: Iterable[str], optimisation: int = 0
) -> dict[str, int]:
    """Compile programs that import `writ`, linked against it; -O0 keeps their asserts."""
    return modules.build_programs(linker(), source, output, names, optimisation)


def main() -> None:
    """Build and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", action="store_true", help="keep line numbers and asserts")
    parser.add_argument("--quiet", action="store_true", help="print the total only")
    parser.add_argument("--output", type=Path, default=ROOT / "build/mpy")
    parser.add_argument("programs", nargs="*", type=Path, help="compile these too, beside writ/")
    options = parser.parse_args()
    try:
        sizes = build(options.output, 0 if options.lines else OPTIMISATION)
        for path in options.programs:
            sizes |= build_programs(path.parent, options.output, [path.name], OPTIMISATION)
    except HostError as error:
        sys.exit(f"{error}\n{error.advice}")
    if not options.quiet:
        for name, size in sizes.items():
            print(f"{size:7d}  {name}")
    print(f"{sum(sizes.values()):7d}  bytes in {len(sizes)} .mpy files, {options.output}")


if __name__ == "__main__":
    main()
