"""The device's modules, linked and compiled: a folder of .mpy files with package.json for mip.

The build takes about a second, so nothing is cached.
"""

from collections.abc import Iterable
from pathlib import Path

from .compiler import OPTIMISATION, compile_texts
from .fuse import FUSED
from .shrink import Linker
from .sources import (
    FIRMWARE,
    HOST_ONLY,
    SOURCES_ONLY,
    device_files,
    package_text,
    program_files,
)


def linker(callers: Iterable[Path] = (), unlinked: Iterable[Path] = ()) -> Linker:
    """The linker of the device's modules.

    callers: programs that `build_programs` links; unlinked: programs that use the names of the
    sources, besides those of a board. Names that only these programs use stay for them.
    """
    unlinked = [*program_files(), FIRMWARE / "writ/aes.py", *unlinked]
    host_only = [Linker.module(Path("writ", name)) for name in HOST_ONLY | SOURCES_ONLY]
    return Linker(FIRMWARE, callers, unlinked, host_only=host_only, fused=FUSED)


def build(link: Linker, output: Path, optimisation: int = OPTIMISATION) -> dict[str, int]:
    """Compile every device module into `output`, and delete stale modules there.

    Returns {file name: bytes}. Raises NoCompiler and CompileError.
    """
    flat = {target: name for name in device_files() if (target := link.flat_name(name))}
    texts = {to: link.source(name) for to, name in flat.items()}
    sizes = compile_texts(texts, output, optimisation)
    wanted = {(output / name).with_suffix(".mpy") for name in flat}
    for stale in set((output / "writ").rglob("*.mpy")) - wanted:
        stale.unlink()
    listed = [path.relative_to(output).as_posix() for path in wanted]
    (output / "package.json").write_text(package_text(listed))
    return sizes


def build_programs(
    link: Linker, source: Path, output: Path, names: Iterable[str], optimisation: int = 0
) -> dict[str, int]:
    """Compile programs that import `writ`, linked against it; -O0 keeps their asserts."""
    texts = {name: link.link((source / name).read_text()) for name in names}
    return compile_texts(texts, output, optimisation)
